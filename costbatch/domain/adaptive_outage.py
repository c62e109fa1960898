"""An outage: a service that costs nearly nothing for two days, and never cost so little before."""

from collections.abc import Sequence
from typing import NamedTuple

from costbatch.domain.adaptive_past import LIKE, SETTLE_DAYS, Mark
from costbatch.domain.adaptive_rule import AdaptiveRule, Excuse
from costbatch.domain.expectation import History

# Of what was expected, the part that both days stay below; and of the lowest before, the parts of each day.
OUTAGE, _BELOW_EVERYTHING, _NEXT_BELOW = 0.45, 0.6, 0.7
# If it began during the first day: of what was expected on it and on the next one, and of the lowest before.
_FIRST_DAY, _NEARLY_EMPTY, _BELOW_LOWEST = 0.75, 0.3, 0.9
# Even if a service varies much, an outage need not be deeper than this part of what was expected.
_DEEPEST = 0.9
# The days that are compared, how many of them must be ordinary, and those without another outage.
_COMPARED_DAYS, _LEAST_USUAL_DAYS, _CALM_DAYS = 35, 20, 10
# Free tiers start anew on the first days of a month.
_MONTH_START = 3


class Outage(NamedTuple):
    """How deep a fall is, as a part of what an alarm takes, and what else explains it."""

    strength: float
    excuse: Excuse | None


def find_outage(
    history: History, amounts: Sequence[float], rule: AdaptiveRule, evidence: float, floor: float
) -> Outage | None:
    """Find two days far below everything of the last five weeks, the first of them final.

    amounts: of the newest day, of the day before it, and so on. evidence: times that of the rule.
    floor: the least fall of a day, in money.
    """
    index, settled = len(history.bands) - 1 - SETTLE_DAYS, len(history.amounts)
    first, second = history.bands[index], history.bands[index + 1]
    if first is None or second is None or settled - history.last_drop <= _CALM_DAYS or amounts[2] < 0:
        return None
    fall, next_fall = first.expected - amounts[2], second.expected - amounts[1]
    ordinary = min(3 * evidence * first.noise, _DEEPEST) * first.scale
    least = max(floor, ordinary, rule.minimum_ratio * first.expected)
    is_low = amounts[2] < OUTAGE * first.expected and amounts[1] < OUTAGE * second.expected
    # It began during the first day: that one is complete and short, the next one nearly empty.
    began = amounts[2] < _FIRST_DAY * first.expected and amounts[1] < _NEARLY_EMPTY * second.expected
    if not (is_low or began):
        return None
    start = max(0, settled - _COMPARED_DAYS - 1)
    pairs = zip(history.amounts[start : settled - 1], history.marks[start : settled - 1], strict=True)
    usual = sorted(amount for amount, mark in pairs if mark == Mark.NORMAL)
    if fall < least or next_fall < floor or len(usual) <= _LEAST_USUAL_DAYS:
        return None
    lowest = usual[1]
    # A holiday before an outage is not its first day: wait until the next one is complete.
    began = began and amounts[2] < _BELOW_LOWEST * lowest
    # A free tier starts anew on the 1st: in the first months this looks like an outage.
    is_free_tier = history.month_days[index] <= _MONTH_START and index < 2 * _COMPARED_DAYS
    excuse = None
    if (not began and amounts[2] >= _BELOW_EVERYTHING * lowest) or amounts[1] >= _NEXT_BELOW * lowest:
        excuse = Excuse.USUAL_LEVEL
    elif is_free_tier or history.has_precedent(index, fall, -1, (0.6, LIKE)):
        excuse = Excuse.RECURRING
    return Outage(fall / least, excuse)
