"""The run under stress: signals, leases, takeovers, refusals and a database that goes away."""

from dataclasses import replace
from datetime import timedelta
from threading import Event as Signal
from threading import Timer
from threading import enumerate as enumerate_threads

import pytest

from costbatch import logs
from costbatch.application import shift
from costbatch.domain.outcomes import (
    CollectionState,
    RunStatus,
    StopReason,
)
from costbatch.errors import ErrorKind, StatementRefused, StorageError
from tests.factories import make_account
from tests.fake_runs import LEASES
from tests.house import POLICY, House


@pytest.fixture
def house() -> House:
    """Return a house with four accounts."""
    logs.unbind_run()
    house = House()
    logs.configure("info", "json", house.log)
    house.store.tables.accounts.rows = {row: make_account(row) for row in range(1, 5)}
    return house


def test_a_stop_signal_lets_those_in_flight_finish(house: House) -> None:
    """No account is taken any more; the run is stopped, not ended, and tells nothing."""
    house.source.on_fetch = house.stop.set
    assert house.collect().status is RunStatus.STOPPED
    done = house.states.count("collected")
    assert done == len(house.source.fetched) <= 2
    assert house.states.count("pending") == 4 - done >= 2
    assert "run.completed" not in house.told


def test_those_in_flight_are_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the grace period an answer that comes late is still stored."""
    monkeypatch.setattr(shift, "_BEAT_SECONDS", 0.02)
    house.source.gate.clear()
    house.source.on_fetch = house.stop.set
    Timer(0.2, house.source.gate.set).start()
    assert house.collect().status is RunStatus.STOPPED
    assert house.states.count("collected") == len(house.source.fetched) >= 1


def test_a_deadline_ends_the_work_and_is_recorded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in flight is finished; the rest is left to a retry of the run, which takes it up."""
    monkeypatch.setattr(shift, "_BEAT_SECONDS", 0.02)
    house.policy = replace(POLICY, concurrency=1, deadline=timedelta(seconds=0.2))
    house.source.gate.clear()
    Timer(0.4, house.source.gate.set).start()
    run = house.collect()
    assert (run.status, run.stopped_by) == (RunStatus.STOPPED, StopReason.DEADLINE)
    assert sorted(house.states) == ["collected", "pending", "pending", "pending"]
    assert len(house.logged("deadline_reached")) == 1
    assert "run.completed" not in house.told
    house.policy = POLICY
    again = house.collect()
    assert (again.status, again.stopped_by) == (RunStatus.COMPLETED, None)
    assert len(house.source.fetched) == 4


def test_a_run_that_is_done_in_time_knows_no_deadline(house: House) -> None:
    """It completes as any other."""
    house.policy = replace(POLICY, deadline=timedelta(hours=1))
    run = house.collect()
    assert (run.status, run.stopped_by) == (RunStatus.COMPLETED, None)


def test_a_run_leaves_no_thread_behind(house: House) -> None:
    """Its idle threads end with it."""
    house.collect()
    threads = [thread for thread in enumerate_threads() if thread.name.startswith("fetch-")]
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_a_claim_in_our_name_that_we_never_heard_of_is_taken_again(house: House) -> None:
    """Its commit arrived and the answer to it did not: the account must not wait for its lease."""
    house.stop.set()
    house.collect()
    listed = house.store.tables.runs.listed
    taken = replace(listed[1].collection, state=CollectionState.COLLECTING)
    listed[1] = replace(
        listed[1], collection=taken, worker="this", token=house.store.tables.runs.rows["job"].id
    )
    house.stop = Signal()
    assert house.collect().status is RunStatus.COMPLETED


def test_a_run_stopped_before_it_began_fetches_nothing(house: House) -> None:
    """The signal came while it opened."""
    house.stop.set()
    assert house.collect().status is RunStatus.STOPPED
    assert house.source.fetched == []


def test_a_stopped_run_is_taken_up_again(house: House) -> None:
    """The next process with its key collects the rest, and only the rest."""
    house.source.on_fetch = house.stop.set
    house.collect()
    house.stop, house.source.on_fetch = Signal(), lambda: None
    assert house.collect().status is RunStatus.COMPLETED
    assert sorted(row for row, _ in house.source.fetched) == [1, 2, 3, 4]
    assert house.told == ["run.completed"]


