"""What the adaptive detector is set to, and what it says of a day."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from costbatch.domain.detection import Reason
from costbatch.domain.money import Limit


class Excuse(StrEnum):
    """Why a day that stands out is not an anomaly."""

    ACCOUNT_WIDE = "account_wide"
    RECURRING = "recurring"
    USUAL_SURPRISE = "usual_surprise"
    USUAL_LEVEL = "usual_level"
    NATURE = "nature"
    JOB = "job"
    ANSWERED = "answered"


# Differences are divided by the floor, and a service that costs nothing must not differ from itself.
_LEAST_FLOOR = Decimal("0.01")
# What the detector learns from: all that it remembers of a day is forgotten after some more than a year.
LEARNED_DAYS = 399


class Sensitivity(StrEnum):
    """How much evidence an alarm takes."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveRule:
    """What is worth an alarm.

    minimum_ratio: smallest difference as a part of what was expected; of a burst, of the largest before.
    noise_multiple, sum_multiple: times the noise of the series, for one day and for three together.
    surprise_multiple: times the second largest surprise of the last 17 weeks, and of a year for a single day.
    new_share: part of the account's daily cost from which a new service is worth an alarm.
    high_impact: daily cost, by currency, from which it is in any account.
    growth_ratio: smallest growth within four weeks.
    burst_multiple: times the largest earlier burst, for services that are used now and then.
    floor: smallest difference of a day in money, by currency.
    """

    sensitivity: Sensitivity = Sensitivity.MEDIUM
    minimum_ratio: float = 0.25
    noise_multiple: float = 5.2
    sum_multiple: float = 5.7
    surprise_multiple: float = 1.3
    new_share: float = 0.02
    growth_ratio: float = 1.25
    burst_multiple: float = 1.8
    floor: Limit = field(default=Limit(Decimal(3)))
    high_impact: Limit = field(default=Limit(Decimal(1000)))

    def floor_of(self, currency: str) -> Decimal:
        """Return the smallest difference of a day in a currency: a cent at least."""
        return max(self.floor.of(currency), _LEAST_FLOOR)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One day of one service as it was judged one morning.

    expected, lower, upper: the band, in money. score: 0 to 1; 0.5 is the edge of the band.
    reason: None unless it is an anomaly. excuse: why a day outside the band is none.
    """

    service: str
    usage_date: date
    expected: float
    lower: float
    upper: float
    actual: float
    score: float
    reason: Reason | None = None
    excuse: Excuse | None = None
