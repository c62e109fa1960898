"""Days, ranges and months."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from costbatch.domain.periods import DateRange, earliest_available, extend_collected, month_start, utc_day

MARCH = DateRange(date(2025, 3, 1), date(2025, 4, 1))


def days(first: int, last: int) -> DateRange:
    """Return the days of March 2025 from one to another, both inside."""
    return DateRange(date(2025, 3, first), date(2025, 3, last) + timedelta(days=1))


def test_a_range_is_half_open() -> None:
    """The start is inside, the end is not."""
    assert date(2025, 3, 1) in MARCH
    assert date(2025, 3, 31) in MARCH
    assert date(2025, 4, 1) not in MARCH
    assert date(2025, 2, 28) not in MARCH
    assert MARCH.last == date(2025, 3, 31)


def test_a_range_lists_each_of_its_days_once() -> None:
    """Length and iteration agree, over the end of February too."""
    leap = DateRange(date(2024, 2, 27), date(2024, 3, 2))
    assert [day.day for day in leap] == [27, 28, 29, 1]
    assert len(leap) == 4


@pytest.mark.parametrize("end", [date(2025, 3, 1), date(2025, 2, 28)])
def test_a_range_without_a_day_is_refused(end: date) -> None:
    """No range is empty or runs backwards."""
    with pytest.raises(ValueError, match="contains no days"):
        DateRange(date(2025, 3, 1), end)


@pytest.mark.parametrize(
    ("other", "touching"),
    [
        (days(10, 12), True),
        (days(8, 9), True),
        (days(21, 25), True),
        (days(1, 31), True),
        (days(7, 8), False),
        (days(22, 25), False),
    ],
)
def test_ranges_touch_where_no_day_lies_between(other: DateRange, *, touching: bool) -> None:
    """Neighbours touch as overlapping ranges do; one day between them is a gap, from either side."""
    assert days(10, 20).touches(other) is touching
    assert other.touches(days(10, 20)) is touching


def test_joined_ranges_span_both() -> None:
    """Joining loses no day, whichever comes first."""
    assert days(1, 5).join(days(6, 9)) == days(6, 9).join(days(1, 5)) == days(1, 9)
    assert days(1, 9).join(days(3, 4)) == days(1, 9)


def test_a_day_is_the_utc_day() -> None:
    """Late evening in New York is the next day for AWS."""
    new_york = timezone(timedelta(hours=-5))
    assert utc_day(datetime(2025, 3, 9, 23, 30, tzinfo=new_york)) == date(2025, 3, 10)
    assert utc_day(datetime(2025, 3, 9, 18, 59, 59, tzinfo=new_york)) == date(2025, 3, 9)
    assert utc_day(datetime(2025, 3, 9, tzinfo=UTC)) == date(2025, 3, 9)


def test_an_instant_without_a_zone_has_no_day() -> None:
    """A time zone is never guessed."""
    with pytest.raises(ValueError, match="must carry its time zone"):
        utc_day(datetime(2025, 3, 9, 12))  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize(
    ("months_back", "first"),
    [
        (0, date(2025, 1, 1)),
        (1, date(2024, 12, 1)),
        (12, date(2024, 1, 1)),
        (13, date(2023, 12, 1)),
        (25, date(2022, 12, 1)),
        (-1, date(2025, 2, 1)),
        (-12, date(2026, 1, 1)),
    ],
)
def test_months_are_counted_over_years(months_back: int, first: date) -> None:
    """December follows November and precedes January, in both directions."""
    assert month_start(date(2025, 1, 31), months_back=months_back) == first


def test_a_month_begins_with_its_first_day() -> None:
    """Without a number of months it is the day's own."""
    assert month_start(date(2025, 12, 31)) == date(2025, 12, 1)


def test_aws_keeps_this_month_and_thirteen_before_it() -> None:
    """It is the first of a month, on any day of the month."""
    assert earliest_available(date(2025, 3, 1)) == earliest_available(date(2025, 3, 31)) == date(2024, 2, 1)
    assert earliest_available(date(2025, 1, 15)) == date(2023, 12, 1)


@pytest.mark.parametrize("ordinary", [True, False])
@pytest.mark.parametrize(
    ("window", "known"),
    [(days(8, 12), days(8, 20)), (days(5, 9), days(5, 20)), (days(20, 25), days(10, 25))],
)
def test_a_window_that_touches_what_is_known_extends_it(
    window: DateRange, known: DateRange, *, ordinary: bool
) -> None:
    """A run and a backfill both count if no day is missing between."""
    assert extend_collected(days(10, 20), window, is_ordinary=ordinary) == known


@pytest.mark.parametrize("window", [days(1, 8), days(22, 25)])
def test_a_backfill_beyond_a_gap_does_not_count(window: DateRange) -> None:
    """Otherwise the next run would take the gap for collected."""
    assert extend_collected(days(10, 20), window, is_ordinary=False) == days(10, 20)


def test_a_backfill_of_an_account_never_collected_does_not_count() -> None:
    """Its first collection still reads the whole history."""
    assert extend_collected(None, days(10, 20), is_ordinary=False) is None


def test_an_ordinary_window_beyond_a_gap_begins_anew() -> None:
    """After an outage longer than AWS's history the gap can never be read."""
    assert extend_collected(days(1, 5), days(10, 20), is_ordinary=True) == days(10, 20)
    assert extend_collected(None, days(10, 20), is_ordinary=True) == days(10, 20)


def test_a_range_is_widened_on_both_sides() -> None:
    """By as many days as the gap has."""
    gap = timedelta(days=3)
    assert DateRange(date(2026, 3, 10), date(2026, 3, 12)).widened(gap) == DateRange(
        date(2026, 3, 7), date(2026, 3, 15)
    )
