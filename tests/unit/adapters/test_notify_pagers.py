"""Pagers through apprise: what opens an incident closes it, with their addresses replaced."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from costbatch.adapters.sinks.alerts import alert_key
from costbatch.application.outbox import Sink
from costbatch.domain.answers import Standing
from costbatch.domain.events import EventType
from tests.support.sinks import anomaly_event, event_of_test, make_sink

ID = "a1b2c3d4-aaaa-4bbb-8ccc-123456789012"
PAGERDUTY = "pagerduty://INTEGRATIONKEY0123456789@APIKEY0123456789"
# By address: where the key of an incident is, and what closes it.
PAGERS = {
    PAGERDUTY: ("dedup_key", ("event_action", "resolve")),
    f"goalert://goalert.example.com/{ID}": ("dedup", ("action", "close")),
    "ilert://il1api0123456789abcdef": ("alertKey", ("eventType", "RESOLVE")),
    "incidentio://01H0000000000000000000ABCD/token0123456789": (
        "deduplication_key",
        ("status", "resolved"),
    ),
    "firehydrant://fhb-0123456789abcdef": ("idempotency_key", ("status", "CLOSED")),
    "squadcast://0123456789abcdef0123456789abcdef": ("event_id", ("status", "resolve")),
    "opsimate://token0123456789@opsimate.example.com": ("id", ("status", "resolved")),
    "signl4://teamsecret0123": ("X-S4-ExternalID", ("X-S4-Status", "resolved")),
    "pagertree://int_0123456789": ("id", ("event_type", "resolve")),
    f"splunk://route@{ID}": ("entity_id", ("message_type", "RECOVERY")),
}


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """Keep what is posted, and accept it."""
    documents: list[Mapping[str, Any]] = []

    def send(_session: requests.Session, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        documents.append(json.loads(request.body or "{}"))
        answer = requests.Response()
        answer.status_code, answer.url = 200, request.url or ""
        answer._content = b'{"requestId": "it"}'
        return answer

    monkeypatch.setattr(requests.Session, "send", send)
    return documents


def pager(url: str) -> Sink:
    """Return a sink with this address."""
    return make_sink("type: notify\nurl: {secret_env: URL}", {"URL": url})


@pytest.mark.parametrize("url", PAGERS)
def test_what_ends_an_alert_closes_its_incident(posted: list[Mapping[str, Any]], url: str) -> None:
    """By the same key, also if the account was renamed and relabelled and the severity changed meanwhile."""
    key, (name, value) = PAGERS[url]
    pager(url).deliver([anomaly_event()])
    opened = {each[key] for each in posted}
    assert all(each.get(name) != value for each in posted)
    posted.clear()
    renamed = {"name": "find", "labels": {"team": "search"}}
    pager(url).deliver([anomaly_event(2, EventType.ANOMALY_RESOLVED, severity="low", account=renamed)])
    assert {(each[key], each[name]) for each in posted} == {(*opened, value)}


@pytest.mark.parametrize("url", PAGERS)
def test_a_pager_gets_each_event_by_itself(url: str) -> None:
    """What one digest opens, no event of one anomaly could close."""
    assert not pager(url).is_digest


@pytest.mark.parametrize("url", PAGERS)
def test_another_anomaly_is_another_incident(posted: list[Mapping[str, Any]], url: str) -> None:
    """The end of one must not close the other."""
    for name in "ab":
        pager(url).deliver([anomaly_event(id=name)])
    assert len({each[PAGERS[url][0]] for each in posted}) == len("ab")


@pytest.mark.parametrize(("standing", "action"), [(Standing.SILENT, "resolve"), (Standing.OPEN, "trigger")])
def test_an_answer_that_silences_closes_the_incident(
    posted: list[Mapping[str, Any]], standing: Standing, action: str
) -> None:
    """And one that is withdrawn opens it again."""
    answered = anomaly_event(2, EventType.ANOMALY_ANSWERED)
    answer = {"kind": "dismissed", "level": "9", "end_date": None, "author": "eve", "reason": "", "id": 1}
    pager(PAGERDUTY).deliver(
        [{**answered, "data": {**answered["data"], "standing": standing, "answer": answer}}]
    )
    assert [each["event_action"] for each in posted] == [action]


def test_a_test_opens_an_incident(posted: list[Mapping[str, Any]]) -> None:
    """Each one a new one, or nobody could see that it came."""
    pager(PAGERDUTY).deliver([event_of_test()])
    (document,) = posted
    assert (document["event_action"], document["dedup_key"]) == ("trigger", event_of_test()["id"])


def test_what_is_told_once_has_a_key_of_its_own() -> None:
    """But an incident keeps it if members join; and a restricted run has another than the night."""
    of_region = {**anomaly_event(), "type": EventType.REGION_FIRST_USED}
    assert alert_key(of_region) == of_region["id"]
    joined = {"type": EventType.INCIDENT_DETECTED, "data": {"incident": {"id": "it"}}}
    assert alert_key({**joined, "id": "1"}) == alert_key({**joined, "id": "2"})
    run = {"job": "collect", "is_restricted": True}
    restricted = {"type": EventType.RUN_FAILED, "id": "1", "subject": "a", "data": {"run": run}}
    whole = {**restricted, "data": {"run": {**run, "is_restricted": False}}}
    assert alert_key(restricted) == "1" != alert_key(whole)
    assert alert_key(whole) == alert_key(
        {**whole, "type": EventType.RUN_COMPLETED, "id": "2", "subject": "b"}
    )


@pytest.mark.parametrize("scheme", ["opsgenie", "jira"])
@pytest.mark.parametrize(
    "event",
    [anomaly_event(severity="low"), anomaly_event(type_=EventType.ANOMALY_RESOLVED), event_of_test()],
    ids=["of low severity", "an end", "a test"],
)
def test_a_service_that_cannot_close_gets_every_message(
    posted: list[Mapping[str, Any]], scheme: str, event: Mapping[str, Any]
) -> None:
    """What apprise left out it would report as sent."""
    pager(f"{scheme}://{ID}").deliver([event])
    (document,) = posted
    assert document["message"]


@pytest.mark.parametrize(
    ("mapping", "kinds"),
    [
        ("", ["INFO", "INFO", "WARNING", "CRITICAL"]),
        ("?:info=CRITICAL&:warning=CRITICAL", ["CRITICAL"] * 4),
    ],
)
def test_splunk_pages_for_what_is_not_severe_if_its_address_says_so(
    posted: list[Mapping[str, Any]], mapping: str, kinds: list[str]
) -> None:
    """As the document of alerts says: INFO pages nobody."""
    sink = make_sink(
        "type: notify\nurl: {secret_env: URL}\noverflow: truncate", {"URL": f"splunk://route@{ID}{mapping}"}
    )
    sink.deliver([event_of_test()])
    for severity in ("low", "medium", "high"):
        sink.deliver([anomaly_event(severity=severity)])
    assert [each["message_type"] for each in posted] == kinds
