"""`costbatch db upgrade` says which GRANT is missing, and what else keeps it from writing."""

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest
from click.testing import CliRunner

from costbatch.adapters.postgres import migrations
from costbatch.cli import cli
from costbatch.cli.context import Context
from tests.support.in_process import closed_databases
from tests.support.logs import restored_logs

QUOTED = '"Cost ""Batch"""'
Sql = Callable[..., None]


@pytest.fixture
def sql(empty_database_url: str) -> Iterator[Sql]:
    """Return what runs statements as the superuser; afterwards the role is gone."""

    def run(*statements: str) -> None:
        connection = psycopg2.connect(empty_database_url)
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    run(f"DROP ROLE IF EXISTS {QUOTED}", f"CREATE ROLE {QUOTED} LOGIN")
    yield run
    run(f"DROP OWNED BY {QUOTED}", f"DROP ROLE {QUOTED}")


@pytest.fixture
def name(empty_database_url: str) -> str:
    """Return the name of the database."""
    return empty_database_url.partition("@/")[2].partition("?")[0]


def upgrade(url: str, *, role: str | None = "Cost%20%22Batch%22") -> tuple[int, list[str]]:
    """Return the exit status of `db upgrade` and what is wrong."""
    environ = {"DATABASE_URL": url.replace("//postgres:@", f"//{role}@") if role else url}
    with restored_logs(), closed_databases():
        result = CliRunner().invoke(cli, ["db", "upgrade"], obj=Context(environ=environ))
    return result.exit_code, [line[7:] for line in result.stderr.splitlines() if line.startswith("Error: ")]


def test_without_create_the_grant_is_told_and_it_helps(sql: Sql, empty_database_url: str, name: str) -> None:
    """PostgreSQL 15 and later grant CREATE on public to no role; the statement works as written."""
    sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    status, (problem,) = upgrade(empty_database_url)
    assert status == 2
    assert f"may not create tables in the schema public of the database {name}" in problem
    grant = problem.partition("GRANT ")[2]
    assert grant == f"USAGE, CREATE ON SCHEMA public TO {QUOTED};"
    sql(f"GRANT {grant}")
    assert upgrade(empty_database_url) == (0, [])


def test_without_usage_the_grant_is_told_and_it_helps(sql: Sql, empty_database_url: str) -> None:
    """A schema that the role may not use is as if it were not there."""
    sql("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    status, (problem,) = upgrade(empty_database_url)
    assert (status, "can use no schema of its search_path" in problem) == (2, True)
    sql(f"GRANT {problem.partition('GRANT ')[2]}")
    assert upgrade(empty_database_url) == (0, [])


def test_without_connect_the_grant_is_told(sql: Sql, empty_database_url: str, name: str) -> None:
    """The server refuses before there is a connection; trying again does not help."""
    sql(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    status, (problem,) = upgrade(empty_database_url)
    assert status == 2
    assert f'GRANT CONNECT ON DATABASE "{name}" TO' in problem


def test_a_role_whose_transactions_are_read_only_is_told(sql: Sql, empty_database_url: str) -> None:
    """As an administrator sets it for analysts, or a service for its replicas."""
    sql(
        f"GRANT ALL ON SCHEMA public TO {QUOTED}",
        f"ALTER ROLE {QUOTED} SET default_transaction_read_only = on",
    )
    status, (problem,) = upgrade(empty_database_url)
    assert (status, "read-only" in problem) == (2, True)
    sql(problem.partition("such as with: ")[2])
    assert upgrade(empty_database_url) == (0, [])


def test_tables_of_another_role_name_their_owner(
    sql: Sql, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the owner changes a table, whatever was granted."""
    assert upgrade(empty_database_url, role=None)[0] == 0
    sql(
        f"GRANT ALL ON SCHEMA public TO {QUOTED}",
        f"GRANT SELECT ON alembic_version TO {QUOTED}",
    )
    monkeypatch.setattr(migrations, "REVISIONS", (*migrations.REVISIONS, "29990101_newer"))
    status, (problem,) = upgrade(empty_database_url)
    assert (status, "The tables belong to postgres" in problem) == (2, True)
    sql(f"REVOKE SELECT ON alembic_version FROM {QUOTED}")
    assert upgrade(empty_database_url) == (2, [problem])


def test_months_of_another_role_are_told_and_the_statements_help(
    sql: Sql, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner's table cannot be changed while a month of it belongs to another, such as to its member."""
    sql(f"GRANT ALL ON SCHEMA public TO {QUOTED}")
    assert upgrade(empty_database_url) == (0, [])
    for name in ("daily_costs_2025_03", "cost_changes_2025_03"):
        table = name.removesuffix("_2025_03")
        sql(
            f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('2025-03-01') TO ('2025-04-01')",
            f"ALTER TABLE {name} OWNER TO postgres",
        )
    monkeypatch.setattr(migrations, "REVISIONS", (*migrations.REVISIONS, "29990101_newer"))
    status, (problem,) = upgrade(empty_database_url)
    assert (status, "cannot change months that belong to postgres" in problem) == (2, True)
    sql(problem.partition("as a superuser: ")[2])
    monkeypatch.undo()
    with closing(
        psycopg2.connect(empty_database_url.replace("//postgres:@", "//Cost%20%22Batch%22@"))
    ) as own:
        own.cursor().execute("ALTER TABLE daily_costs ADD COLUMN later integer")
        own.cursor().execute("ALTER TABLE cost_changes ADD COLUMN later integer")


def test_a_schema_that_is_current_needs_no_right_to_change_it(sql: Sql, empty_database_url: str) -> None:
    """There is nothing to do, as after another pod's upgrade."""
    assert upgrade(empty_database_url, role=None)[0] == 0
    sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC", f"GRANT SELECT ON alembic_version TO {QUOTED}")
    assert upgrade(empty_database_url) == (0, [])
