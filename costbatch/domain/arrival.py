"""How much of a day's cost has arrived some hours after its end: learned from what earlier mornings saw."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median
from typing import Any, NamedTuple

from costbatch.domain.detection import ZERO
from costbatch.domain.periods import DateRange

# The mornings that are looked at, in hours after the end of a day.
HOURS = (24, 48, 72)
# With fewer days a single late one would be the curve.
_LEAST_DAYS = 10
# A day counts once nothing but the month's closing still changes it.
_SETTLED_DAYS, LEARNED_DAYS = 8, 60


class DayArrival(NamedTuple):
    """What a day of a service cost in one currency, and what each morning saw of it.

    visible: by ``HOURS``; None if the account was not collected that morning.
    """

    aws_account_id: str
    service: str
    currency: str
    usage_date: date
    final: Decimal
    visible: tuple[Decimal | None, ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """The usual share of a day's cost that has arrived, by ``HOURS``; None if too few mornings tell."""

    currency: str
    days: int
    shares: tuple[Decimal | None, ...]

    @property
    def percent(self) -> tuple[str | None, ...]:
        """The shares as whole percents; what is not quite everything is not 100."""
        return tuple(None if share is None else _percent(share) for share in self.shares)

    def __str__(self) -> str:
        """Return the words for the first morning: "about 91 % of a day has arrived after 24 hours"."""
        return f"about {self.percent[0]} % of a day has arrived after {HOURS[0]} hours"

    def to_document(self) -> dict[str, Any]:
        """Return the curve as JSON has it."""
        shares = {str(hours): share for hours, share in zip(HOURS, self.percent, strict=True)}
        return {"currency": self.currency, "days": self.days, "percent_after_hours": shares}


def learned_days(today: date, days: int = LEARNED_DAYS) -> DateRange:
    """Return the days that a curve is learned from: the newest ones that are settled."""
    end_exclusive = today - timedelta(days=_SETTLED_DAYS)
    return DateRange(end_exclusive - timedelta(days=days), end_exclusive)


def arrival_of(days: Iterable[DayArrival]) -> Arrival | None:
    """Return the curve of these days together, all in one currency; None if too few mornings tell.

    The median of the days: a late one, or a correction weeks later, does not move it.
    """
    finals: list[defaultdict[date, Decimal]] = [defaultdict(Decimal) for _ in HOURS]
    visible: list[defaultdict[date, Decimal]] = [defaultdict(Decimal) for _ in HOURS]
    currency = ""
    for each in days:
        currency = each.currency
        for place, amount in enumerate(each.visible):
            if amount is not None:
                finals[place][each.usage_date] += each.final
                visible[place][each.usage_date] += amount
    shares = [
        [seen[day] / final for day, final in whole.items() if final > ZERO]
        for whole, seen in zip(finals, visible, strict=True)
    ]
    if len(shares[0]) < _LEAST_DAYS:
        return None
    known = tuple(median(each) if len(each) >= _LEAST_DAYS else None for each in shares)
    return Arrival(currency, len(shares[0]), known)


def arrivals_by_service(days: Iterable[DayArrival]) -> dict[tuple[str, str | None, str], Arrival]:
    """Return the curves by account, service (None: the whole account) and currency, if they are known."""
    groups: defaultdict[tuple[str, str | None, str], list[DayArrival]] = defaultdict(list)
    for each in days:
        groups[each.aws_account_id, None, each.currency].append(each)
        groups[each.aws_account_id, each.service, each.currency].append(each)
    curves = {key: arrival_of(group) for key, group in groups.items()}
    known = {key: curve for key, curve in curves.items() if curve is not None}
    return dict(sorted(known.items(), key=lambda item: (item[0][0], item[0][2], item[0][1] or "")))


def _percent(share: Decimal) -> str:
    rounded = round(share * 100)
    if rounded != 100 or share == 1:  # noqa: PLR2004 - everything
        return str(rounded)
    return f"{share * 100:.1f}" if abs(share - 1) >= Decimal("0.0005") else "100"
