"""What a month will cost: the known days, and the others from level, weekday and the fees of a month.

Statistics are floats; money is Decimal at the edges. The range comes from the forecast's own past errors.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from operator import attrgetter
from statistics import median
from types import MappingProxyType
from typing import Any

from costbatch.domain.detection import ZERO
from costbatch.domain.money import to_cents
from costbatch.domain.periods import ONE_DAY, DateRange, month_start

# How far back is looked: half a year of past forecasts, and what the oldest of them is made from.
HISTORY_DAYS = 280
# With less history, or less than a complete week in it, there is no forecast; and no range until there are
# enough past ones to compare with.
_LEAST_DAYS = 14
_LEAST_ERRORS = 8
_MOST_ERRORS = 26
_WEEK = 7
_ONE_WEEK = timedelta(days=_WEEK)
_LEVEL_DAYS, _PROFILE_DAYS = 14, 56
# A charge of its own: this many times the level above it, in at least two of the last three months, or in the
# only one that is known.
_FEE_RATIO = 0.35
_FEE_MONTHS, _LONGEST_MONTH = 3, 31
# Of ten past forecasts the range would have held eight.
_OUTSIDE = 0.1
NOTHING_MISSING: Mapping[date, Decimal] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A month in one currency. aws_account_id: empty for all accounts together.

    month_to_date: what is known of it. expected: what all of it will cost. lower, upper: the range that would
    have held eight of ten past forecasts; None if there were too few.
    """

    aws_account_id: str
    currency: str
    month: date
    month_to_date: Decimal
    last_month: Decimal
    expected: Decimal | None
    lower: Decimal | None
    upper: Decimal | None

    def to_document(self) -> dict[str, Any]:
        """Return the forecast as JSON has it."""
        return {
            "aws_account_id": self.aws_account_id or None,
            "currency": self.currency,
            "month": f"{self.month:%Y-%m}",
            "month_to_date": to_cents(self.month_to_date, self.currency),
            "last_month": to_cents(self.last_month, self.currency),
            "expected": self.expected,
            "lower": self.lower,
            "upper": self.upper,
        }


def history_of(today: date) -> DateRange:
    """Return the days that a forecast of this day is made from."""
    return DateRange(min(today - timedelta(days=HISTORY_DAYS), month_start(today, months_back=1)), today)


def forecast_month(
    amounts: Mapping[date, Decimal],
    *,
    today: date,
    known: DateRange,
    settle_days: int,
    currency: str,
    missing: Mapping[date, Decimal] = NOTHING_MISSING,
) -> Forecast:
    """Return what the month of yesterday will cost all accounts together, or one: it is not said which.

    amounts: by day, as known now; an absent day cost nothing. known: the days that are stored without a gap.
    missing: what they are short of on unknown days; it is no cost of the month to date.
    settle_days: a day is complete this many days after its end; until then more of its cost may come. Days
    that were read before that are not, however long ago it is.
    """
    month = month_start(today - ONE_DAY)
    end_exclusive = month_start(month, months_back=-1)
    to_date = sum((amounts.get(day, ZERO) for day in DateRange(month, today)), ZERO)
    before = DateRange(month_start(month, months_back=1), month)
    expected = lower = upper = None
    # Of an account that was not collected all month nothing can be said.
    known_until = min(known.end_exclusive, today)
    estimated = {**amounts, **{day: amounts.get(day, ZERO) + each for day, each in missing.items()}}
    series = _Series.of(estimated, known.start, known_until) if known_until >= month else None
    settled = series.settled(known_until - timedelta(days=settle_days)) if series else 0
    # Each weekday has to be known.
    if series is not None and settled >= _WEEK:
        end = (end_exclusive - series.start).days
        first = max((month - series.start).days, 0)
        so_far = sum(series.values[first:settled])
        still = series.remaining(settled, max(first, settled), end)
        expected = to_cents(max(Decimal(so_far + still), to_date), currency)
        if errors := series.errors(settled, end - settled):
            low, high = (Decimal(so_far + still * each) for each in errors)
            lower = to_cents(min(max(low, to_date), expected), currency)
            upper = to_cents(max(high, expected), currency)
    return Forecast(
        aws_account_id="",
        currency=currency,
        month=month,
        month_to_date=to_date,
        last_month=sum((amounts.get(day, ZERO) for day in before), ZERO),
        expected=expected,
        lower=lower,
        upper=upper,
    )


