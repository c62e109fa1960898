"""A currency that another one replaced leaves a tail: late charges, which are no return to its level."""

from dataclasses import replace

import pytest

from costbatch.domain.adaptive_rule import AdaptiveRule
from costbatch.domain.detection import Direction, Rule
from tests.support.factories import day
from tests.support.replay import EC2, LAST, Replay, flat, spans, told, usual

ENDS = 105


def replaced(*, adaptive: bool) -> Replay:
    """Return an account that cost 100 dollars a day for 105 days, and euros from then on."""
    replay = Replay(adaptive=AdaptiveRule() if adaptive else None, rule=replace(Rule(), settle_days=2))
    replay.costs(usual(100) if adaptive else flat(0, LAST), service=EC2)
    replay.currencies = {day(n): "EUR" for n in range(ENDS, LAST)}
    replay.own_currencies = {"Support": "USD"}
    assert replay.run(100) == []
    return replay


both = pytest.mark.parametrize("adaptive", [True, False])


@both
@pytest.mark.parametrize("late", [106, 107, 108, 115, 126])
def test_a_late_charge_in_the_old_currency_is_no_drop(late: int, *, adaptive: bool) -> None:
    """It is less than the currency cost before, and so is every day without it."""
    replay = replaced(adaptive=adaptive)
    replay.runs(101, late)
    replay.costs({late: 29}, service="Support")
    replay.runs(late + 1, LAST)
    assert replay.anomalies == []


@both
def test_a_charge_long_after_the_currency_ended_is_no_drop(*, adaptive: bool) -> None:
    """By then the level may be forgotten: what ``adaptive`` learns again is the time before the end."""
    replay = replaced(adaptive=adaptive)
    replay.costs(usual(100, last=230) if adaptive else flat(0, 230), service=EC2)
    replay.currencies = {day(n): "EUR" for n in range(ENDS, 230)}
    replay.runs(101, 180)
    replay.costs({180: 29}, service="Support")
    replay.runs(181, 229)
    assert [each for each in replay.anomalies if each.direction is Direction.DROP] == []
    if adaptive:
        assert replay.anomalies == []


@both
def test_a_charge_that_aws_adds_to_a_day_long_ago_is_no_drop(*, adaptive: bool) -> None:
    """It is found later than the days after it."""
    replay = replaced(adaptive=adaptive)
    replay.runs(101, 126)
    replay.costs({110: 29, 112: 5}, service="Support")
    replay.runs(127, LAST)
    assert replay.anomalies == []


@both
def test_a_late_charge_that_is_large_against_the_old_level_is_a_spike(*, adaptive: bool) -> None:
    """And nothing else: the days without it are no drop."""
    replay = replaced(adaptive=adaptive)
    replay.runs(101, 115)
    replay.costs({115: 900}, service="Support")
    events = [each for each in replay.runs(116, 135) if each.type.value.startswith("anomaly.")]
    assert (told(events)[0], told(events)[-1]) == ("anomaly.detected", "anomaly.resolved")
    assert spans(replay.anomalies) == [("spike", 115, 115, "ended")]
    assert {each.currency for each in replay.anomalies} == {"USD"}


@both
def test_a_currency_that_comes_back_for_good_begins_anew(*, adaptive: bool) -> None:
    """The days on which it was away are neither a drop nor a part of what is usual."""
    replay = replaced(adaptive=adaptive)
    replay.currencies = {day(n): "EUR" for n in range(ENDS, 116)}
    replay.runs(101, 134)
    in_dollars = [each for each in replay.anomalies if each.currency == "USD"]
    assert in_dollars == []
