"""A database that is unavailable for a moment."""

from dataclasses import dataclass, field
from threading import Event as Signal

import pytest

from costbatch.application.jobs import retry
from costbatch.application.jobs.retry import PATIENCE_SECONDS, STOPPING_PATIENCE_SECONDS, in_transaction
from costbatch.application.ports import Transaction
from costbatch.errors import ConfigError, StatementRefused, StorageError
from tests.support.factories import days
from tests.support.fake_store import FakeStore


@dataclass
class Clock:
    """A clock that moves only during a sleep."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.pauses.append(seconds)
        self.now += seconds


@dataclass
class Stop(Signal):
    """A stop signal that is set at an instant of the clock."""

    clock: Clock
    at: float

    def __post_init__(self) -> None:
        """Begin unset."""
        super().__init__()

    def is_set(self) -> bool:
        """Whether the instant is over."""
        return self.clock.now >= self.at

    def wait(self, timeout: float | None = None) -> bool:
        """Let time pass, up to the instant."""
        assert timeout is not None
        self.clock.sleep(min(timeout, max(0, self.at - self.clock.now)))
        return self.is_set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put this clock in place of the real one."""
    clock = Clock()
    monkeypatch.setattr(retry, "monotonic", lambda: clock.now)
    monkeypatch.setattr(retry, "sleep", clock.sleep)
    return clock


def away(times: int) -> FakeStore:
    """Return a database that is unavailable this many times."""
    return FakeStore(faults=[StorageError(f"Away, {n}.") for n in range(times)])


def test_what_succeeds_is_done_once(clock: Clock) -> None:
    """And its value is returned, without a pause."""
    assert in_transaction(away(0), lambda _: 7) == 7
    assert clock.pauses == []


def test_an_action_is_done_again_until_the_database_is_back(clock: Clock) -> None:
    """The pauses double up to four seconds."""
    assert in_transaction(away(6), lambda _: "done") == "done"
    assert clock.pauses == [0.5, 1, 2, 4, 4, 4]


def test_a_database_that_stays_unavailable_is_given_up_in_time(clock: Clock) -> None:
    """Within the limit, with the last error, and not at the first."""
    with pytest.raises(StorageError, match="Away"):
        in_transaction(away(1000), lambda _: None)
    assert PATIENCE_SECONDS - 4 <= clock.now - 1000 <= PATIENCE_SECONDS


@pytest.mark.parametrize("seconds", [0, 0.25, 10, 20])
def test_a_process_that_is_asked_to_stop_is_patient_for_seconds_only(clock: Clock, seconds: float) -> None:
    """From the signal on, also if it comes during a pause: who asked does not wait for ever."""
    stop = Stop(clock, clock.now + seconds)
    with pytest.raises(StorageError, match="Away"):
        in_transaction(away(1000), lambda _: None, stop=stop)
    waited = clock.now - stop.at
    assert 0 <= waited <= STOPPING_PATIENCE_SECONDS
    assert clock.now - 1000 <= PATIENCE_SECONDS


def test_a_database_that_is_back_soon_is_waited_for_also_by_a_process_that_stops(clock: Clock) -> None:
    """The signal ends a pause, and the database is asked at once."""
    assert in_transaction(away(3), lambda _: 7, stop=Stop(clock, clock.now + 0.75)) == 7
    assert clock.pauses == [0.5, 0.25, 2]


def test_a_connection_lost_within_the_action_begins_it_anew(clock: Clock) -> None:
    """What it had written is undone first."""
    store, errors = FakeStore(), [StorageError("Lost.")]

    def act(tx: Transaction) -> None:
        tx.costs.prepare_months(days(0, 1))
        if errors:
            raise errors.pop()

    in_transaction(store, act)
    assert store.tables.costs.prepared == [days(0, 1)]


@pytest.mark.parametrize("error", [StatementRefused("Bad row."), ConfigError("Taken."), ValueError("Ours.")])
def test_an_error_that_waiting_does_not_help_is_raised_at_once(clock: Clock, error: Exception) -> None:
    """The database is available and refuses, or the error is a bug."""

    def act(_tx: Transaction) -> None:
        attempts.append(1)
        raise error

    attempts: list[int] = []
    with pytest.raises(type(error)):
        in_transaction(away(0), act)
    assert (attempts, clock.pauses) == ([1], [])
