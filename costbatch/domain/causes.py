"""The root cause of an anomaly: the regions and usage types that make the difference to an ordinary day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from costbatch.domain.anomalies import Anomaly
from costbatch.domain.costs import CostBasis
from costbatch.domain.detection import ZERO, Direction, Reason
from costbatch.domain.money import CENT, Limit
from costbatch.domain.overrides import RuleOf
from costbatch.domain.periods import ONE_DAY, DateRange

# Of two weeks of one service one page is enough; each more is a paid request, too.
MOST_CAUSE_PAGES = 5
# An anomaly names at most this many.
_MOST_CAUSES = 10
_WEEK = timedelta(days=7)
# What grows steadily is compared with its level of four weeks ago, or if there was an alarm since, after it.
_BEFORE_GROWTH = tuple(timedelta(weeks=weeks) for weeks in (4, 3, 2, 1))

# A region and a usage type, as Cost Explorer names them.
CauseKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CausePolicy:
    """Which root causes are asked for.

    minimum: the smallest difference worth a request, by currency. rule_of: says what is at the level of an
    answer. most_requests: the cap of the whole run.
    """

    minimum: Limit
    rule_of: RuleOf
    most_requests: int | None = None


class Cause(NamedTuple):
    """What a region and usage type cost on the ordinary day (expected) and on the anomalous one."""

    region: str
    usage_type: str
    expected: Decimal
    actual: Decimal

    @property
    def impact(self) -> Decimal:
        """The difference."""
        return self.actual - self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCause:
    """The largest contributors, largest first, on one anomalous day against an ordinary one."""

    usage_date: date
    ordinary_date: date
    causes: tuple[Cause, ...]


class CutShort(NamedTuple):
    """On how many nights the cap cut a response short, and when it was asked for last."""

    times: int
    asked_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseQuestion:
    """What is asked of Cost Explorer: one request over a range of days.

    services: whose cost; empty: all. anomalous: the days of the anomaly that are looked at. expected: of
    these days together. lookbacks: how long before each of them its ordinary day can be.
    """

    services: tuple[str, ...]
    currency: str
    cost_basis: CostBasis
    excluded_record_types: frozenset[str]
    anomalous: DateRange
    expected: Decimal
    lookbacks: tuple[timedelta, ...]

    @property
    def days(self) -> DateRange:
        """The days to request: up to two weeks, of what grows five."""
        return DateRange(self.anomalous.start - max(self.lookbacks), self.anomalous.end_exclusive)


def question_of(anomaly: Anomaly, excluded_record_types: frozenset[str]) -> CauseQuestion:
    """Return the question about an anomaly.

    Each of its first seven days has its ordinary day before the anomaly, and on the same weekday.
    An anomaly of an account's total is asked about by the services that explain it.
    """
    start = anomaly.start_date
    whole = DateRange(start, anomaly.last_date + ONE_DAY)
    anomalous = DateRange(start, min(whole.end_exclusive, start + _WEEK))
    explained_by = [part.service for part in anomaly.explanation if part.impact * anomaly.impact > 0]
    return CauseQuestion(
        services=(anomaly.service,) if anomaly.service is not None else tuple(explained_by),
        currency=anomaly.currency,
        cost_basis=anomaly.cost_basis,
        excluded_record_types=excluded_record_types,
        anomalous=anomalous,
        expected=anomaly.expected * len(anomalous) / len(whole),
        lookbacks=_BEFORE_GROWTH if anomaly.reason is Reason.GROWTH else (_WEEK,),
    )


def find_root_cause(
    amounts: Mapping[date, Mapping[CauseKey, Decimal]], question: CauseQuestion, direction: Direction
) -> RootCause:
    """Return what moved most on the anomalous day that moved most, from the amounts of each day.

    Its ordinary day is the one that cost most nearly what was expected, the earliest of equal ones.
    Only what moved in the anomaly's direction, and by a cent or more.
    """
    sign = 1 if direction is Direction.SPIKE else -1

    def distance(lookback: timedelta) -> Decimal:
        costs = [sum(amounts.get(day - lookback, {}).values(), ZERO) for day in question.anomalous]
        return abs(sum(costs, ZERO) - question.expected)

    lookback = min(question.lookbacks, key=distance)
    moves: dict[date, list[Cause]] = {}
    for day in question.anomalous:
        before, after = amounts.get(day - lookback, {}), amounts.get(day, {})
        moves[day] = [Cause(*key, before.get(key, ZERO), after.get(key, ZERO)) for key in {*before, *after}]
    usage_date = max(moves, key=lambda day: sign * sum((each.impact for each in moves[day]), ZERO))
    causes = [each for each in moves[usage_date] if sign * each.impact >= CENT]
    causes.sort(key=lambda each: (-sign * each.impact, each.region, each.usage_type))
    return RootCause(
        usage_date=usage_date,
        ordinary_date=usage_date - lookback,
        causes=tuple(causes[:_MOST_CAUSES]),
    )
