"""Several processes with one run key, against fakes: heirs, who joins at the end, and the cap of all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Event as Signal
from threading import Lock
from time import monotonic
from uuid import uuid4

import pytest

from costbatch import logs
from costbatch.application.jobs import runner
from costbatch.application.jobs.runner import Shift
from costbatch.domain.accounts import Account
from costbatch.domain.runs import CollectionState, RunStatus, StopReason
from costbatch.errors import AccountError, ErrorKind
from tests.support.factories import make_account
from tests.support.fake_runs import FakeProgress, FakeRuns
from tests.support.run_harness import POLICY, RunHarness

DENIED = AccountError(ErrorKind.ACCESS_DENIED, "No.")
Joins = Callable[[Callable[[], None]], None]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> RunHarness:
    """Return a harness with four accounts, whose process looks again soon where it waits for another."""
    monkeypatch.setattr(runner, "_BEAT_SECONDS", 0.02)
    logs.unbind_run()
    harness = RunHarness()
    logs.configure("info", "json", harness.log)
    harness.store.tables.accounts.rows = {row: make_account(row) for row in range(1, 5)}
    return harness


@pytest.fixture
def when_all_is_done(monkeypatch: pytest.MonkeyPatch) -> Joins:
    """Return what makes something happen once, after a process has found all done and before it closes."""

    def arrange(happens: Callable[[], None]) -> None:
        work, events = Shift.work, [happens]

        def work_and_be_joined(shift: Shift) -> StopReason | None:
            stopped_by = work(shift)
            while events:
                events.pop()()
            return stopped_by

        monkeypatch.setattr(Shift, "work", work_and_be_joined)

    return arrange


def requeue(harness: RunHarness) -> None:
    """Put failed accounts back on the list, as a retry does when it comes."""
    with harness.store.transaction() as tx:
        assert tx.runs.requeue(harness.store.tables.runs.rows["job"]) == 1


def give_claim(harness: RunHarness, row: int, worker: str) -> None:
    """Make an account look as if another process was on it."""
    listed = harness.store.tables.runs.listed
    taken = replace(listed[row].collection, state=CollectionState.COLLECTING)
    listed[row] = replace(listed[row], collection=taken, worker=worker, token=uuid4())


def begin(harness: RunHarness, worker: str) -> None:
    """Leave a worker's run: one account was collected, one has failed, the worker claims the other two."""
    harness.source.answers, harness.worker = {2: [DENIED]}, worker
    harness.collect()
    harness.worker = "this"
    harness.source.answers = {}
    harness.source.fetched.clear()
    for row in (3, 4):
        give_claim(harness, row, worker)


def dies_after(looks: int) -> Callable[[str], bool]:
    """Return a worker's place in the process table: it is gone once somebody has looked so often."""
    left = iter([False] * looks)
    return lambda worker: worker == "dead" and next(left, True)


@pytest.mark.parametrize("looks", [1, 2])
def test_an_heir_tries_again_what_the_dead_one_left_failed(harness: RunHarness, looks: int) -> None:
    """It came while the claims of the dead looked alive; with them it gets every account not collected."""
    begin(harness, "dead")
    harness.is_gone = dies_after(looks)
    run = harness.collect()
    assert run.status is RunStatus.COMPLETED
    assert sorted(row for row, _ in harness.source.fetched) == [2, 3, 4]
    assert harness.collections[2].attempts == 1
    assert [line["accounts"] for line in harness.logged("accounts_requeued")] == [1]


def test_an_heir_tries_what_failed_once_more_and_no_oftener(harness: RunHarness) -> None:
    """What fails for good ends the run as it would have without the death."""
    begin(harness, "dead")
    harness.source.answers = {2: [DENIED]}
    harness.is_gone = dies_after(1)
    assert harness.collect().status is RunStatus.PARTIAL
    assert [row for row, _ in harness.source.fetched].count(2) == 1


