"""Which anomalies an answer covers: the same series at the same level, and nothing else."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest

from costbatch.domain.anomalies import Anomaly, AnomalyChange, AnomalyState, ChangeKind, Resolution
from costbatch.domain.answers import (
    Answer,
    AnswerKind,
    Standing,
    answer_to,
    as_told,
    explain_standing,
    reminder_due,
    standing,
)
from costbatch.domain.detection import Contribution, Direction, Rule
from costbatch.domain.money import Limit
from tests.support.factories import NOW, day, make_anomaly

RULE = Rule()
# Two days, of which the second cost 200.
ANOMALY = make_anomaly(
    start_date=day(40), last_date=day(41), expected=Decimal(200), actual=Decimal(380), peak=Decimal(200)
)
OVER = replace(ANOMALY, state=AnomalyState.RESOLVED, resolution=Resolution.ENDED)


def make_answer(kind: AnswerKind = AnswerKind.DISMISSED, **fields: Any) -> Answer:
    """Return an answer to the anomaly."""
    is_of_days = kind is AnswerKind.ACKNOWLEDGED
    answer = Answer(
        kind=kind,
        account_id=1,
        currency="USD",
        direction=Direction.SPIKE,
        level=Decimal(200),
        anomaly_id=ANOMALY.id,
        reason="load test",
        author="alice",
        created_at=NOW,
        start_date=day(40) if is_of_days else None,
        end_date=day(41) if is_of_days else None,
    )
    return replace(answer, **fields)


def make_plan(first: int = 40, last: int = 45, **fields: Any) -> Answer:
    """Return a planned change of the account."""
    plan = Answer(
        kind=AnswerKind.PLANNED,
        account_id=1,
        start_date=day(first),
        end_date=day(last),
        reason="migration",
        author="bob",
        created_at=NOW,
    )
    return replace(plan, **fields)


ELSEWHERE: list[dict[str, Any]] = [
    {"account_id": 2},
    {"service": "Amazon S3"},
    {"currency": "EUR"},
    {"direction": Direction.DROP},
]


@pytest.mark.parametrize("kind", [AnswerKind.DISMISSED, AnswerKind.EXPECTED, AnswerKind.ACKNOWLEDGED])
@pytest.mark.parametrize("other", ELSEWHERE)
def test_an_answer_covers_its_own_series_only(kind: AnswerKind, other: dict[str, Any]) -> None:
    """Another account, service, currency or direction is another matter."""
    assert make_answer(kind).covers(ANOMALY, RULE)
    assert not make_answer(kind).covers(replace(ANOMALY, **other), RULE)


@pytest.mark.parametrize(
    ("direction", "level", "peak", "is_covered"),
    [
        ("spike", "200", "240", True),  # 20 % beyond
        ("spike", "200", "240.01", False),
        ("spike", "200", "50", True),  # nearer to what is expected
        ("drop", "50", "40", True),
        ("drop", "50", "39.99", False),
        ("drop", "50", "90", True),
        ("drop", "0", "0", True),
        ("drop", "0", "-0.99", True),  # below the floor
        ("drop", "0", "-1", False),
        ("spike", "2", "2.99", True),  # below the floor
        ("spike", "2", "3", False),
        ("spike", "-100", "-80", True),  # credits weigh more: 20 is 20 % of 100
        ("spike", "-100", "-79.99", False),
    ],
)
def test_a_level_reaches_to_the_margin_or_the_floor(
    *, direction: str, level: str, peak: str, is_covered: bool
) -> None:
    """The most extreme day counts: beyond by more than the margin, and at least by the floor."""
    way = Direction(direction)
    anomaly = replace(ANOMALY, direction=way, peak=Decimal(peak))
    answer = make_answer(level=Decimal(level), direction=way)
    assert answer.covers(anomaly, RULE) is is_covered
    assert answer.is_exceeded(anomaly, RULE) is not is_covered


@pytest.mark.parametrize("seed", range(50))
def test_levels_are_ordered_whatever_the_amounts(seed: int) -> None:
    """What is nearer to the ordinary than something covered is covered; a wider margin covers no less.

    The level itself is always covered, and the two directions mirror each other.
    """
    random = Random(seed)
    for _ in range(200):
        level, near, far = sorted(Decimal(random.randrange(-(10**6), 10**6)) / 100 for _ in range(3))
        margin = Decimal(random.randrange(0, 200)) / 100
        floor = Limit(Decimal(random.randrange(0, 500)) / 100)
        rule = Rule(level_margin=margin, floor=floor)
        wider = replace(rule, level_margin=margin + 1)
        answer = make_answer(level=level)

        def covers(peak: Decimal, rule: Rule, answer: Answer = answer) -> bool:
            return answer.covers(replace(ANOMALY, peak=peak), rule)

        mirrored = make_answer(level=-level, direction=Direction.DROP)
        drop = replace(ANOMALY, direction=Direction.DROP, peak=-far)
        assert covers(level, rule) or not floor.otherwise
        assert covers(level - abs(near), rule)
        assert covers(near, rule) or not covers(far, rule)
        assert covers(far, wider) or not covers(far, rule)
        assert covers(far, rule) is mirrored.covers(drop, rule)


@pytest.mark.parametrize("first", [30, 39, 40, 41])
def test_an_answer_holds_when_restated_days_move_the_anomaly(first: int) -> None:
    """Another first day, another id, another revision: it is the same series at the same level."""
    moved = replace(ANOMALY, id=UUID(int=7), start_date=day(first), revision=9)
    for kind in (AnswerKind.DISMISSED, AnswerKind.EXPECTED, AnswerKind.ACKNOWLEDGED):
        assert make_answer(kind, anomaly_is_gone=True).covers(moved, RULE)


def test_what_is_expected_until_a_day_holds_up_to_that_day() -> None:
    """The day after, it is news again."""
    answer = make_answer(AnswerKind.EXPECTED, end_date=day(45))
    assert answer.covers(replace(ANOMALY, last_date=day(45)), RULE)
    assert not answer.covers(replace(ANOMALY, last_date=day(46)), RULE)


def test_an_acknowledgement_is_of_one_anomaly_and_not_of_the_next() -> None:
    """It grows and shrinks with the anomaly; another one on neighbouring days is not meant."""
    answer = make_answer(AnswerKind.ACKNOWLEDGED)
    assert answer.covers(replace(ANOMALY, last_date=day(60)), RULE)
    assert answer.covers(replace(ANOMALY, start_date=day(70), last_date=day(71)), RULE)
    assert not answer.covers(replace(ANOMALY, id=UUID(int=9)), RULE)


def test_an_acknowledgement_holds_for_what_takes_the_place_of_its_anomaly() -> None:
    """After a restatement or a merger, if it lies within the merge window."""
    answer = make_answer(AnswerKind.ACKNOWLEDGED, anomaly_is_gone=True)
    other = replace(ANOMALY, id=UUID(int=9))
    assert answer.covers(replace(other, last_date=day(60)), RULE)
    assert answer.covers(replace(other, start_date=day(44), last_date=day(50)), RULE)
    assert not answer.covers(replace(other, start_date=day(45), last_date=day(50)), RULE)
    assert not answer.covers(replace(other, start_date=day(30), last_date=day(36)), RULE)


@pytest.mark.parametrize(
    ("changes", "is_covered"),
    [
        ({}, True),
        ({"direction": Direction.DROP, "currency": "EUR", "peak": Decimal(10**9)}, True),
        ({"service": "Amazon S3"}, True),
        ({"last_date": day(45)}, True),
        ({"last_date": day(46)}, False),
        ({"start_date": day(39)}, False),
        ({"account_id": 2}, False),
    ],
)
def test_a_planned_change_covers_its_account_on_its_days(
    *, changes: dict[str, Any], is_covered: bool
) -> None:
    """Whatever the account does on these days; days before and after are told."""
    assert make_plan().covers(replace(ANOMALY, **changes), RULE) is is_covered


def test_a_planned_change_of_a_service_covers_the_total_if_the_service_explains_it() -> None:
    """Without the planned services the total must be ordinary; several plans count together."""
    explained = replace(
        ANOMALY,
        explanation=(
            Contribution("Amazon S3", Decimal(10), Decimal(80)),
            Contribution("AWS Lambda", Decimal(0), Decimal(110)),
        ),
    )
    storage, functions = (make_plan(service=name) for name in ("Amazon S3", "AWS Lambda"))
    assert answer_to(explained, [functions], RULE) is functions
    assert answer_to(replace(explained, actual=Decimal(420)), [functions], RULE) is None
    assert answer_to(replace(explained, actual=Decimal(420)), [storage, functions], RULE) in {
        storage,
        functions,
    }
    assert answer_to(explained, [make_plan(service="Amazon EC2")], RULE) is None
    assert answer_to(replace(explained, service="AWS Lambda"), [functions], RULE) is functions
    assert answer_to(replace(explained, service="Amazon RDS"), [functions], RULE) is None
    assert answer_to(replace(explained, last_date=day(46)), [functions], RULE) is None


@pytest.mark.parametrize(
    ("service", "spans", "covering"),
    [
        (None, [(38, 42), (43, 46)], 1),
        (None, [(43, 46), (38, 44)], 0),
        (None, [(38, 42), (44, 46)], None),
        (None, [(38, 42), (43, 44)], None),
        (None, [(41, 43), (44, 46)], None),
        (None, [(38, 42), (40, 45), (43, 50)], 1),
        ("Amazon S3", [(38, 42), (43, 46)], 1),
        ("Amazon S3", [(38, 42), (44, 46)], None),
    ],
)
@pytest.mark.parametrize("of", [None, "Amazon S3"])
def test_plans_that_follow_one_another_cover_as_one(
    of: str | None, service: str | None, spans: list[tuple[int, int]], covering: int | None
) -> None:
    """A plan that is prolonged by another one: the one of the last day counts; no day may lie between."""
    anomaly = replace(
        ANOMALY,
        service=of,
        last_date=day(45),
        explanation=() if of else (Contribution("Amazon S3", Decimal(10), Decimal(190)),),
    )
    plans = [make_plan(*span, service=service, id=n) for n, span in enumerate(spans)]
    others = [make_plan(service="AWS Lambda"), make_plan(account_id=2)]
    answer = answer_to(anomaly, [*plans, *others], RULE)
    assert answer is (None if covering is None else plans[covering])


@pytest.mark.parametrize("of", [None, "Amazon S3"])
@pytest.mark.parametrize("services", [("Amazon S3", None), (None, "Amazon S3")])
def test_a_plan_of_a_service_and_one_of_its_account_cover_as_one(
    of: str | None, services: tuple[str | None, str | None]
) -> None:
    """Whichever prolongs the other, of the service and of a total that the service explains alike."""
    parts = (Contribution("Amazon S3", Decimal(10), Decimal(190)),)
    anomaly = replace(ANOMALY, service=of, last_date=day(45), explanation=() if of else parts)
    first, second = make_plan(38, 42, service=services[0]), make_plan(43, 46, service=services[1])
    assert answer_to(anomaly, [first, second], RULE) is second
    assert answer_to(anomaly, [first, replace(second, start_date=day(44))], RULE) is None
    if of is None:
        other = replace(anomaly, explanation=(Contribution("AWS Lambda", Decimal(10), Decimal(190)),))
        assert answer_to(other, [first, second], RULE) is None


def test_a_plan_that_explains_nothing_of_a_total_is_not_the_one_that_counts() -> None:
    """Also if it is newer than the one without which the total would not be anomalous."""
    anomaly = replace(ANOMALY, explanation=(Contribution("Amazon S3", Decimal(10), Decimal(190)),))
    storage = make_plan(service="Amazon S3")
    functions = make_plan(service="AWS Lambda", created_at=NOW + timedelta(days=1))
    assert answer_to(anomaly, [storage, functions], RULE) is storage


def test_of_several_answers_the_kind_counts_and_then_the_newest() -> None:
    """A dismissal says more than an acknowledgement."""
    seen = make_answer(AnswerKind.ACKNOWLEDGED, created_at=NOW + timedelta(days=1))
    old, new = make_answer(id=1), make_answer(id=2, created_at=NOW + timedelta(hours=1))
    assert answer_to(ANOMALY, [seen, old, new], RULE) is new
    assert answer_to(ANOMALY, [seen, make_answer(level=Decimal(100))], RULE) is seen
    assert answer_to(ANOMALY, [], RULE) is None


@pytest.mark.parametrize(
    ("anomaly", "answer", "how"),
    [
        (ANOMALY, None, Standing.OPEN),
        (ANOMALY, make_answer(AnswerKind.ACKNOWLEDGED), Standing.ACKNOWLEDGED),
        (ANOMALY, make_answer(AnswerKind.EXPECTED), Standing.SILENT),
        (ANOMALY, make_plan(), Standing.SILENT),
        (OVER, make_answer(), Standing.RESOLVED),
    ],
)
def test_how_an_anomaly_stands(anomaly: Anomaly, answer: Answer | None, how: Standing) -> None:
    """One word for what happens to its events."""
    assert standing(anomaly, answer) is how


AT_200 = "at 200.00 USD a day and up to 20 % beyond."
SENTENCES: list[tuple[list[Answer], tuple[str, ...]]] = [
    ([], ("It has no answer: every change is reported.",)),
    (
        [make_answer()],
        (
            "It is silent because it was dismissed by alice on 2025-06-20: load test.",
            f"Spikes of the total are silent {AT_200}",
        ),
    ),
    (
        [make_answer(AnswerKind.EXPECTED, end_date=day(45), reason="")],
        (
            "It is silent until 2025-02-15 because it was expected by alice on 2025-06-20.",
            f"Spikes of the total are silent {AT_200}",
        ),
    ),
    (
        [make_answer(AnswerKind.ACKNOWLEDGED)],
        (
            "It was acknowledged by alice on 2025-06-20: load test.",
            f"Until it ends, no update and no reminder is sent {AT_200}",
        ),
    ),
    (
        [make_plan()],
        (
            "It is silent because a change is planned from 2025-02-10 to 2025-02-15,",
            "by bob on 2025-06-20: migration.",
        ),
    ),
    (
        [make_answer(level=Decimal(150))],
        (
            "alice dismissed a spike of the total on 2025-06-20 at 150.00 USD a day;",
            "200.00 USD is beyond that level, so every change is reported.",
        ),
    ),
    (
        [make_answer(AnswerKind.EXPECTED, end_date=day(40))],
        (
            "alice expected a spike of the total on 2025-06-20 for other days, up to 2025-02-10;",
            "every change is reported.",
        ),
    ),
    (
        [make_plan(30, 40), make_plan(30, 39), make_plan(42, 50), make_plan(account_id=2)],
        (
            "bob planned a change from 2025-01-31 to 2025-02-10 on 2025-06-20;",
            "there is more to this anomaly, so every change is reported.",
        ),
    ),
    (
        [make_answer(level=Decimal(150)), make_plan(41, created_at=NOW + timedelta(days=1))],
        (
            "bob planned a change from 2025-02-11 to 2025-02-15 on 2025-06-21;",
            "there is more to this anomaly, so every change is reported.",
        ),
    ),
]


@pytest.mark.parametrize(("answers", "sentences"), SENTENCES)
def test_one_sentence_says_why_it_is_silent_or_not(answers: list[Answer], sentences: tuple[str, ...]) -> None:
    """Who, when, why, up to which level and day."""
    assert explain_standing(ANOMALY, answers, RULE) == " ".join(sentences)


def test_a_plan_of_one_of_its_services_is_said_of_a_total() -> None:
    """It explains a part of it; a plan of another service says nothing."""
    anomaly = replace(ANOMALY, explanation=(Contribution("Amazon S3", Decimal(10), Decimal(20)),))
    sentence = "bob planned a change of Amazon S3 from 2025-02-10 to 2025-02-15 on 2025-06-20; there is more"
    assert explain_standing(anomaly, [make_plan(service="Amazon S3")], RULE).startswith(sentence)
    for of, planned in ((None, "AWS Lambda"), ("AWS Lambda", "Amazon S3")):
        other = explain_standing(replace(anomaly, service=of), [make_plan(service=planned)], RULE)
        assert other == "It has no answer: every change is reported."


def test_a_floor_above_the_margin_is_said_instead_of_it() -> None:
    """What is silent is what the larger of the two allows."""
    sentence = explain_standing(ANOMALY, [make_answer()], replace(RULE, floor=Limit(Decimal("40.01"))))
    assert sentence.endswith(" are silent at 200.00 USD a day and less than 40.01 USD beyond.")


def test_one_that_is_over_is_said_to_be_over() -> None:
    """Unless an answer was why nothing was heard of it."""
    assert explain_standing(OVER, [], RULE) == "It is resolved."
    assert explain_standing(OVER, [make_answer()], RULE).startswith("It is silent because")


@pytest.mark.parametrize(("last", "number"), [(40, 0), (46, 0), (47, 1), (53, 1), (54, 2), (68, 4)])
def test_reminders_count_how_long_an_anomaly_goes_on(last: int, number: int) -> None:
    """By its days, not by the clock: what no longer costs is not reminded of."""
    assert reminder_due(replace(ANOMALY, last_date=day(last)), every_days=7) == number


def test_what_becomes_audible_is_new_only_if_it_is_still_open() -> None:
    """AWS may correct a silent anomaly beyond its level after it was over: then nobody has to act."""
    louder: dict[str, Any] = {"actual": Decimal(680), "peak": Decimal(500)}
    told = as_told(
        AnomalyChange(ChangeKind.UPDATED, replace(ANOMALY, **louder)), ANOMALY, [make_answer()], RULE
    )
    assert told is not None
    assert told.kind is ChangeKind.DETECTED
    past = AnomalyChange(ChangeKind.UPDATED, replace(OVER, **louder))
    assert as_told(past, OVER, [make_answer()], RULE) is None
    assert as_told(past, OVER, [], RULE) == past
