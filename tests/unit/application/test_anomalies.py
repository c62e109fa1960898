"""Answering anomalies, night by night: what is told afterwards, and what is refused."""

from collections.abc import Callable, Collection
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

import pytest

from costbatch.application.anomalies import AnsweredAnomaly, PlannedChanges, Remark
from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import AnomalyFilter, AnomalyState
from costbatch.domain.answers import Answer, AnswerKind, Standing
from costbatch.domain.detection import Rule
from costbatch.domain.first_charges import FirstCharge
from costbatch.domain.periods import DateRange
from costbatch.errors import ConfigError
from tests.support.factories import NOW, day, days, make_account, make_anomaly
from tests.support.fake_store import FakeAnswers
from tests.support.fakes import FakeAccounts
from tests.support.replay import Replay, flat, spans, told

DETECTED, UPDATED, RESOLVED = "anomaly.detected", "anomaly.updated", "anomaly.resolved"
REMINDER = "anomaly.reminder"
ALICE = Remark(author="alice", reason="load test")
EXACTLY = "The name must be exactly that of Cost Explorer."


@pytest.fixture
def replay() -> Replay:
    """Return an account that cost 100 on each of fifty days, and 200 on the last one."""
    replay = Replay()
    replay.costs(flat(0, 50))
    replay.runs(41, 50)
    replay.costs({50: 200})
    assert told(replay.run(51)) == [DETECTED]
    return replay


def newest(replay: Replay) -> str:
    """Return the id of the newest anomaly."""
    return str(replay.anomalies[-1].id)


def show(replay: Replay) -> AnsweredAnomaly:
    """Return the newest anomaly as it is shown."""
    return replay.answers.show(newest(replay)).answered


def plans(replay: Replay) -> PlannedChanges:
    """Return what a person can plan."""
    return PlannedChanges(
        database=replay.store, rule_of=lambda _: replay.rule, routes=(), now=lambda: NOW - timedelta(days=400)
    )


def test_a_dismissed_anomaly_is_silent_at_its_level_and_still_known(replay: Replay) -> None:
    """It goes on, is stored, and ends, and nothing is told of it."""
    replay.dismiss()
    replay.costs({51: 230, **flat(52, 60)})
    assert replay.runs(52, 60) == []
    assert spans(replay.anomalies) == [("spike", 50, 51, "ended")]


