"""Run items on a real PostgreSQL: leases and pauses by the server's clock, and several runs at once."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import date, timedelta

import pytest

from costbatch.adapters.postgres import PostgresDatabase, run_items
from costbatch.domain.accounts import NO_PROGRESS, Progress
from costbatch.domain.collection import COLLECT
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import ItemState, Outcome, Run, RunRequest, SkipReason, WorkItem
from tests.support.database_rows import (
    LEASE,
    NOW,
    account_id,
    add_account,
    claim,
    collect,
    fail,
    failed,
    finish,
    open_run,
    records,
    states,
    succeeded,
)

LAPSED = -timedelta(seconds=1)
COVERED = Progress(covered=DateRange(date(2026, 1, 1), date(2026, 2, 1)))


@pytest.fixture
def run(database: PostgresDatabase) -> Run:
    """Open a run over four accounts."""
    for number in (1, 2, 3, 4):
        add_account(database, number)
    return open_run(database)


def release_dead(
    database: PostgresDatabase, is_gone: Callable[[str], bool] = lambda worker: worker == "dead"
) -> int:
    """Release what dead workers hold."""
    with database.transaction() as tx:
        return len(tx.items.release_dead(is_gone))


def wait_seconds(database: PostgresDatabase, run: Run) -> float | None:
    """Return how long until there is work."""
    with database.transaction() as tx:
        return tx.items.seconds_until_work(run)


def test_accounts_are_claimed_ahead_only_while_there_are_plenty(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few left a process takes only what it begins now; another process can begin the others."""
    monkeypatch.setattr(run_items, "_PLENTY", 8)
    for number in range(1, 13):
        add_account(database, number)
    run = open_run(database)

    def take(most: int, ahead: int) -> int:
        with database.transaction() as tx:
            return len(tx.items.claim(run, worker="w", most=most, lease=LEASE, ahead=ahead))

    assert take(2, 4) == 6
    # Six are left, which is not plenty.
    assert take(2, 4) == 2
    assert [take(1, 1), take(3, 1)] == [1, 3]
    assert take(1, 1) == 0


def test_a_failed_account_rests_before_its_next_attempt(database: PostgresDatabase, run: Run) -> None:
    """Until the pause is over it cannot be claimed, and the wait is known."""
    first, *others = claim(database, run)
    for one in others:
        collect(database, one)
    fail(database, first, retry_after=timedelta(seconds=60))
    assert claim(database, run) == []
    seconds = wait_seconds(database, run)
    assert seconds is not None
    assert 50 < seconds <= 60


def test_the_earliest_account_decides_the_wait(database: PostgresDatabase, run: Run) -> None:
    """One that rests long does not keep another one waiting."""
    claims = claim(database, run)
    for one, minutes in zip(claims, (9, 1, 5, 7), strict=True):
        fail(database, one, retry_after=timedelta(minutes=minutes))
    seconds = wait_seconds(database, run)
    assert seconds is not None
    assert 50 < seconds <= 60


def test_a_lapsed_lease_is_taken_over(database: PostgresDatabase, run: Run) -> None:
    """A worker without a sign of life loses its item, whether or not it is known to be gone."""
    (lost,) = claim(database, run, "silent", most=1, lease=LAPSED)
    claim(database, run, "alive", most=1)
    assert release_dead(database) == 1
    taken = claim(database, run, "alive", most=3)[-1]
    assert taken.id == lost.id
    assert taken.token != lost.token
    assert not collect(database, lost)


def test_a_lapsed_lease_uses_no_attempt_up(database: PostgresDatabase, run: Run) -> None:
    """Only a recorded failure does."""
    claim(database, run, most=1, lease=LAPSED)
    assert release_dead(database) == 1
    again = claim(database, run)[-1]
    assert (again.account.aws_account_id, again.attempt) == (account_id(1), 1)


def test_run_and_worker_of_each_released_item_are_named(database: PostgresDatabase, run: Run) -> None:
    """Once for each item, so that a process knows whether its own run is concerned; never a living worker."""
    manual = open_run(database, "manual")
    claim(database, run, "dead", most=2)
    claim(database, manual, "dead", most=1)
    claim(database, open_run(database, "other"), "alive", most=1)
    with database.transaction() as tx:
        released = tx.items.release_dead("dead".__eq__)
    assert sorted(released) == sorted([(run.id, "dead"), (run.id, "dead"), (manual.id, "dead")])


def test_an_extended_lease_lives_on(database: PostgresDatabase, run: Run) -> None:
    """Only the claims named are kept alive, and only while they are ours."""
    kept, left = claim(database, run, most=2, lease=LAPSED)
    with database.transaction() as tx:
        tx.items.extend_leases([kept], LEASE)
        tx.items.extend_leases([], LEASE)
    assert release_dead(database) == 1
    with database.transaction() as tx:
        assert tx.items.lock([left, kept]) == [kept]


def test_a_lost_claim_is_not_revived_by_extending_it(database: PostgresDatabase, run: Run) -> None:
    """The new owner's lease is its own."""
    (lost,) = claim(database, run, "slow", most=1, lease=LAPSED)
    release_dead(database)
    claim(database, run, "quick", most=1, lease=LAPSED)
    with database.transaction() as tx:
        tx.items.extend_leases([lost], LEASE)
    assert release_dead(database) == 1


