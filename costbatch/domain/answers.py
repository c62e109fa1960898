"""What people answer to anomalies, and which anomalies an answer covers.

An answer belongs to a series (account, service, currency, direction) at a level, not to a run or to the id of
an anomaly. So it holds when a backfill or a restatement finds the same days again, even with another first
day.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from operator import itemgetter
from uuid import UUID

from costbatch.domain.anomalies import Anomaly, AnomalyChange, AnomalyState, ChangeKind
from costbatch.domain.detection import ZERO, Direction, Rule
from costbatch.domain.money import money
from costbatch.domain.periods import ONE_DAY


class AnswerKind(StrEnum):
    """What someone says of an anomaly; of several answers that cover one, the first kind counts."""

    DISMISSED = "dismissed"  # it is not an anomaly
    EXPECTED = "expected"  # it is right, and known
    PLANNED = "planned"  # it was announced before the fact
    ACKNOWLEDGED = "acknowledged"  # it is being worked on


class Standing(StrEnum):
    """How an anomaly stands with its answers."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SILENT = "silent"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. ``level``: the most extreme daily cost of the anomaly when it was answered.

    A planned change has no currency, direction and level: it covers every anomaly of the account, or of one
    of its services, from ``start_date`` to ``end_date``. An expected one holds up to ``end_date`` (None: for
    good), an acknowledged one for its anomaly; if that is gone, for the one in its place, which is known by
    the days from ``start_date`` to ``end_date``. anomaly_is_gone: it was restated or merged.
    withdrawn_at: when it ceased to count; None: it counts.
    """

    kind: AnswerKind
    account_id: int
    reason: str
    author: str
    created_at: datetime
    service: str | None = None
    currency: str | None = None
    direction: Direction | None = None
    level: Decimal | None = None
    start_date: date | None = None
    end_date: date | None = None
    anomaly_id: UUID | None = None
    anomaly_is_gone: bool = False
    withdrawn_at: datetime | None = None
    id: int | None = None

    @property
    def silences(self) -> bool:
        """Whether what it covers raises no event at all."""
        return self.kind is not AnswerKind.ACKNOWLEDGED

    def is_about(self, anomaly: Anomaly) -> bool:
        """Whether it was given for the anomaly's series."""
        return (self.account_id, self.service, self.currency, self.direction) == (
            anomaly.account_id,
            anomaly.service,
            anomaly.currency,
            anomaly.direction,
        )

    def covers(self, anomaly: Anomaly, rule: Rule) -> bool:
        """Whether it holds for every day of the anomaly, and the anomaly is not beyond its level."""
        if self.kind is AnswerKind.PLANNED:
            return self.plans_days_of(anomaly) and self.service in {None, anomaly.service}
        if not self.is_about(anomaly) or self.is_exceeded(anomaly, rule):
            return False
        if self.kind is AnswerKind.ACKNOWLEDGED and self.start_date and self.end_date:
            # What took its place when AWS restated its days, or when a night joined them to others.
            takes_its_place = (
                self.anomaly_is_gone
                and anomaly.start_date <= self.end_date + rule.merge_window
                and anomaly.last_date >= self.start_date - rule.merge_window
            )
            return takes_its_place or anomaly.id == self.anomaly_id
        return self.end_date is None or anomaly.last_date <= self.end_date

    def is_exceeded(self, anomaly: Anomaly, rule: Rule) -> bool:
        """Whether a day of the anomaly is beyond the level."""
        return self.level is not None and rule.is_beyond(
            self.level, anomaly.peak, anomaly.direction, anomaly.currency
        )

    def plans_some_of(self, anomaly: Anomaly) -> bool:
        """Whether it was planned for a day of the anomaly, or for a part of its cost on that day."""
        parts = () if anomaly.service else (part.service for part in anomaly.explanation)
        return (
            self.kind is AnswerKind.PLANNED
            and self.account_id == anomaly.account_id
            and self.service in {None, anomaly.service, *parts}
            and self.start_date is not None
            and self.end_date is not None
            and self.start_date <= anomaly.last_date
            and anomaly.start_date <= self.end_date
        )

    def plans_days_of(self, anomaly: Anomaly) -> bool:
        """Whether it was planned for every day of the anomaly."""
        return (
            self.account_id == anomaly.account_id
            and self.start_date is not None
            and self.end_date is not None
            and self.start_date <= anomaly.start_date
            and anomaly.last_date <= self.end_date
        )


