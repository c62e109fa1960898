"""From the adaptive detector's judgements to the days of anomalies, in exact money."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal

from costbatch.domain.adaptive_rule import Judgement
from costbatch.domain.detection import SCORE, ZERO, Direction, JudgedDay, Reason, Rule

# What is stored: finer than a cent, because a service can cost less.
_PRECISION = Decimal("0.0001")


def judged_day(judgement: Judgement, actual: Decimal) -> JudgedDay:
    """Return a judgement in the words that all rules share. actual: exact, as it is stored."""
    expected, lower, upper = map(_money, (judgement.expected, judgement.lower, judgement.upper))
    cost = actual.quantize(_PRECISION)
    reason = judgement.reason
    if reason is not None and (cost > expected) is (reason is Reason.DROP):
        reason = None  # a growing service can have a day below what is expected of it
    # Rounded down: what is just inside stays inside.
    score = Decimal(int(judgement.score * 10_000)) * SCORE
    return JudgedDay(judgement.usage_date, expected, cost, lower, upper, score, reason)


def restated_day(judged: JudgedDay, actual: Decimal) -> JudgedDay:
    """Return what was judged of a day with what it costs now."""
    return replace(judged, actual=actual.quantize(_PRECISION))


def cleared_day(judged: JudgedDay) -> JudgedDay:
    """Return a day of a service that costs nothing on it any more, nor on any day before."""
    return JudgedDay(judged.usage_date, ZERO, ZERO, ZERO, judged.upper, ZERO)


def anomalous_days(judged: Iterable[JudgedDay], *, today: date, rule: Rule) -> list[JudgedDay]:
    """Return the days of anomalies: those with a reason, and those after one that are still outside.

    An anomaly continues while the cost lies outside its band in the same direction, without a longer gap than
    the merge window. It ends when the cost is back, or when the detector has learned the new level. A drop
    continues only on complete days.
    """
    found: list[JudgedDay] = []
    last: dict[Direction, JudgedDay] = {}
    for day in sorted(judged, key=lambda day: day.usage_date):
        before, reason = last.get(day.direction), day.reason
        if reason is None and before is not None and day.is_outside:
            is_near = day.usage_date - before.usage_date <= rule.merge_window
            is_complete = day.usage_date <= rule.last_settled_day(today)
            if is_near and (is_complete or day.direction is Direction.SPIKE):
                reason = before.reason
        if reason is not None:
            last[day.direction] = replace(day, reason=reason)
            found.append(last[day.direction])
    return found


def is_restated(learned: float, actual: Decimal, floor: Decimal) -> bool:
    """Whether a final amount has changed by so much that everything learned since may be different."""
    return abs(actual - Decimal(learned)) >= max(floor, abs(Decimal(learned)) / 10)


def _money(amount: float) -> Decimal:
    return Decimal(amount).quantize(_PRECISION)
