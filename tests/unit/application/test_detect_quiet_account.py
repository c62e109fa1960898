"""An account that cost nothing since it was registered, and then costs: with either detector."""

from dataclasses import replace
from datetime import UTC, datetime, time

import pytest

from costbatch.domain.adaptive_rule import AdaptiveRule
from costbatch.domain.detection import Direction
from tests.support.factories import day, make_account
from tests.support.replay import EC2, S3, Replay, spans, told

FIRST_COST = 60


def quiet(registered: int, detector: AdaptiveRule | None) -> Replay:
    """Return an account that was read every night since it was registered, with nothing to pay."""
    replay = Replay(
        account=make_account(created_at=datetime.combine(day(registered), time(5), UTC)), adaptive=detector
    )
    assert replay.runs(registered, FIRST_COST) == []
    return replay


@pytest.mark.parametrize("detector", [None, AdaptiveRule()], ids=["deviation", "adaptive"])
@pytest.mark.parametrize(("registered", "is_told"), [(10, True), (32, True), (33, False), (59, False)])
def test_the_first_cost_of_an_account_is_told_if_it_was_quiet_for_four_weeks(
    registered: int, detector: AdaptiveRule | None, *, is_told: bool
) -> None:
    """In the first night, once, and until it is what is expected; a younger account has only begun."""
    replay = quiet(registered, detector)
    replay.costs(dict.fromkeys(range(FIRST_COST, 141), 1500), service=EC2)
    anomalies = [each for each in told(replay.run(FIRST_COST + 1)) if each.startswith("anomaly.")]
    assert anomalies == ["anomaly.detected"] * is_told
    later = replay.runs(FIRST_COST + 2, 140)
    assert told(later).count("anomaly.resolved") == is_told
    assert "anomaly.detected" not in told(later)
    assert [(each.direction, each.start_date) for each in replay.anomalies] == (
        [(Direction.SPIKE, day(FIRST_COST))] * is_told
    )


@pytest.mark.parametrize("detector", [None, AdaptiveRule()], ids=["deviation", "adaptive"])
def test_cost_from_before_it_was_registered_is_its_history(detector: AdaptiveRule | None) -> None:
    """What an account has always cost is no news, however late it is registered or learned again."""
    replay = Replay(
        account=make_account(created_at=datetime.combine(day(90), time(5), UTC)), adaptive=detector
    )
    replay.costs(dict.fromkeys(range(70, 141), 1500), service=EC2)
    assert replay.runs(90, 140) == []


@pytest.mark.parametrize("detector", [None, AdaptiveRule()], ids=["deviation", "adaptive"])
def test_a_second_currency_begins_with_its_first_cost(detector: AdaptiveRule | None) -> None:
    """Only of an account that cost nothing at all is a quiet time its history."""
    replay = Replay(
        account=make_account(created_at=datetime.combine(day(0), time(5), UTC)), adaptive=detector
    )
    replay.own_currencies = {S3: "EUR"}
    replay.costs(dict.fromkeys(range(141), 100), service=EC2)
    replay.runs(0, 90)
    replay.costs(dict.fromkeys(range(90, 141), 1500), service=S3)
    replay.runs(91, 120)
    assert [each for each in replay.anomalies if each.currency == "EUR"] == []


@pytest.mark.parametrize("detector", [None, AdaptiveRule()], ids=["deviation", "adaptive"])
def test_a_second_currency_changes_nothing_of_the_first_cost(detector: AdaptiveRule | None) -> None:
    """Its anomaly stays, also when the account is learned again; the second currency is not told."""
    alone, joined = quiet(10, detector), quiet(10, detector)
    joined.own_currencies = {S3: "EUR"}
    for n in range(FIRST_COST + 1, 100):
        for replay in (alone, joined):
            if n == FIRST_COST + 1:
                replay.costs(dict.fromkeys(range(FIRST_COST, 141), 1500), service=EC2)
            if n == FIRST_COST + 4 and replay is joined:
                replay.costs(dict.fromkeys(range(FIRST_COST + 3, 141), 20), service=S3)
            if n == FIRST_COST + 6:
                replay.costs({FIRST_COST: 900, FIRST_COST + 1: 1000}, service=EC2)
            replay.run(n)
    assert {each.currency for each in joined.anomalies} == {"USD"}
    assert spans(joined.anomalies) == spans(alone.anomalies)
    assert [each.start_date for each in joined.real] == [day(FIRST_COST)]


@pytest.mark.parametrize("detector", [None, AdaptiveRule()], ids=["deviation", "adaptive"])
def test_currencies_that_begin_together_are_both_the_first_cost(detector: AdaptiveRule | None) -> None:
    """Neither of them came after the other."""
    replay = quiet(10, detector)
    replay.own_currencies = {S3: "EUR"}
    replay.costs(dict.fromkeys(range(FIRST_COST, 141), 1500), service=EC2)
    replay.costs(dict.fromkeys(range(FIRST_COST, 141), 20), service=S3)
    replay.runs(FIRST_COST + 1, 80)
    assert {each.currency for each in replay.real} == {"EUR", "USD"}


@pytest.mark.parametrize("detector", [None, AdaptiveRule()], ids=["deviation", "adaptive"])
def test_a_currency_is_not_the_first_one_if_another_ended_long_before(detector: AdaptiveRule | None) -> None:
    """Also if no day of the other one is looked at any more."""
    replay = quiet(10, detector)
    replay.own_currencies = {S3: "EUR"}
    replay.costs(dict.fromkeys(range(FIRST_COST, FIRST_COST + 20), 20), service=S3)
    replay.runs(FIRST_COST + 1, 560)
    replay.costs(dict.fromkeys(range(560, 600), 1500), service=EC2)
    replay.runs(561, 580)
    assert [each for each in replay.anomalies if each.currency == "USD"] == []


def test_the_first_cost_is_told_of_each_service_that_is_a_visible_part_of_it() -> None:
    """Of what the account costs now, and not of the nothing that it cost for weeks; what was told stays."""
    replay = quiet(10, AdaptiveRule())
    replay.costs({60: 100, 61: 400, 62: 1500} | dict.fromkeys(range(63, 141), 3000), service=EC2)
    for number in range(20):
        begin, name = FIRST_COST + number % 10, f"service {number}"
        replay.costs(dict.fromkeys(range(begin, 141), 4 + number % 3), service=name)
    replay.runs(FIRST_COST + 1, 100)
    visible = {EC2, "service 0", "service 10"}
    assert {each.service for each in replay.anomalies} == visible
    assert {each.service for each in replay.real} == visible


@pytest.mark.parametrize("detector", [None, AdaptiveRule()], ids=["deviation", "adaptive"])
def test_an_account_of_which_it_is_not_known_when_it_was_registered_begins_with_its_cost(
    detector: AdaptiveRule | None,
) -> None:
    """It may have been there for a day or for years."""
    replay = quiet(10, detector)
    replay.account = replace(replay.account, created_at=None)
    replay.costs(dict.fromkeys(range(FIRST_COST, 141), 1500), service=EC2)
    replay.runs(FIRST_COST + 1, 100)
    assert replay.anomalies == []
