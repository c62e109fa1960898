"""Claims: what a claim brings is started at once, and none of it is lost or kept."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from costbatch.application.collect.job import CollectJob, CollectTask
from costbatch.application.jobs.budget import ApiBudget
from costbatch.application.jobs.pool import WorkerPool
from costbatch.application.jobs.queue import Queue
from costbatch.domain.collection import CollectOptions
from costbatch.domain.costs import FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.periods import WindowPolicy
from costbatch.errors import StatementRefused, StorageError
from tests.support.factories import NOW, make_account
from tests.support.fake_runs import LEASES, FakeSource
from tests.support.fake_store import FakeStore
from tests.support.fakes import FakeAccounts
from tests.support.run_harness import POLICY, RunHarness, make_detection


@pytest.fixture
def store() -> FakeStore:
    """Return a database with a run of three accounts."""
    store = FakeStore()
    store.tables.accounts.rows = {row: make_account(row) for row in (1, 2, 3)}
    with store.transaction() as tx:
        tx.items.enlist(tx.runs.open("job", CollectOptions().to_request(), now=NOW, version="1"))
    return store


@pytest.fixture
def queue(store: FakeStore) -> Iterator[Queue[CollectTask, FetchedCosts]]:
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
    source.gate.set()
    queue.pool.close()


def claim(queue: Queue[CollectTask, FetchedCosts], items: int) -> None:
    """Claim this many items."""
    queue.claim(lambda affordable: min(affordable, items))


def rows(queue: Queue[CollectTask, FetchedCosts]) -> list[int]:
    """Return the accounts in flight."""
    return sorted(item.account.id for item in queue.pool.items)


def test_what_a_claim_brings_is_started(queue: Queue[CollectTask, FetchedCosts]) -> None:
    """Beside what is in flight."""
    claim(queue, 2)
    assert rows(queue) == [1, 2, 3]


def test_a_claim_that_finds_nothing_is_not_made_again_at_once(
    queue: Queue[CollectTask, FetchedCosts], store: FakeStore
) -> None:
    """Another process has the rest: asking without a pause would spin."""
    with store.transaction() as tx:
        tx.items.claim(queue.run, worker="other", most=2, lease=POLICY.lease)
    claim(queue, 2)
    assert (rows(queue), queue.may_claim) == ([1], False)


def test_a_refused_claim_is_raised(queue: Queue[CollectTask, FetchedCosts], store: FakeStore) -> None:
    """It ends the run, and nothing of it is in flight."""
    store.faults = [StatementRefused("No.")]
    with pytest.raises(StorageError, match="No"):
        claim(queue, 1)
    assert rows(queue) == [1]


def test_what_a_stopped_run_has_still_claimed_is_released() -> None:
    """So that its accounts do not wait for a lease to lapse."""
    harness = RunHarness()
    harness.store.tables.accounts.rows = {row: make_account(row) for row in range(1, 41)}
    harness.source.on_fetch = harness.stop.set
    harness.collect()
    assert harness.states.count("succeeded") == len(harness.source.fetched) <= POLICY.concurrency
    assert harness.states.count("pending") == 40 - harness.states.count("succeeded")


def test_what_waits_for_a_thread_stays_claimed(queue: Queue[CollectTask, FetchedCosts]) -> None:
    """While the writer saves for long: otherwise it would be released, and claimed a second time."""
    claim(queue, 2)
    LEASES.clear()
    queue._looked -= POLICY.lease.total_seconds()
    queue.keep_alive()
    assert sorted(LEASES) == [1, 2, 3]


def test_an_item_that_cannot_be_prepared_is_claimed_alone(
    queue: Queue[CollectTask, FetchedCosts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may wait as long as statement_timeout allows, and leases are only extended between claims."""

    def refuse(*_: object) -> dict[int, Access]:
        raise StatementRefused("It took too long.")

    monkeypatch.setattr(FakeAccounts, "load_accesses", refuse)
    claim(queue, 2)
    assert rows(queue) == [1, 2]
    assert queue.may_claim
