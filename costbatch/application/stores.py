"""What the stories need of a database: stores, each within one transaction. Adapters fit by shape."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from costbatch.domain.accounts import Account, AccountStatus, NewAccount
from costbatch.domain.anomalies import Anomaly, AnomalyState
from costbatch.domain.compared_costs import ComparedCost
from costbatch.domain.costs import DayDigests, DayTotal, FetchedCosts, StoredChange, StoredDay
from costbatch.domain.credentials import Access, SealedCredentials
from costbatch.domain.detection import Rule
from costbatch.domain.events import Delivery, Event
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import (
    Claim,
    CollectionState,
    Ending,
    Run,
    RunCounts,
    RunRequest,
    RunStatus,
    SkipReason,
    StopReason,
)
from costbatch.domain.runs import Collection as AccountCollection


class AccountStore(Protocol):
    """The accounts and their sealed credentials."""

    def find(self, aws_account_id: str) -> Account | None:
        """Return the account, removed ones too."""

    def list_all(self, statuses: Sequence[AccountStatus] = tuple(AccountStatus)) -> list[Account]:
        """Return the accounts with one of the statuses, by 12-digit id."""

    def add(self, new: NewAccount, *, now: datetime) -> Account:
        """Register an account; one that was removed comes back with its history."""

    def set_status(self, account: Account, status: AccountStatus, *, now: datetime) -> None:
        """Set the status; removing also erases the credentials."""

    def save_credentials(self, account: Account, sealed: SealedCredentials, *, now: datetime) -> None:
        """Store sealed credentials in place of what was there."""

    def load_access(self, account: Account) -> Access:
        """Return how to reach the account."""

    def load_accesses(self, accounts: Sequence[Account]) -> dict[int, Access]:
        """Return how to reach each account, by its row."""

    def dependents(self, account: Account) -> list[Account]:
        """Return the accounts, not removed, whose roles this account's credentials assume."""

    def may_read_credentials(self) -> bool:
        """Whether the database lets this role read the sealed credentials, which a reader need not."""

    def credential_key_ids(self) -> dict[str, int]:
        """Return how many credentials each key id has sealed."""

    def save_progress(self, accounts: Sequence[Account]) -> None:
        """Remember which days are stored without a gap, and since when and why an account fails."""

    def save_proven(self, accesses: Sequence[Access], *, now: datetime) -> None:
        """Remember that AWS has said whose credentials these are, unless others have taken their place."""


class CostStore(Protocol):
    """The daily costs."""

    def prepare_months(self, days: DateRange) -> None:
        """Make room for the days, in a transaction of its own."""

    def replace_windows(self, fetched: Sequence[tuple[Account, FetchedCosts]]) -> list[StoredChange]:
        """Make the fresh days of each account equal to what was fetched: write only what differs."""

    def stored_days(self, days_of: Mapping[int, DateRange]) -> dict[int, list[StoredDay]]:
        """Return, by account row, what is stored of each day in each currency."""

    def first_days(self, currencies_of: Mapping[int, Collection[str]]) -> dict[tuple[int, str], date]:
        """Return, by account row and currency, the first day with cost."""

    def day_totals(self, days_of: Mapping[int, DateRange], rule: Rule) -> dict[int, list[DayTotal]]:
        """Return, by account row, the comparable cost of each day with cost."""

    def service_totals(self, account: Account, days: DateRange, rule: Rule) -> dict[str, list[DayTotal]]:
        """Return the comparable cost of each day, by service."""

    def cost_of_day(self, day: date, rule: Rule) -> list[tuple[str, str, Decimal]]:
        """Return (12-digit account id, currency, comparable cost) of every account on one day."""

    def compared_costs(
        self, run: Run, days: DateRange, rule: Rule, *, most: int | None
    ) -> list[ComparedCost]:
        """Return what the collected accounts cost: the ``most`` largest, and the others together.

        By currency. A single day is compared with the day before and the same weekday a week before.
        """


class DigestStore(Protocol):
    """What AWS answered last of each account, day by day and in short; an ending brings it."""

    def load(self, windows: Mapping[int, DateRange]) -> dict[int, DayDigests]:
        """Return what is known of each window, by account row; nothing where it is not what is stored.

        That is so when a collection without a record of its answer came later, or rows are missing.
        """


class RunStore(Protocol):
    """The runs and their lists of accounts."""

    def open(self, key: str, request: RunRequest, *, now: datetime, version: str) -> Run:
        """Start a run, or join the one with this key; a finished one with accounts left over runs again.

        Raises:
            ConfigError: the key belongs to a run that was asked for something else.

        """

    def find(self, key: str) -> Run | None:
        """Return the run with this key."""

    def enlist(self, run: Run) -> int:
        """Put every account of the request on the run's list; return how many are still to be done."""

    def requeue(self, run: Run, is_dead: Callable[[str], bool] | None = None) -> int:
        """Put the accounts that were not collected back on the list; return how many.

        is_dead: only those whose last attempt was a dead worker's; None: all.
        """

    def hold(self, run: Run) -> set[CollectionState]:
        """Lock the run for this transaction; return the states that its accounts are in.

        Until it ends nobody else opens the run, closes it or puts accounts back.
        """

    def api_requests(self, run: Run) -> int:
        """Return the paid requests that the run has recorded so far."""

    def last_requests(self) -> dict[int, tuple[int, int]]:
        """Return, by account row, (paid requests, days) of the newest collection."""

    def close(
        self, run: Run, status: RunStatus, *, now: datetime, stopped_by: StopReason | None = None
    ) -> bool:
        """Set the run's status; return whether this call changed it."""

    def load(self, run: Run) -> Run:
        """Return the run as it is now."""

    def counts(self, run: Run) -> RunCounts:
        """Return the accounts of the run in numbers."""

    def collections(self, run: Run, *, collected_too: bool = True) -> list[AccountCollection]:
        """Return every account of the run with its outcome, by 12-digit id.

        Without the collected ones: those that need a look, also collected ones with days that were kept.
        """


