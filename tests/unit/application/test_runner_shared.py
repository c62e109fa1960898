"""Several processes with one run key, against fakes: takeovers, late joiners, and the cap of all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Event as Signal
from threading import Lock
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import pytest

from costbatch.application.collect.job import CollectTask
from costbatch.application.jobs import queue, retry, runner, stopping
from costbatch.application.jobs.runner import Runner
from costbatch.domain.accounts import Account
from costbatch.domain.costs import FetchedCosts
from costbatch.domain.runs import ItemState, Run, RunStatus, StopReason
from costbatch.errors import AccountError, ErrorKind
from tests.support.fake_runs import FakeDisplay, FakeItems
from tests.support.run_harness import POLICY, RunHarness, harness_with

DENIED = AccountError(ErrorKind.ACCESS_DENIED, "No.")
Joins = Callable[[Callable[[], None]], None]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> RunHarness:
    """Return a harness with four accounts, whose process looks again soon while it waits for another."""
    monkeypatch.setattr(queue, "BEAT_SECONDS", 0.02)
    return harness_with(1, 2, 3, 4)


@pytest.fixture
def when_all_is_done(monkeypatch: pytest.MonkeyPatch) -> Joins:
    """Return what makes something happen once, after a process has found all done and before it closes."""

    def arrange(happens: Callable[[], None]) -> None:
        work, events = Runner._work, [happens]

        def work_and_be_joined(runner: Runner[CollectTask, FetchedCosts], run: Run) -> StopReason | None:
            stopped_by = work(runner, run)
            while events:
                events.pop()()
            return stopped_by

        monkeypatch.setattr(Runner, "_work", work_and_be_joined)

    return arrange


def requeue(harness: RunHarness) -> None:
    """Requeue failed accounts, as a retry does when it joins."""
    run = harness.store.tables.run_rows["job"]
    with harness.store.transaction() as tx:
        assert tx.items.requeue(run) == 1
        tx.runs.resume(run)


def give_claim(harness: RunHarness, row: int, worker: str) -> None:
    """Make an account look as if another process worked on it."""
    listed = harness.store.tables.items.listed
    taken = replace(listed[row].record, state=ItemState.RUNNING)
    listed[row] = replace(listed[row], record=taken, worker=worker, token=uuid4())


def begin(harness: RunHarness, worker: str) -> None:
    """Leave the run of another worker.

    One account succeeded, one failed, and the worker has claimed the other two.
    """
    harness.source.answers, harness.worker = {2: [DENIED]}, worker
    harness.collect()
    harness.worker = "this"
    harness.source.answers = {}
    harness.source.fetched.clear()
    for row in (3, 4):
        give_claim(harness, row, worker)


def dies_after(looks: int) -> Callable[[str], bool]:
    """Return a process table that has the worker "dead" no more after this many looks."""
    left = iter([False] * looks)
    return lambda worker: worker == "dead" and next(left, True)


@pytest.mark.parametrize("looks", [1, 2])
def test_a_takeover_includes_what_the_dead_process_left_failed(harness: RunHarness, looks: int) -> None:
    """It started while the claims of the dead looked alive; it gets every account that did not succeed."""
    begin(harness, "dead")
    harness.is_gone = dies_after(looks)
    run = harness.collect()
    assert run.status is RunStatus.COMPLETED
    assert sorted(row for row, _ in harness.source.fetched) == [2, 3, 4]
    assert harness.records[2].attempts == 1
    assert [line["accounts"] for line in harness.logged("accounts_requeued")] == [1]


def test_a_takeover_tries_what_failed_only_once_more(harness: RunHarness) -> None:
    """What fails for good ends the run as it would have without the death."""
    begin(harness, "dead")
    harness.source.answers = {2: [DENIED]}
    harness.is_gone = dies_after(1)
    assert harness.collect().status is RunStatus.PARTIAL
    assert [row for row, _ in harness.source.fetched].count(2) == 1


def test_a_takeover_includes_the_dead_whose_claims_end_without_this_process(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its start they were locked: a last commit was under way, or another run's process came first."""
    begin(harness, "dead")
    real = FakeItems.release_dead

    def release_dead(items: FakeItems, is_gone: Callable[[str], bool]) -> list[tuple[UUID, str]]:
        if items.listed[3].worker == "dead":
            return [(run_id, "dead") for run_id in items.run_ids]
        return real(items, is_gone)

    def commit(_: int) -> None:
        listed = harness.store.tables.items.listed
        for row in (3, 4):
            done = replace(listed[row].record, state=ItemState.SUCCEEDED)
            listed[row] = replace(listed[row], record=done, worker=None, token=None)

    monkeypatch.setattr(FakeItems, "release_dead", release_dead)
    monkeypatch.setattr(harness.display, "begin", commit)
    assert harness.collect().status is RunStatus.COMPLETED
    assert [row for row, _ in harness.source.fetched] == [2]
    assert [line["accounts"] for line in harness.logged("accounts_requeued")] == [1]


