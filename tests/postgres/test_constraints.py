"""Wrong rows are impossible, also by hand: each is refused, for its own reason."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.tables import metadata
from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.domain.credentials import Secret
from tests.postgres.conftest import Query
from tests.postgres.wrong_rows import BAD, GOOD
from tests.support.database_rows import (
    NOW,
    account_id,
    add_account,
    anomaly,
    claim,
    event,
    open_run,
    prepare_months,
)

Known = Mapping[str, Any]
NAMES = [f"{constraint}-{number}" for number, (_, _, constraint) in enumerate(BAD)]


@pytest.fixture(scope="module")
def shared(postgres: EmbeddedPostgres, template: str) -> Iterator[PostgresDatabase]:
    """Open one database for all rows: none of them stays."""
    database = PostgresDatabase(Secret(postgres.create_database("wrong_rows", template=template)))
    yield database
    database.close()


@pytest.fixture(scope="module")
def known(shared: PostgresDatabase) -> Known:
    """Store what the rows refer to."""
    prepare_months(shared)
    listed = add_account(shared, 1)
    run = open_run(shared)
    (item,) = claim(shared, run)
    second = open_run(shared, "second", aws_account_ids=(account_id(8),))
    account, told = add_account(shared, 2), event()
    known_anomaly = anomaly(listed, start_date=GOOD["anomalies"]["start_date"], last_date=NOW.date())
    with shared.transaction() as tx:
        tx.anomalies.save(known_anomaly, run_id=run.id, now=NOW)
        tx.outbox.append([told], [], account_id=None, run_id=run.id)
    return {
        "{account}": account.id,
        "{listed}": listed.id,
        "{run}": run.id,
        "{item}": item.id,
        "{second run}": second.id,
        "{event}": told.id,
        "{anomaly}": known_anomaly.id,
    }


@pytest.fixture
def connection(shared: PostgresDatabase) -> Iterator[Connection]:
    """Open a transaction that is undone."""
    with shared._engine.connect() as connection:
        yield connection


def insert(connection: Connection, table: str, known: Known, wrong: Mapping[str, Any]) -> None:
    """Insert a good row with something wrong in it."""
    row = {
        column: known.get(value, value) if isinstance(value, str) else value
        for column, value in {**GOOD[table], **wrong}.items()
    }
    connection.execute(sa.insert(metadata.tables[table]).values(row))


@pytest.mark.parametrize("table", GOOD)
def test_a_good_row_is_taken(connection: Connection, known: Known, table: str) -> None:
    """What the wrong rows below are made of is right, so that each is refused for what is wrong in it."""
    insert(connection, table, known, {})


@pytest.mark.parametrize(("table", "wrong", "constraint"), BAD, ids=NAMES)
def test_a_wrong_row_is_refused(
    connection: Connection, known: Known, table: str, wrong: dict[str, Any], constraint: str
) -> None:
    """By the constraint that is there for it."""
    with pytest.raises(IntegrityError, match=f'"{constraint}"'):
        insert(connection, table, known, wrong)


def test_an_account_cannot_be_its_own_base(connection: Connection, known: Known) -> None:
    """The shortest circle is impossible; longer ones are refused by the program."""
    role = {"access": "assumed_role", "role_arn": "arn", "base_account_id": known["{account}"]}
    change = sa.update(metadata.tables["accounts"]).where(sa.column("id") == known["{account}"])
    with pytest.raises(IntegrityError, match="ck_accounts_base_is_another"):
        connection.execute(change.values(role))


def test_every_constraint_has_a_row_that_it_refuses() -> None:
    """A constraint that is added without a wrong row here is a constraint that was never seen working."""
    tables = metadata.tables.values()
    declared = {
        str(constraint.name)
        for table in tables
        for constraint in table.constraints
        if not isinstance(constraint, sa.PrimaryKeyConstraint)
    }
    declared |= {str(index.name) for table in tables for index in table.indexes if index.unique}
    seen = {constraint for _, _, constraint in BAD}
    # The first is tested above; the second is an identity that cannot be set.
    assert declared - seen == {"ck_accounts_base_is_another", "uq_events_sequence"}


CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass ORDER BY 1, 2
"""


def test_the_migration_makes_the_constraints_that_are_declared(
    database: PostgresDatabase, empty_database_url: str, query: Query
) -> None:
    """Alembic's own check does not look at CHECK constraints, so they are compared here."""
    migrated = query(CONSTRAINTS)
    declared = PostgresDatabase(Secret(empty_database_url))
    with declared.connection() as connection:
        metadata.create_all(connection)
        connection.exec_driver_sql("CREATE TABLE alembic_version ()")
        rows = [tuple(row) for row in connection.execute(sa.text(CONSTRAINTS))]
    declared.close()
    assert rows == migrated
    assert len(rows) > 60
