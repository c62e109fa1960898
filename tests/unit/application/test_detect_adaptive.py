"""The adaptive detector night by night: what it remembers, learns again, reports, and stores of each day."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from costbatch.application.anomalies import PlannedChanges, Remark
from costbatch.domain.adaptive_rule import AdaptiveRule, Sensitivity
from costbatch.domain.detection import JudgedDay, Reason
from costbatch.domain.expectations import Expectation
from costbatch.domain.first_charges import FirstChargePolicy
from costbatch.domain.money import Limit
from costbatch.domain.periods import DateRange
from tests.support.factories import day
from tests.support.fake_store import FakeExpectations
from tests.support.replay import EC2, LAST, S3, Replay, spans, times, told, two_services, usual


@pytest.fixture
def replay() -> Replay:
    """Return an account with two services and a first collection of 100 days."""
    return two_services()


def expected_on(replay: Replay, n: int, service: str = EC2) -> JudgedDay:
    """Return what is stored of a day."""
    return replay.store.tables.expectations.rows[replay.account.id, day(n), service, "USD"]


def test_ordinary_nights_tell_nothing_and_store_the_band_of_every_day(replay: Replay) -> None:
    """Of every service and day from the second week on, as the last morning judged it."""
    assert replay.runs(101, 120) == []
    assert replay.anomalies == []
    rows = replay.store.tables.expectations.rows
    assert {key[1] for key in rows} == {day(n) for n in range(day_of_first(rows), 120)}
    assert all(each.lower < each.actual < each.upper for key, each in rows.items() if key[1] > day(40))


def test_a_long_history_is_learned_a_month_at_a_time(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of it is stored before the next is judged, and the memory is that of all of it."""
    saved: list[int] = []
    save = FakeExpectations.save

    def count(expectations: FakeExpectations, by_account: Mapping[int, Sequence[Expectation]]) -> None:
        saved.append(sum(map(len, by_account.values())))
        save(expectations, by_account)

    monkeypatch.setattr(FakeExpectations, "save", count)
    before = dict(replay.store.tables.expectations.rows)
    replay.store.tables.memories.rows.clear()
    assert replay.run(101) == []
    assert len(saved) > 3
    # Two services, a month, and the days before it that its first mornings read again.
    assert max(saved) <= 2 * (31 + 2)
    rows = replay.store.tables.expectations.rows
    assert {key: rows[key] for key in before if key[1] < day(97)} == {
        key: judged for key, judged in before.items() if key[1] < day(97)
    }
    assert replay.runs(102, 120) == []


@pytest.mark.parametrize("days", range(93, 98))
def test_the_days_after_the_last_whole_month_follow_what_was_learned(days: int) -> None:
    """However few they are: the next night finds a spike."""
    replay = Replay(adaptive=AdaptiveRule(), rule=replace(Replay().rule, settle_days=2))
    replay.policy = replace(replay.policy, history_months=4)
    replay.costs(times(usual(100), 1, range(days)), service=EC2)
    assert replay.run(days) == []
    replay.costs(times(usual(100), 10, [days]), service=EC2)
    assert told(replay.run(days + 1)) == ["anomaly.detected"]


@pytest.mark.parametrize("today", range(94, 98))
def test_what_is_learned_again_does_not_follow_an_earlier_snapshot(today: int) -> None:
    """That of the settings before belongs to mornings that are forgotten."""
    replay = Replay(adaptive=AdaptiveRule(), rule=replace(Replay().rule, settle_days=2))
    replay.policy = replace(replay.policy, history_months=4)
    replay.costs(times(usual(100), 1, range(LAST)), service=EC2)
    replay.bill = {key: amount for key, amount in replay.bill.items() if key[0] < day(LAST)}
    replay.run(90)
    replay.adaptive = AdaptiveRule(sensitivity=Sensitivity.HIGH)
    replay.run(today)
    with capture_logs() as logs:
        replay.run(today + 1)
    assert [line["event"] for line in logs if line["event"].startswith("detector_")] == []


def day_of_first(rows: dict[tuple[int, date, str | None, str], JudgedDay]) -> int:
    """Return the number of the first day that has a row."""
    return (min(key[1] for key in rows) - day(0)).days


