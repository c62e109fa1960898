"""The PostgreSQL server of the benchmark with its meters: CPU of all its processes, and WAL."""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql

from benchmarks.collect.processes import move_to_core

_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET_SECONDS = 10.0
_TRAFFIC = "SELECT xact_commit + xact_rollback, sessions FROM pg_stat_database WHERE datname = %s"


@contextlib.contextmanager
def open_server(core: int | None) -> Iterator["Server"]:
    """Run an embedded PostgreSQL, on one core if it is given, for the time of a ``with`` block."""
    with warnings.catch_warnings():
        # It says that XDG_RUNTIME_DIR is not set, which is how it is outside a desktop.
        warnings.simplefilter("ignore")
        from benchmarks.storage_server import running_server  # noqa: PLC0415 - see above
    with running_server() as uri:
        server = Server(uri)
        try:
            if core is not None:
                move_to_core(core, [server.postmaster, *_children(server.postmaster)])
            yield server
        finally:
            server.close()


class Server:
    """One server with its databases."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._connection = psycopg2.connect(uri)
        self._connection.autocommit = True
        self.postmaster = int(str(self.value("SELECT pg_read_file('postmaster.pid')")).split()[0])
        self.version = str(self.value("SHOW server_version"))

    def close(self) -> None:
        """Close the meters' own connection."""
        self._connection.close()

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        return urlsplit(self._uri)._replace(path=f"/{database}").geturl()

    def create_database(self, name: str, *, template: str = "template0") -> str:
        """Create a database and return its URL."""
        with self._connection.cursor() as cursor:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
            cursor.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def value(self, query: str) -> object:
        """Return the first column of the one row that a query finds."""
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            row: tuple[Any, ...] = cursor.fetchone()
            return row[0]

    def wal_bytes(self) -> float:
        """Return how much WAL was written since the server was made."""
        return float(str(self.value("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")))

    def traffic(self, url: str) -> tuple[int, int]:
        """Return how many transactions ended in a database, and how many connections were opened to it."""
        self._wait_until_quiet()
        with self._connection.cursor() as cursor:
            cursor.execute(_TRAFFIC, [urlsplit(url).path.removeprefix("/")])
            transactions, sessions = cursor.fetchone()
            return int(transactions), int(sessions)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes of the server, ended ones too."""
        self._wait_until_quiet()
        ended = _cpu_ticks(self.postmaster, with_ended=True)
        return (ended + sum(map(_cpu_ticks, _children(self.postmaster)))) / _TICKS

    def _wait_until_quiet(self) -> None:
        """Wait until the backends of clients that have gone have ended, so that their time is counted."""
        others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        deadline = time.monotonic() + _QUIET_SECONDS
        while self.value(f"{others} AND pid <> pg_backend_pid()") and time.monotonic() < deadline:
            time.sleep(0.01)
        # The list forgets a backend just before its process ends.
        time.sleep(0.02)


def execute(url: str, *statements: str) -> None:
    """Execute statements in a database, each in a transaction of its own."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """Return what a query finds in a database."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())
    finally:
        connection.close()


def _children(pid: int) -> list[int]:
    """Return the child processes; PostgreSQL's have none of their own."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_ticks(pid: int, *, with_ended: bool = False) -> int:
    """Return user and system time of a process, with that of its children that have ended if asked for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, fields[11:15] if with_ended else fields[11:13]))
