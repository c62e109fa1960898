"""Undoes what a command leaves behind in the process of the tests: connections."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.bootstrap import Bootstrap


@contextmanager
def closed_databases() -> Iterator[None]:
    """Close the connections that a command leaves to the end of its process."""
    opened: list[PostgresDatabase] = []
    make = Bootstrap.database

    def remember(bootstrap: Bootstrap) -> PostgresDatabase:
        opened.append(make(bootstrap))
        return opened[-1]

    try:
        with mock.patch.object(Bootstrap, "database", remember):
            yield
    finally:
        for database in opened:
            database.close()
