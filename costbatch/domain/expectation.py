"""What a service should cost on a day, and how sure that is, learned from its own settled days alone.

Amounts are floats here: these are statistics, and no sum that is billed. Nothing looks ahead: a band is made
once, on the first morning of its day, from the days that had settled by then, and never changes.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import IntEnum
from math import isnan, nan
from typing import NamedTuple

# Days after which a bill is complete: on the morning after day t, the days to t - 2 are final.
SETTLE_DAYS = 2
# A rise on so many days on end is compared with what lasted as long.
RUN_DAYS = 3

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
_JITTER_DAYS, _MONTH_DAYS, _MONTH_END = 3, 30, 28
# What is about as large has this part of the size; of it, the part that is enough on a charge's very day.
_ALIKE = 2 / 3
_SAME_DAY = 0.67
_FORTNIGHT = 14
# A rise that stayed for seven weeks is a new level.
_LONGEST_RISE = 49
# A charge many times as large does not explain a small one; of this much more it is the same one again.
LIKE, _SAME = 4.0, 1.5
# A level below a cent is none.
_LEAST_LEVEL = 0.01
# Growth is measured against the level of four weeks ago, and never across an alarm.
_GROWTH_DAYS, _LEAST_GROWTH_DAYS, _CALM_DAYS = 28, 9, 9
# Whole weeks that are remembered: a year for recurring charges, and the days around them.
_KEPT_WEEKS = 55
# The growths of half a year tell how far a service grows by itself.
GROWTHS_KEPT = 190
# A level below this part of the usual one of nine weeks is a trough; coming back from it is no rise.
_TROUGH, _RETURN, _NINE_WEEKS = 0.8, 1.3, 63


class Mark(IntEnum):
    """What a day is to the days after it."""

    NORMAL = 0
    ANOMALOUS = 1
    RECURRING = 2
    SET_ASIDE = 3  # it was planned, or is expected to pass: nothing is learned of it
    SHARED = 4  # several services of the account moved as far: it says nothing of how far this one strays


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


def floats(values: Sequence[float] = ()) -> "array[float]":
    """Return numbers of four bytes, as they are remembered: what is judged is rounded so from the start."""
    return array("f", values)


@dataclass(slots=True)
class History:
    """One service's days from the first with cost on, at most some more than a year; index 0 is ``first``.

    bands, weekdays, month_days and marks reach to the newest day, the other lists to the newest settled one.
    errors are relative: the difference from the band by its scale; nan before there was a band.
    peaks: the largest upward error of each week that was not anomalous, unless the two days before it rose
    too; runs: the same of the least error of three days on end.
    level_from: days before this one no longer tell the level.
    """

    first: date
    amounts: "array[float]" = field(default_factory=floats)
    cleaned: "array[float]" = field(default_factory=floats)
    errors: "array[float]" = field(default_factory=floats)
    levels: "array[float]" = field(default_factory=floats)
    week_means: "array[float]" = field(default_factory=floats)
    growths: "array[float]" = field(default_factory=floats)
    peaks: "array[float]" = field(default_factory=floats)
    runs: "array[float]" = field(default_factory=floats)
    bands: list[Band | None] = field(default_factory=list)
    weekdays: list[int] = field(default_factory=list)
    month_days: list[int] = field(default_factory=list)
    marks: bytearray = field(default_factory=bytearray)
    weights: list[float] = field(default_factory=lambda: [1.0] * _WEEK)
    noise: float = _UNKNOWN_NOISE
    growth: float = 1.0
    is_sparse: bool = False
    last_rise: int = -99
    last_drop: int = -99
    level_from: int = 0

    def settle(self, amount: float) -> None:
        """Add the final amount of the oldest day that is not settled yet; a credit counts as no cost."""
        amount = max(amount, 0.0)
        self._forget()
        n = len(self.amounts)
        band = self.bands[n]
        if self.marks[n] == Mark.SET_ASIDE and band is not None:
            amount = band.expected
        self.amounts.append(amount)
        if band is None:
            self.cleaned.append(amount)
            self.errors.append(nan)
        else:
            difference = amount - band.expected
            bound = (_OUTLIER * band.noise + 0.02) * band.scale
            self.cleaned.append(band.expected + min(max(difference, -bound), bound))
            self.errors.append(self._surprise(amount, band, self.weekdays[n]))
            is_large = difference > bound and difference > band.expected / 4
            if (
                is_large
                and self.marks[n] == Mark.NORMAL
                and self.has_precedent(n, difference, size=(_ALIKE, _SAME))
            ):
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
        self.noise = self._noise(max(0, len(self.errors) - _NOISE_DAYS), len(self.errors))
        self.bands.append(Band(expected, self.noise, max(expected, level / 4, _LEAST_LEVEL)))

    def learned(self, index: int) -> float | None:
        """Return the amount of a settled day; None if it was set aside."""
        return None if self.marks[index] == Mark.SET_ASIDE else self.amounts[index]

    def accept(self, day_before: float, is_at_level: Callable[[float, bool], bool]) -> None:
        """Take the anomalous days at an answered level for ordinary ones.

        day_before: what the newest day that is not settled cost.
        is_at_level: of an amount, and whether it was a rise.
        """
        settled = len(self.amounts)
        for i in range(max(0, settled - _NOISE_DAYS), len(self.marks)):
            if self.marks[i] != Mark.ANOMALOUS:
                continue
            if i < settled:
                amount, is_rise = self.amounts[i], not self.errors[i] < 0
            else:
                band = self.bands[i]
                amount, is_rise = day_before, band is None or day_before > band.expected
            if not is_at_level(amount, is_rise):
                continue
            self.marks[i] = Mark.NORMAL
            if i < settled and self.errors[i] > self.peaks[i // _WEEK]:
                self.peaks[i // _WEEK] = self.errors[i]
            if i < settled:
                self._remember_run(i)

    def adopt(self, day_before: float) -> None:
        """Take the level of the newest anomalous days for the usual one."""
        first, settled = len(self.marks), len(self.amounts)
        for i in range(first - 1, max(-1, first - 1 - _FORTNIGHT), -1):
            if self.marks[i] == Mark.ANOMALOUS:
                first = i
            elif first - i > SETTLE_DAYS + 1:
                break
        if first == len(self.marks) or not settled:
            return
        self.level_from = first
        weight = self.weights[self.weekdays[-1]]
        if first < settled:
            self.levels[-1] = self._level(settled)
        elif weight > _LEAST_WEIGHT:
            self.levels[-1] = day_before / weight

    def _forget(self) -> None:
        """Forget whole weeks, so that the weeks of the peaks stay the same."""
        if len(self.amounts) < (_KEPT_WEEKS + 1) * _WEEK:
            return
        self.first += timedelta(days=_WEEK)
        self.last_rise -= _WEEK
        self.last_drop -= _WEEK
        self.level_from -= _WEEK
        del self.peaks[:1], self.runs[:1]
        del self.growths[:-GROWTHS_KEPT]
        for values in (self.amounts, self.cleaned, self.errors, self.levels, self.week_means):
            del values[:_WEEK]
        for days in (self.weekdays, self.month_days):
            del days[:_WEEK]
        del self.bands[:_WEEK], self.marks[:_WEEK]

    def excess(self, index: int, sign: int = 1) -> float:
        """Return how far one settled day stands out from the days on both sides of it.

        A fall also from the level of four weeks before it: the end of a rise is no outage.
        """
        around = (
            slice(max(0, index - 6), max(0, index - 2)),
            slice(index + 3, min(index + 6, len(self.amounts))),
        )
        before, after = (self._by_share(self.amounts[days], self.weekdays[days]) for days in around)
        sides = [before + after]
        if sign < 0:
            sides = [before, [self.levels[max(0, index - _GROWTH_DAYS)]]]
        amount, weight = self.amounts[index], self.weights[self.weekdays[index]]
        return min((sign * (amount - median(side) * weight) for side in sides if side), default=0.0)

    def run(self, index: int, newest_first: Sequence[float]) -> float:
        """Return the least relative error of a day and the two before it; 0 if one of them was no rise.

        newest_first: what the day and those before it cost, as far as they are not settled.
        """
        errors = []
        for back in range(RUN_DAYS):
            band = self.bands[index - back] if index >= back else None
            if band is None:
                return 0.0
            amount = self.amount_before(index, newest_first, back)
            errors.append((amount - band.expected) / band.scale)
        return max(min(errors), 0.0)

    def days_on_end(self, index: int, rise: float, newest_first: Sequence[float]) -> int:
        """Return on how many days up to one the cost rose by about as much. newest_first: see ``run``."""
        count = 1
        for back in range(1, _JITTER_DAYS + 1):
            band = self.bands[index - back] if index >= back else None
            if band is None:
                break
            amount = self.amount_before(index, newest_first, back)
            if not _ALIKE * rise <= amount - band.expected < LIKE * rise:
                break
            count += 1
        return count

    def error_before(self, index: int, newest_first: Sequence[float]) -> float:
        """Return the relative error of the day before one, 0 without a band. newest_first: see ``run``."""
        band = self.bands[index - 1]
        if band is None:
            return 0.0
        return (self.amount_before(index, newest_first) - band.expected) / band.scale

    def amount_before(self, index: int, newest_first: Sequence[float], days: int = 1) -> float:
        """Return what a day cost that lies some days before one. newest_first: see ``run``."""
        i = index - days
        return self.amounts[i] if i < len(self.amounts) else newest_first[days]

    def step(self, index: int) -> float:
        """Return how far three days from a settled one on were above what the week before leads to expect."""
        days, first = range(index, index + RUN_DAYS), max(0, index - _WEEK)
        before = self._by_share(self.amounts[first:index], self.weekdays[first:index])
        if days.stop > len(self.amounts) or len(before) < RUN_DAYS:
            return 0.0
        level = median(before)
        return median([self.amounts[i] - level * self.weights[self.weekdays[i]] for i in days])

    def has_precedent(
        self,
        index: int,
        difference: float,
        sign: int = 1,
        size: tuple[float, float] = (_ALIKE, LIKE),
        *,
        lasting: bool = False,
        days: int = 1,
    ) -> bool:
        """Whether the same day of an earlier month, or every other week, stood out by as much.

        size: the limits of the earlier one, as parts of the difference. lasting: and stayed so for some days.
        days: how many days on end stand out so far; as many must have done so then, each by itself.
        """
        part, most = size

        def is_like(excess: float, least: float = part) -> bool:
            return least * difference < excess < most * difference

        month_day = self.month_days[index]
        for shortest, longest in _RECURRENCES:
            alike = 0
            for i in range(max(0, index - longest), min(index - shortest, len(self.amounts))):
                apart = abs(self.month_days[i] - month_day)
                if _JITTER_DAYS < apart < _MONTH_DAYS - _JITTER_DAYS:
                    continue
                # On the very day, or at the end of both months, the size says less.
                is_day = apart == 0 or min(month_day, self.month_days[i]) >= _MONTH_END
                least = part * _SAME_DAY if is_day and sign > 0 else part
                alike += is_like(self.step(i) if lasting else self.excess(i, sign), least)
                if alike == days:
                    return True
        first, second = index - 2 * _FORTNIGHT, index - _FORTNIGHT
        if days > 1 or first < SETTLE_DAYS or len(self.amounts) <= second + SETTLE_DAYS:
            return False
        return is_like(self.excess(first, sign)) and is_like(self.excess(second, sign))

    def earlier_alarms(self, before: int, amount: float) -> int:
        """Count the separate anomalies of the last half year before a day that were about as large."""
        count, last = 0, -99
        for i in range(min(before, len(self.amounts)) - 1, max(-1, before - 181), -1):
            if self.marks[i] == Mark.ANOMALOUS and self.amounts[i] * 1.15 >= amount:
                count += last < 0 or last - i > 2 * SETTLE_DAYS
                last = i
        return count

    def usual_top(self, index: int, before: int) -> float:
        """Return what the nine weeks before a day reached on its kind of weekday, but for the two highest."""
        is_weekend, told = self.weekdays[index] >= _SATURDAY, self._told_before(before)
        usual = sorted(
            self.amounts[i]
            for i in range(max(0, before - _NINE_WEEKS), before)
            if self.marks[i] in {Mark.NORMAL, Mark.RECURRING}
            and (self.weekdays[i] >= _SATURDAY) == is_weekend
            and i not in told
        )
        if not usual:
            return 0.0
        return usual[-3] if len(usual) > _WEEK else usual[-1]

    def is_return(self, before: int, amount: float) -> bool:
        """Whether a level that had fallen (a holiday, a free tier) only comes back.

        Not to what was told and has been over for a week.
        """
        told = self._told_before(before)
        days = [i for i in range(max(0, before - _NINE_WEEKS), before) if i not in told]
        if before <= _WEEK or not days:
            return False
        levels = [self.levels[i] for i in days]
        fell = self.levels[-1] < _TROUGH * median(levels)
        if not fell and (before >= 5 * _WEEK or self.levels[-1] >= _TROUGH * max(levels)):
            return False
        usual = sorted(self.amounts[i] for i in days if self.marks[i] == Mark.NORMAL)
        return amount < _RETURN * usual[-3] if usual[2:] else False

    def _told_before(self, before: int) -> set[int]:
        """Return the days of rises that were told and have been over for a week."""
        told: set[int] = set()
        i = max(0, before - _NINE_WEEKS - _LONGEST_RISE)
        while i < before:
            # By the level, which is remembered for so long; bands are not.
            expected = self.levels[max(0, i - SETTLE_DAYS)] * self.weights[self.weekdays[i]]
            if self.marks[i] != Mark.ANOMALOUS or self.amounts[i] <= expected:
                i += 1
                continue
            least, last, day = (expected + self.amounts[i]) / 2, i, i
            while day < before and day - last <= _WEEK:
                if self.amounts[day] > least:
                    last = day
                day += 1
            if day - last > _WEEK and last - i < _LONGEST_RISE:
                told.update(range(i, last + 1))
            i = last + 1
        return told

    def _surprise(self, amount: float, band: Band, weekday: int) -> float:
        """Return the relative error of a day; after an outage only what is above the level before it."""
        error = (amount - band.expected) / band.scale
        if error <= band.noise or len(self.amounts) - self.last_drop > _GROWTH_DAYS:
            return error
        level = max(self.levels[-_GROWTH_DAYS:]) * self.weights[weekday]
        return min(error, max(0.0, (amount - level) / max(band.scale, level)))

    def _remember_peak(self, n: int) -> None:
        if len(self.peaks) <= n // _WEEK:
            self.peaks.append(0.0)
            self.runs.append(0.0)
        error = self.errors[n]
        if isnan(error):
            return
        self._remember_run(n)
        # While a level goes up, all its days are above what was expected: only the first of them surprise.
        goes_on = n > 1 and min(self.errors[n - 2 : n]) > error / 2
        if self.marks[n] == Mark.NORMAL and not goes_on:
            self.peaks[n // _WEEK] = max(self.peaks[n // _WEEK], error)
        # A burst that lasted one day belongs to the nature of the service; a longer one does not.
        if n <= _WEEK + 1 or self.marks[n - 1] != Mark.ANOMALOUS:
            return
        burst = self.errors[n - 1]
        if Mark.ANOMALOUS in (self.marks[n - 2], self.marks[n]):
            return
        if burst > 0 and error < 0.3 * burst:
            self.peaks[(n - 1) // _WEEK] = max(self.peaks[(n - 1) // _WEEK], burst)

    def _remember_run(self, n: int) -> None:
        days = slice(max(0, n - RUN_DAYS + 1), n + 1)
        if Mark.ANOMALOUS not in self.marks[days] and Mark.SHARED not in self.marks[days]:
            self.runs[n // _WEEK] = max(self.runs[n // _WEEK], min(self.errors[days]))

    def _learn_week(self, n: int) -> None:
        """Learn the share of the newest weekday, the level of the last week, and whether use is sparse."""
        if n >= _WEEK:
            self.week_means.append(sum(self.cleaned[-_WEEK:]) / _WEEK)
            if self.week_means[-1] > 0:
                newest = range(n - 1, max(_WEEK - 2, n - _PROFILE_WEEKS * _WEEK - 1), -_WEEK)
                means = [(self.cleaned[i], self.week_means[i - _WEEK + 1]) for i in newest]
                shares = [amount / mean for amount, mean in means if mean > 0]
                self.weights[self.weekdays[n - 1]] = median(shares) if len(shares) > 1 else 1.0
        self.levels.append(self._level(n))
        if n >= 2 * _WEEK:
            active = [amount for amount in self.amounts[-_SPARSE_DAYS:] if amount > 0]
            least = _IDLE * median(active) if active else 0.0
            in_use = sum(1 for amount in active if amount > least)
            self.is_sparse = in_use < _SPARSE_SHARE * min(_SPARSE_DAYS, n)

    def _level(self, n: int) -> float:
        """Return the level of the week before a day, each day by the share of its weekday."""
        first = max(0, n - _WEEK, self.level_from)
        week = self._by_share(self.amounts[first:n], self.weekdays[first:n])
        if not week and self.level_from > n - _WEEK:
            return self.levels[-1]
        return median(week) if week else 0.0

    def noise_before(self, days: int) -> float:
        """Return the noise of the time before the newest settled days: what changes now is not in it."""
        last = len(self.errors) - days
        return self._noise(max(0, len(self.errors) - _NOISE_DAYS), last)

    def _noise(self, first: int, last: int) -> float:
        days, normal = zip(self.errors[first:last], self.marks[first:last], strict=True), int(Mark.NORMAL)
        # A list, and no generator: it is read every night of every service.
        errors = sorted([abs(error) for error, mark in days if mark == normal and not isnan(error)])
        if len(errors) < _LEAST_ERRORS:
            return _UNKNOWN_NOISE
        return max(_ROBUST * errors[len(errors) // 2], _LEAST_NOISE)

    def newest_level(self, newest_first: Sequence[float]) -> float:
        """Return the level of the week that ends with the newest day, as it was read.

        newest_first: what the days cost that are not settled, and the one before them.
        """
        first, settled = len(self.bands) - _WEEK, len(self.amounts)
        amounts = [*self.amounts[first:], *reversed(newest_first[: len(self.bands) - settled])]
        return median(self._by_share(amounts, self.weekdays[first:]) or [0.0])

    def _by_share(self, amounts: Sequence[float], weekdays: Sequence[int]) -> list[float]:
        """Return each amount by the share of its weekday, without those that say nothing about the level."""
        weights = [self.weights[weekday] for weekday in weekdays]
        pairs = zip(amounts, weights, strict=True)
        return [amount / weight for amount, weight in pairs if weight > _LEAST_WEIGHT]

    def _learn_growth(self, n: int) -> None:
        reference = max(n - _GROWTH_DAYS - 1, self.last_rise + _CALM_DAYS)
        self.growth = 1.0
        if n >= _GROWTH_DAYS + 8 and reference < n - _LEAST_GROWTH_DAYS:
            if self.levels[reference] > _LEAST_LEVEL:
                self.growth = self.levels[-1] / self.levels[reference]
            self.growths.append(self.growth)
