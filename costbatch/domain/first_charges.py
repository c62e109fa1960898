"""Cost that is news whatever its size: of a service never paid for, of an account that should be free."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from costbatch.domain.costs import DayTotal
from costbatch.domain.detection import ZERO
from costbatch.domain.money import Limit
from costbatch.domain.periods import ONE_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstChargePolicy:
    """What is news. floor: the smallest cost of a day that counts. dormant: 12-digit ids of accounts."""

    floor: Limit = field(default=Limit(Decimal("0.01")))
    dormant: frozenset[str] = frozenset()


class FirstCharge(NamedTuple):
    """The first day on which a service cost anything, as it was when it was first seen."""

    service: str
    usage_date: date
    currency: str
    amount: Decimal


def find_first_charges(
    totals: Mapping[str, Sequence[DayTotal]], known: Collection[str], policy: FirstChargePolicy
) -> list[FirstCharge]:
    """Return the first charge of each service in ``totals`` that is not known, by service."""
    found = []
    for service in sorted(totals.keys() - set(known)):
        days = sorted(totals[service])
        first = next((each for each in days if each.amount >= policy.floor.of(each.currency)), None)
        if first:
            found.append(FirstCharge(service, *first))
    return found


def find_awakenings(
    totals: Sequence[DayTotal],
    changed: Collection[date],
    told: Collection[tuple[str, date]],
    policy: FirstChargePolicy,
) -> list[DayTotal]:
    """Return the changed days on which a dormant account begins to cost something, after one without cost.

    told: the currencies and days for which this was reported before. If the cost of earlier days arrives
    late, the account begins to cost something on another day; that is not reported again.
    """
    amounts = {(each.currency, each.usage_date): each.amount for each in totals}

    def costs(currency: str, day: date) -> bool:
        return amounts.get((currency, day), ZERO) >= policy.floor.of(currency)

    def is_told(currency: str, day: date) -> bool:
        while costs(currency, day):
            if (currency, day) in told:
                return True
            day += ONE_DAY
        return False

    return sorted(
        each
        for each in totals
        if each.usage_date in changed
        and costs(each.currency, each.usage_date)
        and not costs(each.currency, each.usage_date - ONE_DAY)
        and not is_told(each.currency, each.usage_date)
    )
