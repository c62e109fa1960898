"""Turns every failure of an AWS call into an AccountError; AWS's own words never leave this file.

They can hold ARNs and keys, so a detail names the operation and AWS's error code and nothing else. They are
logged at debug, but for what may be an ARN, a key or a token.
"""

import re
from collections.abc import Callable
from traceback import walk_tb
from typing import Final, TypeVar

from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from costbatch.adapters.aws.refusals import (
    HISTORY,
    advice_of_denial,
    clock_problem,
    is_before_history,
    plain_words,
)
from costbatch.errors import AccountError, ErrorKind
from costbatch.logs import get_logger, redact

T = TypeVar("T")
log = get_logger(__name__)

_BY_KIND: Final = {
    ErrorKind.THROTTLED: """
        LimitExceededException Throttling ThrottlingException ThrottledException RequestThrottled
        RequestThrottledException TooManyRequests TooManyRequestsException RequestLimitExceeded SlowDown
        BandwidthLimitExceeded PriorRequestNotComplete
    """,
    ErrorKind.CREDENTIALS_REJECTED: """
        InvalidClientTokenId UnrecognizedClient UnrecognizedClientException SignatureDoesNotMatch
        InvalidSignatureException IncompleteSignature IncompleteSignatureException AuthFailure
        ExpiredToken ExpiredTokenException ExpiredTradeInTokenException
        InvalidAccessKeyId InvalidToken InvalidIdentityToken IDPRejectedClaim
        MissingAuthenticationToken MissingAuthenticationTokenException NotAuthorized
    """,
    ErrorKind.WRONG_CLOCK: """
        RequestExpired RequestTimeTooSkewed RequestInTheFuture
    """,
    ErrorKind.ACCESS_DENIED: """
        AccessDenied AccessDeniedException UnauthorizedOperation UnauthorizedAccess OptInRequired
        SubscriptionRequiredException RegionDisabledException SessionDurationEscalationException
        OutboundWebIdentityFederationDisabledException
    """,
    # The bill, or the view of it, cannot be read at the moment: nothing is wrong with the account's access.
    ErrorKind.DATA_UNAVAILABLE: """
        DataUnavailableException BillExpirationException BillingViewHealthStatusException
    """,
    ErrorKind.TIMEOUT: """
        RequestTimeout RequestTimeoutException InternalFailure InternalError InternalServerError
        InternalServerException ServiceUnavailable ServiceUnavailableException IDPCommunicationError
    """,
    # Passing ones first: the page token went stale, or the answer changed while it was paged through;
    # the next attempt starts with the first page. The others are for operations we never call, or our fault.
    ErrorKind.INTERNAL: """
        InvalidNextTokenException RequestChangedException
        ValidationException ValidationError SerializationException ResourceNotFoundException
        UnresolvableUsageUnitException AnalysisNotFoundException BackfillLimitExceededException
        GenerationExistsException ServiceQuotaExceededException TooManyTagsException UnknownMonitorException
        UnknownSubscriptionException InvalidAuthorizationMessageException JWTPayloadSizeExceededException
        MalformedPolicyDocument PackedPolicyTooLarge
    """,
}
KIND_OF_CODE: Final = {code: kind for kind, codes in _BY_KIND.items() for code in codes.split()}

# botocore's own exceptions, the first match counts.
_KIND_OF_EXCEPTION: Final = (
    ((aws.ConnectionError, aws.HTTPClientError, aws.MetadataRetrievalError), ErrorKind.TIMEOUT),
    (
        (
            aws.NoCredentialsError,
            aws.PartialCredentialsError,
            aws.CredentialRetrievalError,
            aws.NoAuthTokenError,
            aws.TokenRetrievalError,
            aws.UnknownCredentialError,
            aws.ProfileNotFound,
            aws.SSOError,
            aws.LoginError,
        ),
        ErrorKind.POD_IDENTITY_MISSING,
    ),
    ((aws.IncompleteReadError, aws.ChecksumError, aws.FlexibleChecksumError), ErrorKind.MALFORMED_RESPONSE),
    # OSError: a token file or a CA bundle that botocore cannot read.
    ((aws.BotoCoreError, OSError), ErrorKind.INTERNAL),
)
# What botocore's parsers stumble with over an answer that is not of the documented form.
_PARSER_STUMBLES: Final = (
    ResponseParserError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
)

