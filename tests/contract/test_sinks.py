"""What the port promises of a sink, by each real one against a real receiver and by the tests' own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.session import Session

from costbatch.adapters.sinks import SINKS
from costbatch.application.outbox import Sink
from costbatch.domain.events import EventType
from tests.support.aws import _clean_environment, moto, moto_url
from tests.support.fake_receivers import FakeSink
from tests.support.receiver import Receiver, receiving
from tests.support.sinks import anomaly_event, event_of_test, make_sink

__all__ = ["_clean_environment", "moto", "moto_url"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Receive on loopback."""
    with receiving() as found:
        yield found


def _sns(request: pytest.FixtureRequest) -> Sink:
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", request.getfixturevalue("moto"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMOTO")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    client: Any = Session().create_client("sns", region_name="eu-west-1")
    topic = client.create_topic(Name="costs")["TopicArn"]
    return make_sink(f"type: sns\ntopic_arn: {topic}")


def _webhook(request: pytest.FixtureRequest) -> Sink:
    url = request.getfixturevalue("receiver").url
    return make_sink(f"type: webhook\nurl: {url}\nallow_private: true")


def _alertmanager(request: pytest.FixtureRequest) -> Sink:
    return make_sink(f"type: alertmanager\nurl: {request.getfixturevalue('receiver').url}")


def _notify(request: pytest.FixtureRequest) -> Sink:
    url = request.getfixturevalue("receiver").url.replace("http://", "json://")
    return make_sink("type: notify\nurl: {secret_env: URL}", {"URL": url})


MAKERS: dict[str, Callable[[pytest.FixtureRequest], Sink]] = {
    "log": lambda _: make_sink("type: log"),
    "webhook": _webhook,
    "sns": _sns,
    "alertmanager": _alertmanager,
    "notify": _notify,
    "fake": lambda _: FakeSink("it"),
}


@pytest.fixture(params=MAKERS)
def sink(request: pytest.FixtureRequest) -> Sink:
    """Return a sink as a file configures it, or the fake."""
    return MAKERS[request.param](request)


def test_every_type_is_here() -> None:
    """A new one joins."""
    assert MAKERS.keys() - {"fake"} == SINKS.keys()


def test_every_type_of_event_is_taken(sink: Sink) -> None:
    """A sink does not choose, and says what the receiver answered."""
    for type_ in set(EventType) - {EventType.SINK_TEST}:
        event = dict(anomaly_event(type_=type_))
        if not type_.startswith("anomaly"):
            del event["data"]["anomaly"]
            event["data"] |= {
                "error": {"kind": "access_denied", "message": "No."},
                "failed": {"since": "2025-03-01T06:30:00Z", "kind": "access_denied"},
                "run": RUN,
                "job": "collect",
                "region": "eu-west-1",
                "regions": {"eu-west-1": 2},
                "service": "ec2",
                "services": {"ec2": 2},
                "resources": 2,
                "charge": {"service": "ec2", "date": "2025-03-11", "currency": "USD", "amount": "0.02"},
                "incident": INCIDENT,
            }
        if type_ is EventType.ANOMALY_ANSWERED:
            event["data"] |= {"standing": "silent", "answer": ANSWER}
        assert sink.deliver([event])
    assert sink.deliver([event_of_test()])


ANSWER = {
    "id": 7,
    "kind": "dismissed",
    "level": "951.68",
    "start_date": None,
    "end_date": None,
    "reason": "load test",
    "author": "alice",
    "created_at": "2025-03-12T06:30:00Z",
}


INCIDENT = {
    "id": "00000000-0000-0000-0000-000000000009",
    "service": "ec2",
    "direction": "spike",
    "start_date": "2025-03-11",
    "currency": "USD",
    "accounts": 1,
    "expected": "1.00",
    "actual": "3.00",
    "impact": "2.00",
    "members": [
        {
            "aws_account_id": "100000000001",
            "name": "search",
            "anomaly_id": "00000000-0000-0000-0000-000000000007",
            "impact": "2.00",
        }
    ],
}
RUN = {
    "job": "collect",
    "id": "1",
    "key": "job",
    "status": "completed",
    "is_restricted": False,
    "today": "2025-03-12",
    "cost_date": "2025-03-11",
    "accounts": {"total": 1, "collected": 1, "failed": 0, "skipped": 0, "not_active": 0, "unfinished": 0},
    "failures": {},
    "rows": {"fetched": 1, "inserted": 1, "updated": 0, "deleted": 0},
    "days_kept": 0,
    "api": {"requests": 1, "cost_usd": "0.01"},
    "api_requests_unanswered": 0,
    "anomalies": {"detected": 0, "updated": 0, "resolved": 0, "open": 0},
    "duration_seconds": 1.0,
}


def test_an_event_may_come_twice_and_is_left_as_it_is(sink: Sink) -> None:
    """Delivery is at least once, and the same document goes to the next sink."""
    event = anomaly_event()
    before = json.dumps(event)
    sink.deliver([event])
    sink.deliver([event])
    assert json.dumps(event) == before


def test_a_digest_takes_several_events(sink: Sink) -> None:
    """If it is one; the others are given one at a time."""
    if sink.is_digest:
        assert sink.deliver([anomaly_event(1), anomaly_event(2)])


def test_a_sink_has_the_name_of_its_configuration(sink: Sink) -> None:
    """Under which its deliveries are recorded."""
    assert sink.name == "it"
