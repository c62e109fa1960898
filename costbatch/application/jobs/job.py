"""What a job is: everything that the engine does not know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from costbatch.application.ports import Spend, Transaction
from costbatch.domain.accounts import NO_PROGRESS, Account, Progress
from costbatch.domain.events import Event
from costbatch.domain.runs import Failure, ItemState, Outcome, Run, RunRequest, SkipReason, WorkItem
from costbatch.errors import CostbatchError, ErrorKind

NO_WARNINGS: Mapping[str, Mapping[str, object]] = MappingProxyType({})

# What a job prepares for the work on an account, and what the work brings.
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Generic[T, R]):
    """What the work on an item brought.

    api_requests: paid requests of this attempt, also of one that failed. unanswered: those of them that had
    no answer, so that AWS may not have charged them.
    """

    item: WorkItem
    task: T
    value: R
    api_requests: int
    started_at: datetime
    unanswered: int = 0

    @property
    def account(self) -> Account:
        """The account that was worked on."""
        return self.item.account

    @property
    def progress(self) -> Progress:
        """How far the job was with the account before."""
        return self.item.progress

    def succeeded(
        self,
        *,
        progress: Progress = NO_PROGRESS,
        events: Sequence[Event] = (),
        warnings: Mapping[str, Mapping[str, object]] = NO_WARNINGS,
    ) -> Outcome:
        """Return the outcome of work that was stored.

        progress: how far the job is with the account now. warnings: log events with their fields.
        """
        return replace(
            self._outcome(ItemState.SUCCEEDED),
            started_at=self.started_at,
            progress=progress,
            events=tuple(events),
            warnings=warnings,
        )

    def failed(self, failure: Failure) -> Outcome:
        """Return the outcome of work that failed, or that must not be stored."""
        return replace(self._outcome(ItemState.FAILED), failure=failure)

    def skipped(self, reason: SkipReason) -> Outcome:
        """Return the outcome of an account that the run leaves out."""
        return replace(self._outcome(ItemState.SKIPPED), skip_reason=reason)

    def _outcome(self, state: ItemState) -> Outcome:
        return Outcome(
            item=self.item, state=state, api_requests=self.api_requests, unanswered=self.unanswered
        )


# An attempt. The value: why it failed, or None if the cap on paid requests stopped it. The task: None if it
# could not be prepared.
Attempt = Result[T | None, R | Failure | None]


def internal_failure(error: Exception) -> Failure:
    """Return the failure of an account whose data cannot be read or stored."""
    kind = ErrorKind.INTERNAL
    # An error that is not ours may quote anything.
    message = f"{error} {kind.advice}" if isinstance(error, CostbatchError) else kind.advice
    return Failure(kind=kind, message=message)


class Job(Protocol[T, R]):
    """One kind of work on every account. The engine claims, calls, retries and records; the job knows what.

    ``check``, ``begin``, ``prepare``, ``save`` and ``after`` work inside the transaction that they are
    given. ``work`` runs in many threads at once and must not touch the database.
    """

    @property
    def name(self) -> str:
        """The job's name, as it is stored with its runs."""

    def check(self, tx: Transaction, request: RunRequest, *, today: date) -> None:
        """Refuse a request that cannot be carried out, apart from the accounts that it names.

        Raises:
            ConfigError: with what to do; nothing has been done yet.

        """

    def begin(self, tx: Transaction, *, today: date) -> None:
        """Make the database ready for a run; again before a result that was refused is saved once more."""

    def prepare(self, tx: Transaction, run: Run, items: Sequence[WorkItem]) -> Mapping[int, T]:
        """Return what the work on each claimed item needs, by item.

        What it raises undoes the whole transaction; each item is then prepared alone.
        """

    def work(self, item: WorkItem, task: T, spend: Spend) -> R:
        """Do the work on one account. ``spend`` hears of each request that may be paid.

        Raises:
            AccountError: the account fails with its kind.
            BudgetSpent: raised by ``spend``; let it pass.

        """

    def size(self, value: R) -> int:
        """Return how much there is to save, in rows."""

    def save(
        self, tx: Transaction, run: Run, results: Sequence[Result[T, R]], *, now: datetime
    ) -> list[Outcome]:
        """Store what the work brought; return one outcome for each result.

        What it raises undoes the whole transaction; each account is then saved alone.
        """

    def after(self, tx: Transaction, run: Run, *, now: datetime) -> Mapping[str, Any]:
        """Return the summary of a run that ended or whose deadline has passed, JSON-ready, for its event."""

    def is_ordinary(self, request: RunRequest) -> bool:  # noqa: ARG002 - most jobs have no other work
        """Return whether a run does the work of every night: only then can accounts begin or stop failing."""
        return True

    def weight(self, task: T, value: R) -> int:  # noqa: ARG002 - most tasks do not matter
        """Return as how many rows a value counts when results are saved together."""
        return self.size(value)

    def closing_events(self, tx: Transaction, run: Run, *, now: datetime) -> Sequence[Event]:  # noqa: ARG002 - most jobs have none
        """Return the events of the accounts together, of a run that ended or whose deadline has passed.

        A retry asks again.
        """
        return ()