_NOT_ENABLED = "not enabled for cost explorer"
_CODE = re.compile(r"[A-Za-z][\w.]{0,79}")
_STATUS_CODE = re.compile(r"[1-5][0-9]{2}")
_REQUEST_TIMEOUT, _PROXY_LOGIN, _TOO_MANY_REQUESTS, _SERVER_ERROR = 408, 407, 429, 500


class BeforeHistoryError(AccountError):
    """The first of the days that were asked for lies before what AWS keeps."""


def answer_of(operation: str, call: Callable[[], T]) -> T:
    """Return what an AWS call returns.

    Raises:
        AccountError: whatever went wrong, with nothing of AWS's text in it or in its chain.

    """
    frames = None
    try:
        return call()
    except (aws.BotoCoreError, aws.ClientError, OSError, *_PARSER_STUMBLES) as error:
        failure = translate(error, operation)
        if failure.kind is ErrorKind.INTERNAL:
            # Where it happened is what a report needs; a traceback of frames holds none of AWS's words.
            frames = error.__traceback__
    # Outside of the handler, so that the original is not even its context.
    raise failure.with_traceback(frames)


def is_unsent(error: BaseException | None) -> bool:
    """Whether a call failed while urllib3 was connecting, so that no request has left this machine.

    No exception says it: a reset is the same in the middle of a TLS handshake and in the middle of an answer.
    """
    while error is not None:
        if any(frame.f_code.co_name == "connect" for frame, _ in walk_tb(error.__traceback__)):
            return True
        error = error.__cause__ or error.__context__
    return False


def translate(error: Exception, operation: str) -> AccountError:
    """Return the AccountError that a failed AWS call means."""
    log.debug(
        "aws_call_failed", operation=operation, error=type(error).__name__, text=plain_words(str(error))
    )
    if isinstance(error, aws.ClientError):
        # boto3 makes requests of its own to find the pod's identity.
        return _of_answer(error, error.operation_name or operation)
    kind = next(
        (kind for types, kind in _KIND_OF_EXCEPTION if isinstance(error, types)), ErrorKind.MALFORMED_RESPONSE
    )
    return AccountError(kind, f"{operation} failed: {type(error).__name__}.")


def _of_answer(error: aws.ClientError, operation: str) -> AccountError:
    problem = error.response.get("Error", {})
    code, text = str(problem.get("Code", "")), str(problem.get("Message", ""))
    status = _status_of(error, code)
    if not _CODE.fullmatch(code):
        return AccountError(
            _kind_of_status(status), f"AWS answered {operation} with HTTP status {status} and no error code."
        )
    kind, advice = KIND_OF_CODE.get(code) or _kind_of_unknown(status), ""
    # A code that is not in the list may be anything that fits in one.
    detail = f"AWS answered {operation} with {redact(code)}."
    match kind:
        case ErrorKind.CREDENTIALS_REJECTED | ErrorKind.WRONG_CLOCK:
            date = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
            clock = clock_problem(text, date)
            if clock is not None:
                kind, detail = ErrorKind.WRONG_CLOCK, f"{detail} {clock}".rstrip()
        case ErrorKind.ACCESS_DENIED if _NOT_ENABLED in text.lower():
            kind = ErrorKind.COST_EXPLORER_NOT_ENABLED
        case ErrorKind.ACCESS_DENIED:
            advice = advice_of_denial(operation, text)
        case ErrorKind.INTERNAL if code.startswith("Validation") and is_before_history(text):
            return BeforeHistoryError(ErrorKind.DATA_UNAVAILABLE, detail, HISTORY)
    return AccountError(kind, detail, advice)


def _status_of(error: aws.ClientError, code: str) -> int:
    """Return the HTTP status; where an answer has no error code, botocore puts the status in its place."""
    if _STATUS_CODE.fullmatch(code):
        return int(code)
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _kind_of_unknown(status: int) -> ErrorKind:
    """Return the kind of an error code that is not in the list."""
    kind = _kind_of_status(status)
    return ErrorKind.INTERNAL if kind is ErrorKind.MALFORMED_RESPONSE else kind


def _kind_of_status(status: int) -> ErrorKind:
    if status == _TOO_MANY_REQUESTS:
        return ErrorKind.THROTTLED
    if status >= _SERVER_ERROR or status in (_REQUEST_TIMEOUT, _PROXY_LOGIN):
        return ErrorKind.TIMEOUT
    return ErrorKind.MALFORMED_RESPONSE
