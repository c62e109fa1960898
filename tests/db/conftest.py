"""What the tests of the stores share: a second process's connection, and looks behind the stores."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from costbatch.adapters.db import PostgresDatabase
from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.domain.credentials import Secret

Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, database_url: str) -> Iterator[str]:
    """Drop the test's database in the end: removing hundreds at once takes longer than the tests."""
    yield database_url
    connection = psycopg2.connect(postgres.url())
    connection.autocommit = True
    name = make_url(database_url).database
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    connection.close()


@pytest.fixture
def other(database_url: str) -> Iterator[PostgresDatabase]:
    """Open the same database as another process would."""
    database = PostgresDatabase(Secret(database_url))
    yield database
    database.close()


@pytest.fixture
def query(database: PostgresDatabase) -> Query:
    """Run a statement in a transaction of its own; return its rows."""

    def run(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with database.connection() as connection:
            result = connection.execute(sa.text(statement), parameters)
            return [tuple(row) for row in result] if result.returns_rows else []

    return run