def test_a_spike_of_one_service_is_one_anomaly_that_ends(replay: Replay) -> None:
    """It is found the morning after, grows with its day, and says in words what it is."""
    replay.costs(times(usual(40, seed=2), 3, [105]), service=S3)
    assert told(replay.run(106)) == ["anomaly.detected"]
    (found,) = replay.anomalies
    assert (found.service, found.reason, found.start_date) == (S3, Reason.SPIKE, day(105))
    assert found.lower < found.expected < found.upper < found.actual
    assert found.score > Decimal("0.5")
    assert found.words.startswith(f"Cost {found.actual:.2f} USD on {day(105)}; expected ")
    assert "from the level of the last week for " in found.words
    assert told(replay.runs(107, 112)) == ["anomaly.resolved"]
    assert spans(replay.anomalies) == [("spike", 105, 105, "ended")]


def test_a_lasting_rise_is_one_anomaly_until_it_is_learned(replay: Replay) -> None:
    """Its impact grows every day, and it ends when the new level is what is expected."""
    replay.costs(times(usual(100), 2, range(105, LAST)), service=EC2)
    events = replay.runs(106, 130)
    assert told(events)[0] == "anomaly.detected"
    assert told(events)[-1] == "anomaly.resolved"
    assert set(told(events)[1:-1]) == {"anomaly.updated"}
    impacts = [Decimal(event.data["anomaly"]["impact"]) for event in events[:-1]]
    assert impacts == sorted(impacts)
    ((direction, first, last, state),) = spans(replay.anomalies)
    assert (direction, first, state) == ("spike", 105, "ended")
    assert 107 <= last <= 112


def test_an_outage_is_told_when_its_day_is_complete(replay: Replay) -> None:
    """Two days after, and it goes on while the cost stays away."""
    replay.costs(times(usual(100), 0.02, range(105, 109)), service=EC2)
    assert replay.runs(106, 107) == []
    assert told(replay.run(108)) == ["anomaly.detected"]
    events = replay.runs(109, 118)
    ((direction, first, last, state),) = spans(replay.anomalies)
    assert (direction, first, state) == ("drop", 105, "ended")
    assert last in {107, 108}
    trend = events[-1].data["anomaly"]["trend"]
    marked = [each["date"] for each in trend if each["is_anomalous"]]
    assert marked == [str(day(n)) for n in range(105, last + 1)]
    assert replay.anomalies[0].reason is Reason.DROP


def test_movements_that_cancel_are_both_seen(replay: Replay) -> None:
    """The total does not move: one service trebles while the other stops."""
    replay.costs(times(usual(40, seed=2), 3.0, range(105, 108)), service=S3)
    replay.costs(times(usual(100), 0.1, range(105, 108)), service=EC2)
    replay.runs(106, 109)
    assert {(each.service, each.direction.value) for each in replay.anomalies} == {
        (S3, "spike"),
        (EC2, "drop"),
    }


def test_a_repeated_night_changes_nothing(replay: Replay) -> None:
    """Neither the memory nor what is stored of the days, and it tells nothing."""
    replay.costs(times(usual(40, seed=2), 3, [105]), service=S3)
    replay.runs(101, 106)
    tables = replay.store.tables
    memories, days, anomalies = dict(tables.memories.rows), dict(tables.expectations.rows), replay.anomalies
    assert replay.run(106) == []
    assert (replay.store.tables.memories.rows, replay.store.tables.expectations.rows) == (memories, days)
    assert replay.anomalies == anomalies


def test_missed_nights_end_where_every_night_would_have(replay: Replay) -> None:
    """The mornings in between are walked with what is stored."""
    other = Replay(adaptive=AdaptiveRule(), bill=dict(replay.bill))
    other.run(100)
    for each in (replay, other):
        each.costs(times(usual(100), 2.5, [108, 109]), service=EC2)
    replay.runs(101, 115)
    other.run(115)
    assert spans(other.anomalies) == spans(replay.anomalies) == [("spike", 108, 109, "ended")]
    assert other.store.tables.expectations.rows == replay.store.tables.expectations.rows


@pytest.mark.parametrize(("minimum_ratio", "earlier"), [(0.25, []), (0.15, [("spike", 104, 104, "ended")])])
def test_what_began_and_ended_in_missed_nights_is_news(
    replay: Replay, minimum_ratio: float, earlier: list[tuple[str, int, int, str]]
) -> None:
    """Also if all is learned again after a setting was changed; what that finds in nights before is not."""
    replay.costs(times(usual(100), 1.2, [104]), service=EC2)
    assert replay.runs(101, 110) == []
    replay.costs(times(usual(100), 5, [111, 112]), service=EC2)
    replay.adaptive = AdaptiveRule(minimum_ratio=minimum_ratio)
    events = replay.run(121)
    assert told(events) == ["anomaly.detected", "anomaly.resolved"]
    assert {event.data["anomaly"]["start_date"] for event in events} == {str(day(111))}
    assert spans(replay.anomalies) == [*earlier, ("spike", 111, 112, "ended")]


