"""The sizes on a real PostgreSQL: held against PostgreSQL's own sums, and cheap for every role."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.inspect import PostgresSizes, month_sizes
from costbatch.adapters.postgres.tables import metadata
from costbatch.application.inspection import DatabaseSizes
from costbatch.domain.credentials import Secret
from costbatch.domain.periods import DateRange
from costbatch.errors import ConfigError, StatementRefused
from tests.postgres.conftest import Query
from tests.postgres.roles import database_as
from tests.support.database_rows import add_account, prepare_months

TODAY = date(2026, 3, 10)
FILL = (
    "INSERT INTO daily_costs"
    " SELECT accounts.id, day, service, 'Usage', 'USD', 1.5, 1.5, null, null, null, false"
    " FROM accounts, generate_series('2026-01-01'::date, '2026-03-09', '1 day') AS day,"
    " (VALUES ('a'), ('b'), ('c')) AS services (service)"
)


@pytest.fixture
def costs(database: PostgresDatabase, query: Query) -> None:
    """Store three rows a day for four accounts, from January to the ninth of March."""
    prepare_months(database, DateRange(date(2026, 1, 1), date(2026, 5, 1)))
    for number in range(1, 5):
        add_account(database, number)
    query(FILL)


def measure(database: PostgresDatabase) -> DatabaseSizes:
    """Return the sizes."""
    return PostgresSizes(database.connection).sizes(TODAY)


@pytest.mark.usefixtures("costs")
def test_analysed_rows_are_exact_and_by_month(database: PostgresDatabase, query: Query) -> None:
    """Months without costs are there as well, with nothing in them."""
    query("ANALYZE")
    sizes = measure(database)
    assert [(each.month, each.rows) for each in sizes.months] == [
        (date(2026, 1, 1), 31 * 12),
        (date(2026, 2, 1), 28 * 12),
        (date(2026, 3, 1), 9 * 12),
        (date(2026, 4, 1), 0),
    ]
    rows = {table.name: table.rows for table in sizes.tables}
    assert (rows["daily_costs"], rows["accounts"], rows["events"]) == (68 * 12, 4, 0)
    assert (sizes.accounts, sizes.rows_per_account_and_day, sizes.first_run_at) == (4, 3.0, None)
    assert [each.month.month for each in sizes.full_months] == [1, 2]


@pytest.mark.usefixtures("costs")
def test_the_bytes_are_postgresqls_own(database: PostgresDatabase, query: Query) -> None:
    """Every table with all its partitions, indexes and out-of-line values; and the database's total."""
    sizes = measure(database)
    assert {table.name for table in sizes.tables} == set(metadata.tables)
    own = (
        "SELECT sum(pg_total_relation_size(relid))::bigint, sum(pg_indexes_size(relid))::bigint"
        " FROM (SELECT CAST(:name AS regclass) AS relid UNION ALL"
        " SELECT inhrelid FROM pg_inherits WHERE inhparent = CAST(:name AS regclass)) AS parts"
    )
    for table in sizes.tables:
        assert [(table.total_bytes, table.index_bytes)] == query(own, name=table.name)
    months = {each.month: each.bytes for each in sizes.months}
    february = query("SELECT pg_total_relation_size('daily_costs_2026_02')")
    assert [(months[date(2026, 2, 1)],)] == february
    assert [(sizes.database_bytes,)] == query("SELECT pg_database_size(current_database())")
    largest = [table.total_bytes for table in sizes.tables]
    assert largest == sorted(largest, reverse=True)
    assert sizes.tables[0].name == "daily_costs"


@pytest.mark.usefixtures("costs")
def test_rows_that_came_since_the_last_analysis_count(database: PostgresDatabase, query: Query) -> None:
    """As the planner does it: the density of then times the pages of now."""
    query("ANALYZE")
    query(
        FILL.replace("'Usage'", "'Tax'")
        .replace("INTO daily_costs", "INTO daily_costs_2026_01")
        .replace("2026-03-09", "2026-01-31")
    )
    (january, *_) = measure(database).months
    assert january.rows == pytest.approx(2 * 31 * 12, rel=0.3)


@pytest.mark.usefixtures("costs")
def test_rows_that_were_never_analysed_come_from_the_statistics(
    database: PostgresDatabase, query: Query
) -> None:
    """A fresh installation shows its rows at once."""
    query("SELECT pg_stat_force_next_flush()")
    assert sum(each.rows for each in measure(database).months) == 68 * 12


