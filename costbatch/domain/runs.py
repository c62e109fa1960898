"""Runs of a job, the work items of a run (one for each account), and how both end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from costbatch.domain.accounts import NO_PROGRESS, Account, Progress
from costbatch.domain.events import Event
from costbatch.errors import ConfigError, ErrorKind

# How often a run tries an account that fails with a transient error.
MAX_ATTEMPTS = 3
# What two processes have died with may be what killed them: it is worked on alone, to find out.
SUSPECT_TAKEOVERS = 2
# After one more, the run does not try it again: it would keep the run from its end, and events from delivery.
MAX_TAKEOVERS = SUSPECT_TAKEOVERS + 1


class ItemState(StrEnum):
    """The state of one account within a run."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


UNFINISHED = frozenset({ItemState.PENDING, ItemState.RUNNING})


class SkipReason(StrEnum):
    """Why a run skipped an account."""

    API_COST_CAP = "api_cost_cap"
    NOT_ACTIVE = "not_active"


class StopReason(StrEnum):
    """Why a run was interrupted; resume it with the same run key."""

    SIGNAL = "signal"
    DEADLINE = "deadline"


class RunStatus(StrEnum):
    """The status of a run. ``stopped``: interrupted; a process with the same run key resumes it."""

    RUNNING = "running"
    STOPPED = "stopped"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"


class FailOn(StrEnum):
    """Which failures make a run fail: only a total one, or a partial one as well."""

    TOTAL = "total"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a run was asked to do; every process that joins it must ask for the same.

    job: the name of the job.
    aws_account_ids: empty for every active account.
    options: what the job itself was asked for, JSON-ready.
    """

    job: str
    aws_account_ids: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether it asks for every active account and nothing special, as each night does."""
        return not self.aws_account_ids and not self.options


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a job under one run key.

    ``today`` is the UTC day of its start, for every process that joins it.
    """

    id: UUID
    key: str
    request: RunRequest
    status: RunStatus
    today: date
    started_at: datetime
    finished_at: datetime | None = None
    stopped_by: StopReason | None = None

    def check_request(self, request: RunRequest) -> None:
        """Refuse a process that asks for something else.

        Raises:
            ConfigError: with what to do.

        """
        if request != self.request:
            raise ConfigError(
                f"The run key {self.key!r} belongs to a run that was asked for other days or accounts, or "
                "with other options; repeat its options or choose another --run-key."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """One account of a run, claimed by one process until its lease lapses.

    attempt: counts from 1. token: proof of the claim. progress: what earlier runs of the job achieved.
    takeovers: how many processes have died while they held it. left_by: the last of them, if it was not tried
    since.
    """

    id: int
    run_id: UUID
    account: Account
    progress: Progress
    attempt: int
    token: UUID
    takeovers: int = 0
    left_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why the work on an account failed, with the sentence for people."""

    kind: ErrorKind
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attempt at a work item ended.

    ``retry_after`` with the state pending: how long the account waits for its next attempt.
    ``api_requests`` are the paid ones of this attempt, ``unanswered`` those of them that had no answer.
    ``progress`` and ``events`` are of one that succeeded, ``warnings`` are log events with their fields.
    """

    item: WorkItem
    state: ItemState
    api_requests: int
    unanswered: int = 0
    failure: Failure | None = None
    retry_after: timedelta | None = None
    skip_reason: SkipReason | None = None
    started_at: datetime | None = None
    progress: Progress = NO_PROGRESS
    events: tuple[Event, ...] = ()
    warnings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRecord:
    """One account within a run, as it is recorded."""

    id: int
    aws_account_id: str
    name: str
    state: ItemState
    attempts: int = 0
    api_requests: int = 0
    unanswered: int = 0
    failure: Failure | None = None
    skip_reason: SkipReason | None = None
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounts:
    """The accounts of a run in numbers.

    accounts: by state. failures: the failed ones by error kind. skips: the skipped ones by reason.
    unanswered: paid requests without an answer.
    """

    accounts: Mapping[ItemState, int] = field(default_factory=dict)
    failures: Mapping[ErrorKind, int] = field(default_factory=dict)
    skips: Mapping[SkipReason, int] = field(default_factory=dict)
    api_requests: int = 0
    unanswered: int = 0

    def count(self, *states: ItemState) -> int:
        """Return how many accounts are in one of the states; without any, how many there are."""
        return sum(number for state, number in self.accounts.items() if not states or state in states)

    @property
    def not_active(self) -> int:
        """How many were paused or removed meanwhile: they do not count for how the run ended."""
        return self.skips.get(SkipReason.NOT_ACTIVE, 0)


def status_of(states: set[ItemState]) -> RunStatus:
    """Return the status of a run whose accounts are in these states.

    A run fails if there were accounts and none of them succeeded.
    """
    if states & UNFINISHED:
        return RunStatus.RUNNING
    if not states or states == {ItemState.SUCCEEDED}:
        return RunStatus.COMPLETED
    return RunStatus.PARTIAL if ItemState.SUCCEEDED in states else RunStatus.FAILED


def is_success(status: RunStatus, fail_on: FailOn) -> bool:
    """Return whether a run that ended like this succeeded."""
    return status is RunStatus.COMPLETED or (status is RunStatus.PARTIAL and fail_on is FailOn.TOTAL)
