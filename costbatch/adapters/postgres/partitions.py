"""The monthly partitions of daily_costs: their names, and the lock of whoever makes or drops one."""

from datetime import date

import sqlalchemy as sa

# The first group of a match is the month as to_date(…, 'YYYY_MM') reads it.
PARTITION_PATTERN = "^daily_costs_([0-9]{4}_[0-9]{2})$"

# Processes that change the list of months take turns.
LOCK_PARTITIONS = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('daily_costs partitions', 0))")


def partition_name(month: date) -> str:
    """Return the name of the partition that holds the month of a day."""
    return f"daily_costs_{month:%Y_%m}"
