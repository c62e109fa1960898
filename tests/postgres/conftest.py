"""What the tests of the stores share: a second process's connection, and looks behind the stores."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.credentials import Secret
from tests.support.harness import aws, harness
from tests.support.pooler import pooled_url
from tests.support.web_servers import closed_port

__all__ = ["aws", "closed_port", "harness", "pooled_url"]

Query = Callable[..., list[tuple[Any, ...]]]


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
