"""The currencies of an account's bill: when the history of each begins, and when another replaced it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, Self

from costbatch.domain.costs import DayTotal
from costbatch.domain.detection import Rule, Series
from costbatch.domain.periods import ONE_DAY, DateRange, utc_day

# An account that cost nothing for so long is known to cost nothing.
_QUIET = timedelta(days=28)
# A currency that was replaced has come back if it has cost again for this many days.
_BACK_DAYS = 7


def history_start(first_cost: date, registered_at: datetime | None) -> date:
    """Return when the history of the currency that an account cost first begins: with its first cost.

    Or when the account was registered, if it has been read for four weeks or more without cost since then.
    """
    if registered_at is not None and first_cost - utc_day(registered_at) >= _QUIET:
        return utc_day(registered_at)
    return first_cost


def comparable_series(
    totals: Iterable[DayTotal],
    first_days: Mapping[str, date],
    start: date,
    rule: Rule,
    unknown: Collection[date] = (),
) -> dict[str, Series]:
    """Return a series for each currency, each with its own history.

    first_days: when each currency was first billed. start: the first day that is stored. A currency that
    ends as another one begins was replaced by it: the days after its end are neither zeros nor a drop. If it
    comes back for a week, its history begins anew.
    """
    amounts: defaultdict[str, dict[date, Decimal]] = defaultdict(dict)
    for total in totals:
        amounts[total.currency][total.usage_date] = total.amount
    if len(amounts) == 1:
        return {
            currency: Series(currency, max(first_days[currency], start), mine, None, unknown)
            for currency, mine in amounts.items()
        }
    window = rule.merge_window
    billed = {
        name: _Billed(first_days[name], mine, _stretches(mine, window)) for name, mine in amounts.items()
    }
    found = {}
    for name, mine in billed.items():
        later = [other for other in billed.values() if other.began > mine.began]
        first, last_day, away = _follow(mine, later, start, window)
        found[name] = Series(name, first, mine.amounts, last_day, away.union(unknown) if away else unknown)
    return found


@dataclass(frozen=True, slots=True)
class _Billed:
    """What an account cost in one currency since it began, and the stretches of days with cost."""

    began: date
    amounts: Mapping[date, Decimal]
    stretches: Sequence[DateRange]

    @property
    def lasts(self) -> bool:
        """Whether it cost something for a week on end."""
        return any(map(_is_back, self.stretches))

    def ends_as_begins(self, other: Self, window: timedelta) -> list[date]:
        """Return the last days of its stretches on which another currency took its place."""
        newest = other.stretches[-1].last if other.stretches else other.began
        # A single charge takes the place of nothing.
        goes_on = newest > other.began
        return [
            each.last
            for each in self.stretches
            if abs(other.began - each.last) <= window
            and (newest > each.last or (goes_on and self._pauses(other.began, each)))
        ]

    def _pauses(self, began: date, stretch: DateRange) -> bool:
        """Whether it cost nothing on a day after another one began and before a stretch ends."""
        return began < stretch.last and not all(
            self.amounts.get(day) for day in DateRange(began, stretch.last)
        )


class _Followed(NamedTuple):
    """A currency's history: its first day, its last one if it was replaced, and the days that it was away."""

    first: date
    last_day: date | None
    away: set[date]


def _follow(mine: _Billed, later: Sequence[_Billed], start: date, window: timedelta) -> _Followed:
    """Follow a currency through its stretches. later: the currencies that began after it."""
    ends = {last: other.began for other in later for last in mine.ends_as_begins(other, window)}
    first, last_day, away = max(mine.began, start), None, set[date]()
    if not ends and not mine.lasts and any(each.lasts and each.began <= start + window for each in later):
        # It was replaced before these days.
        last_day = start - ONE_DAY
    for stretch in mine.stretches:
        if last_day is not None and _is_back(stretch):
            away |= {*DateRange(last_day + ONE_DAY, stretch.start)}
            first, last_day = stretch.start, None
        if last_day is None and stretch.last in ends:
            last_day, began = stretch.last, ends[stretch.last]
            # While the bill turns, a day has a part of its cost in either.
            away |= {*DateRange(began, last_day + ONE_DAY)} if began <= last_day else set()
    return _Followed(first, last_day, away)


def _is_back(stretch: DateRange) -> bool:
    """Whether a currency that cost nothing before has come back with these days."""
    return len(stretch) >= _BACK_DAYS


def _stretches(amounts: Mapping[date, Decimal], window: timedelta) -> list[DateRange]:
    """Return the days with cost in ranges, each with the days without cost that lie within the window."""
    found: list[DateRange] = []
    for day in sorted(day for day, amount in amounts.items() if amount):
        if found and day - found[-1].last <= window:
            found[-1] = DateRange(found[-1].start, day + ONE_DAY)
        else:
            found.append(DateRange(day, day + ONE_DAY))
    return found
