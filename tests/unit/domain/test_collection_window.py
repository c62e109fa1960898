"""Which days an ordinary run reads."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from costbatch.domain.accounts import Progress
from costbatch.domain.periods import (
    DateRange,
    WindowPolicy,
    collection_window,
    earliest_available,
    utc_day,
)

POLICY = WindowPolicy()
LATE = date(2025, 6, 20)  # last month is closed
NEW_YORK = ZoneInfo("America/New_York")


def collected_until(end_exclusive: date) -> Progress:
    """Return the progress of an account that has been collected for months."""
    return Progress(covered=DateRange(date(2024, 1, 1), end_exclusive))


def window(today: date, *, missed: int = 0, policy: WindowPolicy = POLICY) -> DateRange:
    """Return what a run reads after this many missed nights."""
    return collection_window(today, ordinary_end=today - timedelta(days=1 + missed), policy=policy)


def test_an_installation_without_settings_reads_this_far() -> None:
    """Thirty-five days, last month until the tenth, thirteen months at first."""
    assert WindowPolicy(trailing_days=35, month_close_day=10, history_months=13) == POLICY


def test_a_first_collection_reads_the_history() -> None:
    """It begins with the first of the month, as many months ago as the policy says."""
    months = {
        n: collection_window(LATE, ordinary_end=None, policy=WindowPolicy(history_months=n))
        for n in (0, 2, 13)
    }
    assert months == {
        0: DateRange(date(2025, 6, 1), LATE),
        2: DateRange(date(2025, 4, 1), LATE),
        13: DateRange(date(2024, 5, 1), LATE),
    }


def test_a_first_collection_on_the_first_of_a_month_reads_yesterday_at_least() -> None:
    """No window is empty."""
    today = date(2025, 6, 1)
    without_history = WindowPolicy(history_months=0)
    assert collection_window(today, ordinary_end=None, policy=without_history) == DateRange(
        date(2025, 5, 31), today
    )


def test_an_ordinary_night_reads_the_trailing_days_up_to_yesterday() -> None:
    """Thirty-five days, today not among them."""
    assert window(LATE) == DateRange(date(2025, 5, 16), LATE)
    assert len(window(LATE)) == 35


def test_a_second_run_of_the_day_reads_the_same() -> None:
    """What the first one read is read again, not more."""
    again = collection_window(LATE, ordinary_end=LATE, policy=POLICY)
    assert again == window(LATE)


@pytest.mark.parametrize(
    ("day", "start"),
    [
        (1, date(2025, 6, 1)),
        (10, date(2025, 6, 1)),
        (11, date(2025, 7, 8)),
    ],
)
def test_last_month_is_read_whole_until_it_closes(day: int, start: date) -> None:
    """The closing day itself still counts as open, the day after does not."""
    policy = WindowPolicy(trailing_days=3, month_close_day=10)
    today = date(2025, 7, day)
    assert window(today, policy=policy).start == min(start, today - timedelta(days=3))


def test_a_month_that_never_stays_open_is_not_read_whole() -> None:
    """Closing day 0 switches the rule off."""
    policy = WindowPolicy(trailing_days=3, month_close_day=0)
    assert window(date(2025, 7, 1), policy=policy).start == date(2025, 6, 28)


def test_the_trailing_days_reach_further_than_last_month_where_they_are_longer() -> None:
    """On the first of March they begin before the first of February."""
    assert window(date(2025, 3, 1)).start == date(2025, 1, 25)


@pytest.mark.parametrize("missed", [1, 5, 60])
def test_after_an_outage_a_run_reads_what_the_missed_ones_would_have(missed: int) -> None:
    """The days before the outage had not settled either: every day is read as if no run were missed."""
    healed = window(LATE, missed=missed)
    todays = [LATE - timedelta(days=n) for n in range(missed + 1)]
    assert healed.start == min(window(today).start for today in todays)
    assert healed.end_exclusive == LATE
    assert LATE - timedelta(days=1 + missed) in healed


def test_after_an_outage_a_month_that_was_open_meanwhile_is_read_whole() -> None:
    """The run of the second of June was missed, and would have read May from its first day."""
    policy = WindowPolicy(trailing_days=3, month_close_day=2)
    assert window(date(2025, 6, 3), missed=0, policy=policy).start == date(2025, 5, 31)
    assert window(date(2025, 6, 3), missed=1, policy=policy).start == date(2025, 5, 1)


@pytest.mark.parametrize("first", [date(2025, 6, 9), date(2025, 6, 14)])
def test_a_backfill_of_missed_days_leaves_the_next_run_its_window(first: date) -> None:
    """The backfill reads the missed days, and not those before them that had not settled."""
    filled = collected_until(date(2025, 6, 10)).extended(DateRange(first, LATE), is_ordinary=False)
    assert collection_window(LATE, ordinary_end=filled.ordinary_end, policy=POLICY) == window(LATE, missed=9)


def test_no_window_reaches_beyond_the_history_of_aws() -> None:
    """After five hundred days out, what AWS no longer has is not asked for."""
    assert window(LATE, missed=500) == DateRange(earliest_available(LATE), LATE)


def test_a_clock_set_back_reads_no_day_that_is_not_over() -> None:
    """Days collected in what is now the future do not widen the window or turn it round."""
    ahead = LATE + timedelta(days=3)
    assert collection_window(LATE, ordinary_end=ahead, policy=POLICY) == window(LATE)


def local_days(first: date, nights: int, *, skipped: date | None = None) -> list[date]:
    """Return the UTC days of runs at 02:00 in New York, night after night."""
    days = [first + timedelta(days=n) for n in range(nights)]
    return [
        utc_day(datetime(day.year, day.month, day.day, 2, tzinfo=NEW_YORK)) for day in days if day != skipped
    ]


def read_days(todays: list[date], policy: WindowPolicy) -> set[date]:
    """Return every day read by runs on these days, after a first one."""
    progress = collected_until(todays[0] - timedelta(days=1))
    read: set[date] = set()
    for today in todays:
        days = collection_window(today, ordinary_end=progress.ordinary_end, policy=policy)
        progress = progress.extended(days, is_ordinary=True)
        read |= set(days)
    assert progress.ordinary_end == todays[-1]
    return read


def test_the_night_that_the_spring_gap_skips_heals_with_the_next_run() -> None:
    """02:00 does not exist on 9 March 2025 in New York: the run of the tenth reads the eighth and ninth."""
    todays = local_days(date(2025, 3, 8), 3, skipped=date(2025, 3, 9))
    assert todays == [date(2025, 3, 8), date(2025, 3, 10)]
    read = read_days(todays, WindowPolicy(trailing_days=1, month_close_day=0))
    assert read == {date(2025, 3, 7), date(2025, 3, 8), date(2025, 3, 9)}


@pytest.mark.parametrize("fold", [0, 1])
def test_both_hours_of_the_autumn_repeat_are_on_one_utc_day(fold: int) -> None:
    """01:30 happens twice on 2 November 2025 in New York; whichever it is, yesterday is the first."""
    instant = datetime(2025, 11, 2, 1, 30, tzinfo=NEW_YORK, fold=fold)
    today = utc_day(instant)
    assert today == date(2025, 11, 2)
    assert window(today).last == date(2025, 11, 1)


def test_nights_over_the_autumn_repeat_leave_no_day_out() -> None:
    """A day of twenty-five hours is one UTC day further, no more and no less."""
    todays = local_days(date(2025, 11, 1), 3)
    assert todays == [date(2025, 11, 1), date(2025, 11, 2), date(2025, 11, 3)]
    read = read_days(todays, WindowPolicy(trailing_days=1, month_close_day=0))
    assert read == {date(2025, 10, 31), date(2025, 11, 1), date(2025, 11, 2)}
