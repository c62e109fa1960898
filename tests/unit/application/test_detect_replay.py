"""Replays: however the days came in, what is known in the end follows from what they cost in the end.

The invariant: after any sequence of nights, each of which re-reads every day that AWS has changed since
the last one, the anomalies that are neither restated nor merged are those that judging the whole history
once would find, with the same days, state and amounts to the cent. Ids, revisions and the events
on the way depend on the way. What people answer decides what is told, never what is known.
"""

from collections import Counter
from decimal import Decimal
from functools import cache
from itertools import pairwise
from random import Random

import pytest

from costbatch.domain.anomalies import Anomaly, AnomalyState
from costbatch.domain.detection import Rule
from costbatch.domain.events import Event, cents
from costbatch.domain.periods import WindowPolicy
from tests.support.factories import day
from tests.support.replay import Replay, spans, told

FIRST, LAST = 15, 75
# The first five find most of what is wrong.
SEEDS = [seed if seed < 5 else pytest.param(seed, marks=pytest.mark.slow) for seed in range(25)]


def amount_of_a_day(random: Random) -> str:
    """Return an ordinary amount, now and then none, half, double or a credit's."""
    factor = random.choices(["1", "0", "0.3", "2.4", "-0.5"], weights=[70, 4, 10, 14, 2])[0]
    return f"{float(factor) * random.uniform(80, 120):.4f}"


def restate(life: Replay, random: Random, today: int) -> None:
    """Let AWS change some days of the trailing window, to anything."""
    for _ in range(random.choice([0, 0, 1, 3])):
        n = random.randrange(max(0, today - life.policy.trailing_days), today)
        if random.random() < 0.15:
            life.bill.pop((day(n), "Amazon EC2"), None)
        else:
            life.costs({n: amount_of_a_day(random)})


def replay(seed: int, *, dismissing: bool = False) -> tuple[Replay, list[Event]]:
    """Replay sixty nights with restatements and outages; return the end and all events."""
    random, life, events = Random(seed), Replay(), []
    life.costs({n: amount_of_a_day(random) for n in range(FIRST)})
    for today in range(FIRST, LAST + 1):
        level = 3 if 40 < today < 60 and seed % 3 == 0 else 1
        life.costs({today - 1: str(level * float(amount_of_a_day(random)))})
        restate(life, random, today)
        is_out = random.random() < 0.2 and today < LAST
        if not is_out:
            events += life.run(today)
        if dismissing and random.random() < 0.1:
            life.dismiss()
    return life, events


@cache
def replayed(seed: int) -> tuple[Replay, list[Event]]:
    """Replay the nights once, for all tests that must leave everything as it is."""
    return replay(seed)


def judged_at_once(life: Replay) -> Replay:
    """Return what a first collection on the last day finds in the same bill."""
    fresh = Replay(rule=life.rule, bill=life.bill, policy=WindowPolicy(history_months=13))
    fresh.run(LAST)
    return fresh


