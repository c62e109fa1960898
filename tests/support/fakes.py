"""Hand-written fakes of the ports, in memory."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import cast

from typing_extensions import override

from costbatch.application.ports import ProgressStore, Transaction, Vault
from costbatch.application.replay import PastMemories
from costbatch.domain.accounts import Account, AccountStatus, NewAccount, Progress
from costbatch.domain.anomalies import Anomaly, AnomalyFilter
from costbatch.domain.collection import COLLECT
from costbatch.domain.credentials import Access, SealedCredentials, StoredSecrets
from costbatch.domain.discovery import DISCOVER, AccountDiscovery
from costbatch.errors import AccountError, ConfigError, ErrorKind


@dataclass
class FakeVault(Vault):
    """Seals by writing down who may open; opens only what its own key sealed."""

    key_id: str = "11112222"

    @override
    def seal(self, aws_account_id: str, secrets: StoredSecrets) -> SealedCredentials:
        document = {"account": aws_account_id, "secrets": secrets.to_document()}
        return SealedCredentials(self.key_id, json.dumps(document).encode())

    @override
    def open(self, aws_account_id: str, sealed: SealedCredentials) -> StoredSecrets:
        try:
            document = json.loads(bytes(sealed.sealed))
        except ValueError:
            document = {"account": None}
        if sealed.key_id != self.key_id or document["account"] != aws_account_id:
            raise AccountError(ErrorKind.CREDENTIALS_UNREADABLE, "Sealed with another key.")
        return StoredSecrets.from_document(document["secrets"])


@dataclass
class FakeAccounts:
    """The accounts and their sealed credentials, by row."""

    rows: dict[int, Account] = field(default_factory=dict)
    sealed: dict[int, SealedCredentials] = field(default_factory=dict)
    proven: set[int] = field(default_factory=set)

    def copy(self) -> "FakeAccounts":
        """Return what a transaction works on."""
        return FakeAccounts(dict(self.rows), dict(self.sealed), set(self.proven))

    def find(self, aws_account_id: str, *, lock: bool = False) -> Account | None:
        """Return the account, removed ones too."""
        return next((row for row in self.rows.values() if row.aws_account_id == aws_account_id), None)

    def list_all(self, statuses: Sequence[AccountStatus] = tuple(AccountStatus)) -> list[Account]:
        """Return the accounts with one of the statuses, by 12-digit id."""
        found = [row for row in self.rows.values() if row.status in statuses]
        return sorted(found, key=lambda row: row.aws_account_id)

    def add(self, new: NewAccount, *, now: datetime) -> Account:
        """Register an account; one that was removed keeps its row."""
        known = self.find(new.aws_account_id)
        if known:
            account = replace(known, **asdict(new), status=AccountStatus.ACTIVE, created_at=now)
        else:
            row_id = len(self.rows) + 1
            account = Account(id=row_id, status=AccountStatus.ACTIVE, created_at=now, **asdict(new))
        self.rows[account.id] = account
        return account

    def set_status(self, account: Account, status: AccountStatus, *, now: datetime) -> None:
        """Set the status; removing also erases the credentials."""
        self.rows[account.id] = replace(self.rows[account.id], status=status)
        if status is AccountStatus.REMOVED:
            self.sealed.pop(account.id, None)

    def save_credentials(self, account: Account, sealed: SealedCredentials, *, now: datetime) -> None:
        """Store sealed credentials in place of what was there."""
        self.sealed[account.id] = sealed
        self.proven.discard(account.id)

    def load_access(self, account: Account) -> Access:
        """Return how to reach the account."""
        base = self.load_access(self.rows[account.base_account_id]) if account.base_account_id else None
        sealed = self.sealed.get(account.id)
        return Access(account=account, sealed=sealed, base=base, is_proven=account.id in self.proven)

    def load_accesses(self, accounts: Sequence[Account]) -> dict[int, Access]:
        """Return how to reach each account, by its row."""
        return {account.id: self.load_access(account) for account in accounts}

    def dependents(self, account: Account) -> list[Account]:
        """Return the accounts, not removed, whose roles this account's credentials assume."""
        return [row for row in self.list_all(_KEPT) if row.base_account_id == account.id]

    def may_read_credentials(self) -> bool:
        """Return that nothing is withheld."""
        return True

    def credential_key_ids(self) -> dict[str, int]:
        """Return how many credentials each key id has sealed."""
        return dict(Counter(sealed.key_id for sealed in self.sealed.values()))

    def save_proven(self, accesses: Sequence[Access], *, now: datetime) -> None:
        """Remember that AWS has said whose credentials these are."""
        self.proven |= {access.account.id for access in accesses if access.sealed is not None}


