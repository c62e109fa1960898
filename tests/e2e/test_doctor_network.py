"""The probes of the network, on real servers: Pushgateways, the local AWS, TLS, proxies and silence."""

import time
from pathlib import Path

import pytest

from costbatch.adapters.aws.clients import AwsClients, AwsSettings
from costbatch.adapters.aws.probe import BotocoreProbe
from costbatch.adapters.pushgateway import GatewayProbe
from costbatch.application.doctor.ports import Endpoint
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import Secret
from costbatch.errors import AccountError, DeliveryError, ErrorKind
from costbatch.simulator.world import Account
from tests.support.harness import Harness, make_account
from tests.support.pushgateway import PASSWORD
from tests.support.web_servers import Answering


def ask_gateway(url: str, *, timeout_seconds: float = 5.0) -> str:
    """Return why the gateway is not ready; empty where it is."""
    try:
        GatewayProbe(Secret(url), timeout_seconds=timeout_seconds).check_ready()
    except DeliveryError as error:
        return str(error)
    return ""


def probe(*, timeout_seconds: float = 2.0) -> BotocoreProbe:
    """Return a probe of AWS with short timeouts."""
    settings = AwsSettings(
        version="0",
        connect_timeout_seconds=timeout_seconds,
        read_timeout_seconds=timeout_seconds,
        max_attempts=1,
    )
    return BotocoreProbe(AwsClients(settings))


def ask_aws(monkeypatch: pytest.MonkeyPatch, url: str, **options: float) -> Endpoint:
    """Return how Cost Explorer answers at an address."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    _, found = probe(**options).endpoints(Partition.AWS)
    return found


def test_a_real_pushgateway_is_ready(gateway_url: str) -> None:
    """Without credentials, and whatever credentials are given where none are asked for."""
    assert ask_gateway(gateway_url) == ""
    assert ask_gateway(gateway_url.replace("//", "//me:planted@")) == ""


def test_a_real_pushgateway_wants_its_password(guarded_gateway: str) -> None:
    """The right one is accepted; a wrong one and none are told, and never shown."""
    assert ask_gateway(f"http://me:{PASSWORD}@{guarded_gateway}") == ""
    for user in ("me:planted-wrong@", ""):
        assert ask_gateway(f"http://{user}{guarded_gateway}") == (
            f"The Pushgateway at http://{guarded_gateway} answered 401 Unauthorized. "
            "Check the user and the password in PUSHGATEWAY_URL."
        )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (301, "answered 301 Moved Permanently. Redirects are not followed"),
        (404, "answered 404 Not Found for /-/ready. Check that PUSHGATEWAY_URL is a Pushgateway's"),
        (503, "answered 503 Service Unavailable, so it is not ready. See its log"),
        (599, "answered 599, so it is not ready."),
    ],
)
def test_a_gateway_that_is_not_ready_says_why(answering: Answering, status: int, words: str) -> None:
    """Each refusal with what to do; a redirect is not followed."""
    answering.status, answering.headers = status, {"Location": f"{answering.url}/elsewhere"}
    assert words in ask_gateway(f"{answering.url}/prefix")
    assert answering.requests == [("/prefix/-/ready", "")]


def test_a_gateway_that_nobody_serves_cannot_be_reached(closed_port: int) -> None:
    """The sentence names the address, without the password."""
    said = ask_gateway(f"http://me:planted@127.0.0.1:{closed_port}")
    assert said.startswith(f"The Pushgateway at http://127.0.0.1:{closed_port} cannot be reached: ")
    assert "planted" not in said


def test_a_silent_gateway_ends_after_the_timeout(silent_port: int) -> None:
    """It took the connection and never answered."""
    began = time.monotonic()
    assert "did not answer within 0.2 seconds" in ask_gateway(
        f"http://127.0.0.1:{silent_port}", timeout_seconds=0.2
    )
    assert time.monotonic() - began < 3


def test_the_local_aws_answers_in_plain_http_for_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any answer counts, because the request is not signed; nothing is paid."""
    found = ask_aws(monkeypatch, harness.aws.url)
    assert (found.address, found.is_encrypted, found.problem) == (harness.aws.url, False, "")
    assert found.http_status
    assert harness.aws.paid() == 0


