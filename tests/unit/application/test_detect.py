"""The life of an anomaly, morning by morning. Days are counted from the first of January."""

from dataclasses import replace
from decimal import Decimal

import pytest

from costbatch.domain.anomalies import AnomalyState
from costbatch.domain.detection import Contribution, Rule, Severity
from tests.support.factories import day
from tests.support.replay import Replay, flat, spans, told

DETECTED, UPDATED, RESOLVED = "anomaly.detected", "anomaly.updated", "anomaly.resolved"


@pytest.fixture
def life() -> Replay:
    """Return an account that cost 100 on each of fifty days and has been collected for ten replay."""
    life = Replay()
    life.costs(flat(0, 50))
    assert life.runs(41, 50) == []
    return life


def test_ordinary_mornings_tell_nothing(life: Replay) -> None:
    """Where every day costs what it should, there is no anomaly and no event."""
    life.costs(flat(50, 60, 120))
    assert life.runs(51, 60) == []
    assert life.anomalies == []


def test_a_spike_is_told_on_the_first_morning(life: Replay) -> None:
    """What came, what was expected, the difference in money and in proportion."""
    life.costs({50: "251.50"})
    (event,) = life.run(51)
    assert event.type.value == DETECTED
    said = event.data["anomaly"]
    assert (said["expected"], said["actual"], said["impact"]) == ("100.00", "251.50", "151.50")
    assert (said["deviation_percent"], said["severity"], said["state"]) == ("151.5", "medium", "open")
    assert (said["start_date"], said["last_date"]) == (str(day(50)), str(day(50)))


def test_an_anomaly_is_updated_while_its_days_settle_and_resolved_when_they_are_over(life: Replay) -> None:
    """Late cost raises it; it ends with the third settled ordinary day after it, and is told each time."""
    life.costs({50: 200})
    assert told(life.run(51)) == [DETECTED]
    life.costs({50: 1400, 51: 110})
    (update,) = life.run(52)
    assert (update.type.value, update.data["anomaly"]["severity"]) == (UPDATED, "high")
    life.costs(flat(52, 60, 110))
    assert life.runs(53, 55) == []
    assert told(life.run(56)) == [RESOLVED]
    assert life.runs(57, 60) == []
    assert spans(life.anomalies) == [("spike", 50, 50, "ended")]
    assert life.anomalies[0].revision == 3


def test_a_drop_is_told_when_its_day_has_settled(life: Replay) -> None:
    """A day that is half there is not taken for a saving."""
    life.costs({50: 20, 51: 100, 52: 100})
    assert life.runs(51, 52) == []
    assert told(life.run(53)) == [DETECTED]
    assert spans(life.anomalies) == [("drop", 50, 50, "open")]


def test_a_day_that_arrives_late_is_no_drop(life: Replay) -> None:
    """The rest of its cost comes before anybody is told."""
    life.costs({50: 5})
    assert life.run(51) == []
    life.costs({50: 98, 51: 3})
    assert life.run(52) == []
    life.costs({51: 101, 52: 100})
    assert life.runs(53, 55) == []


def test_an_anomaly_that_aws_takes_back_is_resolved_as_restated(life: Replay) -> None:
    """It was none; the receiver who was told learns that too."""
    life.costs({50: 500})
    life.run(51)
    life.costs({50: 101, 51: 100})
    (event,) = life.run(52)
    assert (event.type.value, event.data["anomaly"]["resolution"]) == (RESOLVED, "restated")
    assert life.open == []


def test_an_anomaly_over_for_long_that_aws_takes_back_is_updated(life: Replay) -> None:
    """What is in the table stays true: its days are no anomaly, and who was told is told."""
    life.costs({50: 500, **flat(51, 70)})
    life.runs(51, 70)
    life.costs({50: 100, 70: 100})
    (event,) = life.run(71)
    assert (event.type.value, event.data["anomaly"]["resolution"]) == (UPDATED, "restated")
    assert spans(life.anomalies) == [("spike", 50, 50, "restated")]


