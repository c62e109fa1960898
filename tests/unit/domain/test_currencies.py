"""The currencies of a bill: each has its own history, and one that another replaced is no drop."""

from decimal import Decimal

import pytest

from costbatch.domain.costs import DayTotal
from costbatch.domain.currencies import comparable_series
from costbatch.domain.detection import Rule, Series, judge_days
from tests.support.factories import day, days

RULE = Rule()


def series_of(currencies: str, *, start: int = 0) -> dict[str, Series]:
    """Return the series of a hundred a day in each currency.

    One letter for each day: U for dollars, E for euros, B for both, Z for dollars and zero euros, blank for
    none.
    """
    hundred, zero = Decimal(100), Decimal(0)
    costs = {
        "U": {"USD": hundred},
        "E": {"EUR": hundred},
        "B": {"EUR": hundred, "USD": hundred},
        "Z": {"EUR": zero, "USD": hundred},
        " ": {},
    }
    totals = [
        DayTotal(day(n), currency, amount)
        for n, letter in enumerate(currencies)
        for currency, amount in costs[letter].items()
    ]
    first_days = {total.currency: total.usage_date for total in reversed(totals)}
    return comparable_series(totals, first_days, day(start), RULE)


def test_no_cost_at_all_is_no_series() -> None:
    """There is nothing to judge."""
    assert series_of("   ") == {}


def test_each_currency_is_a_series_with_its_own_history() -> None:
    """Euros and dollars have no mean; each begins with its own first day."""
    found = series_of("UUBUBB")
    assert {each.currency: (each.first_day, each.last_day) for each in found.values()} == {
        "USD": (day(0), None),
        "EUR": (day(2), None),
    }
    assert sorted(found["EUR"].amounts) == [day(2), day(4), day(5)]
    assert sorted(found["USD"].amounts) == [day(n) for n in range(6)]


@pytest.mark.parametrize(
    ("currencies", "ended"),
    [
        ("UUUEEE", {"USD": 2}),
        ("UUBEEE", {"USD": 2}),
        ("UBBEEE", {"USD": 2}),
        ("UUU  EE", {"USD": 2}),
        ("EEEUUU", {"EUR": 2}),
        # Both were billed for long: one that ends dropped to nothing.
        ("BBBBBBBEEE", {}),
        # Nothing came in its place, or only zeros did.
        ("UUU   ", {}),
        ("EEEZZZ", {"EUR": 2}),
        ("UUUZZ   ", {}),
        # What came later has nothing to do with it.
        ("UUU      EEE", {}),
        # A single charge on a day off takes the place of nothing: three days later everything stops.
        ("UUUUU  UUUUUE UU" + 20 * " ", {}),
    ],
)
def test_a_currency_that_another_one_replaces_ends(currencies: str, ended: dict[str, int]) -> None:
    """The days after a change of currency are not zeros, and so no drop."""
    found = series_of(currencies)
    assert {each.currency: each.last_day for each in found.values() if each.last_day} == {
        currency: day(n) for currency, n in ended.items()
    }


@pytest.mark.parametrize(
    ("currencies", "first", "ended"),
    [
        # Late charges are no return, also if another currency begins beside one of them.
        ("UUUUEEEEEBEEEEEEBBE", 0, 3),
        # A week of them is one.
        ("UUUUEEEEEEUUUUUUU", 10, None),
        ("UUUUEEEEEEBBBBBBBEEEEE", 10, None),
    ],
)
def test_a_replaced_currency_comes_back_with_a_week_of_cost(
    currencies: str, first: int, ended: int | None
) -> None:
    """What it costs before that is a tail; its history begins anew, and it was away in between."""
    dollars = series_of(currencies)["USD"]
    assert (dollars.first_day, dollars.last_day) == (day(first), None if ended is None else day(ended))
    assert set(dollars.unknown) == (set() if ended is not None else set(days(4, 10)))


def test_while_the_bill_turns_a_day_is_no_drop() -> None:
    """It has a part of its cost in either currency, or all of it in the new one."""
    found = series_of("U" * 30 + "EEBEEEEEE")
    judged = judge_days(found["USD"], days(0, 39), today=day(60), rule=RULE)
    assert [each.usage_date for each in judged if each.reason] == []
    assert (found["USD"].last_day, found["USD"].unknown) == (day(32), {day(30), day(31), day(32)})


def test_a_currency_that_was_replaced_before_the_days_is_no_drop() -> None:
    """Only what is large against the days before is told."""
    totals = [DayTotal(day(n), "EUR", Decimal(100)) for n in range(40, 80)]
    totals += [DayTotal(day(n), "USD", Decimal(n)) for n in (50, 60)]
    dollars = comparable_series(totals, {"USD": day(0), "EUR": day(20)}, day(40), RULE)["USD"]
    judged = judge_days(dollars, days(40, 80), today=day(90), rule=RULE)
    assert [each.usage_date for each in judged] == [day(50), day(60)]


def test_the_days_after_a_change_of_currency_are_no_drop_and_the_first_week_no_spike() -> None:
    """A hundred dollars and then a hundred euros are no anomaly."""
    found = series_of("U" * 30 + "E" * 15)
    for each in found.values():
        judged = judge_days(each, days(0, 45), today=day(60), rule=RULE)
        assert [day for day in judged if day.reason] == []
    assert found["EUR"].baseline(day(36), RULE) is None
    assert found["EUR"].baseline(day(37), RULE) == Decimal(100)


def test_history_begins_where_the_account_does() -> None:
    """Days before the first known one are not zeros."""
    found = series_of("   UUU")["USD"]
    assert found.baseline(day(9), RULE) is None
    assert found.baseline(day(10), RULE) == Decimal("42.8571428571")
    later = series_of("UUUUUU", start=4)["USD"]
    assert (later.first_day, later.baseline(day(10), RULE)) == (day(4), None)
