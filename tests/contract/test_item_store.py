"""What every ItemStore does."""

from collections.abc import Sequence
from datetime import date, timedelta

import pytest

from costbatch.application.ports import Database
from costbatch.domain.accounts import AccountStatus, Progress
from costbatch.domain.collection import COLLECT, CollectOptions
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import ItemState, Run, RunCounts, RunStatus, SkipReason, WorkItem
from costbatch.errors import ErrorKind
from tests.support.database_rows import (
    NOW,
    account_id,
    add_account,
    claim,
    close,
    collect,
    fail,
    failed,
    failure,
    finish,
    join,
    open_run,
    records,
    save_collected,
    skipped,
    states,
    succeeded,
)
from tests.support.fake_runs import counts_of

COVERED = Progress(covered=DateRange(date(2026, 1, 1), date(2026, 2, 1)))


@pytest.fixture
def run(database: Database) -> Run:
    """Open a run over four accounts."""
    for number in (1, 2, 3, 4):
        add_account(database, number)
    return open_run(database)


def numbers(items: Sequence[WorkItem]) -> list[str]:
    """Return the account ids of items."""
    return [item.account.aws_account_id for item in items]


def release_dead(database: Database) -> set[str]:
    """Release what the worker named dead holds; return the workers that held something."""
    with database.transaction() as tx:
        return {worker for _, worker in tx.items.release_dead("dead".__eq__)}


