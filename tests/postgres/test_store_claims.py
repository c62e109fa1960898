"""The claims store: who may collect what, for how long, and how an account ends."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from costbatch.adapters.postgres import PostgresDatabase, run_items
from costbatch.domain.accounts import AccountStatus
from costbatch.domain.runs import Claim, CollectionState, Ending, Run, SkipReason
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    LEASE,
    NOW,
    account_id,
    add_account,
    claim,
    collect,
    collected,
    fail,
    open_run,
)

LAPSED = -timedelta(seconds=1)


@pytest.fixture
def run(database: PostgresDatabase) -> Run:
    """Open a run over four accounts."""
    for number in (1, 2, 3, 4):
        add_account(database, number)
    return open_run(database)


def numbers(claims: list[Claim]) -> list[str]:
    """Return the account ids of claims."""
    return [one.account.aws_account_id for one in claims]


def release_dead(
    database: PostgresDatabase, is_gone: Callable[[str], bool] = lambda worker: worker == "dead"
) -> int:
    """Give back what dead workers held."""
    with database.transaction() as tx:
        return len(tx.claims.release_dead_claims(is_gone))


def wait_seconds(database: PostgresDatabase, run: Run) -> float | None:
    """Return how long until there is work."""
    with database.transaction() as tx:
        return tx.claims.seconds_until_work(run)


def test_a_claim_names_the_account_and_its_attempt(database: PostgresDatabase, run: Run) -> None:
    """Each has a token of its own; the account is the whole row."""
    claims = claim(database, run)
    with database.transaction() as tx:
        assert [one.account for one in claims] == tx.accounts.list_all()
    assert {(one.run_id, one.attempt) for one in claims} == {(run.id, 1)}
    assert len({one.token for one in claims}) == 4


def test_no_more_are_claimed_than_asked_for_and_none_twice(database: PostgresDatabase, run: Run) -> None:
    """The list is worked off from its beginning; when it is empty there is nothing."""
    assert numbers(claim(database, run, most=3)) == [account_id(n) for n in (1, 2, 3)]
    assert numbers(claim(database, run, most=3)) == [account_id(4)]
    assert claim(database, run, most=3) == []


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
            return len(tx.claims.claim(run, worker="w", most=most, lease=LEASE, ahead=ahead))

    assert take(2, 4) == 6
    # Six are left, which is not plenty.
    assert take(2, 4) == 2
    assert [take(1, 1), take(3, 1)] == [1, 3]
    assert take(1, 1) == 0


def test_first_attempts_come_before_second_ones(database: PostgresDatabase, run: Run) -> None:
    """An account that failed waits until every other one had its turn."""
    fail(database, claim(database, run, most=1)[0], retry_after=timedelta(0))
    claims = claim(database, run)
    assert numbers(claims) == [account_id(n) for n in (2, 3, 4, 1)]
    assert [one.attempt for one in claims] == [1, 1, 1, 2]


def test_a_failed_account_rests_before_its_next_attempt(database: PostgresDatabase, run: Run) -> None:
    """Until the pause is over nobody can claim it, and the wait is known."""
    first, *others = claim(database, run)
    for one in others:
        collect(database, one)
    fail(database, first, retry_after=timedelta(seconds=60))
    assert claim(database, run) == []
    seconds = wait_seconds(database, run)
    assert seconds is not None
    assert 50 < seconds <= 60


def test_the_wait_is_over_when_every_account_has_its_outcome(database: PostgresDatabase, run: Run) -> None:
    """Zero while one can be claimed or somebody works; None at the end."""
    assert wait_seconds(database, run) == 0
    claims = claim(database, run)
    assert wait_seconds(database, run) == 0
    for one in claims[:3]:
        collect(database, one)
    assert wait_seconds(database, run) == 0
    fail(database, claims[3])
    assert wait_seconds(database, run) is None


def test_the_earliest_account_decides_the_wait(database: PostgresDatabase, run: Run) -> None:
    """One that rests long does not keep another one waiting."""
    claims = claim(database, run)
    for one, minutes in zip(claims, (9, 1, 5, 7), strict=True):
        fail(database, one, retry_after=timedelta(minutes=minutes))
    seconds = wait_seconds(database, run)
    assert seconds is not None
    assert 50 < seconds <= 60


def test_only_recorded_failures_use_attempts_up(database: PostgresDatabase, run: Run) -> None:
    """Claims given back, lapsed or taken from the dead do not count; a failure does."""
    claim(database, run, most=1)
    with database.transaction() as tx:
        assert tx.claims.release_claims("worker") == 1
    claim(database, run, "dead", most=1)
    assert release_dead(database) == 1
    claim(database, run, most=1, lease=LAPSED)
    assert release_dead(database) == 1
    (first,) = claim(database, run, most=1)
    assert (first.account.aws_account_id, first.attempt) == (account_id(1), 1)
    fail(database, first, retry_after=timedelta(0))
    assert claim(database, run)[-1].attempt == 2


def test_a_worker_gives_back_only_its_own(database: PostgresDatabase, run: Run) -> None:
    """Unfinished accounts can be claimed again at once; finished ones keep their outcome."""
    mine = claim(database, run, "mine", most=2)
    claim(database, run, "yours", most=1)
    collect(database, mine[0])
    with database.transaction() as tx:
        assert tx.claims.release_claims("mine") == 1
        states = [each.state.value for each in tx.runs.collections(run)]
    assert states == ["collected", "pending", "collecting", "pending"]


def test_a_lapsed_lease_is_taken_over(database: PostgresDatabase, run: Run) -> None:
    """A worker without a sign of life loses its account, whether or not it is known to be gone."""
    (lost,) = claim(database, run, "silent", most=1, lease=LAPSED)
    claim(database, run, "alive", most=1)
    assert release_dead(database) == 1
    (taken,) = claim(database, run, "alive", most=1)
    assert taken.collection_id == lost.collection_id
    assert taken.token != lost.token


def test_the_dead_lose_their_claims_at_once(database: PostgresDatabase, run: Run) -> None:
    """A worker that is known to be gone is not waited for; each worker is asked about once."""
    claim(database, run, "dead", most=2)
    claim(database, run, "alive", most=1)
    asked: list[str] = []

    def is_gone(worker: str) -> bool:
        asked.append(worker)
        return worker == "dead"

    assert release_dead(database, is_gone) == 2
    assert sorted(asked) == ["alive", "dead"]
    assert release_dead(database) == 0


def test_of_what_the_dead_held_each_run_and_worker_is_named(database: PostgresDatabase, run: Run) -> None:
    """Once for each account, so that a process knows whether it inherits; the living are not among them."""
    manual = open_run(database, "manual")
    claim(database, run, "dead", most=2)
    claim(database, manual, "dead", most=1)
    claim(database, open_run(database, "other"), "alive", most=1)
    with database.transaction() as tx:
        released = tx.claims.release_dead_claims("dead".__eq__)
    assert sorted(released) == sorted([(run.id, "dead"), (run.id, "dead"), (manual.id, "dead")])


def test_an_extended_lease_lives_on(database: PostgresDatabase, run: Run) -> None:
    """Only the claims named are kept alive, and only while they are ours."""
    kept, left = claim(database, run, most=2, lease=LAPSED)
    with database.transaction() as tx:
        tx.claims.extend_leases([kept], LEASE)
        tx.claims.extend_leases([], LEASE)
    assert release_dead(database) == 1
    with database.transaction() as tx:
        assert tx.claims.hold([left, kept]) == {kept.collection_id: kept.account}


def test_a_lost_claim_is_not_revived_by_extending_it(database: PostgresDatabase, run: Run) -> None:
    """The new owner's lease is its own."""
    (lost,) = claim(database, run, "slow", most=1, lease=LAPSED)
    release_dead(database)
    claim(database, run, "quick", most=1, lease=LAPSED)
    with database.transaction() as tx:
        tx.claims.extend_leases([lost], LEASE)
    assert release_dead(database) == 1