def missing_of(amounts: Mapping[date, Decimal], unknown: Collection[date]) -> dict[date, Decimal]:
    """Return what unknown days are short of: what the same weekday cost when it was known last.

    unknown: days of which only a part of the cost, or none, could ever be read.
    """
    first, found = min(amounts, default=date.max), {}
    for day in unknown:
        before = day - _ONE_WEEK
        while before in unknown:
            before -= _ONE_WEEK
        if before >= first:
            found[day] = max(amounts.get(before, ZERO) - amounts.get(day, ZERO), ZERO)
    return found


def sum_forecasts(going_on: Sequence[Forecast], over: Sequence[Forecast] = ()) -> Forecast:
    """Return the forecast of several parts of one total; this month's largest decides if there is one.

    Of any other part without a forecast only what is known counts; without a range of each there is none.
    over: parts of which nothing more is expected; they decide only if there are no others.
    """
    parts = [*going_on, *over]
    # At first nothing of the month may have arrived yet, and the others have no forecast.
    largest = max(
        going_on or over, key=lambda each: (each.month_to_date, each.expected is not None, each.last_month)
    )
    to_date = sum((each.month_to_date for each in parts), ZERO)
    last_month = sum((each.last_month for each in parts), ZERO)
    if largest.expected is None:
        return replace(largest, month_to_date=to_date, last_month=last_month)

    def add(amount_of: Callable[[Forecast], Decimal | None]) -> Decimal | None:
        amounts = [
            to_cents(each.month_to_date, each.currency) if each.expected is None else amount_of(each)
            for each in parts
        ]
        known = [amount for amount in amounts if amount is not None]
        return sum(known, ZERO) if len(known) == len(parts) else None

    return replace(
        largest,
        month_to_date=to_date,
        last_month=last_month,
        expected=add(attrgetter("expected")),
        lower=add(attrgetter("lower")),
        upper=add(attrgetter("upper")),
    )


