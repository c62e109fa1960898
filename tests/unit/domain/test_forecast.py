"""The forecast of a month: weekdays, fees and level, with a range from its own past errors."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from costbatch.domain.forecast import Forecast, forecast_month, history_of, missing_of, sum_forecasts
from costbatch.domain.periods import DateRange

TODAY = date(2025, 6, 11)
JUNE, MAY = DateRange(date(2025, 6, 1), date(2025, 7, 1)), DateRange(date(2025, 5, 1), date(2025, 6, 1))


def bill(cost: Callable[[date], float], *, days: int = 250, today: date = TODAY) -> dict[date, Decimal]:
    """Return what each of the days before today cost."""
    span = DateRange(today - timedelta(days=days), today)
    return {day: Decimal(str(round(cost(day), 6))) for day in span}


def forecast(amounts: dict[date, Decimal], **fields: Any) -> Forecast:
    """Return the forecast of the morning of 11 June."""
    days = DateRange(fields.pop("known_from", date.min), fields.pop("known_until", TODAY))
    asked: dict[str, Any] = {"today": TODAY, "known": days, "settle_days": 2, "currency": "USD"}
    return forecast_month(amounts, **{**asked, **fields})


def weekly(day: date) -> float:
    """Return a hundred a day, and half of it at weekends."""
    return 50.0 if day.weekday() >= 5 else 100.0


def with_fees(day: date) -> float:
    """Return a week's profile with a subscription on the first and a charge on the 20th."""
    return weekly(day) + {1: 700.0, 20: 90.0}.get(day.day, 0.0)


@pytest.mark.parametrize("cost", [weekly, with_fees, lambda day: 10.0])
def test_a_month_that_repeats_is_forecast_exactly(cost: Callable[[date], float]) -> None:
    """Weekends, and fees that are still to come."""
    found = forecast(bill(cost))
    assert (found.month, found.expected) == (JUNE.start, Decimal(str(sum(map(cost, JUNE)))))
    if cost is not with_fees:
        # There were no errors, so the range is a point.
        assert found.lower == found.expected == found.upper
    assert found.month_to_date == Decimal(str(sum(map(cost, DateRange(JUNE.start, TODAY)))))
    assert found.last_month == Decimal(str(sum(map(cost, MAY))))


def test_incomplete_days_count_as_ordinary_ones() -> None:
    """Two thirds of yesterday have arrived: the rest of it still comes; more than usual is not taken away."""
    amounts = bill(weekly)
    yesterday = TODAY - timedelta(days=1)
    amounts[yesterday] = Decimal(66)
    assert forecast(amounts).expected == Decimal(str(sum(map(weekly, JUNE))))
    amounts[yesterday] = Decimal(300)
    assert forecast(amounts).expected == Decimal(str(sum(map(weekly, JUNE)) + 200))


def test_one_odd_day_moves_the_month_by_little_more_than_itself() -> None:
    """A spike is paid for, and is not expected again on each of its weekdays."""
    amounts = bill(weekly)
    amounts[date(2025, 6, 3)] += 900
    found, plain = forecast(amounts).expected, Decimal(str(sum(map(weekly, JUNE))))
    assert found is not None
    assert plain + 900 <= found < plain + 900 + 22 * 100


@pytest.mark.parametrize("amount", [48_000, -9_000])
@pytest.mark.parametrize("age", range(3, 16))
def test_a_single_charge_or_refund_is_not_expected_again(amount: int, age: int) -> None:
    """However large it is, and on whatever day of the last two weeks it came."""
    amounts = bill(weekly)
    charged = TODAY - timedelta(days=age)
    amounts[charged] += amount
    found, plain = forecast(amounts).expected, Decimal(str(sum(map(weekly, JUNE))))
    assert found is not None
    assert abs(found - plain - amount * (charged >= JUNE.start)) < plain / 50


