"""The run against fakes: which accounts are claimed, saved, tried again, released or skipped."""

from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from costbatch.domain.accounts import AccountStatus
from costbatch.domain.answers import Answer, AnswerKind
from costbatch.domain.collection import CollectOptions
from costbatch.domain.periods import ONE_DAY, DateRange, earliest_available, utc_day
from costbatch.domain.runs import (
    ItemState,
    RunStatus,
    SkipReason,
)
from costbatch.errors import AccountError, ConfigError, ErrorKind
from tests.support.factories import NOW, TODAY, make_account, make_row
from tests.support.run_harness import POLICY, RunHarness, harness_with

THROTTLED = AccountError(ErrorKind.THROTTLED, "Again.")
DENIED = AccountError(ErrorKind.ACCESS_DENIED, "No.")


@pytest.fixture
def harness() -> RunHarness:
    """Return a harness with four accounts."""
    return harness_with(1, 2, 3, 4)


def test_every_account_is_collected_once(harness: RunHarness) -> None:
    """Fetched over its window, saved, displayed, and the run's event written."""
    run = harness.collect()
    assert run.status is RunStatus.COMPLETED
    assert sorted(row for row, _ in harness.source.fetched) == [1, 2, 3, 4]
    assert harness.states == ["succeeded"] * 4
    assert harness.event_types == ["run.completed"]
    assert (harness.display.total, harness.display.ended) == (4, 1)
    assert sorted(harness.display.outcomes) == [("succeeded", row) for row in range(1, 5)]
    assert run.today == TODAY
    lines = [*harness.logged("run_started"), *harness.logged("account_finished")]
    assert {(line["run_key"], line["run_id"]) for line in lines} == {("job", str(run.id))}
    assert [line["accounts"] for line in harness.logged("run_started")] == [4]
    assert harness.logged("run_finished_before") == []


def test_room_is_made_for_every_month_that_can_come(harness: RunHarness) -> None:
    """From the first month of AWS's history to this one's end."""
    harness.collect()
    assert harness.store.tables.costs.prepared == [
        DateRange(TODAY.replace(year=2024, month=5, day=1), TODAY.replace(month=7, day=1))
    ]


def test_only_an_account_that_was_never_collected_is_a_first_collection(harness: RunHarness) -> None:
    """Source and store get to know which ones: there is nothing to compare them with."""
    harness.collect(key="one")
    assert harness.source.first == harness.store.tables.costs.first == {1, 2, 3, 4}
    harness.source.first.clear()
    harness.store.tables.costs.first.clear()
    harness.store.tables.accounts.rows[5] = make_account(5)
    harness.collect(key="two")
    assert harness.source.first == harness.store.tables.costs.first == {5}


def test_no_accounts_at_all_is_a_completed_run(harness: RunHarness) -> None:
    """Nothing to do is no failure."""
    harness.store.tables.accounts.rows.clear()
    assert harness.collect().status is RunStatus.COMPLETED
    assert harness.source.fetched == []


def test_one_that_fails_leaves_the_others_alone(harness: RunHarness) -> None:
    """Partial failure, reported with its account."""
    harness.source.answers = {2: [DENIED]}
    assert harness.collect().status is RunStatus.PARTIAL
    assert harness.states == ["succeeded", "failed", "succeeded", "succeeded"]
    assert sorted(harness.event_types) == ["account.failed", "run.completed"]
    (line,) = harness.logged("account_failed")
    assert (line["aws_account_id"], line["kind"]) == ("000000000002", "access_denied")
    assert len(harness.logged("account_finished")) == 3


def test_a_run_of_which_every_account_fails_has_failed(harness: RunHarness) -> None:
    """Total failure has an event of its own, written last."""
    harness.source.answers = {row: [DENIED] for row in range(1, 5)}
    assert harness.collect().status is RunStatus.FAILED
    assert harness.event_types[-1] == "run.failed"


def test_a_transient_failure_gets_three_attempts(harness: RunHarness) -> None:
    """One succeeds with its third, another fails with it; the display shows only how it ends."""
    harness.source.answers = {1: [THROTTLED, THROTTLED, None], 2: [THROTTLED]}
    assert harness.collect().status is RunStatus.PARTIAL
    assert [harness.records[row].attempts for row in (1, 2, 3)] == [3, 3, 1]
    assert [harness.records[row].api_requests for row in (1, 2, 3)] == [3, 3, 1]
    assert ("failed", 2) in harness.display.outcomes
    assert len(harness.display.outcomes) == 4


