"""Pruning that is interrupted or not allowed: it is run again, or it has done nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import pytest
from sqlalchemy.engine import Connection

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.retention import PostgresRetention
from costbatch.adapters.postgres.tables import metadata
from costbatch.application.retention import OldRows
from costbatch.domain.credentials import Secret
from costbatch.errors import ConfigError, StatementRefused, StorageError
from tests.postgres.conftest import Query
from tests.postgres.old_rows import (
    FIRST_KEPT,
    MONTHS,
    OLD,
    Connect,
    add_anomaly,
    add_cost_version,
    add_event,
    add_run,
    cover,
    ids,
    prune,
    store_costs,
)
from tests.postgres.roles import database_as
from tests.support.database_rows import prepare_months


@pytest.fixture
def costs(database: PostgresDatabase, query: Query) -> None:
    """Store two days of every month, for two accounts."""
    store_costs(database, query)


class Killed(Exception):  # noqa: N818 - what happens to a process is no error of it
    """The process is gone."""


def killed_at(database: PostgresDatabase, number: int, *, commits: bool) -> Connect:
    """Return a way to connect that dies at a transaction: before its commit, or just after it."""
    transactions = iter(range(number + 1))

    @contextmanager
    def connect() -> Iterator[Connection]:
        is_last = next(transactions) == number
        with database.connection() as connection:
            yield connection
            if is_last and not commits:
                raise Killed
        if is_last:
            raise Killed

    return connect


@pytest.mark.usefixtures("costs")
@pytest.mark.parametrize("commits", [False, True])
@pytest.mark.parametrize("number", range(13))
def test_a_pruning_that_was_killed_is_simply_run_again(
    database: PostgresDatabase, query: Query, number: int, *, commits: bool
) -> None:
    """Before or after the commit of any of its transactions: no wrong claim between, and all done after."""
    cover(query, "2025-09-01", "2026-03-10")
    old = add_run(query, started=OLD, ended=OLD, accounts=2)
    add_event(query, OLD, OLD, run=old)
    add_anomaly(query, "resolved", date(2025, 10, 2), run=old)
    add_cost_version(query, date(2025, 11, 30))
    with pytest.raises(Killed):
        prune(database, killed_at(database, number, commits=commits))
    missing = (
        "SELECT count(*) FROM account_progress,"
        " generate_series('2025-09-01'::date, '2026-03-01', '1 month') AS month"
        " WHERE month::date + 4 >= covered_start AND NOT EXISTS (SELECT FROM daily_costs"
        " WHERE daily_costs.account_id = account_progress.account_id AND usage_date = month::date + 4)"
    )
    assert query(missing) == [(0,)]
    prune(database)
    assert query("SELECT count(*), min(usage_date) FROM daily_costs") == [(16, date(2025, 12, 5))]
    assert query("SELECT DISTINCT covered_start FROM account_progress") == [(FIRST_KEPT,)]
    assert [ids(query, table) for table in OldRows] == [set()] * len(OldRows)
    assert query(missing) == [(0,)]


@pytest.mark.usefixtures("costs")
def test_a_lost_database_is_said_and_what_went_is_gone(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    """A restart in the middle of a step undoes that step."""

    @contextmanager
    def connect() -> Iterator[Connection]:
        with database.connection() as connection:
            yield connection
            with other.connection() as killer:
                killer.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )

    september = PostgresRetention(database.connection).months_before(FIRST_KEPT)[0]
    with pytest.raises(StorageError, match="cannot be reached or was lost"):
        PostgresRetention(connect).drop_month(september)
    assert PostgresRetention(database.connection).months_before(FIRST_KEPT)[0].month == september.month


@pytest.fixture
def clerk(database_url: str, query: Query) -> Iterator[PostgresDatabase]:
    """Open the database as a role that may read and write every row, and owns no table."""
    grant = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
    with database_as("clerk", grant, database_url=database_url, query=query) as clerk:
        yield clerk


@pytest.mark.parametrize("privilege", ["UPDATE", "DELETE"])
def test_the_privileges_on_whatever_is_pruned_are_looked_up_first(
    clerk: PostgresDatabase, query: Query, privilege: str
) -> None:
    """Of every kind of old rows, also of one to come: else pruning would fail in the middle."""
    assert metadata.tables.keys() >= set(OldRows)
    for table in OldRows:
        query(f"REVOKE {privilege} ON {table} FROM clerk")
    missing = PostgresRetention(clerk.connection).rights(FIRST_KEPT).missing
    assert set(missing) == {f"{privilege} on {table}" for table in OldRows}


@pytest.mark.usefixtures("costs")
def test_a_role_that_does_not_own_the_months_is_refused_before_anything(
    clerk: PostgresDatabase, query: Query
) -> None:
    """One sentence names what it lacks; not a row is gone."""
    cover(query, "2025-09-01", "2026-03-10")
    query("REVOKE DELETE ON runs FROM clerk")
    with pytest.raises(ConfigError) as refused:
        prune(clerk)
    assert str(refused.value) == (
        "The role clerk cannot prune, because it lacks DELETE on runs, ownership of cost_changes_2025_09, "
        "ownership of cost_changes_2025_10, ownership of cost_changes_2025_11, "
        "ownership of daily_costs_2025_09, ownership of daily_costs_2025_10, "
        "ownership of daily_costs_2025_11, ownership of daily_expectations_2025_09, "
        "ownership of daily_expectations_2025_10, ownership of daily_expectations_2025_11; "
        "set DATABASE_URL to the role that owns the tables."
    )
    assert query("SELECT DISTINCT covered_start FROM account_progress") == [(date(2025, 9, 1),)]
    assert query("SELECT count(*) FROM daily_costs") == [(28,)]


@pytest.mark.usefixtures("costs")
def test_a_role_that_owns_the_months_may_drop_them(clerk: PostgresDatabase, query: Query) -> None:
    """Membership in the role that owns them is enough, as for making them."""
    query("DROP ROLE IF EXISTS keepers")
    query("CREATE ROLE keepers")
    query("GRANT keepers TO clerk")
    for month in ("2025_09", "2025_10", "2025_11"):
        for table in ("daily_costs", "cost_changes", "daily_expectations"):
            query(f"ALTER TABLE {table}_{month} OWNER TO keepers")
    assert len(prune(clerk).months) == 3
    query("DROP ROLE keepers")


def test_a_database_without_our_tables_is_refused_by_the_schema_check(empty_database_url: str) -> None:
    """The sentence is the one that every command has."""
    empty = PostgresDatabase(Secret(empty_database_url))
    with pytest.raises(ConfigError, match="no costbatch tables yet"):
        prune(empty)
    empty.close()


def test_a_statement_that_is_refused_is_not_taken_for_a_lock(
    database: PostgresDatabase, query: Query
) -> None:
    """A view that was built on a month keeps it from being dropped, and the sentence says so."""
    prepare_months(database, MONTHS)
    query("CREATE VIEW autumn AS SELECT * FROM daily_costs_2025_09")
    with pytest.raises(StatementRefused, match="cannot drop table daily_costs_2025_09 because other objects"):
        prune(database)
