"""The rule ``deviation``: a day deviates from the mean of the days before it. Pure functions on daily totals.

What every rule says of a day is a ``JudgedDay``; anomalous days become episodes, and these anomalies.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Context, Decimal, localcontext
from enum import StrEnum
from itertools import groupby, repeat

from costbatch.domain.costs import CostBasis, CostColumns, DayTotal
from costbatch.domain.money import Limit
from costbatch.domain.periods import ONE_DAY, DateRange

ZERO = Decimal(0)
# The digits of a score.
SCORE = Decimal("0.0001")
# From here on a day is outside its band.
_OUTSIDE = Decimal("0.5")

# An anomaly names at most this many services.
_MOST_CONTRIBUTIONS = 5
# Finer than any bill; a mean of 30 days would otherwise have endless digits.
_MEAN_PRECISION = Decimal("1E-10")
# Room for the largest amount at that precision; Python's default of 28 digits would raise.
_MEAN_CONTEXT = Context(prec=50)
# Room for every digit of a sum: 20 before the point and 40 after it, times the services of a day.
_SUM_CONTEXT = Context(prec=80)


class Direction(StrEnum):
    """Above or below what was expected."""

    SPIKE = "spike"
    DROP = "drop"


class DetectorName(StrEnum):
    """The rules by which days can be judged."""

    DEVIATION = "deviation"
    ADAPTIVE = "adaptive"


class Reason(StrEnum):
    """Why a day is anomalous: the first by the rule ``deviation``, the others by ``adaptive``."""

    DEVIATION = "deviation"
    SPIKE = "spike"
    BURST = "burst"
    GROWTH = "growth"
    DROP = "drop"
    NEW_SERVICE = "new_service"
    DORMANT_SERVICE = "dormant_service"


class Severity(StrEnum):
    """How much money an anomaly is about."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a day deviates from its baseline, and what is compared.

    threshold_ratio: a day deviates if its distance to the mean exceeds this ratio of it (0.5 is 50 %).
    baseline_days: how many days before the day the mean covers; days without cost count as 0.
    minimum_history_days: accounts with less history are not judged.
    floor: the smallest difference that counts, by currency.
    settle_days: a day is complete this many days after its end; only then can it be a drop.
    medium_impact, high_impact: the lower limits of the severities, by currency.
    merge_gap_days: an anomaly continues over up to this many normal days, such as a weekend.
    per_service: whether each service is judged as well as the account's total.
    level_margin: how far beyond a level that was answered a day is still at that level, as a ratio of it.
    """

    threshold_ratio: Decimal = Decimal("0.5")
    baseline_days: int = 30
    minimum_history_days: int = 7
    floor: Limit = field(default=Limit(Decimal(1)))
    settle_days: int = 2
    cost_basis: CostBasis = CostBasis.UNBLENDED
    excluded_record_types: frozenset[str] = frozenset({"Credit", "Refund", "Tax"})
    per_service: bool = False
    medium_impact: Limit = field(default=Limit(Decimal(100)))
    high_impact: Limit = field(default=Limit(Decimal(1000)))
    merge_gap_days: int = 2
    level_margin: Decimal = Decimal("0.2")

    @property
    def merge_window(self) -> timedelta:
        """How far apart two anomalous days of one anomaly may be."""
        return timedelta(days=self.merge_gap_days) + ONE_DAY

    def days_of_baseline(self, day: date, first_day: date) -> int:
        """Return how many days the mean for ``day`` covers, of a series that begins with ``first_day``."""
        return min(self.baseline_days, (day - first_day).days)

    def last_settled_day(self, today: date) -> date:
        """Return the newest day whose cost is complete."""
        return today - ONE_DAY - timedelta(days=self.settle_days)

    def deviates(self, expected: Decimal, actual: Decimal, currency: str) -> bool:
        """Whether the difference exceeds both the threshold ratio and the floor."""
        difference = abs(actual - expected)
        return difference >= self.floor.of(currency) and difference > self.threshold_ratio * abs(expected)

    def is_beyond(self, level: Decimal, amount: Decimal, direction: Direction, currency: str) -> bool:
        """Whether a daily amount is further out than a level, by more than the margin and the floor."""
        further = amount - level if direction is Direction.SPIKE else level - amount
        return further >= self.floor.of(currency) and further > self.level_margin * abs(level)

    def severity(self, impact: Decimal, currency: str) -> Severity:
        """Return the severity of a money difference."""
        if abs(impact) >= self.high_impact.of(currency):
            return Severity.HIGH
        return Severity.MEDIUM if abs(impact) >= self.medium_impact.of(currency) else Severity.LOW


@dataclass(frozen=True, slots=True)
class Series:
    """Comparable daily cost in one currency from ``first_day`` on; an absent day cost nothing.

    last_day: the last day with cost if another currency replaced this one; else None. What it costs after
    that is a tail: late charges, and no return to the level before.
    unknown: days that say nothing of what is usual: only a part of their cost, or none, could ever be read,
    or the currency was away.
    """

    currency: str
    first_day: date
    amounts: Mapping[date, Decimal]
    last_day: date | None = None
    unknown: Collection[date] = ()

    def tail_spikes(self, rule: Rule) -> dict[date, Decimal]:
        """Return what was expected of the days of the tail that are large against the level before it."""
        if self.last_day is None:
            return {}
        # Even a few of its days are enough to know the level; long after its end there are none.
        level = self.baseline(self.last_day + ONE_DAY, replace(rule, minimum_history_days=1))
        found = {}
        for day, amount in self.amounts.items():
            if day > self.last_day:
                expected = self.baseline(day, rule) if level is None else level
                if (
                    expected is not None
                    and amount > expected
                    and rule.deviates(expected, amount, self.currency)
                ):
                    found[day] = expected
        return found

    def baseline(self, day: date, rule: Rule) -> Decimal | None:
        """Return the mean of the known days before ``day``; None if there is too little history."""
        days = rule.days_of_baseline(day, self.first_day)
        first = day - timedelta(days=days)
        unknown = [each for each in self.unknown if first <= each < day]
        known = days - len(unknown)
        if known < max(rule.minimum_history_days, 1):
            return None
        total = sum(map(self.amounts.get, DateRange(first, day), repeat(ZERO)), ZERO)
        total -= sum((self.amounts.get(each, ZERO) for each in unknown), ZERO)
        return (total / known).quantize(_MEAN_PRECISION, context=_MEAN_CONTEXT)


@dataclass(frozen=True, slots=True)
class JudgedDay:
    """What a rule says of one day of an account's total or of one service.

    lower, upper: the band in which it is ordinary. score: 0 to 1; 0.5 is the edge of the band.
    reason: None unless it is anomalous.
    """

    usage_date: date
    expected: Decimal
    actual: Decimal
    lower: Decimal
    upper: Decimal
    score: Decimal
    reason: Reason | None = None

    @property
    def direction(self) -> Direction:
        """Above or below what was expected."""
        return Direction.SPIKE if self.actual > self.expected else Direction.DROP

    @property
    def is_outside(self) -> bool:
        """Whether it is anomalous or outside its band."""
        return self.reason is not None or self.score >= _OUTSIDE


@dataclass(frozen=True, slots=True)
class Episode:
    """Anomalous days in one direction within each other's merge window: they become one anomaly."""

    days: tuple[JudgedDay, ...]

    @property
    def direction(self) -> Direction:
        """Above or below what was expected."""
        return self.days[0].direction

    @property
    def start(self) -> date:
        """The first anomalous day."""
        return self.days[0].usage_date

    @property
    def last(self) -> date:
        """The last anomalous day so far."""
        return self.days[-1].usage_date

    @property
    def expected(self) -> Decimal:
        """The expected cost of the anomalous days together."""
        return sum((day.expected for day in self.days), ZERO)

    @property
    def actual(self) -> Decimal:
        """The actual cost of the anomalous days together."""
        return sum((day.actual for day in self.days), ZERO)

    @property
    def lower(self) -> Decimal:
        """The lower edges of the bands of the anomalous days together."""
        return sum((day.lower for day in self.days), ZERO)

    @property
    def upper(self) -> Decimal:
        """The upper edges of the bands of the anomalous days together."""
        return sum((day.upper for day in self.days), ZERO)

    @property
    def score(self) -> Decimal:
        """The score of the day that stands out most."""
        return max(day.score for day in self.days)

    @property
    def reason(self) -> Reason:
        """Why it began."""
        return self.days[0].reason or Reason.DEVIATION

    @property
    def peak(self) -> Decimal:
        """The most extreme daily cost: the highest of a spike, the lowest of a drop."""
        furthest = max if self.direction is Direction.SPIKE else min
        return furthest(day.actual for day in self.days)


