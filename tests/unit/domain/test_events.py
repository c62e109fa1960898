"""Events, as CloudEvents 1.0."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from costbatch.domain.accounts import Failing
from costbatch.domain.anomalies import AnomalyChange, AnomalyState, ChangeKind, Resolution, Trend
from costbatch.domain.answers import Answer, AnswerKind, Standing
from costbatch.domain.detection import Contribution
from costbatch.domain.event_kinds import KINDS
from costbatch.domain.events import (
    Event,
    EventType,
    account_failed,
    account_recovered,
    anomaly_answered,
    anomaly_data,
    anomaly_event,
    cents,
    run_ended,
)
from costbatch.domain.expectations import SeriesDay
from costbatch.errors import ErrorKind
from tests.support.factories import NOW, day, make_account, make_anomaly

RUN, OTHER_RUN = UUID(int=1), UUID(int=2)
LATER = NOW + timedelta(hours=3)
ACCOUNT, FAILING = make_account(), Failing(since=NOW, kind="throttled")
TREND = Trend(
    newest=day(41),
    is_complete=False,
    days=(SeriesDay(day(40), Decimal(200)), SeriesDay(day(41), Decimal("0.005"))),
)


def of_anomaly(run_id: UUID = RUN, now: datetime = NOW, **fields: Any) -> Event:
    """Return the event of a detected anomaly."""
    change = AnomalyChange(ChangeKind.DETECTED, make_anomaly(**fields))
    return anomaly_event(change, ACCOUNT, TREND, run_id=run_id, now=now)


def of_failure(run_id: UUID = RUN, now: datetime = NOW, kind: ErrorKind = ErrorKind.TIMEOUT) -> Event:
    """Return the event of an account that failed."""
    return account_failed(ACCOUNT, kind, "No answer.", job="collect", run_id=run_id, now=now)


def of_recovery(run_id: UUID = RUN, now: datetime = NOW) -> Event:
    """Return the event of an account that recovered."""
    return account_recovered(ACCOUNT, FAILING, job="discover", run_id=run_id, now=now)


DISMISSED = Answer(
    id=7,
    kind=AnswerKind.DISMISSED,
    account_id=1,
    level=Decimal("2E+2"),
    reason="fee",
    author="al",
    created_at=NOW,
)


def of_answer(
    before: Answer | None = None, after: Answer | None = DISMISSED, now: datetime = NOW, **fields: Any
) -> Event:
    """Return the event of an answer that was given or withdrawn."""
    standing = Standing.SILENT if after else Standing.OPEN
    withdrawn = ("bo", "not the fee")
    anomaly = make_anomaly(**fields)
    return anomaly_answered(
        anomaly, ACCOUNT, (before, after), standing=standing, withdrawn=withdrawn, now=now
    )


def of_run(run_id: UUID = RUN, now: datetime = NOW, status: str = "completed") -> Event:
    """Return the event of a run that ended."""
    return run_ended({"status": status}, run_id=run_id, run_key="job-7", now=now)


MAKERS = [of_anomaly, of_answer, of_failure, of_recovery, of_run]


@pytest.mark.parametrize("make", MAKERS)
def test_an_event_is_a_cloudevent(make: Callable[[], Event]) -> None:
    """Every required attribute of CloudEvents 1.0 is there, and the whole is JSON."""
    document = json.loads(json.dumps(make().to_cloudevent()))
    assert document["specversion"] == "1.0"
    assert UUID(document["id"]) == make().id
    assert document["source"] == "/costbatch"
    assert document["type"] in set(EventType)
    assert document["subject"]
    assert document["time"] == "2025-06-20T06:30:00Z"
    assert document["datacontenttype"] == "application/json"
    assert document["data"]["version"] == 1
    assert all(name.isalnum() and name.islower() for name in document)


def test_the_time_of_an_event_is_utc() -> None:
    """Wherever the clock stood, the envelope says when it was in UTC."""
    event = of_run(now=datetime(2025, 6, 20, 2, 30, tzinfo=timezone(timedelta(hours=-4))))
    assert event.to_cloudevent()["time"] == "2025-06-20T06:30:00Z"


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_thing_told_again_has_the_same_id(make: Callable[..., Event]) -> None:
    """A receiver drops a repeat by its id, whenever it was written."""
    assert make().id == make(now=LATER).id


def test_the_id_of_an_anomaly_event_is_of_its_anomaly_and_revision() -> None:
    """Another run that reports the same revision has the same event; another revision is another one."""
    assert of_anomaly().id == of_anomaly(run_id=OTHER_RUN).id
    others = [of_anomaly(revision=2), of_anomaly(id=UUID(int=41))]
    change = AnomalyChange(ChangeKind.UPDATED, make_anomaly())
    updated = anomaly_event(change, ACCOUNT, TREND, run_id=RUN, now=NOW)
    assert len({of_anomaly().id, updated.id, *(event.id for event in others)}) == 4


def test_the_ids_of_accounts_and_runs_are_of_the_run() -> None:
    """Tomorrow's failure is news again, and so is another kind, another account, another status."""
    other = account_failed(make_account(2), ErrorKind.TIMEOUT, "", job="collect", run_id=RUN, now=NOW)
    events = [
        of_failure(),
        of_failure(run_id=OTHER_RUN),
        of_failure(kind=ErrorKind.THROTTLED),
        other,
        of_recovery(),
        of_recovery(run_id=OTHER_RUN),
        of_run(),
        of_run(run_id=OTHER_RUN),
        of_run(status="partial"),
        of_run(status="failed"),
    ]
    assert len({event.id for event in events}) == len(events)


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        (ChangeKind.DETECTED, "anomaly.detected"),
        (ChangeKind.UPDATED, "anomaly.updated"),
        (ChangeKind.RESOLVED, "anomaly.resolved"),
    ],
)
def test_each_change_of_an_anomaly_has_its_type(kind: ChangeKind, type_: str) -> None:
    """A receiver routes by type."""
    change = AnomalyChange(kind, make_anomaly())
    assert anomaly_event(change, ACCOUNT, TREND, run_id=RUN, now=NOW).type.value == type_


