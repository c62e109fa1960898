"""What the engine needs of the database: the runs, and the work items of each; a part of the ports."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from costbatch.domain.runs import (
    ItemRecord,
    ItemState,
    Outcome,
    Run,
    RunCounts,
    RunRequest,
    RunStatus,
    SkipReason,
    StopReason,
    WorkItem,
)


class RunStore(Protocol):
    """The runs."""

    def open(self, key: str, request: RunRequest, *, now: datetime, version: str) -> Run:
        """Start a run, or lock and return the one of the job with this key.

        Raises:
            ConfigError: the key belongs to a run that was asked for something else.

        """

    def find(self, job: str, key: str) -> Run | None:
        """Return the run of a job with this key."""

    def lock(self, run: Run) -> None:
        """Lock the run for this transaction: no other process opens, closes or resumes it meanwhile."""

    def resume(self, run: Run) -> Run:
        """Set an ended run running again if an account of it is unfinished; return it as it is now."""

    def close(
        self, run: Run, status: RunStatus, *, now: datetime, stopped_by: StopReason | None = None
    ) -> bool:
        """Set the run's status; return whether this call changed it."""

    def load(self, run: Run) -> Run:
        """Return the run as it is now."""


class ItemStore(Protocol):
    """The work items of runs: who works on which account, and how each ended."""

    def enlist(self, run: Run) -> int:
        """Add an item for every account of the request; return how many items are unfinished.

        The accounts that the job has worked on longest ago, or never, are claimed first.
        """

    def has_running(self, run: Run) -> bool:
        """Return whether any process works on an item of the run now."""

    def requeue(self, run: Run, is_dead: Callable[[str], bool] | None = None) -> int:
        """Make the items that did not succeed pending again; return how many.

        is_dead: only those whose last attempt was a dead worker's; None: all.
        """

    def claim(
        self, run: Run, *, worker: str, most: int, lease: timedelta, ahead: int = 0, suspects: bool = False
    ) -> list[WorkItem]:
        """Claim up to ``most`` pending items of active accounts.

        First attempts come first, what was taken over from the dead last. While plenty are left, ``ahead``
        more; with few left each process takes only what it begins now, so that another one can begin the
        rest. suspects: only items with many takeovers; else none of them.
        """

    def extend_leases(self, items: Sequence[WorkItem], lease: timedelta) -> None:
        """Renew the leases of claimed items."""

    def release(self, worker: str) -> int:
        """Make this worker's unfinished items pending again; return how many."""

    def release_dead(self, is_gone: Callable[[str], bool]) -> list[tuple[UUID, str]]:
        """Release what dead workers hold: by lease, or known to be gone; return (run, worker) of each.

        It counts as a takeover of each item, not as an attempt. A locked one is left, its worker named once.
        """

    def seconds_until_work(self, run: Run) -> float | None:
        """Return how long until an item may be claimed (0: now); None if all are finished."""

    def lock(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        """Lock claimed items for this transaction; return those still ours, account and progress as now."""

    def finish(self, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        """Record how attempts ended; they count only now, so that kills do not use attempts up."""

    def skip_pending(self, run: Run, reason: SkipReason, *, now: datetime) -> int:
        """Record every pending item as skipped; return how many."""

    def skip_inactive(self, run: Run, *, now: datetime) -> int:
        """Record the pending items of accounts that were paused or removed as skipped; return how many."""

    def states(self, run: Run) -> set[ItemState]:
        """Return the states that the run's items are in, without accounts that were paused or removed."""

    def counts(self, run: Run) -> RunCounts:
        """Return the accounts of the run in numbers."""

    def records(
        self, run: Run, *, succeeded_too: bool = True, also: Collection[int] = ()
    ) -> list[ItemRecord]:
        """Return the run's accounts by 12-digit id: all, or those that did not succeed and these items."""

    def listed_of(self, run: Run, account_ids: Collection[int]) -> set[int]:
        """Return which of these accounts the run has an item of, by account row."""

    def add_requests(self, run: Run, account_id: int, requests: int, *, unanswered: int) -> None:
        """Count paid requests that were made for an account after its item had ended."""

    def add_lost_requests(self, item: WorkItem, requests: int, *, unanswered: int) -> None:
        """Count paid requests of a claim that was taken over; one whose result was saved adds none."""

    def api_requests(self, run: Run) -> int:
        """Return the paid requests that the run has recorded so far."""
