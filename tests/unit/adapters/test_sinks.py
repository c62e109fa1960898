"""Sinks: configured names become sinks, and the log sink writes one line per event."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from costbatch import config
from costbatch.adapters.sinks import SINKS, make_sinks
from costbatch.adapters.sinks.log import LogSink
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


def test_names_become_sinks_in_their_order_and_once() -> None:
    """A name that stands twice delivers once."""
    assert [sink.name for sink in make_sinks(["log", "log"])] == ["log"]
    assert make_sinks([]) == []


def test_an_unknown_name_is_a_configuration_error() -> None:
    """Each unknown name gets a sentence that says which there are."""
    with pytest.raises(ConfigError) as error:
        make_sinks(["log", "pigeon", "fax"])
    assert error.value.problems == (
        "There is no sink named 'pigeon'; the sinks are: log.",
        "There is no sink named 'fax'; the sinks are: log.",
    )


def test_settings_and_adapters_know_the_same_sinks() -> None:
    """The configuration checks names against a list of its own; both must agree."""
    assert set(config.SINKS) == set(SINKS)
