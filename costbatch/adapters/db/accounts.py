"""Account rows and their sealed credentials."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from costbatch.adapters.db.tables import account_credentials, accounts
from costbatch.domain.accounts import (
    AccessMethod,
    Account,
    AccountStatus,
    Failing,
    NewAccount,
    Partition,
)
from costbatch.domain.credentials import Access, SealedCredentials
from costbatch.domain.periods import DateRange
from costbatch.errors import ConfigError


def account_from_row(row: Row[Any]) -> Account:
    """Return the account that a row of ``accounts`` holds."""
    collected = None
    if row.collected_start is not None:
        collected = DateRange(row.collected_start, row.collected_end_exclusive)
    failing = None
    if row.failing_since is not None:
        failing = Failing(since=row.failing_since, kind=row.failing_kind)
    return Account(
        id=row.id,
        aws_account_id=row.aws_account_id,
        name=row.name,
        status=AccountStatus(row.status),
        access=AccessMethod(row.access),
        partition=Partition(row.partition),
        role_arn=row.role_arn,
        base_account_id=row.base_account_id,
        collected=collected,
        failing=failing,
        created_at=row.created_at,
    )


@dataclass(frozen=True, slots=True)
class PostgresAccounts:
    """The accounts, within one transaction."""

    connection: Connection

    def find(self, aws_account_id: str) -> Account | None:
        """Return the account, removed ones too."""
        found = self._select(accounts.c.aws_account_id == aws_account_id)
        return found[0] if found else None

    def list_all(self, statuses: Sequence[AccountStatus] = tuple(AccountStatus)) -> list[Account]:
        """Return the accounts with one of the statuses, by 12-digit id."""
        return self._select(accounts.c.status.in_([status.value for status in statuses]))

    def add(self, new: NewAccount, *, now: datetime) -> Account:
        """Register an account; one that was removed comes back with its history.

        Raises:
            ConfigError: it is there already.

        """
        values = {
            "name": new.name,
            "status": AccountStatus.ACTIVE.value,
            "access": new.access.value,
            "partition": new.partition.value,
            "role_arn": new.role_arn,
            "base_account_id": new.base_account_id,
            "updated_at": now,
        }
        statement = insert(accounts).values(aws_account_id=new.aws_account_id, created_at=now, **values)
        revive = statement.on_conflict_do_update(
            index_elements=["aws_account_id"],
            set_=values,
            where=accounts.c.status == AccountStatus.REMOVED.value,
        )
        row = self.connection.execute(revive.returning(accounts)).first()
        if row is None:
            # The story looked first; somebody else was quicker.
            raise ConfigError(f"Account {new.aws_account_id} is registered already.")
        return account_from_row(row)

    def set_status(self, account: Account, status: AccountStatus, *, now: datetime) -> None:
        """Set the status; removing also erases the credentials."""
        self._update(account, status=status.value, updated_at=now)
        if status is AccountStatus.REMOVED:
            self._update(account, failing_since=None, failing_kind=None)
            self.connection.execute(
                sa.delete(account_credentials).where(account_credentials.c.account_id == account.id)
            )

    def save_credentials(self, account: Account, sealed: SealedCredentials, *, now: datetime) -> None:
        """Store sealed credentials in place of what was there."""
        values = {"key_id": sealed.key_id, "sealed": sealed.sealed, "updated_at": now}
        statement = insert(account_credentials).values(account_id=account.id, **values)
        self.connection.execute(statement.on_conflict_do_update(index_elements=["account_id"], set_=values))

    def load_access(self, account: Account) -> Access:
        """Return how to reach the account, with the chain of accounts whose credentials assume its role."""
        seen = [account]
        while seen[-1].base_account_id is not None:
            (base,) = self._select(accounts.c.id == seen[-1].base_account_id)
            if base in seen:  # the program refuses circles; one made by hand must not hang it
                break
            seen.append(base)
        access = None
        for link in reversed(seen):
            access = Access(account=link, sealed=self._load_sealed(link), base=access)
        return access or Access(account=account)

    def dependents(self, account: Account) -> list[Account]:
        """Return the accounts, not removed, whose roles this account's credentials assume."""
        return self._select(
            accounts.c.base_account_id == account.id, accounts.c.status != AccountStatus.REMOVED.value
        )

    def credential_key_ids(self) -> dict[str, int]:
        """Return how many credentials each key id has sealed."""
        column = account_credentials.c.key_id
        rows = self.connection.execute(sa.select(column, sa.func.count()).group_by(column))
        return {key_id: count for key_id, count in rows}  # noqa: C416 - dict(rows) hides what the pairs are

    def save_collected(self, account: Account, collected: DateRange | None) -> None:
        """Remember which days are stored without a gap."""
        self._update(
            account,
            collected_start=collected.start if collected else None,
            collected_end_exclusive=collected.end_exclusive if collected else None,
        )

    def save_failing(self, account: Account, failing: Failing | None) -> None:
        """Remember since when and why the account fails, or that it no longer does."""
        self._update(
            account,
            failing_since=failing.since if failing else None,
            failing_kind=failing.kind if failing else None,
        )

    def _select(self, *conditions: sa.ColumnElement[bool]) -> list[Account]:
        statement = sa.select(accounts).where(*conditions).order_by(accounts.c.aws_account_id)
        return [account_from_row(row) for row in self.connection.execute(statement)]

    def _update(self, account: Account, **values: object) -> None:
        self.connection.execute(sa.update(accounts).where(accounts.c.id == account.id).values(**values))

    def _load_sealed(self, account: Account) -> SealedCredentials | None:
        credentials = account_credentials.c
        statement = sa.select(credentials.key_id, credentials.sealed).where(
            credentials.account_id == account.id
        )
        row = self.connection.execute(statement).one_or_none()
        return SealedCredentials(row.key_id, bytes(row.sealed)) if row else None