def facts(anomalies: list[Anomaly]) -> list[tuple[object, ...]]:
    """Return what anomalies say, without what depends on the way there."""
    amounts = [(cents(each.expected, "USD"), cents(each.actual, "USD"), each.severity) for each in anomalies]
    return sorted((*span, *amount) for span, amount in zip(spans(anomalies), amounts, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_nights_end_with_what_judging_everything_at_once_finds(seed: int) -> None:
    """Restatements, late days and outages leave no trace in what is known in the end."""
    life, _ = replayed(seed) if seed % 2 else replay(seed, dismissing=True)
    assert facts(life.real) == facts(judged_at_once(life).real)
    assert life.real


@pytest.mark.parametrize("seed", SEEDS)
def test_the_events_add_up_to_what_is_stored(seed: int) -> None:
    """Revisions count the changes, each is one event, and the last one has the state of the anomaly.

    It is detected at first, and each time that it opens after it was gone. Only what the first night found
    long over is never announced.
    """
    life, events = replayed(seed)
    assert len({event.id for event in events}) == len(events)
    found_by = life.store.tables.anomalies.found_by
    history = {each for each, run in found_by.items() if run == min(found_by.values())}
    for anomaly in life.anomalies:
        about = [event for event in events if event.data["anomaly"]["id"] == str(anomaly.id)]
        revisions = [event.data["anomaly"]["revision"] for event in about]
        assert revisions == list(range(anomaly.revision - len(about) + 1, anomaly.revision + 1))
        assert len(about) == anomaly.revision or anomaly.id in history
        if len(about) == anomaly.revision:
            data = [event.data["anomaly"] for event in about]
            is_found = [
                each["state"] == "open" and before["resolution"] in {"restated", "merged"}
                for before, each in pairwise(data)
            ]
            assert [kind == "anomaly.detected" for kind in told(about)] == [True, *is_found]
            assert about[-1].data["anomaly"]["state"] == anomaly.state.value


def live_days(life: Replay) -> Counter[tuple[str, int]]:
    """Return how many real anomalies cover each day, by direction."""
    return Counter((way, n) for way, first, last, _ in spans(life.real) for n in range(first, last + 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_day_has_two_anomalies_of_one_direction(seed: int) -> None:
    """Merged and restated ones aside, a day belongs to one spike and one drop at most."""
    life, _ = replayed(seed)
    assert set(live_days(life).values()) <= {1}


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_told_after_a_dismissal_is_or_was_beyond_its_level(seed: int) -> None:
    """Whatever AWS restates, joins or splits: silence is decided by level and direction alone."""
    random, life, silent = Random(seed), Replay(), 0
    levels: dict[str, list[Decimal]] = {"spike": [], "drop": []}
    life.costs({n: amount_of_a_day(random) for n in range(FIRST)})

    def is_heard(anomaly: Anomaly | None) -> bool:
        return anomaly is not None and all(
            life.rule.is_beyond(level, anomaly.peak, anomaly.direction, "USD")
            for level in levels[anomaly.direction]
        )

    for today in range(FIRST, LAST + 1):
        life.costs({today - 1: amount_of_a_day(random)})
        restate(life, random, today)
        before = {each.id: each for each in life.anomalies}
        events = {event.data["anomaly"]["id"]: event for event in life.run(today)}
        for each in life.anomalies:
            known = before.get(each.id)
            if each == known:
                continue
            # What was over before anybody heard of it is not news.
            was_over = known is not None and known.state is each.state is AnomalyState.RESOLVED
            is_news = is_heard(each) and not was_over
            # Who heard of it hears that it is silent again, or over.
            assert (str(each.id) in events) is (is_news or is_heard(known)) or today == FIRST
            silent += not is_heard(each)
        if random.random() < 0.2:
            for each in life.open:
                levels[each.direction].append(each.peak)
            life.dismiss()
    assert silent
    assert any(levels.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_night_repeated_changes_nothing_and_reports_nothing(seed: int) -> None:
    """A retry of the last night finds everything as it left it."""
    life, _ = replayed(seed)
    before = dict(life.store.tables.anomalies.rows)
    assert life.run(LAST) == []
    assert life.store.tables.anomalies.rows == before


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_a_backfill_of_unchanged_days_changes_nothing(seed: int) -> None:
    """Wherever it begins and ends, also in the middle of an anomaly."""
    life, _ = replayed(seed)
    before = dict(life.store.tables.anomalies.rows)
    for start in range(0, LAST - 10, 7):
        assert life.backfill(start, start + 9, today=LAST) == []
    assert life.store.tables.anomalies.rows == before


@pytest.mark.parametrize("seed", SEEDS[:15])
def test_a_backfill_of_restated_days_ends_with_what_judging_at_once_finds(seed: int) -> None:
    """Days that have a restated one in their mean are judged again too, although they were not read."""
    life, _ = replay(seed)
    random = Random(seed)
    start = random.randrange(LAST - 20)
    life.costs({n: amount_of_a_day(random) for n in range(start, start + 6)})
    life.backfill(start, start + 6, today=LAST)
    assert facts(life.real) == facts(judged_at_once(life).real)


def test_the_rule_of_the_replays_is_the_default_one() -> None:
    """The replays show what an installation without settings does."""
    assert Replay().rule == Rule()
