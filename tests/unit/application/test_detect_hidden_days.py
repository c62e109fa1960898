"""Days that AWS hides before they are complete are unknown: no detector takes them for days that cost less.

The account moves to another payer on day 106; the nights from 105 on fail until AWS shows it again, on the
morning of day 108. Of days 102 and 103 a part was read, of days 104 and 105 nothing.
"""

from dataclasses import replace

import pytest

from costbatch.domain.adaptive_rule import AdaptiveRule
from costbatch.domain.detection import Rule
from tests.support.factories import day
from tests.support.replay import EC2, LAST, Replay, flat, spans, times, told, usual

MOVED = 106


def moved(*, adaptive: bool = True) -> Replay:
    """Return an account with a first collection of 104 days, which then moves."""
    replay = Replay(adaptive=AdaptiveRule() if adaptive else None, rule=replace(Rule(), settle_days=2))
    amounts = usual(100) if adaptive else flat(0, LAST)
    replay.costs(amounts | times(amounts, 0.3, (102, 103)), service=EC2)
    replay.run(104)
    replay.costs(amounts, service=EC2)
    replay.shown_from = MOVED
    assert replay.run(108) == []
    return replay


def test_an_outage_after_days_that_aws_hides_is_told() -> None:
    """The days that it hides are not the lowest of the five weeks before."""
    replay = moved()
    replay.costs(times(usual(100), 0.05, range(120, 123)), service=EC2)
    events = told(replay.runs(109, 130))
    assert (events[0], events[-1]) == ("anomaly.detected", "anomaly.resolved")
    assert spans(replay.anomalies) == [("drop", 120, 122, "ended")]


def test_a_memory_that_is_learned_again_leaves_them_out_too() -> None:
    """What is unknown is remembered with what is stored, not with what was learned."""
    replay = moved()
    replay.costs(times(usual(100), 0.05, range(120, 123)), service=EC2)
    replay.runs(109, 120)
    replay.store.tables.memories.forget(replay.account.id)
    replay.runs(121, 130)
    assert spans(replay.anomalies) == [("drop", 120, 122, "ended")]


@pytest.mark.parametrize("adaptive", [True, False])
def test_days_that_aws_hides_raise_nothing(*, adaptive: bool) -> None:
    """Not while the nights keep them, and not when the window has left them behind."""
    replay = moved(adaptive=adaptive)
    assert replay.runs(109, 140) == []
    assert replay.anomalies == []


def test_the_mean_of_the_days_before_leaves_them_out() -> None:
    """Four days of thirty would lower it by a tenth and more, until they have left it."""
    replay = moved(adaptive=False)
    replay.runs(109, 120)
    for n in (107, 119):
        judged = replay.store.tables.expectations.rows[replay.account.id, day(n), None, "USD"]
        assert judged.expected == 100


def test_days_that_aws_shows_again_are_known() -> None:
    """A backfill with the old payer's rights reads them: from then on they count."""
    replay = moved(adaptive=False)
    assert replay.progress.unknown == {day(102), day(103), day(104), day(105)}
    replay.shown_from = None
    replay.backfill(90, 108, today=108)
    assert replay.progress.unknown == frozenset()