@dataclass(frozen=True, slots=True)
class Contribution:
    """A service's part in an anomaly: its expected and actual cost on the anomalous days."""

    service: str
    expected: Decimal
    actual: Decimal

    @property
    def impact(self) -> Decimal:
        """The difference of the service: positive if it cost more than expected."""
        return self.actual - self.expected


def comparable_totals(costs: CostColumns, days: DateRange, rule: Rule) -> list[DayTotal]:
    """Return the comparable cost of each day with cost, equal to what the database would sum."""
    amounts: defaultdict[tuple[date, str], list[Decimal]] = defaultdict(list)
    columns = costs.usage_dates, costs.currencies, costs.keys, costs.amounts(rule.cost_basis)
    for day, currency, (_, record_type), amount in zip(*columns, strict=True):
        if record_type not in rule.excluded_record_types:
            amounts[day, currency].append(amount)
    start, end_exclusive = days.start, days.end_exclusive
    with localcontext(_SUM_CONTEXT):
        return [
            DayTotal(day, currency, sum(parts, ZERO))
            for (day, currency), parts in amounts.items()
            if start <= day < end_exclusive
        ]


def comparable_service_totals(costs: CostColumns, days: DateRange, rule: Rule) -> dict[str, list[DayTotal]]:
    """Return the comparable cost of each day, by service."""
    start, end_exclusive = days.start, days.end_exclusive
    sums: dict[tuple[str, date, str], Decimal] = {}
    columns = costs.usage_dates, costs.currencies, costs.keys, costs.amounts(rule.cost_basis)
    # Each service has few rows on a day: adding them up as they come takes half as long as `sum` of lists.
    with localcontext(_SUM_CONTEXT):
        for day, currency, (service, record_type), amount in zip(*columns, strict=True):
            if record_type not in rule.excluded_record_types and start <= day < end_exclusive:
                key = service, day, currency
                sums[key] = sums.get(key, ZERO) + amount
    found: defaultdict[str, list[DayTotal]] = defaultdict(list)
    for (service, day, currency), amount in sums.items():
        found[service].append(DayTotal(day, currency, amount))
    return dict(found)


