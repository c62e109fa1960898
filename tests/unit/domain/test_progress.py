"""How far a job got with an account, by its runs and by backfills."""

from datetime import date

import pytest

from costbatch.domain.accounts import NO_PROGRESS, Progress
from costbatch.domain.periods import DateRange
from tests.support.factories import days

NIGHTS = Progress(covered=days(10, 20))


def end_of(progress: Progress) -> int | None:
    """Return the end of the ordinary runs, as a number of days."""
    return None if progress.ordinary_end is None else (progress.ordinary_end - date(2025, 1, 1)).days


@pytest.mark.parametrize(
    ("window", "covered", "end"),
    [
        (days(5, 12), days(5, 20), 20),
        (days(15, 25), days(10, 25), 20),
        (days(20, 25), days(10, 25), 20),
        (days(22, 25), days(10, 20), 20),
    ],
)
def test_a_backfill_never_stands_in_for_the_runs_that_were_missed(
    window: DateRange, covered: DateRange, end: int
) -> None:
    """It reads less than they would have: the next run begins where the first missed one would."""
    after = NIGHTS.extended(window, is_ordinary=False)
    assert (after.covered, end_of(after)) == (covered, end)


def test_an_ordinary_run_catches_up_with_the_backfills() -> None:
    """After it no day is read by backfills alone; an older run that is resumed late leaves its end."""
    ahead = NIGHTS.extended(days(20, 30), is_ordinary=False)
    late = ahead.extended(days(12, 25), is_ordinary=True)
    assert (late.covered, end_of(late)) == (days(10, 30), 25)
    again = late.extended(days(12, 23), is_ordinary=True)
    assert (again.covered, end_of(again)) == (days(10, 30), 25)
    done = again.extended(days(12, 31), is_ordinary=True)
    assert done == Progress(covered=days(10, 31))


def test_an_account_that_was_only_backfilled_was_never_collected() -> None:
    """Its first collection reads the history."""
    assert NO_PROGRESS.extended(days(10, 20), is_ordinary=False) == NO_PROGRESS
    assert end_of(NO_PROGRESS.extended(days(10, 20), is_ordinary=True)) == 20
