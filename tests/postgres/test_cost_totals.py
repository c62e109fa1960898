"""Sums for detection and reports: which rows count, in which basis, currencies apart."""

import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.costs import PostgresCosts
from costbatch.adapters.postgres.engine import PostgresTransaction
from costbatch.application.forecast import Forecasts, forecast_totals
from costbatch.domain.accounts import Account, AccountStatus, Progress
from costbatch.domain.collection import COLLECT
from costbatch.domain.costs import CostBasis, DayTotal, StoredDay
from costbatch.domain.detection import Rule, comparable_service_totals, comparable_totals
from costbatch.domain.periods import DateRange
from tests.support.database_rows import NOW, WINDOW, add_account, cost_row, prepare_months, store
from tests.support.factories import by_column, make_row

RULE = Rule()
DAY = date(2026, 3, 3)


@pytest.fixture
def account(database: PostgresDatabase) -> Account:
    """Register an account, with room for its costs."""
    prepare_months(database)
    return add_account(database)


def day_totals(tx: PostgresTransaction, account: Account, days: DateRange, rule: Rule) -> list[DayTotal]:
    """Return the daily totals of one account."""
    return tx.costs.day_totals({account.id: days}, rule)[account.id]


def test_a_day_is_the_exact_sum_of_its_services(database: PostgresDatabase, account: Account) -> None:
    """Days without cost are absent, days outside the range are not asked for."""
    other = add_account(database, 2)
    store(database, account, [cost_row(3, "0.1", service="a"), cost_row(3, "0.2", service="b")])
    store(database, other, [cost_row(3, "100")])
    with database.transaction() as tx:
        assert day_totals(tx, account, WINDOW, RULE) == [DayTotal(DAY, "USD", Decimal("0.3"))]
        later = type(WINDOW)(date(2026, 3, 4), date(2026, 3, 9))
        assert day_totals(tx, account, later, RULE) == []


def test_excluded_record_types_do_not_count(database: PostgresDatabase, account: Account) -> None:
    """Credits, refunds and tax are left out by default, everything else counts."""
    kinds = {"Usage": "10", "Credit": "-4", "Refund": "-2", "Tax": "3", "Something new": "5"}
    rows = [cost_row(3, amount, record_type=kind) for kind, amount in kinds.items()]
    store(database, account, rows)
    everything = Rule(excluded_record_types=frozenset())
    with database.transaction() as tx:
        assert day_totals(tx, account, WINDOW, RULE) == [DayTotal(DAY, "USD", Decimal(15))]
        assert day_totals(tx, account, WINDOW, everything) == [DayTotal(DAY, "USD", Decimal(12))]


@pytest.mark.parametrize(
    ("basis", "with_net", "without_net"),
    [
        (CostBasis.UNBLENDED, "1", "10"),
        (CostBasis.AMORTIZED, "2", "20"),
        (CostBasis.NET_UNBLENDED, "3", "10"),
        (CostBasis.NET_AMORTIZED, "4", "20"),
    ],
)
def test_each_basis_is_its_own_column_and_net_falls_back(
    database: PostgresDatabase, account: Account, basis: CostBasis, with_net: str, without_net: str
) -> None:
    """If AWS gives no net amount there is no discount: the plain one counts, row by row."""
    one, two, three, four, ten, twenty = (Decimal(n) for n in (1, 2, 3, 4, 10, 20))
    discounted: dict[str, Any] = {
        "unblended": one,
        "amortized": two,
        "net_unblended": three,
        "net_amortized": four,
    }
    plain: dict[str, Any] = {"unblended": ten, "amortized": twenty}
    store(database, account, [cost_row(3, service="a", **discounted), cost_row(3, service="b", **plain)])
    rule = Rule(cost_basis=basis)
    with database.transaction() as tx:
        totals = tx.costs.service_totals(account, WINDOW, rule)
        (total,) = day_totals(tx, account, WINDOW, rule)
    assert totals["a"] == [DayTotal(DAY, "USD", Decimal(with_net))]
    assert totals["b"] == [DayTotal(DAY, "USD", Decimal(without_net))]
    assert total.amount == Decimal(with_net) + Decimal(without_net)


