"""Every failure of an AWS call has a kind, on purpose, and nothing of AWS's text."""

import botocore.session
import pytest
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from costbatch.adapters.aws.errors import KIND_OF_CODE, call_aws, translate
from costbatch.adapters.aws.pod_identity import PodIdentity
from costbatch.errors import AccountError, ErrorKind

SECRET_TEXT = "User: arn:aws:iam::123456789012:user/x with key AKIAPLANTED"


def client_error(code: object, *, message: str = SECRET_TEXT, status: int = 400) -> aws.ClientError:
    """Return the error that botocore raises for an error answer."""
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return aws.ClientError(answer, "GetCostAndUsage")  # type: ignore[arg-type] # codes can be anything


@pytest.mark.parametrize(
    "service", ["ce", "sts", "account", "resourcegroupstaggingapi", "resource-explorer-2"]
)
def test_every_error_of_botocores_service_models_is_mapped_on_purpose(service: str) -> None:
    """When AWS adds an error, somebody must decide which kind it is."""
    model = botocore.session.get_session().get_service_model(service)
    codes = {getattr(shape, "error_code", shape.name) for shape in model.error_shapes}
    assert codes - KIND_OF_CODE.keys() == set()


@pytest.mark.parametrize(("code", "kind"), KIND_OF_CODE.items())
def test_a_code_gives_its_kind_and_a_sentence_of_our_own(code: str, kind: ErrorKind) -> None:
    """A detail names the operation and the code, never AWS's message."""
    error = translate(client_error(code), "GetCostAndUsage")
    assert error.kind is kind
    assert error.detail == f"AWS answered GetCostAndUsage with {code}."


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("LimitExceededException", ErrorKind.THROTTLED),
        ("TooManyRequestsException", ErrorKind.THROTTLED),
        ("InvalidClientTokenId", ErrorKind.CREDENTIALS_REJECTED),
        ("SignatureDoesNotMatch", ErrorKind.CREDENTIALS_REJECTED),
        ("ExpiredTokenException", ErrorKind.CREDENTIALS_REJECTED),
        ("AccessDenied", ErrorKind.ACCESS_DENIED),
        ("BillingViewHealthStatusException", ErrorKind.DATA_UNAVAILABLE),
        ("InvalidNextTokenException", ErrorKind.INTERNAL),
    ],
)
def test_the_codes_that_matter_most_are_as_agreed(code: str, kind: ErrorKind) -> None:
    """They decide whether an account is tried again, and what its owner has to do."""
    assert KIND_OF_CODE[code] is kind


@pytest.mark.parametrize("code", ["BillExpirationException", "BillingViewHealthStatusException"])
def test_a_bill_that_cannot_be_read_is_not_told_as_a_new_account(code: str) -> None:
    """AWS answers so for accounts that are years old: only DataUnavailableException can mean a new one."""
    error = translate(client_error(code), "GetCostAndUsage")
    assert error.advice == "AWS cannot read the bill at the moment; the next run tries again."
    unavailable = translate(client_error("DataUnavailableException"), "GetCostAndUsage")
    assert unavailable.advice == ErrorKind.DATA_UNAVAILABLE.advice


@pytest.mark.parametrize("code", ["InvalidNextTokenException", "RequestChangedException"])
def test_a_stale_page_token_is_a_transient_failure(code: str) -> None:
    """The paging starts anew with the next attempt."""
    assert KIND_OF_CODE[code].is_transient


def test_cost_explorer_that_was_never_switched_on_is_told_apart() -> None:
    """AWS says it with access denied; what to do about it is something else."""
    error = client_error("AccessDeniedException", message="User not enabled for cost explorer access")
    assert translate(error, "X").kind is ErrorKind.COST_EXPLORER_NOT_ENABLED


