"""The ledger of restatements: replaying it backwards gives every earlier night's table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.retention import PostgresRetention
from costbatch.domain.accounts import Account
from costbatch.domain.collection import CollectOptions
from costbatch.domain.detection import Rule
from costbatch.domain.ledger import ChangeQuery
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.runs import Run
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    TODAY,
    WINDOW,
    add_account,
    claim,
    cost_row,
    prepare_months,
    store,
)
from tests.support.database_rows import collect as save
from tests.support.factories import CostRow, make_fetched, make_run

FIRST_NIGHT = date(2026, 2, 26)
DAYS = DateRange(date(2026, 2, 24), date(2026, 3, 8))
EVER = DateRange(date(2026, 1, 1), date(2026, 4, 1))
ROW = "SELECT c::text FROM {} AS c ORDER BY 1"

AMOUNTS = st.sampled_from(["0", "1.50", "1.5", "-3", "123.4567890123456789", "9.0E-10"])
ROWS = st.dictionaries(
    st.tuples(
        st.sampled_from(list(DAYS)),
        st.sampled_from(["Amazon EC2", "Amazon S3"]),
        st.sampled_from(["Usage", "Tax"]),
        st.sampled_from(["USD", "EUR"]),
    ),
    st.tuples(AMOUNTS, st.none() | AMOUNTS, st.booleans()),
    max_size=12,
)
WINDOWS = st.tuples(st.sampled_from(list(DAYS)), st.integers(1, 12)).map(
    lambda window: DateRange(window[0], window[0] + timedelta(days=window[1]))
)


@dataclass(frozen=True)
class Night:
    """What AWS answers for two accounts, so many days after the last run; None: not collected."""

    later: int
    answers: tuple[tuple[DateRange, dict[Any, Any]] | None, ...]


NIGHTS = st.lists(
    st.builds(
        Night,
        later=st.integers(0, 2),
        answers=st.tuples(*[st.none() | st.tuples(WINDOWS, ROWS)] * 2),
    ),
    min_size=2,
    max_size=7,
)


def rows_of(answer: dict[Any, Any], window: DateRange) -> list[CostRow]:
    """Return the rows of a random answer that lie in the window."""
    return [
        cost_row(
            day,
            amount,
            service=service,
            record_type=record_type,
            currency=currency,
            net_unblended=None if net is None else Decimal(net),
            estimated=estimated,
        )
        for (day, service, record_type, currency), (amount, net, estimated) in answer.items()
        if day in window
    ]


def collect(
    database: PostgresDatabase, run: Run, accounts: Sequence[Account], night: Night, *, straight: bool
) -> None:
    """Store what a night answers; straight: the first costs of an account go straight into their table."""
    fetched = {
        account.id: make_fetched(answer[0], *rows_of(answer[1], answer[0]))
        for account, answer in zip(accounts, night.answers, strict=True)
        if answer
    }
    with database.transaction() as tx:
        tx.costs.replace_windows(run, fetched, first=list(fetched) if straight else ())


@given(nights=NIGHTS, straight=st.booleans(), is_pruned=st.booleans())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
def test_replaying_backwards_gives_each_nights_table_byte_for_byte(
    database: PostgresDatabase,
    query: Query,
    nights: list[Night],
    straight: bool,  # noqa: FBT001 - drawn
    is_pruned: bool,  # noqa: FBT001 - drawn
) -> None:
    """Restatements, deletions, new services, backfills and two currencies; also after a month was pruned."""
    prepare_months(database, EVER)
    accounts = registered(database)
    tables: dict[date, list[Any]] = {}
    with database.connection() as connection:
        connection.execute(sa.text("TRUNCATE daily_costs, cost_changes, cost_versions"))
    tables[FIRST_NIGHT - timedelta(days=1)] = []
    today = FIRST_NIGHT
    for night in nights:
        today += timedelta(days=night.later)
        collect(database, make_run(today=today), accounts, night, straight=straight)
        tables[today] = query(ROW.format("daily_costs"))
    if is_pruned:
        retention = PostgresRetention(database.connection)
        for month in retention.months_before(date(2026, 3, 1)):
            retention.drop_month(month)
        tables = {night: [row for row in rows if ",2026-03" in row[0]] for night, rows in tables.items()}
    for as_of, rows in tables.items():
        assert query(ROW.format(f"costs_as_of('{as_of}')")) == rows, as_of


def registered(database: PostgresDatabase) -> list[Account]:
    """Return two accounts, registered once."""
    with database.transaction() as tx:
        found = tx.accounts.list_all()
    return found or [add_account(database, number) for number in (1, 2)]


def test_an_unchanged_night_writes_nothing(database: PostgresDatabase, query: Query) -> None:
    """Nor does a first collection write more than that it came."""
    prepare_months(database)
    account = add_account(database)
    rows = [cost_row(3), cost_row(4)]
    store(database, account, rows)
    store(database, account, rows, night=TODAY + timedelta(days=1))
    assert query("SELECT night, is_first FROM cost_versions") == [(TODAY, True)]
    assert query("SELECT count(*) FROM cost_changes") == [(0,)]


def test_a_first_collection_without_costs_leaves_the_first_costs_to_come(
    database: PostgresDatabase, query: Query
) -> None:
    """Nothing came, so the next night's costs still have nothing before them."""
    prepare_months(database)
    account = add_account(database)
    for night, rows in ((TODAY, []), (TODAY + timedelta(days=1), [cost_row(3)])):
        with database.transaction() as tx:
            answer = {account.id: make_fetched(WINDOW, *rows)}
            tx.costs.replace_windows(make_run(today=night), answer, first=[account.id])
    assert query("SELECT night, is_first FROM cost_versions") == [(TODAY + timedelta(days=1), True)]
    assert query("SELECT count(*) FROM cost_changes") == [(0,)]


