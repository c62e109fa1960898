"""What the port promises of a sink, by each real one and by the one that other tests use."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from costbatch.adapters.sinks import SINKS
from costbatch.application.ports import Sink
from costbatch.config import Settings
from costbatch.domain.events import Event, EventType
from tests.support.fake_receivers import FakeSink


@pytest.fixture(params=[*SINKS, "fake"])
def sink(request: pytest.FixtureRequest) -> Sink:
    """Return a sink as the settings make it, or the fake."""
    return FakeSink() if request.param == "fake" else SINKS[request.param].from_settings(Settings())


def event_of(type_: EventType) -> Event:
    """Return an event."""
    return Event(
        id=UUID(int=7),
        type=type_,
        subject="123456789012",
        occurred_at=datetime(2025, 1, 15, tzinfo=UTC),
        data={"run_id": "1"},
    )


@pytest.mark.parametrize("type_", EventType)
def test_every_type_of_event_is_taken(sink: Sink, type_: EventType) -> None:
    """A sink does not choose."""
    sink.deliver(event_of(type_).to_cloudevent())


def test_an_event_may_come_twice(sink: Sink) -> None:
    """Delivery is at least once; the receiver tells repeats by the id."""
    cloudevent = event_of(EventType.RUN_FAILED).to_cloudevent()
    sink.deliver(cloudevent)
    sink.deliver(cloudevent)


def test_the_event_is_left_as_it_is(sink: Sink) -> None:
    """The same one goes to the next sink."""
    event = event_of(EventType.RUN_FAILED)
    cloudevent = event.to_cloudevent()
    sink.deliver(cloudevent)
    assert cloudevent == event.to_cloudevent()


def test_a_sink_has_a_name(sink: Sink) -> None:
    """Under which its deliveries are recorded."""
    assert sink.name
    assert sink.name == sink.name.strip().lower()