def judge_days(series: Series, days: DateRange, *, today: date, rule: Rule) -> list[JudgedDay]:
    """Judge the days in ``days`` that have a baseline.

    A day that has not settled, or is unknown, is never a drop: more of its cost may still arrive.
    """
    judged = []
    floor, spikes = rule.floor.of(series.currency), series.tail_spikes(rule)
    for day in days:
        is_tail = series.last_day is not None and day > series.last_day
        expected = spikes.get(day) if is_tail else series.baseline(day, rule)
        if expected is None:
            continue
        actual = series.amounts.get(day, ZERO)
        distance = abs(actual - expected)
        margin = max(floor, rule.threshold_ratio * abs(expected))
        is_settled = day <= rule.last_settled_day(today) and day not in series.unknown
        is_complete = actual > expected or is_settled
        is_anomalous = is_complete and rule.deviates(expected, actual, series.currency)
        judged.append(
            JudgedDay(
                day,
                expected,
                actual,
                expected - margin,
                expected + margin,
                (distance / (distance + margin)).quantize(SCORE) if distance else ZERO,
                Reason.DEVIATION if is_anomalous else None,
            )
        )
    return judged


def group_episodes(days: Iterable[JudgedDay], rule: Rule) -> list[Episode]:
    """Join anomalous days of one direction that lie within the merge window of each other."""
    episodes = []
    ordered = sorted(days, key=lambda day: (day.direction, day.usage_date))
    for _, same_direction in groupby(ordered, key=lambda day: day.direction):
        current: list[JudgedDay] = []
        for day in same_direction:
            if current and day.usage_date - current[-1].usage_date > rule.merge_window:
                episodes.append(Episode(tuple(current)))
                current = []
            current.append(day)
        episodes.append(Episode(tuple(current)))
    return episodes


def explain(episode: Episode, services: Mapping[str, Series], *, rule: Rule) -> tuple[Contribution, ...]:
    """Return the services that changed in the episode's direction, the largest change first."""
    sign = 1 if episode.direction is Direction.SPIKE else -1
    contributions = []
    for service, series in services.items():
        expected = actual = ZERO
        for day in episode.days:
            expected += series.baseline(day.usage_date, rule) or ZERO
            actual += series.amounts.get(day.usage_date, ZERO)
        if sign * (actual - expected) >= rule.floor.of(series.currency):
            contributions.append(Contribution(service, expected, actual))
    contributions.sort(key=lambda contribution: (-abs(contribution.impact), contribution.service))
    return tuple(contributions[:_MOST_CONTRIBUTIONS])
