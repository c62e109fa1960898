"""The contract of the stores: each test runs against the database in memory and against PostgreSQL."""

from collections.abc import Iterator

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.application.ports import Database
from costbatch.domain.credentials import Secret
from tests.support.fake_store import FakeStore


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Open an empty database of either kind."""
    if request.param == "memory":
        yield FakeStore()
        return
    database = PostgresDatabase(Secret(request.getfixturevalue("database_url")))
    yield database
    database.close()
