"""The memory of the adaptive detector: packed every night, it judges as if it had never been away."""

import random
from dataclasses import asdict, replace
from decimal import Decimal

import pytest

from costbatch.domain.adaptive import Detector
from costbatch.domain.adaptive_memory import Memory, MemoryUnreadableError, Morning, Recollection, version_of
from costbatch.domain.adaptive_rule import AdaptiveRule, Judgement, Sensitivity
from costbatch.domain.money import Limit
from tests.support.factories import day

RULE = AdaptiveRule()


def mornings(days: int, *, seed: int = 1, services: int = 4) -> list[Morning]:
    """Return mornings of services that wander, burst, begin late and are used now and then."""
    chance = random.Random(seed)
    costs = {
        f"s{number}": [
            max(0.0, 100 / (number + 1) * (1 + 0.3 * chance.gauss(0, 1)))
            * (n >= 29 * number)
            * (4 if n % 61 == number else 1)
            * (number % 2 == 0 or chance.random() < 0.4)
            for n in range(days)
        ]
        for number in range(services)
    }
    return [
        (
            day(n),
            {name: [each[n - age] if n >= age else 0.0 for age in range(3)] for name, each in costs.items()},
        )
        for n in range(days)
    ]


def one_night(memory: Memory | None, *shown: Morning) -> tuple[list[Judgement], Memory]:
    """Show a night's mornings to what is remembered; return what it says, and what is stored then."""
    recollection = Recollection(RULE, "USD", memory)
    judged = recollection.walk(shown, turn=3)
    after, before = recollection.memory("v"), memory.snapshot if memory else None
    return judged, replace(after, snapshot=after.snapshot or before)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_memory_that_is_stored_every_night_judges_as_one_that_never_was(seed: int) -> None:
    """Over more than the weeks that are kept, to the last digit."""
    shown = mornings(440, seed=seed, services=3)
    detector, memory = Detector(RULE, "USD"), None
    for morning in shown:
        judged, memory = one_night(memory, morning)
        assert judged == detector.judge(*morning)
    assert memory is not None
    assert memory.snapshot is not None
    assert len(memory.snapshot) < 12_000


def test_a_level_that_was_told_is_remembered() -> None:
    """It is told again after it was over, from one night to the next as without a pause."""
    level = [100.0 * (2 if 80 <= n < 92 or n >= 117 else 1) * (1 + n % 7 / 50) for n in range(122)]
    detector, memory, told = Detector(RULE, "USD"), None, set()
    for n in range(len(level)):
        morning = day(n), {"this": [level[n - age] if n >= age else 0.0 for age in range(3)]}
        judged, memory = one_night(memory, morning)
        assert judged == detector.judge(*morning)
        told |= {each.usage_date for each in judged if each.reason}
    assert {day(80), day(117)} <= told


def test_what_is_switched_off_every_year_is_remembered() -> None:
    """It is told the first time, and not a year later, from one night to the next as without a pause."""
    off = {first + n for first in (80, 80 + 365) for n in range(5)}
    costs = [0.5 if n in off else 100.0 * (1 + n % 7 / 50) for n in range(455)]
    detector, memory, told = Detector(RULE, "USD"), None, set()
    for n in range(len(costs)):
        this = [costs[n - age] if n >= age else 0.0 for age in range(3)]
        morning = day(n), {"this": this, "other": [300.0] * 3}
        judged, memory = one_night(memory, morning)
        assert judged == detector.judge(*morning)
        told |= {each.usage_date for each in judged if each.reason}
    assert told == {day(80)}


def test_a_morning_that_is_read_again_takes_the_place_of_the_last_one() -> None:
    """A repeated run, or one that finds the day more complete, remembers what a single run would."""
    *before, last, following = mornings(80)
    memory = None
    for morning in before:
        _, memory = one_night(memory, morning)
    partly = (last[0], {name: [amounts[0] / 3, *amounts[1:]] for name, amounts in last[1].items()})
    _, once = one_night(memory, last)
    _, early = one_night(memory, partly)
    judged, twice = one_night(early, last)
    assert (twice.newest, twice.mornings) == (once.newest, once.mornings)
    assert one_night(twice, following) == one_night(once, following)
    assert judged == one_night(once, last)[0]


