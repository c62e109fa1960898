"""The stories of the accounts: register, look up, pause, resume, remove, replace credentials.

Each either happens whole, in one transaction, or ends in a ConfigError that says why not.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from costbatch.application.ports import Vault
from costbatch.application.stores import Database, Transaction
from costbatch.domain.accounts import (
    AccessMethod,
    Account,
    AccountStatus,
    NewAccount,
    Partition,
    RoleArn,
    parse_account_id,
)
from costbatch.domain.credentials import Access, AccessKeys, SealedCredentials, StoredSecrets
from costbatch.errors import AccountError, ConfigError

_LONGEST_NAME = 200
_ACCESS_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
_TEMPORARY_PREFIX = "ASIA"
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_NO_SECRETS = StoredSecrets()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What a person says about an account to register.

    partition: None takes it from the role's ARN, or the ordinary one.
    base: the 12-digit id of the account whose credentials assume the role; None: the pod's own.
    """

    aws_account_id: str
    name: str
    access: AccessMethod
    partition: Partition | None = None
    role_arn: str | None = None
    base: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDetails:
    """An account with what is known of its credentials, never the secrets.

    base: the account whose credentials assume its role.
    opens: whether the current key opens the credentials; None where there are none, or no key.
    """

    account: Account
    base: Account | None = None
    key_id: str | None = None
    opens: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The stories; ``vault`` is None where no encryption key is configured."""

    database: Database
    vault: Vault | None
    now: Callable[[], datetime]

    def add(self, registration: Registration, secrets: StoredSecrets = _NO_SECRETS) -> Account:
        """Register an account with its credentials; a removed one comes back with its history."""
        new = _check_registration(registration)
        check_secrets(new.access, secrets, is_new=True)
        with self._transaction() as tx:
            account = tx.accounts.add(_fit_in(tx, new, registration.base), now=self.now())
            if secrets != _NO_SECRETS:
                tx.accounts.save_credentials(account, self._seal(account, secrets), now=self.now())
            return account

    def check_new(self, registration: Registration) -> None:
        """Refuse what cannot be registered, before a person is asked for its secrets."""
        new = _check_registration(registration)
        if new.access is AccessMethod.ACCESS_KEYS:
            self._require_vault()
        with self._transaction() as tx:
            _fit_in(tx, new, registration.base)

    def list_accounts(self, statuses: Sequence[AccountStatus] = ()) -> list[Account]:
        """Return the accounts with one of the statuses; with none given, all but the removed."""
        wanted = statuses or (AccountStatus.ACTIVE, AccountStatus.PAUSED)
        with self._transaction() as tx:
            return tx.accounts.list_all(wanted)

    def show(self, aws_account_id: str) -> AccountDetails:
        """Return an account and what is known of its credentials."""
        with self._transaction() as tx:
            account = _find(tx, aws_account_id)
            access = tx.accounts.load_access(account)
        return AccountDetails(
            account=account,
            base=access.base.account if access.base else None,
            key_id=access.sealed.key_id if access.sealed else None,
            opens=self._opens(account, access.sealed),
        )

    def pause(self, aws_account_id: str) -> Account:
        """Let runs leave an account out until it is resumed."""
        return self._set_status(aws_account_id, AccountStatus.PAUSED)

    def resume(self, aws_account_id: str) -> Account:
        """Let runs collect a paused account again."""
        return self._set_status(aws_account_id, AccountStatus.ACTIVE)

    def remove(self, aws_account_id: str) -> Account:
        """Erase an account's credentials and never collect it again; its history stays."""
        with self._transaction() as tx:
            account = _find_registered(tx, aws_account_id)
            if dependents := tx.accounts.dependents(account):
                names = ", ".join(str(dependent) for dependent in dependents)
                raise ConfigError(
                    f"Account {account} cannot be removed: its credentials assume the roles of {names}. "
                    "Remove those first; they can be added again with another --base-account."
                )
            tx.accounts.set_status(account, AccountStatus.REMOVED, now=self.now())
            return replace(account, status=AccountStatus.REMOVED)

    def set_credentials(self, aws_account_id: str, secrets: StoredSecrets) -> Account:
        """Replace an account's credentials."""
        with self._transaction() as tx:
            account = _find_registered(tx, aws_account_id)
            check_secrets(account.access, secrets, is_new=False)
            tx.accounts.save_credentials(account, self._seal(account, secrets), now=self.now())
            return account

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

    def _opens(self, account: Account, sealed: SealedCredentials | None) -> bool | None:
        if sealed is None or self.vault is None:
            return None
        try:
            self.vault.open(account.aws_account_id, sealed)
        except AccountError:
            return False
        return True


