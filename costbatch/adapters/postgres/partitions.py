"""The monthly partitions of daily_costs and daily_expectations: how they are named, created and dropped.

Processes that change the list of months take turns by one advisory lock, until their transaction ends.
"""

from collections.abc import Iterator
from datetime import date

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from costbatch.domain.periods import DateRange, month_start

# The tables that have a partition for each month.
PARTITIONED = ("daily_costs", "daily_expectations")
# The first group of a match is the month as to_date(…, 'YYYY_MM') reads it.
PARTITION_PATTERN = f"^(?:{'|'.join(PARTITIONED)})_([0-9]{{4}}_[0-9]{{2}})$"

_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('daily_costs partitions', 0))")

_NAMES = sa.text("""
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = ANY(CAST(CAST(:tables AS text[]) AS regclass[]))
""")

_QUALIFIED_NAMES = sa.text("""
SELECT pg_class.oid::regclass::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = ANY(CAST(CAST(:tables AS text[]) AS regclass[])) AND relname = ANY(:names)
""")


def partition_names(month: date) -> list[str]:
    """Return the names of the partitions that hold the month of a day."""
    return [_name(table, month) for table in PARTITIONED]


def create_partitions(connection: Connection, days: DateRange) -> None:
    """Create the missing partitions for the days; commit soon, because writers wait meanwhile."""
    if not [*_missing(connection, days)]:
        return
    connection.execute(_LOCK)
    # Looked up again: another process may have created them meanwhile.
    for table, month in _missing(connection, days):
        name = _name(table, month)
        bounds = f"FROM ('{month}') TO ('{month_start(month, months_back=-1)}')"
        # Attaching a table does not block readers of the other months; CREATE … PARTITION OF would.
        connection.exec_driver_sql(
            f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        )
        connection.exec_driver_sql(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {bounds}")


def drop_partitions(connection: Connection, month: date) -> None:
    """Drop the partitions of a month that still exist."""
    connection.execute(_LOCK)
    asked = {"tables": [*PARTITIONED], "names": partition_names(month)}
    for name in connection.scalars(_QUALIFIED_NAMES, asked).all():
        connection.exec_driver_sql(f"DROP TABLE {name}")


def _name(table: str, month: date) -> str:
    return f"{table}_{month:%Y_%m}"


def _missing(connection: Connection, days: DateRange) -> Iterator[tuple[str, date]]:
    present = set(connection.scalars(_NAMES, {"tables": [*PARTITIONED]}))
    for month in sorted({month_start(day) for day in days}):
        for table in PARTITIONED:
            if _name(table, month) not in present:
                yield table, month
