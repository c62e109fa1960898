"""What a real Pushgateway holds after a push, and what promtool says of it."""

import platform
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from costbatch.adapters.pushgateway import Pushgateway
from costbatch.domain.collect_report import CollectReport
from costbatch.domain.collection import CollectionCounts
from costbatch.domain.credentials import Secret
from costbatch.domain.deliveries import Backlog
from costbatch.domain.runs import ItemRecord, ItemState
from costbatch.errors import DeliveryError
from tests.support.fake_runs import counts_of
from tests.support.metrics import OF_COLLECT
from tests.support.pushed_run import COLLECTED, DENIED, FORECAST, ONE, RECORD, TWO, partial_run

NOW = datetime(2025, 1, 15, 3, 30, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
RUN = partial_run(NOW)
ITEMS = (
    COLLECTED,
    DENIED,
    ItemRecord(id=3, aws_account_id="3" * 12, name="three", state=ItemState.SKIPPED),
    ItemRecord(id=4, aws_account_id="4" * 12, name="four", state=ItemState.PENDING),
)
REPORT = CollectReport(
    run=RUN,
    counts=counts_of(ITEMS),
    collected=CollectionCounts(rows_fetched=RECORD.rows_fetched, change=RECORD.change),
    reported_at=NOW,
    anomaly_counts={("open", "high", "USD"): 2},
    costs=((ONE, "USD", Decimal("12.345678")), (TWO, "JPY", Decimal(-7))),
    backlog={"log": Backlog(pending=6)},
    forecasts=(FORECAST,),
)


class Gateway:
    """The adapter under test, and what its Pushgateway holds."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.adapter = Pushgateway(Secret(url), job="collect", timeout_seconds=5, version="1.2.3")

    def exposition(self) -> str:
        """Return what Prometheus would scrape of ours."""
        lines = requests.get(f"{self.url}/metrics", timeout=5).text.splitlines(keepends=True)
        return "".join(line for line in lines if "costbatch_" in line)

    def values(self) -> dict[str, float]:
        """Return every value by name and labels, without the labels of the push itself."""
        return {
            sample.name.removeprefix("costbatch_") + "".join(f" {value}" for value in _own(sample.labels)): (
                sample.value
            )
            for family in text_string_to_metric_families(self.exposition())
            for sample in family.samples
        }


def _own(labels: dict[str, str]) -> list[str]:
    return [value for name, value in sorted(labels.items()) if name not in {"job", "instance", "group"}]


@pytest.fixture
def gateway(gateway_url: str) -> Gateway:
    """Return the adapter with a Pushgateway that holds nothing yet."""
    return Gateway(gateway_url)


def test_the_values_are_those_of_the_report(gateway: Gateway) -> None:
    """Each number arrives under its name, and the zeros of closed lists with them."""
    gateway.adapter.push(REPORT, succeeded=True, now=NOW)
    values = gateway.values()
    assert {name: value for name, value in values.items() if value} == {
        "last_success_timestamp_seconds": NOW.timestamp(),
        "last_run_timestamp_seconds": NOW.timestamp(),
        "last_report_timestamp_seconds": NOW.timestamp(),
        "last_run_succeeded": 1,
        f"build_info {platform.python_version()} 1.2.3": 1,
        "run_duration_seconds": 90,
        "cost_date_timestamp_seconds": datetime(2025, 1, 14, tzinfo=UTC).timestamp(),
        "accounts collected": 1,
        "accounts failed": 1,
        "accounts skipped": 1,
        "accounts unfinished": 1,
        "account_failures access_denied": 1,
        "api_requests": 3,
        "api_cost_usd": 0.03,
        "rows_fetched": 70,
        "rows_written inserted": 5,
        "rows_written updated": 4,
        "rows_written deleted": 3,
        "anomalies USD high open": 2,
        "events_pending log": 6,
        "month_cost_to_date USD": 140.5,
        "month_cost_forecast expected USD": 310.25,
        "month_cost_forecast lower USD": 300,
        "month_cost_forecast upper USD": 330,
        f"account_cost {ONE} USD": 12.345678,
        f"account_cost {TWO} JPY": -7,
    }
    assert values["account_failures throttled"] == 0
    assert values["anomalies USD low silent"] == 0


def test_promtool_has_nothing_to_say(gateway: Gateway, promtool: str) -> None:
    """Names, units, types and helps are as Prometheus wants them."""
    gateway.adapter.push(REPORT, succeeded=True, now=NOW)
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=gateway.exposition(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_gateway_shows_our_help_and_type(gateway: Gateway) -> None:
    """What is declared is what a person sees beside the graph."""
    gateway.adapter.push(REPORT, succeeded=True, now=NOW)
    exposition = gateway.exposition()
    for metric in OF_COLLECT:
        assert f"# HELP {metric.name} {metric.help}\n" in exposition
        assert f"# TYPE {metric.name} {metric.type}\n" in exposition


def test_a_failing_run_leaves_the_last_success(gateway: Gateway) -> None:
    """The age of the last success keeps growing until a run succeeds."""
    gateway.adapter.push(REPORT, succeeded=True, now=NOW)
    gateway.adapter.push(None, succeeded=False, now=LATER)
    values = gateway.values()
    assert values["last_success_timestamp_seconds"] == NOW.timestamp()
    assert values["last_run_timestamp_seconds"] == LATER.timestamp()
    assert values["last_run_succeeded"] == 0


def test_a_run_without_a_report_ends_no_alert(gateway: Gateway) -> None:
    """It knows nothing of anomalies, events and accounts: they stay as the last report told them."""
    gateway.adapter.push(REPORT, succeeded=True, now=NOW)
    before = gateway.values()
    gateway.adapter.push(None, succeeded=False, now=LATER)
    after = gateway.values()
    assert before["anomalies USD high open"] == 2
    assert after["last_report_timestamp_seconds"] == NOW.timestamp()
    assert {name for name in before.keys() | after if before.get(name) != after.get(name)} == {
        "last_run_timestamp_seconds",
        "last_run_succeeded",
    }


def test_accounts_that_left_vanish(gateway: Gateway) -> None:
    """The Pushgateway never forgets by itself, so a run replaces its whole group."""
    gateway.adapter.push(REPORT, succeeded=True, now=NOW)
    gateway.adapter.push(replace(REPORT, costs=REPORT.costs[:1]), succeeded=True, now=LATER)
    values = gateway.values()
    assert f"account_cost {ONE} USD" in values
    assert f"account_cost {TWO} JPY" not in values


def test_a_first_run_that_fails_has_no_last_success(gateway: Gateway) -> None:
    """There is none, which is not the year 1970."""
    gateway.adapter.push(None, succeeded=False, now=NOW)
    assert "last_success_timestamp_seconds" not in gateway.values()


def test_every_series_has_the_job_costbatch(gateway: Gateway) -> None:
    """One selector finds all, though the last success lives in a group of its own."""
    gateway.adapter.push(REPORT, succeeded=True, now=NOW)
    families = text_string_to_metric_families(gateway.exposition())
    assert {sample.labels["job"] for family in families for sample in family.samples} == {"costbatch"}


def test_what_the_gateway_refuses_is_told(gateway: Gateway) -> None:
    """A real refusal: the wrong path."""
    lost = Pushgateway(Secret(f"{gateway.url}/nowhere"), job="collect", timeout_seconds=5, version="1")
    with pytest.raises(DeliveryError, match="refused the metrics with 404 Not Found"):
        lost.push(REPORT, succeeded=True, now=NOW)
