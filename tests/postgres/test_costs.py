"""Replacing an account's window: exactly what differs is written, nothing else is touched."""

from datetime import date, timedelta
from decimal import Decimal
from threading import Thread
from time import sleep
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.cost_statements import STAGING
from costbatch.adapters.postgres.staging import StagingTable
from costbatch.domain.accounts import Account
from costbatch.domain.costs import StoredChange
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import WorkItem
from costbatch.errors import StatementRefused
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    LEASE,
    WINDOW,
    add_account,
    claim,
    cost_row,
    open_run,
    prepare_months,
    replace_window,
    save_collected,
    store,
)
from tests.support.factories import CostRow, make_fetched, make_run

UNCHANGED = StoredChange()


@pytest.fixture
def account(database: PostgresDatabase) -> Account:
    """Register an account, with room for its costs."""
    prepare_months(database)
    return add_account(database)


def stored(database: PostgresDatabase, account: Account) -> list[CostRow]:
    """Return what the table holds of an account."""
    columns = ", ".join(CostRow._fields)
    statement = sa.text(
        f"SELECT {columns} FROM daily_costs WHERE account_id = :id ORDER BY usage_date, service, record_type"
    )
    with database.connection() as connection:
        return [CostRow(*row) for row in connection.execute(statement, {"id": account.id})]


def test_new_rows_are_inserted_and_counted_by_day(database: PostgresDatabase, account: Account) -> None:
    """Every row reads back as it came, and the change names their days."""
    rows = [cost_row(3), cost_row(3, record_type="Tax"), cost_row(5, net_unblended=Decimal(1))]
    change = store(database, account, rows)
    assert change == StoredChange(inserted=3, changed_dates=frozenset({date(2026, 3, 3), date(2026, 3, 5)}))
    assert stored(database, account) == sorted(rows, key=lambda row: row[:3])


def test_a_connection_that_an_older_version_used_is_as_good(
    database: PostgresDatabase, account: Account
) -> None:
    """A pooler keeps its connections to the server over an upgrade, with their staging tables."""
    with database.connection() as connection:
        connection.exec_driver_sql(
            "CREATE TEMP TABLE costs_staging (account_id bigint) ON COMMIT DELETE ROWS"
        )
    store(database, account, [cost_row(3)])
    assert store(database, account, [cost_row(4)]).changed_dates == {date(2026, 3, 3), date(2026, 3, 4)}
    older = StagingTable(STAGING.alias, STAGING.copying.replace("currency text", "currency char(3)"))
    assert STAGING.name != older.name


