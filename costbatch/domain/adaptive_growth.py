"""A leak: a service whose cost grows over weeks, by more than a step and more than it grew before."""

from collections.abc import Sequence
from typing import NamedTuple

from costbatch.domain.adaptive_past import GROWTH_DAYS, SETTLE_DAYS, WEEK
from costbatch.domain.adaptive_rule import AdaptiveRule
from costbatch.domain.expectation import CALM_DAYS, LEAST_GROWTH_DAYS, History

# A series needs this many days before its growth is judged: its growth over four weeks is known then.
_LEAST_HISTORY = GROWTH_DAYS + WEEK + 1
# What cost less than this part of its level so many days ago has just begun.
_BEGUN, _BEGUN_DAYS = 0.05, 50
# A slow leak may gain less than the floor in four weeks: what it gained in as many days counts.
_GAINED_DAYS = 2 * GROWTH_DAYS
# The noise of the growth between two medians of a week that wander, as a part of the noise of a day.
_GROWTH_NOISE, _GROWING_DAYS = 0.8, 21
# Of what a leak gained in four weeks: the least part in the newest, the one before, and both together. What
# has ended is no news.
_NEWEST_PART, _PART_BEFORE, _BOTH_PARTS = 0.22, 0.08, 0.5
# A step is no leak: it gains more than this part between a few days and the next.
_STEP_PART, _STEP_WEEKS = 0.65, 3
# Growth beyond what the series did before in most of half a year, as a multiple of it.
_NEWS, _OWN_DAYS, _NEWEST_DAYS, _MOST = 1.5, 190, 12, 4
# Growth of which less than this part came within the newest two weeks is slow: it must exceed that by more.
_SLOW_PART, _SLOW_NEWS = 0.8, 5.0


class Growth(NamedTuple):
    """The growth of a leak within four weeks: a ratio, and what an alarm takes; and what it cost before."""

    ratio: float
    least: float
    level_before: float


def find_leak(
    history: History, amounts: Sequence[float], rule: AdaptiveRule, evidence: float, floor: float
) -> Growth | None:
    """Return the growth of a service that leaks, by its own history: others may grow as well.

    amounts: of the newest day, of the day before it, and so on. evidence: times that of the rule.
    floor: the least gain of a day, in money.
    """
    levels, settled = history.levels, len(history.amounts)
    calm = history.last_rise + CALM_DAYS
    if settled < _LEAST_HISTORY or settled - calm < LEAST_GROWTH_DAYS:
        return None
    reference = levels[max(settled + SETTLE_DAYS - GROWTH_DAYS - 1, calm)]
    if reference <= 0 or levels[-1] < reference * (1 + rule.growth_ratio) / 2:
        return None
    # What grows strays from what is expected: the noise is that of the time before.
    noise = rule.noise_multiple * _GROWTH_NOISE * history.noise_before(_GROWING_DAYS)
    least = 1 + max(max(rule.growth_ratio - 1, noise) * evidence, rule.minimum_ratio)
    level = history.newest_level(amounts)
    growth = Growth(level / reference, least, reference)
    gained = level - reference
    before = min(levels[max(settled - _GAINED_DAYS - 1, calm, 0) :])
    if (
        growth.ratio < least
        or level - before < floor
        or growth.ratio <= _usual_growth(history, level, gained)
    ):
        return None
    has_begun = levels[max(0, settled - _BEGUN_DAYS)] < _BEGUN * level
    if has_begun or not _is_steady(history, amounts, level, gained):
        return None
    return growth


def _usual_growth(history: History, level: float, gained: float) -> float:
    """Return the growth up to which it may be how the service grows by itself."""
    usual = 1 + _NEWS * (_own_growth(history.growths[-_OWN_DAYS:-_NEWEST_DAYS]) - 1)
    if level - _level_before(history, 2) >= _SLOW_PART * gained:
        return usual
    # A slow leak may have begun long ago: what came before it tells how the service grows.
    before = history.growths[-_OWN_DAYS:-_GAINED_DAYS]
    return max(usual, 1 + _SLOW_NEWS * (_own_growth(before) - 1))


def _own_growth(growths: Sequence[float]) -> float:
    """Return the growth that three of four days stay below: the rest may be leaks or steps."""
    ordered = sorted(growths)
    return ordered[-1 - len(ordered) // _MOST] if ordered else 1.0


def _is_steady(history: History, amounts: Sequence[float], level: float, gained: float) -> bool:
    """Whether what was gained came week by week and day by day, and goes on."""
    last, earlier = _level_before(history, 1), _level_before(history, 2)
    return (
        level - last >= _NEWEST_PART * gained
        and last - earlier >= _PART_BEFORE * gained
        and level - earlier >= _BOTH_PARTS * gained
        and history.largest_step(_STEP_WEEKS * WEEK, amounts) <= _STEP_PART * gained
    )


def _level_before(history: History, weeks: int) -> float:
    """Return the level some weeks before the newest one, which reaches to the newest day.

    Whole weeks can only understate growth.
    """
    return history.levels[SETTLE_DAYS - weeks * WEEK - 1]
