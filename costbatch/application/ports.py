"""What the application needs from outside: stores within a transaction, a vault, metrics, a display.

Adapters name the port that they implement; the ports are documented here and nowhere else.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from costbatch.application.detection_ports import (
    AnomalyStore,
    AnswerStore,
    AwsAnomalyStore,
    CauseStore,
    ExpectationStore,
    FirstChargeStore,
    MemoryStore,
)
from costbatch.application.discover.ports import DiscoveryStore, ResourceStore
from costbatch.application.jobs.ports import ItemStore, RunStore
from costbatch.application.ledger_store import LedgerStore
from costbatch.application.outbox import Outbox
from costbatch.domain.accounts import Account, AccountStatus, NewAccount, Progress
from costbatch.domain.collection import CollectionCounts, CollectionRecord
from costbatch.domain.compared_costs import ComparedCost
from costbatch.domain.costs import (
    DayDigests,
    DayTotal,
    FetchedCosts,
    ServiceTotals,
    StoredChange,
    StoredDay,
)
from costbatch.domain.credentials import Access, SealedCredentials, StoredSecrets
from costbatch.domain.detection import Rule
from costbatch.domain.labels import Labels
from costbatch.domain.periods import DateRange
from costbatch.domain.reports import RunReport
from costbatch.domain.runs import (
    Run,
)

Clock = Callable[[], datetime]


class AccountStore(Protocol):
    """The accounts and their encrypted credentials."""

    def find(self, aws_account_id: str, *, lock: bool = False) -> Account | None:
        """Return the account, removed ones too. lock: no other transaction locks or changes it meanwhile."""

    def list_all(self, statuses: Sequence[AccountStatus] = tuple(AccountStatus)) -> list[Account]:
        """Return the accounts with one of the statuses, by 12-digit id."""

    def add(self, new: NewAccount, *, now: datetime) -> Account:
        """Register an account; one that was removed comes back with its history.

        Raises:
            ConfigError: it is there already.

        """

    def set_status(self, account: Account, status: AccountStatus, *, now: datetime) -> None:
        """Set the status; removing also erases the credentials."""

    def set_labels(self, account: Account, labels: Labels, *, now: datetime) -> None:
        """Replace the account's labels."""

    def save_credentials(self, account: Account, sealed: SealedCredentials, *, now: datetime) -> None:
        """Store encrypted credentials in place of what was there."""

    def load_access(self, account: Account) -> Access:
        """Return how to reach the account, with the chain of accounts whose credentials assume its role."""

    def load_accesses(self, accounts: Sequence[Account]) -> dict[int, Access]:
        """Return how to reach each account, by its row."""

    def dependents(self, account: Account) -> list[Account]:
        """Return the accounts, not removed, whose roles this account's credentials assume."""

    def may_read_credentials(self) -> bool:
        """Whether the database lets this role read the encrypted credentials, which a reader need not."""

    def credential_key_ids(self) -> dict[str, int]:
        """Return how many credentials are encrypted with each key id."""

    def save_proven(self, accesses: Sequence[Access], *, now: datetime) -> None:
        """Remember that AWS has said whose credentials these are, unless others have taken their place."""


class ProgressStore(Protocol):
    """How far each job got with each account."""

    def load(self, job: str, account_ids: Collection[int] | None = None) -> dict[int, Progress]:
        """Return the progress of a job by account row, of every account if none are named."""

    def load_of(self, account_id: int) -> dict[str, Progress]:
        """Return the progress of every job with one account, by job."""

    def save(self, job: str, progress: Mapping[int, Progress]) -> None:
        """Replace the progress of a job for these accounts."""


class CostStore(Protocol):
    """The daily costs."""

    def prepare_months(self, days: DateRange) -> None:
        """Make room for the days; commit soon, because writers wait meanwhile."""

    def replace_windows(
        self, run: Run, fetched: Mapping[int, FetchedCosts], *, first: Collection[int] = ()
    ) -> dict[int, StoredChange]:
        """Make the changed days equal to what was fetched, by account row: write only what differs.

        The ledger keeps what each row was before and is after; of an account's first costs only the run.
        first: the accounts that were never collected.
        """

    def stored_days(self, days_of: Mapping[int, DateRange]) -> dict[int, list[StoredDay]]:
        """Return, by account row, what is stored of each day in each currency."""

    def first_days(self, currencies_of: Mapping[int, Collection[str]]) -> dict[tuple[int, str], date]:
        """Return, by account row and currency, the first day with cost."""

    def day_totals(self, days_of: Mapping[int, DateRange], rule: Rule) -> dict[int, list[DayTotal]]:
        """Return, by account row, the comparable cost of each day with cost."""

    def service_totals(self, account: Account, days: DateRange, rule: Rule) -> dict[str, list[DayTotal]]:
        """Return the comparable cost of each day, by service."""

    def service_totals_of(self, days_of: Mapping[int, DateRange], rule: Rule) -> dict[int, ServiceTotals]:
        """Return, by account row, the comparable cost of each day, by service."""

    def cost_of_day(self, day: date, rule: Rule) -> list[tuple[str, str, Decimal]]:
        """Return (12-digit account id, currency, comparable cost) of every account on one day."""

    def cost_by_day(
        self, days: DateRange, rule: Rule, *, by_account: bool, aws_account_ids: Collection[str] = ()
    ) -> list[tuple[str, DayTotal]]:
        """Return (12-digit account id, comparable cost of a day); "" for all accounts together."""

    def compared_costs(
        self, run: Run, days: DateRange, rule: Rule, *, most: int | None
    ) -> list[ComparedCost]:
        """Return what the collected accounts cost: the ``most`` largest, and the others together.

        By currency. A single day is compared with the day before and the same weekday a week before.
        """


