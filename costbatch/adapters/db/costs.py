"""Daily costs: replacing a window by COPY so that only what differs is written, and sums for judging."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from io import StringIO
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from costbatch.adapters.db.tables import accounts, daily_costs
from costbatch.domain.accounts import Account
from costbatch.domain.costs import CostRow, DayTotal, StoredChange
from costbatch.domain.detection import Rule
from costbatch.domain.periods import DateRange, month_start

# A session table is made once per server connection; IF NOT EXISTS keeps that true behind a pooler that
# hands out another connection for every transaction. Emptied by each commit, and never in the WAL; the
# DELETE is for a second account in one transaction.
_CREATE_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS costs_staging (
    usage_date date NOT NULL, service text COLLATE "C" NOT NULL, record_type text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL, unblended numeric NOT NULL, amortized numeric NOT NULL,
    net_unblended numeric, net_amortized numeric, usage_quantity numeric, estimated boolean NOT NULL
) ON COMMIT DELETE ROWS;
DELETE FROM costs_staging
"""

# EXCEPT compares whole rows without a join whose plan could depend on statistics; the measurement is in
# benchmarks/storage_layout.md. The last SELECT sees the table as it was before the INSERT.
_WRITE_DIFFERENCES = sa.text("""
WITH differing AS MATERIALIZED (
    SELECT usage_date, service, record_type, currency,
        unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated
    FROM costs_staging
    EXCEPT ALL
    SELECT usage_date, service, record_type, currency,
        unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated
    FROM daily_costs
    WHERE account_id = :account_id AND usage_date >= :start AND usage_date < :end_exclusive
), written AS (
    INSERT INTO daily_costs (
        account_id, usage_date, service, record_type, currency,
        unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated)
    SELECT :account_id, usage_date, service, record_type, currency,
        unblended, amortized, net_unblended, net_amortized, usage_quantity, estimated
    FROM differing
    ON CONFLICT (account_id, usage_date, service, record_type) DO UPDATE SET
        currency = excluded.currency, unblended = excluded.unblended, amortized = excluded.amortized,
        net_unblended = excluded.net_unblended, net_amortized = excluded.net_amortized,
        usage_quantity = excluded.usage_quantity, estimated = excluded.estimated
), compared AS (
    SELECT n.usage_date, EXISTS (
        SELECT FROM daily_costs d
        WHERE d.account_id = :account_id AND d.usage_date = n.usage_date
          AND d.service = n.service AND d.record_type = n.record_type
          AND d.usage_date >= :start AND d.usage_date < :end_exclusive) AS was_stored
    FROM differing n
)
SELECT usage_date,
    count(*) FILTER (WHERE NOT was_stored) AS inserted, count(*) FILTER (WHERE was_stored) AS updated
FROM compared GROUP BY usage_date
""")

_LOCK_PARTITIONS = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('daily_costs partitions', 0))")

_PARTITIONS = sa.text("""
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'daily_costs'::regclass
""")

_COUNT_STORED = sa.text("""
SELECT count(*) FROM daily_costs
WHERE account_id = :account_id AND usage_date >= :start AND usage_date < :end_exclusive
""")

_DELETE_VANISHED = sa.text("""
DELETE FROM daily_costs d
WHERE d.account_id = :account_id AND d.usage_date >= :start AND d.usage_date < :end_exclusive
  AND NOT EXISTS (
    SELECT FROM costs_staging s
    WHERE s.usage_date = d.usage_date AND s.service = d.service AND s.record_type = d.record_type)
RETURNING d.usage_date
""")