def test_when_the_grace_is_over_claims_are_given_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that hangs does not keep the process: another one may take the account at once."""
    monkeypatch.setattr(shift, "_BEAT_SECONDS", 0.02)
    house.policy = replace(POLICY, grace=timedelta(seconds=0.05))
    house.source.gate.clear()
    house.source.on_fetch = house.stop.set
    run = house.collect()
    house.source.gate.set()
    assert run.status is RunStatus.STOPPED
    assert house.states == ["pending"] * 4
    assert [each.worker for each in house.store.tables.runs.listed.values()] == [None] * 4
    assert [each.attempts for each in house.collections.values()] == [0] * 4
    assert len(house.logged("accounts_given_back")) == 1


def test_leases_of_accounts_in_flight_are_extended(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow answer does not lose its account, as long as this process lives."""
    LEASES.clear()
    house.store.tables.accounts.rows = {1: make_account()}
    house.policy = replace(POLICY, lease=timedelta(seconds=0.06), concurrency=1)
    house.source.gate.clear()
    Timer(0.3, house.source.gate.set).start()
    assert house.collect().status is RunStatus.COMPLETED
    assert len(LEASES) >= 3
    assert set(LEASES) == {1}


def test_an_account_that_another_process_took_over_is_theirs(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we fetched is dropped, and they end it: here the run finds it collected by another's hand."""

    def take_over() -> None:
        house.source.on_fetch = lambda: None
        listed = house.store.tables.runs.listed
        theirs = replace(listed[1].collection, state=CollectionState.COLLECTED, name="theirs")
        listed[1] = replace(listed[1], collection=theirs, worker=None, token=None)

    house.store.tables.accounts.rows = {1: make_account()}
    house.source.on_fetch = take_over
    assert house.collect().status is RunStatus.COMPLETED
    assert house.collections[1].name == "theirs"
    assert house.progress.outcomes == []
    assert len(house.logged("claim_lost")) == 1


def test_the_work_of_a_dead_process_is_picked_up(house: House) -> None:
    """A claim whose worker is known to be gone is free at once."""
    house.stop.set()
    house.collect()
    listed = house.store.tables.runs.listed
    taken = replace(listed[1].collection, state=CollectionState.COLLECTING)
    listed[1] = replace(
        listed[1], collection=taken, worker="dead", token=house.store.tables.runs.rows["job"].id
    )
    house.stop, house.is_gone = Signal(), "dead".__eq__
    assert house.collect().status is RunStatus.COMPLETED


class PatientSignal(Signal):
    """A stop signal that notes for how long somebody waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Note the wait, and wait."""
        self.waits.append(timeout)
        return super().wait(timeout)


def test_a_run_waits_for_the_accounts_that_another_process_has(house: House) -> None:
    """While that process lives the run is not over; when it is gone, its account is taken over."""
    house.stop.set()
    house.collect()
    listed = house.store.tables.runs.listed
    taken = replace(listed[1].collection, state=CollectionState.COLLECTING)
    listed[1] = replace(
        listed[1], collection=taken, worker="other", token=house.store.tables.runs.rows["job"].id
    )
    house.stop = signal = PatientSignal()
    looks = iter([False, False, True])
    house.is_gone = lambda worker: worker == "other" and next(looks)
    assert house.collect().status is RunStatus.COMPLETED
    assert {row for row, _ in house.source.fetched} == {1, 2, 3, 4}
    assert next(looks, None) is None
    assert signal.waits[:1] == [0.1]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StatementRefused("The row does not fit."), f"The row does not fit. {ErrorKind.INTERNAL.advice}"),
        (ArithmeticError("holds anything"), ErrorKind.INTERNAL.advice),
    ],
)
def test_what_cannot_be_stored_fails_its_account_only(house: House, error: Exception, message: str) -> None:
    """The database is there: the account has failed inside after its attempts, the others are collected."""
    house.store.tables.costs.refuses = {2: error}
    assert house.collect().status is RunStatus.PARTIAL
    assert house.states == ["collected", "failed", "collected", "collected"]
    failure = house.collections[2].failure
    assert failure is not None
    assert (failure.kind, failure.message) == (ErrorKind.INTERNAL, message)
    assert house.collections[2].attempts == 3
    assert [line["aws_account_id"] for line in house.logged("account_not_stored")] == ["000000000002"] * 3


def test_a_database_that_is_lost_ends_the_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nowhere to write; what is done stays done, and the screen is left in order."""
    monkeypatch.setattr("costbatch.application.patience.PATIENCE_SECONDS", 0)
    house.store.tables.costs.refuses = dict.fromkeys(range(1, 5), StorageError("Gone."))
    with pytest.raises(StorageError, match="Gone"):
        house.collect()
    assert house.progress.ended == 1
    assert house.told == []


def test_a_database_that_is_away_for_a_moment_costs_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched waits for it; nothing is paid twice."""
    monkeypatch.setattr("costbatch.application.patience._FIRST_PAUSE_SECONDS", 0.001)
    house.store.faults = [None, None, None, None, *[StorageError("Restarting.")] * 3]
    assert house.collect().status is RunStatus.COMPLETED
    assert len(house.source.fetched) == 4
    assert house.store.faults == []
