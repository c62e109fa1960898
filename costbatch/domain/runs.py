"""How accounts and runs end, and the one status that tells it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from costbatch.domain.accounts import Account
from costbatch.domain.costs import REQUEST_PRICE_USD, DayDigests, StoredChange
from costbatch.domain.periods import DateRange
from costbatch.errors import ErrorKind

# An account that fails for a passing reason is tried this many times in all within a run.
MAX_ATTEMPTS = 3


class CollectionState(StrEnum):
    """Where one account stands within a run."""

    PENDING = "pending"
    COLLECTING = "collecting"
    COLLECTED = "collected"
    FAILED = "failed"
    SKIPPED = "skipped"


class SkipReason(StrEnum):
    """Why a run left an account out."""

    API_COST_CAP = "api_cost_cap"
    NOT_ACTIVE = "not_active"


class StopReason(StrEnum):
    """Why a run was interrupted; what it left is for a process with the same run key."""

    SIGNAL = "signal"
    DEADLINE = "deadline"


class RunStatus(StrEnum):
    """How a run stands. ``stopped``: interrupted, a process with the same run key goes on."""

    RUNNING = "running"
    STOPPED = "stopped"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a run was asked to do; every process that joins it must ask the same.

    days: None for the ordinary window of each account.
    aws_account_ids: empty for every active account.
    accept_vanished: whether stored days may go, however many of them AWS shows no cost of any more.
    """

    days: DateRange | None = None
    aws_account_ids: tuple[str, ...] = ()
    accept_vanished: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it asks for every active account and its ordinary days, as each night does."""
        return self.days is None and not self.aws_account_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of ``collect`` under one run key.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right of one process to collect one account within a run, until its lease lapses."""

    collection_id: int
    run_id: UUID
    account: Account
    attempt: int
    token: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an account was not collected, with the sentence for people."""

    kind: ErrorKind
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one attempt at an account ended, as the run's list is to record it.

    ``retry_after`` with the state pending: how long the account waits for its next attempt.
    ``api_requests`` are paid ones of this attempt; ``unanswered`` of them had no answer, and may be free.
    ``days_kept`` are stored as they were, although AWS shows no cost of them.
    ``window`` and what follows: of one that was collected.
    ``answers``: what AWS said of each day, to be known the next time; None: it is not what is stored.
    """

    claim: Claim
    state: CollectionState
    api_requests: int
    failure: Failure | None = None
    retry_after: timedelta | None = None
    skip_reason: SkipReason | None = None
    window: DateRange | None = None
    rows_fetched: int | None = None
    change: StoredChange | None = None
    started_at: datetime | None = None
    answers: DayDigests | None = None
    unanswered: int = 0
    days_kept: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One account within a run: what was read, what changed, what it cost."""

    aws_account_id: str
    name: str
    state: CollectionState
    attempts: int = 0
    window: DateRange | None = None
    rows_fetched: int = 0
    change: StoredChange = field(default_factory=StoredChange)
    api_requests: int = 0
    failure: Failure | None = None
    skip_reason: SkipReason | None = None
    duration_seconds: float | None = None
    unanswered: int = 0
    days_kept: int = 0

    @property
    def api_cost_usd(self) -> Decimal:
        """What AWS charges for the requests."""
        return self.api_requests * REQUEST_PRICE_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounts:
    """The accounts of a run in numbers, however many there are.

    accounts: by state. failures: the failed ones by error kind. skips: the skipped ones by reason.
    days_read: from the first to the last day that was read of any account that was collected.
    unanswered: paid requests without an answer. days_kept: stored days that AWS no longer reports.
    """

    accounts: Mapping[CollectionState, int] = field(default_factory=dict)
    failures: Mapping[ErrorKind, int] = field(default_factory=dict)
    skips: Mapping[SkipReason, int] = field(default_factory=dict)
    days_read: DateRange | None = None
    rows_fetched: int = 0
    change: StoredChange = field(default_factory=StoredChange)
    api_requests: int = 0
    unanswered: int = 0
    days_kept: int = 0

    def count(self, *states: CollectionState) -> int:
        """Return how many accounts are in one of the states; without any, how many there are."""
        return sum(number for state, number in self.accounts.items() if not states or state in states)

    @property
    def api_cost_usd(self) -> Decimal:
        """What AWS charges for the requests."""
        return self.api_requests * REQUEST_PRICE_USD


def status_of(states: set[CollectionState]) -> RunStatus:
    """Return how a run stands whose accounts are in these states.

    Total failure is: there were accounts, and none was collected.
    """
    if states & {CollectionState.PENDING, CollectionState.COLLECTING}:
        return RunStatus.RUNNING
    if not states or states == {CollectionState.COLLECTED}:
        return RunStatus.COMPLETED
    return RunStatus.PARTIAL if CollectionState.COLLECTED in states else RunStatus.FAILED