@pytest.mark.parametrize("factor", [0.2, 3, 20])
@pytest.mark.parametrize("age", range(14, 42))
def test_a_new_level_is_no_weekday(factor: float, age: int) -> None:
    """The weekdays that have come more often at the new level are not dearer than the others."""
    changed = TODAY - timedelta(days=age)
    amounts = bill(lambda day: weekly(day) * (factor if day >= changed else 1))
    found = forecast(amounts)
    assert found.expected is not None
    rest = sum(map(weekly, DateRange(TODAY, JUNE.end_exclusive))) * factor
    assert abs(float(found.expected - found.month_to_date) - rest) < rest / 10


@pytest.mark.parametrize("today", DateRange(date(2025, 6, 3), date(2025, 7, 2)))
def test_an_account_that_rests_at_weekends_has_a_range(today: date) -> None:
    """What is left of a month is compared with as many days from the same weekday on."""
    chance = random.Random(1)
    office = bill(lambda day: 0.0 if day.weekday() >= 5 else chance.gauss(100, 3), today=today)
    found = forecast(office, today=today, known_until=today)
    assert None not in {found.lower, found.upper}
    assert found.upper - found.lower < found.expected / 20  # type: ignore[operator] # not None


def test_a_new_level_is_followed() -> None:
    """What costs twice as much for two weeks will do so for the rest of the month."""
    amounts = bill(lambda day: weekly(day) * (2 if day >= date(2025, 5, 28) else 1))
    found = forecast(amounts).expected
    assert found is not None
    assert abs(found - 2 * Decimal(str(sum(map(weekly, JUNE))))) < 200


def test_the_range_is_as_wide_as_past_errors() -> None:
    """It holds what is expected, widens with the noise, and shrinks as the month goes by."""
    widths = []
    for noise, today in ((0.05, TODAY), (0.3, TODAY), (0.3, date(2025, 6, 27))):
        chance = random.Random(1)
        amounts = bill(lambda day: weekly(day) * (1 + noise * chance.gauss(0, 1)), today=today)  # noqa: B023 - called at once
        found = forecast(amounts, today=today, known_until=today)
        assert found.lower is not None
        assert found.expected is not None
        assert found.upper is not None
        assert found.lower <= found.expected <= found.upper
        widths.append(found.upper - found.lower)
    assert widths[0] < widths[1] > widths[2]


def test_too_little_history_is_said() -> None:
    """Two weeks for a forecast, more for a range; an account that was not collected this month has none."""
    assert forecast(bill(weekly, days=13)).expected is None
    short = forecast(bill(weekly, days=40))
    assert short.expected is not None
    assert (short.lower, short.upper) == (None, None)
    stale = forecast(bill(weekly, today=date(2025, 5, 20)), known_until=date(2025, 5, 20))
    assert (stale.month_to_date, stale.expected) == (Decimal(0), None)
    assert forecast({}).expected is None


@pytest.mark.parametrize(("days", "settle_days"), [(20, 30), (14, 16), (14, 14), (15, 10), (14, 8)])
def test_less_than_a_complete_week_is_too_little(days: int, settle_days: int) -> None:
    """A weekday of which no complete day is known would count as zero."""
    assert forecast(bill(weekly, days=days), settle_days=settle_days).expected is None


def test_a_complete_week_is_enough() -> None:
    """Each weekday is known once, and June has nine days of weekends."""
    found = forecast(bill(weekly, days=15), settle_days=8)
    assert found.expected == Decimal(21 * 100 + 9 * 50)


@pytest.mark.parametrize("today", [date(2025, 6, 2), date(2025, 7, 1), date(2025, 3, 1), date(2024, 3, 1)])
def test_every_morning_of_a_month_has_a_forecast(today: date) -> None:
    """Also the first, when most of last month is to be judged from, and the one after the last day."""
    found = forecast(bill(with_fees, today=today), today=today, known_until=today)
    whole = DateRange(found.month, (found.month + timedelta(days=32)).replace(day=1))
    assert found.expected == Decimal(str(sum(map(with_fees, whole))))


def test_days_that_an_account_misses_are_forecast_too() -> None:
    """It was collected last on the sixth: what is not known is not zero."""
    sixth = date(2025, 6, 6)
    amounts = bill(weekly, today=sixth)
    assert forecast(amounts, known_until=sixth).expected == Decimal(str(sum(map(weekly, JUNE))))


