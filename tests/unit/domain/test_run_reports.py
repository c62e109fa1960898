"""The report of a run, and the plan of one: every number that is reported."""

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from typing_extensions import override

from costbatch.domain.collect_report import AnomalyView, Collection, CollectReport
from costbatch.domain.collection import CollectionRecord, CollectOptions
from costbatch.domain.costs import StoredChange
from costbatch.domain.deliveries import Backlog
from costbatch.domain.discovery import DiscoverOptions
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.metrics import ACCOUNTS
from costbatch.domain.periods import DateRange
from costbatch.domain.plans import CollectionPlan, PlannedCollection
from costbatch.domain.resources import SourceChoice
from costbatch.domain.runs import Failure, ItemRecord, ItemState, RunRequest, RunStatus, SkipReason
from costbatch.errors import ErrorKind
from tests.support.factories import NOW, TODAY, day, days, make_account, make_anomaly, make_run
from tests.support.fake_runs import FakeCollections, counts_of

RECORD = CollectionRecord(
    window=days(100, 135),
    rows_fetched=700,
    change=StoredChange(inserted=20, updated=3, deleted=1, changed_dates=frozenset({day(134)})),
)
GOOD = ItemRecord(
    id=1,
    aws_account_id="000000000001",
    name="one",
    state=ItemState.SUCCEEDED,
    attempts=2,
    api_requests=3,
    duration_seconds=1.25,
)
THROTTLED = ItemRecord(
    id=2,
    aws_account_id="000000000002",
    name="two",
    state=ItemState.FAILED,
    attempts=3,
    api_requests=3,
    failure=Failure(kind=ErrorKind.THROTTLED, message="Too many."),
)
SKIPPED = ItemRecord(
    id=3,
    aws_account_id="000000000003",
    name="three",
    state=ItemState.SKIPPED,
    skip_reason=SkipReason.API_COST_CAP,
)
PENDING = ItemRecord(
    id=4,
    aws_account_id="000000000004",
    name="four",
    state=ItemState.PENDING,
    attempts=1,
    api_requests=1,
    failure=Failure(kind=ErrorKind.TIMEOUT, message="Once."),
)
ITEMS = (GOOD, replace(GOOD, id=5, aws_account_id="000000000005"), THROTTLED, SKIPPED, PENDING)
RECORDS = {1: RECORD, 5: RECORD}
REPORT = CollectReport(
    run=make_run(status=RunStatus.PARTIAL, finished_at=NOW + timedelta(seconds=90.12345)),
    counts=counts_of(ITEMS),
    collected=FakeCollections(RECORDS).counts(make_run()),
    collections=tuple(Collection(item=item, record=RECORDS.get(item.id)) for item in ITEMS),
    reported_at=NOW + timedelta(hours=1),
    event_counts={"anomaly.detected": 2, "anomaly.resolved": 1, "account.failed": 1},
    anomaly_counts={
        ("open", "low", "USD"): 3,
        ("open", "high", "EUR"): 1,
        ("resolved", "high", "USD"): 40,
        ("acknowledged", "low", "USD"): 1,
        ("silent", "low", "USD"): 2,
    },
    open_anomalies=(
        AnomalyView(
            anomaly=make_anomaly(),
            aws_account_id="000000000001",
            account_name="one",
            trend=(SeriesDay(day(40), Decimal("200.5")),),
            is_new=True,
        ),
    ),
    costs=(("000000000001", "USD", Decimal("12.5")),),
    backlog={"log": Backlog(pending=5)},
)


def test_the_summary_sums_up_every_account() -> None:
    """Accounts by outcome, rows, requests and their price, anomalies of the run and in all."""
    summary = REPORT.summary
    assert summary["accounts"] == {
        "total": 5,
        "collected": 2,
        "failed": 1,
        "skipped": 1,
        "not_active": 0,
        "unfinished": 1,
    }
    assert summary["rows"] == {"fetched": 1400, "inserted": 40, "updated": 6, "deleted": 2}
    assert summary["api"] == {"requests": 10, "cost_usd": "0.10"}
    assert summary["anomalies"] == {
        "detected": 2,
        "updated": 0,
        "resolved": 1,
        "open": 4,
        "acknowledged": 1,
        "silent": 2,
    }


def test_an_account_that_was_paused_meanwhile_is_not_one_that_the_cap_left_out() -> None:
    """Each account has one outcome, also in the metric, so that the alert is about the cap alone."""
    paused = replace(SKIPPED, id=6, skip_reason=SkipReason.NOT_ACTIVE)
    report = replace(REPORT, counts=counts_of((*ITEMS, paused)))
    counts = {"collected": 2, "failed": 1, "skipped": 1, "not_active": 1, "unfinished": 1}
    assert report.summary["accounts"] == {"total": 6, **counts}
    samples = [sample for sample in report.samples() if sample.metric is ACCOUNTS]
    assert {sample.labels: sample.value for sample in samples} == {(name,): n for name, n in counts.items()}


def test_an_account_that_waits_for_another_attempt_has_not_failed() -> None:
    """Only failures that stand are counted by kind."""
    assert REPORT.summary["failures"] == {"throttled": 1}