@pytest.mark.parametrize("basis", CostBasis)
def test_the_database_sums_as_memory_does(
    database: PostgresDatabase, account: Account, basis: CostBasis
) -> None:
    """Detection uses either, depending on the window: both must say the same."""
    dice = random.Random(11)
    texts = ["0.1", "-7E-10", "123456789.0123456789", "999999999999999999.5", "0"]
    rows = []
    for day in range(1, 10):
        for service in "abc":
            for kind in ("Usage", "Fee", "Credit"):
                amounts = [Decimal(dice.choice(texts)) for _ in range(4)]
                net = amounts[2:] if dice.random() < 0.5 else [None, None]
                currency = dice.choice(["USD", "EUR"])
                row = cost_row(day, service=service, record_type=kind, currency=currency)
                rows.append(row._replace(unblended=amounts[0], amortized=amounts[1]))
                rows[-1] = rows[-1]._replace(net_unblended=net[0], net_amortized=net[1])
    store(database, account, rows)
    rule = Rule(cost_basis=basis)
    with database.transaction() as tx:
        totals = day_totals(tx, account, WINDOW, rule)
        stored = tx.costs.service_totals(account, WINDOW, rule)
    assert sorted(totals) == sorted(comparable_totals(by_column(rows), WINDOW, rule))
    in_memory = comparable_service_totals(by_column(rows), WINDOW, rule)
    assert {name: sorted(totals) for name, totals in stored.items()} == {
        name: sorted(totals) for name, totals in in_memory.items()
    }


def test_currencies_are_never_added(database: PostgresDatabase, account: Account) -> None:
    """A day in two currencies is two totals."""
    store(database, account, [cost_row(3, "1", service="a"), cost_row(3, "2", service="b", currency="EUR")])
    with database.transaction() as tx:
        totals = day_totals(tx, account, WINDOW, RULE)
        by_service = tx.costs.service_totals(account, WINDOW, RULE)
        of_day = tx.costs.cost_of_day(DAY, RULE)
    assert set(totals) == {DayTotal(DAY, "USD", Decimal(1)), DayTotal(DAY, "EUR", Decimal(2))}
    assert by_service == {
        "a": [DayTotal(DAY, "USD", Decimal(1))],
        "b": [DayTotal(DAY, "EUR", Decimal(2))],
    }
    assert of_day == [("000000000001", "EUR", Decimal(2)), ("000000000001", "USD", Decimal(1))]


def test_services_have_a_total_for_each_of_their_days(database: PostgresDatabase, account: Account) -> None:
    """Record types of one service are one; a service with tax only is none."""
    rows = [
        cost_row(3, "1", service="a"),
        cost_row(3, "2", service="a", record_type="Fee"),
        cost_row(4, "5", service="a"),
        cost_row(4, "9", service="tax", record_type="Tax"),
    ]
    store(database, account, rows)
    with database.transaction() as tx:
        totals = tx.costs.service_totals(account, WINDOW, RULE)
    assert list(totals) == ["a"]
    assert set(totals["a"]) == {
        DayTotal(DAY, "USD", Decimal(3)),
        DayTotal(date(2026, 3, 4), "USD", Decimal(5)),
    }


def test_the_cost_of_a_day_is_that_of_every_account(database: PostgresDatabase, account: Account) -> None:
    """Accounts are named by their 12 digits, in their order; one without cost is absent."""
    second, _ = add_account(database, 3), add_account(database, 2)
    store(database, second, [cost_row(3, "7"), cost_row(4, "1")])
    store(database, account, [cost_row(3, "5"), cost_row(3, "1", record_type="Tax")])
    with database.transaction() as tx:
        assert tx.costs.cost_of_day(DAY, RULE) == [
            ("000000000001", "USD", Decimal(5)),
            ("000000000003", "USD", Decimal(7)),
        ]


