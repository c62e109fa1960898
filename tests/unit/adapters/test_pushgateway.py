"""The push of a run's metrics: what is sent, and one sentence for each way in which it can fail."""

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from prometheus_client.parser import text_string_to_metric_families

from costbatch.adapters.pushgateway import Pushgateway
from costbatch.domain.answers import Standing
from costbatch.domain.collect_report import CollectReport
from costbatch.domain.credentials import Secret
from costbatch.domain.deliveries import Backlog
from costbatch.domain.detection import Severity
from costbatch.domain.runs import Failure, ItemRecord, ItemState, RunCounts
from costbatch.errors import DeliveryError, ErrorKind
from tests.support.fake_runs import counts_of
from tests.support.metrics import OF_COLLECT
from tests.support.pushed_run import FORECAST, partial_run

NOW = datetime(2025, 1, 15, 3, 30, tzinfo=UTC)
RUN = partial_run(NOW)
ITEMS = (
    ItemRecord(id=1, aws_account_id="1" * 12, name="one", state=ItemState.SUCCEEDED, api_requests=2),
    ItemRecord(
        id=2,
        aws_account_id="2" * 12,
        name="two",
        state=ItemState.FAILED,
        failure=Failure(kind=ErrorKind.THROTTLED, message="arn:aws:iam::222222222222:user/x"),
    ),
)
REPORT = CollectReport(
    run=RUN,
    counts=counts_of(ITEMS),
    reported_at=NOW,
    anomaly_counts={("open", "high", "USD"): 1, ("silent", "low", "EUR"): 2},
    costs=(("1" * 12, "USD", Decimal("12.34")),),
    backlog={"log": Backlog(pending=1)},
    forecasts=(FORECAST,),
)


