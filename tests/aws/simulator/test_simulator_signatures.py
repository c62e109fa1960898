"""Signature Version 4 is recomputed, and what does not fit is refused as AWS refuses it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from costbatch.simulator.signatures import HttpRequest, canonical_request, signing_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from costbatch.simulator.world import Account
    from tests.aws.simulator.conftest import Lab


def code_of(raw: Any) -> str:
    """Read the code of a JSON error."""
    return str(raw.json()["__type"])


def test_the_signing_key_is_the_documented_one() -> None:
    """The derivation gives the key of AWS's published example."""
    key = signing_key(
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", region="us-east-1", service="iam"
    )
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


def test_the_canonical_request_is_botocores() -> None:
    """Query order and header spaces are normalised as botocore does it."""
    request = AWSRequest(
        "GET", "http://host/a/b?b=2&a=1&empty", headers={"Host": "host", "X-Amz-Date": "a   b"}
    )
    expected = SigV4Auth(Credentials("k", "s"), "ce", "us-east-1").canonical_request(request)
    ours = HttpRequest("GET", "/a/b", "b=2&a=1&empty", {"host": "host", "x-amz-date": "a   b"}, b"")
    assert canonical_request(ours, "host;x-amz-date", expected.rsplit("\n", 1)[1]) == expected


def test_a_good_signature_is_accepted(lab: Lab, account: Account, ask_for: Any) -> None:
    """A request signed by botocore is answered."""
    assert lab.send(lab.sign(account, ask_for())).status == 200


@pytest.mark.parametrize("region", ["eu-west-1", "cn-northwest-1"])
def test_the_region_of_the_scope_is_part_of_the_signature(lab: Lab, account: Account, region: str) -> None:
    """STS has an endpoint in each: behind an endpoint URL botocore signs with the client's own."""
    client = lab.aws("sts", account, region_name=region)
    assert client.get_caller_identity()["Account"] == account.account_id


def test_a_tampered_body_is_refused(lab: Lab, account: Account, ask_for: Any) -> None:
    """The payload hash is part of the signature."""
    request = lab.sign(account, ask_for())
    body: Any = request.data
    request.data = body.replace(b"DAILY", b"DAILy")
    assert code_of(lab.send(request)) == "InvalidSignatureException"


def test_a_false_payload_hash_is_refused(lab: Lab, account: Account, ask_for: Any) -> None:
    """A claimed payload hash must be that of the body."""
    request = lab.sign(account, ask_for())
    request.headers["X-Amz-Content-SHA256"] = "0" * 64
    assert code_of(lab.send(request)) == "InvalidSignatureException"


def test_an_unsigned_payload_is_accepted(lab: Lab, account: Account, ask_for: Any) -> None:
    """UNSIGNED-PAYLOAD takes the place of the hash when it is what was signed."""
    request = lab.sign(account, ask_for())
    request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    SigV4Auth(Credentials(account.access_key_id, account.secret_access_key), "ce", "us-east-1").add_auth(
        request
    )
    assert lab.send(request).status == 200


def test_a_changed_signed_header_is_refused(lab: Lab, account: Account, ask_for: Any) -> None:
    """Signed headers are part of the signature."""
    request = lab.sign(account, ask_for())
    request.headers.replace_header("X-Amz-Target", "AWSInsightsIndexService.GetDimensionValues")
    assert code_of(lab.send(request)) == "InvalidSignatureException"


@pytest.mark.parametrize(
    ("service", "code"), [("sts", "SignatureDoesNotMatch"), ("ce", "InvalidSignatureException")]
)
def test_a_wrong_secret_is_refused(lab: Lab, account: Account, service: str, code: str) -> None:
    """A signature by another secret carries each service's own code."""
    wrong = replace(account, secret_access_key="wrong")
    status = 403 if service == "sts" else 400
    assert refusal(lab, service, wrong) == (code, status)


@pytest.mark.parametrize(
    ("service", "code"), [("sts", "InvalidClientTokenId"), ("ce", "UnrecognizedClientException")]
)
def test_an_unknown_key_is_refused(lab: Lab, account: Account, service: str, code: str) -> None:
    """A key that nobody has carries each service's own code."""
    unknown = replace(account, access_key_id="AKIAAAAAAAAAAAAAAAAA")
    status = 403 if service == "sts" else 400
    assert refusal(lab, service, unknown) == (code, status)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_clock_that_is_off_by_more_than_5_minutes_is_refused(
    lab: Lab, account: Account, minutes: int
) -> None:
    """Old and early requests are refused, whatever their signature."""
    lab.clock.offset = timedelta(minutes=minutes)
    assert refusal(lab, "sts", account) == ("SignatureDoesNotMatch", 403)
    assert refusal(lab, "ce", account) == ("InvalidSignatureException", 400)