class ClaimStore(Protocol):
    """Which process may collect which account of a run, and how each account ended."""

    def claim(self, run: Run, *, worker: str, most: int, lease: timedelta, ahead: int = 0) -> list[Claim]:
        """Take up to ``most`` accounts that nobody is working on, first attempts first.

        While plenty are left, ``ahead`` more; with few left each process takes only what it begins now, so
        that another one can begin the rest.
        """

    def extend_leases(self, claims: Sequence[Claim], lease: timedelta) -> None:
        """Keep claims alive."""

    def release_claims(self, worker: str) -> int:
        """Give this worker's unfinished accounts back; return how many."""

    def release_dead_claims(self, is_gone: Callable[[str], bool]) -> list[tuple[UUID, str]]:
        """Give back what dead workers held, by lease or known to be gone; return (run, worker) of each."""

    def seconds_until_work(self, run: Run) -> float | None:
        """Return how long until an account may be claimed (0: now); None when every one has its outcome."""

    def hold(self, claims: Sequence[Claim]) -> dict[int, Account]:
        """Lock what was claimed for this transaction; return each account as it is now, by collection.

        One that is missing is ours no longer.
        """

    def finish(self, endings: Sequence[Ending], *, now: datetime) -> None:
        """Record how attempts ended, and what AWS answered.

        Without an answer nothing is known any more of what was collected.
        """

    def skip_pending(self, run: Run, reason: SkipReason, *, now: datetime) -> int:
        """Record that every account not begun is left out; return how many."""


class AnomalyStore(Protocol):
    """The anomalies."""

    def load_near(self, starts: Mapping[int, date]) -> dict[int, list[Anomaly]]:
        """Return, by account row, the anomalies that are open or end on or after the account's start."""

    def save(self, anomaly: Anomaly, *, run_id: UUID, now: datetime) -> None:
        """Insert or update by id."""

    def list_in_state(
        self, state: AnomalyState, *, aws_account_ids: Collection[str] = (), most: int | None = None
    ) -> list[Anomaly]:
        """Return the anomalies in a state: the severest first, within a currency the largest impact.

        most: how many. aws_account_ids: only those of these accounts.
        """

    def detected_by(self, run_id: UUID) -> set[UUID]:
        """Return the ids of the anomalies that a run was the first to find."""

    def counts(self, aws_account_ids: Collection[str] = ()) -> dict[tuple[str, str], int]:
        """Return how many anomalies there are by (state, severity), of these accounts if any are given."""


class Outbox(Protocol):
    """Events, and what is still to be delivered to whom."""

    def append(
        self, events: Sequence[Event], sinks: Sequence[str], *, account_id: int | None, run_id: UUID | None
    ) -> None:
        """Add events for every sink; one that is there already is left as it is."""

    def claim(self, sink: str, *, most: int, now: datetime) -> list[Delivery]:
        """Lock up to ``most`` undelivered events of a sink for this transaction, oldest first."""

    def mark_delivered(self, deliveries: Sequence[Delivery], *, now: datetime) -> None:
        """Record that a sink took them."""

    def mark_failed(self, delivery: Delivery, reason: str, *, retry_at: datetime) -> None:
        """Record that a sink did not take one, and when to try again."""

    def count_pending(self) -> int:
        """Return how many deliveries are still to be made."""

    def counts_of_run(self, run_id: UUID) -> dict[str, int]:
        """Return how many events of each type a run has written."""


class Transaction(Protocol):
    """Everything that commits together."""

    @property
    def accounts(self) -> AccountStore:
        """The accounts."""

    @property
    def costs(self) -> CostStore:
        """The daily costs."""

    @property
    def answers(self) -> DigestStore:
        """What AWS answered last."""

    @property
    def runs(self) -> RunStore:
        """The runs."""

    @property
    def claims(self) -> ClaimStore:
        """The claims."""

    @property
    def anomalies(self) -> AnomalyStore:
        """The anomalies."""

    @property
    def outbox(self) -> Outbox:
        """The events."""


class Database(Protocol):
    """Opens transactions; leaving one by an error undoes it."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return a transaction.

        Raises:
            StorageError: the database is unreachable or lost.

        """

    def check_schema(self) -> None:
        """Refuse to work on a schema that this program does not know.

        Raises:
            ConfigError: not migrated, behind, or newer than the program.
            StorageError: the database is unreachable.

        """