def test_an_anomaly_that_comes_back_is_the_same_one(life: Replay) -> None:
    """AWS takes a day back and gives it again: one anomaly, opened again, not two."""
    for amount in (500, 100, 480):
        life.costs({50: amount})
        events = life.run(51)
    assert [(each.type.value, each.data["anomaly"]["state"]) for each in events] == [(UPDATED, "open")]
    assert spans(life.anomalies) == [("spike", 50, 50, "open")]
    assert life.anomalies[0].revision == 3


def test_a_level_shift_that_stays_is_one_anomaly_until_the_baseline_has_caught_up(life: Replay) -> None:
    """Nearly twice the cost deviates for nine days: one anomaly, told day by day."""
    life.costs(flat(50, 90, 190))
    assert told(life.runs(51, 60)) == [DETECTED, *[UPDATED] * 8]
    assert spans(life.anomalies) == [("spike", 50, 58, "open")]
    assert told(life.runs(61, 90)) == [RESOLVED]
    assert spans(life.anomalies) == [("spike", 50, 58, "ended")]
    assert life.anomalies[0].actual == 9 * Decimal(190)


def test_a_weekend_does_not_end_an_anomaly(life: Replay) -> None:
    """Two ordinary days between anomalous ones belong to it."""
    life.costs({50: 300, 51: 100, 52: 100, 53: 300})
    assert told(life.runs(51, 54)) == [DETECTED, UPDATED]
    assert spans(life.anomalies) == [("spike", 50, 53, "open")]
    assert life.anomalies[0].actual == Decimal(600)


def test_what_a_person_dismissed_stays_dismissed_and_silent(life: Replay) -> None:
    """It follows its days, so that nobody is told again, and nothing about it is told."""
    life.costs({50: 300, 51: 300})
    life.run(51)
    life.dismiss()
    life.costs({50: 700, **flat(52, 60)})
    assert life.runs(52, 60) == []
    (anomaly,) = life.anomalies
    assert (anomaly.state, anomaly.last_date, anomaly.actual) == (
        AnomalyState.DISMISSED,
        day(51),
        Decimal(1000),
    )


def test_a_dismissed_anomaly_that_aws_takes_back_stays_dismissed(life: Replay) -> None:
    """A person's word is not undone by a restatement."""
    life.costs({50: 300})
    life.run(51)
    life.dismiss()
    life.costs({50: 100})
    assert life.run(51) == []
    assert [each.state for each in life.anomalies] == [AnomalyState.DISMISSED]


def test_restated_days_between_two_anomalies_merge_them(life: Replay) -> None:
    """The earlier one goes on over both, the later one is closed as merged."""
    life.costs({50: 300, **flat(51, 55), 55: 300})
    assert told(life.runs(51, 56)) == [DETECTED, RESOLVED, DETECTED]
    life.costs({53: 300, 56: 100})
    events = life.run(57)
    assert [(each.type.value, each.data["anomaly"]["resolution"]) for each in events] == [
        (UPDATED, None),
        (RESOLVED, "merged"),
    ]
    assert spans(life.anomalies) == [("spike", 50, 55, "open"), ("spike", 55, 55, "merged")]


def test_restated_days_within_an_anomaly_split_it(life: Replay) -> None:
    """The first part keeps the name, the second is a new one; merged again, the first takes it back."""
    life.costs({**flat(50, 57), 50: 300, 53: 300, 56: 300})
    life.runs(51, 57)
    life.costs({53: 100})
    events = life.run(57)
    assert told(events) == [RESOLVED, DETECTED]
    assert spans(life.anomalies) == [("spike", 50, 50, "ended"), ("spike", 56, 56, "open")]
    life.costs({53: 300})
    assert told(life.run(57)) == [UPDATED, RESOLVED]
    assert spans(life.real) == [("spike", 50, 56, "open")]