@pytest.mark.parametrize("minutes", [-4, 4])
def test_a_clock_that_is_off_by_less_is_accepted(lab: Lab, account: Account, minutes: int) -> None:
    """The tolerated skew is 5 minutes."""
    lab.clock.offset = timedelta(minutes=minutes)
    assert lab.aws("sts", account).get_caller_identity()["Account"] == account.account_id


def test_a_request_without_a_signature_is_refused(lab: Lab, account: Account, ask_for: Any) -> None:
    """No Authorization header is MissingAuthenticationToken."""
    request = lab.sign(account, ask_for())
    del request.headers["Authorization"]
    assert code_of(lab.send(request)) == "MissingAuthenticationTokenException"
    del request.headers["X-Amz-Target"]
    request.data = b"Action=GetCallerIdentity"
    raw = lab.send(request)
    assert (raw.status, b"<Code>MissingAuthenticationToken</Code>" in raw.body) == (403, True)


@pytest.mark.parametrize("header", ["Bearer abc", "AWS4-HMAC-SHA256 Credential=a/b/c"])
def test_a_malformed_authorization_is_incomplete(lab: Lab, account: Account, header: str) -> None:
    """An Authorization header of another form is IncompleteSignature."""
    request = lab.sign(account, {})
    request.headers.replace_header("Authorization", header)
    assert code_of(lab.send(request)) == "IncompleteSignatureException"


@pytest.mark.parametrize("value", [None, "yesterday"])
def test_a_missing_or_malformed_date_is_incomplete(lab: Lab, account: Account, value: str | None) -> None:
    """X-Amz-Date must be there in ISO 8601 basic format."""
    request = lab.sign(account, {})
    del request.headers["X-Amz-Date"]
    if value is not None:
        request.headers["X-Amz-Date"] = value
    assert code_of(lab.send(request)) == "IncompleteSignatureException"


def test_the_scope_must_be_of_the_same_day(lab: Lab, account: Account) -> None:
    """The credential scope's date is that of X-Amz-Date."""
    request = lab.sign(account, {})
    header = request.headers["Authorization"]
    request.headers.replace_header("Authorization", header.replace("/20", "/19", 1))
    assert "Date in Credential scope" in lab.send(request).json()["Message"]


def test_the_scope_must_be_of_the_same_service(lab: Lab, account: Account, ask_for: Any) -> None:
    """A request to Cost Explorer must be signed for Cost Explorer."""
    raw = lab.send(lab.sign(account, ask_for(), service="sts"))
    assert raw.json()["Message"] == "Credential should be scoped to correct service: 'ce'."


@pytest.mark.parametrize("service", ["ce", "organizations", "sts"])
def test_the_scope_must_be_of_a_region_of_the_service(
    lab: Lab, account: Account, ask_for: Any, service: str
) -> None:
    """Cost Explorer and Organizations have one endpoint in a partition, STS one in each region."""
    lab.load(account, management_account_id=account.account_id)
    calls: dict[str, Callable[[Any], Any]] = {
        "ce": lambda client: client.get_cost_and_usage(**ask_for()),
        "organizations": lambda client: client.describe_organization(),
        "sts": lambda client: client.get_caller_identity(),
    }
    for region in ("us-east-1", "cn-northwest-1", "us-gov-west-1"):
        assert calls[service](lab.aws(service, account, region_name=region))
    wrong = "xx-nowhere-1" if service == "sts" else "eu-west-1"
    with pytest.raises(ClientError, match=f"scoped to a valid region, not '{wrong}'") as caught:
        calls[service](lab.aws(service, account, region_name=wrong))
    code = "SignatureDoesNotMatch" if service == "sts" else "InvalidSignatureException"
    assert caught.value.response["Error"]["Code"] == code


def test_the_target_must_be_signed(lab: Lab, account: Account, ask_for: Any) -> None:
    """A target header outside the signature could be exchanged, so it is refused."""
    request = lab.sign(account, ask_for())
    header = request.headers["Authorization"].replace(";x-amz-target", "")
    request.headers.replace_header("Authorization", header)
    assert "must be a 'SignedHeader'" in lab.send(request).json()["Message"]


def test_a_session_token_must_belong_to_the_key(lab: Lab, account: Account) -> None:
    """A token beside a user's permanent key is refused."""
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        lab.aws("sts", account, aws_session_token="stolen").get_caller_identity()


def refusal(lab: Lab, service: str, account: Account) -> tuple[str, int]:
    """Ask for something and return the code and the status of the refusal."""
    call = lab.aws("sts", account).get_caller_identity if service == "sts" else partial(lab.ask, account)
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]