@pytest.mark.parametrize("loss", ["deleted", "unreadable", "older version", "other settings"])
def test_a_memory_that_is_lost_is_learned_again_from_the_costs(replay: Replay, loss: str) -> None:
    """The next night says what it would have said, and tells nothing of the past anew."""
    replay.costs(times(usual(100), 2.5, [104]), service=EC2)
    replay.runs(101, 110)
    before = spans(replay.anomalies)
    memories = replay.store.tables.memories
    (key, memory), *_ = memories.rows.items()
    if loss == "deleted":
        memories.forget(replay.account.id)
    elif loss == "unreadable":
        memories.rows[key] = replace(memory, mornings=b"?")
    elif loss == "older version":
        memories.rows[key] = replace(memory, version="0/0")
    else:
        replay.adaptive = AdaptiveRule(sensitivity=Sensitivity.LOW)
    replay.costs(times(usual(40, seed=2), 3, [110]), service=S3)
    assert replay.learners == ({2} if loss == "unreadable" else {replay.account.id, 2})
    assert told(replay.run(111)) == ["anomaly.detected"]
    assert spans(replay.anomalies) == [*before, ("spike", 110, 110, "open")]
    assert replay.store.tables.memories.rows[key].newest == day(110)


def test_a_large_restatement_of_a_learned_day_is_judged_and_learned(replay: Replay) -> None:
    """A correction two weeks later is an anomaly of its day; it is over, and said once."""
    replay.runs(101, 115)
    replay.costs(times(usual(100), 3, [102]), service=EC2)
    assert told(replay.run(116)) == ["anomaly.detected", "anomaly.resolved"]
    assert spans(replay.anomalies) == [("spike", 102, 102, "ended")]
    assert expected_on(replay, 102).reason is Reason.SPIKE
    replay.costs({102: usual(100)[102]}, service=EC2)
    assert told(replay.run(117)) == ["anomaly.updated"]
    assert spans(replay.anomalies) == [("spike", 102, 102, "restated")]


@pytest.mark.parametrize("gone", [108, 109, 110, 111])
def test_a_new_service_that_aws_takes_back_is_told_once(replay: Replay, gone: int) -> None:
    """Without a history no day of it is judged again: what was said of them is cleared."""
    replay.costs({105: 500}, service="Amazon Kendra")
    replay.runs(101, gone - 1)
    del replay.bill[day(105), "Amazon Kendra"]
    assert told(replay.runs(gone, 120)) == ["anomaly.resolved"]
    assert spans(replay.anomalies) == [("spike", 105, 105, "restated")]
    cleared = expected_on(replay, 105, "Amazon Kendra")
    assert cleared.expected == cleared.actual == 0
    assert not cleared.is_outside


def test_days_before_the_first_that_is_left_of_a_service_are_cleared(replay: Replay) -> None:
    """AWS takes back the first two days of a new service."""
    replay.costs({105: 500, 106: 500, 107: 500}, service="Amazon Kendra")
    replay.runs(101, 109)
    for n in (105, 106):
        del replay.bill[day(n), "Amazon Kendra"]
    assert told(replay.runs(110, 120)) == ["anomaly.updated", "anomaly.resolved"]
    assert spans(replay.anomalies) == [("spike", 107, 107, "ended")]
    days = {n: expected_on(replay, n, "Amazon Kendra") for n in (105, 106, 107)}
    assert {n: int(each.actual) for n, each in days.items()} == {105: 0, 106: 0, 107: 500}
    assert [n for n, each in days.items() if each.is_outside] == [107]


def test_an_account_whose_whole_cost_is_taken_back_has_no_anomalies_and_no_memory() -> None:
    """There is nothing to learn from."""
    replay = Replay(adaptive=AdaptiveRule())
    replay.costs(times(usual(100), 1, range(80, 110)))
    replay.costs(times(usual(100), 3, [105]))
    assert told(replay.runs(101, 106)) == ["anomaly.detected"]
    replay.bill.clear()
    assert told(replay.runs(109, 113)) == ["anomaly.resolved"]
    assert spans(replay.anomalies) == [("spike", 105, 105, "restated")]
    assert replay.store.tables.memories.rows == {}


def test_a_small_restatement_of_a_learned_day_learns_nothing_anew(replay: Replay) -> None:
    """A few cents that arrive late are no reason to read a year again."""
    replay.runs(101, 115)
    snapshot = next(iter(replay.store.tables.memories.rows.values())).snapshot
    replay.costs(times(usual(100), 1.02, [102]), service=EC2)
    assert replay.run(116) == []
    after = next(iter(replay.store.tables.memories.rows.values()))
    assert after.newest == day(115)
    assert after.snapshot == snapshot or len(after.mornings) < 400