def test_an_account_is_locked_before_its_answers_are_changed(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run saves meanwhile counts, whatever the answer: it is read again once the account is locked."""
    calls: list[str] = []
    find, load = FakeAccounts.find, FakeAnswers.load

    def noted_find(self: FakeAccounts, aws_account_id: str, *, lock: bool = False) -> Account | None:
        calls.extend(["lock"] * lock)
        return find(self, aws_account_id, lock=lock)

    def noted_load(self: FakeAnswers, account_ids: Collection[int] | None = None) -> dict[int, list[Answer]]:
        calls.append("read")
        return load(self, account_ids)

    monkeypatch.setattr(FakeAccounts, "find", noted_find)
    monkeypatch.setattr(FakeAnswers, "load", noted_load)
    planned = plans(replay)

    def locks(change: Callable[[], object]) -> list[str]:
        calls.clear()
        change()
        return [call for call, _ in groupby(calls)]

    wanted, account = newest(replay), replay.account.aws_account_id
    assert locks(lambda: replay.answers.dismiss(wanted, ALICE)) == ["read", "lock", "read"]
    assert locks(lambda: replay.answers.reopen(wanted, ALICE)) == ["read", "lock", "read"]
    assert locks(lambda: planned.add(account, days(50, 60), ALICE)) == ["lock", "read"]
    (change,) = planned.list_changes()
    assert locks(lambda: planned.remove(change.plan.id or 0, ALICE)) == ["read", "lock", "read"]


def test_a_move_beyond_the_level_is_told_as_detected(replay: Replay) -> None:
    """More than 20 % beyond what was dismissed is something else; further days of it are updates."""
    replay.dismiss()
    replay.costs({51: 241})
    (event,) = replay.run(52)
    assert (event.type.value, event.data["anomaly"]["peak"]) == (DETECTED, "241.00")
    replay.costs({52: 241, **flat(53, 60)})
    assert told(replay.runs(53, 60)) == [UPDATED, RESOLVED]


def test_a_move_back_to_the_level_is_told_once(replay: Replay) -> None:
    """AWS corrects the day that was beyond it: who was told hears that it is silent again, and no more."""
    replay.dismiss()
    replay.costs({51: 241})
    assert told(replay.run(52)) == [DETECTED]
    replay.costs({51: 210})
    (event,) = replay.run(53)
    assert (event.type.value, event.data["standing"]) == ("anomaly.answered", "silent")
    assert event.data["answer"]["author"] == "alice"
    replay.costs({51: 250})
    assert told(replay.run(54)) == [DETECTED]
    replay.costs({51: 210, **flat(52, 60)})
    assert told(replay.run(55)) == ["anomaly.answered"]
    assert replay.runs(56, 60) == []


def test_the_end_of_what_was_told_is_told(replay: Replay) -> None:
    """Also if the correction that ends it brings it back to the level."""
    replay.dismiss()
    replay.costs({51: 241})
    assert told(replay.run(52)) == [DETECTED]
    replay.costs({50: 100, 51: 100})
    assert told(replay.run(53)) == [RESOLVED]


def test_the_next_anomaly_at_a_dismissed_level_is_silent_too(replay: Replay) -> None:
    """It is not an anomaly, whenever it comes; the other direction and other levels are told."""
    replay.dismiss()
    replay.costs({**flat(51, 90), 70: 210, 75: 30, 80: 400})
    assert told(replay.runs(52, 69)) == []
    assert told(replay.runs(70, 74)) == []
    events = [event for event in replay.runs(75, 81) if event.type.value == DETECTED]
    directions = [event.data["anomaly"]["direction"] for event in events]
    assert directions == ["drop", "spike"]


def test_what_is_expected_until_a_day_is_told_when_it_goes_on(replay: Replay) -> None:
    """On the last day it is silent, the day after it is told as detected."""
    replay.answers.expect(newest(replay), ALICE, until=day(52))
    replay.costs(flat(51, 54, 200))
    assert replay.runs(52, 53) == []
    assert told(replay.run(54)) == [DETECTED]
    assert "for other days, up to" in show(replay).why


def test_what_is_expected_as_of_now_has_no_end(replay: Replay) -> None:
    """The new level is known."""
    replay.answers.expect(newest(replay), ALICE)
    replay.costs(flat(51, 90, 200))
    assert [event for event in replay.runs(52, 89) if event.data["anomaly"]["direction"] == "spike"] == []


def test_an_acknowledged_anomaly_tells_its_end_and_a_new_level(replay: Replay) -> None:
    """No update at the level; beyond it an update, because it was told before; the end is told."""
    replay.remind_days = 1
    replay.answers.acknowledge(newest(replay), Remark(author="bob"))
    replay.costs({51: 200, 52: 230})
    assert replay.runs(52, 53) == []
    assert show(replay).standing is Standing.ACKNOWLEDGED
    replay.costs({53: 500, **flat(54, 62)})
    assert told(replay.run(54)) == [UPDATED, REMINDER]
    assert told(replay.runs(55, 62)) == [RESOLVED]


def test_an_acknowledgement_does_not_hold_for_the_next_anomaly(replay: Replay) -> None:
    """Whoever is on it is on this one."""
    replay.answers.acknowledge(newest(replay), ALICE)
    replay.costs({**flat(51, 62), 60: 200})
    assert told(replay.runs(52, 61)) == [RESOLVED, DETECTED]


def test_an_acknowledgement_holds_for_no_anomaly_on_days_that_it_lost(replay: Replay) -> None:
    """AWS takes the last days back, and another anomaly begins beside them: it is new."""
    replay.costs(flat(51, 55, 200))
    replay.runs(52, 55)
    replay.answers.acknowledge(newest(replay), ALICE)
    replay.costs({**flat(52, 70), 57: 200})
    assert told(replay.runs(56, 58)) == [RESOLVED, DETECTED]
    assert spans(replay.anomalies) == [("spike", 50, 51, "ended"), ("spike", 57, 57, "open")]


def test_an_acknowledged_anomaly_that_is_found_again_is_told_with_who_is_on_it(replay: Replay) -> None:
    """AWS takes its days back and gives others: whoever heard of its end hears that it goes on."""
    replay.answers.acknowledge(newest(replay), ALICE)
    replay.costs({50: 100, 51: 100})
    assert told(replay.run(52)) == [RESOLVED]
    replay.costs({52: 200})
    (event,) = replay.run(53)
    assert (event.type.value, event.data["standing"]) == ("anomaly.answered", "acknowledged")


def test_a_plan_that_lapses_leaves_the_acknowledgement(replay: Replay) -> None:
    """Who closed the alert because of the plan opens it again, with the name of who is on it."""
    replay.answers.acknowledge(newest(replay), ALICE)
    plans(replay).add(replay.account.aws_account_id, days(50, 53), Remark(author="bob"))
    replay.costs(flat(51, 54, 200))
    assert replay.runs(52, 53) == []
    (event,) = replay.run(54)
    assert (event.type.value, event.data["standing"]) == ("anomaly.answered", "acknowledged")
    assert event.data["answer"]["author"] == "alice"


def test_answers_travel_with_restatements_and_backfills(replay: Replay) -> None:
    """AWS moves the first day, a backfill reads it again: it is the same series at the same level."""
    replay.dismiss()
    replay.costs({48: 200, 50: 100, 51: 200})
    assert replay.run(52) == []
    assert replay.backfill(40, 52, today=52) == []
    assert {each.is_gone for each in replay.anomalies} == {False}
    assert show(replay).standing is Standing.SILENT


def test_a_reopened_anomaly_tells_its_next_change(replay: Replay) -> None:
    """The answers to the series are withdrawn; who did it and why stays in the table."""
    replay.dismiss()
    found = replay.answers.reopen(newest(replay), Remark(author="carol", reason="it is one"))
    assert (found.standing, found.why) == (Standing.OPEN, "It has no answer: every change is reported.")
    assert [each[:2] for each in replay.store.tables.answers.withdrawn.values()] == [("carol", "it is one")]
    replay.costs({51: 200})
    assert told(replay.run(52)) == [UPDATED]


def test_a_new_answer_takes_the_place_of_that_at_the_same_level(replay: Replay) -> None:
    """Of two that contradict each other the last one counts; answers at other levels stay."""
    replay.answers.dismiss(newest(replay), ALICE)
    found = replay.answers.expect(newest(replay), ALICE, until=day(60))
    assert [each.kind for each in found.answers] == [AnswerKind.EXPECTED]
    replay.costs({51: 900})
    replay.run(52)
    found = replay.answers.acknowledge(newest(replay), ALICE)
    assert [each.kind for each in found.answers] == [AnswerKind.EXPECTED, AnswerKind.ACKNOWLEDGED]
    assert found.standing is Standing.ACKNOWLEDGED


def test_a_planned_change_is_silent_before_anyone_hears_of_it() -> None:
    """The days within are stored and not told; what goes on after the last one is told as detected."""
    replay = Replay()
    replay.costs(flat(0, 50))
    replay.runs(41, 50)
    change = plans(replay).add(replay.account.aws_account_id, days(50, 53), ALICE)
    replay.costs(flat(50, 54, 300))
    assert replay.runs(51, 53) == []
    assert "a change is planned from" in show(replay).why
    with pytest.raises(ConfigError, match=f"costbatch planned remove {change.plan.id}"):
        replay.answers.reopen(newest(replay), ALICE)
    assert told(replay.run(54)) == [DETECTED]


@pytest.mark.parametrize(
    ("service", "note"),
    [
        (None, ""),
        ("Amazon S3", ""),
        ("AWS Lambda", 'Account {} has not paid for a service named "AWS Lambda" yet.'),
        (
            "amazon s3",
            'No account has paid for a service named "amazon s3"; did you mean "Amazon S3"? ' + EXACTLY,
        ),
        (
            "EC2",
            'No account has paid for a service named "EC2". ' + EXACTLY,
        ),
    ],
)
def test_a_planned_service_that_nobody_pays_for_is_said(service: str | None, note: str) -> None:
    """A mistyped name covers nothing: it is accepted, because a service may be new, and said."""
    replay = Replay()
    account, charges = replay.account, replay.store.tables.first_charges
    other = make_account(2)
    replay.store.tables.accounts.rows[other.id] = other
    charges.add({account.id: [FirstCharge("Amazon S3", day(0), "USD", Decimal(1))]})
    charges.add({other.id: [FirstCharge("AWS Lambda", day(0), "USD", Decimal(1))]})
    use_cases = plans(replay)
    change = use_cases.add(account.aws_account_id, days(50, 53), ALICE, service=service)
    assert use_cases.note_on(change) == note.format(account)


def test_a_removed_plan_no_longer_counts() -> None:
    """It is gone from the list; removing it again says so."""
    replay = Replay()
    use_cases = plans(replay)
    first, second = (use_cases.add(replay.account.aws_account_id, days(n, 61), ALICE) for n in (55, 50))
    assert [change.plan.id for change in use_cases.list_changes()] == [second.plan.id, first.plan.id]
    use_cases.remove(first.plan.id or 0, ALICE)
    assert [change.plan.id for change in use_cases.list_changes()] == [second.plan.id]
    with pytest.raises(ConfigError, match="There is no planned change"):
        use_cases.remove(first.plan.id or 0, ALICE)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"days": days(0, 11)}, "--to is 2025-01-11, which is in the past"),
        ({"aws_account_id": "000000000009"}, "is not registered"),
        ({"aws_account_id": "9"}, "must have 12 digits"),
        ({"days": DateRange(day(40), date(3000, 1, 2))}, "give a day up to 2999-12-31"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(fields: dict[str, Any], problem: str) -> None:
    """One sentence says what is wrong; nothing is stored."""
    replay = Replay()
    given = {"aws_account_id": replay.account.aws_account_id, "days": days(40, 51), **fields}
    use_cases = PlannedChanges(
        database=replay.store,
        rule_of=lambda _: replay.rule,
        routes=(),
        now=lambda: NOW.replace(month=2, day=1),
    )
    with pytest.raises(ConfigError, match=problem):
        use_cases.add(**given, remark=ALICE)
    assert use_cases.list_changes() == []


def test_a_lasting_anomaly_is_reminded_of_by_its_days(replay: Replay) -> None:
    """After each so many days of cost one reminder with a stable id; none after it has ended."""
    replay.remind_days = 3
    replay.costs(flat(51, 57, 200))
    events = replay.runs(52, 57)
    assert told(events) == [UPDATED, UPDATED, UPDATED, REMINDER, UPDATED, UPDATED, UPDATED, REMINDER]
    reminders = [event for event in events if event.type.value == REMINDER]
    assert [event.data["reminder"] for event in reminders] == [1, 2]
    replay.costs({55: 210})
    assert told(replay.run(57)) == [UPDATED]
    replay.costs(flat(57, 70))
    assert told(replay.runs(58, 66)) == [RESOLVED]


def test_reminders_are_off_by_default(replay: Replay) -> None:
    """Receivers that get every update need none."""
    replay.costs(flat(51, 57, 200))
    assert set(told(replay.runs(52, 57))) == {UPDATED}


def test_a_backfill_reminds_of_the_days_that_it_reads_first(replay: Replay) -> None:
    """The next night finds them unchanged; it does not repeat a reminder."""
    replay.remind_days = 3
    replay.costs(flat(51, 57, 200))
    assert REMINDER not in told(replay.runs(52, 53))
    assert told(replay.backfill(40, 54, today=54)) == [UPDATED, REMINDER]
    assert told(replay.runs(54, 56)) == [UPDATED, UPDATED]
    assert told(replay.run(57)) == [UPDATED, REMINDER]


def test_a_backfill_reminds_of_nothing_that_is_over(replay: Replay) -> None:
    """After an outage it finds that an anomaly lasted for days, and its end."""
    replay.remind_days = 3
    replay.costs(flat(51, 56, 200) | flat(56, 70))
    assert told(replay.backfill(40, 70, today=70)) == [RESOLVED]


def test_an_anomaly_is_shown_with_the_days_around_it_and_what_was_expected(replay: Replay) -> None:
    """From 35 days before it to 14 days after it, as far as they are stored; each as it was last judged."""
    replay.costs(flat(51, 70))
    replay.runs(52, 70)
    shown = replay.answers.show(newest(replay))
    days = [each.usage_date for each in shown.trend]
    assert (days[0], days[-1], len(days)) == (day(15), day(64), 50)
    before, spike, after = (shown.trend[number - 15] for number in (49, 50, 51))
    includes = shown.answered.anomaly.includes
    assert [includes(each) for each in (before, spike, after)] == [False, True, False]
    assert spike.judged is not None
    document = shown.to_document()["trend"][35]
    assert document == {
        "date": str(day(50)),
        "actual": "200.00",
        "expected": "100.00",
        "lower": "50.00",
        "upper": "150.00",
        "score": f"{spike.judged.score:.2f}",
        "is_anomalous": True,
    }


def test_ordinary_days_between_anomalous_ones_are_not_shown_as_anomalous(replay: Replay) -> None:
    """Neither where it is shown, nor in its events, whose charts are drawn from them."""
    replay.costs({51: 100, 52: 100, 53: 200})
    events = replay.runs(52, 55)
    shown = replay.answers.show(newest(replay))
    anomaly = shown.answered.anomaly
    assert (anomaly.start_date, anomaly.last_date) == (day(50), day(53))
    assert "on 2 days" in anomaly.words
    for trend in (shown.to_document()["trend"], events[-1].data["anomaly"]["trend"]):
        assert [each["date"] for each in trend if each["is_anomalous"]] == [str(day(50)), str(day(53))]


@pytest.mark.parametrize("prefix", ["{id}", "{start}", "  {upper} ", "{digits}"])
def test_an_anomaly_is_found_by_its_id_or_the_beginning_of_it(replay: Replay, prefix: str) -> None:
    """Eight characters or more, with or without dashes, in any case."""
    text = newest(replay)
    given = prefix.format(id=text, start=text[:8], upper=text[:20].upper(), digits=text.replace("-", "")[:14])
    assert str(replay.answers.show(given).answered.anomaly.id) == text


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("00000000-dead", "No anomaly has the id 00000000-dead"),
        ("1234567", "give at least its first 8 characters"),
        ("1" * 33, "is longer than the id of an anomaly"),
        ("%", "is not the id of an anomaly"),
        ("", "is not the id of an anomaly"),
        ("5e5909ac'; --", "is not the id of an anomaly"),
        ("aaaaaaaa", "Several anomalies have an id that begins with aaaaaaaa: .*, .* Give more of it"),
    ],
)
def test_an_id_that_names_no_anomaly_is_refused(replay: Replay, given: str, problem: str) -> None:
    """One sentence: unknown, too short, too long, no id at all, or several that begin so."""
    rows = replay.store.tables.anomalies.rows
    for n in (1, 2):
        twin = make_anomaly(id=UUID(f"aaaaaaaa-0000-4000-8000-00000000000{n}"), service=f"{n}")
        rows[twin.id] = twin
    for use in (replay.answers.show, lambda given: replay.answers.dismiss(given, ALICE)):
        with pytest.raises(ConfigError, match=problem):
            use(given)
    assert replay.store.tables.answers.rows == []


def test_only_an_open_anomaly_can_be_answered(replay: Replay) -> None:
    """What is over has nothing to silence; an answer that it had can be withdrawn."""
    replay.dismiss()
    replay.costs(flat(51, 60))
    replay.runs(52, 60)
    assert replay.anomalies[0].state is AnomalyState.RESOLVED
    for use in (replay.answers.acknowledge, replay.answers.dismiss, replay.answers.expect):
        with pytest.raises(ConfigError, match=r"is resolved already \(ended\)"):
            use(newest(replay), ALICE)
    assert replay.answers.reopen(newest(replay), ALICE).standing is Standing.RESOLVED
    with pytest.raises(ConfigError, match="has no answer to withdraw"):
        replay.answers.reopen(newest(replay), ALICE)


def test_a_day_in_the_past_cannot_be_expected(replay: Replay) -> None:
    """Today is the first day that can."""
    with pytest.raises(ConfigError, match="--until is 2025-02-20, which is in the past; give today"):
        replay.answers.expect(newest(replay), ALICE, until=day(50))
    assert replay.answers.expect(newest(replay), ALICE, until=day(51)).standing is Standing.SILENT


@pytest.mark.parametrize(
    "remark",
    [{"author": ""}, {"author": "a\nb"}, {"author": "a", "reason": "\x1b[31m"}, {"author": "a" * 501}],
)
def test_a_remark_is_one_line_of_text(remark: dict[str, str]) -> None:
    """It is shown on terminals and in tables."""
    with pytest.raises(ConfigError, match=r"The (author|reason)"):
        Remark(**remark)


def test_anomalies_are_listed_by_how_they_stand() -> None:
    """Silent ones and those that are over only if asked for; an unknown account is refused."""
    replay = Replay(rule=Rule(per_service=True))
    replay.costs(flat(0, 50, 50), "Amazon S3")
    replay.costs(flat(0, 50, 50))
    replay.runs(41, 50)
    replay.costs({50: 500}, "Amazon S3")
    replay.costs({50: 50})
    replay.run(51)
    total, service = (
        next(each for each in replay.anomalies if (each.service is None) is is_total)
        for is_total in (True, False)
    )
    replay.answers.dismiss(str(service.id), ALICE)

    def listed(*standings: Standing, **wanted: Any) -> list[UUID]:
        found = replay.answers.list_anomalies(AnomalyFilter(**wanted), standings)
        return [each.anomaly.id for each in found]

    assert set(listed()) == {total.id, service.id}
    assert listed(Standing.OPEN) == [total.id]
    assert listed(Standing.SILENT, Standing.RESOLVED) == [service.id]
    assert listed(currencies=["EUR"]) == []
    with pytest.raises(ConfigError, match="is not registered"):
        listed(aws_account_ids=["000000000009"])


def test_the_document_of_an_anomaly_has_its_answer(replay: Replay) -> None:
    """A program reads the same as a person."""
    replay.answers.expect(newest(replay), ALICE, until=day(60))
    document = show(replay).to_document()
    assert (document["standing"], document["account_name"]) == ("silent", "account-1")
    assert document["answer"] == {
        "id": 1,
        "kind": "expected",
        "level": "200",
        "start_date": None,
        "end_date": "2025-03-02",
        "reason": "load test",
        "author": "alice",
        "created_at": "2025-02-21T07:00:00Z",
    }
    assert Decimal(document["peak"]) == Decimal(200)


def written(replay: Replay) -> list[tuple[str, str, str]]:
    """Return what was written to the outbox: the anomaly's first day, how it stands, and the answer."""
    return [
        (
            event.data["anomaly"]["start_date"],
            event.data["standing"],
            f"{event.data['answer']['kind']} by {event.data['answer']['author']}",
        )
        for event in replay.store.tables.outbox.events
        if event.type.value == "anomaly.answered"
    ]


def test_every_answer_is_an_event_and_so_is_its_withdrawal(replay: Replay) -> None:
    """Whoever was told of the anomaly can close what it opened, and open it again."""
    anomaly = newest(replay)
    replay.answers.acknowledge(anomaly, ALICE)
    replay.answers.expect(anomaly, Remark(author="bob", reason="sale"), until=day(60))
    replay.answers.dismiss(anomaly, ALICE)
    replay.answers.reopen(anomaly, Remark(author="carol"))
    first_day = str(day(50))
    assert written(replay) == [
        (first_day, "acknowledged", "acknowledged by alice"),
        (first_day, "silent", "expected by bob"),
        (first_day, "silent", "dismissed by alice"),
        (first_day, "open", "reopened by carol"),
    ]
    events = replay.store.tables.outbox.events
    assert len({event.id for event in events if event.type.value == "anomaly.answered"}) == 4


def test_an_answer_is_told_of_every_open_anomaly_that_it_covers() -> None:
    """One of the same series that is still open is silent too, and its alert must end as well."""
    replay = Replay()
    replay.costs({**flat(0, 55), 50: 200, 54: 200})
    replay.runs(41, 55)
    older, newer = replay.open
    replay.answers.dismiss(str(newer.id), ALICE)
    first_days = sorted(first_day for first_day, *_ in written(replay))
    assert first_days == [str(older.start_date), str(newer.start_date)]


def test_a_plan_is_told_of_the_open_anomalies_that_it_covers(replay: Replay) -> None:
    """Only if it changes what counts: a dismissal comes first."""
    account = replay.account.aws_account_id
    plan = plans(replay).add(account, days(50, 61), ALICE)
    plans(replay).remove(plan.plan.id or 0, Remark(author="bob"))
    replay.dismiss()
    plans(replay).add(account, days(50, 61), ALICE)
    plans(replay).add(account, days(55, 61), ALICE)
    first_day = str(day(50))
    assert written(replay) == [
        (first_day, "silent", "planned by alice"),
        (first_day, "open", "reopened by bob"),
        (first_day, "silent", "dismissed by alice"),
    ]


def test_an_answer_that_is_refused_is_no_event(replay: Replay) -> None:
    """It belongs to the transaction of the answer."""
    with pytest.raises(ConfigError):
        replay.answers.reopen(newest(replay), ALICE)
    assert written(replay) == []