def answer_to(anomaly: Anomaly, answers: Iterable[Answer], rule: Rule) -> Answer | None:
    """Return the answer that counts for an anomaly: of the first kind, then the newest; None if none does."""
    answers = list(answers)
    covering = [each for each in answers if each.covers(anomaly, rule)]
    plans = [
        each for each in answers if each.kind is AnswerKind.PLANNED and each.account_id == anomaly.account_id
    ]
    covering += _plans_of(anomaly, plans, {None, anomaly.service})
    covering += _planned_services(anomaly, plans, rule)
    kinds = list(AnswerKind)
    # The sort is stable: of one kind the newest comes first.
    covering.sort(key=lambda each: each.created_at, reverse=True)
    covering.sort(key=lambda each: kinds.index(each.kind))
    return covering[0] if covering else None


def _plans_of(anomaly: Anomaly, plans: Sequence[Answer], services: Collection[str | None]) -> list[Answer]:
    """Return the planned changes of these services that hold for every day of an anomaly.

    A change that takes longer is announced by another one, for the days after it: together they hold, too,
    and the one of the last day is returned.
    """
    mine = [each for each in plans if each.service in services]
    if whole := [each for each in mine if each.plans_days_of(anomaly)]:
        return whole
    found, day = list[Answer](), anomaly.start_date
    spans = [(each.start_date, each.end_date, each) for each in mine if each.start_date and each.end_date]
    for start, end, plan in sorted(spans, key=itemgetter(0)):
        if start <= day <= min(end, anomaly.last_date):
            found.append(plan)
            day = end + ONE_DAY
    return found[-1:] if day > anomaly.last_date else []


def _planned_services(anomaly: Anomaly, plans: Sequence[Answer], rule: Rule) -> list[Answer]:
    """Return the planned changes of services without which the account's total would not be anomalous."""
    if anomaly.service is not None:
        return []
    # One of the whole account is one of each of its services.
    planned = [
        (part, plans_of)
        for part in anomaly.explanation
        if (plans_of := _plans_of(anomaly, plans, {None, part.service}))
    ]
    share = sum((part.impact for part, _ in planned), ZERO)
    if not share or rule.deviates(anomaly.expected, anomaly.actual - share, anomaly.currency):
        return []
    return [plan for _, plans_of in planned for plan in plans_of]


def is_silent(anomaly: Anomaly, answers: Iterable[Answer], rule: Rule) -> bool:
    """Whether an answer covers an anomaly so that it raises no event at all."""
    answer = answer_to(anomaly, answers, rule)
    return answer is not None and answer.silences


def as_told(
    change: AnomalyChange, before: Anomaly | None, answers: Sequence[Answer], rule: Rule
) -> AnomalyChange | None:
    """Return a change as it is to be reported, given the anomaly before it; None: it is not reported.

    An anomaly that is no longer silent is reported as detected, because its receivers may not have received
    it before. One that was reported is reported to its end. One whose silence ends only when it is over is
    not reported.
    """
    answer = answer_to(change.anomaly, answers, rule)
    was_silent = before is not None and is_silent(before, answers, rule)
    if answer is not None:
        is_end = change.kind is ChangeKind.RESOLVED
        was_heard = not answer.silences or (before is not None and not was_silent)
        return change if is_end and was_heard else None
    if not was_silent or change.kind is not ChangeKind.UPDATED:
        return change
    is_open = change.anomaly.state is AnomalyState.OPEN
    return replace(change, kind=ChangeKind.DETECTED) if is_open else None


def newly_answered(
    change: AnomalyChange, before: Anomaly | None, answers: Sequence[Answer], rule: Rule
) -> Answer | None:
    """Return the answer by which an anomaly stands otherwise than before, if no change of it is told.

    Either it falls silent, because it is no longer beyond the level of the answer. Or it concerns its
    receivers again, because it is no longer silent, or is found again, and is only acknowledged.
    """
    answer = answer_to(change.anomaly, answers, rule)
    if answer is None:
        return None
    was_heard = before is not None and not is_silent(before, answers, rule)
    if answer.silences:
        return answer if was_heard and change.kind is ChangeKind.UPDATED else None
    was_open = before is not None and before.state is AnomalyState.OPEN
    is_open = change.anomaly.state is AnomalyState.OPEN
    return answer if is_open and not (was_open and was_heard) else None


