"""Account rows and their encrypted credentials."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row
from typing_extensions import override

from costbatch.adapters.postgres.tables import account_credentials, accounts
from costbatch.application.ports import AccountStore
from costbatch.domain.accounts import (
    AccessMethod,
    Account,
    AccountStatus,
    NewAccount,
    Partition,
    base_chain,
)
from costbatch.domain.credentials import Access, SealedCredentials
from costbatch.domain.labels import Labels, sorted_labels
from costbatch.errors import ConfigError

_LOAD_SEALED = sa.text(
    "SELECT account_id, key_id, sealed, proven_at FROM account_credentials"
    " WHERE account_id = ANY(:account_ids)"
)

# Without the table there is nothing that is withheld.
MAY_READ_CREDENTIALS = sa.text(
    "SELECT coalesce(has_table_privilege(to_regclass('account_credentials')::oid, 'SELECT'), true)"
)

# The ids stand apart because the planner takes a record set for a hundred rows and reads the table.
_SAVE_PROVEN = sa.text("""
UPDATE account_credentials SET proven_at = :now
FROM json_to_recordset(:proven) AS proven (id bigint, sealed text)
WHERE account_id = proven.id AND account_id = ANY(:account_ids)
    AND account_credentials.sealed = decode(proven.sealed, 'hex')
""")


def account_from_row(row: Row[Any]) -> Account:
    """Return the account that a row of ``accounts`` holds."""
    return Account(
        id=row.id,
        aws_account_id=row.aws_account_id,
        name=row.name,
        status=AccountStatus(row.status),
        access=AccessMethod(row.access),
        partition=Partition(row.partition),
        role_arn=row.role_arn,
        base_account_id=row.base_account_id,
        labels=sorted_labels(row.labels),
        created_at=row.created_at,
    )


@dataclass(frozen=True, slots=True)
class PostgresAccounts(AccountStore):
    """The accounts, within one transaction."""

    connection: Connection

    @override
    def find(self, aws_account_id: str, *, lock: bool = False) -> Account | None:
        statement = sa.select(accounts).where(accounts.c.aws_account_id == aws_account_id)
        # FOR NO KEY UPDATE: checks of foreign keys do not wait. A run that saves the account does.
        row = self.connection.execute(
            statement.with_for_update(key_share=True) if lock else statement
        ).first()
        return account_from_row(row) if row else None

    @override
    def list_all(self, statuses: Sequence[AccountStatus] = tuple(AccountStatus)) -> list[Account]:
        return self._select(accounts.c.status.in_([status.value for status in statuses]))

    @override
    def add(self, new: NewAccount, *, now: datetime) -> Account:
        values = {
            "name": new.name,
            "status": AccountStatus.ACTIVE.value,
            "access": new.access.value,
            "partition": new.partition.value,
            "role_arn": new.role_arn,
            "base_account_id": new.base_account_id,
            "created_at": now,
            "updated_at": now,
        }
        statement = insert(accounts).values(aws_account_id=new.aws_account_id, **values)
        revive = statement.on_conflict_do_update(
            index_elements=["aws_account_id"],
            set_=values,
            where=accounts.c.status == AccountStatus.REMOVED.value,
        )
        row = self.connection.execute(revive.returning(accounts)).first()
        if row is None:
            # The use case looked first; another process was quicker.
            raise ConfigError(f"Account {new.aws_account_id} is already registered.")
        return account_from_row(row)

    @override
    def set_status(self, account: Account, status: AccountStatus, *, now: datetime) -> None:
        values = {"status": status.value, "updated_at": now}
        self.connection.execute(sa.update(accounts).where(accounts.c.id == account.id).values(**values))
        if status is AccountStatus.REMOVED:
            self.connection.execute(
                sa.delete(account_credentials).where(account_credentials.c.account_id == account.id)
            )

    @override
    def set_labels(self, account: Account, labels: Labels, *, now: datetime) -> None:
        values = {"labels": dict(labels), "updated_at": now}
        self.connection.execute(sa.update(accounts).where(accounts.c.id == account.id).values(**values))

    @override
    def save_credentials(self, account: Account, sealed: SealedCredentials, *, now: datetime) -> None:
        # Whose the new ones are, AWS has not said yet.
        values = {"key_id": sealed.key_id, "sealed": sealed.sealed, "proven_at": None, "updated_at": now}
        statement = insert(account_credentials).values(account_id=account.id, **values)
        self.connection.execute(statement.on_conflict_do_update(index_elements=["account_id"], set_=values))

    @override
    def load_access(self, account: Account) -> Access:
        return self.load_accesses([account])[account.id]

    @override
    def load_accesses(self, wanted: Sequence[Account]) -> dict[int, Access]:
        known = {account.id: account for account in wanted}
        while missing := {account.base_account_id for account in known.values()} - known.keys() - {None}:
            known |= {account.id: account for account in self._select(accounts.c.id.in_(missing))}
        # With each, whether AWS has said that they are the account's.
        sealed = {
            row.account_id: (SealedCredentials(row.key_id, bytes(row.sealed)), row.proven_at is not None)
            for row in self.connection.execute(_LOAD_SEALED, {"account_ids": list(known)})
        }
        accesses = {}
        for account in wanted:
            access: Access | None = None
            # From the account whose own credentials are used to the one that is wanted.
            for link in reversed(base_chain(account, known)):
                credentials, is_proven = sealed.get(link.id, (None, False))
                access = Access(account=link, sealed=credentials, base=access, is_proven=is_proven)
            accesses[account.id] = access or Access(account=account)
        return accesses

    @override
    def dependents(self, account: Account) -> list[Account]:
        return self._select(
            accounts.c.base_account_id == account.id, accounts.c.status != AccountStatus.REMOVED.value
        )

    @override
    def may_read_credentials(self) -> bool:
        return bool(self.connection.scalar(MAY_READ_CREDENTIALS))

    @override
    def credential_key_ids(self) -> dict[str, int]:
        column = account_credentials.c.key_id
        rows = self.connection.execute(sa.select(column, sa.func.count()).group_by(column))
        return {key_id: count for key_id, count in rows}  # noqa: C416 - dict(rows) hides what the pairs are

    @override
    def save_proven(self, accesses: Sequence[Access], *, now: datetime) -> None:
        data = [
            {"id": access.account.id, "sealed": access.sealed.sealed.hex()}
            for access in accesses
            if access.sealed is not None
        ]
        rows = [access.account.id for access in accesses]
        self.connection.execute(_SAVE_PROVEN, {"proven": dumps(data), "account_ids": rows, "now": now})

    def _select(self, *conditions: sa.ColumnElement[bool]) -> list[Account]:
        statement = sa.select(accounts).where(*conditions).order_by(accounts.c.aws_account_id)
        return [account_from_row(row) for row in self.connection.execute(statement)]
