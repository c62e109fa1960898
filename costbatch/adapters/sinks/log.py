"""Writes events as structured log lines; needs no options."""

import logging
from collections.abc import Sequence
from typing import Self

from typing_extensions import override

from costbatch.adapters.sinks.base import CloudEvent, ConfiguredSink, Context
from costbatch.config.sinks import SinkConfig
from costbatch.domain.event_kinds import KINDS
from costbatch.logs import EVENTS, get_logger

# Events that need attention; the others are informational.
_WARNINGS = frozenset(type_ for type_, kind in KINDS.items() if kind.warns)

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
            level = logging.WARNING if cloudevent["type"] in _WARNINGS else logging.INFO
            left_out += not logging.getLogger(EVENTS).isEnabledFor(level)
            _log.log(level, "event", cloudevent=dict(cloudevent))
        if left_out:
            return "The event is not in the log: it only informs, and the log level is above info."
        return "The event is in the log."