def test_an_anomaly_that_moved_off_its_first_day_is_not_taken_for_a_new_one_there(life: Replay) -> None:
    """Two anomalies never share an id, also where the second begins on the first one's old first day."""
    life.costs({**flat(50, 61), 50: 300, 52: 300, 55: 300, 58: 300})
    life.runs(51, 61)
    life.costs({50: 100, 52: 100})
    life.run(61)
    assert spans(life.anomalies) == [("spike", 55, 58, "open")]
    life.costs({50: 300, 61: 100})
    events = life.run(62)
    assert spans(life.real) == [("spike", 50, 50, "ended"), ("spike", 55, 58, "open")]
    assert told(events) == [DETECTED, RESOLVED, UPDATED]
    assert len({each.id for each in life.anomalies}) == 2


def test_a_spike_and_a_drop_side_by_side_are_two_anomalies(life: Replay) -> None:
    """They open and end each on its own."""
    life.costs({50: 300, 51: 10, **flat(52, 60)})
    assert told(life.runs(51, 60)) == [DETECTED, DETECTED, RESOLVED, RESOLVED]
    assert spans(life.anomalies) == [("spike", 50, 50, "ended"), ("drop", 51, 51, "ended")]


def test_the_same_morning_again_changes_nothing(life: Replay) -> None:
    """A manual run after the nightly one neither tells nor counts anything twice."""
    life.costs({50: 300, 49: 20, 48: 20})
    assert life.run(51)
    before = dict(life.store.tables.anomalies.rows)
    assert life.run(51) == []
    assert life.store.tables.anomalies.rows == before


def test_a_change_below_a_cent_is_none(life: Replay) -> None:
    """Nobody is told twice what reads the same."""
    life.costs({50: "300.001"})
    life.run(51)
    life.costs({50: "300.002"})
    assert life.run(51) == []
    life.costs({50: "300.02"})
    assert told(life.run(51)) == [UPDATED]


def test_an_anomaly_names_the_services_that_moved(life: Replay) -> None:
    """Of two services one explains the spike, with what it should have cost."""
    life.costs(flat(0, 51, 40), service="Amazon S3")
    life.costs({50: 100, 51: 100})
    life.costs({51: 240}, service="Amazon S3")
    (event,) = life.run(52)
    assert event.data["anomaly"]["explanation"] == [
        {"service": "Amazon S3", "expected": "40.00", "actual": "240.00"}
    ]
    assert life.open[0].explanation == (Contribution("Amazon S3", Decimal(40), Decimal(240)),)
    assert life.open[0].severity is Severity.MEDIUM


def test_another_currency_closes_what_was_open_in_the_old_one() -> None:
    """Its amounts stay as they were, it ends in time, and the new currency's first week is not judged."""
    life = Replay()
    life.costs({**flat(0, 50), 50: 300})
    life.runs(41, 51)
    life.costs(flat(51, 70, 15000))
    life.currencies |= {day(n): "JPY" for n in range(51, 70)}
    assert told(life.runs(52, 70)) == [RESOLVED]
    (anomaly,) = life.anomalies
    assert (anomaly.currency, anomaly.actual, anomaly.resolution) == ("USD", Decimal(300), "ended")


def test_a_bill_that_vanishes_altogether_resolves_what_was_open(life: Replay) -> None:
    """Without any cost left there is nothing to depart from, and nothing stays open for ever."""
    life.costs({50: 300})
    life.policy = replace(life.policy, trailing_days=400)
    life.run(51)
    life.bill.clear()
    (event,) = life.run(52)
    assert (event.type.value, event.data["anomaly"]["resolution"]) == (RESOLVED, "restated")


def test_an_account_without_any_cost_is_judged_in_peace() -> None:
    """A new account has no bill yet."""
    assert Replay(rule=Rule(per_service=True)).runs(50, 53) == []
