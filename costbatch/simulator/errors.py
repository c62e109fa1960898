"""AWS's error responses: codes for each protocol, statuses and bodies."""

from __future__ import annotations

import json
from enum import Enum
from uuid import uuid4
from xml.sax.saxutils import escape

from costbatch.simulator.answers import JSON_TYPE, XML_TYPE, Answer

# Services as a signature names them, and as IAM names them where that differs.
STS, EC2, TAGGING = "sts", "ec2", "tagging"
ACCOUNT, EXPLORER = "account", "resource-explorer-2"
IAM_PREFIX = {TAGGING: "tag"}
REST_SERVICES = frozenset({ACCOUNT, EXPLORER})
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class AwsError(Exception):
    """An error response of AWS: its code, its message and its HTTP status."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class AuthProblem(Enum):
    """Errors of all protocols: code in JSON; code and status in STS; code and status in EC2."""

    MISSING = (
        "MissingAuthenticationTokenException",
        ("MissingAuthenticationToken", 403),
        ("MissingAuthenticationToken", 403),
    )
    INCOMPLETE = ("IncompleteSignatureException", ("IncompleteSignature", 400), ("IncompleteSignature", 400))
    UNKNOWN_KEY = ("UnrecognizedClientException", ("InvalidClientTokenId", 403), ("AuthFailure", 401))
    SIGNATURE = ("InvalidSignatureException", ("SignatureDoesNotMatch", 403), ("AuthFailure", 401))
    EXPIRED = ("ExpiredTokenException", ("ExpiredToken", 403), ("RequestExpired", 400))
    THROTTLED = ("ThrottlingException", ("Throttling", 400), ("RequestLimitExceeded", 503))
    DENIED = ("AccessDeniedException", ("AccessDenied", 403), ("UnauthorizedOperation", 403))
    INVALID = ("ValidationException", ("ValidationError", 400), ("InvalidParameterValue", 400))

    def error(self, service: str, message: str) -> AwsError:
        """Return the error in this service's words."""
        json_code, sts, ec2 = self.value
        if service in (STS, EC2):
            code, status = sts if service == STS else ec2
            return AwsError(code, message, status=status)
        code = _OWN_CODES.get((service, self), json_code)
        return AwsError(
            code, message, status=_REST_STATUS.get(self, 403) if service in REST_SERVICES else 400
        )


_OWN_CODES = {
    (TAGGING, AuthProblem.THROTTLED): "ThrottledException",
    (TAGGING, AuthProblem.INVALID): "InvalidParameterException",
    (ACCOUNT, AuthProblem.THROTTLED): "TooManyRequestsException",
}
_REST_STATUS = {AuthProblem.THROTTLED: 429, AuthProblem.INVALID: 400}

INVALID_TOKEN_MESSAGE = "The security token included in the request is invalid."  # noqa: S105 - AWS's sentence
EXPIRED_TOKEN_MESSAGE = "The security token included in the request is expired"  # noqa: S105 - AWS's sentence


def validation_error(message: str) -> AwsError:
    """Return the JSON services' error for an invalid parameter."""
    return AwsError("ValidationException", message)


def error_answer(service: str, error: AwsError) -> Answer:
    """Return an error in the service's protocol."""
    if service in (STS, EC2):
        render = _sts_error if service == STS else _ec2_error
        return Answer(body=render(error), status=error.status, content_type=XML_TYPE)
    if service in REST_SERVICES:
        body = json.dumps({"message": error.message}).encode()
        return Answer(body=body, status=error.status, error_type=error.code)
    body = json.dumps({"__type": error.code, "Message": error.message}).encode()
    return Answer(body=body, status=error.status, content_type=JSON_TYPE)


def _sts_error(error: AwsError) -> bytes:
    return (
        f'<ErrorResponse xmlns="{STS_NAMESPACE}"><Error><Type>Sender</Type><Code>{error.code}</Code>'
        f"<Message>{escape(error.message)}</Message></Error><RequestId>{uuid4()}</RequestId></ErrorResponse>"
    ).encode()


def _ec2_error(error: AwsError) -> bytes:
    return (
        f"<Response><Errors><Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
        f"</Errors><RequestID>{uuid4()}</RequestID></Response>"
    ).encode()
