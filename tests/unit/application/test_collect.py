"""The run against fakes: who is claimed, fetched, settled, tried again, given back or left out."""

from dataclasses import replace
from datetime import timedelta

import pytest

from costbatch import logs
from costbatch.domain.accounts import AccountStatus
from costbatch.domain.outcomes import (
    CollectionState,
    RunRequest,
    RunStatus,
    SkipReason,
)
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.errors import AccountError, ConfigError, ErrorKind
from tests.factories import TODAY, make_account
from tests.house import POLICY, House

THROTTLED = AccountError(ErrorKind.THROTTLED, "Again.")
DENIED = AccountError(ErrorKind.ACCESS_DENIED, "No.")


@pytest.fixture
def house() -> House:
    """Return a house with four accounts."""
    logs.unbind_run()
    house = House()
    logs.configure("info", "json", house.log)
    house.store.tables.accounts.rows = {row: make_account(row) for row in range(1, 5)}
    return house


def test_every_account_is_collected_once(house: House) -> None:
    """Fetched over its window, settled, shown, and the run's event written."""
    run = house.collect()
    assert run.status is RunStatus.COMPLETED
    assert sorted(row for row, _ in house.source.fetched) == [1, 2, 3, 4]
    assert house.states == ["collected"] * 4
    assert house.told == ["run.completed"]
    assert (house.progress.total, house.progress.ended) == (4, 1)
    assert sorted(house.progress.outcomes) == [("collected", row) for row in range(1, 5)]
    assert run.today == TODAY
    lines = [*house.logged("run_started"), *house.logged("account_done")]
    assert {(line["run_key"], line["run_id"]) for line in lines} == {("job", str(run.id))}
    assert [line["accounts"] for line in house.logged("run_started")] == [4]
    assert house.logged("run_finished_before") == []


def test_room_is_made_for_every_month_that_can_come(house: House) -> None:
    """From the first month of AWS's history to this one's end."""
    house.collect()
    assert house.store.tables.costs.prepared == [
        DateRange(TODAY.replace(year=2024, month=5, day=1), TODAY.replace(month=7, day=1))
    ]


def test_no_accounts_at_all_is_a_completed_run(house: House) -> None:
    """Nothing to do is no failure."""
    house.store.tables.accounts.rows.clear()
    assert house.collect().status is RunStatus.COMPLETED
    assert house.source.fetched == []


def test_one_that_fails_leaves_the_others_alone(house: House) -> None:
    """Partial failure, told with its account."""
    house.source.answers = {2: [DENIED]}
    assert house.collect().status is RunStatus.PARTIAL
    assert house.states == ["collected", "failed", "collected", "collected"]
    assert sorted(house.told) == ["account.failed", "run.completed"]
    (line,) = house.logged("account_failed")
    assert (line["aws_account_id"], line["kind"]) == ("000000000002", "access_denied")
    assert len(house.logged("account_done")) == 3


def test_a_run_of_which_every_account_fails_has_failed(house: House) -> None:
    """Total failure has an event of its own, written last."""
    house.source.answers = {row: [DENIED] for row in range(1, 5)}
    assert house.collect().status is RunStatus.FAILED
    assert house.told[-1] == "run.failed"


def test_a_passing_failure_gets_three_attempts(house: House) -> None:
    """One succeeds with its third, another fails with it; the screen shows only how it ends."""
    house.source.answers = {1: [THROTTLED, THROTTLED, None], 2: [THROTTLED]}
    assert house.collect().status is RunStatus.PARTIAL
    assert [house.collections[row].attempts for row in (1, 2, 3)] == [3, 3, 1]
    assert [house.collections[row].api_requests for row in (1, 2, 3)] == [3, 3, 1]
    assert ("failed", 2) in house.progress.outcomes
    assert len(house.progress.outcomes) == 4


def test_a_retry_of_the_run_does_not_pay_again(house: House) -> None:
    """Accounts that are done stay done; the event of a run that ends the same way is not repeated."""
    house.source.answers = {2: [DENIED]}
    house.collect()
    house.source.fetched.clear()
    assert house.collect().status is RunStatus.PARTIAL
    assert house.source.fetched == []
    assert house.told.count("run.completed") == 1
    assert [line["status"] for line in house.logged("run_finished_before")] == ["partial"]
    assert len(house.logged("run_started")) == 1


def test_the_wish_of_a_run_is_checked_before_anything_is_written(house: House) -> None:
    """A day that is not over, an account that is paused: one sentence, no run, no request."""
    house.store.tables.accounts.rows[1] = make_account(status=AccountStatus.PAUSED)
    future = RunRequest(days=DateRange(TODAY, TODAY + ONE_DAY))
    for request, sentence in (
        (future, "not over yet"),
        (RunRequest(aws_account_ids=("000000000001",)), "paused"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            house.collect(request)
    assert (house.store.tables.runs.rows, house.source.fetched, house.progress.total) == ({}, [], None)


def test_a_backfill_reads_its_days_of_the_accounts_asked_for(house: House) -> None:
    """These days, these accounts."""
    days = DateRange(TODAY - timedelta(days=90), TODAY - timedelta(days=80))
    house.collect(RunRequest(days=days, aws_account_ids=("000000000003",)))
    assert house.source.fetched == [(3, days)]


def test_no_more_accounts_are_in_flight_than_threads(house: House) -> None:
    """The others wait for their turn, so that memory does not grow with their number."""
    seen = []
    house.source.on_fetch = lambda: seen.append(
        sum(
            each.collection.state is CollectionState.COLLECTING
            for each in house.store.tables.runs.listed.values()
        )
    )
    house.collect()
    assert max(seen) <= 2


def test_a_spent_cap_leaves_the_rest_out(house: House) -> None:
    """Exactly as many requests as allowed, and every account has its outcome."""
    house.policy = replace(POLICY, most_requests=2)
    assert house.collect().status is RunStatus.PARTIAL
    assert len(house.source.fetched) == 2
    assert sorted(house.states) == ["collected", "collected", "skipped", "skipped"]
    reasons = {
        each.skip_reason for each in house.collections.values() if each.state is CollectionState.SKIPPED
    }
    assert reasons == {SkipReason.API_COST_CAP}
    assert sorted(each.attempts for each in house.collections.values()) == [0, 0, 1, 1]
    assert [line["accounts_skipped"] for line in house.logged("api_cost_cap_reached")] == [2]


def test_what_the_run_spent_before_counts_towards_the_cap(house: House) -> None:
    """A retry of a run whose cap is spent pays nothing."""
    house.policy = replace(POLICY, most_requests=2)
    house.source.answers = {1: [DENIED], 2: [DENIED]}
    house.collect()
    house.store.tables.accounts.rows[9] = make_account(9)
    house.source.fetched.clear()
    house.collect()
    assert house.source.fetched == []
    assert house.collections[9].skip_reason is SkipReason.API_COST_CAP
