"""What a run did, read from the database."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID

import pytest

from costbatch.application.collect.report import Detail, brief_report, full_report
from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Progress
from costbatch.domain.anomalies import AnomalyState, Resolution
from costbatch.domain.arrival import DayArrival
from costbatch.domain.collect_report import CollectReport
from costbatch.domain.collection import CollectionRecord, CollectOptions
from costbatch.domain.costs import StoredChange
from costbatch.domain.detection import Rule
from costbatch.domain.events import EventType, run_ended
from costbatch.domain.periods import DateRange
from costbatch.domain.routing import Route
from costbatch.domain.runs import Failure, ItemRecord, ItemState
from costbatch.errors import ErrorKind
from tests.support.factories import (
    NOW,
    TODAY,
    CostRow,
    day,
    make_account,
    make_anomaly,
    make_fetched,
    make_row,
    make_run,
)
from tests.support.fake_runs import Listed
from tests.support.fake_store import FakeTables

YESTERDAY = TODAY - timedelta(days=1)
FAILURE = Failure(kind=ErrorKind.THROTTLED, message="Too many.")


@pytest.fixture
def tables() -> FakeTables:
    """Return an account with forty days of two services, and a run that found one anomaly of yesterday."""
    tables, run = FakeTables(), make_run()
    tables.accounts.rows = {1: make_account()}
    tables.run_rows = {run.key: run}
    window = DateRange(TODAY - timedelta(days=40), TODAY)
    rows: list[CostRow] = []
    for usage_date in window:
        rows.append(make_row(usage_date, "10"))
        rows.append(make_row(usage_date, "5", service="Amazon EC2"))
        rows.append(make_row(usage_date, "-4", record_type="Credit"))
    fetched = make_fetched(window, *rows)
    tables.costs.replace_windows(run, {1: fetched})
    tables.progress.rows[1] = Progress(covered=window)
    tables.anomalies.save(make_anomaly(start_date=YESTERDAY, last_date=YESTERDAY), run_id=run.id, now=NOW)
    return tables


def report_of(tables: FakeTables, detail: Detail = Detail(costs=True)) -> CollectReport:  # noqa: B008 - frozen
    """Return everything about the run."""
    run = tables.run_rows["job-7"]
    return full_report(
        cast("Transaction", tables), run, detail, rule=Rule(), rule_of=lambda _: Rule(), now=NOW
    )


def list_accounts(tables: FakeTables, collected: int) -> None:
    """Let the run have this many accounts that were collected, and one that failed."""
    states = [ItemState.SUCCEEDED] * collected + [ItemState.FAILED]
    tables.items.listed = {
        row: Listed(
            row, ItemRecord(id=row, aws_account_id=f"{row:012}", name="", state=state, failure=FAILURE)
        )
        for row, state in enumerate(states, 1)
    }


def test_a_brief_report_counts(tables: FakeTables) -> None:
    """Events of this run, anomalies of all, and no reading of costs."""
    tables.outbox.append(
        [
            run_ended({"status": status}, run_id=UUID(int=n), run_key="", now=NOW)
            for n, status in ((7, "a"), (7, "b"), (8, "c"))
        ],
        [Route("log")],
        account_id=None,
        run_id=make_run().id,
    )
    report = brief_report(cast("Transaction", tables), make_run(), rule_of=lambda _: Rule(), now=NOW)
    assert report.event_counts == {EventType.RUN_COMPLETED: 3}
    assert report.anomaly_counts == {("open", "medium", "USD"): 1}
    assert (report.open_anomalies, report.costs) == ((), ())


def test_an_open_anomaly_comes_with_its_account_and_thirty_days(tables: FakeTables) -> None:
    """The trend is of the comparable cost, up to the newest day."""
    (view,) = report_of(tables).open_anomalies
    assert (view.aws_account_id, view.account_name, view.is_new) == ("000000000001", "account-1", True)
    assert [each.usage_date for each in view.trend] == list(DateRange(TODAY - timedelta(days=30), TODAY))
    assert {each.actual for each in view.trend} == {Decimal(15)}


def test_a_trend_reaches_to_the_last_day_of_its_anomaly(tables: FakeTables) -> None:
    """Also in the report of a backfill, whose newest day lies long before."""
    before = DateRange(TODAY - timedelta(days=90), TODAY - timedelta(days=80))
    tables.run_rows["job-7"] = make_run(request=CollectOptions(days=before).to_request())
    (view,) = report_of(tables).open_anomalies
    assert view.trend[-1].usage_date == YESTERDAY


def test_the_trend_of_a_service_is_its_own(tables: FakeTables) -> None:
    """Days without cost are zeros."""
    anomaly = make_anomaly(service="Amazon EC2", start_date=YESTERDAY, last_date=YESTERDAY)
    tables.anomalies.save(anomaly, run_id=UUID(int=9), now=NOW)
    for of_account in tables.costs.days.values():
        of_account.pop(YESTERDAY, None)
    (view,) = report_of(tables).open_anomalies
    assert [each.actual for each in view.trend] == [*[Decimal(5)] * 29, Decimal(0)]


def test_days_in_another_currency_are_zeros_in_a_trend(tables: FakeTables) -> None:
    """Yen have no place in a row of dollars."""
    tables.anomalies.rows = {
        each.id: replace(each, currency="JPY") for each in tables.anomalies.rows.values()
    }
    (view,) = report_of(tables).open_anomalies
    assert {each.actual for each in view.trend} == {Decimal(0)}


def test_an_anomaly_that_an_earlier_run_found_is_not_new(tables: FakeTables) -> None:
    """It is open and shown, without the mark."""
    tables.anomalies.found_by = dict.fromkeys(tables.anomalies.found_by, UUID(int=99))
    assert [view.is_new for view in report_of(tables).open_anomalies] == [False]


def test_only_open_anomalies_are_shown_the_largest_first(tables: FakeTables) -> None:
    """Fifty at most: a person reads the largest; a program is told of all."""
    for n in range(60):
        anomaly = make_anomaly(id=UUID(int=n), actual=Decimal(100 + 10 * n))
        tables.anomalies.save(anomaly, run_id=UUID(int=9), now=NOW)
    over = {"state": AnomalyState.RESOLVED, "resolution": Resolution.ENDED}
    gone = make_anomaly(id=UUID(int=70), actual=Decimal(10**6), **over)
    tables.anomalies.save(gone, run_id=UUID(int=9), now=NOW)
    shown = [view.anomaly.impact for view in report_of(tables).open_anomalies]
    assert shown == [Decimal(10 * n) for n in range(59, 9, -1)]
    told = report_of(tables, Detail(every_account=True)).open_anomalies
    assert [view.anomaly.impact for view in told[:50]] == shown
    assert {view.anomaly.id for view in told} == tables.anomalies.rows.keys() - {gone.id}


def test_the_cost_of_the_newest_day_is_comparable_cost(tables: FakeTables) -> None:
    """By account and currency, without credits; of a backfill, of its last day."""
    assert report_of(tables).costs == (("000000000001", "USD", Decimal(15)),)
    before = DateRange(TODAY - timedelta(days=90), TODAY - timedelta(days=80))
    tables.run_rows["job-7"] = make_run(request=CollectOptions(days=before).to_request())
    assert report_of(tables).costs == ()


def test_the_cost_of_single_accounts_is_summed_only_on_request(tables: FakeTables) -> None:
    """Only the metrics need it."""
    assert report_of(tables, Detail()).costs == ()


@pytest.mark.parametrize(("collected", "listed"), [(39, 40), (40, 1)])
def test_of_very_many_accounts_only_those_that_need_a_look_are_listed(
    tables: FakeTables, collected: int, listed: int
) -> None:
    """Forty fit a screen; the numbers are of all of them."""
    list_accounts(tables, collected)
    report = report_of(tables)
    assert len(report.collections) == listed
    assert report.collections[-1].item.state is ItemState.FAILED
    assert report.summary["accounts"]["total"] == collected + 1
    assert report.summary["failures"] == {"throttled": 1}


def test_an_account_whose_days_were_kept_needs_a_look(tables: FakeTables) -> None:
    """It is listed with what was recorded of it, however many accounts there are."""
    list_accounts(tables, 60)
    window = DateRange(TODAY - timedelta(days=35), TODAY)
    plain = CollectionRecord(window=window, rows_fetched=70, change=StoredChange())
    tables.collections.rows = dict.fromkeys(range(1, 61), plain) | {5: replace(plain, days_kept=3)}
    report = report_of(tables)
    assert [(each.item.id, each.record) for each in report.collections] == [
        (5, replace(plain, days_kept=3)),
        (61, None),
    ]
    assert report.summary["days_kept"] == 3


def test_a_program_is_told_of_every_account(tables: FakeTables) -> None:
    """However many there are."""
    list_accounts(tables, 60)
    assert len(report_of(tables, Detail(every_account=True)).collections) == 61


def test_an_incomplete_day_is_told_with_what_has_usually_arrived(tables: FakeTables) -> None:
    """Learned from the mornings of the accounts that the run collected; nothing before enough of them."""
    list_accounts(tables, 1)
    for of_account in tables.costs.days.values():
        for each, rows in of_account.items():
            of_account[each] = {key: row._replace(estimated=True) for key, row in rows.items()}
    summary = report_of(tables).cost_summary
    assert summary is not None
    assert (summary.incompleteness, summary.arrivals) == ("AWS is still adding cost to the last day", ())
    tables.ledger.seen = [
        DayArrival(f"{account:012}", "Amazon EC2", "USD", day(n), Decimal(100), (Decimal(share), None, None))
        for n in range(10)
        for account, share in ((1, 91), (7, 5))
    ]
    summary = report_of(tables).cost_summary
    assert summary is not None
    assert summary.incompleteness == (
        "AWS is still adding cost to the last day; about 91 % of a day has arrived after 24 hours"
    )
    assert summary.to_document()["arrivals"] == [
        {"currency": "USD", "days": 10, "percent_after_hours": {"24": "91", "48": None, "72": None}}
    ]


def test_the_month_is_forecast_in_total_if_it_is_asked_for(tables: FakeTables) -> None:
    """Fifteen a day of two services, without the credits; metrics ask for it, a person's report does not."""
    assert report_of(tables).forecasts == ()
    (found,) = report_of(tables, Detail(forecasts=True)).forecasts
    assert (found.aws_account_id, found.currency, found.expected) == ("", "USD", Decimal(30 * 15))
    assert found.month_to_date == Decimal(19 * 15)


