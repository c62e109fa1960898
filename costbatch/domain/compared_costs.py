"""The cost of a run's days, compared with the day before and the same weekday a week before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from costbatch.domain.arrival import Arrival
from costbatch.domain.detection import Rule
from costbatch.domain.periods import ONE_DAY, DateRange

ONE_WEEK = timedelta(days=7)


class Change(NamedTuple):
    """The difference to an earlier day, over the accounts that have that day stored."""

    before: Decimal
    difference: Decimal

    @property
    def ratio(self) -> Decimal | None:
        """The difference as a ratio of the earlier amount; None if that was zero."""
        return self.difference / abs(self.before) if self.before else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedCost:
    """The comparable cost of one account, or of several accounts together, in one currency.

    aws_account_id, name: empty for several accounts. estimated: AWS marks the amount as an estimate,
    or gives none yet of days that have not settled.
    from_day_before, from_week_before: None if that day is not stored, or if the cost is of several days.
    """

    currency: str
    accounts: int
    amount: Decimal
    estimated: bool
    aws_account_id: str = ""
    name: str = ""
    from_day_before: Change | None = None
    from_week_before: Change | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSummary:
    """The comparable cost of the days, for the accounts that a run collected.

    costs: by currency, the largest accounts first, then all others as one.
    is_settled: whether the cost of the last day is complete.
    arrivals: how much of a day has usually arrived by now, by currency, learned from the largest accounts.
    """

    days: DateRange
    rule: Rule
    costs: tuple[ComparedCost, ...]
    is_settled: bool
    arrivals: tuple[Arrival, ...] = ()

    @property
    def is_incomplete(self) -> bool:
        """Whether AWS is still adding cost to the last day."""
        return not self.is_settled and any(cost.estimated for cost in self.costs)

    @property
    def incompleteness(self) -> str:
        """What a reader should know of a last day that is incomplete; empty if it is not."""
        if not self.is_incomplete:
            return ""
        several = len(self.arrivals) > 1
        known = [f"{each} in {each.currency}" if several else str(each) for each in self.arrivals]
        return "; ".join(["AWS is still adding cost to the last day", *known])

    @property
    def day_before(self) -> date | None:
        """The day before; None for several days, which are not compared."""
        return self.days.start - ONE_DAY if len(self.days) == 1 else None

    @property
    def week_before(self) -> date | None:
        """The same weekday a week before; None for several days."""
        return self.days.start - ONE_WEEK if len(self.days) == 1 else None

    @property
    def totals(self) -> tuple[ComparedCost, ...]:
        """All accounts together, by currency."""
        totals = []
        for currency in sorted({cost.currency for cost in self.costs}):
            costs = [cost for cost in self.costs if cost.currency == currency]
            totals.append(
                ComparedCost(
                    currency=currency,
                    accounts=sum(cost.accounts for cost in costs),
                    amount=sum((cost.amount for cost in costs), Decimal(0)),
                    estimated=any(cost.estimated for cost in costs),
                    from_day_before=_sum_of([cost.from_day_before for cost in costs]),
                    from_week_before=_sum_of([cost.from_week_before for cost in costs]),
                )
            )
        return tuple(totals)

    def to_document(self) -> dict[str, Any]:
        """Return the summary as JSON has it."""
        return {
            "days": self.days.to_document(),
            "cost_basis": self.rule.cost_basis.value,
            "excluded_record_types": sorted(self.rule.excluded_record_types),
            "is_incomplete": self.is_incomplete,
            "arrivals": [each.to_document() for each in self.arrivals],
            "totals": [self._cost_data(total) for total in self.totals],
            "accounts": [
                {
                    "aws_account_id": cost.aws_account_id or None,
                    "name": cost.name or None,
                    **self._cost_data(cost),
                }
                for cost in self.costs
            ],
        }

    def _cost_data(self, cost: ComparedCost) -> dict[str, Any]:
        return {
            "accounts": cost.accounts,
            "currency": cost.currency,
            "amount": f"{cost.amount:f}",
            "estimated": cost.estimated,
            "day_before": _change_data(self.day_before, cost.from_day_before),
            "week_before": _change_data(self.week_before, cost.from_week_before),
        }


def _sum_of(changes: Sequence[Change | None]) -> Change | None:
    known = [change for change in changes if change is not None]
    if not known:
        return None
    return Change(
        sum((change.before for change in known), Decimal(0)),
        sum((change.difference for change in known), Decimal(0)),
    )


def _change_data(day: date | None, change: Change | None) -> dict[str, str | None] | None:
    if day is None or change is None:
        return None
    return {
        "date": day.isoformat(),
        "amount": f"{change.before:f}",
        "change": f"{change.difference:f}",
        "change_percent": None if change.ratio is None else f"{change.ratio * 100:.1f}",
    }
