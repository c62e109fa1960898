"""Undoes what a command leaves behind in the process of the tests: connections and log handlers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import structlog

from costbatch import logs
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


@contextmanager
def restored_logs() -> Iterator[None]:
    """Leave no handler, no registered secret and no run behind in this process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with mock.patch.object(logs, "_secrets", {}), mock.patch.object(logs, "_run_fields", {}):
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            structlog.reset_defaults()
