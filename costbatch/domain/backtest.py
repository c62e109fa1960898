"""What detectors would have raised on past mornings, side by side."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from costbatch.domain.anomalies import Anomaly, is_visible_part
from costbatch.domain.answers import Answer, AnswerKind, answer_to
from costbatch.domain.detection import DetectorName, Direction, Rule
from costbatch.domain.periods import DateRange

_DAYS_OF_A_MONTH = Decimal("365.25") / 12


# What people say of an anomaly by an answer; a planned change was announced before, and says nothing.
_IS_REAL = {AnswerKind.DISMISSED: False, AnswerKind.EXPECTED: True, AnswerKind.ACKNOWLEDGED: True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Days of one direction, and the money. service: None: the account's total."""

    aws_account_id: str
    service: str | None
    currency: str
    direction: Direction
    start: date
    last: date
    impact: Decimal

    def is_about(self, other: "Subject", gap: timedelta) -> bool:
        """Whether both are about the same: the days touch, and the services are the same.

        Or one of them is of the total, and the other one a visible part of it.
        """
        is_part = True
        if self.service is None and other.service is not None:
            is_part = is_visible_part(other.impact, self.impact)
        elif other.service is None and self.service is not None:
            is_part = is_visible_part(self.impact, other.impact)
        return is_part and (
            (self.aws_account_id, self.currency, self.direction)
            == (other.aws_account_id, other.currency, other.direction)
            and (self.service is None or other.service is None or self.service == other.service)
            and self.start <= other.last + gap
            and other.start <= self.last + gap
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Subject):
    """An anomaly of the nights that someone answered. is_real: it was acknowledged or expected."""

    is_real: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm(Subject):
    """What a detector would have told one morning, with the days and amounts that it had in the end.

    id: of the anomaly.
    """

    detector: DetectorName
    morning: date
    id: UUID

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
    """The alarms of one account, and its answered anomalies of these mornings.

    totals: its comparable cost by currency and day, as it is now.
    """

    aws_account_id: str
    name: str
    mornings: DateRange
    alarms: tuple[Alarm, ...]
    totals: Mapping[str, Mapping[date, Decimal]]
    answered: tuple[Answered, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one detector raised. only: alarms that are about nothing that another detector raised.

    precision: of the alarms that are about an answered anomaly, the share that is about a real one.
    recall: of the real anomalies, the share that an alarm is about. None: there are none.
    """

    alarms: int
    per_account_month: Decimal | None
    impact: Mapping[str, Decimal]
    only: tuple[Alarm, ...]
    precision: Decimal | None = None
    recall: Decimal | None = None


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

    @property
    def answered(self) -> list[Answered]:
        """Every answered anomaly."""
        return [each for account in self.accounts for each in account.answered]

    def score(self, detector: DetectorName) -> Score:
        """Return what a detector raised."""
        alarms = self.alarms
        mine = [alarm for alarm in alarms if alarm.detector is detector]
        others = [alarm for alarm in alarms if alarm.detector is not detector]
        alone = [alarm for alarm in mine if not any(alarm.is_about(other, self.gap) for other in others)]
        impact: defaultdict[str, Decimal] = defaultdict(Decimal)
        for alarm in mine:
            impact[alarm.currency] += abs(alarm.impact)
        real = [each for each in self.answered if each.is_real]
        about = [[each.is_real for each in self.answered if each.is_about(alarm, self.gap)] for alarm in mine]
        return Score(
            alarms=len(mine),
            per_account_month=len(mine) / (self.mornings / _DAYS_OF_A_MONTH) if self.mornings else None,
            impact=dict(sorted(impact.items())),
            only=tuple(alone) if len(self.detectors) > 1 else (),
            precision=_share([any(each) for each in about if each]),
            recall=_share([any(each.is_about(alarm, self.gap) for alarm in mine) for each in real]),
        )

    def to_document(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        scores = {detector: self.score(detector) for detector in self.detectors}
        return {
            "accounts": len(self.accounts),
            "mornings": self.mornings,
            "answered": len(self.answered),
            "answered_real": sum(each.is_real for each in self.answered),
            "detectors": {
                detector.value: {
                    "alarms": score.alarms,
                    "alarms_per_account_month": _rounded(score.per_account_month),
                    "impact": {currency: f"{amount:f}" for currency, amount in score.impact.items()},
                    "only": len(score.only),
                    "precision": _rounded(score.precision),
                    "recall": _rounded(score.recall),
                }
                for detector, score in scores.items()
            },
            "alarms": [
                {**alarm.to_document(), "is_only": alarm in scores[alarm.detector].only}
                for alarm in self.alarms
            ],
        }


def answered_anomalies(
    anomalies: Iterable[Anomaly], aws_account_id: str, answers: Sequence[Answer], rule: Rule
) -> Iterator[Answered]:
    """Return the anomalies of an account on which the answers that count say whether they are real."""
    for each in anomalies:
        answer = None if each.is_gone else answer_to(each, answers, rule)
        if answer is not None and answer.kind in _IS_REAL:
            yield Answered(
                aws_account_id=aws_account_id,
                service=each.service,
                currency=each.currency,
                direction=each.direction,
                start=each.start_date,
                last=each.last_date,
                impact=each.impact,
                is_real=_IS_REAL[answer.kind],
            )


def _share(hits: Sequence[bool]) -> Decimal | None:
    return Decimal(sum(hits)) / len(hits) if hits else None


def _rounded(number: Decimal | None) -> str | None:
    return None if number is None else f"{number:.2f}"