@pytest.mark.parametrize(
    "changed",
    [
        {"unblended": Decimal("1.51")},
        {"amortized": Decimal("1.51")},
        {"net_unblended": Decimal("1.50")},
        {"net_amortized": Decimal("1.50")},
        {"usage_quantity": None},
        {"estimated": True},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_row_that_differs_in_any_column_is_updated(
    database: PostgresDatabase, account: Account, changed: dict[str, Any]
) -> None:
    """One column is enough; the row beside it is not counted."""
    before, beside = cost_row(3), cost_row(4)
    store(database, account, [before, beside])
    after = before._replace(**changed)
    change = store(database, account, [after, beside])
    assert change == StoredChange(updated=1, changed_dates=frozenset({date(2026, 3, 3)}))
    assert stored(database, account) == [after, beside]


def test_an_account_with_costs_cannot_be_deleted(database: PostgresDatabase, account: Account) -> None:
    """Its costs have no foreign key, but the versions of them have."""
    store(database, account, [cost_row()])
    delete = sa.text("DELETE FROM accounts WHERE id = :id")
    with database.connection() as connection, pytest.raises(IntegrityError, match="fk_cost_versions"):
        connection.execute(delete, {"id": account.id})


def test_a_row_in_another_currency_is_another_row(database: PostgresDatabase, account: Account) -> None:
    """Two currencies of one service and record type lie side by side; one that changes is replaced."""
    dollars, euros = cost_row(3, "1"), cost_row(3, "2", currency="EUR")
    days = frozenset({date(2026, 3, 3)})
    assert store(database, account, [dollars, euros]) == StoredChange(inserted=2, changed_dates=days)
    assert sorted(stored(database, account)) == sorted([dollars, euros])
    yen = cost_row(3, "3", currency="JPY")
    assert store(database, account, [dollars, yen]) == StoredChange(inserted=1, deleted=1, changed_dates=days)
    assert sorted(stored(database, account)) == sorted([dollars, yen])


def test_rows_that_aws_reports_no_more_are_deleted(database: PostgresDatabase, account: Account) -> None:
    """A vanished service is gone, and its day counts as changed."""
    kept, vanished = cost_row(3), cost_row(4, service="Amazon Route 53")
    store(database, account, [kept, vanished])
    change = store(database, account, [kept])
    assert change == StoredChange(deleted=1, changed_dates=frozenset({date(2026, 3, 4)}))
    assert stored(database, account) == [kept]


def test_inserts_updates_and_deletes_are_told_apart(database: PostgresDatabase, account: Account) -> None:
    """As many rows as before may still be other rows."""
    store(database, account, [cost_row(2), cost_row(3), cost_row(4), cost_row(5)])
    after = [cost_row(2), cost_row(3, "9"), cost_row(6), cost_row(7)]
    change = store(database, account, after)
    days = frozenset(date(2026, 3, day) for day in (3, 4, 5, 6, 7))
    assert change == StoredChange(inserted=2, updated=1, deleted=2, changed_dates=days)
    assert stored(database, account) == after


def test_an_empty_answer_empties_the_window(database: PostgresDatabase, account: Account) -> None:
    """A window without cost is a window without rows; an empty one stays so."""
    store(database, account, [cost_row(3), cost_row(4)])
    days = frozenset({date(2026, 3, 3), date(2026, 3, 4)})
    assert store(database, account, []) == StoredChange(deleted=2, changed_dates=days)
    assert store(database, account, []) == UNCHANGED
    assert stored(database, account) == []


def test_days_outside_the_window_and_other_accounts_stay(
    database: PostgresDatabase, account: Account
) -> None:
    """The window is half-open, and only this account's."""
    neighbour = add_account(database, 2)
    year = DateRange(date(2026, 1, 1), date(2026, 4, 1))
    before, first, last, after = (
        cost_row(day) for day in (date(2026, 2, 28), WINDOW.start, WINDOW.last, WINDOW.end_exclusive)
    )
    store(database, account, [before, first, last, after], year)
    store(database, neighbour, [first, last])
    change = store(database, account, [])
    assert change == StoredChange(deleted=2, changed_dates=frozenset({WINDOW.start, WINDOW.last}))
    assert stored(database, account) == [before, after]
    assert stored(database, neighbour) == [first, last]


def test_an_unchanged_re_read_writes_nothing(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """The rows keep the transaction that wrote them, and the WAL grows by next to nothing."""
    rows = [cost_row(day, service=f"service {n}") for day in range(1, 10) for n in range(40)]
    store(database, account, rows)
    store(database, account, rows)  # the server's first look may still write hint bits
    versions = query("SELECT DISTINCT xmin::text FROM daily_costs")
    with database.transaction() as tx:
        start = tx.connection.scalar(sa.text("SELECT pg_current_wal_insert_lsn()"))
        change = replace_window(tx, account, rows)
        written = tx.connection.scalar(
            sa.text("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), :start)"), {"start": start}
        )
    assert change == UNCHANGED
    assert query("SELECT DISTINCT xmin::text FROM daily_costs") == versions
    assert len(versions) == 1
    assert written < 2000


def test_trailing_zeros_are_no_difference(database: PostgresDatabase, account: Account) -> None:
    """1.0 and 1.00 are the same money, so nothing is written."""
    store(database, account, [cost_row(3, "1.0")])
    assert store(database, account, [cost_row(3, "1.00")]) == UNCHANGED


def test_the_window_of_a_second_account_in_one_transaction_is_its_own(
    database: PostgresDatabase, account: Account
) -> None:
    """What was staged for the first account does not reach the second."""
    neighbour = add_account(database, 2)
    with database.transaction() as tx:
        first = replace_window(tx, account, [cost_row(3)])
        second = replace_window(tx, neighbour, [cost_row(4), cost_row(5)])
    assert (first.inserted, second.inserted) == (1, 2)
    assert stored(database, account) == [cost_row(3)]
    assert stored(database, neighbour) == [cost_row(4), cost_row(5)]


def test_several_accounts_are_replaced_together_each_with_its_own_window(
    database: PostgresDatabase, account: Account
) -> None:
    """One call, two windows: what differs is written for each, and each has its own change."""
    neighbour, third = add_account(database, 2), add_account(database, 3)
    store(database, neighbour, [cost_row(3), cost_row(4)])
    store(database, third, [cost_row(5)])
    early = DateRange(date(2026, 2, 1), date(2026, 3, 1))
    fetched = {
        account.id: make_fetched(early, cost_row(date(2026, 2, 7))),
        neighbour.id: make_fetched(WINDOW, cost_row(3, "9")),
        third.id: make_fetched(WINDOW, cost_row(5)),
    }
    with database.transaction() as tx:
        changes = tx.costs.replace_windows(make_run(), fetched)
    assert changes == {
        account.id: StoredChange(inserted=1, changed_dates=frozenset({date(2026, 2, 7)})),
        neighbour.id: StoredChange(
            updated=1, deleted=1, changed_dates=frozenset({date(2026, 3, 3), date(2026, 3, 4)})
        ),
        third.id: UNCHANGED,
    }
    assert stored(database, account) == [cost_row(date(2026, 2, 7))]
    assert stored(database, neighbour) == [cost_row(3, "9")]
    assert stored(database, third) == [cost_row(5)]


def test_an_undone_transaction_leaves_the_window_as_it_was(
    database: PostgresDatabase, account: Account
) -> None:
    """Costs commit with everything else of the account, or not at all."""
    store(database, account, [cost_row(3)])

    def fail_half_way() -> None:
        with database.transaction() as tx:
            replace_window(tx, account, [cost_row(4)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert stored(database, account) == [cost_row(3)]


def test_the_first_day_is_that_of_the_account_and_currency(
    database: PostgresDatabase, account: Account
) -> None:
    """Months before it are looked through, other accounts' and other currencies' days are not."""
    neighbour = add_account(database, 2)
    store(database, neighbour, [cost_row(2)])
    with database.transaction() as tx:
        assert tx.costs.first_days({account.id: ["USD"]}) == {}
    store(database, account, [cost_row(3), cost_row(9), cost_row(9, currency="EUR")])
    early = DateRange(date(2026, 1, 1), date(2026, 2, 1))
    store(database, account, [cost_row(date(2026, 1, 31))], early)
    with database.transaction() as tx:
        asked = {account.id: ["USD", "EUR", "JPY"], neighbour.id: ["USD"], neighbour.id + 100: ["USD"]}
        assert tx.costs.first_days(asked) == {
            (account.id, "USD"): date(2026, 1, 31),
            (account.id, "EUR"): date(2026, 3, 9),
            (neighbour.id, "USD"): date(2026, 3, 2),
        }


@pytest.mark.parametrize("before", [[], [cost_row(3, "1")], [cost_row(3, "9")]])
def test_a_row_given_twice_is_refused(
    database: PostgresDatabase, account: Account, before: list[CostRow]
) -> None:
    """Two amounts for one key cannot both be right; nothing is stored, whether or not the row was there."""
    store(database, account, before)
    with pytest.raises(StatementRefused):
        store(database, account, [cost_row(3, "1"), cost_row(3, "2")])
    assert stored(database, account) == before


def test_a_run_that_takes_an_account_over_sees_what_the_slow_one_stored(
    database: PostgresDatabase, other: PostgresDatabase, account: Account
) -> None:
    """A lease that lapses while its process writes is taken over after the commit: no update is lost."""
    slow, quick = open_run(database, "slow"), open_run(database, "quick")
    store(database, account, [cost_row(3, "1")])
    (held,) = claim(database, slow, "slow", lease=timedelta(0))
    changes: list[StoredChange] = []

    def take_over() -> None:
        items: list[WorkItem] = []
        # What is being written is left for the next look.
        while not items:
            with other.transaction() as tx:
                tx.items.release_dead("slow".__eq__)
                items = tx.items.claim(quick, worker="quick", most=1, lease=LEASE)
        with other.transaction() as tx:
            assert tx.items.lock(items)
            changes.append(replace_window(tx, account, [cost_row(3, "3"), cost_row(4, "4")]))

    thread = Thread(target=take_over)
    with database.transaction() as tx:
        assert tx.items.lock([held])
        replace_window(tx, account, [cost_row(3, "2"), cost_row(4, "2")])
        thread.start()
        sleep(0.3)
        assert thread.is_alive()
        save_collected(tx, held)
    thread.join(10)
    assert [(change.inserted, change.updated) for change in changes] == [(0, 2)]
    assert stored(database, account) == [cost_row(3, "3"), cost_row(4, "4")]
    with database.connection() as connection:
        steps = connection.exec_driver_sql(
            "SELECT old_unblended::int, new_unblended::int FROM cost_changes ORDER BY usage_date, version_id"
        ).all()
    assert [*map(tuple, steps)] == [(1, 2), (2, 3), (None, 2), (2, 4)]


def test_a_row_that_someone_else_adds_meanwhile_is_refused_and_kept(
    database: PostgresDatabase, other: PostgresDatabase, account: Account
) -> None:
    """Only a person's own statement does not wait for the account: the engine then saves it alone, again."""
    refused: list[StatementRefused] = []

    def replace_as_well() -> None:
        try:
            store(other, account, [cost_row(3, "2"), cost_row(4, "2")])
        except StatementRefused as error:
            refused.append(error)

    store(database, account, [cost_row(4, "1")])
    thread = Thread(target=replace_as_well)
    with database.transaction() as tx:
        replace_window(tx, account, [cost_row(3, "1"), cost_row(4, "1")])
        thread.start()
        sleep(0.3)
        assert thread.is_alive()
    thread.join(10)
    assert len(refused) == 1
    assert stored(database, account) == [cost_row(3, "1"), cost_row(4, "1")]
    assert store(database, account, [cost_row(3, "2"), cost_row(4, "2")]).updated == 2
