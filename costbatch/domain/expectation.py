"""What a service should cost on a day, and how sure that is, learned from its own settled days alone.

Amounts are floats here: these are statistics, and no sum that is billed. Nothing looks ahead: a band is made
once, on the first morning of its day, from the days that had settled by then, and never changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from typing import NamedTuple

# Days after which a bill is complete: on the morning after day t, the days to t - 2 are final.
SETTLE_DAYS = 2

_WEEK = 7
_SATURDAY = 5
# Up to this many weeks tell a weekday's share of its week, and the same weeks the noise.
_PROFILE_WEEKS = 6
_NOISE_DAYS = 60
_LEAST_ERRORS = 7
# Noise before anything is known of it, and the least that is believed.
_UNKNOWN_NOISE, _LEAST_NOISE = 0.3, 0.015
# A weekday with less than this share of the mean says nothing about the level.
_LEAST_WEIGHT = 0.15
# Beyond this many times the noise a day counts as an outlier when weekdays are learned.
_OUTLIER = 6.0
# A robust standard deviation is this many median deviations.
_ROBUST = 1.4826
# A day with less than this part of the usual amount is a day without use.
_IDLE = 0.05
_SPARSE_DAYS, _SPARSE_SHARE = 42, 0.55
# Recurring charges: how far back they are looked for (a month, a quarter, a year), and how far off their day.
_RECURRENCES = ((25, 38), (86, 98), (360, 370))
_JITTER_DAYS, _MONTH_DAYS = 3, 30
_FORTNIGHT = 14
# A level below a cent is none.
_LEAST_LEVEL = 0.01
# Growth is measured against the level of four weeks ago, and never across an alarm.
_GROWTH_DAYS, _LEAST_GROWTH_DAYS, _CALM_DAYS = 28, 9, 9


class Mark(IntEnum):
    """What a day is to the days after it."""

    NORMAL = 0
    ANOMALOUS = 1
    RECURRING = 2


class Band(NamedTuple):
    """What was expected of a day: the amount, the relative noise, and the scale of errors in money."""

    expected: float
    noise: float
    scale: float


def median(values: Sequence[float]) -> float:
    """Return the median of at least one value; sorting a few floats beats the statistics module tenfold."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


