"""What people answered, as the adaptive detector uses it: which days raise nothing, and what they teach.

An answer holds from the day on which it was given, as of the morning after: earlier days were judged without
it, and stay as they were.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum

from costbatch.domain.adaptive_past import SETTLE_DAYS, Mark
from costbatch.domain.answers import Answer, AnswerKind
from costbatch.domain.detection import Direction, Rule
from costbatch.domain.expectation import History
from costbatch.domain.periods import utc_day


class Lesson(Enum):
    """What the detector learns from the days of an answer."""

    ORDINARY = "ordinary"  # dismissed: days like any other
    LEVEL = "level"  # expected for good: the new level
    NOTHING = "nothing"  # expected up to a day, or planned: they will pass
    UNKNOWN = "unknown"  # what they cost could not be read: nothing, and the account's total neither


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Days of a service that raise nothing. service: None: of every service.

    since: the day of the answer. withdrawn: the day from which it no longer counts.
    first, last: the days that it allows. direction: None: both, at any level.
    limit: the furthest daily amount that it allows in the direction.
    """

    lesson: Lesson
    service: str | None
    since: date
    withdrawn: date
    first: date
    last: date
    direction: Direction | None = None
    limit: float = 0.0

    def counts_on(self, newest: date) -> bool:
        """Whether the morning after a day knows of it."""
        return self.since <= newest < self.withdrawn

    def is_at_level(self, amount: float, is_rise: bool) -> bool:  # noqa: FBT001 - passed on as a function
        """Whether it is about an amount that is higher than expected, or lower."""
        if self.direction is None:
            return True
        if self.direction is Direction.SPIKE:
            return is_rise and amount <= self.limit
        return not is_rise and amount >= self.limit


def allowances(answers: Iterable[Answer], currency: str, rule: Rule) -> list[Allowance]:
    """Return what answers allow in a currency. answers: all that were ever given for an account.

    An acknowledgement allows nothing, and an answer to an anomaly of the account's total no service.
    """
    found = []
    for each in answers:
        since = utc_day(each.created_at)
        withdrawn = utc_day(each.withdrawn_at) if each.withdrawn_at else date.max
        last = each.end_date or date.max
        if each.kind is AnswerKind.PLANNED and each.start_date is not None:
            found.append(
                Allowance(
                    lesson=Lesson.NOTHING,
                    service=each.service,
                    since=since,
                    withdrawn=withdrawn,
                    first=max(since, each.start_date),
                    last=last,
                )
            )
        lesson = _lesson(each)
        if lesson is None or each.service is None or each.level is None or each.currency != currency:
            continue
        further = max(rule.floor.of(currency), rule.level_margin * abs(each.level))
        is_spike = each.direction is Direction.SPIKE
        found.append(
            Allowance(
                lesson=lesson,
                service=each.service,
                since=since,
                withdrawn=withdrawn,
                first=since,
                last=last,
                direction=each.direction,
                limit=float(each.level + further if is_spike else each.level - further),
            )
        )
    return found


def unknown_days(days: Collection[date]) -> list[Allowance]:
    """Return what lets the detector leave days out of which only a part of the cost, or none, was read."""
    return [_unknown(day) for day in sorted(days)]


def days_of_no_drop(days: Collection[date]) -> list[Allowance]:
    """Return the same of days on which what costs little says nothing, and what costs much is judged."""
    return [replace(_unknown(day), direction=Direction.DROP) for day in sorted(days)]


def _unknown(day: date) -> Allowance:
    return Allowance(
        lesson=Lesson.UNKNOWN,
        service=None,
        since=day,
        withdrawn=day + timedelta(days=SETTLE_DAYS + 1),
        first=day,
        last=day,
    )


def excused_ages(
    history: History, newest: date, amounts: Sequence[float], answered: Sequence[Allowance]
) -> list[int]:
    """Return the ages of the days that answers allow, and mark what is learned of them.

    amounts: of the newest day, of the day before it, and so on.
    """
    excused = []
    for age in range(min(len(amounts), len(history.bands))):
        band, index, day = history.bands[-1 - age], len(history.bands) - 1 - age, newest - timedelta(days=age)
        is_rise = band is None or amounts[age] > band.expected
        mine = [each for each in answered if each.is_at_level(amounts[age], is_rise)]
        is_excused = any(each.first <= day <= each.last for each in mine)
        if history.marks[index] == Mark.ANOMALOUS:
            lessons = {each.lesson for each in mine}
            if Lesson.ORDINARY in lessons:
                history.marks[index] = Mark.NORMAL
            elif is_excused and Lesson.LEVEL not in lessons:
                history.marks[index] = Mark.SET_ASIDE
        if is_excused:
            excused.append(age)
    return excused


def _lesson(answer: Answer) -> Lesson | None:
    if answer.kind is AnswerKind.DISMISSED:
        return Lesson.ORDINARY
    if answer.kind is AnswerKind.EXPECTED:
        return Lesson.LEVEL if answer.end_date is None else Lesson.NOTHING
    return None


def open_day(history: History, newest: date, amounts: Sequence[float], answered: Sequence[Allowance]) -> None:
    """Learn the day that became final and the answers that are new, then expect the newest day."""
    if len(history.bands) > len(history.amounts) + SETTLE_DAYS - 1:
        history.settle(amounts[-1])
    for each in answered:
        if each.since == newest and each.lesson is Lesson.LEVEL:
            # Its days stay anomalous: one rise does not show how far the service usually varies.
            history.adopt(amounts[1])
        elif each.since == newest and each.lesson is Lesson.ORDINARY:
            history.accept(amounts[1], each.is_at_level)
    history.open_day(newest)
    # Of the days that are not settled, those of a plan are set aside, and no others.
    for age in range(min(SETTLE_DAYS, len(history.bands))) if answered else ():
        day, index = newest - timedelta(days=age), len(history.bands) - 1 - age
        if any(each.direction is None and each.first <= day <= each.last for each in answered):
            history.marks[index] = Mark.SET_ASIDE
        elif history.marks[index] == Mark.SET_ASIDE:
            history.marks[index] = Mark.NORMAL