def test_the_addresses_are_those_that_botocore_would_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """By partition; one service may be pointed elsewhere by its own variable."""
    monkeypatch.setattr("costbatch.adapters.aws.probe._is_known", lambda _: False)
    assert [each.address for each in probe().endpoints(Partition.CHINA)] == [
        "https://sts.cn-northwest-1.amazonaws.com.cn",
        "https://ce.cn-northwest-1.amazonaws.com.cn",
    ]
    monkeypatch.setenv("AWS_ENDPOINT_URL_COST_EXPLORER", "http://user:planted@127.0.0.1:9/prefix")
    assert [each.address for each in probe().endpoints(Partition.AWS)] == [
        "https://sts.us-east-1.amazonaws.com",
        "http://127.0.0.1:9",
    ]


def test_a_name_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the hint at DNS, which network policies forget."""
    found = ask_aws(monkeypatch, "http://aws.invalid:80")
    assert found.problem == "has a name that does not resolve here"
    assert "port 53" in found.advice


def test_a_certificate_that_nobody_trusts_is_told(
    answering_over_tls: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy that breaks TLS open."""
    found = ask_aws(monkeypatch, answering_over_tls.url)
    assert found.problem == "has a certificate that is not trusted here"
    assert "AWS_CA_BUNDLE" in found.advice


def test_a_certificate_in_aws_ca_bundle_is_trusted(
    answering_over_tls: Answering, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As botocore trusts it in a collection."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    found = ask_aws(monkeypatch, answering_over_tls.url)
    assert (found.problem, found.http_status, found.is_encrypted) == ("", 200, True)


def test_an_address_that_nobody_serves_cannot_be_reached(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is refused."""
    assert ask_aws(monkeypatch, f"http://127.0.0.1:{closed_port}").problem == "cannot be reached"


def test_a_silent_address_is_told(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took the connection and never answered."""
    found = ask_aws(monkeypatch, f"http://127.0.0.1:{silent_port}", timeout_seconds=0.2)
    assert found.problem == "did not answer in time"


def test_a_proxy_is_used_and_named_without_its_password(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is the proxy's to know."""
    monkeypatch.setenv("HTTP_PROXY", answering.url.replace("//", "//user:planted@"))
    found = ask_aws(monkeypatch, "http://aws.invalid")
    assert (found.problem, found.http_status) == ("", 200)
    assert found.proxy == answering.url.removeprefix("http://")
    assert [path for path, _ in answering.requests] == ["http://aws.invalid/"] * 2


def test_a_proxy_that_is_down_is_told(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With where it is set."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:planted@127.0.0.1:{closed_port}")
    found = ask_aws(monkeypatch, "https://aws.invalid")
    assert found.problem == "cannot be reached"
    assert "HTTPS_PROXY" in found.advice
    assert "planted" not in str(found)


def be_pod(monkeypatch: pytest.MonkeyPatch, harness: Harness, account: Account) -> None:
    """Give this process an account's key as its own identity."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", harness.aws.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", account.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", account.secret_access_key)


def test_sts_says_who_the_pod_is(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its account and its ARN; nothing is paid."""
    account = make_account(1)
    harness.open(account)
    be_pod(monkeypatch, harness, account)
    caller = probe().pod(Partition.AWS)
    assert caller.aws_account_id == account.account_id
    assert caller.arn.startswith(f"arn:aws:iam::{account.account_id}:")
    assert harness.aws.paid() == 0


def test_a_pod_without_credentials_is_told(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 finds none."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", harness.aws.url)
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(AccountError, match="The pod has no AWS identity"):
        probe().pod(Partition.AWS)


def test_an_answer_of_sts_without_an_account_is_malformed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not shown."""
    account = make_account(1)
    harness.open(account)
    harness.aws.add_fault(
        account.account_id, "wrong_account", operation="GetCallerIdentity", reported_account_id="planted"
    )
    be_pod(monkeypatch, harness, account)
    with pytest.raises(AccountError) as caught:
        probe().pod(Partition.AWS)
    assert caught.value.kind is ErrorKind.MALFORMED_RESPONSE
    assert "planted" not in str(caught.value)
