"""The lean way to ask for costs: to AWS and to us it is botocore's, only cheaper."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from botocore import xform_name

from costbatch.adapters.aws.clients import AwsClients, AwsSettings, signing_as
from costbatch.adapters.aws.errors import call_aws
from costbatch.adapters.aws.operations import (
    COST_EXPLORER,
    GET_COST_AND_USAGE,
    GET_RESOURCES,
    LIST_RESOURCES,
    Operation,
)
from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys, Secret
from costbatch.errors import AccountError, ErrorKind
from tests.support.recorder import GOOD, LOST, THROTTLED, Asked, Recorder, recording
from tests.support.web_servers import certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from costbatch.adapters.aws.rate_limiter import LimitedRequest, RateLimiter

__all__ = ["certificate"]

QUERY: dict[str, Any] = {
    "Filter": {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": ["100000000001"]}},
    "TimePeriod": {"Start": "2024-03-01", "End": "2024-03-04"},
    "Granularity": "DAILY",
    "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
    "Metrics": ("UnblendedCost", "UsageQuantity"),
}
KEYS = AccessKeys(access_key_id=Secret("AKIAPLANTED"), secret_access_key=Secret("a-secret"))
SESSION = AccessKeys(
    access_key_id=Secret("ASIAPLANTED"), secret_access_key=Secret("a-secret"), session_token=Secret("a-token")
)
# What differs between any two requests of botocore.
VARYING = {"amz-sdk-invocation-id", "authorization", "x-amz-date"}


def make_clients(**settings: Any) -> AwsClients:
    """Return clients with short timeouts and one connection."""
    usual = {"connect_timeout_seconds": 2.0, "read_timeout_seconds": 2.0, "max_attempts": 3, "concurrency": 1}
    return AwsClients(AwsSettings(version="1.2.3", **{**usual, **settings}))


def ask(clients: AwsClients, keys: AccessKeys = KEYS) -> bytes | None:
    """Ask the lean way; raise what a fetch would."""
    return call_aws(
        "GetCostAndUsage",
        lambda: clients.requests(GET_COST_AND_USAGE, Partition.AWS).send(QUERY, keys, Meter(ApiBudget())),
    )


def ask_botocore(clients: AwsClients, keys: AccessKeys) -> None:
    """Ask as any user of botocore does."""
    with signing_as(keys):
        clients.get(COST_EXPLORER, Partition.AWS).get_cost_and_usage(**QUERY)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Point botocore to a server that remembers."""
    with recording() as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.url)
        yield found


def signed_names(asked: Asked) -> tuple[str, str]:
    """Return whose credentials in which scope signed which headers."""
    credential, names, _signature = asked.headers["authorization"].split(", ")
    return credential, names