@dataclass(frozen=True, slots=True)
class PostgresCosts:
    """The daily costs, within one transaction."""

    connection: Connection

    def prepare_months(self, days: DateRange) -> None:
        """Make the partitions that the days fall into; commit soon, because writers wait meanwhile."""
        missing = self._missing_months(days)
        if not missing:
            return
        # Two processes that make one month at once would collide: they take turns, and look again.
        self.connection.execute(_LOCK_PARTITIONS)
        for month in self._missing_months(days):
            name = _partition_name(month)
            bounds = f"FROM ('{month}') TO ('{month_start(month, months_back=-1)}')"
            # Attaching a table leaves the readers of the others alone; CREATE … PARTITION OF would not.
            self.connection.exec_driver_sql(
                f"CREATE TABLE {name} (LIKE daily_costs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
            )
            self.connection.exec_driver_sql(
                f"ALTER TABLE daily_costs ATTACH PARTITION {name} FOR VALUES {bounds}"
            )

    def _missing_months(self, days: DateRange) -> list[date]:
        present = set(self.connection.scalars(_PARTITIONS))
        months = sorted({month_start(day) for day in days})
        return [month for month in months if _partition_name(month) not in present]

    def replace_window(self, account: Account, window: DateRange, rows: Sequence[CostRow]) -> StoredChange:
        """Make the stored days equal to ``rows``: write what differs, delete what vanished."""
        bounds = _bounds(account, window)
        self.connection.exec_driver_sql(_CREATE_STAGING)
        self._copy(rows)
        written = self.connection.execute(_WRITE_DIFFERENCES, bounds).all()
        # Every staged key is stored now, so a larger count means keys that AWS reports no more.
        vanished: Sequence[date] = ()
        if self.connection.scalar(_COUNT_STORED, bounds) != len(rows):
            vanished = self.connection.scalars(_DELETE_VANISHED, bounds).all()
        return StoredChange(
            inserted=sum(day.inserted for day in written),
            updated=sum(day.updated for day in written),
            deleted=len(vanished),
            changed_dates=frozenset(day.usage_date for day in written) | frozenset(vanished),
        )

    def first_day(self, account: Account) -> date | None:
        """Return the first day with cost."""
        statement = sa.select(sa.func.min(daily_costs.c.usage_date))
        of_account = statement.where(daily_costs.c.account_id == account.id)
        first: date | None = self.connection.execute(of_account).scalar_one()
        return first

    def day_totals(self, account: Account, days: DateRange, rule: Rule) -> list[DayTotal]:
        """Return the comparable cost of each day with cost."""
        columns = [daily_costs.c.usage_date, daily_costs.c.currency]
        statement = sa.select(*columns, _comparable_sum(rule)).where(
            daily_costs.c.account_id == account.id, *_in(days), _is_compared(rule)
        )
        return [DayTotal(*row) for row in self.connection.execute(statement.group_by(*columns))]

    def service_totals(self, account: Account, days: DateRange, rule: Rule) -> dict[str, list[DayTotal]]:
        """Return the comparable cost of each day, by service."""
        columns = [daily_costs.c.service, daily_costs.c.usage_date, daily_costs.c.currency]
        statement = sa.select(*columns, _comparable_sum(rule)).where(
            daily_costs.c.account_id == account.id, *_in(days), _is_compared(rule)
        )
        totals: dict[str, list[DayTotal]] = {}
        for service, *total in self.connection.execute(statement.group_by(*columns)):
            totals.setdefault(service, []).append(DayTotal(*total))
        return totals

    def cost_of_day(self, day: date, rule: Rule) -> list[tuple[str, str, Decimal]]:
        """Return (12-digit account id, currency, comparable cost) of every account on one day."""
        columns = [accounts.c.aws_account_id, daily_costs.c.currency]
        statement = (
            sa.select(*columns, _comparable_sum(rule))
            .join_from(daily_costs, accounts)
            .where(daily_costs.c.usage_date == day, _is_compared(rule))
            .group_by(*columns)
            .order_by(*columns)
        )
        return [(row[0], row[1], row[2]) for row in self.connection.execute(statement)]

    def _copy(self, rows: Sequence[CostRow]) -> None:
        buffer = StringIO("".join(map(_copy_line, rows)))
        with closing(self.connection.connection.cursor()) as cursor:
            cursor.copy_expert("COPY costs_staging FROM STDIN", buffer)


def _partition_name(month: date) -> str:
    return f"daily_costs_{month:%Y_%m}"


def _bounds(account: Account, window: DateRange) -> dict[str, Any]:
    return {"account_id": account.id, "start": window.start, "end_exclusive": window.end_exclusive}


def _copy_line(row: CostRow) -> str:
    """Return a row in COPY's text format; only names can hold characters that it would misread."""
    service, record_type = (
        name.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
        for name in (row.service, row.record_type)
    )
    amounts = "\t".join("\\N" if amount is None else str(amount) for amount in row[4:9])
    return f"{row.usage_date}\t{service}\t{record_type}\t{row.currency}\t{amounts}\t{row.estimated}\n"


def _in(days: DateRange) -> tuple[sa.ColumnElement[bool], ...]:
    day = daily_costs.c.usage_date
    return day >= days.start, day < days.end_exclusive


def _is_compared(rule: Rule) -> sa.ColumnElement[bool]:
    return daily_costs.c.record_type.not_in(sorted(rule.excluded_record_types))


def _comparable_sum(rule: Rule) -> sa.ColumnElement[Decimal]:
    """Return the sum of the rule's cost basis; AWS leaves the net amounts out where there is no discount."""
    amount: sa.ColumnElement[Decimal] = daily_costs.c[rule.cost_basis.value]
    if rule.cost_basis.value.startswith("net_"):
        amount = sa.func.coalesce(amount, daily_costs.c[rule.cost_basis.value.removeprefix("net_")])
    return sa.func.sum(amount)
