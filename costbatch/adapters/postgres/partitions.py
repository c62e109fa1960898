"""The monthly partitions of daily_costs: how they are named, created and dropped.

Processes that change the list of months take turns by one advisory lock, until their transaction ends.
"""

from datetime import date

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from costbatch.domain.periods import DateRange, month_start

# The first group of a match is the month as to_date(…, 'YYYY_MM') reads it.
PARTITION_PATTERN = "^daily_costs_([0-9]{4}_[0-9]{2})$"

_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('daily_costs partitions', 0))")

_NAMES = sa.text("""
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'daily_costs'::regclass
""")

_QUALIFIED_NAME = sa.text("""
SELECT pg_class.oid::regclass::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'daily_costs'::regclass AND relname = :name
""")


def partition_name(month: date) -> str:
    """Return the name of the partition that holds the month of a day."""
    return f"daily_costs_{month:%Y_%m}"


def create_partitions(connection: Connection, days: DateRange) -> None:
    """Create the missing partitions for the days; commit soon, because writers wait meanwhile."""
    if not _missing_months(connection, days):
        return
    connection.execute(_LOCK)
    # Looked up again: another process may have created them meanwhile.
    for month in _missing_months(connection, days):
        name = partition_name(month)
        bounds = f"FROM ('{month}') TO ('{month_start(month, months_back=-1)}')"
        # Attaching a table does not block readers of the other months; CREATE … PARTITION OF would.
        connection.exec_driver_sql(
            f"CREATE TABLE {name} (LIKE daily_costs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        )
        connection.exec_driver_sql(f"ALTER TABLE daily_costs ATTACH PARTITION {name} FOR VALUES {bounds}")


def drop_partition(connection: Connection, month: date) -> None:
    """Drop the partition of a month, if it still exists."""
    connection.execute(_LOCK)
    name = connection.scalar(_QUALIFIED_NAME, {"name": partition_name(month)})
    if name is not None:
        connection.exec_driver_sql(f"DROP TABLE {name}")


def _missing_months(connection: Connection, days: DateRange) -> list[date]:
    present = set(connection.scalars(_NAMES))
    months = sorted({month_start(day) for day in days})
    return [month for month in months if partition_name(month) not in present]