def test_changes_are_told_newest_night_and_largest_first(database: PostgresDatabase) -> None:
    """New, restated and deleted rows with both amounts; filtered by night, account, service and amount."""
    prepare_months(database)
    account, other = add_account(database), add_account(database, 2)
    store(database, account, [cost_row(3, "1"), cost_row(4, "5")], night=TODAY)
    store(database, other, [cost_row(3, "1")], night=TODAY)
    second, third = TODAY + timedelta(days=1), TODAY + timedelta(days=2)
    store(database, account, [cost_row(3, "2"), cost_row(4, "5")], night=second)
    store(database, account, [cost_row(3, "2"), cost_row(5, "0.10", service="AWS Lambda")], night=third)
    store(database, other, [cost_row(3, "1", estimated=True)], night=third)

    def told(**fields: Any) -> list[tuple[str, int, str, str, str]]:
        with database.transaction() as tx:
            return [
                (
                    change.aws_account_id[-1],
                    change.usage_date.day,
                    str(change.old.unblended) if change.old else "-",
                    str(change.new.unblended) if change.new else "-",
                    str(change.difference),
                )
                for change in tx.ledger.changes(ChangeQuery(**{"since": TODAY, **fields}))
            ]

    restated, deleted, added = (
        ("1", 3, "1", "2", "1"),
        ("1", 4, "5", "-", "-5"),
        ("1", 5, "-", "0.10", "0.10"),
    )
    assert told() == [deleted, added, ("2", 3, "1", "1", "0"), restated]
    assert told(since=third, least=Decimal("0.01")) == [deleted, added]
    assert told(aws_account_ids=("000000000002",)) == [("2", 3, "1", "1", "0")]
    assert told(services=("AWS Lambda",)) == [added]


def test_a_run_that_is_resumed_late_is_undone_with_the_later_ones(database: PostgresDatabase) -> None:
    """It saved after another day's run: that day's morning had not seen it."""
    prepare_months(database)
    account = add_account(database)
    for night, amount in ((TODAY, "1"), (TODAY + timedelta(days=2), "2"), (TODAY + timedelta(days=1), "3")):
        store(database, account, [cost_row(3, amount)], night=night)
    with database.transaction() as tx:
        seen = [
            tx.ledger.costs_as_of(TODAY + timedelta(days=n), WINDOW)[0].values.unblended for n in range(3)
        ]
        assert tx.ledger.costs_as_of(TODAY - timedelta(days=1), WINDOW) == []
        assert tx.ledger.costs_as_of(TODAY, WINDOW, aws_account_ids=["000000000009"]) == []
    assert seen == [1, 1, 3]


@pytest.mark.parametrize(
    ("hours", "seen"),
    [
        ((7, 31, 55), ("1", "2", "3")),
        # Begun late by hand, and resumed after the next night's run: that morning saw nothing.
        ((33, 31, 55), (None, "2", "3")),
        # Resumed a day after it began, before any other run.
        ((7, 52, 55), ("1", None, "3")),
    ],
)
def test_a_morning_is_one_on_which_the_account_was_read(
    database: PostgresDatabase, hours: tuple[int, ...], seen: tuple[str | None, ...]
) -> None:
    """A run that is resumed late says nothing of the morning of its own day; hours: when the runs end."""
    prepare_months(database)
    account = add_account(database)
    day = TODAY - timedelta(days=3)
    store(database, account, [cost_row(1, "9")], night=day)
    begun = []
    for n in range(3):
        began_at = datetime.combine(day, time(10 if n == 0 else 2), UTC) + timedelta(days=n + 1)
        with database.transaction() as tx:
            run = tx.runs.open(f"night {n}", CollectOptions().to_request(()), now=began_at, version="1")
            tx.items.enlist(run)
        begun.append(run)
    in_order = sorted(zip(hours, begun, strict=True), key=itemgetter(0))
    for amount, (hour, run) in zip(("1", "2", "3"), in_order, strict=True):
        (item,) = claim(database, run)
        store(database, account, [cost_row(1, "9"), cost_row(day, amount)], night=run.today)
        ended_at = datetime.combine(day + ONE_DAY, time(), UTC) + timedelta(hours=hour)
        assert save(database, item, now=ended_at)
    with database.transaction() as tx:
        (found,) = tx.ledger.arrivals(DateRange(day, day + ONE_DAY), Rule())
    assert found.visible == tuple(None if each is None else Decimal(each) for each in seen)


def test_the_changes_played_backwards_are_the_costs_of_each_night(database: PostgresDatabase) -> None:
    """Also if a run is resumed after a later night: what it restates, adds and deletes is of that night."""
    prepare_months(database)
    account = add_account(database)
    first, resumed, newest = (TODAY + timedelta(days=n) for n in range(3))
    store(database, account, [cost_row(2, "1"), cost_row(3, "1")], night=first)
    store(database, account, [cost_row(2, "1"), cost_row(3, "1"), cost_row(4, "5")], night=newest)
    store(database, account, [cost_row(3, "2"), cost_row(4, "5"), cost_row(5, "7")], night=resumed)
    with database.transaction() as tx:
        changes = tx.ledger.changes(ChangeQuery(since=first))
        assert {change.night for change in changes} == {newest}
        for night in (first, resumed, newest):
            amounts = {each.usage_date: each.values.unblended for each in tx.ledger.costs_as_of(night, EVER)}
            undone = {each.usage_date: each.values.unblended for each in tx.ledger.costs_as_of(newest, EVER)}
            for change in changes:
                if change.night > night:
                    undone[change.usage_date] = undone.get(change.usage_date, Decimal()) - change.difference
            assert {day: amount for day, amount in undone.items() if amount} == amounts, night
