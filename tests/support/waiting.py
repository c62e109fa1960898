"""Waits for another process, and locks that stop it at a chosen point."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import psycopg2

from tests.support.harness import Harness

MOST_SECONDS = 60


def until(happened: Callable[[], bool]) -> None:
    """Wait until this returns true; fail after ``MOST_SECONDS``."""
    deadline = monotonic() + MOST_SECONDS
    while not happened():
        assert monotonic() < deadline, "It did not happen in time."
        time.sleep(0.02)


def blocked(harness: Harness) -> int:
    """Return how many statements wait for a lock of ``locked``."""
    query = """
        SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE NOT granted AND datname = current_database()
    """
    return int(harness.value(query))


def count(harness: Harness, state: str) -> int:
    """Return how many accounts of all runs are in a state."""
    return int(harness.value("SELECT count(*) FROM run_items WHERE state = %s", state))


@contextmanager
def locked(harness: Harness, table: str) -> Iterator[None]:
    """Block writes to a table, and new partitions of it, during the block."""
    connection = psycopg2.connect(harness.database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
        yield
    finally:
        connection.close()
