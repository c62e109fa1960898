"""Writes events as structured log lines; needs no options."""

import logging
from collections.abc import Sequence
from typing import Self

from typing_extensions import override

from costbatch.adapters.sinks.base import CloudEvent, ConfiguredSink, Context
from costbatch.config.sinks import SinkConfig
from costbatch.domain.events import EventType
from costbatch.logs import EVENTS, get_logger

# Events that need attention; the others are informational.
WARNINGS = frozenset(
    {
        EventType.ANOMALY_DETECTED.value,
        EventType.ANOMALY_UPDATED.value,
        EventType.ANOMALY_REMINDER.value,
        EventType.INCIDENT_DETECTED.value,
        EventType.SERVICE_FIRST_CHARGED.value,
        EventType.DORMANT_ACCOUNT_CHARGED.value,
        EventType.REGION_FIRST_USED.value,
        EventType.SERVICE_FIRST_USED.value,
        EventType.ACCOUNT_FAILED.value,
        EventType.RUN_FAILED.value,
        EventType.RUN_STOPPED.value,
    }
)

_log = get_logger(EVENTS)


class LogSink(ConfiguredSink):
    """Writes each event as one line "event", with the CloudEvent in the field ``cloudevent``.

    A log level above info leaves out informational events, and none the others: they count as delivered.
    """

    @classmethod
    @override
    def build(cls, config: SinkConfig, context: Context) -> Self:
        return cls(config, context)

    @override
    def deliver(self, cloudevents: Sequence[CloudEvent]) -> str:
        left_out = 0
        for cloudevent in cloudevents:
            level = logging.WARNING if cloudevent["type"] in WARNINGS else logging.INFO
            left_out += not logging.getLogger(EVENTS).isEnabledFor(level)
            _log.log(level, "event", cloudevent=dict(cloudevent))
        if left_out:
            return "The event is not in the log: it only informs, and the log level is above info."
        return "The event is in the log."