class TestClaims:
    """Who works on which item."""

    def test_a_claim_names_the_account_and_its_attempt(self, database: Database, run: Run) -> None:
        """Each has a token of its own; the account is the whole row."""
        items = claim(database, run)
        with database.transaction() as tx:
            assert [item.account for item in items] == tx.accounts.list_all()
        assert {(item.run_id, item.attempt, item.progress) for item in items} == {(run.id, 1, Progress())}
        assert len({item.token for item in items}) == 4

    def test_a_claim_says_what_earlier_runs_achieved(self, database: Database, run: Run) -> None:
        """The progress of the run's job is that of the account."""
        with database.transaction() as tx:
            tx.progress.save(COLLECT, {account.id: COVERED for account in tx.accounts.list_all()[:1]})
        first, second = claim(database, run, most=2)
        assert (first.progress, second.progress) == (COVERED, Progress())

    def test_no_more_are_claimed_than_asked_for_and_none_twice(self, database: Database, run: Run) -> None:
        """The list is worked off from its beginning; when it is empty there is nothing."""
        assert numbers(claim(database, run, most=3)) == [account_id(n) for n in (1, 2, 3)]
        assert numbers(claim(database, run, most=3)) == [account_id(4)]
        assert claim(database, run, most=3) == []

    def test_only_active_accounts_are_claimed(self, database: Database, run: Run) -> None:
        """One that was paused or removed meanwhile is skipped; with the others alone the run is decided."""
        with database.transaction() as tx:
            paused, removed, back, _ = tx.accounts.list_all()
            tx.accounts.set_status(paused, AccountStatus.PAUSED, now=NOW)
            tx.accounts.set_status(back, AccountStatus.PAUSED, now=NOW)
            tx.accounts.set_status(removed, AccountStatus.REMOVED, now=NOW)
        (last,) = claim(database, run)
        assert numbers([last]) == [account_id(4)]
        with database.transaction() as tx:
            tx.accounts.set_status(back, AccountStatus.ACTIVE, now=NOW)
            assert (tx.items.skip_inactive(run, now=NOW), tx.items.skip_inactive(run, now=NOW)) == (2, 0)
        assert states(database, run) == ["skipped", "skipped", "pending", "running"]
        (resumed,) = claim(database, run)
        assert numbers([resumed]) == [account_id(3)]
        for item in (last, resumed):
            collect(database, item)
        found = records(database, run)
        assert [each.skip_reason for each in found] == [*[SkipReason.NOT_ACTIVE] * 2, None, None]
        with database.transaction() as tx:
            assert tx.items.states(run) == {ItemState.SUCCEEDED}

    def test_first_attempts_come_before_second_ones(self, database: Database, run: Run) -> None:
        """An account that failed waits until every other one had its turn."""
        fail(database, claim(database, run, most=1)[0], retry_after=timedelta(0))
        items = claim(database, run)
        assert numbers(items) == [account_id(n) for n in (2, 3, 4, 1)]
        assert [item.attempt for item in items] == [1, 1, 1, 2]

    def test_the_wait_is_over_when_every_account_has_its_outcome(self, database: Database, run: Run) -> None:
        """Zero while an item can be claimed or is worked on; None at the end."""

        def seconds() -> float | None:
            with database.transaction() as tx:
                return tx.items.seconds_until_work(run)

        assert seconds() == 0
        items = claim(database, run)
        assert seconds() == 0
        for item in items[:3]:
            collect(database, item)
        assert seconds() == 0
        fail(database, items[3])
        assert seconds() is None

    def test_a_worker_releases_only_its_own(self, database: Database, run: Run) -> None:
        """Unfinished items can be claimed again at once; finished ones keep their outcome."""
        mine = claim(database, run, "mine", most=2)
        claim(database, run, "yours", most=1)
        collect(database, mine[0])
        with database.transaction() as tx:
            assert tx.items.release("mine") == 1
        assert states(database, run) == ["succeeded", "pending", "running", "pending"]

    def test_the_dead_lose_their_claims_at_once(self, database: Database, run: Run) -> None:
        """A worker that is known to be gone is not waited for; each worker is asked about once."""
        claim(database, run, "dead", most=2)
        claim(database, run, "alive", most=1)
        asked: list[str] = []

        def is_gone(worker: str) -> bool:
            asked.append(worker)
            return worker == "dead"

        with database.transaction() as tx:
            assert set(tx.items.release_dead(is_gone)) == {(run.id, "dead")}
        assert sorted(asked) == ["alive", "dead"]
        assert release_dead(database) == set()
        assert states(database, run) == ["pending", "pending", "running", "pending"]

    def test_only_recorded_failures_use_attempts_up(self, database: Database, run: Run) -> None:
        """Claims that were released or taken from the dead do not count; a failure does."""
        claim(database, run, most=1)
        with database.transaction() as tx:
            assert tx.items.release("worker") == 1
        claim(database, run, "dead", most=1)
        assert release_dead(database) == {"dead"}
        first = claim(database, run)[-1]
        assert (first.account.aws_account_id, first.attempt) == (account_id(1), 1)
        fail(database, first, retry_after=timedelta(0))
        assert claim(database, run)[-1].attempt == 2

    def test_what_was_taken_over_from_the_dead_comes_last(self, database: Database, run: Run) -> None:
        """It may be what killed them; a retry of the run forgets it."""
        claim(database, run, "dead", most=1)
        release_dead(database)
        with database.transaction() as tx:
            tx.items.release("worker")
        items = claim(database, run)
        assert numbers(items) == [account_id(n) for n in (2, 3, 4, 1)]
        assert [(item.attempt, item.takeovers) for item in items] == [(1, 0)] * 3 + [(1, 1)]
        fail(database, items[-1])
        with database.transaction() as tx:
            tx.items.requeue(run)
        (again,) = claim(database, run)
        assert (numbers([again]), again.takeovers) == ([account_id(1)], 0)

    def test_who_takes_over_learns_who_died(self, database: Database, run: Run) -> None:
        """Until it is tried again; a release in order and a failure of the living name nobody."""
        (first, *_) = claim(database, run, "alive", most=2)
        fail(database, first, retry_after=timedelta())
        claim(database, run, "dead", most=2)
        with database.transaction() as tx:
            tx.items.release("alive")
        release_dead(database)
        items = claim(database, run)
        assert {item.left_by for item in items if item.takeovers} == {"dead"}
        assert {item.left_by for item in items if not item.takeovers} == {None}
        with database.transaction() as tx:
            assert [item.left_by for item in tx.items.lock(items)].count("dead") == 2
        for item in items:
            fail(database, item)
        with database.transaction() as tx:
            tx.items.requeue(run)
        assert {item.left_by for item in claim(database, run)} == {None}

    def test_what_many_have_died_with_is_claimed_apart(self, database: Database, run: Run) -> None:
        """Neither with the others nor ahead of them."""
        claim(database, run, "dead", most=1)
        release_dead(database)
        assert claim(database, run, suspects=True) == []
        for item in claim(database, run, most=3):
            collect(database, item)
        claim(database, run, "dead", most=1)
        release_dead(database)
        assert claim(database, run) == []
        (suspect,) = claim(database, run, suspects=True)
        assert (numbers([suspect]), suspect.takeovers) == ([account_id(1)], 2)

    def test_what_a_lost_claim_paid_is_counted_once(self, database: Database, run: Run) -> None:
        """Not if its result was saved: then nobody took it over, and the save counted it."""
        lost, saved = claim(database, run, "dead", most=2)
        collect(database, saved)
        release_dead(database)
        before = [each.api_requests for each in records(database, run)]
        with database.transaction() as tx:
            for item in (lost, saved):
                tx.items.add_lost_requests(item, 3, unanswered=1)
        after = [each.api_requests for each in records(database, run)]
        assert [more - less for less, more in zip(before, after, strict=True)] == [3, 0, 0, 0]

    @pytest.mark.parametrize("fate", ["released", "taken over", "done by another"])
    def test_a_lost_claim_cannot_write(self, database: Database, run: Run, fate: str) -> None:
        """What the slow worker fetched is dropped, whether or not another one has the account."""
        (lost,) = claim(database, run, "dead", most=1)
        release_dead(database)
        if fate != "released":
            (taken,) = claim(database, run, "quick", most=1)
            if fate == "done by another":
                collect(database, taken)
        assert not collect(database, lost)

    def test_a_locked_item_shows_account_and_progress_as_they_are_now(
        self, database: Database, run: Run
    ) -> None:
        """An account that was paused while it was fetched is seen as paused."""
        (item,) = claim(database, run, most=1)
        with database.transaction() as tx:
            tx.accounts.set_status(item.account, AccountStatus.PAUSED, now=NOW)
            tx.progress.save(COLLECT, {item.account.id: COVERED})
        with database.transaction() as tx:
            (locked,) = tx.items.lock([item])
        assert (locked.id, locked.token, locked.attempt) == (item.id, item.token, item.attempt)
        assert (locked.account.status, locked.progress) == (AccountStatus.PAUSED, COVERED)


