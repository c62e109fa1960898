"""The monthly partitions of each partitioned table: how they are named, created and dropped together.

Processes that change the list of months take turns by one advisory lock, until their transaction ends.
"""

from contextlib import suppress
from datetime import date

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ProgrammingError

from costbatch.domain.periods import DateRange, month_start

# What is partitioned by the month of usage_date.
PARTITIONED = ("daily_costs", "cost_changes", "daily_expectations")
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

# Of the tables that belong to another role, such as to one that this role is a member of.
_OTHER_OWNERS = sa.text("""
SELECT name, quote_ident(rolname) AS owner
FROM unnest(CAST(:tables AS text[])) AS name
    JOIN pg_class ON pg_class.oid = to_regclass(name) JOIN pg_roles ON pg_roles.oid = relowner
WHERE rolname <> current_user
""")


def partition_names(month: date) -> dict[str, str]:
    """Return, by table, the name of the partition that holds the month of a day."""
    return {table: f"{table}_{month:%Y_%m}" for table in PARTITIONED}


def create_partitions(connection: Connection, days: DateRange) -> None:
    """Create the missing partitions for the days; commit soon, because writers wait meanwhile."""
    if not _missing(connection, days):
        return
    connection.execute(_LOCK)
    owners = {row.name: row.owner for row in connection.execute(_OTHER_OWNERS, {"tables": [*PARTITIONED]})}
    # Looked up again: another process may have created them meanwhile.
    for month, table, name in _missing(connection, days):
        bounds = f"FROM ('{month}') TO ('{month_start(month, months_back=-1)}')"
        # Attaching a table does not block readers of the other months; CREATE … PARTITION OF would.
        connection.exec_driver_sql(
            f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        )
        if table in owners:
            # Or a migration that this role runs could not change the month with its table. A role that may
            # not create tables cannot be given one; the night needs the month all the same.
            with suppress(ProgrammingError), connection.begin_nested():
                # The driver takes a % for a parameter.
                owner = owners[table].replace("%", "%%")
                connection.exec_driver_sql(f"ALTER TABLE {name} OWNER TO {owner}")
        connection.exec_driver_sql(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {bounds}")


def drop_partitions(connection: Connection, month: date) -> None:
    """Drop the partitions of a month that still exist."""
    connection.execute(_LOCK)
    asked = {"tables": [*PARTITIONED], "names": [*partition_names(month).values()]}
    for name in connection.scalars(_QUALIFIED_NAMES, asked).all():
        connection.exec_driver_sql(f"DROP TABLE {name}")


def _missing(connection: Connection, days: DateRange) -> list[tuple[date, str, str]]:
    """Return month, table and name of each missing partition."""
    present = set(connection.scalars(_NAMES, {"tables": [*PARTITIONED]}))
    months = sorted({month_start(day) for day in days})
    return [
        (month, table, name)
        for month in months
        for table, name in partition_names(month).items()
        if name not in present
    ]
