"""The life of an anomaly, night by night. Days are counted from the first of January."""

from dataclasses import replace
from decimal import Decimal

import pytest

from costbatch.domain.accounts import Progress
from costbatch.domain.detection import Contribution, Rule, Severity
from tests.support.factories import day, days
from tests.support.replay import Replay, flat, spans, told

DETECTED, UPDATED, RESOLVED = "anomaly.detected", "anomaly.updated", "anomaly.resolved"


@pytest.fixture
def replay() -> Replay:
    """Return an account that cost 100 on each of fifty days and was collected in the last ten nights."""
    replay = Replay()
    replay.costs(flat(0, 50))
    assert replay.runs(41, 50) == []
    return replay


def test_ordinary_days_are_no_anomaly(replay: Replay) -> None:
    """If every day costs what is expected, there is no anomaly and no event."""
    replay.costs(flat(50, 60, 120))
    assert replay.runs(51, 60) == []
    assert replay.anomalies == []


def test_a_spike_is_reported_at_once(replay: Replay) -> None:
    """Actual and expected cost, the difference in money and in proportion."""
    replay.costs({50: "251.50"})
    (event,) = replay.run(51)
    assert event.type.value == DETECTED
    said = event.data["anomaly"]
    assert (said["expected"], said["actual"], said["impact"]) == ("100.00", "251.50", "151.50")
    assert (said["deviation_percent"], said["severity"], said["state"]) == ("151.5", "medium", "open")
    assert (said["start_date"], said["last_date"]) == (str(day(50)), str(day(50)))


def test_an_event_shows_the_daily_cost_up_to_the_newest_day(replay: Replay) -> None:
    """Thirty days, those without cost as zeros; the newest is not complete."""
    replay.costs({45: 0, 50: "251.50"})
    (event,) = [each for each in replay.run(51) if each.data["anomaly"]["direction"] == "spike"]
    said = event.data["anomaly"]
    assert [each["date"] for each in said["trend"]] == [str(day(n)) for n in range(21, 51)]
    assert [each["amount"] for each in said["trend"][-6:]] == ["0.00", *["100.00"] * 4, "251.50"]
    assert (said["newest_date"], said["newest_is_complete"]) == (str(day(50)), False)


def test_a_day_is_complete_by_the_rule_of_the_account(replay: Replay) -> None:
    """Not by that of all others."""
    replay.own_rule = replace(replay.rule, settle_days=0)
    replay.costs({50: "251.50"})
    (event,) = replay.run(51)
    assert event.data["anomaly"]["newest_is_complete"] is True


def test_a_service_has_its_own_trend_and_days_before_its_history_are_not_zeros() -> None:
    """What was not collected is not known."""
    replay = Replay(rule=Rule(per_service=True))
    replay.costs({**flat(38, 50, 10), 50: 90}, "Amazon S3")
    replay.costs(flat(38, 51))
    replay.progress = Progress(covered=days(38, 50))
    events = replay.run(51)
    (event,) = [each for each in events if each.data.get("anomaly", {}).get("service")]
    trend = event.data["anomaly"]["trend"]
    assert (trend[0]["date"], len(trend), trend[-1]["amount"]) == (str(day(38)), 13, "90.00")


def test_a_peak_is_the_most_extreme_day(replay: Replay) -> None:
    """The highest of a spike, the lowest of a drop."""
    replay.costs({49: 20, 50: 5, 51: 30, **flat(52, 54)})
    replay.runs(51, 54)
    assert replay.anomalies[0].peak == Decimal(5)
    replay.costs({54: 300, 55: 900, 56: 400})
    replay.runs(55, 57)
    assert replay.anomalies[-1].peak == Decimal(900)


def test_an_anomaly_is_updated_while_its_days_settle_and_resolved_when_they_are_over(replay: Replay) -> None:
    """Late cost raises it; it ends with the third settled ordinary day after it; each is an event."""
    replay.costs({50: 200})
    assert told(replay.run(51)) == [DETECTED]
    replay.costs({50: 1400, 51: 110})
    (update,) = replay.run(52)
    assert (update.type.value, update.data["anomaly"]["severity"]) == (UPDATED, "high")
    replay.costs(flat(52, 60, 110))
    assert replay.runs(53, 55) == []
    assert told(replay.run(56)) == [RESOLVED]
    assert replay.runs(57, 60) == []
    assert spans(replay.anomalies) == [("spike", 50, 50, "ended")]
    assert replay.anomalies[0].revision == 3


def test_a_drop_is_reported_when_its_day_has_settled(replay: Replay) -> None:
    """An incomplete day is not taken for a saving."""
    replay.costs({50: 20, 51: 100, 52: 100})
    assert replay.runs(51, 52) == []
    assert told(replay.run(53)) == [DETECTED]
    assert spans(replay.anomalies) == [("drop", 50, 50, "open")]


