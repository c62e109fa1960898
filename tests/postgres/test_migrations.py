"""The migrations against a real PostgreSQL."""

import os
import subprocess
import sys
from datetime import date

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from alembic import command
from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.migrations import REVISIONS, Schema, alembic_config
from costbatch.adapters.postgres.tables import metadata
from costbatch.domain.credentials import Secret
from costbatch.domain.periods import DateRange
from costbatch.errors import ConfigError, StorageError


@pytest.fixture
def empty(empty_database_url: str) -> PostgresDatabase:
    """Open a database without tables."""
    return PostgresDatabase(Secret(empty_database_url))


def test_the_program_knows_exactly_the_revisions_that_exist() -> None:
    """REVISIONS lists the migration files, oldest first."""
    found = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
    assert list(reversed(found)) == list(REVISIONS)


def test_an_empty_database_is_upgraded_to_exactly_what_is_declared(empty: PostgresDatabase) -> None:
    """After `upgrade`, `alembic check` finds no difference, also once months have partitions."""
    schema = Schema(empty.connection)
    assert schema.upgrade() == (None, REVISIONS[-1])
    assert schema.differences() == []
    with empty.transaction() as tx:
        tx.costs.prepare_months(DateRange(date(2026, 1, 1), date(2026, 4, 1)))
    assert schema.differences() == []


def test_an_upgrade_can_be_repeated(empty: PostgresDatabase) -> None:
    """A second upgrade changes nothing and says so."""
    schema = Schema(empty.connection)
    schema.upgrade()
    assert schema.upgrade() == (REVISIONS[-1], REVISIONS[-1])


def test_every_migration_can_be_undone(empty: PostgresDatabase) -> None:
    """Downgrading to nothing leaves no table of ours, and upgrading works again."""
    schema = Schema(empty.connection)
    schema.upgrade()
    with empty.connection() as connection:
        command.downgrade(alembic_config(connection), "base")
    with empty.connection() as connection:
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
    schema.upgrade()
    assert schema.differences() == []


def test_a_failing_upgrade_leaves_nothing_behind(empty: PostgresDatabase) -> None:
    """The upgrade is one transaction: a name in the way of a late step undoes all of it."""
    with empty.connection() as connection:
        connection.execute(sa.text("CREATE SEQUENCE ix_deliveries_delivered_at"))
    with pytest.raises(StorageError, match="ix_deliveries_delivered_at"):
        Schema(empty.connection).upgrade()
    with empty.connection() as connection:
        assert sa.inspect(connection).get_table_names() == []


@pytest.mark.parametrize("is_first", [True, False])
def test_tables_of_others_are_named_and_left_alone(empty: PostgresDatabase, *, is_first: bool) -> None:
    """Whether they are in the schema itself or in another one of the search_path."""
    schema = "crm" if is_first else "public"
    with empty.connection() as connection:
        connection.exec_driver_sql("CREATE SCHEMA crm")
        connection.exec_driver_sql(f"CREATE TABLE {schema}.accounts (id int)")
        database = connection.scalar(sa.text("SELECT current_database()"))
        connection.exec_driver_sql(f'ALTER DATABASE "{database}" SET search_path = crm, public')
    empty.close()
    with pytest.raises(ConfigError, match=rf"The schema {schema} has .* \(accounts\).*an empty schema"):
        Schema(empty.connection).upgrade()
    with empty.connection() as connection:
        assert connection.scalar(sa.text("SELECT to_regclass('daily_costs')")) is None


def test_a_change_by_hand_is_found(empty: PostgresDatabase) -> None:
    """A missing column shows as a difference."""
    schema = Schema(empty.connection)
    schema.upgrade()
    with empty.connection() as connection:
        connection.execute(sa.text("ALTER TABLE runs DROP COLUMN version"))
    assert any("version" in difference for difference in schema.differences())


def test_two_upgrades_at_once_take_turns(empty_database_url: str, empty: PostgresDatabase) -> None:
    """Two hook Jobs may run at once: both end well, and the schema is whole."""
    command_line = [sys.executable, "-m", "costbatch", "db", "upgrade"]
    environ = {**os.environ, "DATABASE_URL": empty_database_url}
    upgrades = [subprocess.Popen(command_line, env=environ) for _ in range(2)]
    assert [upgrade.wait() for upgrade in upgrades] == [0, 0]
    assert Schema(empty.connection).differences() == []


def test_a_database_without_tables_is_refused_with_the_command_to_run(empty: PostgresDatabase) -> None:
    """The sentence names `costbatch db upgrade`."""
    with pytest.raises(ConfigError, match="costbatch db upgrade"):
        empty.check_schema()


def test_a_database_of_a_newer_program_is_refused(database: PostgresDatabase) -> None:
    """An unknown revision is a newer one: neither a run nor an upgrade touches it."""
    with database.connection() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '20990101_future'"))
    with pytest.raises(ConfigError, match="newer costbatch"):
        database.check_schema()
    with pytest.raises(ConfigError, match="newer costbatch"):
        Schema(database.connection).upgrade()


def test_a_database_behind_the_program_is_refused(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older known revision asks for the upgrade."""
    monkeypatch.setattr("costbatch.adapters.postgres.migrations.REVISIONS", (*REVISIONS, "20270101_next"))
    with pytest.raises(ConfigError, match="older than this program needs"):
        database.check_schema()


def test_every_table_and_nearly_every_column_says_what_it_is(database: PostgresDatabase) -> None:
    """Tables carry comments in the database itself, where an analyst looks."""
    tables = [table for table in metadata.tables.values() if not table.comment]
    assert tables == []


def test_a_migrated_database_is_accepted(database: PostgresDatabase) -> None:
    """The schema is at the revision that the program needs, and the check lets it pass."""
    schema = Schema(database.connection)
    assert schema.current() == schema.needed == REVISIONS[-1]
    database.check_schema()


def test_a_database_without_tables_is_not_compared(empty: PostgresDatabase) -> None:
    """The comparison needs the newest revision; the sentence names the command to run."""
    with pytest.raises(ConfigError, match="costbatch db upgrade"):
        Schema(empty.connection).differences()
