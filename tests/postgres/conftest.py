"""What the tests of the stores share: a second process's connection, and looks behind the stores."""

from collections.abc import Iterator

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.credentials import Secret
from tests.support.harness import harness, prepare
from tests.support.pooler import pooled_url
from tests.support.query import Query, query
from tests.support.web_servers import closed_port

__all__ = ["Query", "closed_port", "harness", "pooled_url", "prepare", "query"]


@pytest.fixture(scope="session")
def template(migrated: str) -> str:
    """Return a database without partitions: here they are what is tested."""
    return migrated


@pytest.fixture
def other(database_url: str) -> Iterator[PostgresDatabase]:
    """Open the same database as another process would."""
    database = PostgresDatabase(Secret(database_url))
    yield database
    database.close()