def check_secrets(access: AccessMethod, secrets: StoredSecrets, *, is_new: bool) -> None:
    """Raise ConfigError where the secrets do not fit the way in which the account is reached."""
    keys, external_id = secrets.access_keys, secrets.external_id
    match access:
        case AccessMethod.POD_IDENTITY if secrets != _NO_SECRETS or not is_new:
            raise ConfigError(
                "This account is reached by the pod's own identity; it has no credentials to store."
            )
        case AccessMethod.ASSUMED_ROLE if keys or not (external_id or is_new):
            raise ConfigError(
                'A role takes an external id only: {"external_id": "…"}. No access key is stored.'
            )
        case AccessMethod.ACCESS_KEYS if external_id or keys is None:
            raise ConfigError(
                "An access key is needed: access_key_id and secret_access_key, and no external id."
            )
    if keys:
        _check_access_keys(keys)
    if external_id and not _EXTERNAL_ID.fullmatch(external_id.reveal()):
        raise ConfigError(
            "An external id has 2 to 1224 letters, digits or any of + = , . @ : / - _; this one has not."
        )


def _check_access_keys(keys: AccessKeys) -> None:
    """Refuse what cannot be an access key; the sentences never show what was given."""
    key_id, secret = keys.access_key_id.reveal(), keys.secret_access_key.reveal()
    if not secret.strip():
        raise ConfigError("The secret access key is empty.")
    if re.fullmatch(r"A[KS]IA[A-Z0-9]{12,}", secret) and not _ACCESS_KEY_ID.fullmatch(key_id):
        raise ConfigError("The access key id and the secret access key look swapped.")
    if not _ACCESS_KEY_ID.fullmatch(key_id):
        raise ConfigError(
            "The access key id is not one: it has 16 to 128 capital letters and digits, such as AKIA…."
        )
    if re.search(r"\s", secret):
        raise ConfigError("The secret access key holds a space or a line break; copy it again.")
    if key_id.startswith(_TEMPORARY_PREFIX) and not keys.session_token:
        raise ConfigError(
            "The access key is a temporary one (ASIA…), which works only with its session token and only "
            "for hours. For a batch that runs every night, use a long-lived key (AKIA…) or a role."
        )


def _check_registration(registration: Registration) -> NewAccount:
    """Return the new account, its base still open; raise ConfigError where something cannot be."""
    try:
        aws_account_id = parse_account_id(registration.aws_account_id)
        role = RoleArn.parse(registration.role_arn) if registration.role_arn else None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    name = registration.name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ConfigError(f"The name of an account must have 1 to {_LONGEST_NAME} printable characters.")
    if role:
        _check_role(role, aws_account_id, registration.partition)
    if (role is not None) != (registration.access is AccessMethod.ASSUMED_ROLE):
        raise ConfigError("The ARN of a role is needed where a role is assumed, and only there.")
    if registration.base and not role:
        raise ConfigError(
            "A base account is for roles only: it is the one whose credentials assume the role."
        )
    return NewAccount(
        aws_account_id=aws_account_id,
        name=name,
        access=registration.access,
        partition=role.partition if role else registration.partition or Partition.AWS,
        role_arn=role.arn if role else None,
    )


def _check_role(role: RoleArn, aws_account_id: str, partition: Partition | None) -> None:
    if role.aws_account_id != aws_account_id:
        raise ConfigError(
            f"The role {role.arn} belongs to account {role.aws_account_id}, not to {aws_account_id}. "
            "Use a role of the account whose cost is to be collected."
        )
    if partition and partition is not role.partition:
        raise ConfigError(f"The role {role.arn} lies in the partition {role.partition}, not in {partition}.")


def _fit_in(tx: Transaction, new: NewAccount, base: str | None) -> NewAccount:
    """Return the new account with its base; raise ConfigError where it does not fit what is there."""
    known = tx.accounts.find(new.aws_account_id)
    if known and known.status is not AccountStatus.REMOVED:
        raise ConfigError(
            f"Account {known} is registered already. To replace its credentials, "
            f"use `costbatch accounts set-credentials {known.aws_account_id}`."
        )
    return replace(new, base_account_id=_find_base(tx, base, new)) if base else new


def _find_base(tx: Transaction, base: str, new: NewAccount) -> int:
    """Return the row of the account whose credentials are to assume the new account's role."""
    if base.replace("-", "").strip() == new.aws_account_id:
        raise ConfigError(f"Account {new.aws_account_id} cannot be its own base; name another account.")
    account = _find_registered(tx, base)
    if account.partition is not new.partition:
        raise ConfigError(
            f"The base account {account} lies in the partition {account.partition}, whose credentials "
            f"cannot assume a role in {new.partition}."
        )
    # A chain that leads back to the new account would ask AWS in a circle for ever.
    access: Access | None = tx.accounts.load_access(account)
    while access:
        if access.account.aws_account_id == new.aws_account_id:
            raise ConfigError(
                f"Account {account} cannot be the base of {new.aws_account_id}: "
                f"its own credentials come from {new.aws_account_id}."
            )
        access = access.base
    return account.id


def _find(tx: Transaction, aws_account_id: str) -> Account:
    try:
        account = tx.accounts.find(parse_account_id(aws_account_id))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if account is None:
        raise ConfigError(
            f"No account {aws_account_id} is registered; `costbatch accounts list` shows those that are."
        )
    return account


def _find_registered(tx: Transaction, aws_account_id: str) -> Account:
    account = _find(tx, aws_account_id)
    if account.status is AccountStatus.REMOVED:
        raise ConfigError(
            f"Account {account} was removed; "
            f"`costbatch accounts add {account.aws_account_id}` brings it back with its history."
        )
    return account