class CollectionStore(Protocol):
    """What the cost job did for each account of a run."""

    def save(self, records: Mapping[int, CollectionRecord]) -> None:
        """Add or replace records, by work item."""

    def of_run(self, run: Run, *, kept_only: bool = False) -> dict[int, CollectionRecord]:
        """Return the run's records by work item, all or those with days that were kept."""

    def counts(self, run: Run) -> CollectionCounts:
        """Return the run's records as sums."""

    def last_requests(self) -> dict[int, tuple[int, int]]:
        """Return, by account row, (paid requests, days) of the newest collection, without root causes."""

    def first_requests(self) -> dict[int, tuple[int, int]]:
        """Return the same of the oldest collection that is known: as a rule the one with the most days."""


class DigestStore(Protocol):
    """Digests of what AWS last answered for each day. Without them every day is read and compared anew."""

    def load(self, windows: Mapping[int, DateRange]) -> dict[int, DayDigests]:
        """Return the digests by account row; none for an account if they are not what is stored.

        That is so if a collection without digests came later, or if rows are missing.
        """

    def replace(self, digests: Mapping[int, tuple[int, DayDigests] | None]) -> None:
        """Store (work item, digests) by account row; None deletes what is stored."""


class Transaction(Protocol):
    """The stores of one transaction: everything they write commits together."""

    @property
    def accounts(self) -> AccountStore:
        """The accounts."""

    @property
    def progress(self) -> ProgressStore:
        """The progress of jobs."""

    @property
    def runs(self) -> RunStore:
        """The runs."""

    @property
    def items(self) -> ItemStore:
        """The work items."""

    @property
    def costs(self) -> CostStore:
        """The daily costs."""

    @property
    def ledger(self) -> LedgerStore:
        """What each night changed of the daily costs."""

    @property
    def collections(self) -> CollectionStore:
        """The cost job's records."""

    @property
    def digests(self) -> DigestStore:
        """The digests of days."""

    @property
    def resources(self) -> ResourceStore:
        """The resources of accounts."""

    @property
    def discoveries(self) -> DiscoveryStore:
        """The discovery job's records."""

    @property
    def anomalies(self) -> AnomalyStore:
        """The anomalies."""

    @property
    def answers(self) -> AnswerStore:
        """What people answered to anomalies."""

    @property
    def expectations(self) -> ExpectationStore:
        """What was expected of each judged day."""

    @property
    def memories(self) -> MemoryStore:
        """What the adaptive detector remembers."""

    @property
    def first_charges(self) -> FirstChargeStore:
        """The services that accounts have ever paid for."""

    @property
    def causes(self) -> CauseStore:
        """The root causes of anomalies."""

    @property
    def aws_anomalies(self) -> AwsAnomalyStore:
        """The anomalies that AWS detected."""

    @property
    def outbox(self) -> Outbox:
        """The events."""


class Database(Protocol):
    """Opens transactions; leaving one by an error undoes it."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return a transaction that commits at the end and is undone by an error.

        Raises:
            StorageError: the database is unreachable, was lost, or refused a statement.

        """

    def check_schema(self) -> None:
        """Refuse to work on a schema that this program does not know.

        Raises:
            ConfigError: not migrated, behind, or newer than the program.
            StorageError: the database is unreachable.

        """


class Spend(Protocol):
    """Counts what one attempt at an account spends: called before each request that AWS may charge.

    A request that is followed by neither word has had no answer; it may have been charged.
    """

    def __call__(self) -> None:
        """Count a request before it is sent.

        Raises:
            BudgetSpent: the request would cost more than the run's cap.

        """

    def charged(self) -> None:
        """Note that AWS answered the last request well."""

    def not_charged(self) -> None:
        """Note that AWS refused the last request, or that it never left this machine."""


class Vault(Protocol):
    """Encrypts secrets, bound to their account, and decrypts them again."""

    @property
    def key_id(self) -> str:
        """The id of the key that encrypts now."""

    def seal(self, aws_account_id: str, secrets: StoredSecrets) -> SealedCredentials:
        """Return the secrets encrypted for one account; they can be decrypted for no other."""

    def open(self, aws_account_id: str, sealed: SealedCredentials) -> StoredSecrets:
        """Return what was encrypted.

        Raises:
            AccountError: credentials_unreadable.

        """


class Metrics(Protocol):
    """Where the metrics of a job are pushed."""

    def push(
        self, report: RunReport | None, *, succeeded: bool, now: datetime, is_whole: bool = True
    ) -> None:
        """Push what a run did; without a report, that it failed before there was one.

        Only a whole run, one over every account and its ordinary days, may replace the night's metrics.

        Raises:
            DeliveryError: the receiver did not take it.

        """


class Display(Protocol):
    """Shows a person how far a run is."""

    def begin(self, total: int) -> None:
        """Announce how many accounts there are to do."""

    def advance(self, outcome: str, account: Account) -> None:
        """Tell that one account has its outcome."""

    def end(self) -> None:
        """Take the display away."""