def reminder_due(anomaly: Anomaly, *, every_days: int) -> int:
    """Return the number of the newest reminder that is due, by how long the anomaly has gone on; 0: none."""
    return (anomaly.last_date - anomaly.start_date).days // every_days


def standing(anomaly: Anomaly, answer: Answer | None) -> Standing:
    """Return how an anomaly stands, given the answer that counts for it."""
    if anomaly.state is AnomalyState.RESOLVED:
        return Standing.RESOLVED
    if answer is None:
        return Standing.OPEN
    return Standing.SILENT if answer.silences else Standing.ACKNOWLEDGED


def explain_standing(anomaly: Anomaly, answers: Sequence[Answer], rule: Rule) -> str:
    """Return one sentence on whether changes of an anomaly are reported, and why."""
    answer = answer_to(anomaly, answers, rule)
    if answer is not None:
        return _why_answered(anomaly, answer, rule)
    if anomaly.state is AnomalyState.RESOLVED:
        return "It is resolved."
    outgrown = [each for each in answers if each.is_about(anomaly) or each.plans_some_of(anomaly)]
    if not outgrown:
        return "It has no answer: every change is reported."
    last = max(outgrown, key=lambda each: each.created_at)
    if last.kind is AnswerKind.PLANNED:
        of, days = _planned(last)
        given = f"{last.author} planned a change{of} {days} on {last.created_at:%Y-%m-%d}"
        return f"{given}; there is more to this anomaly, so every change is reported."
    given = f"{last.author} {_VERBS[last.kind]} {_what(anomaly)} on {last.created_at:%Y-%m-%d}"
    if last.is_exceeded(anomaly, rule):
        level, peak = (money(amount, anomaly.currency) for amount in (last.level or ZERO, anomaly.peak))
        return f"{given} at {level} a day; {peak} is beyond that level, so every change is reported."
    return f"{given} for other days, up to {last.end_date}; every change is reported."


_VERBS = {
    AnswerKind.DISMISSED: "dismissed",
    AnswerKind.EXPECTED: "expected",
    AnswerKind.PLANNED: "planned",
    AnswerKind.ACKNOWLEDGED: "acknowledged",
}


def _why_answered(anomaly: Anomaly, answer: Answer, rule: Rule) -> str:
    reason = f": {answer.reason}" if answer.reason else ""
    by = f"{answer.author} on {answer.created_at:%Y-%m-%d}{reason}"
    if answer.kind is AnswerKind.PLANNED:
        of, days = _planned(answer)
        return f"It is silent because a change{of} is planned {days}, by {by}."
    level, currency = answer.level or ZERO, anomaly.currency
    # It holds up to the larger of the margin and the floor.
    floor, percent = rule.floor.of(currency), (rule.level_margin * 100).normalize()
    is_narrow = rule.level_margin * abs(level) < floor
    further = f"less than {money(floor, currency)}" if is_narrow else f"up to {percent:f} %"
    bound = f"at {money(level, currency)} a day and {further} beyond"
    if answer.kind is AnswerKind.ACKNOWLEDGED:
        return f"It was acknowledged by {by}. Until it ends, no update and no reminder is sent {bound}."
    until = f" until {answer.end_date}" if answer.end_date else ""
    return (
        f"It is silent{until} because it was {_VERBS[answer.kind]} by {by}. "
        f"{_what(anomaly, plural=True)} are silent {bound}."
    )


def _planned(plan: Answer) -> tuple[str, str]:
    """Return what a planned change is of, and its days, in words."""
    of = f" of {plan.service}" if plan.service else ""
    return of, f"from {plan.start_date} to {plan.end_date}"


def _what(anomaly: Anomaly, *, plural: bool = False) -> str:
    """Return the series in words: "a drop of Amazon S3"."""
    of = anomaly.service or "the total"
    return f"{anomaly.direction.value.capitalize()}s of {of}" if plural else f"a {anomaly.direction} of {of}"
