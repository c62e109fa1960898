"""The adaptive detector if AWS bills an account in several currencies, or in another one than before."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from costbatch.domain.adaptive_rule import AdaptiveRule
from costbatch.domain.detection import Rule
from tests.support.factories import day
from tests.support.replay import EC2, LAST, S3, Replay, spans, times, told, two_services, usual


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


def two_currencies(*, ends: int, dollars_end: int = 250) -> Replay:
    """Return an account whose S3 is billed in euros, and ends, after a first collection of 100 days."""
    replay = Replay(adaptive=AdaptiveRule(), rule=replace(Rule(), settle_days=2))
    replay.own_currencies = {S3: "EUR"}
    replay.costs(usual(100, last=dollars_end), service=EC2)
    replay.costs(usual(40, seed=2, last=ends), service=S3)
    assert replay.run(100) == []
    return replay


@pytest.mark.parametrize("share", [1.0, 0.95])
def test_a_currency_that_only_ends_keeps_its_anomaly_and_is_forgotten(share: float) -> None:
    """AWS took nothing of it back, whatever it does with the newest days of another one.

    share: how much of a day is known on the first morning.
    """
    replay = two_currencies(ends=130)
    assert told(replay.runs(101, 140))[-1] == "anomaly.resolved"
    ended = [("drop", 130, 134, "ended")]
    assert spans(replay.anomalies) == ended
    dollars = usual(100, last=250)
    for n in range(141, 211):
        replay.costs(dollars | times(dollars, share, [n - 1]), service=EC2)
        assert replay.run(n) == []
    assert spans(replay.anomalies) == ended
    assert {currency for _, currency in replay.store.tables.memories.rows} == {"USD"}
    assert replay.learners == {2}


def test_a_restated_day_of_a_quiet_currency_is_not_taken_back() -> None:
    """It costs something still: in the night in which its currency is forgotten, too."""
    replay = two_currencies(ends=130)
    replay.runs(101, 165)
    replay.bill[day(120), S3] += 1
    assert replay.backfill(115, 166, today=166) == []
    assert spans(replay.anomalies) == [("drop", 130, 134, "ended")]


def test_currencies_that_end_together_keep_their_anomalies() -> None:
    """None took the place of another, and an account without cost is judged as one with a single currency."""
    replay = two_currencies(ends=130, dollars_end=130)
    replay.runs(101, 140)
    ended = [("drop", 130, 134, "ended")] * 2
    assert spans(replay.anomalies) == ended
    assert replay.runs(141, 210) == []
    assert spans(replay.anomalies) == ended
    assert {each.newest for each in replay.store.tables.memories.rows.values()} == {day(209)}


def test_a_currency_that_was_replaced_is_no_drop_if_all_cost_ends_then(replay: Replay) -> None:
    """Also if nights are missed meanwhile, so that no currency has had cost for long."""
    replay.currencies = {day(n): "EUR" for n in range(110, LAST)}
    for place in [place for place in replay.bill if place[0] >= day(113)]:
        del replay.bill[place]
    assert [each for each in replay.runs(101, 145) if each.data["anomaly"]["currency"] == "USD"] == []
    assert [each for each in replay.run(150) if each.data["anomaly"]["currency"] == "USD"] == []


@pytest.mark.parametrize("nights", [1, 2, 3, 4])
def test_a_charge_in_a_quiet_currency_that_aws_takes_back_is_no_anomaly(nights: int) -> None:
    """Whether it was final when it was taken back or not."""
    replay = two_currencies(ends=130)
    replay.runs(101, 180)
    before = spans(replay.anomalies)
    replay.costs({180: 500}, service=S3)
    events = replay.runs(181, 180 + nights)
    del replay.bill[day(180), S3]
    events += replay.runs(181 + nights, 190)
    assert [each.data["anomaly"]["state"] for each in events][:: len(events) - 1] == ["open", "resolved"]
    assert spans(replay.anomalies) == [*before, ("spike", 180, 180, "restated")]


def test_a_backfill_of_days_that_are_billed_in_another_currency_now_finds_no_drop(replay: Replay) -> None:
    """The old currency ended on the day before them."""
    replay.costs(times(usual(100), 4, [108]), service=EC2)
    assert told(replay.runs(101, 109)) == ["anomaly.detected"]
    replay.currencies = {day(n): "EUR" for n in range(65, LAST)}
    with capture_logs() as logs:
        replay.backfill(41, 110, today=110)
    assert [line["last_day"] for line in logs if line["event"] == "currency_replaced"] == [f"{day(64)}"]
    in_dollars = [each for each in replay.anomalies if each.currency == "USD"]
    assert spans(in_dollars) == [("spike", 108, 108, "restated")]
