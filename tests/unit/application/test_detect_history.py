"""First collections, backfills, outages and services: what is judged, and which events there are."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from costbatch.application.collect.known import days_to_judge
from costbatch.domain.costs import CostBasis
from costbatch.domain.detection import Rule
from costbatch.domain.first_charges import FirstChargePolicy
from costbatch.domain.periods import WindowPolicy
from tests.support.factories import day, days, make_anomaly
from tests.support.replay import Replay, flat, spans, told

DETECTED, UPDATED, RESOLVED = "anomaly.detected", "anomaly.updated", "anomaly.resolved"


def test_a_first_collection_announces_only_what_is_not_over() -> None:
    """Its history is in the table; an alert about last month would not help."""
    replay = Replay()
    replay.costs({**flat(0, 60), 20: 300, 58: 300})
    (event,) = replay.run(60)
    assert (event.type.value, event.data["anomaly"]["start_date"]) == (DETECTED, str(day(58)))
    assert spans(replay.anomalies) == [("spike", 20, 20, "ended"), ("spike", 58, 58, "open")]


def test_a_first_collection_announces_everything_that_is_open() -> None:
    """The last day that may still continue is an event, the day before it is over."""
    for spike, expected in ((55, [DETECTED]), (54, [])):
        replay = Replay()
        replay.costs({**flat(0, 60), spike: 300})
        assert told(replay.run(60)) == expected
        assert len(replay.open) == len(expected)


def test_days_of_an_outage_without_any_cost_are_judged_too() -> None:
    """Nothing came and nothing changed, and that is the news: the drop begins where the cost ended."""
    replay = Replay()
    replay.costs(flat(0, 40))
    replay.runs(30, 40)
    assert told(replay.run(48)) == [DETECTED]
    assert spans(replay.open) == [("drop", 40, 45, "open")]


def test_what_is_found_over_has_one_revision_for_each_change() -> None:
    """Detected and resolved in one breath are two changes."""
    replay = Replay()
    replay.costs({**flat(0, 60), 20: 300})
    replay.run(60)
    assert [each.revision for each in replay.anomalies] == [2]


def test_a_backfill_of_an_outage_announces_what_the_next_run_no_longer_can() -> None:
    """The spike and the first cost of the outage: the night after sees nothing new of the days."""
    replay = Replay()
    replay.first_charges = FirstChargePolicy(dormant=frozenset({replay.account.aws_account_id}))
    replay.runs(30, 40)
    replay.costs({**flat(42, 60), 52: 300})
    came = {"account.dormant_charged", "service.first_charged", DETECTED, RESOLVED}
    assert set(told(replay.backfill(35, 60, today=60))) == came
    assert told(replay.run(60)) == []


def test_backfills_one_after_the_other_are_judged_like_nights() -> None:
    """With the schedule suspended, each week that is read continues the one before."""
    replay = Replay()
    replay.costs({**flat(0, 60), **flat(47, 60, 300)})
    replay.runs(30, 40)
    assert told(replay.backfill(40, 46, today=46)) == []
    assert told(replay.backfill(46, 52, today=52)) == [DETECTED]
    assert told(replay.backfill(52, 58, today=58)) == [UPDATED]
    assert spans(replay.open) == [("spike", 47, 57, "open")]


def test_an_ordinary_run_after_an_outage_announces_what_it_missed() -> None:
    """A spike of the outage is reported late, with its end, but it is reported."""
    replay = Replay()
    replay.costs({**flat(0, 60), 45: 300})
    replay.runs(30, 40)
    assert told(replay.run(60)) == [DETECTED, RESOLVED]
    assert spans(replay.anomalies) == [("spike", 45, 45, "ended")]


def test_an_anomaly_open_before_a_long_outage_is_resolved_after_it_with_an_event() -> None:
    """A receiver of the first event gets the last one, however long the outage was."""
    replay = Replay(policy=WindowPolicy(trailing_days=3, month_close_day=0, history_months=2))
    replay.costs({**flat(0, 150), 39: 300})
    assert told(replay.runs(38, 40)) == [DETECTED]
    assert told(replay.run(150)) == [RESOLVED]


def test_days_that_had_not_settled_before_a_long_outage_are_read_and_judged_again() -> None:
    """The last days before it came late as always; the drop that they seemed to be is none."""
    replay = Replay(policy=WindowPolicy(trailing_days=3, month_close_day=0, history_months=2))
    replay.costs({**flat(0, 39), 38: 20, 39: 5})
    replay.runs(30, 40)
    replay.costs({**flat(40, 150), 38: 20, 39: 100})
    assert told(replay.run(150)) == [DETECTED, RESOLVED]
    assert spans(replay.anomalies) == [("drop", 38, 38, "ended")]


def test_days_that_were_never_read_are_not_zeros() -> None:
    """After an outage longer than the history of AWS an account begins anew, without a false alarm."""
    replay = Replay(policy=WindowPolicy(trailing_days=35, month_close_day=0, history_months=2))
    replay.costs({**flat(0, 40), **flat(100, 600)})
    replay.runs(38, 40)
    assert replay.run(600) == []
    assert replay.anomalies == []
    assert replay.covered is not None
    assert replay.covered.start > day(100)


def test_a_collection_that_begins_anew_announces_only_what_is_not_over() -> None:
    """As a first one: no ordinary run has read its days, but nothing says what was stored before them."""
    replay = Replay(policy=WindowPolicy(trailing_days=35, month_close_day=0, history_months=2))
    replay.costs({**flat(0, 40), **flat(100, 600), 580: 300})
    replay.runs(38, 40)
    assert replay.run(600) == []
    assert spans(replay.anomalies) == [("spike", 580, 580, "ended")]


def test_an_anomaly_from_before_a_gap_that_stays_ends_with_its_days_as_they_were() -> None:
    """What is not known about the days after it does not keep it open for ever."""
    replay = Replay(policy=WindowPolicy(trailing_days=35, month_close_day=0, history_months=2))
    replay.costs({**flat(0, 40), 39: 300, **flat(100, 600)})
    assert told(replay.runs(38, 40)) == [DETECTED]
    assert told(replay.run(600)) == [RESOLVED]
    assert spans(replay.anomalies) == [("spike", 39, 39, "ended")]


def test_an_island_of_old_days_does_not_count_as_history() -> None:
    """A backfill far before a young account must not make zeros of the days between."""
    replay = Replay(policy=WindowPolicy(trailing_days=3, history_months=0, month_close_day=0))
    replay.costs(flat(0, 70))
    replay.run(60)
    assert replay.backfill(0, 5, today=60) == []
    assert replay.runs(61, 69) == []
    assert replay.anomalies == []


def settled_replay() -> Replay:
    """Return an account with an anomaly of days 50 to 54 that is over, after the seventieth night."""
    replay = Replay()
    replay.costs({**flat(0, 70), **flat(50, 55, 300)})
    replay.runs(41, 70)
    assert spans(replay.anomalies) == [("spike", 50, 54, "ended")]
    return replay


def test_a_backfill_does_not_announce_what_is_long_over() -> None:
    """An anomaly that only the corrected history shows goes into the table and is no event."""
    replay = settled_replay()
    replay.costs({30: 300})
    assert replay.backfill(28, 33, today=70) == []
    assert spans(replay.anomalies) == [("spike", 30, 30, "ended"), ("spike", 50, 54, "ended")]


def test_a_backfill_inside_an_anomaly_does_not_truncate_it() -> None:
    """It reaches beyond the days that are read, on both sides, and keeps them all."""
    replay = settled_replay()
    before = list(replay.anomalies)
    for start, end in ((48, 52), (51, 53), (53, 60), (40, 50), (40, 51), (46, 48), (56, 58)):
        assert replay.backfill(start, end, today=70) == []
        assert replay.anomalies == before


def test_a_backfill_that_restates_a_day_inside_an_anomaly_updates_all_of_it() -> None:
    """The sum is over every day, those that were read and those that were not."""
    replay = settled_replay()
    replay.costs({52: 400})
    replay.backfill(52, 53, today=70)
    assert spans(replay.anomalies) == [("spike", 50, 54, "ended")]
    assert replay.anomalies[0].actual == Decimal(1600)


def test_a_backfill_judges_the_days_again_that_have_its_days_in_their_mean() -> None:
    """Day 50 deviated from a mean that was wrong; it is not read again, but judged again."""
    replay = Replay()
    replay.costs({**flat(0, 49, 60), **flat(49, 80, 100)})
    replay.runs(41, 80)
    assert replay.real
    replay.costs(flat(0, 49, 100))
    assert replay.backfill(0, 49, today=80) == []
    assert replay.real == []


@pytest.mark.parametrize("last", [day(54), day(70), date(2999, 12, 31)])
def test_no_day_is_judged_that_cannot_be_collected_yet(last: date) -> None:
    """An anomaly that was edited by hand to end in the future takes no longer than one that goes on."""
    known = [make_anomaly(start_date=day(50), last_date=last)]
    judged = days_to_judge(days(52, 60), known, Rule(), end=day(61))
    assert judged == (days(50, 60) if last == day(54) else days(50, 61))


def test_an_anomaly_that_was_edited_to_end_in_the_future_gets_its_days_back() -> None:
    """The next night finds the days that it really has."""
    replay = Replay()
    replay.costs({**flat(0, 50), 50: 300, 51: 300})
    replay.runs(45, 52)
    (known,) = replay.anomalies
    replay.store.tables.anomalies.rows[known.id] = replace(known, last_date=date(2999, 12, 31))
    replay.costs({52: 100})
    assert told(replay.run(53)) == [UPDATED]
    assert spans(replay.anomalies) == [("spike", 50, 51, "open")]


@pytest.mark.parametrize(
    ("first", "expected"), [(54, set()), (55, {"service.first_charged", "account.dormant_charged"})]
)
def test_a_backfill_tells_of_first_cost_that_the_next_night_would_not_see(
    first: int, expected: set[str]
) -> None:
    """Of the newest days, as of anomalies; what began before them is history."""
    replay = Replay()
    replay.first_charges = FirstChargePolicy(dormant=frozenset({replay.account.aws_account_id}))
    replay.costs({0: 1})
    replay.run(55)
    replay.costs(flat(first, 60, 5), service="Amazon Bedrock")
    events = [*replay.backfill(50, 60, today=60), *replay.runs(60, 61)]
    charges = [(each.type.value, each.data["charge"]["date"]) for each in events if "charge" in each.data]
    assert sorted(charges) == sorted((name, str(day(first))) for name in expected)


def test_a_backfill_of_an_account_never_collected_tells_of_no_first_cost() -> None:
    """Its first collection reads the history, in which nothing is news."""
    replay = Replay()
    replay.first_charges = FirstChargePolicy(dormant=frozenset({replay.account.aws_account_id}))
    replay.costs({0: 1, 59: 5})
    assert [each for each in replay.backfill(50, 60, today=60) if "charge" in each.data] == []


def test_a_backfill_reports_how_an_open_anomaly_ends() -> None:
    """An anomaly that was reported is no history."""
    replay = Replay()
    replay.costs({**flat(0, 50), 50: 300})
    assert told(replay.runs(45, 51)) == [DETECTED]
    replay.costs({50: 100})
    assert told(replay.backfill(50, 51, today=51)) == [RESOLVED]


def test_a_backfill_beyond_yesterday_of_an_account_never_collected_is_silent_about_the_past() -> None:
    """Its first days have no history, and its old anomalies are no events."""
    replay = Replay()
    replay.costs({**flat(0, 40), 20: 300})
    assert replay.backfill(0, 40, today=60) == []
    assert spans(replay.anomalies) == [("spike", 20, 20, "ended")]
    assert replay.covered is None


def test_each_service_is_judged_if_the_rule_says_so() -> None:
    """A move that the total does not show: one service up, another down by as much."""
    for per_service, found in ((False, []), (True, ["Amazon EC2", "Amazon S3"])):
        replay = Replay(rule=Rule(per_service=per_service))
        for service, amount in (("Amazon S3", 190), ("Amazon EC2", 10)):
            replay.costs({**flat(0, 53), 50: amount}, service=service)
        events = replay.runs(45, 53)
        assert sorted(each.service or "" for each in replay.open) == found
        assert sorted(event.subject for event in events) == [f"000000000001/{name}" for name in found]


def test_judging_services_switched_off_again_closes_theirs() -> None:
    """The account's own anomaly continues; those of services have no rule any more, and that is an event."""
    replay = Replay(rule=Rule(per_service=True))
    replay.costs({**flat(0, 50), 50: 400})
    assert told(replay.runs(45, 51)) == [DETECTED, DETECTED]
    replay.rule = replace(replay.rule, per_service=False)
    replay.costs({51: 100})
    (event,) = replay.run(52)
    assert (event.type.value, event.data["anomaly"]["service"]) == (RESOLVED, "Amazon EC2")
    assert event.data["anomaly"]["resolution"] == "restated"
    assert [each.service for each in replay.open] == [None]


def test_an_anomaly_remembers_by_which_basis_it_was_judged() -> None:
    """The cost basis is the rule's."""
    replay = Replay(rule=Rule(cost_basis=CostBasis.NET_AMORTIZED))
    replay.costs({**flat(0, 50), 50: 400})
    replay.run(51)
    assert [each.cost_basis for each in replay.open] == [CostBasis.NET_AMORTIZED]


def test_two_accounts_with_the_same_cost_have_anomalies_of_their_own() -> None:
    """An id belongs to one account, one direction, one day; and every repetition gives the same."""
    ids = set()
    for row in (1, 2, 1):
        replay = Replay()
        replay.account = replace(replay.account, id=row, aws_account_id=f"{row:012}")
        replay.costs({**flat(0, 50), 50: 400})
        replay.run(51)
        ids |= {each.id for each in replay.open}
    assert len(ids) == 2
