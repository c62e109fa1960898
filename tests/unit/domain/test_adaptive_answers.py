"""Answers to the adaptive detector: days that raise nothing, what is learned of them, and from when on."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from costbatch.domain.adaptive import Detector
from costbatch.domain.adaptive_answers import Allowance, Lesson, allowances
from costbatch.domain.adaptive_rule import AdaptiveRule, Excuse, Judgement
from costbatch.domain.answers import Answer, AnswerKind
from costbatch.domain.detection import Direction, Rule
from costbatch.domain.periods import ONE_DAY
from tests.support.factories import day

DAYS = 150
JUMP = 100  # the day number from which the service costs twice as much


def at(number: int) -> datetime:
    """Return seven in the morning of a day."""
    return datetime.combine(day(number), time(7), UTC)


def answer(kind: AnswerKind, given: int, level: str | None = "200", **fields: object) -> Answer:
    """Return an answer to a spike of the service, or a plan."""
    answer = Answer(
        kind=kind,
        account_id=1,
        service="this",
        currency="USD",
        direction=Direction.SPIKE,
        level=Decimal(level) if level else None,
        anomaly_id=UUID(int=1),
        reason="",
        author="alice",
        created_at=at(given),
    )
    return replace(answer, **fields)  # type: ignore[arg-type] # fields of an answer


def plan(given: int, start: int, end: int, service: str | None = "this") -> Answer:
    """Return a planned change."""
    series = {"service": service, "currency": None, "direction": None, "anomaly_id": None}
    days = {"start_date": day(start), "end_date": day(end)}
    return answer(AnswerKind.PLANNED, given, None, **series, **days)


def amounts(changed: range, factor: float = 2.0) -> list[float]:
    """Return a service that wanders by two percent, and costs several times as much on some days."""
    return [100 * (1 + 0.02 * ((n * 7) % 5 - 2) / 2) * (factor if n in changed else 1) for n in range(DAYS)]


def walk(this: Sequence[float], answers: Sequence[Answer] = (), *, days: int = DAYS) -> list[list[Judgement]]:
    """Return what each morning says of the service, all days being complete at once."""
    detector = Detector(AdaptiveRule(), "USD", answered=allowances(answers, "USD", Rule()))
    other = [200.0] * DAYS
    return [
        [
            each
            for each in detector.judge(
                day(n),
                {
                    name: [cost[n - age] if n >= age else 0.0 for age in range(3)]
                    for name, cost in (("this", this), ("other", other))
                },
            )
            if each.service == "this"
        ]
        for n in range(days)
    ]


def raised(mornings: list[list[Judgement]]) -> list[int]:
    """Return the numbers of the days that raised an alarm on any morning."""
    return sorted({(each.usage_date - day(0)).days for one in mornings for each in one if each.reason})


def newest(mornings: list[list[Judgement]], number: int) -> Judgement:
    """Return what a morning says of its newest day."""
    (found,) = [each for each in mornings[number] if each.usage_date == day(number)]
    return found


def test_a_dismissed_level_is_no_alarm_again_and_one_beyond_it_is() -> None:
    """Days from the answer on, until the level is exceeded by more than the margin."""
    first, again, beyond = (range(JUMP + n, JUMP + n + 3) for n in (0, 20, 43))
    this = amounts(range(0))
    for days, factor in ((first, 2.0), (again, 2.0), (beyond, 4.0)):
        this[days.start : days.stop] = [factor * this[n] for n in days]
    dismissed = [answer(AnswerKind.DISMISSED, JUMP + 3)]
    assert {*again, *beyond} & {*raised(walk(this))} == {*again, *beyond}
    assert raised(walk(this, dismissed)) == [*first, *beyond]
    silent = newest(walk(this, dismissed), again.start)
    assert (silent.excuse, silent.score < 0.5) == (Excuse.ANSWERED, True)


def test_dismissed_days_are_ordinary_days_to_learn_from() -> None:
    """Also when the answer no longer counts, the series is known to stray so far by itself."""
    two_weeks, later = range(109, 113), range(126, 129)
    this = amounts(two_weeks)
    this[later.start : later.stop] = [1.6 * this[n] for n in later]
    dismissed = answer(AnswerKind.DISMISSED, 114, withdrawn_at=at(121))
    assert raised(walk(this)) == [*two_weeks, *later]
    assert raised(walk(this, [dismissed])) == [*two_weeks]


def test_an_expected_level_is_the_new_level_from_the_next_morning_on() -> None:
    """It is what is expected, so that a further rise stands out against it, and a return is no rise."""
    jumped = amounts(range(JUMP, DAYS))
    expected = answer(AnswerKind.EXPECTED, JUMP + 1, "202")
    without, mornings = walk(jumped), walk(jumped, [expected])
    assert newest(without, JUMP + 2).expected < 110
    assert newest(mornings, JUMP + 1).expected == pytest.approx(200, rel=0.05)
    assert newest(mornings, JUMP + 3).expected == pytest.approx(200, rel=0.05)
    assert raised(mornings) == [JUMP]
    jumped[JUMP + 6] *= 1.7
    assert raised(walk(jumped, [expected])) == [JUMP, JUMP + 6]


@pytest.mark.parametrize("given", [1, 2, 3, 5])
@pytest.mark.parametrize("jump", [JUMP, JUMP + 4])
def test_an_expected_level_says_nothing_of_how_far_the_service_strays(jump: int, given: int) -> None:
    """A spike against the new level is told as it would be without the answer, in whatever week it rose."""
    this = amounts(range(jump, DAYS), 2.5)
    this[jump + 29] *= 2.0
    expected = answer(AnswerKind.EXPECTED, jump + given, "255")
    assert raised(walk(this))[-1] == jump + 29
    assert raised(walk(this, [expected])) == [*range(jump, jump + given), jump + 29]


def test_what_is_expected_up_to_a_day_is_not_learned_and_raised_the_day_after() -> None:
    """The level stays the old one however long it lasts."""
    jumped = amounts(range(JUMP, DAYS))
    until = answer(AnswerKind.EXPECTED, JUMP + 1, "202", end_date=day(JUMP + 20))
    mornings = walk(jumped, [until])
    assert raised(mornings)[:2] == [JUMP, JUMP + 21]
    assert newest(mornings, JUMP + 21).expected == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize("service", ["this", None])
def test_planned_days_raise_nothing_and_are_not_learned(service: str | None) -> None:
    """In both directions and at any level; the first day after the plan is judged by the days before it."""
    this = amounts(range(JUMP, JUMP + 30), 5.0)
    this[JUMP + 10 : JUMP + 15] = [0.0] * 5
    planned = [plan(JUMP - 5, JUMP, JUMP + 25, service)]
    mornings = walk(this, planned)
    assert raised(mornings)[0] == JUMP + 26
    assert newest(mornings, JUMP + 26).expected == pytest.approx(100, rel=0.05)
    assert raised(walk(this, [plan(JUMP - 5, JUMP, JUMP + 25, "other")]))[0] == JUMP


def test_a_plan_that_is_removed_no_longer_counts() -> None:
    """From the day of its removal on."""
    removed = replace(plan(JUMP - 5, JUMP, JUMP + 25), withdrawn_at=at(JUMP + 3))
    assert raised(walk(amounts(range(JUMP, DAYS), 3.0), [removed]))[0] == JUMP + 3


def test_a_dismissed_drop_is_no_alarm_again() -> None:
    """An answer to a drop says nothing of spikes."""
    this = amounts(range(JUMP, JUMP + 3), 0.1)
    this[JUMP + 20 : JUMP + 23] = [10.0] * 3
    this[JUMP + 30] = 300.0
    drop = answer(AnswerKind.DISMISSED, JUMP + 3, "9", direction=Direction.DROP)
    assert raised(walk(this, [drop]))[-1] == JUMP + 30
    assert not {JUMP + 20, JUMP + 21, JUMP + 22} & set(raised(walk(this, [drop])))


@pytest.mark.parametrize(
    "given",
    [
        [answer(AnswerKind.DISMISSED, JUMP + 2)],
        [answer(AnswerKind.EXPECTED, JUMP + 2)],
        [answer(AnswerKind.EXPECTED, JUMP + 2, end_date=day(JUMP + 9))],
        [plan(JUMP + 2, JUMP, JUMP + 9)],
    ],
    ids=["dismissed", "expected", "until", "planned"],
)
def test_an_answer_changes_nothing_of_the_mornings_before_it(given: list[Answer]) -> None:
    """The morning after its day is the first that knows of it; the days before stay as they were judged."""
    this = amounts(range(JUMP, JUMP + 8))
    without, mornings = walk(this), walk(this, given)
    assert mornings[: JUMP + 2] == without[: JUMP + 2]
    assert mornings[JUMP + 2 :] != without[JUMP + 2 :]
    assert walk(this, given, days=JUMP + 5) == mornings[: JUMP + 5]
    assert JUMP in raised(mornings)


def test_what_concerns_no_service_or_another_currency_allows_nothing() -> None:
    """An acknowledgement neither."""
    given = [
        answer(AnswerKind.ACKNOWLEDGED, 5, start_date=day(1), end_date=day(4)),
        answer(AnswerKind.DISMISSED, 5, service=None),
        answer(AnswerKind.DISMISSED, 5, currency="EUR"),
    ]
    assert allowances(given, "USD", Rule()) == []
    (euros,) = allowances(given, "EUR", Rule())
    assert euros == Allowance(
        lesson=Lesson.ORDINARY,
        service="this",
        since=day(5),
        withdrawn=date.max,
        first=day(5),
        last=date.max,
        direction=Direction.SPIKE,
        limit=240.0,
    )
    assert not euros.counts_on(day(5) - ONE_DAY)
    assert timedelta(0) < euros.last - euros.first
