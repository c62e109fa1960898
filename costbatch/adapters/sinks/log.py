"""Events as structured log lines: the sink that needs nothing but the log."""

from collections.abc import Mapping

from costbatch.domain.events import EventType
from costbatch.logs import get_logger

# What asks for a person's attention; the rest is told as information.
_WARNINGS = frozenset(
    {
        EventType.ANOMALY_DETECTED.value,
        EventType.ANOMALY_UPDATED.value,
        EventType.ACCOUNT_FAILED.value,
        EventType.RUN_FAILED.value,
    }
)

_log = get_logger("costbatch.events")


class LogSink:
    """Writes each event as one line "event", the CloudEvent in the field ``cloudevent``.

    A log level above info leaves out what is only information, here as everywhere.
    """

    name = "log"

    def deliver(self, cloudevent: Mapping[str, object]) -> None:
        """Write one event."""
        write = _log.warning if cloudevent["type"] in _WARNINGS else _log.info
        write("event", cloudevent=dict(cloudevent))
