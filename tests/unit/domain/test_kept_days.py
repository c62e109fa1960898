"""What is not kept is not read: no first collection, no outage and no backfill reaches before it."""

from datetime import date

import pytest

from costbatch.application.collect.plan import check_days
from costbatch.domain.periods import DateRange, WindowPolicy, collection_window
from costbatch.errors import ConfigError

TODAY = date(2025, 6, 20)
KEEPS_SIX = WindowPolicy(keep_months=6)


def test_a_first_collection_reads_no_further_back_than_what_is_kept() -> None:
    """The months before would be paid for every time and dropped the same night."""
    assert collection_window(TODAY, ordinary_end=None, policy=KEEPS_SIX) == DateRange(
        date(2024, 12, 1), TODAY
    )


def test_a_shorter_history_stays_shorter() -> None:
    """Keeping longer is no wish to read more."""
    policy = WindowPolicy(history_months=2, keep_months=6)
    assert collection_window(TODAY, ordinary_end=None, policy=policy).start == date(2025, 4, 1)


def test_after_an_outage_nothing_is_read_that_is_not_kept() -> None:
    """An account that was paused for a year begins with the first kept day."""
    long_ago = date(2024, 6, 1)
    assert collection_window(TODAY, ordinary_end=long_ago, policy=KEEPS_SIX).start == date(2024, 12, 1)


def test_keeping_more_than_aws_has_changes_nothing() -> None:
    """AWS's history is the limit then, as without the setting."""
    policy = WindowPolicy(keep_months=37)
    assert policy.earliest_day_on(TODAY) == WindowPolicy().earliest_day_on(TODAY) == date(2024, 5, 1)


def test_an_ordinary_night_is_what_it_was() -> None:
    """The trailing window lies within whatever may be kept."""
    end = date(2025, 6, 19)
    assert collection_window(TODAY, ordinary_end=end, policy=KEEPS_SIX) == collection_window(
        TODAY, ordinary_end=end, policy=WindowPolicy()
    )


def test_a_backfill_of_what_is_not_kept_is_refused() -> None:
    """One sentence with the first day that is; the days from there on are fine."""
    check_days(DateRange(date(2024, 12, 1), date(2025, 1, 1)), today=TODAY, policy=KEEPS_SIX)
    check_days(DateRange(date(2024, 5, 1), date(2025, 1, 1)), today=TODAY, policy=WindowPolicy())
    sentence = (
        "The cost of 2024-11-30 is not kept, because COSTBATCH_KEEP_MONTHS is 6; ask for 2024-12-01 or later."
    )
    with pytest.raises(ConfigError) as refused:
        check_days(DateRange(date(2024, 11, 30), date(2025, 1, 1)), today=TODAY, policy=KEEPS_SIX)
    assert refused.value.problems == (sentence,)