def test_the_subject_of_an_anomaly_is_its_account_and_service() -> None:
    """A receiver that knows CloudEvents only sees whose it is."""
    assert of_anomaly().subject == "000000000001"
    assert of_anomaly(service="Amazon S3").subject == "000000000001/Amazon S3"


def test_an_anomaly_is_told_with_amounts_to_the_cent_as_strings() -> None:
    """No float, no exponent, no digits below a cent."""
    anomaly = make_anomaly(
        expected=Decimal("100.0049"),
        actual=Decimal("2.5E+2"),
        peak=Decimal("2.5E+2"),
        explanation=(Contribution("Amazon S3", Decimal("-9.0E-10"), Decimal("150.005")),),
        state=AnomalyState.RESOLVED,
        resolution=Resolution.ENDED,
    )
    assert anomaly_data(anomaly) == {
        "id": str(UUID(int=40)),
        "revision": 1,
        "service": None,
        "direction": "spike",
        "state": "resolved",
        "severity": "medium",
        "resolution": "ended",
        "start_date": "2025-02-10",
        "last_date": "2025-02-10",
        "currency": "USD",
        "cost_basis": "unblended",
        "expected": "100.00",
        "actual": "250.00",
        "peak": "250.00",
        "impact": "150.00",
        "deviation_percent": "150.0",
        "lower": "0.00",
        "upper": "0.00",
        "score": "0.00",
        "reason": "deviation",
        "words": "",
        "explanation": [{"service": "Amazon S3", "expected": "0.00", "actual": "150.00"}],
    }


def test_an_event_of_an_anomaly_says_what_led_up_to_it() -> None:
    """The daily cost up to the newest day, to the cent, and whether more of that day may still arrive."""
    said = of_anomaly().data["anomaly"]
    assert said["trend"] == [
        {"date": "2025-02-10", "amount": "200.00", "is_anomalous": True},
        {"date": "2025-02-11", "amount": "0.00", "is_anomalous": False},
    ]
    assert (said["newest_date"], said["newest_is_complete"]) == ("2025-02-11", False)