def test_who_has_inherited_nothing_puts_nothing_back(harness: RunHarness) -> None:
    """The other process lives and ends its accounts itself: what the run has decided stays."""

    class TheirEnd(Signal):
        """A stop signal; while it is waited for, the other process gets its accounts done."""

        def wait(self, timeout: float | None = None) -> bool:
            listed = harness.store.tables.runs.listed
            for row in (3, 4):
                done = replace(listed[row].collection, state=CollectionState.COLLECTED)
                listed[row] = replace(listed[row], collection=done, worker=None, token=None)
            return super().wait(0)

    begin(harness, "other")
    harness.stop = TheirEnd()
    assert harness.collect().status is RunStatus.PARTIAL
    assert harness.source.fetched == []
    assert harness.states == ["collected", "failed", "collected", "collected"]


def test_an_heir_without_failed_accounts_just_ends(harness: RunHarness) -> None:
    """There is nothing to put back."""
    begin(harness, "dead")
    requeue(harness)
    harness.is_gone = dies_after(1)
    assert harness.collect().status is RunStatus.COMPLETED
    assert harness.logged("accounts_requeued") == []


def test_claims_of_the_dead_are_looked_for_while_there_is_other_work(harness: RunHarness) -> None:
    """A death in the middle of the run is noticed during a fetch, and the account is the next one."""
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
    assert [row for row, _ in harness.source.fetched] == [2, 1, 3, 4]


def test_a_process_goes_on_where_a_retry_puts_accounts_back_while_it_closes(
    harness: RunHarness, when_all_is_done: Joins
) -> None:
    """It does not end as if somebody had stopped it: the accounts are there for everybody."""
    harness.source.answers = {2: [DENIED, None]}
    when_all_is_done(lambda: requeue(harness))
    run = harness.collect()
    assert (run.status, run.stopped_by) == (RunStatus.COMPLETED, None)
    assert [row for row, _ in harness.source.fetched].count(2) == 2
    assert harness.told.count("run.completed") == 1


def test_a_process_that_was_stopped_does_not_go_on(harness: RunHarness, when_all_is_done: Joins) -> None:
    """Accounts that come back while it closes are left to the retry."""
    harness.source.answers = {2: [DENIED, None]}

    def join() -> None:
        requeue(harness)
        harness.stop.set()

    when_all_is_done(join)
    run = harness.collect()
    assert (run.status, run.stopped_by) == (RunStatus.STOPPED, StopReason.SIGNAL)
    assert [row for row, _ in harness.source.fetched].count(2) == 1


def test_the_deadline_counts_from_the_start_also_where_a_process_goes_on(
    harness: RunHarness, when_all_is_done: Joins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accounts that come back do not give the process its time anew."""
    harness.policy = replace(POLICY, deadline=timedelta(hours=1))
    harness.source.answers = {2: [DENIED, None]}

    def join_later() -> None:
        requeue(harness)
        then = monotonic() + 3601
        monkeypatch.setattr(runner, "monotonic", lambda: then)

    when_all_is_done(join_later)
    run = harness.collect()
    assert (run.status, run.stopped_by) == (RunStatus.STOPPED, StopReason.DEADLINE)
    assert [row for row, _ in harness.source.fetched].count(2) == 1


def test_the_cap_is_of_all_processes_of_the_run(harness: RunHarness) -> None:
    """What another one has spent while this one was at work is not there any more."""

    class Joined(FakeProgress):
        """The screen; when it shows the first account another process joins, which does one and ends."""

        def advance(self, outcome: str, account: Account) -> None:
            super().advance(outcome, account)
            if len(self.outcomes) == 1:
                other.collect()

    harness.policy, harness.progress = replace(POLICY, concurrency=1, most_requests=2), Joined()
    other = RunHarness(store=harness.store, policy=harness.policy)
    other.source.on_fetch = other.stop.set
    assert harness.collect().status is RunStatus.PARTIAL
    assert (len(harness.source.fetched), len(other.source.fetched)) == (1, 1)
    assert sorted(harness.states) == ["collected", "collected", "skipped", "skipped"]


def test_without_a_cap_the_record_is_not_asked(harness: RunHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary run pays for no statement that it has no use for."""
    monkeypatch.delattr(FakeRuns, "api_requests")
    assert harness.collect().status is RunStatus.COMPLETED


def test_towards_the_end_a_free_thread_takes_what_is_left(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that found no room is no reason to leave accounts lying until all others have landed."""
    monkeypatch.setattr(runner, "_BEAT_SECONDS", 30)
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
