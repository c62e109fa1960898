"""Alerts as Alertmanager's API takes them: one identity from firing to resolved."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from costbatch.adapters.sinks import make_sinks
from costbatch.adapters.sinks.alerts import labels_of
from costbatch.config.sinks import parse_file
from costbatch.domain.event_kinds import KINDS
from costbatch.domain.events import RUN_ENDINGS, EventType
from costbatch.domain.links import LinkTemplate
from tests.support.receiver import Receiver, receiving
from tests.support.sinks import anomaly_event, make_context, make_sink

ACCOUNT = {"aws_account_id": "100000000001", "name": "search", "labels": {}}
LINK = LinkTemplate.parse("https://grafana.example/d/cost?var-account={aws_account_id}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Receive on loopback."""
    with receiving() as found:
        yield found


def posted(receiver: Receiver, event: Any, *more: str) -> list[Any]:
    """Deliver one event and return the alerts that it makes."""
    lines = "\n".join(f"    {line}" for line in ["type: alertmanager", f"url: {receiver.url}/am/", *more])
    configs, _ = parse_file(f"sinks:\n  it:\n{lines}\n", "x", {})
    (sink,) = make_sinks(configs, make_context(LINK))
    sink.deliver([event])
    assert receiver.asked[-1].target == "/am/api/v2/alerts"
    alerts: list[Any] = json.loads(receiver.bodies[-1])
    return alerts


def test_an_anomaly_fires_from_its_first_day_on(receiver: Receiver) -> None:
    """With labels to route by, words, a link back, and an end long enough for the next news of it."""
    (alert,) = posted(receiver, anomaly_event(account={"labels": {"team": "payments", "cost-center": "7"}}))
    assert alert["labels"] == {
        "alertname": "CostbatchAnomaly",
        "aws_account_id": "100000000001",
        "direction": "spike",
        "currency": "USD",
        "severity": "high",
        "anomaly_id": "00000000-0000-0000-0000-000000000007",
        "label_team": "payments",
        "label_cost_center": "7",
    }
    assert (alert["startsAt"], alert["endsAt"]) == ("2025-03-09T00:00:00Z", "2025-03-19T06:30:00Z")
    assert "search" in alert["annotations"]["summary"]
    assert "1,218.16" in alert["annotations"]["description"]
    assert parse_qs(urlsplit(alert["generatorURL"]).query) == {"var-account": ["100000000001"]}


def test_the_end_resolves_the_same_alert(receiver: Receiver) -> None:
    """Whatever the revision and the amounts are by then."""
    (fired,) = posted(receiver, anomaly_event(1))
    (resolved,) = posted(
        receiver, anomaly_event(2, EventType.ANOMALY_RESOLVED, actual="1.00", last_date="2025-03-12")
    )
    assert resolved["labels"] == fired["labels"]
    assert (resolved["startsAt"], resolved["endsAt"]) == ("2025-03-09T00:00:00Z", "2025-03-12T06:30:00Z")


def test_what_fires_with_old_labels_is_resolved(receiver: Receiver) -> None:
    """Routes go by the severity and the account's labels: if they change, what is not known is asked for."""
    (fired,) = posted(receiver, anomaly_event(1))
    old = {**fired["labels"], "severity": "low", "label_team": "search", "label_env": "prod"}
    other = {**old, "alertname": "Another"}
    receiver.stored = json.dumps([{"labels": each} for each in (old, other, fired["labels"])]).encode()
    update = anomaly_event(2, EventType.ANOMALY_UPDATED)
    ended, now = posted(receiver, update)
    assert (ended["labels"], ended["endsAt"]) == (old, "2025-03-12T06:30:00Z")
    assert (now["labels"], now["endsAt"]) == (fired["labels"], "2025-03-19T06:30:00Z")
    target = urlsplit(receiver.read[-1])
    assert target.path == "/am/api/v2/alerts"
    assert parse_qs(target.query)["filter"] == [
        'alertname="CostbatchAnomaly"',
        'aws_account_id="100000000001"',
        'anomaly_id="00000000-0000-0000-0000-000000000007"',
    ]
    resolved = posted(receiver, anomaly_event(3, EventType.ANOMALY_RESOLVED))
    assert {each["endsAt"] for each in resolved} == {"2025-03-12T06:30:00Z"}


