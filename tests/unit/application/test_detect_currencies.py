"""The adaptive detector if AWS bills an account in several currencies, or in another one than before."""

import pytest
from structlog.testing import capture_logs

from costbatch.domain.adaptive_rule import AdaptiveRule
from tests.support.factories import day
from tests.support.replay import EC2, LAST, Replay, spans, times, told, two_services, usual


@pytest.fixture
def replay() -> Replay:
    """Return an account with two services and a first collection of 100 days."""
    return two_services()


def test_another_currency_is_no_outage_and_no_new_service(replay: Replay) -> None:
    """When the bill turns to euros, the dollars end without a drop and the euros begin without a spike."""
    replay.currencies = {day(n): "EUR" for n in range(110, LAST)}
    assert replay.runs(101, 130) == []
    assert {currency for _, currency in replay.store.tables.memories.rows} == {"USD", "EUR"}


def test_a_currency_that_was_replaced_is_forgotten(replay: Replay) -> None:
    """Or each night would read its days from its end on. When it comes back, it is learned again."""
    replay.currencies = {day(n): "EUR" for n in range(101, 138)}
    assert replay.runs(101, 138) == []
    assert {currency for _, currency in replay.store.tables.memories.rows} == {"EUR"}
    replay.runs(139, 140)
    assert {currency for _, currency in replay.store.tables.memories.rows} == {"USD", "EUR"}


@pytest.mark.parametrize("returns", [108, 110, 112])
def test_a_currency_that_comes_back_changes_no_anomaly_of_another(replay: Replay, returns: int) -> None:
    """It is learned from its beginning; of the other one only the newest days are judged."""
    replay.costs(times(usual(100), 3, range(105, LAST)), service=EC2)
    other = Replay(adaptive=AdaptiveRule(), rule=replay.rule, bill=dict(replay.bill))
    other.own_currencies = {"Marketplace": "EUR"}
    other.costs(dict.fromkeys([*range(45, 60), *range(returns, LAST)], 20), service="Marketplace")
    for each in (replay, other):
        each.run(100)
        each.runs(101, 125)
    dollars = [each for each in other.anomalies if each.currency == "USD"]
    assert spans(dollars) == spans(replay.anomalies) == [("spike", 105, 109, "ended")]
    assert [(each.actual, each.revision) for each in dollars] == [
        (each.actual, each.revision) for each in replay.anomalies
    ]


def test_a_first_cost_in_another_currency_silences_nothing(replay: Replay) -> None:
    """What is history in euros is none in dollars: AWS restates a day that was learned in the same night."""
    replay.runs(101, 115)
    replay.own_currencies = {"Marketplace": "EUR"}
    replay.costs(times(usual(100), 3, [102]), service=EC2)
    replay.costs({115: 20}, service="Marketplace")
    events = [each for each in told(replay.run(116)) if each.startswith("anomaly.")]
    assert events == ["anomaly.detected", "anomaly.resolved"]
    assert spans(replay.anomalies) == [("spike", 102, 102, "ended")]


@pytest.mark.parametrize(("since", "last"), [(102, 101), (60, 74)])
def test_a_month_that_is_billed_again_in_another_currency_leaves_no_anomaly(
    replay: Replay, since: int, last: int
) -> None:
    """The dollars of the days from then on are gone, and what was said of them; the log says so once."""
    replay.costs(times(usual(100), 4, [108]), service=EC2)
    assert told(replay.runs(101, 109)) == ["anomaly.detected"]
    replay.currencies = {day(n): "EUR" for n in range(since, LAST)}
    with capture_logs() as logs:
        events = [each.data["anomaly"] for each in replay.runs(110, 120)]
    in_dollars = [each for each in events if each["currency"] == "USD"]
    assert [(each["state"], each["resolution"]) for each in in_dollars] == [("resolved", "restated")]
    assert [line["last_day"] for line in logs if line["event"] == "currency_replaced"] == [f"{day(last)}"]
    cleared = replay.store.tables.expectations.rows[replay.account.id, day(108), EC2, "USD"]
    assert not cleared.is_outside
    assert cleared.actual == 0


def test_a_currency_that_ended_is_no_reason_to_learn_again(replay: Replay) -> None:
    """Its memory is older than the stored days until it is forgotten."""
    replay.currencies = {day(n): "EUR" for n in range(101, LAST)}
    replay.runs(101, 120)
    assert {currency for _, currency in replay.store.tables.memories.rows} == {"USD", "EUR"}
    assert replay.learners == {2}
