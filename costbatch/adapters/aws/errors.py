"""Turns every failure of an AWS call into an AccountError. AWS's own text never leaves this file.

It can contain ARNs and keys, so a detail names only the operation and AWS's error code. What the text adds,
such as which policy denies or whose clock is wrong, becomes a sentence of our own. The text is logged at
debug level, with everything masked that may be an ARN, a key or a token.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from traceback import walk_tb
from typing import Final, TypeVar

from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from costbatch.adapters.aws.operations import ACTIONS, GET_COST_AND_USAGE
from costbatch.errors import AccountError, ErrorKind
from costbatch.logs import MASK, get_logger, redact

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
        UnauthorizedException
        OutboundWebIdentityFederationDisabledException
    """,
    # The bill cannot be read at the moment: nothing is wrong with the account's access.
    ErrorKind.DATA_UNAVAILABLE: """
        DataUnavailableException BillExpirationException BillingViewHealthStatusException
    """,
    ErrorKind.TIMEOUT: """
        RequestTimeout RequestTimeoutException InternalFailure InternalError InternalServerError
        InternalServerException InternalServiceException ServiceUnavailable ServiceUnavailableException
        ResourceUnavailableException IDPCommunicationError
    """,
    # Transient ones first: the page token expired, or the response changed between pages; the next attempt
    # starts with the first page. The others belong to operations that are never called, or are our fault.
    ErrorKind.INTERNAL: """
        InvalidNextTokenException PaginationTokenExpiredException RequestChangedException
        ValidationException ValidationError SerializationException ResourceNotFoundException
        UnresolvableUsageUnitException AnalysisNotFoundException BackfillLimitExceededException
        GenerationExistsException ServiceQuotaExceededException TooManyTagsException UnknownMonitorException
        UnknownSubscriptionException InvalidAuthorizationMessageException JWTPayloadSizeExceededException
        MalformedPolicyDocument PackedPolicyTooLarge
        InvalidParameterException ConcurrentModificationException ConstraintViolationException
        ConflictException
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
# What botocore's parsers raise for a response that is not as documented.
PARSER_ERRORS: Final = (
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

_PAYER = (
    "The management (payer) account does not let its member accounts use Cost Explorer: in that account's "
    "Billing and Cost Management console, under Cost Management preferences, allow linked account access. "
    "The policies of this account need no change."
)
_is_kept_out_by_payer = re.compile(r"linked account|member account|management account|payer").search

_EXPIRED = (
    "The credentials were temporary and have expired. The next run gets new ones if they are a role's or the "
    "pod's; a stored access key must be a long-lived one."
)
_ROLE = (
    "The role cannot be assumed: check that it exists, that its trust policy names the identity that assumes "
    "it and the same external id, and that this identity is granted sts:AssumeRole on the role."
)
# By AWS's name of the policy that denies: what it belongs to, and who can change it.
_POLICIES: Final = {
    "service control policy": "of the organization; ask its administrator",
    "resource control policy": "of the organization; ask its administrator",
    "permissions boundary": "of the identity; ask the account's administrator",
    "session policy": "of the session; ask the administrator who passes it",
    "vpc endpoint policy": "of the VPC endpoint that AWS is called through; ask its owner",
    "resource-based policy": "of the resource (of a role: its trust policy); ask the account's administrator",
    "role trust policy": "of the role; ask the account's administrator",
    "identity-based policy": "of the identity; ask the account's administrator",
}
_denying_policy = re.compile(rf"(explicit deny in an?|because no) ({'|'.join(_POLICIES)})").search

_NEW_ACCOUNT = "DataUnavailableException"
_BILL = "AWS cannot read the bill at the moment; the next run tries again."

HISTORY = (
    "AWS keeps daily cost for about 13 months, for some accounts less: ask for later days with --from or "
    "--date; if a night fails so, lower COSTBATCH_WINDOW_DAYS, and for a first collection "
    "COSTBATCH_HISTORY_MONTHS."
)
_is_before_history = re.compile(
    r"historical data|beyond \d+ months|too early|too far (back|in the past)|older than \d+ (months|days)|"
    r"(before|prior to|earlier than) the (earliest|first)"
).search

# AWS names both times: "Signature expired: OURS is now earlier than … (THEIRS - 5 min.)".
_is_about_time = re.compile(r"signature expired|not yet current|request has expired|too skewed").search
_instants_in = re.compile(r"\d{8}T\d{6}Z").findall
# AWS accepts 5 minutes; the time that a response takes is not a wrong clock.
_CLOCK_TOLERANCE_SECONDS = 240.0
_TWO_MINUTES = 120
# Words, actions such as ce:GetCostAndUsage, numbers and times: all else may be an ARN, a key or a token.
_is_plain_word = re.compile(
    r"[(\[\"']*([A-Za-z][A-Za-z'-]{0,29}|[a-z-]{2,20}:[A-Za-z]{2,40}|[0-9][0-9.,:-]{0,19}|[0-9]{8}T[0-9]{6}Z)"
    r"[)\].,:;!?\"']*"
).fullmatch


class CredentialsExpiredError(AccountError):
    """Temporary credentials have expired; AWS has accepted them before."""


class BeforeHistoryError(AccountError):
    """The first requested day is older than the days that AWS keeps."""


def call_aws(operation: str, call: Callable[[], T]) -> T:
    """Return what an AWS call returns.

    Raises:
        AccountError: for every failure; neither it nor its chain contains AWS's text.

    """
    frames = None
    try:
        return call()
    except (aws.BotoCoreError, aws.ClientError, OSError, *PARSER_ERRORS) as error:
        failure = translate(error, operation)
        if failure.kind is ErrorKind.INTERNAL:
            # A bug report needs the place; a traceback of frames contains none of AWS's text.
            frames = error.__traceback__
    # Outside of the handler, so that the original is not even its context.
    raise failure.with_traceback(frames)


def is_unsent(error: BaseException | None) -> bool:
    """Whether a call failed while urllib3 was connecting, so that no request was sent.

    The exception's type does not tell: a reset during a TLS handshake is the same as one during a response.
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
    about = error.response.get("ResponseMetadata", {})
    # botocore puts the status in place of an error code if the response has none.
    status = int(code if _STATUS_CODE.fullmatch(code) else about.get("HTTPStatusCode", 0))
    if not _CODE.fullmatch(code):
        return AccountError(
            _kind_of_status(status), f"AWS answered {operation} with HTTP status {status} and no error code."
        )
    kind, advice = KIND_OF_CODE.get(code), ""
    if kind is None:
        kind = _kind_of_status(status)
        kind = ErrorKind.INTERNAL if kind is ErrorKind.MALFORMED_RESPONSE else kind
    # An unknown code may be any text that has the form of one.
    detail = f"AWS answered {operation} with {redact(code)}."
    match kind:
        case ErrorKind.CREDENTIALS_REJECTED | ErrorKind.WRONG_CLOCK:
            clock = clock_problem(text, about.get("HTTPHeaders", {}).get("date", ""))
            if clock is not None:
                kind, detail = ErrorKind.WRONG_CLOCK, f"{detail} {clock}".rstrip()
            elif code.startswith("Expired"):
                return CredentialsExpiredError(kind, detail, _EXPIRED)
        case ErrorKind.ACCESS_DENIED if _NOT_ENABLED in text.lower():
            kind = ErrorKind.COST_EXPLORER_NOT_ENABLED
        case ErrorKind.ACCESS_DENIED:
            advice = advice_of_denial(operation, text)
        case ErrorKind.DATA_UNAVAILABLE if code != _NEW_ACCOUNT:
            advice = _BILL
        case ErrorKind.INTERNAL if code.startswith("Validation") and is_before_history(text):
            return BeforeHistoryError(ErrorKind.DATA_UNAVAILABLE, detail, HISTORY)
    return AccountError(kind, detail, advice)


