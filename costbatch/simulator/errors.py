"""AWS's error responses: codes for each protocol, statuses and bodies."""

from __future__ import annotations

import json
from enum import Enum
from uuid import uuid4
from xml.sax.saxutils import escape

from costbatch.simulator.answers import JSON_TYPE, XML_TYPE, Answer

STS = "sts"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class AwsError(Exception):
    """An error response of AWS: its code, its message and its HTTP status."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class AuthProblem(Enum):
    """Errors of both protocols: the code in JSON, the code in the query protocol, the status."""

    MISSING = ("MissingAuthenticationTokenException", "MissingAuthenticationToken", 403)
    INCOMPLETE = ("IncompleteSignatureException", "IncompleteSignature", 400)
    UNKNOWN_KEY = ("UnrecognizedClientException", "InvalidClientTokenId", 403)
    SIGNATURE = ("InvalidSignatureException", "SignatureDoesNotMatch", 403)
    EXPIRED = ("ExpiredTokenException", "ExpiredToken", 403)
    THROTTLED = ("ThrottlingException", "Throttling", 400)
    DENIED = ("AccessDeniedException", "AccessDenied", 403)
    INVALID = ("ValidationException", "ValidationError", 400)

    def error(self, service: str, message: str) -> AwsError:
        """Return the error in this service's words."""
        json_code, query_code, query_status = self.value
        if service == STS:
            return AwsError(query_code, message, status=query_status)
        return AwsError(json_code, message)


INVALID_TOKEN_MESSAGE = "The security token included in the request is invalid."  # noqa: S105 - AWS's sentence
EXPIRED_TOKEN_MESSAGE = "The security token included in the request is expired"  # noqa: S105 - AWS's sentence


def validation_error(message: str) -> AwsError:
    """Return the JSON services' error for an invalid parameter."""
    return AwsError("ValidationException", message)


def error_answer(service: str, error: AwsError) -> Answer:
    """Return an error in the service's protocol."""
    if service == STS:
        text = (
            f'<ErrorResponse xmlns="{STS_NAMESPACE}"><Error><Type>Sender</Type><Code>{error.code}</Code>'
            f"<Message>{escape(error.message)}</Message></Error><RequestId>{uuid4()}</RequestId></ErrorResponse>"
        )
        return Answer(body=text.encode(), status=error.status, content_type=XML_TYPE)
    body = json.dumps({"__type": error.code, "Message": error.message}).encode()
    return Answer(body=body, status=error.status, content_type=JSON_TYPE)