_KEPT = (AccountStatus.ACTIVE, AccountStatus.PAUSED)


@dataclass
class FakeProgress(ProgressStore):
    """The progress of the one job that a test needs, by account row; discovery: that of the discovery job.

    others: that of further jobs, by job.
    """

    rows: dict[int, Progress] = field(default_factory=dict)
    discovery: dict[int, Progress] = field(default_factory=dict)
    others: dict[str, dict[int, Progress]] = field(default_factory=dict)

    def copy(self) -> "FakeProgress":
        """Return what a transaction works on."""
        others = {job: dict(rows) for job, rows in self.others.items()}
        return FakeProgress(dict(self.rows), dict(self.discovery), others)

    @override
    def load(self, job: str, account_ids: Collection[int] | None = None) -> dict[int, Progress]:
        rows = {DISCOVER: self.discovery, **self.others}.get(job, self.rows)
        return {row: each for row, each in rows.items() if account_ids is None or row in account_ids}

    @override
    def load_of(self, account_id: int) -> dict[str, Progress]:
        by_job = {COLLECT: self.rows, DISCOVER: self.discovery, **self.others}
        return {job: rows[account_id] for job, rows in by_job.items() if account_id in rows}

    @override
    def save(self, job: str, progress: Mapping[int, Progress]) -> None:
        self.rows |= progress


@dataclass
class FakeMemories(PastMemories):
    """What the adaptive detector remembers."""

    def copy(self) -> "FakeMemories":
        """Return what a transaction works on."""
        return FakeMemories(dict(self.rows))

    def versions(self, account_ids: Collection[int]) -> dict[int, dict[str, tuple[str, date]]]:
        """Return the version and the newest day of each memory by account row and currency."""
        found: dict[int, dict[str, tuple[str, date]]] = {}
        for (row, currency), memory in self.load(account_ids).items():
            found.setdefault(row, {})[currency] = memory.version, memory.newest
        return found


@dataclass
class FakeDiscoveries:
    """What is stored of the resources of accounts, by row."""

    rows: dict[int, AccountDiscovery] = field(default_factory=dict)

    def discoveries(self, account_ids: Collection[int] | None = None) -> dict[int, AccountDiscovery]:
        """Return what is stored of each account."""
        return {row: each for row, each in self.rows.items() if account_ids is None or row in account_ids}


class NoAnomalies:
    """The anomalies of accounts that have none."""

    def list_matching(self, wanted: AnomalyFilter) -> list[Anomaly]:
        """Return none."""
        return []


@dataclass
class FakeTransaction:
    """A transaction with what single use cases need; asking for anything else is an error."""

    accounts: FakeAccounts
    progress: FakeProgress
    resources: FakeDiscoveries
    memories: FakeMemories
    anomalies: NoAnomalies = field(default_factory=NoAnomalies)


@dataclass
class FakeDatabase:
    """A database in memory: a transaction that ends in an error changes nothing."""

    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    progress: FakeProgress = field(default_factory=FakeProgress)
    resources: FakeDiscoveries = field(default_factory=FakeDiscoveries)
    memories: FakeMemories = field(default_factory=FakeMemories)
    transactions: int = 0
    schema_problem: str | None = None

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return a transaction."""
        return self._transaction()

    def check_schema(self) -> None:
        """Refuse to work where a test says so."""
        if self.schema_problem:
            raise ConfigError(self.schema_problem)

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        self.transactions += 1
        accounts, progress, memories = self.accounts.copy(), self.progress.copy(), self.memories.copy()
        yield cast("Transaction", FakeTransaction(accounts, progress, self.resources, memories))
        self.accounts, self.progress, self.memories = accounts, progress, memories