def test_a_retry_of_the_run_does_not_pay_again(harness: RunHarness) -> None:
    """Accounts that are done stay done; the event of a run that ends the same way is not repeated."""
    harness.source.answers = {2: [DENIED]}
    harness.collect()
    harness.source.fetched.clear()
    assert harness.collect().status is RunStatus.PARTIAL
    assert [row for row, _ in harness.source.fetched] == [2]
    assert harness.event_types.count("run.completed") == 1
    assert [line["accounts"] for line in harness.logged("run_started")] == [4, 1]
    assert harness.logged("run_finished_before") == []


def test_a_run_that_is_done_is_not_started_again(harness: RunHarness) -> None:
    """Nothing is paid or reported twice, and a warning says that the key belongs to a finished run."""
    harness.collect()
    harness.source.fetched.clear()
    assert harness.collect().status is RunStatus.COMPLETED
    assert harness.source.fetched == []
    assert harness.event_types.count("run.completed") == 1
    assert [line["status"] for line in harness.logged("run_finished_before")] == ["completed"]
    assert len(harness.logged("run_started")) == 1


def test_a_request_is_checked_before_anything_is_written(harness: RunHarness) -> None:
    """A day that is not over, an account that is paused: one sentence, no run, no request."""
    harness.store.tables.accounts.rows[1] = make_account(status=AccountStatus.PAUSED)
    future = CollectOptions(days=DateRange(TODAY, TODAY + ONE_DAY)).to_request()
    for request, sentence in (
        (future, "not over yet"),
        (CollectOptions().to_request(("000000000001",)), "paused"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            harness.collect(request)
    assert (harness.store.tables.run_rows, harness.source.fetched, harness.display.total) == ({}, [], None)


def test_a_backfill_reads_its_days_of_the_accounts_asked_for(harness: RunHarness) -> None:
    """These days, these accounts."""
    days = DateRange(TODAY - timedelta(days=90), TODAY - timedelta(days=80))
    harness.collect(CollectOptions(days=days).to_request(("000000000003",)))
    assert harness.source.fetched == [(3, days)]


@pytest.mark.parametrize(
    "asked",
    [
        CollectOptions(since=TODAY - timedelta(days=5)),
        CollectOptions(days=DateRange(earliest_available(TODAY), TODAY)),
    ],
    ids=["without an end", "with days that AWS drops at midnight"],
)
def test_a_retry_after_midnight_reads_the_days_of_its_run(harness: RunHarness, asked: CollectOptions) -> None:
    """Up to the day before the run's start, and without being refused."""
    harness.source.answers = {2: [DENIED]}
    harness.collect(asked)
    days = asked.days or DateRange(TODAY - timedelta(days=5), TODAY)
    assert sorted(row for row, read in harness.source.fetched if read == days) == [1, 2, 3, 4]
    harness.source.answers.clear()
    harness.source.fetched.clear()
    harness.now += timedelta(days=40)
    assert harness.collect(asked).status is RunStatus.COMPLETED
    start = max(days.start, earliest_available(utc_day(harness.now)))
    assert harness.source.fetched == [(2, DateRange(start, TODAY))]


def test_a_spent_cap_skips_the_rest(harness: RunHarness) -> None:
    """Exactly as many requests as allowed, and every account has its outcome."""
    harness.policy = replace(POLICY, most_requests=2)
    assert harness.collect().status is RunStatus.PARTIAL
    assert len(harness.source.fetched) == 2
    assert sorted(harness.states) == ["skipped", "skipped", "succeeded", "succeeded"]
    reasons = {each.skip_reason for each in harness.records.values() if each.state is ItemState.SKIPPED}
    assert reasons == {SkipReason.API_COST_CAP}
    assert sorted(each.attempts for each in harness.records.values()) == [0, 0, 1, 1]
    assert [line["accounts_skipped"] for line in harness.logged("api_cost_cap_reached")] == [2]


def test_what_the_run_spent_before_counts_towards_the_cap(harness: RunHarness) -> None:
    """A retry of a run whose cap is spent pays nothing."""
    harness.policy = replace(POLICY, most_requests=2)
    harness.source.answers = {1: [DENIED], 2: [DENIED]}
    harness.collect()
    harness.store.tables.accounts.rows[9] = make_account(9)
    harness.source.fetched.clear()
    harness.collect()
    assert harness.source.fetched == []
    assert harness.records[9].skip_reason is SkipReason.API_COST_CAP


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 2, 1, 3)])
def test_alike_anomalies_of_a_run_are_told_as_one_incident_when_it_ends(order: tuple[int, ...]) -> None:
    """Before the run's own event, whichever accounts come first; a later run has no news of it."""
    harness = harness_with(*order)
    amounts = ["100"] * 40 + ["300"]
    spike = [make_row(TODAY - n * ONE_DAY, amount) for n, amount in enumerate(reversed(amounts), 1)]
    harness.source.rows = {1: spike, 2: spike[1:], 3: spike}
    harness.collect(key="first")
    assert harness.event_types[-2:] == ["incident.detected", "run.completed"]
    assert harness.event_types.count("anomaly.detected") == 2
    event = harness.store.tables.outbox.events[-2]
    members = event.data["incident"]["members"]
    assert [member["aws_account_id"] for member in members] == [
        make_account(number).aws_account_id for number in (1, 3)
    ]
    harness.collect(key="second")
    assert harness.event_types.count("incident.detected") == 1


