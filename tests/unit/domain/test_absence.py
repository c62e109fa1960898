"""What becomes of stored days for which an answer shows no cost."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from costbatch.domain.absence import Vanished, may_vanish, weigh_absence
from costbatch.domain.costs import CostColumns, DayDigest, FetchedCosts, StoredDay
from costbatch.domain.periods import DateRange
from tests.support.factories import day, make_fetched, make_row

WINDOW = DateRange(day(0), day(10))
HALF = Decimal("0.5")


def answer(*shown: int, amount: str = "10", changed: DateRange | None = WINDOW) -> FetchedCosts:
    """Return an answer that shows cost of these days."""
    fetched = make_fetched(WINDOW, *(make_row(day(n), amount) for n in shown))
    return replace(fetched, changed_days=changed)


def stored(*days: int, amount: str = "10", currency: str = "USD") -> list[StoredDay]:
    """Return days of two rows each."""
    return [StoredDay(day(n), currency, 2, Decimal(amount), Decimal(amount) != 0) for n in days]


def weigh(
    fetched: FetchedCosts, before: list[StoredDay], previous: Mapping[date, DayDigest] | None = None
) -> FetchedCosts | Vanished:
    """Weigh an answer; half of the days may vanish."""
    return weigh_absence(fetched, before, previous=previous or {}, ratio=HALF)


@pytest.mark.parametrize(
    ("shown", "is_refused"),
    [
        (range(5), False),
        (range(4), True),
        ([0, 9], True),
        ([], True),
        ([0, 1, 2, 3, 9], False),
    ],
)
def test_more_than_the_share_is_refused(shown: list[int], is_refused: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Half of ten days may vanish, six may not; none of them is at the beginning."""
    assert isinstance(weigh(answer(*shown), stored(*range(10))), Vanished) is is_refused


def test_a_single_day_may_always_vanish() -> None:
    """Although it is all that is stored."""
    fetched = answer()
    assert weigh(fetched, stored(4)) is fetched


def test_days_that_were_zero_before_do_not_vanish() -> None:
    """Neither do they count as stored days with cost."""
    fetched = answer(9)
    assert weigh(fetched, stored(*range(9), amount="0")) is fetched
    refused = weigh(answer(0), [*stored(*range(1, 8), amount="0"), *stored(0, 8, 9)])
    assert isinstance(refused, Vanished)
    assert (refused.days, refused.stored_days) == ([day(8), day(9)], 3)


def test_cost_that_adds_up_to_nothing_is_cost() -> None:
    """A credit may balance a day's usage to the cent."""
    balanced = [StoredDay(day(n), "USD", 2, Decimal(0), has_cost=True) for n in range(10)]
    assert isinstance(weigh(answer(), balanced), Vanished)


def test_days_at_the_beginning_are_kept() -> None:
    """The answer then begins with its first day with cost, and remembers the rows that stay."""
    kept = weigh(answer(6, 7, 8, 9), stored(*range(10)))
    assert isinstance(kept, FetchedCosts)
    assert (kept.changed_days, kept.days_kept, kept.rows) == (DateRange(day(6), day(10)), 6, 4)
    assert kept.digests[day(0)] == DayDigest(b"%16d" % 0, 2, is_kept=True)
    assert len(kept.costs) == 4


def test_the_first_day_shown_comes_after_kept_days_and_those_never_stored() -> None:
    """A day that AWS hid before it was read has no rows, and is not shown; without kept days all are."""
    weighed = weigh(answer(5, 6, 7, 8, 9), stored(*range(4)))
    assert isinstance(weighed, FetchedCosts)
    assert (weighed.days_kept, weighed.shown_from) == (4, day(5))
    assert answer(5, 6, 7, 8, 9).shown_from is None
    nothing_left = {each: DayDigest(b"", int(each < day(4)), is_kept=each < day(4)) for each in WINDOW}
    assert replace(weighed, digests=nothing_left).shown_from == WINDOW.last


def test_rows_of_zeros_at_the_beginning_are_left_out() -> None:
    """They would stand beside what is kept."""
    zeros = [make_row(day(n), "0") for n in range(6)]
    fetched = make_fetched(WINDOW, *zeros, *(make_row(day(n)) for n in range(6, 10)))
    kept = weigh(fetched, stored(*range(10)))
    assert isinstance(kept, FetchedCosts)
    assert isinstance(kept.costs, CostColumns)
    assert set(kept.costs.usage_dates) == {day(n) for n in range(6, 10)}


def test_nothing_is_left_to_store_where_only_kept_days_are_fresh() -> None:
    """The days after them read as before."""
    kept = weigh(answer(changed=DateRange(day(0), day(3))), stored(*range(10)))
    assert isinstance(kept, FetchedCosts)
    assert (kept.changed_days, len(kept.costs), kept.days_kept) == (None, 0, 3)


@pytest.mark.parametrize(("was_kept", "days_kept"), [(True, 1), (False, 0)])
def test_one_day_at_the_beginning_is_kept_if_others_were(was_kept: bool, days_kept: int) -> None:  # noqa: FBT001 - as above
    """Otherwise it is an ordinary day that vanishes."""
    previous = {day(0): DayDigest(bytes(16), 2, is_kept=was_kept)}
    weighed = weigh(answer(*range(1, 10)), stored(*range(10)), previous)
    assert isinstance(weighed, FetchedCosts)
    assert weighed.days_kept == days_kept


def test_kept_days_do_not_count_when_those_after_them_vanish() -> None:
    """They neither count as stored days nor as days with cost."""
    fetched = answer(changed=DateRange(day(5), day(10)))
    kept = {day(n): DayDigest(bytes(16), 2, is_kept=True) for n in range(5)}
    refused = weigh(replace(fetched, digests={**fetched.digests, **kept}), stored(*range(10)), kept)
    assert isinstance(refused, Vanished)
    assert refused.stored_days == 5


def test_money_is_told_by_currency() -> None:
    """And the first and last of the days."""
    refused = weigh(answer(), [*stored(1, 2, 3), *stored(3, amount="0.5", currency="EUR")])
    assert str(refused) == (
        f"AWS shows no cost for 3 of 3 days with stored cost since {day(1)} (the last is {day(3)}): "
        "0.50 EUR and 30.00 USD would vanish, so nothing was changed."
    )


def test_an_ordinary_night_does_not_look_at_what_is_stored() -> None:
    """Only two empty days, or one beside days that were kept, make it look."""
    kept = {day(0): DayDigest(bytes(16), 2, is_kept=True)}
    assert not may_vanish(answer(changed=None), {})
    assert not may_vanish(answer(*range(9)), {})
    assert may_vanish(answer(*range(9)), kept)
    assert may_vanish(answer(*range(8)), {})
    assert may_vanish(answer(*range(10), amount="0"), {})
