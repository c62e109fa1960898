"""Digests of days on a real PostgreSQL: used only as long as they are of what is stored."""

from datetime import date, datetime, timedelta

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.accounts import Account
from costbatch.domain.costs import DayDigest, DayDigests
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.runs import SkipReason, WorkItem
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    LATER,
    NOW,
    TODAY,
    WINDOW,
    add_account,
    claim,
    collect,
    cost_row,
    failed,
    finish,
    open_run,
    prepare_months,
    record,
    replace_window,
    save_collected,
    skipped,
    succeeded,
)
from tests.support.factories import CostRow, make_fetched

ROWS = [cost_row(3), cost_row(3, record_type="Tax"), cost_row(5), cost_row(9)]


@pytest.fixture
def account(database: PostgresDatabase) -> Account:
    """Register an account, with room for its costs."""
    prepare_months(database)
    return add_account(database)


def claimed(database: PostgresDatabase, account: Account, key: str = "nightly") -> WorkItem:
    """Claim one account in a run of its own."""
    run = open_run(database, key, aws_account_ids=(account.aws_account_id,))
    (item,) = claim(database, run)
    return item


def collect_rows(
    database: PostgresDatabase,
    account: Account,
    rows: list[CostRow],
    window: DateRange = WINDOW,
    *,
    key: str = "nightly",
) -> DayDigests:
    """Collect an account as a run does, all in one transaction; return the digests of its days."""
    item = claimed(database, account, key)
    digests = make_fetched(window, *rows).digests
    with database.transaction() as tx:
        tx.items.lock([item])
        replace_window(tx, account, rows, window)
        save_collected(tx, item, digests=digests)
    return digests


def collect_without_store(database: PostgresDatabase, item: WorkItem, now: datetime) -> None:
    """Record that an account was collected, as a program does that has no digests."""
    with database.transaction() as tx:
        tx.collections.save({item.id: record()})
        tx.items.finish([succeeded(item)], now=now)


def load(database: PostgresDatabase, account: Account, window: DateRange = WINDOW) -> DayDigests | None:
    """Return the digests of an account's window, if they are used."""
    with database.transaction() as tx:
        return tx.digests.load({account.id: window}).get(account.id)


def test_digests_are_stored_to_the_byte(database: PostgresDatabase, account: Account) -> None:
    """Every day of the window with its digest, zero bytes and all, and its number of rows."""
    item = claimed(database, account)
    digests = {
        WINDOW.start: DayDigest(bytes(16), 0),
        WINDOW.start + ONE_DAY: DayDigest(b"\xff" * 16, 2**31 - 1),
    }
    collect(database, item, digests=dict(reversed(digests.items())))
    with database.connection() as connection:
        saved = connection.exec_driver_sql("SELECT start_date, days FROM day_digests").one()
    assert saved.start_date == WINDOW.start
    assert bytes(saved.days) == bytes(20) + b"\xff" * 16 + b"\x7f\xff\xff\xff"
    assert load(database, account, DateRange(WINDOW.start, WINDOW.start + ONE_DAY)) == digests


def test_a_collection_without_digests_deletes_them_whatever_its_clock_says(
    database: PostgresDatabase, account: Account
) -> None:
    """A backfill has stored something else, also if the clock of its process is behind."""
    collect_rows(database, account, ROWS)
    collect(database, claimed(database, account, "backfill"), now=NOW - timedelta(days=1))
    assert load(database, account) is None


def test_digests_are_not_used_once_another_collection_came_later(
    database: PostgresDatabase, account: Account
) -> None:
    """It may have stored something else, and did not touch the digests."""
    collect_rows(database, account, ROWS)
    collect_without_store(database, claimed(database, account, "later"), LATER)
    assert load(database, account) is None


def test_the_digests_of_a_collection_after_that_are_used(
    database: PostgresDatabase, account: Account
) -> None:
    """The next ordinary run compares everything, and its own digests count from then on."""
    collect_rows(database, account, ROWS)
    collect_without_store(database, claimed(database, account, "later"), NOW + timedelta(minutes=1))
    digests = make_fetched(WINDOW, *ROWS).digests
    collect(database, claimed(database, account, "last"), now=LATER, digests=digests)
    assert load(database, account) == digests


def test_a_collection_of_another_account_does_not_matter(
    database: PostgresDatabase, account: Account
) -> None:
    """Each account has its own newest one."""
    digests = collect_rows(database, account, ROWS)
    collect(database, claimed(database, add_account(database, 2), "later"), now=LATER)
    assert load(database, account) == digests


