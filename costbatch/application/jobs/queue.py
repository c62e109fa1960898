"""Claims items of a run, keeps the claims alive, and takes over those of dead processes."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Generic
from uuid import UUID

from costbatch.application.jobs.job import Job, R, T, internal_failure
from costbatch.application.jobs.policy import RunPolicy
from costbatch.application.jobs.pool import Claimed, WorkerPool
from costbatch.application.jobs.retry import in_transaction, is_lost
from costbatch.application.ports import Database, Transaction
from costbatch.domain.runs import MAX_TAKEOVERS, SUSPECT_TAKEOVERS, Failure, Run, WorkItem
from costbatch.errors import ErrorKind
from costbatch.logs import get_logger

log = get_logger(__name__)

# How often within a lease the own claims are extended and those of dead processes are looked for.
_LOOKS_PER_LEASE = 5
# How many items are claimed at once: a claim of fewer takes more time for each, with more the first of them
# wait. When no more than this wait for a thread, it is time to claim again.
_CLAIMED_AT_ONCE = 16
# The longest pause before the queue is looked at again.
BEAT_SECONDS = 1.0


@dataclass(kw_only=True)
class Queue(Generic[T, R]):
    """The items of one run, as one process sees them.

    dead: other processes of the run that are known to be gone, until what they failed at is tried again.
    """

    run: Run
    job: Job[T, R]
    database: Database
    policy: RunPolicy
    worker: str
    is_gone: Callable[[str], bool]
    pool: WorkerPool[T, R]
    dead: set[str] = field(default_factory=set)
    _is_near_end: bool = False
    _is_with_suspect: bool = False
    _came_back_empty: float | None = None
    _looked: float = field(default_factory=monotonic)

    @property
    def beat_seconds(self) -> float:
        """How long the caller may sleep: no lease may lapse meanwhile."""
        return min(BEAT_SECONDS, self.policy.lease.total_seconds() / 4)

    @property
    def may_claim(self) -> bool:
        """Whether it is time to claim: threads need items, and the last claim did not just find none."""
        if not self.pool.in_flight:
            return True
        if self._is_with_suspect:
            return False
        if self._came_back_empty is not None:
            return self.pool.free > 0 and monotonic() - self._came_back_empty > self.beat_seconds
        if not self._is_near_end:
            return self.pool.waiting < _CLAIMED_AT_ONCE
        # Not for each item that makes room: a claim of several takes little longer than of one.
        return self.pool.free + self._soon > 0 and self.pool.waiting <= self._soon // 2

    def claim(self, affordable: Callable[[int], int]) -> None:
        """Claim and start items for threads that are free or will be soon, and more if plenty are left.

        Items that another process could begin now are not claimed ahead. Items that may have killed their
        processes are worked on last, one at a time: if a process dies then, that item is the cause.
        ``affordable`` returns how many of a number of items the budget allows.

        Raises:
            StorageError: the database is lost.

        """
        most = affordable(min(max(self.pool.free + self._soon, 0), _CLAIMED_AT_ONCE))
        ahead = affordable(_CLAIMED_AT_ONCE) - most

        claimed = self._claimed(most, ahead, affordable)
        # Another run's process may have released it: only ``left_by`` shows a death on another host.
        self.dead |= {item.left_by for item in claimed.items if item.left_by not in {None, self.worker}}
        found = len(claimed.items)
        self._is_with_suspect = any(item.takeovers >= SUSPECT_TAKEOVERS for item in claimed.items)
        # Fewer than asked: what is left is for the process that can begin it first.
        self._is_near_end = found < most + ahead
        # None, and not only because no thread was free: nothing is left for now.
        self._came_back_empty = None if found or (ahead and not most) else monotonic()
        self.pool.start(claimed)

    def wait_for_work(self, wait: Callable[[float], object], *, now: datetime) -> bool:
        """Wait for a retry's pause or another process; return whether there is anything to wait for."""

        def look(tx: Transaction) -> float | None:
            # This process has nothing in flight: a claim in its name is one whose commit it never learned of.
            tx.items.release(self.worker)
            self._take_over(tx)
            # Only active accounts are claimed, so the end does not wait for one that was paused meanwhile.
            tx.items.skip_inactive(self.run, now=now)
            return tx.items.seconds_until_work(self.run)

        seconds = in_transaction(self.database, look)
        if seconds is None:
            return self._requeue_of_dead()
        # Also if work is due now: another run may hold the account, and asking at once would spin.
        wait(min(max(seconds, 0.1), BEAT_SECONDS))
        return True

    def keep_alive(self) -> None:
        """Several times within a lease: extend the own claims, and take over those of dead processes."""
        if monotonic() - self._looked <= self.policy.lease.total_seconds() / _LOOKS_PER_LEASE:
            return
        items = self.pool.items
        in_transaction(self.database, lambda tx: tx.items.extend_leases(items, self.policy.lease))
        in_transaction(self.database, self._take_over)
        self._looked = monotonic()

    @property
    def _soon(self) -> int:
        return min(self.pool.begun_soon, 2 * _CLAIMED_AT_ONCE)

    def _claimed(self, most: int, ahead: int, affordable: Callable[[int], int]) -> Claimed[T]:
        """Claim items and prepare them in one transaction; if one cannot be prepared, claim one alone."""
        items: Sequence[WorkItem] = ()

        def take(tx: Transaction, most: int, ahead: int) -> Sequence[WorkItem]:
            ours = partial(tx.items.claim, self.run, worker=self.worker, lease=self.policy.lease)
            found = ours(most=most, ahead=ahead)
            if not found and not self.pool.in_flight and affordable(1):
                found = ours(most=1, suspects=True)
            return found

        def claim(tx: Transaction) -> Claimed[T]:
            nonlocal items
            items = take(tx, most, ahead)
            return Claimed(items, self._prepare(tx, items) if items else {})

        try:
            return in_transaction(self.database, claim)
        except Exception as error:
            if not items or is_lost(error):
                raise
        # What is stored of one of them cannot be read. PostgreSQL takes nothing more in a transaction in
        # which it refused a statement, and undoes the claim with it. Only one, because each may wait as long
        # as statement_timeout allows, and meanwhile no lease is extended.
        one = min(most, 1)
        items = in_transaction(self.database, lambda tx: take(tx, one, 1 - one))
        return Claimed(items, {item.id: self._prepare_alone(item) for item in items})

    def _prepare_alone(self, item: WorkItem) -> T | Failure:
        try:
            return in_transaction(self.database, lambda tx: self._prepare(tx, [item]))[item.id]
        except Exception as error:
            if is_lost(error):
                raise
            log.exception("account_not_readable", aws_account_id=item.account.aws_account_id)
            return internal_failure(error)

    def _prepare(self, tx: Transaction, items: Sequence[WorkItem]) -> dict[int, T | Failure]:
        if items[0].takeovers >= MAX_TAKEOVERS:
            # It is the only one: suspects are claimed one at a time.
            kind = ErrorKind.PROCESS_KILLED
            message = f"{MAX_TAKEOVERS} processes ended while they worked on this account. {kind.advice}"
            return {items[0].id: Failure(kind=kind, message=message)}
        return dict(self.job.prepare(tx, self.run, items))

    def _take_over(self, tx: Transaction) -> None:
        """Release what dead workers hold, of other runs too."""
        self.dead |= dead_of(self.run, tx.items.release_dead(self.is_gone))

    def _requeue_of_dead(self) -> bool:
        """Try again what dead processes of the run failed at, as their retry would; each process once.

        At its start this process could not do so: their claims looked alive or were locked, or others worked.
        """
        dead, self.dead = self.dead, set()
        if not dead:
            return False

        def requeue(tx: Transaction) -> int:
            tx.runs.lock(self.run)
            accounts = tx.items.requeue(self.run, lambda worker: worker in dead or self.is_gone(worker))
            tx.runs.resume(self.run)
            return accounts

        accounts = in_transaction(self.database, requeue)
        if accounts:
            log.info("accounts_requeued", accounts=accounts)
        return accounts > 0


def dead_of(run: Run, named: Collection[tuple[UUID, str]]) -> set[str]:
    """Return the workers of a run among those that ``release_dead`` has named."""
    return {worker for run_id, worker in named if run_id == run.id}