@pytest.mark.parametrize("is_killed", [False, True])
def test_an_incident_of_a_run_that_nobody_resumes_is_told_by_the_next(*, is_killed: bool) -> None:
    """Once, also if the run that found it is resumed and ends after all."""
    harness = harness_with(1, 2, 3)
    amounts = ["100"] * 40 + ["300"]
    spike = [make_row(TODAY - n * ONE_DAY, amount) for n, amount in enumerate(reversed(amounts), 1)]
    harness.source.rows = {1: spike, 2: spike, 3: spike[1:]}
    both = Barrier(2, action=harness.stop.set)

    def stop_with_both() -> None:
        both.wait()

    harness.source.on_fetch = stop_with_both
    harness.collect(key="first")
    assert harness.states == ["succeeded", "succeeded", "pending"]
    assert harness.event_types == ["anomaly.detected"] * 2
    runs = harness.store.tables.run_rows
    if is_killed:
        runs["first"] = replace(runs["first"], status=RunStatus.RUNNING, finished_at=None, stopped_by=None)
    harness.stop.clear()
    harness.source.on_fetch = lambda: None
    for hour, key in enumerate(("second", "third", "first"), 1):
        harness.now = NOW + timedelta(hours=hour)
        assert harness.collect(key=key).status is RunStatus.COMPLETED
        assert harness.event_types.count("incident.detected") == 1
    told = harness.store.tables.outbox.events[2].data
    assert told["run_id"] == str(harness.store.tables.run_rows["second"].id)
    assert [member["aws_account_id"] for member in told["incident"]["members"]] == [
        make_account(number).aws_account_id for number in (1, 2)
    ]


def test_what_was_planned_is_no_part_of_an_incident() -> None:
    """The answers are those of the database when the run ends."""
    harness = harness_with(1, 2)
    amounts = ["100"] * 40 + ["300"]
    spike = [make_row(TODAY - n * ONE_DAY, amount) for n, amount in enumerate(reversed(amounts), 1)]
    harness.source.rows = {1: spike, 2: spike}
    plan = Answer(
        kind=AnswerKind.PLANNED,
        account_id=2,
        start_date=TODAY - ONE_DAY,
        end_date=TODAY,
        reason="migration",
        author="bob",
        created_at=NOW,
    )
    harness.store.tables.answers.add(plan)
    harness.collect()
    assert harness.event_types.count("anomaly.detected") == 1
    assert "incident.detected" not in harness.event_types


def test_what_is_silent_no_more_is_a_part_of_an_incident() -> None:
    """Two accounts outlast their plans on one morning, when their receivers first hear of them: once."""
    harness = harness_with(1, 2, 3)
    amounts = ["100"] * 40 + ["300", "300", "300"]
    costs = [make_row(TODAY + (n - 41) * ONE_DAY, amount) for n, amount in enumerate(amounts)]
    calm = [make_row(row.usage_date, "100") for row in costs]
    for number in (1, 2):
        plan = Answer(
            kind=AnswerKind.PLANNED,
            account_id=number,
            start_date=TODAY - ONE_DAY,
            end_date=TODAY - ONE_DAY,
            reason="migration",
            author="bob",
            created_at=NOW,
        )
        harness.store.tables.answers.add(plan)
    told = []
    for n in range(3):
        known = 41 + n
        harness.source.rows = {1: costs[:known], 2: costs[:known], 3: calm[:known]}
        harness.now = NOW + timedelta(days=n)
        harness.collect(key=f"{n}")
        told.append(
            (harness.event_types.count("anomaly.detected"), harness.event_types.count("incident.detected"))
        )
    assert told == [(0, 0), (2, 1), (2, 1)]