@pytest.mark.parametrize(
    "type_", [EventType.ANOMALY_UPDATED, EventType.ANOMALY_EXPLAINED, EventType.ANOMALY_REMINDER]
)
def test_what_is_over_does_not_fire_again(receiver: Receiver, type_: EventType) -> None:
    """If AWS corrects a day of it, no other event would ever resolve its alert."""
    (alert,) = posted(receiver, anomaly_event(type_=type_, state="resolved", resolution="restated"))
    assert alert["endsAt"] == "2025-03-12T06:30:00Z"


def test_a_slow_list_of_alerts_leaves_time_for_the_alert(receiver: Receiver) -> None:
    """Half of the timeout at least."""
    receiver.read_hangs = True
    (alert,) = posted(receiver, anomaly_event(), "timeout_seconds: 2")
    assert alert["labels"]["alertname"] == "CostbatchAnomaly"
    assert receiver.read


@pytest.mark.parametrize("stored", ["<html>", "{}{", '{"status": "success"}', "[7]"])
def test_an_alert_fires_if_the_others_cannot_be_read(receiver: Receiver, stored: str) -> None:
    """What people have to know is not held back for what fires with old labels."""
    receiver.stored = stored.encode()
    (alert,) = posted(receiver, anomaly_event())
    assert alert["labels"]["alertname"] == "CostbatchAnomaly"


@pytest.mark.parametrize(
    ("standing", "ends_at"),
    [
        ("silent", "2025-03-12T06:30:00Z"),
        ("acknowledged", "2025-03-19T06:30:00Z"),
        ("open", "2025-03-19T06:30:00Z"),
    ],
)
def test_an_answer_that_silences_resolves_the_alert(receiver: Receiver, standing: str, ends_at: str) -> None:
    """What is acknowledged still costs, so it fires on; what is reopened fires again."""
    (fired,) = posted(receiver, anomaly_event(1))
    event = dict(anomaly_event(2, EventType.ANOMALY_ANSWERED))
    answer = {"id": 7, "kind": "dismissed", "level": "5", "end_date": None, "author": "al", "reason": "fee"}
    event["data"] |= {"standing": standing, "answer": answer}
    (now,) = posted(receiver, event)
    assert now["labels"] == fired["labels"]
    assert (now["startsAt"], now["endsAt"]) == ("2025-03-09T00:00:00Z", ends_at)
    assert "dismissed by al" in now["annotations"]["description"]


@pytest.mark.parametrize(
    ("begins", "ends", "data"),
    [
        (
            EventType.ACCOUNT_FAILED,
            EventType.ACCOUNT_RECOVERED,
            {
                "error": {"kind": "throttled", "message": "No."},
                "failed": {"since": "2025-03-01T06:30:00Z", "kind": "timeout"},
            },
        ),
    ],
)
def test_failures_fire_until_they_are_over(
    receiver: Receiver, begins: EventType, ends: EventType, data: dict[str, Any]
) -> None:
    """Also if they fail for another reason meanwhile."""
    alerts = []
    for type_ in (begins, ends):
        event = dict(anomaly_event(type_=type_))
        event["data"] = {"job": "collect", "account": event["data"]["account"], **data}
        alerts += posted(receiver, event, "firing_days: 1")
    assert alerts[0]["labels"] == alerts[1]["labels"]
    assert alerts[0]["labels"]["job"] == "collect"
    assert [each["endsAt"] for each in alerts] == ["2025-03-13T06:30:00Z", "2025-03-12T06:30:00Z"]


def end_of_run(type_: EventType, job: str = "collect", *, is_restricted: bool = False) -> Any:
    """Return the event of a run's end."""
    accounts = {"total": 1, "done": 1, "failed": 0, "skipped": 0, "not_active": 0, "unfinished": 0}
    run = {"job": job, "status": "x", "is_restricted": is_restricted, "accounts": accounts, "failures": {}}
    return {**anomaly_event(type_=type_), "data": {"version": 1, "run": run}}


