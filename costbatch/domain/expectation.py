"""What a service should cost on a day, and how sure that is, learned from its own settled days alone.

Nothing looks ahead: a band is made once, on the first morning of its day, from the days that had settled by
then, and never changes.
"""

from collections.abc import Callable
from datetime import date, timedelta
from math import isnan, nan

from costbatch.domain.adaptive_past import (
    ALIKE,
    FORTNIGHT,
    GROWTH_DAYS,
    LEAST_LEVEL,
    LEAST_WEIGHT,
    RUN_DAYS,
    SETTLE_DAYS,
    UNKNOWN_NOISE,
    WEEK,
    Band,
    Mark,
    Past,
    median,
)

# Up to this many weeks tell a weekday's share of its week, and the same weeks the noise.
_PROFILE_WEEKS = 6
_NOISE_DAYS = 60
_LEAST_ERRORS = 7
# The least noise that is believed.
_LEAST_NOISE = 0.015
# Beyond this many times the noise a day counts as an outlier when weekdays are learned.
_OUTLIER = 6.0
# A robust standard deviation is this many median deviations.
_ROBUST = 1.4826
# A day with less than this part of the usual amount is a day without use.
_IDLE = 0.05
_SPARSE_DAYS, _SPARSE_SHARE = 42, 0.55
# What is up to this many times as large is the same charge again.
_SAME = 1.5
# Growth is never measured across an alarm, and over that many days at least.
LEAST_GROWTH_DAYS, CALM_DAYS = 9, 9
# Whole weeks that are remembered: a year for recurring charges, and the days around them.
_KEPT_WEEKS = 55
# The growths of half a year tell how far a service grows by itself.
GROWTHS_KEPT = 190


class History(Past):
    """A service's days, from which it learns what to expect of the next."""

    __slots__ = ()

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
                and self.has_precedent(n, difference, size=(ALIKE, _SAME))
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
        if len(self.amounts) < WEEK:
            self.bands.append(None)
            return
        level = self.levels[-1]
        expected = level * self.weights[weekday]
        self.noise = self._noise(max(0, len(self.errors) - _NOISE_DAYS), len(self.errors))
        self.bands.append(Band(expected, self.noise, max(expected, level / 4, LEAST_LEVEL)))

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
            if i < settled and self.errors[i] > self.peaks[i // WEEK]:
                self.peaks[i // WEEK] = self.errors[i]
            if i < settled:
                self._remember_run(i)

    def adopt(self, day_before: float) -> None:
        """Take the level of the newest anomalous days for the usual one."""
        first, settled = len(self.marks), len(self.amounts)
        for i in range(first - 1, max(-1, first - 1 - FORTNIGHT), -1):
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
        elif weight > LEAST_WEIGHT:
            self.levels[-1] = day_before / weight

    def _forget(self) -> None:
        """Forget whole weeks, so that the weeks of the peaks stay the same."""
        if len(self.amounts) < (_KEPT_WEEKS + 1) * WEEK:
            return
        self.first += timedelta(days=WEEK)
        self.last_rise -= WEEK
        self.last_drop -= WEEK
        self.level_from -= WEEK
        del self.peaks[:1], self.runs[:1]
        del self.growths[:-GROWTHS_KEPT]
        for values in (self.amounts, self.cleaned, self.errors, self.levels, self.week_means):
            del values[:WEEK]
        for days in (self.weekdays, self.month_days):
            del days[:WEEK]
        del self.bands[:WEEK], self.marks[:WEEK]

    def _surprise(self, amount: float, band: Band, weekday: int) -> float:
        """Return the relative error of a day; after an outage only what is above the level before it."""
        error = (amount - band.expected) / band.scale
        if error <= band.noise or len(self.amounts) - self.last_drop > GROWTH_DAYS:
            return error
        level = max(self.levels[-GROWTH_DAYS:]) * self.weights[weekday]
        return min(error, max(0.0, (amount - level) / max(band.scale, level)))

    def _remember_peak(self, n: int) -> None:
        if len(self.peaks) <= n // WEEK:
            self.peaks.append(0.0)
            self.runs.append(0.0)
        error = self.errors[n]
        if isnan(error):
            return
        self._remember_run(n)
        # While a level goes up, all its days are above what was expected: only the first of them surprise.
        goes_on = n > 1 and min(self.errors[n - 2 : n]) > error / 2
        if self.marks[n] == Mark.NORMAL and not goes_on:
            self.peaks[n // WEEK] = max(self.peaks[n // WEEK], error)
        # A burst that lasted one day belongs to the nature of the service; a longer one does not.
        if n <= WEEK + 1 or self.marks[n - 1] != Mark.ANOMALOUS:
            return
        burst = self.errors[n - 1]
        if Mark.ANOMALOUS in (self.marks[n - 2], self.marks[n]):
            return
        if burst > 0 and error < 0.3 * burst:
            self.peaks[(n - 1) // WEEK] = max(self.peaks[(n - 1) // WEEK], burst)

    def _remember_run(self, n: int) -> None:
        days = slice(max(0, n - RUN_DAYS + 1), n + 1)
        if Mark.ANOMALOUS not in self.marks[days] and Mark.SHARED not in self.marks[days]:
            self.runs[n // WEEK] = max(self.runs[n // WEEK], min(self.errors[days]))

    def _learn_week(self, n: int) -> None:
        """Learn the share of the newest weekday, the level of the last week, and whether use is sparse."""
        if n >= WEEK:
            self.week_means.append(sum(self.cleaned[-WEEK:]) / WEEK)
            if self.week_means[-1] > 0:
                newest = range(n - 1, max(WEEK - 2, n - _PROFILE_WEEKS * WEEK - 1), -WEEK)
                means = [(self.cleaned[i], self.week_means[i - WEEK + 1]) for i in newest]
                shares = [amount / mean for amount, mean in means if mean > 0]
                self.weights[self.weekdays[n - 1]] = median(shares) if len(shares) > 1 else 1.0
        self.levels.append(self._level(n))
        if n >= 2 * WEEK:
            active = [amount for amount in self.amounts[-_SPARSE_DAYS:] if amount > 0]
            least = _IDLE * median(active) if active else 0.0
            in_use = sum(1 for amount in active if amount > least)
            self.is_sparse = in_use < _SPARSE_SHARE * min(_SPARSE_DAYS, n)

    def _level(self, n: int) -> float:
        """Return the level of the week before a day, each day by the share of its weekday."""
        first = max(0, n - WEEK, self.level_from)
        week = self._by_share(self.amounts[first:n], self.weekdays[first:n])
        if not week and self.level_from > n - WEEK:
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
            return UNKNOWN_NOISE
        return max(_ROBUST * errors[len(errors) // 2], _LEAST_NOISE)

    def _learn_growth(self, n: int) -> None:
        reference = max(n - GROWTH_DAYS - 1, self.last_rise + CALM_DAYS)
        self.growth = 1.0
        if n >= GROWTH_DAYS + 8 and reference < n - LEAST_GROWTH_DAYS:
            if self.levels[reference] > LEAST_LEVEL:
                self.growth = self.levels[-1] / self.levels[reference]
            self.growths.append(self.growth)