class TestEnlisting:
    """Which accounts a run has, and which of them are tried again."""

    @pytest.mark.parametrize(
        ("asked", "listed"), [((), [1, 2]), ((2, 3, 9), [2])], ids=["every account", "some accounts"]
    )
    def test_the_items_are_the_active_accounts_of_the_request(
        self, database: Database, asked: tuple[int, ...], listed: list[int]
    ) -> None:
        """Paused and removed accounts are left out, asked for or not; an empty request means all."""
        accounts = [add_account(database, number) for number in (1, 2, 3, 4)]
        request = CollectOptions().to_request(tuple(account_id(number) for number in asked))
        with database.transaction() as tx:
            tx.accounts.set_status(accounts[2], AccountStatus.PAUSED, now=NOW)
            tx.accounts.set_status(accounts[3], AccountStatus.REMOVED, now=NOW)
            run = tx.runs.open("key", request, now=NOW, version="1")
            assert tx.items.enlist(run) == len(listed)
        found = [each.aws_account_id for each in records(database, run)]
        assert found == [account_id(number) for number in listed]

    def test_a_retry_requeues_what_failed_and_what_was_skipped(self, database: Database, run: Run) -> None:
        """It tries every account that did not succeed, with all its attempts again."""
        first, second = claim(database, run, most=2)
        collect(database, first)
        fail(database, second)
        with database.transaction() as tx:
            assert tx.items.skip_pending(run, SkipReason.API_COST_CAP, now=NOW) == 2
        close(database, run, RunStatus.PARTIAL)
        joined, unfinished = join(database)
        assert (joined.status, unfinished) == (RunStatus.RUNNING, 3)
        found = records(database, run)
        assert [each.state.value for each in found] == ["succeeded", *["pending"] * 3]
        assert [each.attempts for each in found] == [1, 0, 0, 0]
        assert [each.skip_reason for each in found] == [None] * 4
        assert [item.attempt for item in claim(database, run)] == [1, 1, 1]

    def test_joining_while_another_process_works_requeues_nothing(self, database: Database, run: Run) -> None:
        """A sibling's start must not undo what the run has already decided."""
        first, _ = claim(database, run, most=2)
        fail(database, first)
        with database.transaction() as tx:
            assert tx.items.has_running(run)
        _, unfinished = join(database)
        assert unfinished == 3
        assert states(database, run) == ["failed", "running", "pending", "pending"]

    def test_what_is_requeued_is_requeued_once(self, database: Database, run: Run) -> None:
        """Items that are worked on or succeeded stay as they are."""
        first, second, _ = claim(database, run, most=3)
        collect(database, first)
        fail(database, second)
        with database.transaction() as tx:
            assert (tx.items.requeue(run), tx.items.requeue(run)) == (1, 0)
        assert states(database, run) == ["succeeded", "pending", "running", "pending"]

    def test_only_what_a_dead_worker_left_is_requeued_if_so_asked(self, database: Database, run: Run) -> None:
        """What the living failed at, and what was skipped before it was claimed, stays decided."""
        fail(database, *claim(database, run, "dead", most=1))
        fail(database, *claim(database, run, "alive", most=1))
        (left_out,) = claim(database, run, "dead", most=1)
        finish(database, skipped(left_out, SkipReason.API_COST_CAP))
        with database.transaction() as tx:
            tx.items.skip_pending(run, SkipReason.API_COST_CAP, now=NOW)
            assert not tx.items.has_running(run)
            assert tx.items.requeue(run, "dead".__eq__) == 2
        assert states(database, run) == ["pending", "failed", "pending", "skipped"]

    def test_what_was_skipped_after_its_worker_had_died_stays_skipped(
        self, database: Database, run: Run
    ) -> None:
        """Whoever skipped it decided that, not the dead: to requeue it would skip and count it again."""
        claim(database, run, "dead", most=2)
        assert release_dead(database) == {"dead"}
        with database.transaction() as tx:
            assert tx.items.skip_pending(run, SkipReason.API_COST_CAP, now=NOW) == 4
            assert tx.items.requeue(run, "dead".__eq__) == 0
        assert states(database, run) == ["skipped"] * 4


