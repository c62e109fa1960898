"""Fixtures for all tests: a clean environment, and on request a PostgreSQL with the real schema."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from typing import Any
from unittest import mock

import psycopg2
import pytest
from botocore.loaders import JSONFileLoader

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.migrations import Schema
from costbatch.demo.postgres import EmbeddedPostgres, embedded_postgres
from costbatch.domain.credentials import Secret
from tests.support.machine import database_folder

_OURS = ("AWS_", "COSTBATCH_", "DATABASE_URL", "ENCRYPTION_KEY", "PUSHGATEWAY_URL")
_TEMPLATE = "costbatch_template"
_numbers = count(1)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's AWS and costbatch settings out of every test."""
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture(scope="session", autouse=True)
def _read_botocores_data_once() -> Iterator[None]:
    """Parse botocore's descriptions of AWS once: for every client anew it is a fifth of a small run's CPU."""
    load_file = JSONFileLoader.load_file
    found: dict[str, Any] = {}

    def load_once(loader: JSONFileLoader, path: str) -> Any:
        if found.get(path) is None:
            found[path] = load_file(loader, path)
        return found[path]

    with mock.patch.object(JSONFileLoader, "load_file", load_once):
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Run one PostgreSQL server for all tests of this process."""
    with database_folder() as folder, embedded_postgres(folder) as server:
        _forgo_durability(server)
        yield server


def _forgo_durability(server: EmbeddedPostgres) -> None:
    """Let the server skip waiting for the disk: the data need not outlive a power cut."""
    settings = ("fsync", "synchronous_commit", "full_page_writes")
    _execute(server, *(f"ALTER SYSTEM SET {setting} = off" for setting in settings))
    _execute(server, "SELECT pg_reload_conf()")


def _execute(server: EmbeddedPostgres, *statements: str) -> None:
    connection = psycopg2.connect(server.url())
    connection.autocommit = True
    with closing(connection), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def _database_of_its_own(server: EmbeddedPostgres, template: str = "template0") -> Iterator[str]:
    """Give a database, and drop it afterwards: removing hundreds at the end takes longer."""
    name = f"test_{next(_numbers)}"
    # Of so small a database a copy of its files takes a third of the time of a copy through the WAL.
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield server.url(name)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """Migrate a database once, for every test to copy."""
    database = PostgresDatabase(Secret(postgres.create_database(_TEMPLATE)))
    Schema(database.connection).upgrade()
    database.close()
    return _TEMPLATE


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Return the URL of a database without tables."""
    with _database_of_its_own(postgres) as url:
        yield url


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Return the URL of a migrated database of this test's own; what it commits is really committed."""
    with _database_of_its_own(postgres, template) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[PostgresDatabase]:
    """Open this test's database."""
    database = PostgresDatabase(Secret(database_url))
    yield database
    database.close()
