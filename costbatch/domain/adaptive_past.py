"""What the past days of one service say of a day: what it cost before, and what explains that it stands out.

Amounts are floats here: these are statistics, and no sum that is billed.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from typing import NamedTuple

# Days after which a bill is complete: on the morning after day t, the days to t - 2 are final.
SETTLE_DAYS = 2
# A rise of this many days in a row is compared with rises that lasted as long.
RUN_DAYS = 3
WEEK = 7
# Growth is measured against the level of four weeks ago.
GROWTH_DAYS = 28
# Noise before anything is known of it.
UNKNOWN_NOISE = 0.3
# A level below a cent does not count as a level.
LEAST_LEVEL = 0.01

_SATURDAY = 5
# A weekday with less than this share of the mean says nothing about the level.
LEAST_WEIGHT = 0.15
# Recurring charges: how far back they are looked for (a month, a quarter, a year), and how far off their day.
_RECURRENCES = ((25, 38), (86, 98), (360, 370))
# Of falls: what is switched off every month or year. An outage a quarter ago explains no other.
_RECURRENCES_OF_FALLS = (_RECURRENCES[0], _RECURRENCES[2])
_JITTER_DAYS, _MONTH_DAYS, _MONTH_END = 3, 30, 28
# What is about as large has this part of the size; of it, the part that is enough on a charge's very day.
ALIKE = 2 / 3
_SAME_DAY = 0.67
FORTNIGHT = 14
# A rise that stayed for seven weeks is a new level.
_LONGEST_RISE = 49
# A charge many times as large does not explain a small one.
LIKE = 4.0
# A level below this part of the usual one of nine weeks is a trough; coming back from it is no rise.
_TROUGH, _RETURN, _NINE_WEEKS = 0.8, 1.5, 63
# Below this part of it, the level is low.
_LOW = 0.95
# Levels of as many days are compared to find a step.
_STEP_DAYS = 4


class Mark(IntEnum):
    """What a day is to the days after it."""

    NORMAL = 0
    ANOMALOUS = 1
    RECURRING = 2
    SET_ASIDE = 3  # it was planned, or is expected to pass: nothing is learned of it
    SHARED = 4  # several services of the account moved as far: it does not show how far this one varies


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
class Past:
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
    weights: list[float] = field(default_factory=lambda: [1.0] * WEEK)
    noise: float = UNKNOWN_NOISE
    growth: float = 1.0
    is_sparse: bool = False
    last_rise: int = -99
    last_drop: int = -99
    level_from: int = 0

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
            sides = [before, [self.levels[max(0, index - GROWTH_DAYS)]]]
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
            if not ALIKE * rise <= amount - band.expected < LIKE * rise:
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
        days, first = range(index, index + RUN_DAYS), max(0, index - WEEK)
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
        size: tuple[float, float] = (ALIKE, LIKE),
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
        for shortest, longest in _RECURRENCES if sign > 0 else _RECURRENCES_OF_FALLS:
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
        first, second = index - 2 * FORTNIGHT, index - FORTNIGHT
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
        return usual[-3] if len(usual) > WEEK else usual[-1]

    def largest_step(self, days: int, newest_first: Sequence[float]) -> float:
        """Return the largest rise from a few days to the next of the newest. newest_first: see ``run``."""
        levels = self._newest(days, newest_first)
        return max(
            (
                median(levels[i : i + _STEP_DAYS]) - median(levels[max(0, i - _STEP_DAYS) : i])
                for i in range(_STEP_DAYS - 1, len(levels) - 2)
            ),
            default=0.0,
        )

    @property
    def is_low(self) -> bool:
        """Whether the level is below the usual one of nine weeks."""
        return self.levels[-1] < _LOW * median(self.levels[-_NINE_WEEKS:])

    def is_return(self, index: int, before: int, amount: float) -> bool:
        """Whether a level that had fallen (an outage, a holiday, a free tier) only comes back.

        Not to a level that was reported and has been over for a week.
        """
        if 1 < self.last_drop < before < self.last_drop + FORTNIGHT:
            level = self.levels[self.last_drop - 2] * self.weights[self.weekdays[index]]
            if amount < _RETURN * level:
                return True
        told = self._told_before(before)
        days = [i for i in range(max(0, before - _NINE_WEEKS), before) if i not in told]
        if before <= WEEK or not days:
            return False
        levels = [self.levels[i] for i in days]
        # As it was then: the days that are back raise the level while the first of them are still judged.
        level = min(self.levels[before - 1 : before + 1])
        fell = level < _TROUGH * median(levels)
        if not fell and (before >= 5 * WEEK or level >= _TROUGH * max(levels)):
            return False
        usual = sorted(self.amounts[i] for i in days if self.marks[i] == Mark.NORMAL)
        return amount < _RETURN * usual[-3] if usual[2:] else False

    def _told_before(self, before: int) -> set[int]:
        """Return the days of rises that were reported and have been over for a week."""
        told: set[int] = set()
        i = max(0, before - _NINE_WEEKS - _LONGEST_RISE)
        while i < before:
            # By the level, which is remembered for so long; bands are not.
            expected = self.levels[max(0, i - SETTLE_DAYS)] * self.weights[self.weekdays[i]]
            if self.marks[i] != Mark.ANOMALOUS or self.amounts[i] <= expected:
                i += 1
                continue
            least, last, day = (expected + self.amounts[i]) / 2, i, i
            while day < before and day - last <= WEEK:
                if self.amounts[day] > least:
                    last = day
                day += 1
            if day - last > WEEK and last - i < _LONGEST_RISE:
                told.update(range(i, last + 1))
            i = last + 1
        return told

    def newest_level(self, newest_first: Sequence[float]) -> float:
        """Return the level of the week that ends with the newest day, as it was read.

        newest_first: what the days cost that are not settled, and the one before them.
        """
        return median(self._newest(WEEK, newest_first) or [0.0])

    def _newest(self, days: int, newest_first: Sequence[float]) -> list[float]:
        """Return the newest days as they were read, each by the share of its weekday."""
        first, settled = len(self.bands) - days, len(self.amounts)
        amounts = [*self.amounts[first:], *reversed(newest_first[: len(self.bands) - settled])]
        return self._by_share(amounts, self.weekdays[first:])

    def _by_share(self, amounts: Sequence[float], weekdays: Sequence[int]) -> list[float]:
        """Return each amount by the share of its weekday, without those that say nothing about the level."""
        weights = [self.weights[weekday] for weekday in weekdays]
        pairs = zip(amounts, weights, strict=True)
        return [amount / weight for amount, weight in pairs if weight > LEAST_WEIGHT]
