"""Pruning beside other transactions: they do not wait for it, and it does not wait for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from threading import Event, Thread

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.retention import PostgresRetention
from costbatch.application import retention
from costbatch.application.retention import OldRows, Pruning
from costbatch.domain.credentials import Secret
from costbatch.domain.periods import DateRange
from tests.postgres.conftest import Query
from tests.postgres.old_rows import (
    FIRST_KEPT,
    MONTHS,
    OLD,
    PARTITIONS,
    add_event,
    add_run,
    cover,
    prune,
    store_costs,
)
from tests.support.database_rows import add_account, prepare_months


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAUSE_SECONDS", 0.01)


@pytest.fixture
def costs(database: PostgresDatabase, query: Query) -> None:
    """Store two days of every month, for two accounts."""
    store_costs(database, query)


@contextmanager
def busy(database: PostgresDatabase, *statements: str) -> Iterator[Connection]:
    """Hold a transaction open that has executed these statements."""
    with database.connection() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        yield connection


WRITER = (
    "SELECT FROM accounts WHERE name = 'account-1' FOR NO KEY UPDATE",
    "UPDATE daily_costs SET unblended = 2 WHERE account_id = 1 AND usage_date = '2026-03-05'",
)
READER = ("SELECT count(*) FROM daily_costs JOIN accounts ON accounts.id = account_id",)


def test_rows_that_are_locked_are_left_for_the_next_time(
    database: PostgresDatabase, other: PostgresDatabase, query: Query
) -> None:
    """Pruning waits for no other transaction, and keeps none waiting."""
    add_account(database)
    run = add_run(query, started=OLD, ended=OLD)
    with other.connection() as connection:
        connection.execute(sa.text("SELECT FROM run_items WHERE run_id = :run FOR UPDATE"), {"run": run})
        assert prune(database).rows == dict.fromkeys(OldRows, 0)
    assert prune(database).rows[OldRows.RUNS] == 1


@pytest.mark.usefixtures("costs")
@pytest.mark.parametrize("open_transaction", [WRITER, READER], ids=["writer", "reader"])
def test_an_open_transaction_is_waited_for_and_others_do_not_queue_behind(
    database: PostgresDatabase,
    other: PostgresDatabase,
    database_url: str,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    open_transaction: tuple[str, ...],
) -> None:
    """While a pruning asks again and again for its lock, readers and writers who bear no wait go on."""
    monkeypatch.setattr(retention, "_ATTEMPTS", 500)
    third, asked, prunings = PostgresDatabase(Secret(database_url)), Event(), list[Pruning]()

    @contextmanager
    def connect() -> Iterator[Connection]:
        asked.set()
        with database.connection() as connection:
            yield connection

    thread = Thread(target=lambda: prunings.append(prune(database, connect)))
    with busy(other, *open_transaction):
        thread.start()
        assert asked.wait(10)
        for number in range(150):
            with third.connection() as connection:
                connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
                connection.exec_driver_sql(READER[0])
                connection.exec_driver_sql(
                    f"UPDATE daily_costs SET amortized = {number}"
                    " WHERE account_id = 2 AND usage_date = '2026-03-05'"
                )
        assert thread.is_alive()
    thread.join(60)
    (pruning,) = prunings
    assert (len(pruning.months), pruning.held_up) == (3, ())
    assert query("SELECT amortized FROM daily_costs WHERE account_id = 2 AND usage_date = '2026-03-05'") == [
        (149,)
    ]
    third.close()


@pytest.mark.usefixtures("costs")
def test_a_month_that_is_never_free_is_reported_and_goes_the_next_time(
    database: PostgresDatabase, other: PostgresDatabase, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dump that reads for an hour holds the months up; old rows go all the same."""
    monkeypatch.setattr(retention, "_ATTEMPTS", 2)
    add_event(query, OLD, OLD)
    with busy(other, *READER):
        pruning = prune(database)
    assert (pruning.months, len(pruning.held_up)) == ((), 3)
    assert pruning.rows[OldRows.EVENTS] == 1
    assert len(prune(database).months) == 3


@pytest.mark.usefixtures("costs")
def test_a_locked_account_keeps_its_months(
    database: PostgresDatabase, other: PostgresDatabase, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose stored days cannot be moved now must not lose any."""
    monkeypatch.setattr(retention, "_ATTEMPTS", 2)
    cover(query, "2025-09-01", "2026-03-10")
    with busy(other, WRITER[0]):
        pruning = prune(database)
        assert (pruning.months, len(pruning.held_up)) == ((), 3)
    assert query("SELECT count(*) FROM daily_costs WHERE usage_date < '2025-12-01'") == [(12,)]
    assert len(prune(database).months) == 3


@pytest.mark.usefixtures("costs")
def test_dropping_a_month_locks_no_other_table(database: PostgresDatabase) -> None:
    """The accounts, which everything reads, stay free; DETACH and DROP would lock them against readers."""
    locked: set[str] = set()

    @contextmanager
    def connect() -> Iterator[Connection]:
        with database.connection() as connection:
            yield connection
            tables = sa.text(
                "SELECT relname FROM pg_locks JOIN pg_class ON oid = relation WHERE pid = pg_backend_pid()"
                " AND mode = 'AccessExclusiveLock' AND relkind IN ('r', 'p') AND relnamespace ="
                " 'public'::regnamespace"
            )
            locked.update(connection.scalars(tables))
            weaker = sa.text(
                "SELECT count(*) FROM pg_locks"
                " WHERE pid = pg_backend_pid() AND relation = 'accounts'::regclass"
            )
            assert connection.scalar(weaker) == 0

    records = PostgresRetention(connect)
    september = PostgresRetention(database.connection).months_before(FIRST_KEPT)[0]
    assert records.drop_month(september) == september
    assert locked == {"daily_costs", "cost_changes", "daily_expectations"}


@pytest.mark.usefixtures("costs")
def test_months_are_made_and_dropped_one_after_the_other(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    """Both take the same lock, so that neither sees half of the other's work."""
    records = PostgresRetention(other.connection)
    september = records.months_before(FIRST_KEPT)[0]
    with database.transaction() as tx:
        tx.costs.prepare_months(DateRange(date(2026, 5, 1), date(2026, 6, 1)))
        assert records.drop_month(september) is None
    assert records.drop_month(september) == september
    assert records.drop_month(september) == september  # it is gone, which is all that was asked for
    prepare_months(database, MONTHS)
    assert records.months_before(FIRST_KEPT)[0].month == september.month


@pytest.mark.usefixtures("costs")
def test_two_prunings_at_once_do_the_same_work_together(
    database: PostgresDatabase, other: PostgresDatabase, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two processes of one run do."""
    monkeypatch.setattr(retention, "_BATCH", 3)
    for _ in range(20):
        add_run(query, started=OLD, ended=OLD, accounts=2)
        add_event(query, OLD, OLD)
    prunings: list[Pruning] = []
    threads = [Thread(target=lambda each=each: prunings.append(prune(each))) for each in (database, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(prunings) == 2
    assert sum(each.rows[OldRows.RUN_ITEMS] for each in prunings) == 40
    assert query("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM events)") == [(0, 0)]
    assert len(query(PARTITIONS)) == 12