def _kind_of_status(status: int) -> ErrorKind:
    if status == _TOO_MANY_REQUESTS:
        return ErrorKind.THROTTLED
    if status >= _SERVER_ERROR or status in (_REQUEST_TIMEOUT, _PROXY_LOGIN):
        return ErrorKind.TIMEOUT
    return ErrorKind.MALFORMED_RESPONSE


def plain_words(text: str) -> str:
    """Return AWS's text for the log, with everything masked except plain words and numbers."""
    return " ".join(word if _is_plain_word(word) else MASK for word in text.split())


def advice_of_denial(operation: str, text: str) -> str:
    """Return what to do about a denied access; empty: what the kind of failure advises."""
    text = text.lower()
    if "cost explorer" in text and _is_kept_out_by_payer(text):
        return _PAYER
    found, action = _denying_policy(text), ACTIONS.get(operation, operation)
    if found is None or found.groups() == ("because no", "identity-based policy"):
        if operation == "AssumeRole":
            return _ROLE
        # The kind's own advice is to grant what collecting needs.
        is_of_costs = operation == GET_COST_AND_USAGE.name
        missing = f"The credentials are valid but lack a permission; grant the identity {action}."
        return "" if is_of_costs else missing
    policy = found[2].replace("vpc", "VPC")
    if found[1] == "because no":
        return f"No {policy} allows {action}. It is a policy {_POLICIES[found[2]]} to allow it."
    return (
        f"An explicit deny in a {policy} forbids {action}, whatever other policies allow. "
        f"It is a policy {_POLICIES[found[2]]} to exempt this identity."
    )


def is_before_history(text: str) -> bool:
    """Whether AWS refuses the days because they are older than what it keeps."""
    return _is_before_history(text.lower()) is not None


def clock_problem(text: str, date: str) -> str | None:
    """Return how wrong the clock is, empty if that is unknown; None if the clock is not the reason.

    ``date`` is the header of the response.
    """
    seconds = seconds_ahead(date, datetime.now(tz=UTC))
    if seconds is None or abs(seconds) < _CLOCK_TOLERANCE_SECONDS:
        if not _is_about_time(text.lower()):
            return None
        seconds = _seconds_ahead_by(text)
    if not seconds:
        return ""
    order = "ahead of" if seconds > 0 else "behind"
    return f"This machine's clock is {_span(abs(seconds))} {order} AWS's."


def seconds_ahead(date: str, now: datetime) -> float | None:
    """Return by how many seconds ``now`` is ahead of a Date header; None if it cannot be read."""
    try:
        theirs = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return None
    return (now - (theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC))).total_seconds()


def _seconds_ahead_by(text: str) -> float | None:
    try:
        instants = [datetime.strptime(each, "%Y%m%dT%H%M%S%z") for each in _instants_in(text)]
    except ValueError:
        return None
    return (instants[0] - instants[-1]).total_seconds() if instants else None


def _span(seconds: float) -> str:
    if seconds < _TWO_MINUTES:
        return f"{seconds:.0f} seconds"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} minutes"
