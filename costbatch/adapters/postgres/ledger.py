"""Reads the ledger of restatements; the costs' own store writes it, in the statement that changes them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.cost_tables import COST_VALUES, cost_changes, cost_versions
from costbatch.adapters.postgres.tables import accounts
from costbatch.application.ledger_store import LedgerStore
from costbatch.domain.accounts import Account
from costbatch.domain.arrival import DayArrival
from costbatch.domain.collection import COLLECT
from costbatch.domain.detection import Rule
from costbatch.domain.ledger import (
    AccountHistory,
    Amount,
    AmountChange,
    ChangeQuery,
    CostChange,
    CostValues,
    PastCollection,
    StoredCost,
)
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

# What a morning saw of a day is what it costs now, without what came later: one sum over both, because the
# plan of a join would depend on statistics. An account's days before its first costs were seen on no morning.
_ARRIVALS = """
WITH asked AS (
    SELECT accounts.id, aws_account_id, min(v.night) - 1 AS first_day
    FROM accounts JOIN cost_versions v ON v.account_id = accounts.id
    WHERE cardinality(CAST(:aws_account_ids AS text[])) = 0
       OR aws_account_id = ANY(CAST(:aws_account_ids AS text[]))
    GROUP BY accounts.id
)
SELECT aws_account_id, service, currency, usage_date, sum(final),
    sum(final) - coalesce(sum(gained) FILTER (WHERE night > usage_date + 1), 0),
    sum(final) - coalesce(sum(gained) FILTER (WHERE night > usage_date + 2), 0),
    sum(final) - coalesce(sum(gained) FILTER (WHERE night > usage_date + 3), 0)
FROM (
    SELECT aws_account_id, service, currency, usage_date, {now} AS final, NULL AS gained, NULL::date AS night
    FROM asked CROSS JOIN LATERAL (
        SELECT * FROM daily_costs
        WHERE account_id = asked.id AND usage_date >= :start AND usage_date < :end_exclusive
          AND usage_date >= asked.first_day AND record_type <> ALL(CAST(:excluded AS text[]))) AS d
    UNION ALL
    SELECT aws_account_id, c.service, c.currency, c.usage_date, NULL, {gained}, v.night
    FROM asked JOIN cost_versions v ON v.account_id = asked.id
        JOIN cost_changes c ON c.account_id = v.account_id AND c.version_id = v.id
    WHERE v.night > :start AND c.usage_date >= :start AND c.usage_date < :end_exclusive
      AND c.record_type <> ALL(CAST(:excluded AS text[]))
) AS parts
GROUP BY aws_account_id, service, currency, usage_date HAVING count(final) > 0
ORDER BY 1, 2, 3, 4
"""
# Only ordinary runs count: a backfill reads other days. Nor does a run that was resumed and read an account a
# day after its start, or after a later night: what it found is not what was there that morning.
_MORNINGS = sa.text("""
SELECT DISTINCT aws_account_id, today FROM (
    SELECT aws_account_id, r.today, r.started_at, i.finished_at,
        min(i.finished_at) OVER (
            PARTITION BY i.account_id ORDER BY r.today DESC
            GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS first_later
    FROM runs r JOIN run_items i ON i.run_id = r.id JOIN accounts ON accounts.id = i.account_id
    WHERE r.job = :job AND NOT r.options ? 'days' AND i.state = 'succeeded'
      AND r.today > :start AND r.today < CAST(:end_exclusive AS date) + 3
      AND (cardinality(CAST(:aws_account_ids AS text[])) = 0
        OR aws_account_id = ANY(CAST(:aws_account_ids AS text[])))
) AS reads
WHERE finished_at < started_at + interval '1 day' AND (first_later IS NULL OR finished_at < first_later)
""")

_STORED = """
SELECT usage_date, service, record_type, currency, record_type <> ALL(CAST(:excluded AS text[])), {now}
FROM daily_costs WHERE account_id = :account_id
"""
_CHANGES = """
SELECT v.run_id, c.usage_date, c.service, c.record_type, c.currency,
    c.record_type <> ALL(CAST(:excluded AS text[])), {old}, {new}
FROM cost_versions v JOIN cost_changes c ON c.account_id = v.account_id AND c.version_id = v.id
WHERE v.account_id = :account_id ORDER BY v.id
"""
_COLLECTIONS = sa.text("""
SELECT r.id, r.today, c.window_start, c.window_end_exclusive, c.days_kept, r.options ? 'days' AS is_backfill
FROM run_items i JOIN runs r ON r.id = i.run_id JOIN cost_collections c ON c.run_item_id = i.id
WHERE i.account_id = :account_id AND i.state = 'succeeded'
ORDER BY i.finished_at, i.id
""")
_FIRST_RUN = sa.text("SELECT run_id FROM cost_versions WHERE account_id = :account_id AND is_first")


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

    @override
    def arrivals(
        self, days: DateRange, rule: Rule, *, aws_account_ids: Collection[str] = ()
    ) -> list[DayArrival]:
        basis = rule.cost_basis.value
        gained = f"coalesce({_amount('c.new_', basis)}, 0) - coalesce({_amount('c.old_', basis)}, 0)"
        statement = _ARRIVALS.format(now=_amount("d.", basis), gained=gained)
        asked = {
            "start": days.start,
            "end_exclusive": days.end_exclusive,
            "aws_account_ids": list(aws_account_ids),
        }
        mornings = {tuple(row) for row in self.connection.execute(_MORNINGS, {**asked, "job": COLLECT})}
        parameters = {**asked, "excluded": sorted(rule.excluded_record_types)}
        return [
            DayArrival._make(
                (
                    *row[:5],
                    tuple(
                        amount if (row[0], row[3] + timedelta(days=age)) in mornings else None
                        for age, amount in enumerate(row[5:], 1)
                    ),
                )
            )
            for row in self.connection.execute(sa.text(statement), parameters)
        ]

    @override
    def history(self, account: Account, rule: Rule) -> AccountHistory:
        basis = rule.cost_basis.value
        mine = {"account_id": account.id}
        counted = {**mine, "excluded": sorted(rule.excluded_record_types)}
        stored = self.connection.execute(sa.text(_STORED.format(now=_amount("", basis))), counted)
        changes = _CHANGES.format(old=_amount("c.old_", basis), new=_amount("c.new_", basis))
        return AccountHistory(
            stored=[(Amount._make(row[:5]), row[5]) for row in stored],
            changes=[
                AmountChange(row[0], Amount._make(row[1:6]), row[6], row[7])
                for row in self.connection.execute(sa.text(changes), counted)
            ],
            collections=[
                PastCollection(
                    run_id=row.id,
                    today=row.today,
                    window=DateRange(row.window_start, row.window_end_exclusive),
                    is_backfill=row.is_backfill,
                    days_kept=row.days_kept,
                )
                for row in self.connection.execute(_COLLECTIONS, mine)
            ],
            first_run=self.connection.scalar(_FIRST_RUN, mine),
        )


def _amount(prefix: str, basis: str) -> str:
    """Return the column of a cost basis; AWS leaves the net amounts out without a discount."""
    column = f"{prefix}{basis}"
    return f"coalesce({column}, {column.replace('net_', '', 1)})" if "net_" in basis else column


def _values(columns: Sequence[Any]) -> CostValues | None:
    return None if columns[0] is None else CostValues._make(columns)