def test_without_a_floor_a_late_cent_is_no_reason_to_learn_again() -> None:
    """A service without cost on that day does not differ from what was learned."""
    replay = Replay(adaptive=AdaptiveRule(floor=Limit(Decimal(0))))
    replay.costs(usual(100), service=EC2)
    replay.costs({70: 20}, service=S3)
    replay.run(100)
    replay.costs(times(usual(100), 1.0002, [90]), service=EC2)
    with capture_logs() as logs:
        replay.run(101)
    assert [line["event"] for line in logs] == []


def test_a_small_restatement_changes_the_amounts_of_an_open_anomaly(replay: Replay) -> None:
    """They equal the bill; the judgement of the day stays."""
    replay.costs(times(usual(100), 3, range(105, LAST)), service=EC2)
    replay.runs(101, 110)
    (before,), expected = replay.anomalies, expected_on(replay, 105)
    replay.costs(times(usual(100), 3.06, [105]), service=EC2)
    (event,) = replay.run(111)
    assert (event.type.value, replay.anomalies[0].start_date) == ("anomaly.updated", before.start_date)
    bill = sum(replay.bill[day(n), EC2] for n in range(105, 110))
    assert replay.anomalies[0].actual == bill
    assert expected_on(replay, 105) == replace(expected, actual=replay.bill[day(105), EC2])


def test_an_older_backfill_is_learned_and_one_apart_is_not(replay: Replay) -> None:
    """Days that continue what is stored are history; days with a gap to it say nothing of what is usual."""
    replay.runs(101, 105)
    known = dict(replay.store.tables.memories.rows)
    replay.bill |= {(day(n), EC2): Decimal(100) for n in range(-100, 0)}
    covered = replay.covered
    assert covered is not None
    start = (covered.start - day(0)).days
    assert replay.backfill(start - 60, start - 40, today=105) == []
    assert replay.store.tables.memories.rows == known
    assert replay.backfill(start - 40, start, today=105) == []
    (memory,) = replay.store.tables.memories.rows.values()
    assert memory.newest == day(104)
    assert memory != next(iter(known.values()))


def test_a_second_backfill_of_older_days_ends_nothing(replay: Replay) -> None:
    """The first one read up to yesterday before the night did."""
    replay.runs(101, 110)
    replay.costs(times(usual(100), 3, range(109, 118)), service=EC2)
    replay.run(111)
    assert told(replay.backfill(105, 112, today=112)) == ["anomaly.updated"]
    assert replay.backfill(100, 104, today=112) == []
    assert spans(replay.open) == [("spike", 109, 111, "open")]


def test_the_anomalies_of_the_other_detector_are_closed(replay: Replay) -> None:
    """What is no longer judged by the total is resolved; what is found by service is not told twice."""
    replay.costs(times(usual(100), 4, range(105, 108)), service=EC2)
    replay.adaptive = None
    assert told(replay.run(106)) == ["anomaly.detected"]
    replay.adaptive = AdaptiveRule()
    assert told(replay.run(107)) == ["anomaly.resolved", "anomaly.detected"]
    assert [(each.service, each.state.value) for each in replay.open] == [(EC2, "open")]


def test_what_the_other_detector_stored_of_the_total_stays(replay: Replay) -> None:
    """It is none of this one's: a late cent is no reason to write that the account cost nothing."""
    replay.costs(times(usual(100), 4, [105]), service=EC2)
    replay.adaptive = None
    replay.runs(101, 106)
    replay.adaptive = AdaptiveRule()
    replay.runs(107, 108)
    rows = replay.store.tables.expectations.rows
    before = rows[replay.account.id, day(105), None, "USD"]
    assert before.is_outside
    replay.bill[day(105), EC2] += Decimal("0.10")
    replay.run(109)
    rows = replay.store.tables.expectations.rows
    assert rows[replay.account.id, day(105), None, "USD"] == before
    assert expected_on(replay, 105).actual == replay.bill[day(105), EC2]


def test_what_began_and_ended_while_another_detector_judged_is_no_news(replay: Replay) -> None:
    """Its memory ended before it: what it stored since then is learned as history."""
    replay.runs(101, 103)
    replay.costs(times(usual(100), 1.4, [105, 106]), service=EC2)
    replay.adaptive = None
    replay.runs(104, 120)
    replay.adaptive = AdaptiveRule()
    assert replay.learners == {replay.account.id, 2}
    assert replay.run(121) == []
    assert spans(replay.anomalies) == [("spike", 105, 106, "ended")]
    assert replay.learners == {2}
    assert replay.runs(122, 125) == []


