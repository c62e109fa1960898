"""The use cases of accounts: add, list, show, pause, resume, remove, replace credentials.

Each takes effect as a whole, in one transaction, or raises a ConfigError that says why it cannot.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime

from costbatch.application.collect.series import load_trend
from costbatch.application.ownership import OwnerOf, check_owner
from costbatch.application.ports import Database, Transaction, Vault
from costbatch.application.registration import (
    NO_SECRETS,
    Registration,
    check_registration,
    check_secrets,
)
from costbatch.application.selection import find_account
from costbatch.domain.accounts import (
    NO_PROGRESS,
    AccessMethod,
    Account,
    AccountStatus,
    Failing,
    NewAccount,
    Progress,
    failing_since_added,
)
from costbatch.domain.anomalies import AnomalyFilter, AnomalyState, close_of_removed
from costbatch.domain.answers import as_told
from costbatch.domain.collection import COLLECT
from costbatch.domain.credentials import Access, SealedCredentials, StoredSecrets
from costbatch.domain.detection import Rule
from costbatch.domain.discovery import AccountDiscovery
from costbatch.domain.events import Event, anomaly_event
from costbatch.domain.labels import change_labels
from costbatch.domain.overrides import RuleOf
from costbatch.domain.periods import ONE_DAY, DateRange, utc_day
from costbatch.domain.routing import Route
from costbatch.domain.second_opinion import IMPORT
from costbatch.errors import AccountError, ConfigError

# The id of an account that is not stored yet.
_NO_ROW = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDetails:
    """An account with facts about its credentials, but not the secrets.

    progress: of the cost job. discovery: what is stored of its resources; None: it was never discovered.
    failing: since when and why each job fails for it, by job. base: the account whose credentials assume its
    role. opens: whether the current key decrypts the credentials; None without credentials or key.
    is_withheld: whether this database role may not read the credentials.
    """

    account: Account
    progress: Progress = NO_PROGRESS
    discovery: AccountDiscovery | None = None
    failing: Mapping[str, Failing] = field(default_factory=dict)
    base: Account | None = None
    key_id: str | None = None
    opens: bool | None = None
    is_withheld: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The use cases; ``vault`` is None if no encryption key is configured.

    owner_of: asks AWS which account owns credentials; None: they are not verified. routes, rule_of: where
    the events of a removal go, and what is at the level of an answer.
    """

    database: Database
    vault: Vault | None
    now: Callable[[], datetime]
    owner_of: OwnerOf | None = None
    routes: Sequence[Route] = ()
    rule_of: RuleOf = lambda _: Rule()

    def add(self, registration: Registration, secrets: StoredSecrets = NO_SECRETS) -> Account:
        """Register an account with its credentials; a removed account returns with its history."""
        new = check_registration(registration)
        check_secrets(new.access, secrets, is_new=True)
        if self.owner_of:
            check_owner(self._access_of(new, registration.base, secrets), self.owner_of)
        with self._transaction() as tx:
            account = tx.accounts.add(_fit_in(tx, new, registration.base), now=self.now())
            if secrets != NO_SECRETS:
                tx.accounts.save_credentials(account, self._seal(account, secrets), now=self.now())
            return account

    def check_new(self, registration: Registration) -> None:
        """Refuse what cannot be registered, before its secrets are prompted for."""
        new = check_registration(registration)
        if new.access is AccessMethod.ACCESS_KEYS:
            self._require_vault()
        with self._transaction() as tx:
            _fit_in(tx, new, registration.base)

    def list_accounts(
        self, statuses: Sequence[AccountStatus] = (), *, job: str = COLLECT
    ) -> list[tuple[Account, Progress]]:
        """Return the accounts with one of the statuses, and how far a job got with each.

        If no status is given: all but the removed.
        """
        wanted = statuses or (AccountStatus.ACTIVE, AccountStatus.PAUSED)
        with self._transaction() as tx:
            progress = tx.progress.load(job)
            accounts = tx.accounts.list_all(wanted)
        return [(account, _shown(account, progress)) for account in accounts]

    def show(self, aws_account_id: str) -> AccountDetails:
        """Return an account and facts about its credentials."""
        with self._transaction() as tx:
            account = find_account(tx, aws_account_id)
            progress = {
                job: _shown(account, {account.id: each})
                for job, each in sorted(tx.progress.load_of(account.id).items())
                # It is no job: it keeps when it last asked, and why it stopped, in the place of a failure.
                if job != IMPORT
            }
            details = AccountDetails(
                account=account,
                progress=progress.get(COLLECT, NO_PROGRESS),
                discovery=tx.resources.discoveries([account.id]).get(account.id),
                failing={job: each.failing for job, each in progress.items() if each.failing},
            )
            if not tx.accounts.may_read_credentials():
                known = {each.id: each for each in tx.accounts.list_all()}
                base = known[account.base_account_id] if account.base_account_id else None
                return replace(details, base=base, is_withheld=True)
            access = tx.accounts.load_access(account)
        opens = None
        if access.sealed and self.vault:
            try:
                self.vault.open(account.aws_account_id, access.sealed)
                opens = True
            except AccountError:
                opens = False
        return replace(
            details,
            base=access.base.account if access.base else None,
            key_id=access.sealed.key_id if access.sealed else None,
            opens=opens,
        )

    def progress(self, account: Account) -> Progress:
        """Return how far an account is collected."""
        with self._transaction() as tx:
            return _shown(account, tx.progress.load(COLLECT, [account.id]))

    def pause(self, aws_account_id: str) -> Account:
        """Let runs skip an account until it is resumed."""
        return self._set_status(aws_account_id, AccountStatus.PAUSED)

    def resume(self, aws_account_id: str) -> Account:
        """Let runs work on a paused account again."""
        return self._set_status(aws_account_id, AccountStatus.ACTIVE)

    def label(self, aws_account_id: str, changes: Sequence[str]) -> Account:
        """Set and remove labels of an account; events carry them from then on."""
        with self._transaction() as tx:
            account = _find_registered(tx, aws_account_id)
            try:
                labels = change_labels(account.labels, changes)
            except ValueError as error:
                raise ConfigError(str(error)) from None
            if labels != account.labels:
                tx.accounts.set_labels(account, labels, now=self.now())
            return replace(account, labels=labels)

    def remove(self, aws_account_id: str) -> Account:
        """Delete an account's credentials and let runs skip it; its history is kept.

        That it fails is kept too: if it is added again, its next success reports the recovery. A failure
        before that is reported as that of a new account. What is open of its anomalies is resolved.
        """
        with self._transaction() as tx:
            account = _find_registered(tx, aws_account_id)
            if dependents := tx.accounts.dependents(account):
                names = ", ".join(str(dependent) for dependent in dependents)
                raise ConfigError(
                    f"Account {account} cannot be removed: its credentials assume the roles of {names}. "
                    "Remove those first; then add them again with another --base-account."
                )
            tx.accounts.set_status(account, AccountStatus.REMOVED, now=self.now())
            self._resolve_anomalies(tx, account)
            tx.memories.forget(account.id)
            return replace(account, status=AccountStatus.REMOVED)

    def _resolve_anomalies(self, tx: Transaction, account: Account) -> None:
        """Resolve what is open: no run can any more, and its receivers would take it for open for ever."""
        is_open = AnomalyFilter(states=[AnomalyState.OPEN], aws_account_ids=[account.aws_account_id])
        known = {each.id: each for each in tx.anomalies.list_matching(is_open)}
        if not known:
            return
        answers = tx.answers.load([account.id]).get(account.id, [])
        covered = tx.progress.load(COLLECT, [account.id]).get(account.id, NO_PROGRESS).covered
        rule, now, events = self.rule_of(account), self.now(), list[Event]()
        for change in close_of_removed(known.values()):
            anomaly = change.anomaly
            tx.anomalies.save(anomaly, run_id=None, now=now)
            if told := as_told(change, known[anomaly.id], answers, rule):
                stored = covered or DateRange(anomaly.start_date, anomaly.last_date + ONE_DAY)
                trend = load_trend(tx, account, anomaly, stored, rule, today=utc_day(now))
                events.append(anomaly_event(told, account, trend, run_id=None, now=now))
        tx.outbox.append(events, self.routes, account_id=account.id, run_id=None)

    def set_credentials(self, aws_account_id: str, secrets: StoredSecrets) -> Account:
        """Replace an account's credentials."""
        with self._transaction() as tx:
            account = _find_registered(tx, aws_account_id)
            check_secrets(account.access, secrets, is_new=False)
            access = replace(
                tx.accounts.load_access(account), sealed=self._seal(account, secrets), is_proven=False
            )
        # Between two transactions, because AWS may take long to respond.
        if self.owner_of:
            check_owner(access, self.owner_of)
        with self._transaction() as tx:
            account = _find_registered(tx, aws_account_id)
            tx.accounts.save_credentials(account, self._seal(account, secrets), now=self.now())
            return account

    def _access_of(self, new: NewAccount, base: str | None, secrets: StoredSecrets) -> Access:
        """Return the access to an account that is not stored yet."""
        account = Account(
            id=_NO_ROW,
            aws_account_id=new.aws_account_id,
            name=new.name,
            status=AccountStatus.ACTIVE,
            access=new.access,
            partition=new.partition,
            role_arn=new.role_arn,
        )
        with self._transaction() as tx:
            _fit_in(tx, new, base)
            below = tx.accounts.load_access(_find_registered(tx, base)) if base else None
        sealed = None if secrets == NO_SECRETS else self._seal(account, secrets)
        return Access(account=account, sealed=sealed, base=below)

    def _set_status(self, aws_account_id: str, status: AccountStatus) -> Account:
        with self._transaction() as tx:
            account = _find_registered(tx, aws_account_id)
            if account.status is not status:
                tx.accounts.set_status(account, status, now=self.now())
            return replace(account, status=status)

    def _transaction(self) -> AbstractContextManager[Transaction]:
        self.database.check_schema()
        return self.database.transaction()

    def _seal(self, account: Account, secrets: StoredSecrets) -> SealedCredentials:
        return self._require_vault().seal(account.aws_account_id, secrets)

    def _require_vault(self) -> Vault:
        if self.vault is None:
            raise ConfigError(
                "ENCRYPTION_KEY is not set, so credentials cannot be stored. "
                "Make a key with `costbatch keys generate`, and set ENCRYPTION_KEY or ENCRYPTION_KEY_FILE."
            )
        return self.vault


