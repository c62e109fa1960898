"""Claims in a thread of their own: what comes back is taken once, and nothing of it is lost or kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event as Signal
from threading import current_thread

import pytest

from costbatch.application.jobs.queue import Claimer
from costbatch.application.ports import Transaction
from costbatch.domain.runs import RunRequest
from costbatch.errors import StatementRefused, StorageError
from tests.support.factories import NOW, make_account
from tests.support.fake_store import FakeStore
from tests.support.run_harness import POLICY, RunHarness


@dataclass
class GatedStore(FakeStore):
    """A database that answers other threads than the one that made it when its gate is open."""

    gate: Signal = field(default_factory=Signal)
    home: str = field(default_factory=lambda: current_thread().name)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Return a transaction."""
        if current_thread().name != self.home:
            assert self.gate.wait(10)
        with super().transaction() as tx:
            yield tx


@pytest.fixture
def store() -> GatedStore:
    """Return a database with a run of three accounts."""
    store = GatedStore()
    store.tables.accounts.rows = {row: make_account(row) for row in (1, 2, 3)}
    with store.transaction() as tx:
        tx.runs.enlist(tx.runs.open("job", RunRequest(), now=NOW, version="1"))
    return store


@pytest.fixture
def woken() -> Signal:
    """Return what is set when a claim is back."""
    return Signal()


@pytest.fixture
def claimer(store: GatedStore, woken: Signal) -> Iterator[Claimer]:
    """Return a claimer of the run."""
    run = store.tables.runs.rows["job"]
    claimer = Claimer(
        run=run, database=store, clock=lambda: NOW, policy=POLICY, worker="this", wake=woken.set
    )
    yield claimer
    store.gate.set()
    claimer.close()


def test_a_claim_waits_for_the_database_in_another_thread(
    claimer: Claimer, store: GatedStore, woken: Signal
) -> None:
    """Whoever asks goes on at once, and is woken when there is something to take."""
    claimer.ask(2, 0)
    assert claimer.take() is None
    assert claimer.is_asking
    store.gate.set()
    assert woken.wait(10)
    flights = claimer.take()
    assert flights is not None
    assert [flight.claim.account.id for flight in flights] == [1, 2]


def test_what_a_claim_brought_is_taken_once(claimer: Claimer, store: GatedStore, woken: Signal) -> None:
    """After that nothing is under way."""
    store.gate.set()
    claimer.ask(3, 0)
    assert woken.wait(10)
    assert len(claimer.take() or []) == 3
    assert not claimer.is_asking
    assert claimer.take() is None


def test_a_claim_that_finds_nothing_is_no_claim_under_way(
    claimer: Claimer, store: GatedStore, woken: Signal
) -> None:
    """No accounts is an answer too, unlike no answer."""
    assert len(claimer.claim(3, 0)) == 3
    store.gate.set()
    claimer.ask(3, 0)
    assert woken.wait(10)
    assert claimer.take() == []


def test_a_refused_claim_is_heard_of_where_it_is_taken(
    claimer: Claimer, store: GatedStore, woken: Signal
) -> None:
    """In the thread that can end the run."""
    store.faults = [StatementRefused("No.")]
    store.gate.set()
    claimer.ask(1, 0)
    assert woken.wait(10)
    with pytest.raises(StorageError, match="No"):
        claimer.take()


def test_what_a_stopped_run_has_still_claimed_is_given_back() -> None:
    """The claim under way is waited for, so that its accounts do not wait for a lease to lapse."""
    harness = RunHarness(store=GatedStore())
    store = harness.store
    assert isinstance(store, GatedStore)
    store.tables.accounts.rows = {row: make_account(row) for row in range(1, 41)}

    def stop() -> None:
        harness.stop.set()
        store.gate.set()

    harness.source.on_fetch = stop
    harness.collect()
    assert harness.states.count("collected") == len(harness.source.fetched) <= POLICY.concurrency
    assert harness.states.count("pending") == 40 - harness.states.count("collected")