def test_a_day_that_arrives_late_is_no_drop(replay: Replay) -> None:
    """The rest of its cost arrives before it is reported."""
    replay.costs({50: 5})
    assert replay.run(51) == []
    replay.costs({50: 98, 51: 3})
    assert replay.run(52) == []
    replay.costs({51: 101, 52: 100})
    assert replay.runs(53, 55) == []


def test_an_anomaly_that_aws_takes_back_is_resolved_as_restated(replay: Replay) -> None:
    """It was none; a receiver of the first event gets that too."""
    replay.costs({50: 500})
    replay.run(51)
    replay.costs({50: 101, 51: 100})
    (event,) = replay.run(52)
    assert (event.type.value, event.data["anomaly"]["resolution"]) == (RESOLVED, "restated")
    assert replay.open == []


def test_an_anomaly_over_for_long_that_aws_takes_back_is_updated(replay: Replay) -> None:
    """The table stays correct: its days are no anomaly, and that is an event."""
    replay.costs({50: 500, **flat(51, 70)})
    replay.runs(51, 70)
    replay.costs({50: 100, 70: 100})
    (event,) = replay.run(71)
    assert (event.type.value, event.data["anomaly"]["resolution"]) == (UPDATED, "restated")
    assert spans(replay.anomalies) == [("spike", 50, 50, "restated")]


def test_an_anomaly_that_comes_back_is_the_same_one(replay: Replay) -> None:
    """AWS takes a day back and gives it again: one anomaly, detected again, not two."""
    for amount in (500, 100, 480):
        replay.costs({50: amount})
        events = replay.run(51)
    assert [(each.type.value, each.data["anomaly"]["state"]) for each in events] == [(DETECTED, "open")]
    assert spans(replay.anomalies) == [("spike", 50, 50, "open")]
    assert replay.anomalies[0].revision == 3


def test_a_new_spike_beside_one_that_was_taken_back_is_news(replay: Replay) -> None:
    """Whoever is told of new anomalies only would never hear of it."""
    for amount in (160, 100):
        replay.costs({50: amount})
        replay.run(51)
    replay.costs({52: 5000})
    assert told(replay.run(53)) == [DETECTED]
    assert spans(replay.anomalies) == [("spike", 52, 52, "open")]


def test_a_level_shift_that_stays_is_one_anomaly_until_the_baseline_has_caught_up(replay: Replay) -> None:
    """Nearly twice the cost deviates for nine days: one anomaly, with an event for each day."""
    replay.costs(flat(50, 90, 190))
    assert told(replay.runs(51, 60)) == [DETECTED, *[UPDATED] * 8]
    assert spans(replay.anomalies) == [("spike", 50, 58, "open")]
    assert told(replay.runs(61, 90)) == [RESOLVED]
    assert spans(replay.anomalies) == [("spike", 50, 58, "ended")]
    assert replay.anomalies[0].actual == 9 * Decimal(190)


def test_a_weekend_does_not_end_an_anomaly(replay: Replay) -> None:
    """Two ordinary days between anomalous ones belong to it."""
    replay.costs({50: 300, 51: 100, 52: 100, 53: 300})
    assert told(replay.runs(51, 54)) == [DETECTED, UPDATED]
    assert spans(replay.anomalies) == [("spike", 50, 53, "open")]
    assert replay.anomalies[0].actual == Decimal(600)


def test_restated_days_between_two_anomalies_merge_them(replay: Replay) -> None:
    """The earlier one continues over both, the later one is closed as merged."""
    replay.costs({50: 300, **flat(51, 55), 55: 300})
    assert told(replay.runs(51, 56)) == [DETECTED, RESOLVED, DETECTED]
    replay.costs({53: 300, 56: 100})
    events = replay.run(57)
    assert [(each.type.value, each.data["anomaly"]["resolution"]) for each in events] == [
        (UPDATED, None),
        (RESOLVED, "merged"),
    ]
    assert spans(replay.anomalies) == [("spike", 50, 55, "open"), ("spike", 55, 55, "merged")]


def test_restated_days_within_an_anomaly_split_it(replay: Replay) -> None:
    """The first part keeps the name, the second is a new one; merged again, the first takes it back."""
    replay.costs({**flat(50, 57), 50: 300, 53: 300, 56: 300})
    replay.runs(51, 57)
    replay.costs({53: 100})
    events = replay.run(57)
    assert told(events) == [RESOLVED, DETECTED]
    assert spans(replay.anomalies) == [("spike", 50, 50, "ended"), ("spike", 56, 56, "open")]
    replay.costs({53: 300})
    assert told(replay.run(57)) == [UPDATED, RESOLVED]
    assert spans(replay.real) == [("spike", 50, 56, "open")]