def test_days_that_were_read_incomplete_stay_so() -> None:
    """Nobody has read them again since: what they cost when it was collected last is not their whole cost."""
    sixth = date(2025, 6, 6)
    amounts = bill(weekly, today=sixth)
    amounts |= {date(2025, 6, 4): Decimal(70), date(2025, 6, 5): Decimal(20)}
    found = forecast(amounts, known_until=sixth)
    assert found == replace(
        forecast(amounts, today=sixth, known_until=sixth), lower=found.lower, upper=found.upper
    )
    assert found.expected == Decimal(str(sum(map(weekly, JUNE))))


@pytest.mark.parametrize("days", [20, 90])
def test_a_backfill_apart_from_the_known_days_is_no_part_of_the_series(days: int) -> None:
    """What lies between was never read, and is not zero."""
    mine, backfill = bill(weekly, days=days), DateRange(date(2024, 10, 1), date(2024, 11, 1))
    found = forecast(mine | dict.fromkeys(backfill, Decimal(100)), known_from=min(mine))
    assert found == forecast(mine)


def test_of_several_parts_the_largest_decides_whether_there_is_a_forecast() -> None:
    """Neither an account that is too young to be forecast, nor one that was not collected this month."""
    usual = forecast(bill(weekly))
    young = forecast(bill(lambda _: 1.0, days=5))
    gone = forecast(bill(lambda _: 1000.0, today=MAY.last), known_until=MAY.last)
    total = sum_forecasts([young, usual, gone])
    assert young.expected is None
    assert gone.expected is None
    assert usual.expected is not None
    assert total.expected == usual.expected + 5
    assert (total.lower, total.upper) == (total.expected, total.expected)
    assert total.last_month == usual.last_month + gone.last_month
    removed = forecast(bill(lambda _: 1000.0), known_until=MAY.last)
    assert sum_forecasts([usual], [removed]).expected == usual.expected + removed.month_to_date
    young = forecast(bill(lambda _: 1000.0, days=5))
    assert sum_forecasts([young, usual]).expected is None
    second = date(2025, 6, 2)
    nothing_yet = forecast(bill(weekly, today=JUNE.start), today=second, known_until=second)
    total = sum_forecasts(
        [nothing_yet, forecast(bill(lambda _: 1000.0, today=MAY.last), today=second, known_until=MAY.last)]
    )
    assert total.month_to_date == 0
    assert total.expected == nothing_yet.expected is not None


def test_credits_can_outweigh_a_month() -> None:
    """Negative days are no reason to fail; nothing below zero is expected of days to come."""
    found = forecast(bill(lambda day: -5.0))
    assert found.expected is not None
    assert found.expected <= 0


def test_the_history_reaches_back_far_enough_for_the_range() -> None:
    """Forty weeks, of which the newest day is yesterday."""
    assert len(history_of(TODAY)) == 280
    assert history_of(TODAY).last == TODAY - timedelta(days=1)


def test_unknown_days_are_no_days_that_cost_less() -> None:
    """A week of which nothing could be read changes no level, weekday or range; it is no cost to date."""
    amounts = bill(weekly)
    for unknown in (DateRange(date(2025, 6, 2), date(2025, 6, 9)), DateRange(date(2025, 5, 20), TODAY)):
        known = {day: amount for day, amount in amounts.items() if day not in unknown}
        found = forecast(known, missing=missing_of(known, {*unknown}))
        assert found.expected == found.lower == found.upper == forecast(amounts).expected
        to_date = sum((amount for day, amount in known.items() if day in JUNE), Decimal(0))
        assert found.month_to_date == to_date
    assert forecast(known).expected == Decimal(0)


def test_what_was_read_of_an_unknown_day_counts() -> None:
    """It is short of what the same weekday cost before, and of nothing if nothing is known before it."""
    day, first = date(2025, 6, 9), TODAY - timedelta(days=250)
    amounts = bill(weekly) | {day: Decimal(30)}
    assert missing_of(amounts, {day, first}) == {day: Decimal(70)}
    assert missing_of(amounts | {day: Decimal(130)}, {day}) == {day: Decimal(0)}
    assert missing_of({}, {day}) == {}