def test_missed_mornings_are_walked_one_by_one() -> None:
    """After an outage the detector is where it would have been."""
    shown = mornings(90)
    memory = None
    for morning in shown[:70]:
        _, memory = one_night(memory, morning)
    late, _ = one_night(memory, *shown[70:])
    detector = Detector(RULE, "USD")
    every = [each for morning in shown for each in detector.judge(*morning)]
    last = {(each.service, each.usage_date): each for each in every}
    assert {each.usage_date for each in late} == {day(n) for n in range(68, 90)}
    assert all(each == last[each.service, each.usage_date] for each in late)


def test_a_morning_that_does_not_follow_is_refused() -> None:
    """Days in between would be taken for learned."""
    shown = mornings(20)
    _, memory = one_night(None, *shown[:10])
    with pytest.raises(ValueError, match="does not follow"):
        one_night(memory, shown[12])


def test_it_says_what_it_took_for_final() -> None:
    """From two days after a day on, also if the morning that read it last was the last one."""
    shown = mornings(30)
    _, memory = one_night(None, *shown)
    recollection = Recollection(RULE, "USD", memory)
    assert recollection.newest == day(29)
    assert recollection.final_amounts(day(28)) is None
    for n in (3, 20, 26, 27):
        final = recollection.final_amounts(day(n))
        assert final is not None
        assert final["s0"] == pytest.approx(shown[n][1]["s0"][0], rel=1e-6)


def test_it_says_which_days_had_cost() -> None:
    """Those that are not final yet, too."""
    cost = {4: 5.0, 7: -5.0, 9: 5.0, 11: 5.0}
    shown = [(day(n), {"EC2": [cost.get(n - age, 0.0) for age in range(3)]}) for n in range(13)]
    _, memory = one_night(None, *shown)
    recollection = Recollection(RULE, "USD", memory)
    assert [n for n in range(-1, 15) if recollection.has_cost(day(n))] == [4, 9, 11]


def test_a_negative_day_is_final_as_it_is_learned() -> None:
    """As no cost, also on the last morning: or any late cent of the account would have it learned again."""
    shown = [(day(n), {"plan": [-60.0 * (n >= age) for age in range(3)], "EC2": [9.0] * 3}) for n in range(9)]
    _, memory = one_night(None, *shown)
    recollection = Recollection(RULE, "USD", memory)
    finals = [recollection.final_amounts(day(n)) for n in range(2, 7)]
    assert [final["plan"] for final in finals if final] == [0.0] * 5


@pytest.mark.parametrize(
    ("part", "packed"),
    [
        ("snapshot", b"no zlib"),
        ("snapshot", b"x\x9c\x03\x00\x00\x00\x00\x01"),
        ("mornings", b""),
        ("mornings", b"no zlib"),
        ("mornings", b"x\x9c\x03\x00\x00\x00\x00\x01"),
    ],
)
def test_a_memory_that_was_changed_by_hand_is_refused(part: str, packed: bytes) -> None:
    """It is learned again from the stored costs."""
    _, memory = one_night(None, *mornings(30))
    with pytest.raises(MemoryUnreadableError):
        Recollection(RULE, "USD", Memory(**{**asdict(memory), part: packed}))


def test_the_version_is_that_of_what_is_learned() -> None:
    """A setting that changes what is an alarm makes another memory, one of another currency does not."""
    known = version_of(RULE, "USD", "unblended")
    assert (
        version_of(replace(RULE, floor=Limit(Decimal(3), (("JPY", Decimal(9)),))), "USD", "unblended")
        == known
    )
    assert version_of(replace(RULE, sensitivity=Sensitivity.HIGH), "USD", "unblended") != known
    assert version_of(replace(RULE, floor=Limit(Decimal(4))), "USD", "unblended") != known
    for currency, is_known in (("JPY", True), ("USD", False)):
        dear = replace(RULE, high_impact=Limit(Decimal(1000), ((currency, Decimal(9)),)))
        assert (version_of(dear, "USD", "unblended") == known) is is_known
    assert version_of(RULE, "USD", "amortized") != known
