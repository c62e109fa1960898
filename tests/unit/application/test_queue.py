"""Claims in a thread of their own: what a claim brings is started once, and nothing of it is lost or kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Event as Signal
from threading import current_thread

import pytest

from costbatch.application.collect.job import CollectJob, CollectTask
from costbatch.application.jobs.budget import ApiBudget
from costbatch.application.jobs.pool import WorkerPool
from costbatch.application.jobs.queue import Queue
from costbatch.application.ports import Transaction
from costbatch.domain.collection import CollectOptions
from costbatch.domain.costs import FetchedCosts
from costbatch.domain.periods import WindowPolicy
from costbatch.errors import StatementRefused, StorageError
from tests.support.factories import NOW, make_account
from tests.support.fake_runs import LEASES, FakeSource
from tests.support.fake_store import FakeStore
from tests.support.run_harness import POLICY, RunHarness, make_detection


@dataclass
class GatedStore(FakeStore):
    """A database that answers other threads than the one that made it only while its gate is open."""

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
        tx.items.enlist(tx.runs.open("job", CollectOptions().to_request(), now=NOW, version="1"))
    return store


@pytest.fixture
def queue(store: GatedStore) -> Iterator[Queue[CollectTask, FetchedCosts]]:
    """Return the queue of the run, with the first account in flight until the test ends."""
    source = FakeSource()
    source.gate.clear()
    job = CollectJob(
        source=source,
        windows=WindowPolicy(),
        detection=make_detection(),
        clock=lambda: NOW,
        vanished_ratio=Decimal("0.5"),
    )
    queue = Queue(
        run=store.tables.run_rows["job"],
        job=job,
        database=store,
        policy=POLICY,
        worker="this",
        is_gone=lambda _: False,
        pool=WorkerPool(job, ApiBudget(), threads=3, clock=lambda: NOW),
    )
    claim(queue, 1)
    yield queue
    for gate in (store.gate, source.gate):
        gate.set()
    queue.close()
    queue.pool.close()


def claim(queue: Queue[CollectTask, FetchedCosts], items: int) -> None:
    """Claim this many items."""
    queue.claim(lambda affordable: min(affordable, items))


def wait_for_claim(queue: Queue[CollectTask, FetchedCosts]) -> None:
    """Wait as the run does, for a result or for a claim that has come back."""
    assert queue.pool.finished(timeout_seconds=10, most=1) == []


def rows(queue: Queue[CollectTask, FetchedCosts]) -> list[int]:
    """Return the accounts in flight."""
    return sorted(item.account.id for item in queue.pool.items)


def test_a_claim_waits_for_the_database_in_another_thread(
    queue: Queue[CollectTask, FetchedCosts], store: GatedStore
) -> None:
    """The caller continues at once, and is woken when there is something to take."""
    claim(queue, 2)
    assert not queue.take()
    assert queue.is_claiming
    assert not queue.may_claim
    store.gate.set()
    wait_for_claim(queue)
    assert queue.take()
    assert rows(queue) == [1, 2, 3]


def test_what_a_claim_brought_is_taken_once(
    queue: Queue[CollectTask, FetchedCosts], store: GatedStore
) -> None:
    """After that no claim is under way."""
    store.gate.set()
    claim(queue, 2)
    wait_for_claim(queue)
    assert queue.take()
    assert not queue.is_claiming
    assert not queue.take()
    assert rows(queue) == [1, 2, 3]


def test_a_claim_that_finds_nothing_is_no_claim_under_way(
    queue: Queue[CollectTask, FetchedCosts], store: GatedStore
) -> None:
    """No items is an answer too, unlike no answer; it is not asked for again at once."""
    with store.transaction() as tx:
        tx.items.claim(queue.run, worker="other", most=2, lease=POLICY.lease)
    store.gate.set()
    claim(queue, 2)
    wait_for_claim(queue)
    assert queue.take()
    assert (rows(queue), queue.is_claiming, queue.may_claim) == ([1], False, False)


def test_a_refused_claim_is_raised_when_it_is_taken(
    queue: Queue[CollectTask, FetchedCosts], store: GatedStore
) -> None:
    """In the thread that can end the run."""
    store.faults = [StatementRefused("No.")]
    store.gate.set()
    claim(queue, 1)
    wait_for_claim(queue)
    with pytest.raises(StorageError, match="No"):
        queue.take()


def test_what_a_stopped_run_has_still_claimed_is_released() -> None:
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
    assert harness.states.count("succeeded") == len(harness.source.fetched) <= POLICY.concurrency
    assert harness.states.count("pending") == 40 - harness.states.count("succeeded")


def test_a_claim_that_nobody_has_taken_yet_stays_claimed(
    queue: Queue[CollectTask, FetchedCosts], store: GatedStore
) -> None:
    """While the writer saves for long: otherwise its items would be released, and claimed a second time."""
    store.gate.set()
    claim(queue, 2)
    wait_for_claim(queue)
    LEASES.clear()
    queue._looked -= POLICY.lease.total_seconds()
    queue.keep_alive()
    assert sorted(LEASES) == [1, 2, 3]