@pytest.mark.parametrize("fate", ["pending", "running", "failed", "tried again", "skipped"])
def test_digests_are_used_while_no_later_attempt_succeeded(
    database: PostgresDatabase, account: Account, fate: str
) -> None:
    """Only an attempt that succeeded has stored anything."""
    digests = collect_rows(database, account, ROWS)
    run = open_run(database, "later")
    if fate != "pending":
        (item,) = claim(database, run)
        outcomes = {
            "failed": failed(item),
            "tried again": failed(item, retry_after=timedelta(0)),
            "skipped": skipped(item, SkipReason.API_COST_CAP, api_requests=1),
        }
        finish(database, *([outcomes[fate]] if fate in outcomes else []), now=LATER)
    assert load(database, account) == digests


ONE_MORE = """
INSERT INTO daily_costs
    (account_id, usage_date, service, record_type, currency, unblended, amortized, estimated)
SELECT account_id, usage_date, 'x', 'x', 'USD', 1, 1, false FROM daily_costs LIMIT 1
"""


@pytest.mark.parametrize(
    "by_hand",
    [
        "DELETE FROM daily_costs WHERE record_type = 'Tax'",
        "DELETE FROM daily_costs WHERE usage_date = '2026-03-09'",
        "DELETE FROM daily_costs",
        "UPDATE daily_costs SET usage_date = '2026-02-28' WHERE usage_date = '2026-03-09'",
        ONE_MORE,
    ],
    ids=["one too few", "a day too few", "none left", "one moved out", "one too many"],
)
def test_digests_are_not_used_if_the_number_of_rows_differs(
    database: PostgresDatabase, account: Account, query: Query, by_hand: str
) -> None:
    """Rows were removed or added by hand: the next run compares everything."""
    collect_rows(database, account, ROWS)
    query(by_hand)
    assert load(database, account) is None


def test_rows_of_other_accounts_and_of_other_days_are_not_counted(
    database: PostgresDatabase, account: Account
) -> None:
    """Neither days before those of the digests, which earlier runs stored, nor days after them."""
    digests = collect_rows(database, account, ROWS)
    neighbour = add_account(database, 2)
    with database.transaction() as tx:
        replace_window(tx, neighbour, ROWS)
        replace_window(tx, account, [cost_row(date(2026, 2, 28))], DateRange(date(2026, 2, 1), WINDOW.start))
        replace_window(tx, account, [cost_row(TODAY)], DateRange(TODAY, TODAY + ONE_DAY))
    assert load(database, account, DateRange(date(2026, 2, 1), TODAY + ONE_DAY)) == digests


def test_a_window_that_begins_later_than_the_digests_counts_its_own_days(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """Every night's window does; the days before it do not matter."""
    digests = collect_rows(database, account, ROWS)
    window = DateRange(date(2026, 3, 5), TODAY + ONE_DAY)
    for statement in ("SELECT 1", "DELETE FROM daily_costs WHERE usage_date < '2026-03-05'"):
        query(statement)
        found = load(database, account, window)
        assert found is not None
        assert {day: found.get(day) for day in window} == {day: digests.get(day) for day in window}
    query("DELETE FROM daily_costs WHERE usage_date = '2026-03-05'")
    assert load(database, account, window) is None


def test_a_window_that_has_no_day_in_common_with_the_digests_is_no_error(
    database: PostgresDatabase, account: Account
) -> None:
    """After a long outage no digest is of use."""
    collect_rows(database, account, ROWS)
    window = DateRange(date(2026, 1, 1), date(2026, 2, 1))
    assert not set(load(database, account, window) or {}) & set(window)


def test_each_account_has_its_own_digests_and_window(database: PostgresDatabase, account: Account) -> None:
    """One new, one with a long history, one with few days, one whose rows were removed: asked at once."""
    new, old, robbed = (add_account(database, number) for number in (2, 3, 4))
    history = DateRange(date(2026, 1, 1), TODAY)
    before = [cost_row(date(2026, 1, 31)), *ROWS]
    expected = {
        account.id: collect_rows(database, account, ROWS),
        old.id: collect_rows(database, old, before, history, key="old"),
    }
    collect_rows(database, robbed, ROWS, key="robbed")
    with database.transaction() as tx:
        replace_window(tx, robbed, [])
        windows = {account.id: WINDOW, new.id: history, old.id: WINDOW, robbed.id: WINDOW}
        assert tx.digests.load(windows) == expected


def test_an_account_has_one_row_of_digests(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """The digests of a later run take the place of the earlier ones."""
    collect_rows(database, account, ROWS)
    collect(database, claimed(database, account, "second"), digests=make_fetched(WINDOW).digests)
    assert query("SELECT count(*) FROM day_digests") == [(1,)]


def test_digests_whose_run_was_pruned_are_not_used(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """There is no record any more of whether another collection came later."""
    collect_rows(database, account, ROWS)
    query("DELETE FROM runs")
    assert load(database, account) is None


def test_an_account_that_is_erased_takes_its_digests_along(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """Nothing else points at them."""
    collect_rows(database, account, [])
    query("DELETE FROM runs")
    query("DELETE FROM accounts")
    assert query("SELECT count(*) FROM day_digests") == [(0,)]