@pytest.mark.parametrize("fate", ["released", "taken over", "collected by another"])
def test_a_lost_claim_cannot_write(database: PostgresDatabase, run: Run, fate: str) -> None:
    """Whatever became of the account meanwhile, what the slow worker fetched is dropped."""
    (lost,) = claim(database, run, "slow", most=1, lease=LAPSED)
    release_dead(database)
    if fate != "released":
        (taken,) = claim(database, run, "quick", most=1)
        if fate == "collected by another":
            collect(database, taken)
    assert not collect(database, lost)


def test_holding_a_claim_shows_the_account_as_it_is_now(database: PostgresDatabase, run: Run) -> None:
    """An account that was paused while it was fetched is seen as paused."""
    (one,) = claim(database, run, most=1)
    with database.transaction() as tx:
        tx.accounts.set_status(one.account, AccountStatus.PAUSED, now=NOW)
    with database.transaction() as tx:
        assert tx.claims.hold([one])[one.collection_id].status is AccountStatus.PAUSED


def test_what_was_not_begun_is_skipped(database: PostgresDatabase, run: Run) -> None:
    """Accounts in work and with an outcome stay as they are; so does another run's list."""
    first, _ = claim(database, run, most=2)
    collect(database, first)
    elsewhere = open_run(database, "other")
    with database.transaction() as tx:
        assert tx.claims.skip_pending(run, SkipReason.API_COST_CAP, now=NOW) == 2
        found = tx.runs.collections(run)
        assert {each.state for each in tx.runs.collections(elsewhere)} == {CollectionState.PENDING}
    assert [each.state.value for each in found] == ["collected", "collecting", "skipped", "skipped"]
    assert [each.skip_reason for each in found] == [None, None, *[SkipReason.API_COST_CAP] * 2]


