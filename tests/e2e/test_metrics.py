"""Metrics on a real Pushgateway: pushed however the run ends, and never the reason why it fails."""

import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from costbatch.application.jobs import retry
from costbatch.errors import ErrorKind
from costbatch.simulator.world import Fault
from tests.support.harness import Finished, Harness, make_account

ONE, TWO = "100000000001", "100000000002"
BROKEN = (Fault("not_enabled"),)
OF_THE_PUSH = {"job", "instance", "group"}

Metrics = dict[tuple[str, ...], float]


def pushed(url: str) -> Metrics:
    """Return what the gateway holds of ours: name and label values to value."""
    text = requests.get(f"{url}/metrics", timeout=5).text
    return {
        (
            sample.name.removeprefix("costbatch_"),
            *(value for name, value in sorted(sample.labels.items()) if name not in OF_THE_PUSH),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("costbatch_")
    }


@pytest.fixture
def hanging_url() -> Iterator[str]:
    """Return the URL of a gateway that takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def closed_url() -> str:
    """Return the URL of a gateway that is not there."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_promise_9_metrics_tell_what_the_summary_tells(harness: Harness, gateway_url: str) -> None:
    """Promise 9: accounts, failures, requests, price, rows and anomalies are those of the summary."""
    harness.open(make_account(1, currency="EUR"), make_account(2, faults=BROKEN), make_account(3))
    run = harness.collect(PUSHGATEWAY_URL=gateway_url).summary["run"]
    metrics = pushed(gateway_url)
    outcomes = {name: number for name, number in run["accounts"].items() if name != "total"}
    assert {name: metrics["accounts", name] for name in outcomes} == outcomes
    assert sum(outcomes.values()) == run["accounts"]["total"] == 3
    kinds = {kind.value: metrics["account_failures", kind.value] for kind in ErrorKind}
    assert {kind: count for kind, count in kinds.items() if count} == run["failures"]
    assert metrics["api_requests",] == run["api"]["requests"]
    assert metrics["api_cost_usd",] == float(run["api"]["cost_usd"])
    assert metrics["rows_fetched",] == run["rows"]["fetched"]
    assert metrics["rows_written", "inserted"] == run["rows"]["inserted"]
    total = harness.value(
        "SELECT sum(unblended) FROM daily_costs WHERE usage_date = '2025-03-11' AND currency = 'EUR'"
    )
    assert metrics["account_cost", ONE, "EUR"] == pytest.approx(float(total))
    assert ("account_cost", TWO, "USD") not in metrics


@pytest.mark.parametrize(
    ("faults", "args", "status", "succeeded"),
    [
        ((), (), 0, 1),
        (BROKEN, (), 0, 1),
        (BROKEN, ("--fail-on", "partial"), 3, 0),
    ],
    ids=["success", "partial", "partial that fails"],
)
def test_a_run_that_ends_pushes_whether_it_succeeded(
    harness: Harness,
    gateway_url: str,
    faults: tuple[Fault, ...],
    args: tuple[str, ...],
    status: int,
    succeeded: int,
) -> None:
    """What counts as a success is what --fail-on says; only a success moves the last success."""
    harness.open(make_account(1), make_account(2, faults=faults))
    assert harness.collect(*args, PUSHGATEWAY_URL=gateway_url).status == status
    metrics = pushed(gateway_url)
    assert metrics["last_run_succeeded",] == succeeded
    assert (("last_success_timestamp_seconds",) in metrics) == bool(succeeded)
    assert 0 <= harness.now().timestamp() - metrics["last_run_timestamp_seconds",] < 60


def test_a_total_failure_is_pushed_and_leaves_the_last_success(harness: Harness, gateway_url: str) -> None:
    """The next night fails: the counts are new, the last success is still that of the night before."""
    harness.open(make_account(1), make_account(2))
    harness.collect(PUSHGATEWAY_URL=gateway_url)
    before = pushed(gateway_url)["last_success_timestamp_seconds",]
    harness.wake_at(harness.now() + timedelta(days=1))
    for each in harness.ids:
        harness.aws.add_fault(each, "data_unavailable")
    assert harness.collect(PUSHGATEWAY_URL=gateway_url).status == 1
    metrics = pushed(gateway_url)
    assert metrics["last_success_timestamp_seconds",] == before
    assert metrics["last_run_timestamp_seconds",] - before == pytest.approx(86_400, abs=60)
    assert (metrics["account_failures", "data_unavailable"], metrics["last_run_succeeded",]) == (2, 0)


def test_an_unreachable_database_is_pushed(
    harness: Harness, gateway_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no run to tell of, it is told that there was none."""
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 1.0)
    url = closed_url().replace("http://", "postgresql://costbatch@") + "/costs"
    assert harness.collect(PUSHGATEWAY_URL=gateway_url, DATABASE_URL=url).status == 1
    metrics = pushed(gateway_url)
    assert metrics["last_run_succeeded",] == 0
    assert ("last_success_timestamp_seconds",) not in metrics
    assert not any(name == "accounts" for name, *_ in metrics)


def test_wrong_usage_leaves_what_the_last_run_told(harness: Harness, gateway_url: str) -> None:
    """A mistyped date by hand has no effect: it is no failed night, and takes no account's cost away."""
    harness.open(make_account(1))
    harness.collect(PUSHGATEWAY_URL=gateway_url)
    before = pushed(gateway_url)
    assert harness.collect("--date", "2099-01-01", PUSHGATEWAY_URL=gateway_url).status == 2
    assert pushed(gateway_url) == before


def test_the_metrics_of_accounts_can_be_switched_off(harness: Harness, gateway_url: str) -> None:
    """One series for each account is more than some Prometheus wants."""
    harness.open(make_account(1))
    harness.collect(PUSHGATEWAY_URL=gateway_url, COSTBATCH_ACCOUNT_METRICS="false")
    assert not any(name == "account_cost" for name, *_ in pushed(gateway_url))


def test_a_dry_run_pushes_nothing(harness: Harness, gateway_url: str) -> None:
    """A plan is no run."""
    harness.open(make_account(1))
    assert harness.collect("--dry-run", PUSHGATEWAY_URL=gateway_url).status == 0
    assert pushed(gateway_url) == {}


def lost(harness: Harness, url: str, *faults: Fault) -> Finished:
    """Collect with a gateway that does not take metrics, and check that it was said."""
    harness.open(make_account(1, faults=faults))
    run = harness.collect(PUSHGATEWAY_URL=url, COSTBATCH_PUSH_TIMEOUT_SECONDS="0.3")
    (warning,) = run.logs("metrics_not_pushed")
    assert warning["level"] == "warning"
    assert "Traceback" not in run.stderr
    return run


@pytest.mark.parametrize(("faults", "status"), [((), 0), (BROKEN, 1)])
def test_an_absent_gateway_never_changes_the_exit_status(
    harness: Harness, faults: tuple[Fault, ...], status: int
) -> None:
    """Metrics that are lost are a warning, beside whatever the run came to."""
    assert lost(harness, closed_url(), *faults).status == status


@pytest.mark.parametrize(("faults", "status"), [((), 0), (BROKEN, 1)])
def test_a_hanging_gateway_never_changes_the_exit_status(
    harness: Harness, hanging_url: str, faults: tuple[Fault, ...], status: int
) -> None:
    """It is given its time-out and no more."""
    before = harness.now()
    assert lost(harness, hanging_url, *faults).status == status
    assert harness.now() - before < timedelta(seconds=20)


def test_a_gateway_that_refuses_never_changes_the_exit_status(harness: Harness, gateway_url: str) -> None:
    """A wrong path is a 404, and a warning."""
    run = lost(harness, f"{gateway_url}/nowhere")
    assert (run.status, "404" in run.logs("metrics_not_pushed")[0]["reason"]) == (0, True)


def test_a_lost_database_and_a_lost_gateway_are_one_sentence_and_one_warning(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason for the exit status is not hidden by the second trouble."""
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 1.0)
    url = closed_url()
    database = url.replace("http://", "postgresql://costbatch@") + "/costs"
    run = harness.collect(PUSHGATEWAY_URL=url, DATABASE_URL=database)
    assert (run.status, len(run.logs("metrics_not_pushed"))) == (1, 1)
    assert [sentence[:34] for sentence in run.sentences] == ["The database cannot be reached or "]