def _shown(account: Account, progress: Mapping[int, Progress]) -> Progress:
    """Return an account's progress; one that is removed, or was until it was added again, does not fail."""
    known = progress.get(account.id, NO_PROGRESS)
    is_removed = account.status is AccountStatus.REMOVED
    return replace(known, failing=None if is_removed else failing_since_added(account, known))


def _fit_in(tx: Transaction, new: NewAccount, base: str | None) -> NewAccount:
    """Return the new account with its base; raise ConfigError if it conflicts with registered accounts."""
    known = tx.accounts.find(new.aws_account_id)
    if known and known.status is not AccountStatus.REMOVED:
        raise ConfigError(
            f"Account {known} is already registered. To replace its credentials, "
            f"use `costbatch accounts set-credentials {known.aws_account_id}`."
        )
    if not base:
        return new
    if base.replace("-", "").strip() == new.aws_account_id:
        raise ConfigError(f"Account {new.aws_account_id} cannot be its own base; name another account.")
    account = _find_registered(tx, base)
    if account.partition is not new.partition:
        raise ConfigError(
            f"The base account {account} is in the partition {account.partition}, whose credentials "
            f"cannot assume a role in {new.partition}."
        )
    chain = tx.accounts.load_access(account).chain
    # A chain that leads back to the new account would be followed for ever.
    if any(link.account.aws_account_id == new.aws_account_id for link in chain):
        raise ConfigError(
            f"Account {account} cannot be the base of {new.aws_account_id}: "
            f"its own credentials come from {new.aws_account_id}."
        )
    return replace(new, base_account_id=account.id)


def _find_registered(tx: Transaction, aws_account_id: str) -> Account:
    """Return an account that was not removed, and is not changed or removed until the transaction ends."""
    account = find_account(tx, aws_account_id, lock=True)
    if account.status is AccountStatus.REMOVED:
        raise ConfigError(
            f"Account {account} was removed; "
            f"`costbatch accounts add {account.aws_account_id}` restores it with its history."
        )
    return account
