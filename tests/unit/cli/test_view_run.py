"""The picture of a run: complete and readable at every width, safe with any name, loud when it must be."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console

from costbatch.cli.views.collect import print_plan
from costbatch.cli.views.page import duration
from costbatch.domain.accounts import AccessMethod, Account, AccountStatus
from costbatch.domain.collect_report import Collection
from costbatch.domain.deliveries import Backlog
from costbatch.domain.money import money
from costbatch.domain.periods import DateRange
from costbatch.domain.plans import CollectionPlan, PlannedCollection
from costbatch.domain.plural import many
from costbatch.domain.runs import ItemState, RunStatus, SkipReason
from costbatch.errors import ErrorKind
from tests.unit.cli.reports import (
    TODAY,
    account_id,
    collected,
    failed,
    line_with,
    make_report,
    printed_run,
    skipped,
    unfinished,
    unfolded,
)


@pytest.mark.parametrize(
    ("status", "collections", "words"),
    [
        (RunStatus.COMPLETED, [collected()], "COLLECTED 1 account"),
        (RunStatus.COMPLETED, [], "NOTHING TO DO: there are no accounts to collect"),
        (RunStatus.COMPLETED, [collected(), skipped(2, SkipReason.NOT_ACTIVE)], "COLLECTED 1 account"),
        (
            RunStatus.COMPLETED,
            [skipped(2, SkipReason.NOT_ACTIVE)],
            "NOTHING TO DO: there are no accounts to collect",
        ),
        (RunStatus.PARTIAL, [collected(), failed(2)], "PARTIAL: 1 of 2 accounts NOT COLLECTED"),
        (
            RunStatus.PARTIAL,
            [collected(), failed(2), skipped(3, SkipReason.NOT_ACTIVE)],
            "PARTIAL: 1 of 2 accounts NOT COLLECTED",
        ),
        (RunStatus.FAILED, [failed(1), failed(2)], "FAILED: 0 of 2 accounts collected"),
        (
            RunStatus.FAILED,
            [failed(1), skipped(2, SkipReason.NOT_ACTIVE)],
            "FAILED: 0 of 1 account collected",
        ),
        (
            RunStatus.STOPPED,
            [collected(), unfinished(2)],
            "STOPPED: 1 of 2 accounts not finished",
        ),
        (
            RunStatus.RUNNING,
            [unfinished(2, ItemState.RUNNING)],
            "STILL RUNNING in another process: 1 of 1 account not finished",
        ),
    ],
)
def test_the_headline_says_how_the_run_ended(
    status: RunStatus, collections: Sequence[Collection], words: str
) -> None:
    """Status in words; what is wrong stands at the top and once more at the bottom."""
    printed = printed_run(make_report(collections, status))
    assert printed.splitlines()[0].strip() == words
    assert printed.count(words) == (1 if status is RunStatus.COMPLETED else 2)
    assert ", run nightly-42, took 1 min 35 s" in printed


def test_the_last_line_counts_the_reasons() -> None:
    """The most frequent first: of many accounts the log may keep no more than this line."""
    failures = [failed(1, ErrorKind.ACCESS_DENIED), failed(2), failed(3)]
    printed = printed_run(
        make_report([collected(5), *failures, skipped(4, SkipReason.API_COST_CAP)], RunStatus.PARTIAL)
    )
    assert printed.splitlines()[-1].strip() == (
        "PARTIAL: 4 of 5 accounts NOT COLLECTED (2 throttled, 1 access_denied, 1 api_cost_cap)"
    )


def test_an_account_that_was_paused_meanwhile_is_counted_apart() -> None:
    """It is no reason for how the run ended, and the numbers of the last line add up."""
    collections = [collected(), failed(2), skipped(3, SkipReason.NOT_ACTIVE)]
    printed = printed_run(make_report(collections, RunStatus.PARTIAL))
    assert printed.splitlines()[-1].strip() == "PARTIAL: 1 of 2 accounts NOT COLLECTED (1 throttled)"
    assert "Accounts   1 collected, 1 failed, 1 not active" in printed
    unlisted = printed_run(make_report([collected(4), *collections], RunStatus.PARTIAL, listed=collections))
    assert "1 account collected and not listed." in unlisted


def test_a_collected_account_is_one_row() -> None:
    """Id, name, outcome, days, rows fetched and written, requests, price, seconds."""
    line = line_with(account_id(1), printed_run(make_report([collected()])))
    assert line.split() == [
        account_id(1), "account-1", "collected", "45", "1,234", "67", "2", "0.02", "3.2",
    ]  # fmt: skip


def test_what_was_not_measured_is_a_dash() -> None:
    """A failed account has no rows, which is not the same as zero rows."""
    line = line_with(account_id(1), printed_run(make_report([failed(1)], RunStatus.FAILED)))
    assert line.split() == [account_id(1), "account-1", "failed", "-", "-", "-", "1", "0.01", "-"]


def test_a_failure_is_explained_once_with_all_its_accounts() -> None:
    """The kind, the accounts and the sentence that says what to do."""
    failures = [failed(2), failed(3), failed(4, ErrorKind.ACCESS_DENIED)]
    printed = unfolded(printed_run(make_report([collected(), *failures], RunStatus.PARTIAL), 80))
    assert "failed: throttled (2 accounts)" in printed
    assert f"{account_id(2)} account-2, {account_id(3)} account-3" in printed
    assert printed.count(ErrorKind.THROTTLED.advice) == 1
    assert "failed: access_denied (1 account)" in printed
    assert ErrorKind.ACCESS_DENIED.advice in printed


@pytest.mark.parametrize("reason", SkipReason)
def test_every_reason_to_skip_is_explained(reason: SkipReason) -> None:
    """Nobody has to look up what a skipped account means."""
    printed = printed_run(make_report([collected(), skipped(2, reason)], RunStatus.PARTIAL))
    assert f"skipped: {reason.value} (1 account)\n  {account_id(2)} account-2\n  " in printed


def test_accounts_that_the_report_does_not_list_are_a_count() -> None:
    """Of very many accounts it lists those that need a look."""
    collections = [*(collected(number) for number in range(1, 60)), failed(60)]
    printed = printed_run(make_report(collections, RunStatus.PARTIAL, listed=[failed(60)]))
    assert "59 accounts collected and not listed." in printed
    assert account_id(60) in printed
    assert account_id(1) not in printed


def test_many_accounts_that_are_all_collected_need_no_table() -> None:
    """A perfect night of a large company is a few lines."""
    printed = printed_run(make_report([collected(number) for number in range(500)], listed=[]))
    assert "500 accounts collected and not listed." in printed
    assert len(printed.splitlines()) < 12


def test_the_totals_summarize_the_run_in_numbers() -> None:
    """Accounts by outcome, rows, requests with their price, anomalies, and what is undelivered."""
    report = make_report(
        [collected(1), collected(2), failed(3)],
        RunStatus.PARTIAL,
        anomaly_counts={("open", "high", "USD"): 2, ("resolved", "low", "USD"): 9},
        event_counts={"anomaly.detected": 1, "anomaly.resolved": 3},
        backlog={"log": Backlog(pending=4)},
    )
    printed = printed_run(report, 80)
    assert "Accounts   2 collected, 1 failed" in printed
    assert "Rows       2,468 fetched, 134 written (120 new, 10 restated, 4 deleted)" in printed
    assert "API        5 requests, 0.05 USD" in printed
    assert "Anomalies  2 open (1 detected, 0 updated, 3 resolved)" in printed
    assert "Events     4 not delivered yet" in printed


def test_a_plan_says_what_a_run_would_read_and_cost() -> None:
    """Every account with its days and requests, the price, and that nothing happened."""
    stream = StringIO()
    accounts = [
        Account(
            id=number,
            aws_account_id=account_id(number),
            name=f"[b]{number}",
            status=AccountStatus.ACTIVE,
            access=AccessMethod.ACCESS_KEYS,
        )
        for number in (1, 2)
    ]
    window = DateRange(date(2024, 12, 1), TODAY)
    planned = (PlannedCollection(account=account, window=window, api_requests=3) for account in accounts)
    print_plan(
        CollectionPlan(today=TODAY, collections=tuple(planned)),
        Console(file=stream, width=80, force_terminal=True, color_system=None, _environ={}),
    )
    printed = stream.getvalue()
    assert printed.startswith(
        "Dry run: would collect 2 accounts in 6 requests (0.06 USD).\nNo requests were made"
    )
    assert line_with(account_id(2), printed).split() == [
        account_id(2), "[b]2", "2024-12-01", "2025-01-14", "45", "3",
    ]  # fmt: skip


def test_a_plan_without_accounts_says_so() -> None:
    """An empty table explains nothing."""
    stream = StringIO()
    print_plan(CollectionPlan(today=TODAY, collections=()), Console(file=stream, width=80, _environ={}))
    assert stream.getvalue() == "Nothing to collect: there are no active accounts.\n"


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        ("1234567.005", "USD", "1,234,567.00 USD"),
        ("-0.001", "USD", "0.00 USD"),
        ("-12.3", "EUR", "-12.30 EUR"),
        ("1234567.4", "JPY", "1,234,567 JPY"),
    ],
)
def test_money_reads_as_its_currency_is_written(value: str, currency: str, text: str) -> None:
    """Thousands separators, cents if the currency has them, and no negative zero."""
    assert money(Decimal(value), currency) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (185, "3 min 05 s"), (7199.7, "2 h 00 min")],
)
def test_a_duration_reads_at_its_size(seconds: float, text: str) -> None:
    """Seconds, then minutes, then hours; 60.0 s does not exist."""
    assert duration(seconds) == text


def test_one_is_not_plural() -> None:
    """1 account, 2 accounts, 1,000 accounts."""
    assert [many(number, "account") for number in (1, 0, 1000)] == [
        "1 account",
        "0 accounts",
        "1,000 accounts",
    ]