@dataclass(slots=True)
class History:
    """One service's days from the first with cost on; index 0 is that day.

    bands, weekdays, month_days and marks reach to the newest day, the other lists to the newest settled one.
    errors are relative: the difference from the band by its scale; None before there was a band.
    peaks: the largest upward error of each week that was not anomalous.
    """

    amounts: list[float] = field(default_factory=list)
    cleaned: list[float] = field(default_factory=list)
    errors: list[float | None] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)
    week_means: list[float] = field(default_factory=list)
    growths: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    bands: list[Band | None] = field(default_factory=list)
    weekdays: list[int] = field(default_factory=list)
    month_days: list[int] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    weights: list[float] = field(default_factory=lambda: [1.0] * _WEEK)
    noise: float = _UNKNOWN_NOISE
    growth: float = 1.0
    is_sparse: bool = False
    last_rise: int = -99
    last_drop: int = -99

    def settle(self, amount: float) -> None:
        """Add the final amount of the oldest day that is not settled yet; a credit counts as no cost."""
        amount = max(amount, 0.0)
        n = len(self.amounts)
        band = self.bands[n]
        self.amounts.append(amount)
        if band is None:
            self.cleaned.append(amount)
            self.errors.append(None)
        else:
            difference = amount - band.expected
            bound = (_OUTLIER * band.noise + 0.02) * band.scale
            self.cleaned.append(band.expected + min(max(difference, -bound), bound))
            self.errors.append(difference / band.scale)
            is_large = difference > bound and difference > band.expected / 4
            if is_large and self.marks[n] is Mark.NORMAL and self.has_precedent(n, difference):
                self.marks[n] = Mark.RECURRING
        self._remember_peak(n)
        self._learn_week(n + 1)
        self._learn_growth(n + 1)

    def open_day(self, day: date) -> None:
        """Expect a new day: the level of the last settled week times the share of its weekday."""
        weekday = day.weekday()
        self.weekdays.append(weekday)
        self.month_days.append(day.day)
        self.marks.append(Mark.NORMAL)
        if len(self.amounts) < _WEEK:
            self.bands.append(None)
            return
        level = self.levels[-1]
        expected = level * self.weights[weekday]
        first = max(0, len(self.amounts) - _NOISE_DAYS)
        recent = zip(self.errors[first:], self.marks[first : len(self.errors)], strict=True)
        errors = [abs(error) for error, mark in recent if error is not None and mark is Mark.NORMAL]
        self.noise = _UNKNOWN_NOISE
        if len(errors) >= _LEAST_ERRORS:
            self.noise = max(_ROBUST * sorted(errors)[len(errors) // 2], _LEAST_NOISE)
        self.bands.append(Band(expected, self.noise, max(expected, level / 4, _LEAST_LEVEL)))

    def excess(self, index: int, sign: int = 1) -> float:
        """Return how far one settled day stands out from the days on both sides of it."""
        around = [*range(index - 6, index - 2), *range(index + 3, index + 6)]
        sides = [
            self.amounts[i] / self.weights[self.weekdays[i]]
            for i in around
            if 0 <= i < len(self.amounts) and self.weights[self.weekdays[i]] > _LEAST_WEIGHT
        ]
        if not sides:
            return 0.0
        return sign * (self.amounts[index] - median(sides) * self.weights[self.weekdays[index]])

    def has_precedent(self, index: int, difference: float, sign: int = 1, part: float = 2 / 3) -> bool:
        """Whether the same day of an earlier month, or every other week, stood out by ``part`` as much."""
        month_day = self.month_days[index]
        for shortest, longest in _RECURRENCES:
            for i in range(max(0, index - longest), min(index - shortest, len(self.amounts))):
                apart = abs(self.month_days[i] - month_day)
                is_same_day = apart <= _JITTER_DAYS or apart >= _MONTH_DAYS - _JITTER_DAYS
                if is_same_day and self.excess(i, sign) > part * difference:
                    return True
        first, second = index - 2 * _FORTNIGHT, index - _FORTNIGHT
        if first < SETTLE_DAYS or len(self.amounts) <= second + SETTLE_DAYS:
            return False
        return min(self.excess(first, sign), self.excess(second, sign)) > part * difference

    def earlier_alarms(self, before: int, amount: float) -> int:
        """Count the separate anomalies of the last half year before a day that were about as large."""
        count, last = 0, -99
        for i in range(min(before, len(self.amounts)) - 1, max(-1, before - 181), -1):
            if self.marks[i] is Mark.ANOMALOUS and self.amounts[i] * 1.15 >= amount:
                count += last < 0 or last - i > 2 * SETTLE_DAYS
                last = i
        return count

    def usual_top(self, index: int, before: int) -> float:
        """Return what the nine weeks before a day reached on its kind of weekday, but for the two highest."""
        is_weekend = self.weekdays[index] >= _SATURDAY
        relative = sorted(
            self.amounts[i] / self.weights[self.weekdays[i]]
            for i in range(max(0, before - 9 * _WEEK), before)
            if self.marks[i] is Mark.NORMAL
            and (self.weekdays[i] >= _SATURDAY) == is_weekend
            and self.weights[self.weekdays[i]] > _LEAST_WEIGHT
        )
        if not relative:
            return 0.0
        top = relative[-3] if len(relative) > _WEEK else relative[-1]
        return top * self.weights[self.weekdays[index]]

    def _remember_peak(self, n: int) -> None:
        if len(self.peaks) <= n // _WEEK:
            self.peaks.append(0.0)
        error = self.errors[n]
        if error is None:
            return
        if self.marks[n] is Mark.NORMAL:
            self.peaks[n // _WEEK] = max(self.peaks[n // _WEEK], error)
        # A burst that lasted one day belongs to the nature of the service; a longer one does not.
        burst = self.errors[n - 1] if n > _WEEK + 1 else None
        around = (self.marks[n - 2], self.marks[n]) if burst is not None else ()
        if burst is None or self.marks[n - 1] is not Mark.ANOMALOUS or Mark.ANOMALOUS in around:
            return
        if burst > 0 and error < 0.3 * burst:
            self.peaks[(n - 1) // _WEEK] = max(self.peaks[(n - 1) // _WEEK], burst)

    def _learn_week(self, n: int) -> None:
        """Learn the share of the newest weekday, the level of the last week, and whether use is sparse."""
        if n >= _WEEK:
            self.week_means.append(sum(self.cleaned[-_WEEK:]) / _WEEK)
            if self.week_means[-1] > 0:
                newest = range(n - 1, max(_WEEK - 2, n - _PROFILE_WEEKS * _WEEK - 1), -_WEEK)
                means = [(self.cleaned[i], self.week_means[i - _WEEK + 1]) for i in newest]
                shares = [amount / mean for amount, mean in means if mean > 0]
                self.weights[self.weekdays[n - 1]] = median(shares) if len(shares) > 1 else 1.0
        week = [
            self.amounts[i] / self.weights[self.weekdays[i]]
            for i in range(n - 1, max(-1, n - _WEEK - 1), -1)
            if self.weights[self.weekdays[i]] > _LEAST_WEIGHT
        ]
        self.levels.append(median(week) if week else 0.0)
        if n >= 2 * _WEEK:
            active = [amount for amount in self.amounts[-_SPARSE_DAYS:] if amount > 0]
            least = _IDLE * median(active) if active else 0.0
            in_use = sum(1 for amount in active if amount > least)
            self.is_sparse = in_use < _SPARSE_SHARE * min(_SPARSE_DAYS, n)

    def _learn_growth(self, n: int) -> None:
        reference = max(n - _GROWTH_DAYS - 1, self.last_rise + _CALM_DAYS)
        self.growth = 1.0
        if n >= _GROWTH_DAYS + 8 and reference < n - _LEAST_GROWTH_DAYS:
            if self.levels[reference] > _LEAST_LEVEL:
                self.growth = self.levels[-1] / self.levels[reference]
            self.growths.append(self.growth)