def test_what_is_stored_of_a_day_counts_every_row_in_its_currency(
    database: PostgresDatabase, account: Account
) -> None:
    """Of any record type; a day whose credit balances its usage has cost, one of zeros has none."""
    store(
        database,
        account,
        [
            cost_row(3, "10"),
            cost_row(3, "-10", record_type="Credit"),
            cost_row(3, "2", service="abroad", currency="EUR"),
            cost_row(5, "0"),
        ],
    )
    with database.transaction() as tx:
        stored = tx.costs.stored_days({account.id: WINDOW, 404: WINDOW})
    assert sorted(stored[account.id]) == [
        StoredDay(DAY, "EUR", 1, Decimal(2), has_cost=True),
        StoredDay(DAY, "USD", 2, Decimal(0), has_cost=True),
        StoredDay(date(2026, 3, 5), "USD", 1, Decimal(0), has_cost=False),
    ]
    assert stored[404] == []


def test_the_forecast_of_a_total_is_one_in_every_place(database: PostgresDatabase, account: Account) -> None:
    """Also while accounts fail, in each currency: their missing days are not zeros.

    Of an account that was removed or not collected this month nothing more is expected, whatever it cost
    before; nor of one that only a backfill has read, or that a backfill has read after its last night.
    """
    today = date(2026, 3, 21)
    stored = {
        account: ("USD", 3, 21),
        add_account(database, 2): ("USD", 3, 16),
        add_account(database, 3): ("EUR", 3, 18),
        add_account(database, 4): ("USD", 2, 20),
        add_account(database, 5): ("USD", 2, 25),
        (removed := add_account(database, 6)): ("USD", 3, 11),
        (removed_today := add_account(database, 7)): ("USD", 3, 21),
    }
    for each, (currency, month, end) in stored.items():
        days = DateRange(date(2026, month, 1), date(2026, month, end))
        amount = "10.01" if month == 3 else "1000"
        rows = [make_row(day, amount, currency=currency) for day in days]
        store(database, each, rows, days)
        with database.transaction() as tx:
            tx.progress.save(COLLECT, {each.id: Progress(covered=days)})
    unread, gone = add_account(database, 8), add_account(database, 9)
    for each, currency in ((unread, "GBP"), (gone, "USD")):
        days = DateRange(date(2026, 1, 1), date(2026, 2, 1))
        store(database, each, [make_row(day, "1000", currency=currency) for day in days], days)
    long_ago = Progress(covered=DateRange(date(2024, 1, 1), date(2024, 2, 1)))
    with database.transaction() as tx:
        tx.progress.save(COLLECT, {gone.id: long_ago})
        for each in (removed, removed_today):
            tx.accounts.set_status(each, AccountStatus.REMOVED, now=NOW)
    found = Forecasts(database=database, rule=RULE).month(today)
    with database.transaction() as tx:
        totals = forecast_totals(tx, today, RULE)
    assert totals == found[-3:]
    assert {each.currency: each.expected for each in totals} == {
        "EUR": Decimal("310.31"),
        "GBP": None,
        "USD": Decimal("620.62") + 30 * Decimal("10.01"),
    }
    known = {each.aws_account_id: (each.month_to_date, each.expected) for each in found}
    assert known[removed.aws_account_id] == (Decimal("100.10"), None)
    assert known[removed_today.aws_account_id] == (Decimal("200.20"), None)
    for each in (unread, gone):
        assert known[each.aws_account_id] == (Decimal(0), None)


def test_unknown_days_are_missing_from_no_forecast(database: PostgresDatabase, account: Account) -> None:
    """Neither from that of the account nor from the total: what AWS hides is estimated, and not counted."""
    today, days = date(2026, 3, 21), DateRange(date(2026, 1, 1), date(2026, 3, 21))
    hidden = frozenset(DateRange(date(2026, 3, 10), date(2026, 3, 15)))
    for each, unknown in ((account, hidden), (add_account(database, 2), frozenset[date]())):
        rows = [make_row(day, "10.00") for day in days if day not in unknown]
        store(database, each, rows, days)
        with database.transaction() as tx:
            tx.progress.save(COLLECT, {each.id: Progress(covered=days, unknown=unknown)})
    found = Forecasts(database=database, rule=RULE).month(today)
    assert [(each.month_to_date, each.expected) for each in found] == [
        (Decimal("150.00"), Decimal("310.00")),
        (Decimal("200.00"), Decimal("310.00")),
        (Decimal("350.00"), Decimal("620.00")),
    ]
    with database.transaction() as tx:
        assert forecast_totals(tx, today, RULE) == found[-1:]


