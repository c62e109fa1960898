"""Decides what happens to stored days for which AWS no longer reports any cost.

Absence is not zero: an account that joined an organization has no cost before its first day there, and a
fault of AWS can leave a whole response empty. Neither means that the account cost nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from costbatch.domain.costs import DayDigest, DayDigests, FetchedCosts, StoredDay
from costbatch.domain.money import Money
from costbatch.domain.periods import DateRange

# A single day may always vanish: AWS does restate a day to zero.
_FEWEST_DAYS = 2


@dataclass(frozen=True, slots=True)
class Vanished:
    """Days with stored cost that a response would remove, out of how many, and their cost by currency."""

    days: Sequence[date]
    stored_days: int
    costs: Sequence[Money]

    def __str__(self) -> str:
        """Return the sentence for the error of the account."""
        return (
            f"AWS shows no cost for {len(self.days):,} of {self.stored_days:,} days with stored cost "
            f"since {self.days[0]} (the last is {self.days[-1]}): {' and '.join(map(str, self.costs))} "
            "would vanish, so nothing was changed."
        )


def may_vanish(fetched: FetchedCosts, previous: DayDigests) -> bool:
    """Whether enough days have no cost that the stored ones must be compared."""
    if fetched.changed_days is None:
        return False
    empty_days = len(fetched.changed_days) - len(fetched.costs.days_with_cost())
    return empty_days >= _FEWEST_DAYS or (empty_days > 0 and _holds_kept_days(previous))


def weigh_absence(
    fetched: FetchedCosts, stored: Sequence[StoredDay], *, previous: DayDigests, ratio: Decimal
) -> FetchedCosts | Vanished:
    """Return what may be stored, or what would vanish if the response is implausible.

    stored: the days of the window. previous: the digests of the response before. ratio: the largest share of
    the days that may vanish. Days that would vanish before the first day with cost stay as they are stored.
    """
    changed, shown = fetched.changed_days, fetched.costs.days_with_cost()
    if changed is None:
        return fetched
    unchanged = {day for day, digest in fetched.digests.items() if day not in changed and digest.is_kept}
    with_cost = {each.usage_date for each in stored if each.has_cost} - unchanged
    gone = {day for day in with_cost if day in changed} - shown
    first = min(shown | (with_cost - gone), default=None)
    leading = {day for day in gone if first is not None and day < first}
    if len(leading) < _FEWEST_DAYS and not _holds_kept_days(previous):
        leading = set()
    others, weighed = gone - leading, with_cost - leading
    if len(others) >= _FEWEST_DAYS and len(others) > ratio * len(weighed):
        return Vanished(sorted(others), len(weighed), _costs_of(others, stored))
    return _keeping(fetched, changed, first, stored) if first and leading else fetched


def _holds_kept_days(previous: DayDigests) -> bool:
    return any(digest.is_kept for digest in previous.values())


def _costs_of(days: set[date], stored: Sequence[StoredDay]) -> list[Money]:
    costs: dict[str, Decimal] = {}
    for each in stored:
        if each.usage_date in days and each.has_cost:
            costs[each.currency] = costs.get(each.currency, Decimal(0)) + each.amount
    return [Money(amount, currency) for currency, amount in sorted(costs.items())]


def _keeping(
    fetched: FetchedCosts, changed: DateRange, first: date, stored: Sequence[StoredDay]
) -> FetchedCosts:
    """Return the costs from the first day with cost on; earlier days stay as they are stored."""
    rows: Counter[date] = Counter()
    for each in stored:
        rows[each.usage_date] += each.rows
    kept = {
        day: DayDigest(fetched.digests[day].digest, rows[day], is_kept=rows[day] > 0)
        for day in changed
        if day < first
    }
    return replace(
        fetched,
        digests={**fetched.digests, **kept},
        changed_days=DateRange(first, changed.end_exclusive) if first < changed.end_exclusive else None,
        costs=fetched.costs.since(first),
    )