@pytest.mark.parametrize("keys", [KEYS, SESSION], ids=["keys", "session"])
@pytest.mark.parametrize("path", ["", "/prefix/of-a-gateway"])
def test_the_request_is_the_one_that_botocore_makes(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder, keys: AccessKeys, path: str
) -> None:
    """Byte for byte, but for what differs between any two; the signatures are proven by the local AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", recorder.url + path)
    clients = make_clients()
    assert ask(clients, keys) == json.dumps(GOOD[1]).encode()
    ask_botocore(clients, keys)
    ours, botocores = recorder.asked
    assert (ours.target, ours.body) == (botocores.target, botocores.body)
    assert ours.headers.keys() == botocores.headers.keys()
    for name in ours.headers.keys() - VARYING:
        assert ours.headers[name] == botocores.headers[name], name
    assert signed_names(ours) == signed_names(botocores)
    assert ours.headers["amz-sdk-invocation-id"] != botocores.headers["amz-sdk-invocation-id"]


@pytest.mark.parametrize(
    ("operation", "query"),
    [
        (GET_RESOURCES, {"ResourcesPerPage": 100}),
        (GET_RESOURCES, {"ResourcesPerPage": 100, "PaginationToken": "t"}),
        (LIST_RESOURCES, {"ViewArn": "arn:aws:…", "MaxResults": 1000, "NextToken": "t"}),
    ],
)
def test_so_are_the_requests_of_discovery(
    recorder: Recorder, operation: Operation, query: dict[str, Any]
) -> None:
    """In the region that is asked, which the signature names."""
    clients = make_clients()
    assert clients.requests(operation, Partition.AWS, "eu-west-3").send(query, KEYS)
    with signing_as(KEYS):
        getattr(clients.get(operation.service, Partition.AWS, "eu-west-3"), xform_name(operation.name))(
            **query
        )
    ours, botocores = recorder.asked
    assert (ours.target, json.loads(ours.body)) == (botocores.target, json.loads(botocores.body))
    for name in ours.headers.keys() - VARYING - {"content-length"}:
        assert ours.headers[name] == botocores.headers[name], name
    assert signed_names(ours) == signed_names(botocores)
    assert "/eu-west-3/" in ours.headers["authorization"]


def test_both_kinds_of_attempt_share_their_connections(recorder: Recorder) -> None:
    """They go through one pool: with one connection in it, all have the same."""
    recorder.answers = [GOOD, THROTTLED, THROTTLED, GOOD, GOOD]
    clients = make_clients()
    for _ in range(3):
        ask(clients)
    assert len(recorder.asked) == 5
    assert len({asked.port for asked in recorder.asked}) == 1


def test_a_second_attempt_says_that_it_is_one(recorder: Recorder) -> None:
    """The first one was made by us, and botocore counts it."""
    recorder.answers = [THROTTLED]
    ask(make_clients())
    first, second = (asked.headers["amz-sdk-request"] for asked in recorder.asked)
    assert first == "attempt=1; max=3"
    assert second.endswith("attempt=2; max=3")


@pytest.mark.parametrize(
    ("answer", "attempts", "kind"),
    [
        (THROTTLED, 3, ErrorKind.THROTTLED),
        ((503, {}), 3, ErrorKind.TIMEOUT),
        ((429, {}), 3, ErrorKind.THROTTLED),
        ((400, {"__type": "DataUnavailableException"}), 1, ErrorKind.DATA_UNAVAILABLE),
        ((403, {"__type": "AccessDeniedException"}), 1, ErrorKind.ACCESS_DENIED),
    ],
)
def test_what_is_tried_again_is_botocores_to_decide(
    recorder: Recorder, answer: tuple[int, dict[str, Any]], attempts: int, kind: ErrorKind
) -> None:
    """As often as its setting says, our own attempt included."""
    recorder.answers = [answer] * 3
    with pytest.raises(AccountError) as caught:
        ask(make_clients())
    assert caught.value.kind is kind
    assert len(recorder.asked) == attempts


def test_a_connection_that_is_lost_is_made_again(recorder: Recorder) -> None:
    """Our attempt ended without an answer; botocore makes the next one."""
    recorder.answers = [LOST]
    assert ask(make_clients()) is not None
    assert len({asked.port for asked in recorder.asked}) == len(recorder.asked) == 2


@dataclass
class Notes:
    """What a limiter was asked and told, in order, and about which turns."""

    events: list[str] = field(default_factory=list)
    requests: set[int] = field(default_factory=set)

    def of(self, limiter: RateLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
        """Listen to a limiter."""
        for name in ("wait", "succeeded", "throttled"):
            monkeypatch.setattr(limiter, name, self._listener(name))

    def _listener(self, name: str) -> Callable[..., None]:
        def listen(request: LimitedRequest, **details: bool) -> None:
            self.events.append(f"{name}, the last one" if details.get("is_last") else name)
            self.requests.add(id(request))

        return listen


@pytest.mark.parametrize(
    ("answers", "events"),
    [
        ([GOOD], ["wait", "succeeded"]),
        ([THROTTLED, GOOD], ["wait", "throttled", "wait", "succeeded"]),
        ([LOST, GOOD], ["wait", "wait", "succeeded"]),
        ([(400, {"__type": "DataUnavailableException"})], ["wait"]),
        ([THROTTLED] * 3, ["wait", "throttled"] * 2 + ["wait", "throttled, the last one"]),
    ],
)
def test_the_limiter_hears_of_each_attempt_once(
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[tuple[int, dict[str, Any]]],
    events: list[str],
) -> None:
    """Whoever made it: one turn for all of them, a wait before each, and what is to be learnt after it."""
    clients, notes = make_clients(), Notes()
    notes.of(clients.limiter(COST_EXPLORER, Partition.AWS), monkeypatch)
    recorder.answers = list(answers)
    with suppress(AccountError):
        ask(clients)
    assert notes.events == events
    assert len(notes.requests) == 1


def test_an_address_that_nobody_serves_is_tried_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer at all is an outcome like any other."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    clients, notes = make_clients(), Notes()
    notes.of(clients.limiter(COST_EXPLORER, Partition.AWS), monkeypatch)
    with pytest.raises(AccountError, match="EndpointConnectionError") as caught:
        ask(clients)
    assert caught.value.kind is ErrorKind.TIMEOUT
    assert notes.events == ["wait"] * 3


def test_a_large_answer_arrives_whole(recorder: Recorder) -> None:
    """However often it has to be read."""
    large = {"ResultsByTime": [], "Padding": "x" * 9_000_000}
    recorder.answers = [(200, large)]
    assert ask(make_clients()) == json.dumps(large).encode()


def test_an_answer_without_content_is_no_body(recorder: Recorder) -> None:
    """Neither an error nor a good answer."""
    recorder.answers = [(204, {})]
    assert ask(make_clients()) is None


def test_both_kinds_of_attempt_go_through_the_proxy(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is the proxy's to know, and the password is for the proxy alone."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://costs.invalid")
    monkeypatch.setenv("HTTP_PROXY", recorder.url.replace("//", "//user:planted@"))
    recorder.answers = [THROTTLED]
    ask(make_clients())
    assert [asked.target for asked in recorder.asked] == ["http://costs.invalid/"] * 2
    assert len({asked.headers["proxy-authorization"] for asked in recorder.asked}) == 1


def test_the_certificates_of_aws_ca_bundle_are_trusted(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By both kinds of attempt; without them neither goes through."""
    with recording(certificate) as recorder:
        monkeypatch.setenv("AWS_ENDPOINT_URL", recorder.url)
        with pytest.raises(AccountError, match="SSLError"):
            ask(make_clients())
        assert recorder.asked == []
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        recorder.answers = [THROTTLED]
        assert ask(make_clients()) is not None
        assert len(recorder.asked) == 2


def test_making_a_client_asks_nobody(recorder: Recorder) -> None:
    """The request that serves as the pattern is never sent."""
    make_clients().requests(GET_COST_AND_USAGE, Partition.AWS)
    assert recorder.asked == []