@pytest.mark.parametrize(
    ("code", "status", "kind", "told"),
    [
        ("SomethingNew", 400, ErrorKind.INTERNAL, "with SomethingNew"),
        ("SomethingNew", 503, ErrorKind.TIMEOUT, "with SomethingNew"),
        ("SomethingNew", 429, ErrorKind.THROTTLED, "with SomethingNew"),
        ("502", 502, ErrorKind.TIMEOUT, "HTTP status 502 and no error code"),
        ("407", 407, ErrorKind.TIMEOUT, "HTTP status 407"),
        ("408", 408, ErrorKind.TIMEOUT, "HTTP status 408"),
        ("429", 429, ErrorKind.THROTTLED, "HTTP status 429"),
        ("301", 301, ErrorKind.MALFORMED_RESPONSE, "HTTP status 301"),
        ("arn:aws:iam::1:user/AKIAPLANTED", 400, ErrorKind.MALFORMED_RESPONSE, "HTTP status 400"),
        ({"AKIAPLANTED": 1}, 400, ErrorKind.MALFORMED_RESPONSE, "HTTP status 400"),
    ],
)
def test_an_unknown_code_is_judged_by_the_http_status(
    code: object, status: int, kind: ErrorKind, told: str
) -> None:
    """Proxies and load balancers answer without AWS's codes; what is no code is not repeated."""
    error = translate(client_error(code, status=status), "GetCostAndUsage")
    assert error.kind is kind
    assert told in error.detail
    assert "AKIA" not in str(error)


def test_an_answer_without_an_error_is_malformed() -> None:
    """Even an error answer may lack everything."""
    error = translate(aws.ClientError({}, "X"), "X")
    assert error.kind is ErrorKind.MALFORMED_RESPONSE


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aws.ConnectTimeoutError(endpoint_url=SECRET_TEXT), ErrorKind.TIMEOUT),
        (aws.ReadTimeoutError(endpoint_url=SECRET_TEXT), ErrorKind.TIMEOUT),
        (aws.EndpointConnectionError(endpoint_url=SECRET_TEXT), ErrorKind.TIMEOUT),
        (aws.ConnectionClosedError(endpoint_url=SECRET_TEXT), ErrorKind.TIMEOUT),
        (aws.ProxyConnectionError(proxy_url=SECRET_TEXT), ErrorKind.TIMEOUT),
        (aws.SSLError(endpoint_url=SECRET_TEXT, error=OSError(SECRET_TEXT)), ErrorKind.TIMEOUT),
        (aws.HTTPClientError(error=SECRET_TEXT), ErrorKind.TIMEOUT),
        (aws.MetadataRetrievalError(error_msg=SECRET_TEXT), ErrorKind.TIMEOUT),
        (aws.NoCredentialsError(), ErrorKind.POD_IDENTITY_MISSING),
        (aws.PartialCredentialsError(provider="env", cred_var=SECRET_TEXT), ErrorKind.POD_IDENTITY_MISSING),
        (aws.CredentialRetrievalError(provider="x", error_msg=SECRET_TEXT), ErrorKind.POD_IDENTITY_MISSING),
        (aws.IncompleteReadError(actual_bytes=1, expected_bytes=2), ErrorKind.MALFORMED_RESPONSE),
        (ResponseParserError(SECRET_TEXT), ErrorKind.MALFORMED_RESPONSE),
        (UnicodeDecodeError("utf-8", b"AKIAPLANTED", 0, 1, "x"), ErrorKind.MALFORMED_RESPONSE),
        (RecursionError(SECRET_TEXT), ErrorKind.MALFORMED_RESPONSE),
        (aws.ParamValidationError(report=SECRET_TEXT), ErrorKind.INTERNAL),
        (aws.NoRegionError(), ErrorKind.INTERNAL),
        (FileNotFoundError(SECRET_TEXT), ErrorKind.INTERNAL),
    ],
    ids=lambda value: type(value).__name__,
)
def test_botocores_own_errors_have_a_kind(error: Exception, kind: ErrorKind) -> None:
    """What never became an answer is told by the name of the exception only, with nothing chained."""

    def call() -> None:
        raise error

    with pytest.raises(AccountError) as caught:
        call_aws("GetCostAndUsage", call)
    assert caught.value.kind is kind
    assert caught.value.detail == f"GetCostAndUsage failed: {type(error).__name__}."
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_our_own_errors_pass_through() -> None:
    """An AccountError from within a call is already the right one."""
    ours = AccountError(ErrorKind.INTERNAL, "Ours.")

    def call() -> None:
        raise ours

    with pytest.raises(AccountError) as caught:
        call_aws("X", call)
    assert caught.value is ours


def test_the_pods_identity_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding no identity takes seconds; a thousand accounts must not each wait for it."""
    looked = []

    class NoSession:
        def get_credentials(self) -> None:
            looked.append(1)

    monkeypatch.setattr("boto3.Session", NoSession)
    pod = PodIdentity()
    for _ in range(3):
        with pytest.raises(AccountError, match="no AWS identity"):
            pod.access_keys()
    assert looked == [1]
