"""Writes events as structured log lines; needs no settings."""

from collections.abc import Mapping
from typing import ClassVar, Self

from typing_extensions import override

from costbatch.adapters.sinks.base import ConfiguredSink
from costbatch.config import Settings
from costbatch.domain.events import EventType
from costbatch.logs import get_logger

# Events that need attention; the others are informational.
_WARNINGS = frozenset(
    {
        EventType.ANOMALY_DETECTED.value,
        EventType.ANOMALY_UPDATED.value,
        EventType.ACCOUNT_FAILED.value,
        EventType.RUN_FAILED.value,
    }
)

_log = get_logger("costbatch.events")


class LogSink(ConfiguredSink):
    """Writes each event as one line "event", with the CloudEvent in the field ``cloudevent``.

    A log level above info leaves out informational events, as it does all such lines.
    """

    name: ClassVar[str] = "log"

    @classmethod
    @override
    def from_settings(cls, settings: Settings) -> Self:
        return cls()

    @override
    def deliver(self, cloudevent: Mapping[str, object]) -> None:
        write = _log.warning if cloudevent["type"] in _WARNINGS else _log.info
        write("event", cloudevent=dict(cloudevent))