def test_a_skipped_account_keeps_what_it_cost(database: PostgresDatabase, run: Run) -> None:
    """Requests paid before the account was left out are counted."""
    (one,) = claim(database, run, most=1)
    with database.transaction() as tx:
        state, reason = CollectionState.SKIPPED, SkipReason.NOT_ACTIVE
        skipped = Ending(claim=one, state=state, api_requests=3, skip_reason=reason)
        tx.claims.finish([skipped], now=NOW)
        found = tx.runs.collections(run)[0]
    assert (found.state, found.skip_reason, found.api_requests) == (
        CollectionState.SKIPPED,
        SkipReason.NOT_ACTIVE,
        3,
    )


def test_success_after_a_failure_forgets_the_error(database: PostgresDatabase, run: Run) -> None:
    """A collected account has no failure; its attempts and requests are those of both."""
    fail(database, claim(database, run, most=1)[0], retry_after=timedelta(0))
    (again,) = (one for one in claim(database, run) if one.attempt == 2)
    collect(database, again)
    with database.transaction() as tx:
        found = tx.runs.collections(run)[0]
    assert (found.state, found.failure) == (CollectionState.COLLECTED, None)
    assert (found.attempts, found.api_requests) == (2, 3)


def test_nothing_is_recorded_when_the_transaction_is_undone(
    database: PostgresDatabase, run: Run, query: Query
) -> None:
    """The outcome commits with the costs: a kill before the commit leaves the claim as it was."""
    (one,) = claim(database, run, most=1)

    def die_before_the_commit() -> None:
        with database.transaction() as tx:
            tx.claims.hold([one])
            tx.claims.finish([collected(one)], now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        die_before_the_commit()
    assert query("SELECT claim_token, attempts FROM collections WHERE state = 'collecting'") == [
        (one.token, 0)
    ]