def test_only_a_whole_run_of_the_same_job_ends_a_failed_one(receiver: Receiver) -> None:
    """Not the discovery that follows; and what someone collects by hand starts and ends no alert."""
    failed, stopped, same, other = (
        alert
        for event in (
            end_of_run(EventType.RUN_FAILED),
            end_of_run(EventType.RUN_STOPPED),
            end_of_run(EventType.RUN_COMPLETED),
            end_of_run(EventType.RUN_COMPLETED, "discover"),
        )
        for alert in posted(receiver, event)
    )
    assert failed["labels"] == {"alertname": "CostbatchRunFailed", "job": "collect"}
    assert (stopped["labels"], stopped["endsAt"]) == (failed["labels"], failed["endsAt"])
    assert (same["labels"], same["endsAt"]) == (failed["labels"], "2025-03-12T06:30:00Z")
    assert other["labels"] == {"alertname": "CostbatchRunFailed", "job": "discover"}
    sink = make_sink(f"type: alertmanager\nurl: {receiver.url}")
    for type_ in (EventType.RUN_COMPLETED, EventType.RUN_FAILED, EventType.RUN_STOPPED):
        said = sink.deliver([end_of_run(type_, is_restricted=True)])
        assert (said, len(receiver.asked)) == ("A restricted run is no night, so nothing was sent.", 4)


def test_what_is_told_once_is_an_alert_of_its_own(receiver: Receiver) -> None:
    """Each region and each charge, and none of them is the failure of its account, which a recovery ends."""
    charge = {"date": "2025-03-11", "currency": "USD", "amount": "0.02"}
    shown = []
    for type_, data in (
        (EventType.REGION_FIRST_USED, {"region": "ap-south-1", "services": {"ec2": 1}, "resources": 1}),
        (EventType.REGION_FIRST_USED, {"region": "sa-east-1", "services": {"ec2": 1}, "resources": 1}),
        (EventType.SERVICE_FIRST_CHARGED, {"charge": {**charge, "service": "Amazon EC2"}}),
        (EventType.DORMANT_ACCOUNT_CHARGED, {"charge": charge}),
    ):
        event = {**anomaly_event(type_=type_), "data": {"account": ACCOUNT, **data}}
        (alert,) = posted(receiver, event)
        shown.append({name: value for name, value in alert["labels"].items() if name != "aws_account_id"})
    assert shown == [
        {"alertname": "CostbatchEvent", "event": "region.first_used", "region": "ap-south-1"},
        {"alertname": "CostbatchEvent", "event": "region.first_used", "region": "sa-east-1"},
        {
            "alertname": "CostbatchEvent",
            "event": "service.first_charged",
            "service": "Amazon EC2",
            "currency": "USD",
        },
        {"alertname": "CostbatchEvent", "event": "account.dormant_charged", "currency": "USD"},
    ]


@pytest.mark.parametrize("type_", [each for each in EventType if each not in RUN_ENDINGS])
def test_events_about_two_things_are_two_alerts(type_: EventType) -> None:
    """Whatever their data is called; else the second one replaces the first, and nobody reads that one."""
    first, second = (
        {**anomaly_event(type_=type_), "subject": f"100000000001/{name}", "data": {"account": ACCOUNT}}
        for name in ("public-bucket", "root-key")
    )
    assert labels_of(first) != labels_of(second)


def test_no_label_of_an_account_takes_the_place_of_another() -> None:
    """A key that Alertmanager takes as it is keeps its name, whatever labels the account has besides."""
    given = {"a-b": "1", "a.b": "2", "a_b": "3", "a_b_2": "4", "team": "5"}
    shown = labels_of(anomaly_event(account={"labels": given}))
    assert {name: value for name, value in shown.items() if name.startswith("label_")} == {
        "label_a_b": "3",
        "label_a_b_2": "4",
        "label_a_b_3": "1",
        "label_a_b_4": "2",
        "label_team": "5",
    }


@pytest.mark.parametrize("type_", [type_ for type_, kind in KINDS.items() if kind.ends])
def test_what_ends_an_alert_has_the_labels_of_what_fires_it(type_: str) -> None:
    """With other labels it would be a second alert, and the first one would fire on."""
    about = {"subject": "100000000001/public-bucket", "data": {"account": ACCOUNT}}
    ended = labels_of({**anomaly_event(), **about, "type": type_})
    fires = [each for each, kind in KINDS.items() if kind.alert == KINDS[type_].alert]
    assert ended["alertname"] != "CostbatchEvent"
    assert [labels_of({**anomaly_event(), **about, "type": each}) for each in fires] == [ended] * len(fires)


def test_an_event_of_a_later_release_is_an_alert() -> None:
    """It may lie in the outbox after a downgrade, and must not hold up what comes after it."""
    event = {**anomaly_event(), "type": "anomaly.forecast", "data": {"account": ACCOUNT}}
    assert labels_of(event)["event"] == "anomaly.forecast"
