"""What every Outbox does about claims, and about the end of an anomaly that a sink was told of."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from costbatch.application.ports import Database
from costbatch.domain.detection import Direction, Severity
from costbatch.domain.events import Event, EventType
from costbatch.domain.routing import Filter, Route
from tests.support.database_rows import add_account, event, open_run

LEASE = timedelta(minutes=2)
SMALL = {"severity": "low"}
OF_S3 = {"explanation": [{"service": "Amazon S3"}]}
OF_SEARCH = {"labels": {"team": "search"}}


def anomaly_event(type_: EventType = EventType.ANOMALY_RESOLVED, id_: str = "a", **fields: Any) -> Event:
    """Return an event about a large anomaly of EC2 in an account of the team payments."""
    labels = fields.pop("labels", {"team": "payments"})
    anomaly = {
        "id": id_,
        "severity": "high",
        "currency": "USD",
        "impact": "100.00",
        "deviation_percent": "50.0",
        "direction": "spike",
        "service": None,
        "explanation": [{"service": "Amazon EC2"}],
    }
    account = {"aws_account_id": "1" * 12, "labels": labels}
    return event(type_, data={"account": account, "anomaly": {**anomaly, **fields}})


def sent(database: Database, filter_: Filter, *events: Event) -> list[Event]:
    """Append events for a sink, and return those that it gets."""
    account = add_account(database)
    with database.transaction() as tx:
        for each in events:
            tx.outbox.append([each], [Route("team", filter_)], account_id=account.id, run_id=None)
        claimed = tx.outbox.claim("team", worker="me", token=uuid4(), most=9, lease=LEASE)
    return [each for each in events if each.id in {delivery.event_id for delivery in claimed}]


@pytest.mark.parametrize(
    ("filter_", "changed"),
    [
        (Filter(severity=Severity.HIGH), SMALL),
        (Filter(services=frozenset({"Amazon EC2"})), OF_S3),
        (Filter(labels=(("team", "payments"),)), OF_SEARCH),
    ],
    ids=["size", "services", "labels"],
)
def test_a_sink_is_told_how_an_anomaly_ended_that_it_was_told_of(
    database: Database, filter_: Filter, changed: dict[str, Any]
) -> None:
    """Whatever has changed meanwhile; of one that its filter excluded from the start it hears nothing."""
    told, excluded = EventType.ANOMALY_DETECTED, {"id_": "b", **changed}
    begun = [anomaly_event(told), anomaly_event(told, **excluded)]
    ended = [anomaly_event(**changed), anomaly_event(**excluded)]
    assert sent(database, filter_, *begun, *ended) == [begun[0], ended[0]]


def test_the_endings_of_a_run_are_told_in_their_order(database: Database) -> None:
    """The status of each, without the run's other events and without those of other runs."""
    runs = [open_run(database, key) for key in ("one", "other")]
    completed, stopped = EventType.RUN_COMPLETED, EventType.RUN_STOPPED
    with database.transaction() as tx:
        assert tx.outbox.endings_of_run(runs[0].id) == []
        for run, type_, status in (
            (0, completed, "partial"),
            (0, EventType.INCIDENT_DETECTED, "no ending"),
            (1, EventType.RUN_FAILED, "failed"),
            (0, stopped, "stopped"),
            (0, completed, "partial"),
        ):
            told = event(type_, data={"run": {"status": status}})
            tx.outbox.append([told], [], account_id=None, run_id=runs[run].id)
        assert tx.outbox.endings_of_run(runs[0].id) == ["partial", "stopped", "partial"]


def test_a_sink_is_told_of_no_type_that_its_filter_leaves_out(database: Database) -> None:
    """Someone who wants only what is new hears of no end."""
    new = Filter(types=frozenset({"anomaly.detected"}), direction=Direction.SPIKE)
    begun = anomaly_event(EventType.ANOMALY_DETECTED)
    assert sent(database, new, begun, anomaly_event()) == [begun]


def test_a_claim_that_is_made_again_takes_the_same(database: Database) -> None:
    """Its commit succeeded and the answer to it was lost; with another token the deliveries are taken."""
    account, events = add_account(database), [event(), event()]
    with database.transaction() as tx:
        tx.outbox.append(events, [Route("team")], account_id=account.id, run_id=None)

    def claimed(token: int, most: int = 9) -> list[UUID]:
        with database.transaction() as tx:
            found = tx.outbox.claim("team", worker="me", token=UUID(int=token), most=most, lease=LEASE)
        assert {delivery.claim_token for delivery in found} <= {UUID(int=token)}
        return [delivery.event_id for delivery in found]

    first, second = (each.id for each in events)
    assert [claimed(1, most=1), claimed(1, most=1), claimed(2)] == [[first], [first], []]
    assert [claimed(1), claimed(1)] == [[first, second]] * 2
