"""How large the tables are, from the catalogue and the statistics; nothing large is ever counted.

Any role that may read `accounts` and `runs` may ask.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from costbatch.adapters.postgres.tables import accounts, metadata, runs
from costbatch.application.inspection import DatabaseSizes, MonthSize, TableSize
from costbatch.domain.accounts import AccountStatus
from costbatch.errors import ConfigError

# A size waits for a lock where a month is being dropped, which takes an instant.
_PATIENCE = sa.text(
    "SELECT set_config('statement_timeout', '30s', true), set_config('lock_timeout', '5s', true)"
)

# Rows as the planner estimates them: those of a page when it was last analysed, times the pages of now.
_RELATIONS = sa.text("""
WITH ours AS (
    SELECT to_regclass(name)::oid AS oid, name, NULL AS month FROM unnest(CAST(:tables AS text[])) AS name
    UNION ALL
    SELECT inhrelid, 'daily_costs', substring(relname FROM '^daily_costs_([0-9]{4}_[0-9]{2})$')
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = to_regclass('daily_costs')
)
SELECT name, to_date(month, 'YYYY_MM') AS month, sizes.*,
    coalesce(CASE WHEN relpages > 0 AND reltuples >= 0
        THEN reltuples / relpages * (pg_relation_size(ours.oid) / current_setting('block_size')::bigint)
        ELSE n_live_tup END, 0)::bigint AS rows,
    coalesce(n_dead_tup, 0) AS dead_rows, greatest(last_vacuum, last_autovacuum) AS vacuumed_at
FROM ours JOIN pg_class ON pg_class.oid = ours.oid
    LEFT JOIN pg_stat_all_tables ON relid = ours.oid
    CROSS JOIN LATERAL (SELECT pg_indexes_size(ours.oid) AS index_bytes,
        coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0) AS toast_bytes,
        pg_total_relation_size(ours.oid) AS total_bytes) AS sizes
WHERE total_bytes IS NOT NULL
ORDER BY ours.month
""")


@dataclass(frozen=True, slots=True)
class PostgresSizes:
    """Measures one database. ``connect`` opens a transaction."""

    connect: Callable[[], AbstractContextManager[Connection]]

    def sizes(self, today: date) -> DatabaseSizes:
        """Return how large everything is.

        Raises:
            ConfigError: there are no tables.
            StorageError: the database is unreachable, or the role may not read the accounts or the runs.

        """
        with self.connect() as connection:
            connection.execute(_PATIENCE)
            relations = _relations(connection)
            if not relations:
                raise ConfigError("The database has no costbatch tables that this role can see.")
            return DatabaseSizes(
                today=today,
                database_bytes=_scalar(connection, sa.text("SELECT pg_database_size(current_database())")),
                tables=_tables(relations),
                months=_months(relations),
                accounts=_scalar(connection, _ACCOUNTS),
                first_run_at=_first_run_at(connection),
            )


def month_sizes(connection: Connection) -> tuple[MonthSize, ...]:
    """Return the months of daily costs, oldest first."""
    return _months(_relations(connection))


def _relations(connection: Connection) -> list[Row[Any]]:
    return list(connection.execute(_RELATIONS, {"tables": sorted(metadata.tables)}))


def _months(relations: list[Row[Any]]) -> tuple[MonthSize, ...]:
    months = [relation for relation in relations if relation.month is not None]
    return tuple(MonthSize(month=each.month, rows=each.rows, bytes=each.total_bytes) for each in months)


def _tables(relations: list[Row[Any]]) -> tuple[TableSize, ...]:
    """Return the tables, the largest first; the costs with all their months."""
    names = {relation.name for relation in relations}
    tables = [_table(name, [each for each in relations if each.name == name]) for name in names]
    return tuple(sorted(tables, key=lambda table: (-table.total_bytes, table.name)))


def _table(name: str, relations: list[Row[Any]]) -> TableSize:
    index_bytes = sum(each.index_bytes for each in relations)
    toast_bytes = sum(each.toast_bytes for each in relations)
    return TableSize(
        name=name,
        rows=sum(each.rows for each in relations),
        dead_rows=sum(each.dead_rows for each in relations),
        table_bytes=sum(each.total_bytes for each in relations) - index_bytes - toast_bytes,
        index_bytes=index_bytes,
        toast_bytes=toast_bytes,
        vacuumed_at=max((each.vacuumed_at for each in relations if each.vacuumed_at), default=None),
    )


_ACCOUNTS = sa.select(sa.func.count()).where(accounts.c.status != AccountStatus.REMOVED.value)


def _first_run_at(connection: Connection) -> datetime | None:
    first: datetime | None = connection.scalar(sa.select(sa.func.min(runs.c.started_at)))
    return first


def _scalar(connection: Connection, statement: sa.Executable) -> int:
    number: int = connection.execute(statement).scalar_one()
    return number