def test_the_items_of_another_run_are_left_alone(database: PostgresDatabase, run: Run) -> None:
    """Skipping, requeuing and counting are of one run."""
    elsewhere = open_run(database, "other")
    (item,) = claim(database, run, most=1)
    collect(database, item)
    with database.transaction() as tx:
        assert tx.items.skip_pending(run, SkipReason.API_COST_CAP, now=NOW) == 3
    assert states(database, elsewhere) == ["pending"] * 4
    with database.transaction() as tx:
        tx.items.skip_pending(elsewhere, SkipReason.API_COST_CAP, now=NOW)
        assert tx.items.requeue(run) == 3
        assert (tx.items.api_requests(run), tx.items.api_requests(elsewhere)) == (2, 0)
        assert (tx.items.counts(elsewhere).count(), tx.items.has_running(elsewhere)) == (4, False)
    assert states(database, elsewhere) == ["skipped"] * 4


def test_each_account_has_its_turn_however_it_ends(database: PostgresDatabase) -> None:
    """The one that was paid for longest ago is first: also if it wastes what a cap allows, or fails once."""
    for number in (1, 2, 3, 4):
        add_account(database, number)

    def night(key: str, *accounts: int, wasted: int = 0, collected: Collection[int] = ()) -> list[int]:
        run = open_run(database, key, aws_account_ids=tuple(map(account_id, accounts)))
        items = {int(item.account.aws_account_id): item for item in claim(database, run)}
        if wasted:
            finish(database, replace(failed(items[wasted]), api_requests=5))
        for number in collected:
            collect(database, items[number])
            with database.transaction() as tx:
                tx.progress.save(COLLECT, {items[number].account.id: COVERED})
        with database.transaction() as tx:
            tx.items.release("worker")
            tx.items.skip_pending(run, SkipReason.API_COST_CAP, now=NOW)
        return list(items)

    assert night("first", wasted=1) == [1, 2, 3, 4]
    assert night("second", wasted=2) == [2, 3, 4, 1]
    assert night("by day", 3, collected=[3]) == [3]
    assert night("third", collected=[4], wasted=1) == [4, 1, 2, 3]
    assert night("fourth", collected=[2]) == [2, 3, 4, 1]
    assert night("fifth") == [3, 4, 1, 2]


def test_who_waited_for_an_account_that_spent_the_cap_is_before_it(database: PostgresDatabase) -> None:
    """One that needs more than the cap would else cut the same account short night after night."""
    for number in (1, 2, 3, 4):
        add_account(database, number)

    def night(key: str, *, cut: Collection[int], collected: Collection[int] = ()) -> list[int]:
        run = open_run(database, key)
        items = {int(item.account.aws_account_id): item for item in claim(database, run)}
        for number in cut:
            left_out = {"state": ItemState.SKIPPED, "skip_reason": SkipReason.API_COST_CAP}
            finish(database, replace(succeeded(items[number]), **left_out, api_requests=3))  # type: ignore[arg-type] # fields of Outcome
        for number in collected:
            collect(database, items[number])
        with database.transaction() as tx:
            tx.items.release("worker")
            tx.items.skip_pending(run, SkipReason.API_COST_CAP, now=NOW)
        return list(items)

    assert night("first", cut=[1, 2], collected=[3]) == [1, 2, 3, 4]
    assert night("second", cut=[1], collected=[4, 2]) == [4, 3, 2, 1]
    assert night("third", cut=[]) == [3, 4, 2, 1]


def test_a_job_without_paid_requests_begins_with_those_that_a_deadline_left_out(
    database: PostgresDatabase,
) -> None:
    """What was done or has failed is last; what was only claimed has had no turn."""
    for number in (1, 2, 3, 4):
        add_account(database, number)

    def night(key: str, ended: Callable[[WorkItem], Outcome]) -> list[str]:
        run = open_run(database, key)
        items = claim(database, run)
        for item in items[:2]:
            finish(database, replace(ended(item), api_requests=0))
        with database.transaction() as tx:
            tx.items.release("worker")
        return [item.account.aws_account_id for item in items]

    first = night("first", succeeded)
    second = night("second", failed)
    assert second == [*first[2:], *first[:2]]
    assert night("third", succeeded) == first


def test_each_job_has_its_own_claim_and_progress(database: PostgresDatabase, run: Run) -> None:
    """Two jobs may work on one account at the same time."""
    with database.transaction() as tx:
        other = tx.runs.open("nightly", RunRequest(job="other"), now=NOW, version="1")
        assert tx.items.enlist(other) == 4
    of_cost, of_other = claim(database, run), claim(database, other)
    assert [item.account for item in of_cost] == [item.account for item in of_other]
    account = of_cost[0].account
    with database.transaction() as tx:
        tx.progress.save(COLLECT, {account.id: COVERED})
        assert tx.progress.load("other") == {}
        locked = {item.run_id: item.progress for item in tx.items.lock([of_cost[0], of_other[0]])}
        assert locked == {run.id: COVERED, other.id: NO_PROGRESS}


def test_a_record_says_how_long_its_account_took(database: PostgresDatabase, run: Run) -> None:
    """From its start to its outcome; one that was never started has no duration."""
    finish(database, succeeded(*claim(database, run, most=1)), now=NOW + timedelta(seconds=2.5))
    assert [each.duration_seconds for each in records(database, run)] == [2.5, None, None, None]
