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
from costbatch.application import shift
from costbatch.application.shift import Shift
from costbatch.domain.accounts import Account
from costbatch.domain.outcomes import CollectionState, RunStatus, StopReason
from costbatch.errors import AccountError, ErrorKind
from tests.factories import make_account
from tests.fake_runs import FakeProgress, FakeRuns
from tests.house import POLICY, House

DENIED = AccountError(ErrorKind.ACCESS_DENIED, "No.")
Joins = Callable[[Callable[[], None]], None]


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    """Return a house with four accounts, whose process looks again soon where it waits for another."""
    monkeypatch.setattr(shift, "_BEAT_SECONDS", 0.02)
    logs.unbind_run()
    house = House()
    logs.configure("info", "json", house.log)
    house.store.tables.accounts.rows = {row: make_account(row) for row in range(1, 5)}
    return house


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


def put_back(house: House) -> None:
    """Put failed accounts back on the list, as a retry does when it comes."""
    with house.store.transaction() as tx:
        assert tx.runs.put_back(house.store.tables.runs.rows["job"]) == 1


def give_claim(house: House, row: int, worker: str) -> None:
    """Make an account look as if another process was on it."""
    listed = house.store.tables.runs.listed
    taken = replace(listed[row].collection, state=CollectionState.COLLECTING)
    listed[row] = replace(listed[row], collection=taken, worker=worker, token=uuid4())


def begin(house: House, worker: str) -> None:
    """Leave a worker's run: one account was collected, one has failed, the worker claims the other two."""
    house.source.answers, house.worker = {2: [DENIED]}, worker
    house.collect()
    house.worker = "this"
    house.source.answers = {}
    house.source.fetched.clear()
    for row in (3, 4):
        give_claim(house, row, worker)


def dies_after(looks: int) -> Callable[[str], bool]:
    """Return a worker's place in the process table: it is gone once somebody has looked so often."""
    left = iter([False] * looks)
    return lambda worker: worker == "dead" and next(left, True)


@pytest.mark.parametrize("looks", [1, 2])
def test_an_heir_tries_again_what_the_dead_one_left_failed(house: House, looks: int) -> None:
    """It came while the claims of the dead looked alive; with them it gets every account not collected."""
    begin(house, "dead")
    house.is_gone = dies_after(looks)
    run = house.collect()
    assert run.status is RunStatus.COMPLETED
    assert sorted(row for row, _ in house.source.fetched) == [2, 3, 4]
    assert house.collections[2].attempts == 1
    assert [line["accounts"] for line in house.logged("accounts_put_back")] == [1]


def test_an_heir_tries_what_failed_once_more_and_no_oftener(house: House) -> None:
    """What fails for good ends the run as it would have without the death."""
    begin(house, "dead")
    house.source.answers = {2: [DENIED]}
    house.is_gone = dies_after(1)
    assert house.collect().status is RunStatus.PARTIAL
    assert [row for row, _ in house.source.fetched].count(2) == 1


def test_who_has_inherited_nothing_puts_nothing_back(house: House) -> None:
    """The other process lives and ends its accounts itself: what the run has decided stays."""

    class TheirEnd(Signal):
        """A stop signal; while it is waited for, the other process gets its accounts done."""

        def wait(self, timeout: float | None = None) -> bool:
            listed = house.store.tables.runs.listed
            for row in (3, 4):
                done = replace(listed[row].collection, state=CollectionState.COLLECTED)
                listed[row] = replace(listed[row], collection=done, worker=None, token=None)
            return super().wait(0)

    begin(house, "other")
    house.stop = TheirEnd()
    assert house.collect().status is RunStatus.PARTIAL
    assert house.source.fetched == []
    assert house.states == ["collected", "failed", "collected", "collected"]


def test_an_heir_without_failed_accounts_just_ends(house: House) -> None:
    """There is nothing to put back."""
    begin(house, "dead")
    put_back(house)
    house.is_gone = dies_after(1)
    assert house.collect().status is RunStatus.COMPLETED
    assert house.logged("accounts_put_back") == []