def test_a_takeover_includes_the_dead_whose_claims_another_run_releases(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died on another host after the start, and only what it left tells this process of it."""
    begin(harness, "dead")

    def release(_: int) -> None:
        with harness.store.transaction() as tx:
            tx.items.release_dead("dead".__eq__)

    monkeypatch.setattr(harness.display, "begin", release)
    assert harness.collect().status is RunStatus.COMPLETED
    assert sorted(row for row, _ in harness.source.fetched) == [2, 3, 4]
    assert [line["accounts"] for line in harness.logged("accounts_requeued")] == [1]


def test_what_another_run_releases_of_this_process_counts_for_no_death(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease lapsed, as in a pause of the machine: what it has decided stays."""
    begin(harness, "this")

    def release(_: int) -> None:
        with harness.store.transaction() as tx:
            tx.items.release_dead("this".__eq__)

    monkeypatch.setattr(harness.display, "begin", release)
    assert harness.collect().status is RunStatus.PARTIAL
    assert sorted(row for row, _ in harness.source.fetched) == [3, 4]


def test_the_dead_are_known_also_if_the_start_is_done_twice(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit was not heard: the repeat finds their claims ended, and another process at work."""
    begin(harness, "dead")
    give_claim(harness, 4, "other")
    harness.is_gone = lambda worker: worker == "dead"

    def twice(*arguments: Any, **more: Any) -> object:
        retry.in_transaction(*arguments, **more)
        return retry.in_transaction(*arguments, **more)

    def commit(_: int) -> None:
        listed = harness.store.tables.items.listed
        done = replace(listed[4].record, state=ItemState.SUCCEEDED)
        listed[4] = replace(listed[4], record=done, worker=None, token=None)

    monkeypatch.setattr(runner, "in_transaction", twice)
    monkeypatch.setattr(harness.display, "begin", commit)
    assert harness.collect().status is RunStatus.COMPLETED
    assert sorted(row for row, _ in harness.source.fetched) == [2, 3]


def test_without_a_takeover_nothing_is_requeued(harness: RunHarness) -> None:
    """The other process lives and finishes its accounts itself: outcomes of the run stay."""

    class TheirEnd(Signal):
        """A stop signal; during a wait for it the other process finishes its accounts."""

        def wait(self, timeout: float | None = None) -> bool:
            listed = harness.store.tables.items.listed
            for row in (3, 4):
                done = replace(listed[row].record, state=ItemState.SUCCEEDED)
                listed[row] = replace(listed[row], record=done, worker=None, token=None)
            return super().wait(0)

    begin(harness, "other")
    harness.stop = TheirEnd()
    assert harness.collect().status is RunStatus.PARTIAL
    assert harness.source.fetched == []
    assert harness.states == ["succeeded", "failed", "succeeded", "succeeded"]


def test_a_takeover_without_failed_accounts_just_ends(harness: RunHarness) -> None:
    """There is nothing to requeue."""
    begin(harness, "dead")
    requeue(harness)
    harness.is_gone = dies_after(1)
    assert harness.collect().status is RunStatus.COMPLETED
    assert harness.logged("accounts_requeued") == []


def test_claims_of_dead_processes_are_looked_for_while_there_is_other_work(harness: RunHarness) -> None:
    """A death in the middle of the run is noticed during a fetch; its account is the last one."""
    harness.policy = replace(POLICY, lease=timedelta(seconds=0.05), concurrency=1)
    harness.stop.set()
    harness.collect()
    harness.stop, noticed = Signal(), Signal()
    give_claim(harness, 1, "dead")

    def is_gone(worker: str) -> bool:
        if worker != "dead" or not harness.source.fetched:
            return False
        noticed.set()
        return True

    def wait_until_noticed() -> None:
        noticed.wait(10)

    harness.is_gone, harness.source.on_fetch = is_gone, wait_until_noticed
    assert harness.collect().status is RunStatus.COMPLETED
    assert [row for row, _ in harness.source.fetched] == [2, 3, 4, 1]


def test_a_process_continues_if_a_retry_requeues_accounts_while_it_closes(
    harness: RunHarness, when_all_is_done: Joins
) -> None:
    """It does not end as if it had been stopped: the accounts are for every process of the run."""
    harness.source.answers = {2: [DENIED, None]}
    when_all_is_done(lambda: requeue(harness))
    run = harness.collect()
    assert (run.status, run.stopped_by) == (RunStatus.COMPLETED, None)
    assert [row for row, _ in harness.source.fetched].count(2) == 2
    assert harness.event_types.count("run.completed") == 1


def test_a_process_that_was_stopped_does_not_continue(harness: RunHarness, when_all_is_done: Joins) -> None:
    """Accounts that come back while it closes are left to the retry."""
    harness.source.answers = {2: [DENIED, None]}

    def join() -> None:
        requeue(harness)
        harness.stop.set()

    when_all_is_done(join)
    run = harness.collect()
    assert (run.status, run.stopped_by) == (RunStatus.STOPPED, StopReason.SIGNAL)
    assert [row for row, _ in harness.source.fetched].count(2) == 1


def test_the_deadline_counts_from_the_start_also_if_a_process_continues(
    harness: RunHarness, when_all_is_done: Joins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accounts that come back do not give the process its time anew."""
    harness.policy = replace(POLICY, deadline=timedelta(hours=1))
    harness.source.answers = {2: [DENIED, None]}

    def join_later() -> None:
        requeue(harness)
        then = monotonic() + 3601
        monkeypatch.setattr(stopping, "monotonic", lambda: then)

    when_all_is_done(join_later)
    run = harness.collect()
    assert (run.status, run.stopped_by) == (RunStatus.STOPPED, StopReason.DEADLINE)
    assert [row for row, _ in harness.source.fetched].count(2) == 1


def test_the_cap_is_of_all_processes_of_the_run(harness: RunHarness) -> None:
    """What another process has spent meanwhile is not left for this one."""

    class Joined(FakeDisplay):
        """When it shows the first account, another process joins, does one account and ends."""

        def advance(self, outcome: str, account: Account) -> None:
            super().advance(outcome, account)
            if len(self.outcomes) == 1:
                other.collect()

    harness.policy, harness.display = replace(POLICY, concurrency=1, most_requests=2), Joined()
    other = RunHarness(store=harness.store, policy=harness.policy)
    other.source.on_fetch = other.stop.set
    assert harness.collect().status is RunStatus.PARTIAL
    assert (len(harness.source.fetched), len(other.source.fetched)) == (1, 1)
    assert sorted(harness.states) == ["skipped", "skipped", "succeeded", "succeeded"]


def test_without_a_cap_the_recorded_requests_are_not_read(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary run makes no statement that it does not need."""
    monkeypatch.delattr(FakeItems, "api_requests")
    assert harness.collect().status is RunStatus.COMPLETED


def test_towards_the_end_a_free_thread_takes_what_is_left(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that found no room is no reason to leave accounts until all others are saved."""
    monkeypatch.setattr(queue, "BEAT_SECONDS", 30)
    all_begun, waits = Signal(), Lock()
    seen = list[bool]()

    def hang() -> None:
        if len(harness.source.fetched) == len(harness.store.tables.accounts.rows):
            all_begun.set()
        if waits.acquire(blocking=False):
            seen.append(all_begun.wait(10))

    harness.source.on_fetch = hang
    harness.collect()
    assert seen == [True]