def test_an_anomaly_that_moved_off_its_first_day_is_not_taken_for_a_new_one_there(replay: Replay) -> None:
    """Two anomalies never share an id, even if the second begins on the first one's old first day."""
    replay.costs({**flat(50, 61), 50: 300, 52: 300, 55: 300, 58: 300})
    replay.runs(51, 61)
    replay.costs({50: 100, 52: 100})
    replay.run(61)
    assert spans(replay.anomalies) == [("spike", 55, 58, "open")]
    replay.costs({50: 300, 61: 100})
    events = replay.run(62)
    assert spans(replay.real) == [("spike", 50, 50, "ended"), ("spike", 55, 58, "open")]
    assert told(events) == [DETECTED, RESOLVED, UPDATED]
    assert len({each.id for each in replay.anomalies}) == 2


def test_a_spike_and_a_drop_side_by_side_are_two_anomalies(replay: Replay) -> None:
    """They open and end each on its own."""
    replay.costs({50: 300, 51: 10, **flat(52, 60)})
    assert told(replay.runs(51, 60)) == [DETECTED, DETECTED, RESOLVED, RESOLVED]
    assert spans(replay.anomalies) == [("spike", 50, 50, "ended"), ("drop", 51, 51, "ended")]


@pytest.mark.parametrize(("first", "cost"), [(50, {50: 300}), (50, flat(50, 62, 0))], ids=["spike", "drop"])
@pytest.mark.parametrize("resumed", [51, 52, 54, 58])
def test_a_run_resumed_after_later_nights_judges_as_they_did(
    replay: Replay, first: int, cost: dict[int, int | str], resumed: int
) -> None:
    """What is over stays over, and a drop on days that have settled since stays one."""
    replay.costs({**flat(first, 62), **cost})
    replay.runs(51, 60)
    before = list(replay.anomalies)
    assert before
    assert replay.run(resumed) == []
    assert replay.anomalies == before


def test_the_same_night_again_changes_nothing(replay: Replay) -> None:
    """A manual run after the nightly one neither reports nor counts anything twice."""
    replay.costs({50: 300, 49: 20, 48: 20})
    assert replay.run(51)
    before = dict(replay.store.tables.anomalies.rows)
    assert replay.run(51) == []
    assert replay.store.tables.anomalies.rows == before


def test_a_change_below_a_cent_is_none(replay: Replay) -> None:
    """What reads the same is not reported twice."""
    replay.costs({50: "300.001"})
    replay.run(51)
    replay.costs({50: "300.002"})
    assert replay.run(51) == []
    replay.costs({50: "300.02"})
    assert told(replay.run(51)) == [UPDATED]


def test_an_anomaly_names_the_services_that_moved(replay: Replay) -> None:
    """Of two services one explains the spike, with what it should have cost."""
    replay.costs(flat(0, 51, 40), service="Amazon S3")
    replay.costs({50: 100, 51: 100})
    replay.costs({51: 240}, service="Amazon S3")
    event = replay.run(52)[-1]
    assert event.data["anomaly"]["explanation"] == [
        {"service": "Amazon S3", "expected": "40.00", "actual": "240.00"}
    ]
    assert replay.open[0].explanation == (Contribution("Amazon S3", Decimal(40), Decimal(240)),)
    assert replay.open[0].severity is Severity.MEDIUM


def test_another_currency_closes_what_was_open_in_the_old_one() -> None:
    """Its amounts stay as they were, it ends in time, and the new currency's first week is not judged."""
    replay = Replay()
    replay.costs({**flat(0, 50), 50: 300})
    replay.runs(41, 51)
    replay.costs(flat(51, 70, 15000))
    replay.currencies |= {day(n): "JPY" for n in range(51, 70)}
    assert told(replay.runs(52, 70)) == [RESOLVED]
    (anomaly,) = replay.anomalies
    assert (anomaly.currency, anomaly.actual, anomaly.resolution) == ("USD", Decimal(300), "ended")


def test_a_bill_that_vanishes_altogether_resolves_what_was_open(replay: Replay) -> None:
    """Without any cost left nothing can deviate, and nothing stays open for ever."""
    replay.costs({50: 300})
    replay.policy = replace(replay.policy, trailing_days=400)
    replay.run(51)
    replay.bill.clear()
    (event,) = replay.run(52)
    assert (event.type.value, event.data["anomaly"]["resolution"]) == (RESOLVED, "restated")


def test_an_account_without_any_cost_has_no_anomalies() -> None:
    """A new account has no bill yet."""
    assert Replay(rule=Rule(per_service=True)).runs(50, 53) == []