def test_a_dismissed_anomaly_stays_dismissed(replay: Replay) -> None:
    """It ends with the day before the answer, without a word, and so it is when all is learned again."""
    replay.costs(times(usual(100), 2, range(105, LAST)), service=EC2)
    replay.runs(101, 107)
    replay.dismiss()
    assert replay.runs(108, 118) == []
    assert spans(replay.anomalies) == [("spike", 105, 106, "ended")]
    before = dict(replay.store.tables.expectations.rows)
    replay.store.tables.memories.forget(replay.account.id)
    assert replay.run(118) == []
    assert spans(replay.anomalies) == [("spike", 105, 106, "ended")]
    assert replay.store.tables.expectations.rows == before


def test_planned_days_raise_nothing_and_restate_nothing(replay: Replay) -> None:
    """A correction of a day of which nothing was learned is no reason to learn again."""
    PlannedChanges(
        database=replay.store,
        rule_of=lambda _: replay.rule,
        routes=(),
        now=lambda: datetime(2025, 1, 1, tzinfo=UTC),
    ).add(
        replay.account.aws_account_id,
        DateRange(day(105), day(113)),
        Remark(author="alice", reason="migration"),
        service=EC2,
    )
    replay.costs(times(usual(100), 3, range(105, 113)), service=EC2)
    assert replay.runs(101, 116) == []
    replay.costs(times(usual(100), 4, [106]), service=EC2)
    with capture_logs() as logs:
        assert replay.run(117) == []
    assert [line["event"] for line in logs] == []
    assert replay.anomalies == []
    assert expected_on(replay, 112).expected < 110


def test_a_run_resumed_after_later_nights_judges_as_they_did(replay: Replay) -> None:
    """What is over stays over, and a drop on days that have settled since stays one."""
    replay.costs({110: 500}, service=EC2)
    replay.costs(dict.fromkeys(range(112, LAST), 0), service=S3)
    replay.runs(101, 120)
    before = list(replay.anomalies)
    assert {each.direction.value for each in before} == {"spike", "drop"}
    for today in (111, 113, 115, 118):
        assert replay.run(today) == []
        assert replay.anomalies == before


def test_a_first_service_is_told_once_whatever_it_costs(replay: Replay) -> None:
    """From a cent on, not again when it comes back, and never at a first collection."""
    replay.costs({105: "0.004", 107: "0.02", 109: "5"}, service="Amazon Kendra")
    events = [event for event in replay.runs(101, 115) if event.type.value == "service.first_charged"]
    (event,) = events
    assert event.subject == f"{replay.account.aws_account_id}/Amazon Kendra"
    assert event.data["charge"] == {
        "service": "Amazon Kendra",
        "date": f"{day(107)}",
        "currency": "USD",
        "amount": "0.02",
    }


def test_a_dormant_account_that_begins_to_cost_something_is_told(replay: Replay) -> None:
    """Once for each time that it begins."""
    replay.first_charges = FirstChargePolicy(
        floor=Limit(Decimal(1)), dormant=frozenset({replay.account.aws_account_id})
    )
    replay.costs(dict.fromkeys(range(101, LAST), 0), service=EC2)
    replay.costs(dict.fromkeys(range(101, LAST), 0), service=S3)
    replay.costs({110: 2, 111: 2, 114: "0.5", 116: 3}, service=S3)
    events = [each for each in replay.runs(101, 120) if each.type.value == "account.dormant_charged"]
    assert [event.data["charge"]["date"] for event in events] == [f"{day(110)}", f"{day(116)}"]


def test_late_cost_of_a_dormant_account_is_told_with_what_followed(replay: Replay) -> None:
    """AWS gives the day before later, and corrects the day that was told: it is the same awakening."""
    replay.first_charges = FirstChargePolicy(dormant=frozenset({replay.account.aws_account_id}))
    for service in (EC2, S3):
        replay.costs(dict.fromkeys(range(101, LAST), 0), service=service)
    replay.costs({110: 5}, service=S3)
    events = replay.run(111)
    replay.costs({109: 3, 110: 6, 111: 6}, service=S3)
    events += replay.runs(112, 115)
    awakenings = [each for each in events if each.type.value == "account.dormant_charged"]
    assert [event.data["charge"]["date"] for event in awakenings] == [f"{day(110)}"]