def test_days_that_were_unknown_long_ago_cost_no_forecast_a_query(
    database: PostgresDatabase, account: Account
) -> None:
    """Unknown days stay so for good: of a whole organization that moved, every night would sum them again."""
    days = DateRange(date(2025, 1, 1), date(2026, 3, 21))
    stored = DateRange(date(2026, 1, 1), days.end_exclusive)
    store(database, account, [make_row(day, "10.00") for day in stored], stored)
    spy = mock.patch.object(
        PostgresCosts, "cost_by_day", autospec=True, side_effect=PostgresCosts.cost_by_day
    )
    with spy as reads:
        for unknown, queries in ((date(2025, 2, 1), 1), (date(2026, 2, 1), 2)):
            reads.reset_mock()
            with database.transaction() as tx:
                tx.progress.save(COLLECT, {account.id: Progress(covered=days, unknown=frozenset({unknown}))})
                assert forecast_totals(tx, date(2026, 3, 21), RULE)
            assert reads.call_count == queries


@pytest.mark.parametrize("others", [True, False])
def test_nothing_more_is_expected_of_a_currency_that_was_replaced(
    database: PostgresDatabase, account: Account, *, others: bool
) -> None:
    """What it cost counts, in the total too; of the currency in its place it is too early to say anything."""
    today, turned = date(2026, 3, 21), date(2026, 3, 16)
    days = DateRange(date(2026, 1, 1), today)
    bills: dict[Account, Callable[[date], tuple[str, str]]] = {}
    bills[account] = lambda day: ("USD", "100.00") if day < turned else ("EUR", "90.00")
    if others:
        bills[add_account(database, 2)] = lambda day: ("USD", "10.00")
    for each, cost in bills.items():
        rows = [make_row(day, amount, currency=currency) for day in days for currency, amount in [cost(day)]]
        store(database, each, rows, days)
        with database.transaction() as tx:
            tx.progress.save(COLLECT, {each.id: Progress(covered=days)})
    found = Forecasts(database=database, rule=RULE).month(today)
    assert [(each.currency, each.month_to_date, each.expected) for each in found[:2]] == [
        ("EUR", Decimal("450.00"), None),
        ("USD", Decimal("1500.00"), None),
    ]
    assert [(each.currency, each.month_to_date, each.expected) for each in found[-2:]] == [
        ("EUR", Decimal("450.00"), None),
        ("USD", Decimal("1700.00"), Decimal("1810.00")) if others else ("USD", Decimal("1500.00"), None),
    ]
    with database.transaction() as tx:
        assert forecast_totals(tx, today, RULE) == found[-2:]


def test_a_backfill_apart_from_the_collected_days_is_in_no_forecast(
    database: PostgresDatabase, account: Account
) -> None:
    """Neither of the account nor of the total: the days between were never read, and are not zeros."""
    today, backfill = date(2026, 3, 21), DateRange(date(2026, 1, 1), date(2026, 1, 11))
    days = DateRange(date(2026, 3, 1), today)
    for each in (account, add_account(database, 2)):
        for span in (backfill, days):
            store(database, each, [make_row(day, "10.00") for day in span], span)
        with database.transaction() as tx:
            tx.progress.save(COLLECT, {each.id: Progress(covered=days)})
    found = Forecasts(database=database, rule=RULE).month(today)
    assert [(each.expected, each.lower) for each in found] == [
        (Decimal("310.00"), None),
        (Decimal("310.00"), None),
        (Decimal("620.00"), None),
    ]
    with database.transaction() as tx:
        assert forecast_totals(tx, today, RULE) == found[-1:]