@dataclass
class Receiver:
    """A gateway that answers with one status and remembers what it was sent."""

    url: str
    status: int = 200
    location: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    def names(self) -> set[str]:
        """Return the names of every metric that was sent."""
        return {family.name for body in self.bodies for family in text_string_to_metric_families(body)}

    def labels(self, name: str) -> set[tuple[str, ...]]:
        """Return the label values with which a metric was sent, in the order of the labels' names."""
        families = (family for body in self.bodies for family in text_string_to_metric_families(body))
        samples = (sample for family in families for sample in family.samples if sample.name == name)
        return {tuple(sample.labels.values()) for sample in samples}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Listen on a loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            taken.requests.append((self.command, self.path, self.headers.get("Authorization", "")))
            taken.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(taken.status)
            if taken.location:
                self.send_header("Location", taken.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT  # noqa: N815 - the server looks for these names

        def log_message(self, *args: object) -> None:
            """Keep the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        taken = Receiver(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield taken
        server.shutdown()


def _gateway(url: str, *, timeout_seconds: float = 5) -> Pushgateway:
    return Pushgateway(Secret(url), job="collect", timeout_seconds=timeout_seconds, version="1.2.3")


def _failure(url: str, *, timeout_seconds: float = 5) -> str:
    with pytest.raises(DeliveryError) as failure:
        _gateway(url, timeout_seconds=timeout_seconds).push(REPORT, succeeded=True, now=NOW)
    return str(failure.value)


def test_a_full_push_sends_every_declared_metric_and_no_other(receiver: Receiver) -> None:
    """It is the whole truth about what is pushed."""
    _gateway(receiver.url).push(REPORT, succeeded=True, now=NOW)
    assert receiver.names() == {metric.name for metric in OF_COLLECT}


def test_every_declared_metric_is_a_documented_gauge() -> None:
    """A batch pushes states; each has a prefix, a sentence of help, and is declared once."""
    assert len({metric.name for metric in OF_COLLECT}) == len(OF_COLLECT)
    for metric in OF_COLLECT:
        assert metric.type == "gauge"
        assert metric.name.startswith("costbatch_")
        assert metric.help.endswith(".")


def test_a_push_replaces_the_run_group_and_the_success_group(receiver: Receiver) -> None:
    """Both groups have the job costbatch and are replaced by PUT."""
    _gateway(receiver.url + "/prefix/").push(REPORT, succeeded=True, now=NOW)
    assert receiver.requests == [
        ("PUT", "/prefix/metrics/job/costbatch/group/last_success", ""),
        ("PUT", "/prefix/metrics/job/costbatch", ""),
    ]


def test_each_job_has_groups_of_its_own(receiver: Receiver) -> None:
    """A discovery replaces no metric of the costs, and no alert on them sees it."""
    gateway = Pushgateway(Secret(receiver.url), job="discover", timeout_seconds=5, version="1.2.3")
    gateway.push(None, succeeded=False, now=NOW)
    assert [path for _, path, _ in receiver.requests] == ["/metrics/job/costbatch-discover"]


def test_a_failed_run_leaves_the_last_success_alone(receiver: Receiver) -> None:
    """Only a success touches the group of the last success."""
    _gateway(receiver.url).push(REPORT, succeeded=False, now=NOW)
    assert [path for _, path, _ in receiver.requests] == ["/metrics/job/costbatch"]


def test_without_a_report_only_what_is_known_is_sent(receiver: Receiver) -> None:
    """A lost database must not look like zero accounts and zero requests."""
    _gateway(receiver.url).push(None, succeeded=False, now=NOW)
    assert receiver.names() == {
        "costbatch_last_run_timestamp_seconds",
        "costbatch_last_run_succeeded",
        "costbatch_build_info",
    }


def test_closed_lists_are_sent_whole(receiver: Receiver) -> None:
    """Alerts need the zero before the first one, so every value of a closed list is there."""
    _gateway(receiver.url).push(replace(REPORT, counts=RunCounts()), succeeded=True, now=NOW)
    assert receiver.labels("costbatch_account_failures") == {(kind.value,) for kind in ErrorKind}
    assert receiver.labels("costbatch_accounts") == {
        (outcome,) for outcome in ("collected", "failed", "skipped", "not_active", "unfinished")
    }
    assert receiver.labels("costbatch_rows_written") == {("inserted",), ("updated",), ("deleted",)}
    assert receiver.labels("costbatch_anomalies") == {
        (currency, severity.value, standing.value)
        for standing in Standing
        for severity in Severity
        for currency in ("EUR", "USD")
    }


def test_account_metrics_can_be_switched_off(receiver: Receiver) -> None:
    """One series per account is a choice."""
    _gateway(receiver.url).push(replace(REPORT, costs=()), succeeded=True, now=NOW)
    missing = {metric.name for metric in OF_COLLECT} - receiver.names()
    assert missing == {"costbatch_account_cost"}


def test_no_message_of_aws_is_sent(receiver: Receiver) -> None:
    """Only the kind of a failure becomes a label."""
    _gateway(receiver.url).push(REPORT, succeeded=True, now=NOW)
    assert "arn:" not in "".join(receiver.bodies)


def test_user_and_password_of_the_url_are_sent_as_basic_auth(receiver: Receiver) -> None:
    """The userinfo is unquoted, sent in the header, and nowhere else."""
    _gateway(receiver.url.replace("//", "//me:p%40ss@")).push(None, succeeded=False, now=NOW)
    assert receiver.requests == [("POST", "/metrics/job/costbatch", "Basic bWU6cEBzcw==")]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "400 Bad Request."),
        (401, "401 Unauthorized; check the user and the password in PUSHGATEWAY_URL."),
        (503, "503 Service Unavailable."),
        (599, "refused the metrics with 599."),
    ],
)
def test_a_refusal_is_one_sentence(receiver: Receiver, status: int, words: str) -> None:
    """4xx and 5xx name the status and the address, without the password."""
    receiver.status = status
    message = _failure(receiver.url.replace("//", "//me:hunter22@"))
    assert message.endswith(words)
    assert receiver.url in message
    assert "hunter22" not in message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    """The metrics and the password go to the configured address only, with a report and without one."""
    receiver.status, receiver.location = status, f"{receiver.url}/elsewhere"
    assert "redirects are not followed" in _failure(receiver.url)
    with pytest.raises(DeliveryError, match="redirects are not followed"):
        _gateway(receiver.url).push(None, succeeded=False, now=NOW)
    assert [method for method, _, _ in receiver.requests] == ["PUT", "POST"]


def test_a_hanging_gateway_ends_after_the_timeout() -> None:
    """A socket that accepts and never answers costs the timeout once, not once per group."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        message = _failure(f"http://me:hunter22@127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.3)
        assert time.monotonic() - began < 2
    assert message.endswith("did not answer within 0.3 seconds.")
    assert "hunter22" not in message


def test_a_gateway_that_hangs_up_is_a_delivery_error() -> None:
    """A connection closed without an answer is named as Python names it, not by what was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(b"hunter22 nonsense\r\n\r\n")
            connection.close()

        Thread(target=hang_up, daemon=True).start()
        message = _failure(f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert message.endswith("cannot be reached: BadStatusLine.")


def test_an_absent_gateway_is_a_delivery_error() -> None:
    """A closed port is reported in one sentence with the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    message = _failure(f"http://me:hunter22@{address}")
    assert message == f"The Pushgateway at http://{address} cannot be reached: Connection refused."