def test_claims_of_the_dead_are_looked_for_while_there_is_other_work(house: House) -> None:
    """A death in the middle of the run is noticed during a fetch, and the account is the next one."""
    house.policy = replace(POLICY, lease=timedelta(seconds=0.05), concurrency=1)
    house.stop.set()
    house.collect()
    house.stop, noticed = Signal(), Signal()
    give_claim(house, 1, "dead")

    def is_gone(worker: str) -> bool:
        if worker != "dead" or not house.source.fetched:
            return False
        noticed.set()
        return True

    def wait_until_noticed() -> None:
        noticed.wait(10)

    house.is_gone, house.source.on_fetch = is_gone, wait_until_noticed
    assert house.collect().status is RunStatus.COMPLETED
    assert [row for row, _ in house.source.fetched] == [2, 1, 3, 4]


def test_a_process_goes_on_where_a_retry_puts_accounts_back_while_it_closes(
    house: House, when_all_is_done: Joins
) -> None:
    """It does not end as if somebody had stopped it: the accounts are there for everybody."""
    house.source.answers = {2: [DENIED, None]}
    when_all_is_done(lambda: put_back(house))
    run = house.collect()
    assert (run.status, run.stopped_by) == (RunStatus.COMPLETED, None)
    assert [row for row, _ in house.source.fetched].count(2) == 2
    assert house.told.count("run.completed") == 1


def test_a_process_that_was_stopped_does_not_go_on(house: House, when_all_is_done: Joins) -> None:
    """Accounts that come back while it closes are left to the retry."""
    house.source.answers = {2: [DENIED, None]}

    def join() -> None:
        put_back(house)
        house.stop.set()

    when_all_is_done(join)
    run = house.collect()
    assert (run.status, run.stopped_by) == (RunStatus.STOPPED, StopReason.SIGNAL)
    assert [row for row, _ in house.source.fetched].count(2) == 1


def test_the_deadline_counts_from_the_start_also_where_a_process_goes_on(
    house: House, when_all_is_done: Joins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accounts that come back do not give the process its time anew."""
    house.policy = replace(POLICY, deadline=timedelta(hours=1))
    house.source.answers = {2: [DENIED, None]}

    def join_later() -> None:
        put_back(house)
        then = monotonic() + 3601
        monkeypatch.setattr(shift, "monotonic", lambda: then)

    when_all_is_done(join_later)
    run = house.collect()
    assert (run.status, run.stopped_by) == (RunStatus.STOPPED, StopReason.DEADLINE)
    assert [row for row, _ in house.source.fetched].count(2) == 1


def test_the_cap_is_of_all_processes_of_the_run(house: House) -> None:
    """What another one has spent while this one was at work is not there any more."""

    class Joined(FakeProgress):
        """The screen; when it shows the first account another process joins, which does one and ends."""

        def advance(self, outcome: str, account: Account) -> None:
            super().advance(outcome, account)
            if len(self.outcomes) == 1:
                other.collect()

    house.policy, house.progress = replace(POLICY, concurrency=1, most_requests=2), Joined()
    other = House(store=house.store, policy=house.policy)
    other.source.on_fetch = other.stop.set
    assert house.collect().status is RunStatus.PARTIAL
    assert (len(house.source.fetched), len(other.source.fetched)) == (1, 1)
    assert sorted(house.states) == ["collected", "collected", "skipped", "skipped"]


def test_without_a_cap_the_record_is_not_asked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary run pays for no statement that it has no use for."""
    monkeypatch.delattr(FakeRuns, "api_requests")
    assert house.collect().status is RunStatus.COMPLETED


def test_towards_the_end_a_free_thread_takes_what_is_left(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that found no room is no reason to leave accounts lying until all others have landed."""
    monkeypatch.setattr(shift, "_BEAT_SECONDS", 30)
    all_begun, waits = Signal(), Lock()
    seen = list[bool]()

    def hang() -> None:
        if len(house.source.fetched) == len(house.store.tables.accounts.rows):
            all_begun.set()
        if waits.acquire(blocking=False):
            seen.append(all_begun.wait(10))

    house.source.on_fetch = hang
    house.collect()
    assert seen == [True]
