"""What every kind of sink has besides the port: it is built from its part of the configuration."""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID, uuid5

from typing_extensions import override

from costbatch.application.outbox import Sink
from costbatch.config.sinks import SinkConfig
from costbatch.domain.links import LinkTemplate
from costbatch.domain.messages import Message, message_of

CloudEvent = Mapping[str, Any]
# What the names of an account's labels begin with.
ACCOUNT_LABEL = "label_"
_NAMESPACE = UUID("b2f7d7a0-9a51-4d6a-8a83-0c9b2c6a7c11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What sinks share. link: of the page about an anomaly. version: of this program.

    publish: publishes to an SNS topic of a region, and returns the id of the message.
    """

    link: LinkTemplate | None
    version: str
    publish: Callable[[str, Mapping[str, Any]], str]


class ConfiguredSink(Sink):
    """A sink that is built from its configuration."""

    def __init__(self, config: SinkConfig, context: Context) -> None:
        self._config, self._context = config, context

    @classmethod
    @abstractmethod
    def build(cls, config: SinkConfig, context: Context) -> Self:
        """Return the sink."""

    @property
    @override
    def name(self) -> str:
        return self._config.name

    @property
    @override
    def is_digest(self) -> bool:
        return self._config.is_digest

    def message(self, cloudevents: Sequence[CloudEvent]) -> Message:
        """Return the events in words."""
        return message_of(cloudevents, self._context.link)


def label_names(keys: Iterable[str], forbidden: re.Pattern[str]) -> dict[str, str]:
    """Return what a receiver calls the labels of an account, by key: no two of them have one name.

    forbidden: the characters that no name may have there.
    """
    names: dict[str, str] = {}
    # A key that is a name already keeps it, whatever other labels the account has.
    for key in sorted(keys, key=lambda key: (forbidden.search(key) is not None, key)):
        plain = name = ACCOUNT_LABEL + forbidden.sub("_", key)
        number = 1
        while name in names.values():
            number += 1
            name = f"{plain}_{number}"
        names[key] = name
    return names


def digest_id(cloudevents: Sequence[CloudEvent]) -> str:
    """Return the id of events that are sent together: with one more of them it is another message."""
    return str(uuid5(_NAMESPACE, ",".join(str(event["id"]) for event in cloudevents)))
