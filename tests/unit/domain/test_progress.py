"""How far a job got with an account, by its runs and by backfills."""

from dataclasses import replace
from datetime import date

import pytest

from costbatch.domain.accounts import NO_PROGRESS, Progress
from costbatch.domain.periods import DateRange
from tests.support.factories import day, days

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


def after(
    progress: Progress, window: DateRange, *, shown_from: int | None = None, is_ordinary: bool = True
) -> Progress:
    """Return the progress after an answer of which the days before one are kept as they were stored."""
    hidden = None if shown_from is None else DateRange(window.start, day(shown_from))
    shown = {each for each in window if hidden is None or each not in hidden}
    return progress.seeing(hidden, shown).extended(window, is_ordinary=is_ordinary)


def test_days_that_are_hidden_before_they_are_complete_are_unknown() -> None:
    """The newest two that were read, and those after them that no run could read; older ones are known."""
    hidden = after(NIGHTS, days(10, 25), shown_from=22)
    assert hidden.unknown == {day(18), day(19), day(20), day(21)}
    later = after(hidden, days(12, 27), shown_from=22)
    assert later.unknown == hidden.unknown
    # A window that begins after what was kept says nothing of it.
    assert after(later, days(22, 30)).unknown == hidden.unknown


def test_days_that_were_complete_when_they_were_hidden_are_known() -> None:
    """They stay as they are stored."""
    assert after(NIGHTS, days(10, 21), shown_from=15).unknown == frozenset()


def test_unknown_days_that_are_read_are_known() -> None:
    """AWS shows them again."""
    hidden = after(NIGHTS, days(10, 25), shown_from=22)
    assert after(hidden, days(18, 21), is_ordinary=False).unknown == {day(21)}


def test_unknown_days_that_are_no_longer_stored_are_forgotten() -> None:
    """What is stored begins after them."""
    pruned = replace(after(NIGHTS, days(10, 25), shown_from=22), covered=days(20, 25))
    assert after(pruned, days(22, 26)).unknown == {day(20), day(21)}


def test_a_backfill_apart_from_what_is_stored_hides_nothing_of_it() -> None:
    """Days that it keeps are none of those that are stored without a gap."""
    assert after(NIGHTS, days(30, 40), shown_from=35, is_ordinary=False) == NIGHTS
