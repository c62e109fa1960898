"""Credentials lie in a table of their own, so that a reader can be granted everything else."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.tables import metadata
from costbatch.domain.credentials import SealedCredentials
from costbatch.errors import StatementRefused
from tests.postgres.conftest import Query
from tests.postgres.roles import database_as
from tests.support.database_rows import NOW, add_account, cost_row, prepare_months, store

READABLE = sorted(metadata.tables.keys() - {"account_credentials"})


@pytest.fixture
def reader(database: PostgresDatabase, database_url: str, query: Query) -> Iterator[PostgresDatabase]:
    """Open the database as an analyst's role, granted all tables but one."""
    prepare_months(database)
    account = add_account(database)
    store(database, account, [cost_row()])
    with database.transaction() as tx:
        tx.accounts.save_credentials(account, SealedCredentials("key", b"sealed"), now=NOW)
    grant = f"SELECT ON {', '.join(READABLE)}"
    with database_as("analyst", grant, database_url=database_url, query=query) as reader:
        yield reader


@pytest.mark.parametrize("table", READABLE)
def test_a_reader_sees_every_other_table(reader: PostgresDatabase, table: str) -> None:
    """The daily costs too, through the one table: the partitions need no grant of their own."""
    with reader.connection() as connection:
        rows = connection.scalar(sa.text(f"SELECT count(*) FROM {table}"))
    assert rows == (1 if table in {"accounts", "daily_costs", "cost_versions"} else 0)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT sealed FROM account_credentials",
        "SELECT count(*) FROM account_credentials",
        "UPDATE accounts SET name = 'x'",
        "DELETE FROM daily_costs",
    ],
)
def test_a_reader_sees_no_credentials_and_changes_nothing(reader: PostgresDatabase, statement: str) -> None:
    """The database refuses; no other table holds a secret that would help."""
    with pytest.raises(StatementRefused, match="permission denied"), reader.connection() as connection:
        connection.exec_driver_sql(statement)