class TestOutcomes:
    """How the accounts of a run ended."""

    def test_what_was_not_begun_is_skipped(self, database: Database, run: Run) -> None:
        """Items that are worked on or have an outcome stay as they are."""
        first, _ = claim(database, run, most=2)
        collect(database, first)
        with database.transaction() as tx:
            assert tx.items.skip_pending(run, SkipReason.API_COST_CAP, now=NOW) == 2
        found = records(database, run)
        assert [each.state.value for each in found] == ["succeeded", "running", "skipped", "skipped"]
        assert [each.skip_reason for each in found] == [None, None, *[SkipReason.API_COST_CAP] * 2]

    def test_a_skipped_account_keeps_what_it_cost(self, database: Database, run: Run) -> None:
        """Requests paid before the account was left out are counted."""
        (item,) = claim(database, run, most=1)
        finish(database, skipped(item, SkipReason.NOT_ACTIVE, api_requests=3))
        found = records(database, run)[0]
        assert (found.state, found.skip_reason) == (ItemState.SKIPPED, SkipReason.NOT_ACTIVE)
        assert found.api_requests == 3

    def test_success_after_a_failure_forgets_the_error(self, database: Database, run: Run) -> None:
        """An account that succeeded has no failure; its attempts and requests are those of both."""
        fail(database, claim(database, run, most=1)[0], retry_after=timedelta(0))
        (again,) = (item for item in claim(database, run) if item.attempt == 2)
        collect(database, again)
        found = records(database, run)[0]
        assert (found.state, found.failure) == (ItemState.SUCCEEDED, None)
        assert (found.attempts, found.api_requests) == (2, 3)

    def test_nothing_is_recorded_if_the_transaction_is_undone(self, database: Database, run: Run) -> None:
        """The outcome commits with the costs: a kill before the commit leaves the claim as it was."""
        (item,) = claim(database, run, most=1)

        def die_before_the_commit() -> None:
            with database.transaction() as tx:
                tx.items.lock([item])
                save_collected(tx, item)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            die_before_the_commit()
        found = records(database, run)[0]
        assert (found.state, found.attempts) == (ItemState.RUNNING, 0)
        with database.transaction() as tx:
            assert tx.items.lock([item]) == [item]

    def test_requests_are_summed_over_the_run(self, database: Database, run: Run) -> None:
        """Those of failed attempts count."""
        with database.transaction() as tx:
            assert tx.items.api_requests(run) == 0
        first, second = claim(database, run, most=2)
        fail(database, first, retry_after=timedelta(0))
        collect(database, second, api_requests=4)
        collect(database, claim(database, run)[-1], api_requests=3)
        with database.transaction() as tx:
            assert tx.items.api_requests(run) == 1 + 4 + 3

    def test_a_run_is_counted_by_state_kind_and_reason(self, database: Database) -> None:
        """An account that waits for another attempt has not failed."""
        run = run_of_every_outcome(database)
        with database.transaction() as tx:
            counts = tx.items.counts(run)
            # The skipped one is of an account that is not active any more.
            assert tx.items.states(run) == set(ItemState) - {ItemState.SKIPPED}
        assert counts == counts_of(records(database, run))
        assert counts.accounts == {
            ItemState.SUCCEEDED: 2,
            ItemState.FAILED: 1,
            ItemState.SKIPPED: 1,
            ItemState.RUNNING: 1,
            ItemState.PENDING: 2,
        }
        assert (counts.failures, counts.skips) == ({ErrorKind.THROTTLED: 1}, {SkipReason.NOT_ACTIVE: 1})
        assert (counts.api_requests, counts.unanswered) == (6, 1)

    def test_a_run_without_accounts_has_empty_counts(self, database: Database) -> None:
        """Nothing to do is a run like any other."""
        run = open_run(database)
        with database.transaction() as tx:
            assert tx.items.counts(run) == RunCounts()
            assert (tx.items.states(run), tx.items.seconds_until_work(run)) == (set(), None)

    def test_the_accounts_that_did_not_succeed_can_be_had_alone(self, database: Database) -> None:
        """Together with those that are asked for by their items."""
        run = run_of_every_outcome(database)
        everything = records(database, run)
        with database.transaction() as tx:
            undone = tx.items.records(run, succeeded_too=False)
            with_second = tx.items.records(run, succeeded_too=False, also=[everything[1].id])
        assert [each.aws_account_id for each in undone] == [account_id(number) for number in range(3, 8)]
        assert with_second == everything[1:]

    def test_which_of_some_accounts_a_run_has_listed_is_told_without_reading_all(
        self, database: Database, run: Run
    ) -> None:
        """One that came after the run began is not among them."""
        listed = [item.account.id for item in claim(database, run, most=2)]
        later = add_account(database, 9).id
        with database.transaction() as tx:
            assert tx.items.listed_of(run, [listed[1], later]) == {listed[1]}
            assert tx.items.listed_of(run, []) == set()

    def test_a_record_says_why_its_account_failed(self, database: Database, run: Run) -> None:
        """Name, attempts, requests and failure; an account that was not tried has none of them."""
        fail(database, *claim(database, run, most=1))
        bad, untried, *_ = records(database, run)
        assert (bad.name, bad.state, bad.failure) == ("account-1", ItemState.FAILED, failure())
        assert (bad.attempts, bad.api_requests) == (1, 1)
        assert (untried.attempts, untried.api_requests, untried.failure) == (0, 0, None)


def run_of_every_outcome(database: Database) -> Run:
    """Return a run with an account in each state, two that succeeded, and one that waits for a retry."""
    for number in range(1, 8):
        add_account(database, number)
    run = open_run(database)
    first, second, third, fourth, fifth, _ = claim(database, run, most=6)
    finish(
        database,
        succeeded(first),
        succeeded(second, unanswered=1),
        failed(third),
        failed(fourth, retry_after=timedelta(hours=1)),
        skipped(fifth, SkipReason.NOT_ACTIVE),
    )
    return run