@pytest.mark.usefixtures("costs")
def test_dead_rows_and_the_last_vacuum_show(database: PostgresDatabase, query: Query) -> None:
    """Whether the place of what is gone is used again."""
    query("ALTER TABLE accounts SET (autovacuum_enabled = off)")
    query("UPDATE accounts SET name = name || '!'")
    query("SELECT pg_stat_force_next_flush()")
    (accounts,) = (table for table in measure(database).tables if table.name == "accounts")
    assert (accounts.dead_rows, accounts.vacuumed_at) == (4, None)
    with database.connection() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("VACUUM accounts")
        connection.exec_driver_sql("BEGIN")
    (accounts,) = (table for table in measure(database).tables if table.name == "accounts")
    assert accounts.dead_rows == 0
    assert accounts.vacuumed_at is not None
    assert accounts.vacuumed_at.tzinfo is not None


def test_accounts_are_those_that_are_not_removed(database: PostgresDatabase, query: Query) -> None:
    """And the age of what is recorded is that of the oldest run."""
    for number in range(1, 4):
        add_account(database, number)
    query("UPDATE accounts SET status = 'removed' WHERE name = 'account-1'")
    query("UPDATE accounts SET status = 'paused' WHERE name = 'account-2'")
    query(
        "INSERT INTO runs"
        " (id, job, run_key, status, today, aws_account_ids, options, version, started_at, finished_at)"
        " SELECT gen_random_uuid(), 'collect', day::text, 'completed', day, '[]', '{}', '1', day, day"
        " FROM generate_series('2025-05-01'::timestamptz, '2025-05-03', '1 day') AS day"
    )
    sizes = measure(database)
    assert (sizes.accounts, sizes.first_run_at) == (2, datetime(2025, 5, 1, tzinfo=UTC))


def test_a_partition_of_another_shape_counts_and_is_no_month(
    database: PostgresDatabase, query: Query
) -> None:
    """What was made by hand is seen in the table's size, and never dropped as a month."""
    query("CREATE TABLE ancient PARTITION OF daily_costs FOR VALUES FROM ('2000-01-01') TO ('2020-01-01')")
    sizes = measure(database)
    (costs,) = (table for table in sizes.tables if table.name == "daily_costs")
    assert (sizes.months, costs.total_bytes > 0) == ((), True)
    with database.connection() as connection:
        assert month_sizes(connection) == ()


@pytest.fixture
def reader(database_url: str, query: Query) -> Iterator[PostgresDatabase]:
    """Open the database as a role that may read the accounts and the runs, and no cost."""
    with database_as("auditor", "SELECT ON accounts, runs", database_url=database_url, query=query) as reader:
        yield reader


@pytest.mark.usefixtures("costs")
def test_a_role_that_may_not_even_read_the_costs_sees_the_same(
    database: PostgresDatabase, reader: PostgresDatabase, query: Query
) -> None:
    """So no row of them is looked at, however many there are."""
    query("ANALYZE")
    assert measure(reader) == measure(database)


def test_a_role_without_any_right_is_told_so(reader: PostgresDatabase, query: Query) -> None:
    """One sentence, no traceback."""
    query("REVOKE SELECT ON accounts FROM auditor")
    with pytest.raises(StatementRefused, match="permission denied for table accounts"):
        measure(reader)


def test_a_database_without_our_tables_is_refused(empty_database_url: str) -> None:
    """There is nothing to measure."""
    empty = PostgresDatabase(Secret(empty_database_url))
    with pytest.raises(ConfigError, match="no costbatch tables"):
        measure(empty)
    empty.close()


@pytest.mark.usefixtures("costs")
def test_nothing_that_grows_with_the_costs_is_read(database: PostgresDatabase) -> None:
    """The plans name the catalogue, the accounts and the runs, and no other table of ours."""
    statements: list[tuple[str, Any]] = []

    def remember(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        statements.append((statement, parameters))

    event.listen(database._engine, "before_cursor_execute", remember)
    measure(database)
    event.remove(database._engine, "before_cursor_execute", remember)
    with database.connection() as connection:
        plans = [
            row[0]
            for statement, parameters in statements
            for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        ]
        ours = connection.scalars(
            sa.text(
                "SELECT relname FROM pg_class"
                " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            )
        )
        scanned = {name for name in ours for line in plans if f" on {name} " in f"{line} "}
    assert scanned == {"accounts", "runs"}
