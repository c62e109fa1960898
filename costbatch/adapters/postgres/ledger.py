"""Reads the ledger of restatements; the costs' own store writes it, in the statement that changes them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.tables import COST_VALUES, accounts, cost_changes, cost_versions
from costbatch.application.ports import LedgerStore
from costbatch.domain.ledger import ChangeQuery, CostChange, CostValues, StoredCost
from costbatch.domain.periods import DateRange

_AS_OF = sa.text("""
SELECT accounts.aws_account_id, c.usage_date, c.service, c.record_type, c.currency,
    c.unblended, c.amortized, c.net_unblended, c.net_amortized, c.usage_quantity, c.estimated
FROM costs_as_of(:night) AS c JOIN accounts ON accounts.id = c.account_id
WHERE c.usage_date >= :start AND c.usage_date < :end_exclusive
  AND (cardinality(CAST(:aws_account_ids AS text[])) = 0
    OR accounts.aws_account_id = ANY(CAST(:aws_account_ids AS text[])))
ORDER BY accounts.aws_account_id, c.usage_date, c.service, c.record_type, c.currency
""")


@dataclass(frozen=True, slots=True)
class PostgresLedger(LedgerStore):
    """The ledger, within one transaction."""

    connection: Connection

    @override
    def costs_as_of(
        self, night: date, days: DateRange, *, aws_account_ids: Collection[str] = ()
    ) -> list[StoredCost]:
        parameters = {
            "night": night,
            "start": days.start,
            "end_exclusive": days.end_exclusive,
            "aws_account_ids": list(aws_account_ids),
        }
        return [
            StoredCost(
                aws_account_id=row.aws_account_id,
                usage_date=row.usage_date,
                service=row.service,
                record_type=row.record_type,
                currency=row.currency,
                values=CostValues._make(row[5:]),
            )
            for row in self.connection.execute(_AS_OF, parameters)
        ]

    @override
    def changes(self, query: ChangeQuery) -> list[CostChange]:
        change, version = cost_changes.c, cost_versions.c
        old, new = ([change[f"{side}_{name}"] for name in COST_VALUES] for side in ("old", "new"))
        difference = sa.func.coalesce(change.new_unblended, 0) - sa.func.coalesce(change.old_unblended, 0)
        key = change.usage_date, change.service, change.record_type, change.currency
        statement = (
            sa.select(version.night, version.run_id, accounts.c.aws_account_id, accounts.c.name, *key)
            .add_columns(*old, *new)
            .select_from(cost_versions)
            .join(accounts, accounts.c.id == version.account_id)
            .join(
                cost_changes,
                sa.and_(change.account_id == version.account_id, change.version_id == version.id),
            )
            .where(version.night >= query.since, sa.func.abs(difference) >= query.least)
            .order_by(version.night.desc(), change.currency, sa.func.abs(difference).desc())
            .order_by(accounts.c.aws_account_id, *key, version.id)
        )
        if query.aws_account_ids:
            statement = statement.where(accounts.c.aws_account_id.in_(query.aws_account_ids))
        if query.services:
            statement = statement.where(change.service.in_(query.services))
        return [
            CostChange(
                night=row.night,
                run_id=row.run_id,
                aws_account_id=row.aws_account_id,
                account_name=row.name,
                usage_date=row.usage_date,
                service=row.service,
                record_type=row.record_type,
                currency=row.currency,
                old=_values(row[8:14]),
                new=_values(row[14:20]),
            )
            for row in self.connection.execute(statement)
        ]


def _values(columns: Sequence[Any]) -> CostValues | None:
    return None if columns[0] is None else CostValues._make(columns)