@pytest.mark.parametrize(
    ("expected", "actual", "percent"),
    [("0", "5", None), ("-100", "-250", "-150.0"), ("-100", "50", "150.0"), ("200", "0", "-100.0")],
)
def test_the_deviation_is_a_part_of_what_was_expected(
    expected: str, actual: str, percent: str | None
) -> None:
    """Nothing expected: no percentage; its sign is that of the money, also if credits weigh more."""
    anomaly = make_anomaly(expected=Decimal(expected), actual=Decimal(actual))
    assert anomaly_data(anomaly)["deviation_percent"] == percent


@pytest.mark.parametrize(
    ("amount", "text"), [("-0.001", "0.00"), ("-0.006", "-0.01"), ("1E+3", "1000.00"), ("0E-10", "0.00")]
)
def test_cents_have_two_decimals_and_no_negative_zero(amount: str, text: str) -> None:
    """What people read looks like money."""
    assert cents(Decimal(amount), "USD") == text


def test_a_failure_is_told_with_its_kind_and_its_sentence() -> None:
    """And with the run, its job and the account that it happened to."""
    event = of_failure()
    assert (event.type.value, event.subject) == ("account.failed", "000000000001")
    assert event.data == {
        "version": 1,
        "run_id": str(RUN),
        "job": "collect",
        "account": {"aws_account_id": "000000000001", "name": "account-1", "labels": {}},
        "error": {"kind": "timeout", "message": "No answer."},
    }


def test_an_answer_is_told_with_who_gave_it_and_how_the_anomaly_stands() -> None:
    """A receiver needs nothing else to close what it opened; the level is written in full."""
    event = of_answer()
    assert (event.type.value, event.subject) == ("anomaly.answered", "000000000001")
    assert event.data["standing"] == "silent"
    assert event.data["anomaly"]["id"] == str(UUID(int=40))
    assert event.data["answer"] == {
        "id": 7,
        "kind": "dismissed",
        "level": "200",
        "start_date": None,
        "end_date": None,
        "reason": "fee",
        "author": "al",
        "created_at": "2025-06-20T06:30:00Z",
    }


def test_an_answer_that_is_withdrawn_is_told_with_who_withdrew_it() -> None:
    """It is as if there had been none: every change is told again."""
    event = of_answer(DISMISSED, None)
    assert event.data["standing"] == "open"
    told = {name: event.data["answer"][name] for name in ("id", "kind", "level", "author", "reason")}
    assert told == {"id": None, "kind": "reopened", "level": None, "author": "bo", "reason": "not the fee"}


def test_the_id_of_an_answer_is_of_the_anomaly_and_of_both_answers() -> None:
    """Given, withdrawn, and given to another anomaly are three things."""
    events = [of_answer(), of_answer(DISMISSED, None), of_answer(id=UUID(int=41))]
    assert len({event.id for event in events}) == 3


def test_a_recovery_is_told_with_what_it_ends() -> None:
    """Since when the account failed, why, and in which job."""
    event = of_recovery()
    assert event.data["job"] == "discover"
    assert event.type.value == "account.recovered"
    assert event.data["failed"] == {"since": "2025-06-20T06:30:00Z", "kind": "throttled"}


def test_the_end_of_a_run_is_told_with_its_numbers() -> None:
    """Total failure and an early end have types of their own; partial failure is a run completed."""
    assert [of_run(status=status).type.value for status in ("completed", "partial", "failed", "stopped")] == [
        "run.completed",
        "run.completed",
        "run.failed",
        "run.stopped",
    ]
    assert of_run().subject == "job-7"
    assert of_run().data["run"] == {"status": "completed"}


def test_how_every_type_of_event_is_told_is_decided() -> None:
    """A type that was forgotten would be dropped from a log of warnings, and left out of digests."""
    assert KINDS.keys() == set(EventType)
    assert [type_ for type_, kind in KINDS.items() if kind.ends and kind.alert is None] == []
