"""A look behind the stores: SQL in a transaction of its own."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from costbatch.adapters.postgres import PostgresDatabase

Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def query(database: PostgresDatabase) -> Query:
    """Run a statement in a transaction of its own; return its rows."""

    def run(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with database.connection() as connection:
            result = connection.execute(sa.text(statement), parameters)
            return [tuple(row) for row in result] if result.returns_rows else []

    return run
