"""Sinks: configured names become sinks, and the log sink writes one line per event."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from costbatch.adapters.sinks import SINKS, make_sinks
from costbatch.adapters.sinks.log import LogSink
from costbatch.config import Settings
from costbatch.domain.events import Event, EventType
from costbatch.errors import ConfigError


def _cloudevent(type_: EventType) -> dict[str, Any]:
    event = Event(
        id=UUID(int=7),
        type=type_,
        subject="123456789012",
        occurred_at=datetime(2025, 1, 15, tzinfo=UTC),
        data={"answer": "42"},
    )
    return event.to_cloudevent()


@pytest.mark.parametrize(
    ("type_", "level"),
    [
        (EventType.ANOMALY_DETECTED, "warning"),
        (EventType.ANOMALY_UPDATED, "warning"),
        (EventType.ANOMALY_RESOLVED, "info"),
        (EventType.ACCOUNT_FAILED, "warning"),
        (EventType.ACCOUNT_RECOVERED, "info"),
        (EventType.RUN_COMPLETED, "info"),
        (EventType.RUN_FAILED, "warning"),
    ],
)
def test_an_event_is_one_log_line_of_its_severity(type_: EventType, level: str) -> None:
    """What asks for attention is a warning; the event's name is static and the CloudEvent a field."""
    cloudevent = _cloudevent(type_)
    with capture_logs() as lines:
        LogSink().deliver(cloudevent)
    assert lines == [{"event": "event", "log_level": level, "cloudevent": cloudevent}]


def test_the_settings_make_the_sinks() -> None:
    """Each name once, also if it is repeated."""
    assert [sink.name for sink in make_sinks(Settings.from_environment({"COSTBATCH_SINKS": "log,log"}))] == [
        "log"
    ]
    assert make_sinks(Settings(sinks=())) == []


def test_an_unknown_name_is_a_configuration_error() -> None:
    """The sentence names the sinks of the registry, which is the only list of them."""
    with pytest.raises(ConfigError) as error:
        Settings.from_environment({"COSTBATCH_SINKS": "log,pigeon"}, known_sinks=SINKS)
    assert error.value.problems == ("COSTBATCH_SINKS must be one of log; it is 'pigeon'.",)


def test_the_registry_knows_each_sink_by_its_own_name() -> None:
    """Deliveries are recorded under that name."""
    assert all(name == sink.name for name, sink in SINKS.items())