def test_a_total_without_cost_is_a_forecast_too(tables: FakeTables) -> None:
    """A currency in which everything was free has its zeros."""
    window = DateRange(TODAY - timedelta(days=40), TODAY)
    rows = [make_row(usage_date, "0") for usage_date in window]
    tables.costs.replace_windows(make_run(), {1: make_fetched(window, *rows)})
    (found,) = report_of(tables, Detail(forecasts=True)).forecasts
    assert (found.currency, found.month_to_date, found.expected) == ("USD", Decimal(0), None)


@pytest.mark.parametrize("missed", [1, 5, 12])
@pytest.mark.parametrize("others", [True, False])
def test_days_that_were_not_collected_are_not_zeros_of_the_total(
    tables: FakeTables, missed: int, *, others: bool
) -> None:
    """An account that failed for some nights goes on as before; and so do all if every one did."""
    tables.accounts.rows[2] = make_account(2)
    until = TODAY - timedelta(days=missed)
    window = DateRange(TODAY - timedelta(days=40), until)
    tables.costs.replace_windows(
        make_run(), {2: make_fetched(window, *(make_row(usage_date, "100") for usage_date in window))}
    )
    ends = {1: TODAY, 2: until}
    if not others:
        del tables.costs.days[1]
        ends = {2: until}
    for row, end in ends.items():
        tables.progress.rows[row] = Progress(covered=DateRange(window.start, end))
    (found,) = report_of(tables, Detail(forecasts=True)).forecasts
    assert found.expected == Decimal(30 * (115 if others else 100))
    assert found.month_to_date == Decimal((19 * 15 if others else 0) + (20 - missed) * 100 - 100)
