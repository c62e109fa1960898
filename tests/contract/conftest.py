"""The two databases that the contract tests of the stores run against, and foreign programs for others."""

from collections.abc import Iterator

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.application.ports import Database
from costbatch.domain.credentials import Secret
from tests.support.fake_store import FakeStore
from tests.support.programs import promtool
from tests.support.pushgateway import gateway_url

__all__ = ["database", "gateway_url", "promtool"]


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Open an empty database of either kind."""
    if request.param == "memory":
        yield FakeStore()
        return
    database = PostgresDatabase(Secret(request.getfixturevalue("database_url")))
    yield database
    database.close()