@dataclass(frozen=True, slots=True)
class _Series:
    """Daily cost from ``start`` on, without a gap.

    above: how far each day lies above the week before it, if that is like a charge of its own; else 0.
    weekdays, month_days: of these days and of those to come.
    """

    start: date
    values: Sequence[float]
    above: Sequence[float]
    weekdays: Sequence[int]
    month_days: Sequence[int]

    @classmethod
    def of(cls, amounts: Mapping[date, Decimal], start: date, today: date) -> "_Series | None":
        """Return the series from the first day with cost up to yesterday; None if it is too short."""
        first = min((day for day, amount in amounts.items() if amount and day >= start), default=today)
        if (today - first).days < _LEAST_DAYS:
            return None
        values = [float(amounts.get(day, ZERO)) for day in DateRange(first, today)]
        above = []
        for n, value in enumerate(values):
            usual = median(values[max(0, n - _WEEK) : n]) if n else value
            excess = value - usual
            above.append(excess if excess > _FEE_RATIO * abs(usual) else 0.0)
        days = list(DateRange(first, month_start(today, months_back=-2)))
        return cls(first, values, above, [day.weekday() for day in days], [day.day for day in days])

    def settled(self, incomplete_from: date) -> int:
        """Return how many of the days are complete."""
        return min((incomplete_from - self.start).days, len(self.values))

    def remaining(self, known: int, first: int, end: int) -> float:
        """Return the expected cost of the days ``first`` to before ``end``, from those before ``known``.

        What is visible already of an incomplete day is the least that it costs.
        """
        expected = self._expected(known, end)
        visible = [*self.values[known:], *[0.0] * (end - len(self.values))]
        return sum(map(max, expected[first - known :], visible[first - known :]))

    def errors(self, known: int, days: int) -> tuple[float, float] | None:
        """Return what the same forecast was multiplied with to be right, a low and a high one of the past.

        One forecast a week, of as many days; the median stays at 1, so that only the spread counts.
        """
        if days <= 0:
            return 1.0, 1.0
        ratios = []
        # Whole weeks before this one: the days to come begin with the same weekday.
        last = known - -(-days // _WEEK) * _WEEK
        for origin in range(last, _LEAST_DAYS - 1, -_WEEK)[:_MOST_ERRORS]:
            expected = sum(self._expected(origin, origin + days))
            actual = sum(self.values[origin : origin + days])
            if expected > 0:
                ratios.append(actual / expected)
        if len(ratios) < _LEAST_ERRORS:
            return None
        ratios.sort()
        # The next error is one of n + 1: the quantiles of few errors lie further out.
        outside = max(int(_OUTSIDE * (len(ratios) + 1)) - 1, 0)
        return min(ratios[outside], 1.0), max(ratios[-1 - outside], 1.0)

    def _expected(self, known: int, end: int) -> list[float]:
        """Return the expected cost of each day from index ``known`` to before ``end``."""
        fees = self._fees(known)
        first = max(0, known - _PROFILE_DAYS)
        plain = [self.values[n] - fees.get(self.month_days[n], 0.0) for n in range(first, known)]
        weekdays = _weekday_profile(plain, self.weekdays[first:known])
        newest_first = zip(reversed(plain), reversed(self.weekdays[first:known]), strict=True)
        recent = [
            amount / weekdays[weekday]
            for amount, weekday in islice(newest_first, _LEVEL_DAYS)
            if weekdays[weekday] > 0
        ]
        level = 0.0
        if recent:
            # Between the mean of the last week without its highest and its lowest day, and the median of two:
            # a single charge or refund says nothing of the days to come.
            week = sorted(recent[:_WEEK])
            week = week[1:-1] or week
            level = max((sum(week) / len(week) + median(recent)) / 2, 0.0)
        return [
            level * weekdays[self.weekdays[n]] + fees.get(self.month_days[n], 0.0) for n in range(known, end)
        ]

    def _fees(self, known: int) -> dict[int, float]:
        """Return what comes on top on certain days of the month, by day of the month."""
        excess: dict[int, list[float]] = {}
        for n in range(known - 1, max(known - 1 - _LONGEST_MONTH * _FEE_MONTHS, -1), -1):
            excess.setdefault(self.month_days[n], []).append(self.above[n])
        found = {}
        for day, amounts in excess.items():
            charged = [each for each in amounts[:_FEE_MONTHS] if each]
            if len(charged) * 2 > len(amounts[:_FEE_MONTHS]):
                found[day] = median(charged)
        return found


def _weekday_profile(plain: Sequence[float], weekdays: Sequence[int]) -> list[float]:
    """Return what each weekday costs of an average day: its median, whatever single days did.

    Each day counts as a part of its own week, so that a new level is no weekday.
    """
    by_weekday: list[list[float]] = [[] for _ in range(_WEEK)]
    for end in range(len(plain), _WEEK - 1, -_WEEK):
        week = slice(end - _WEEK, end)
        mean = sum(plain[week]) / _WEEK
        for amount, weekday in zip(plain[week], weekdays[week], strict=True) if mean > 0 else ():
            by_weekday[weekday].append(amount / mean)
    usual = [median(mine) if mine else 0.0 for mine in by_weekday]
    mean = sum(usual) / _WEEK
    return [each / mean for each in usual] if mean > 0 else [1.0] * _WEEK