def test_the_summary_says_which_run_it_was_and_how_it_went() -> None:
    """Its id, key and status, the day it was about, and how long it took."""
    told = {name: REPORT.summary[name] for name in ("id", "key", "status", "cost_date", "duration_seconds")}
    assert told == {
        "id": "00000000-0000-0000-0000-000000000007",
        "key": "job-7",
        "status": "partial",
        "cost_date": "2025-06-19",
        "duration_seconds": 90.123,
    }
    assert REPORT.summary["is_restricted"] is False
    assert REPORT.summary["started_at"] == "2025-06-20T06:30:00Z"
    assert REPORT.summary["finished_at"] == "2025-06-20T06:31:30.123450Z"


@pytest.mark.parametrize(
    "asked",
    [
        CollectOptions().to_request(("000000000001",)),
        CollectOptions(days=DateRange(date(2025, 1, 1), date(2025, 2, 1))).to_request(),
        CollectOptions(accept_vanished=True).to_request(),
        DiscoverOptions(source=SourceChoice.TAGGING).to_request(),
    ],
)
def test_what_no_night_asks_for_is_restricted(asked: RunRequest) -> None:
    """A backfill is no more a night than a run of one account: the metrics say the same."""
    assert replace(REPORT, run=replace(REPORT.run, request=asked)).summary["is_restricted"] is True


def test_a_run_that_goes_on_lasts_until_now() -> None:
    """Without an end the duration is up to the report."""
    running = replace(REPORT, run=make_run())
    assert running.duration_seconds == 3600
    assert running.summary["finished_at"] is None


def test_the_day_of_a_run_is_the_newest_that_it_read() -> None:
    """Yesterday, or the last day of a backfill."""
    assert REPORT.cost_date == TODAY - timedelta(days=1)
    backfill = make_run(request=CollectOptions(days=days(10, 20)).to_request())
    assert replace(REPORT, run=backfill).cost_date == day(19)


def test_the_document_is_json_and_has_one_entry_for_each_account() -> None:
    """Nothing needs a special encoder; amounts are strings."""
    document = json.loads(json.dumps(REPORT.to_document()))
    assert document["run"] == REPORT.summary
    assert [account["aws_account_id"][-1] for account in document["accounts"]] == list("15234")
    assert document["events"] == {
        "written": {"anomaly.detected": 2, "anomaly.resolved": 1, "account.failed": 1},
        "pending": 5,
        "dead": 0,
    }


def test_a_collected_account_tells_what_was_read_and_what_changed() -> None:
    """Window, days, rows, requests with their price, attempts and time."""
    collected = REPORT.to_document()["accounts"][0]
    assert collected == {
        "aws_account_id": "000000000001",
        "name": "one",
        "state": "collected",
        "attempts": 2,
        "window": {"start": "2025-04-11", "end_exclusive": "2025-05-16"},
        "days": 35,
        "rows": {"fetched": 700, "inserted": 20, "updated": 3, "deleted": 1},
        "days_kept": 0,
        "api": {"requests": 3, "cost_usd": "0.03"},
        "api_requests_unanswered": 0,
        "error": None,
        "skip_reason": None,
        "duration_seconds": 1.25,
    }


def test_an_account_that_was_not_collected_tells_why() -> None:
    """The kind and the sentence of a failure, the reason of an omission, and no window."""
    _, _, failed, skipped, _ = REPORT.to_document()["accounts"]
    assert failed["error"] == {"kind": "throttled", "message": "Too many."}
    assert (failed["window"], failed["days"]) == (None, 0)
    assert (skipped["error"], skipped["skip_reason"]) == (None, "api_cost_cap")


def test_an_open_anomaly_comes_with_its_account_and_its_trend() -> None:
    """Enough for a reader who has nothing else."""
    (view,) = REPORT.to_document()["open_anomalies"]
    assert view["aws_account_id"] == "000000000001"
    assert view["account_name"] == "one"
    assert view["is_new"] is True
    assert view["impact"] == "100.00"
    assert view["trend"] == [{"date": "2025-02-10", "amount": "200.5"}]


def test_every_request_costs_a_cent() -> None:
    """The price of an account is exact."""
    assert Collection(item=replace(GOOD, api_requests=7)).api_cost_usd == Decimal("0.07")


def test_a_plan_tells_what_would_be_read_and_paid() -> None:
    """The sum of the requests and its price, and each account's window, JSON-ready."""
    plan = CollectionPlan(
        today=TODAY,
        collections=(
            PlannedCollection(account=make_account(1), window=days(0, 35), api_requests=1),
            PlannedCollection(account=make_account(2), window=days(30, 35), api_requests=12),
        ),
    )
    assert plan.api_cost_usd == Decimal("0.13")
    document = json.loads(json.dumps(plan.to_document()))
    assert document["today"] == "2025-06-20"
    assert document["api"] == {"requests": 13, "cost_usd": "0.13"}
    assert document["accounts"][1] == {
        "aws_account_id": "000000000002",
        "name": "account-2",
        "window": {"start": "2025-01-31", "end_exclusive": "2025-02-05"},
        "api": {"requests": 12},
        "is_least": False,
    }


def test_a_job_cannot_take_the_name_of_a_number_that_every_run_has() -> None:
    """Whoever writes a second job learns it from its first test, and no status is lost in silence."""

    class GreedyReport(CollectReport):
        @override
        def job_summary(self) -> dict[str, Any]:
            return {"status": "fine", "id": 7, "keys": 1}

    report = GreedyReport(run=make_run(), counts=counts_of(ITEMS), reported_at=NOW)
    with pytest.raises(ValueError, match=r"names what every run has: id, status$"):
        _ = report.summary
