"""What detectors would have raised on past mornings, side by side."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from costbatch.domain.detection import DetectorName, Direction
from costbatch.domain.periods import DateRange

_DAYS_OF_A_MONTH = Decimal("365.25") / 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """What a detector would have told one morning, with the days and amounts that it had in the end.

    id: of the anomaly. service: None: the account's total.
    """

    detector: DetectorName
    aws_account_id: str
    service: str | None
    currency: str
    direction: Direction
    morning: date
    start: date
    last: date
    impact: Decimal
    id: UUID

    def is_about(self, other: "Alarm", gap: timedelta) -> bool:
        """Whether both are about the same: the days touch, and one is of the total or both of one service."""
        return (
            (self.aws_account_id, self.currency, self.direction)
            == (other.aws_account_id, other.currency, other.direction)
            and (self.service is None or other.service is None or self.service == other.service)
            and self.start <= other.last + gap
            and other.start <= self.last + gap
        )

    def to_document(self) -> dict[str, Any]:
        """Return the alarm as JSON has it."""
        return {
            "detector": self.detector.value,
            "aws_account_id": self.aws_account_id,
            "service": self.service,
            "currency": self.currency,
            "direction": self.direction.value,
            "morning": self.morning.isoformat(),
            "first_day": self.start.isoformat(),
            "last_day": self.last.isoformat(),
            "impact": f"{self.impact:f}",
            "anomaly_id": str(self.id),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReplay:
    """The alarms of one account. totals: its comparable cost by currency and day, as it is now."""

    aws_account_id: str
    name: str
    mornings: DateRange
    alarms: tuple[Alarm, ...]
    totals: Mapping[str, Mapping[date, Decimal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one detector raised. only: alarms that are about nothing that another detector raised."""

    alarms: int
    per_account_month: Decimal | None
    impact: Mapping[str, Decimal]
    only: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestReport:
    """The replayed mornings of every account. gap: how far apart days of one alarm may be."""

    accounts: tuple[AccountReplay, ...]
    detectors: tuple[DetectorName, ...]
    gap: timedelta

    @property
    def alarms(self) -> list[Alarm]:
        """Every alarm, by morning."""
        found = [alarm for account in self.accounts for alarm in account.alarms]
        return sorted(found, key=lambda each: (each.morning, each.aws_account_id, each.start))

    @property
    def mornings(self) -> int:
        """How many mornings were replayed, over all accounts."""
        return sum(len(account.mornings) for account in self.accounts)

    def score(self, detector: DetectorName) -> Score:
        """Return what a detector raised."""
        mine = [alarm for alarm in self.alarms if alarm.detector is detector]
        impact: defaultdict[str, Decimal] = defaultdict(Decimal)
        for alarm in mine:
            impact[alarm.currency] += abs(alarm.impact)
        return Score(
            alarms=len(mine),
            per_account_month=len(mine) / (self.mornings / _DAYS_OF_A_MONTH) if self.mornings else None,
            impact=dict(sorted(impact.items())),
            only=tuple(self._alone(mine)) if len(self.detectors) > 1 else (),
        )

    def to_document(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        scores = {detector: self.score(detector) for detector in self.detectors}
        return {
            "accounts": len(self.accounts),
            "mornings": self.mornings,
            "detectors": {
                detector.value: {
                    "alarms": score.alarms,
                    "alarms_per_account_month": _rounded(score.per_account_month),
                    "impact": {currency: f"{amount:f}" for currency, amount in score.impact.items()},
                    "only": len(score.only),
                }
                for detector, score in scores.items()
            },
            "alarms": [
                {**alarm.to_document(), "is_only": alarm in scores[alarm.detector].only}
                for alarm in self.alarms
            ],
        }

    def _alone(self, mine: Sequence[Alarm]) -> Iterable[Alarm]:
        for alarm in mine:
            others = (each for each in self.alarms if each.detector is not alarm.detector)
            if not any(alarm.is_about(other, self.gap) for other in others):
                yield alarm


def _rounded(number: Decimal | None) -> str | None:
    return None if number is None else f"{number:.2f}"
