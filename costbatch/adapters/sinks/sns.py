"""Publishes events to an SNS topic, as the pod's own identity, with attributes for filter policies."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

from typing_extensions import override

from costbatch.adapters.sinks.base import CloudEvent, ConfiguredSink, Context, digest_id, label_names
from costbatch.adapters.sinks.http import LARGEST_BODY_BYTES, to_json
from costbatch.config.sinks import SinkConfig, SnsOptions
from costbatch.errors import DeliveryError

# With more, SNS does not deliver to a queue with raw delivery.
_MOST_ATTRIBUTES = 10
# A name may have a period, but not everywhere.
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_SUBJECT = 99
_OF_SUBJECT = str.maketrans(
    {"\N{RIGHTWARDS ARROW}": "->", "\N{ZERO WIDTH SPACE}": "", "\N{LEFT-TO-RIGHT MARK}": ""}
)
# The message group, SNS's ordering key, of events that are about no account.
_GROUP_OF_RUNS = "runs"
_OF_ANOMALIES = ("severity", "direction", "service", "currency")


class SnsSink(ConfiguredSink):
    """Publishes to one topic."""

    def __init__(self, config: SinkConfig, context: Context, options: SnsOptions) -> None:
        super().__init__(config, context)
        self._options = options

    @classmethod
    @override
    def build(cls, config: SinkConfig, context: Context) -> Self:
        return cls(config, context, cast("SnsOptions", config.options))

    @override
    def deliver(self, cloudevents: Sequence[CloudEvent]) -> str:
        first = cloudevents[0]
        request: dict[str, Any] = {"TopicArn": self._options.topic_arn}
        if self._options.as_text:
            message = self.message(cloudevents)
            request |= {"Message": message.text, "Subject": _subject(message.title)}
        else:
            request |= {"Message": to_json(first).decode()}
        if len(cloudevents) == 1:
            request["MessageAttributes"] = _attributes(first)
        if self._options.is_fifo:
            account = first["data"].get("account", {})
            request["MessageGroupId"] = account.get("aws_account_id", _GROUP_OF_RUNS)
            # SNS accepts a repeat within five minutes and drops it, with what is new in it.
            request["MessageDeduplicationId"] = digest_id(cloudevents) if self.is_digest else str(first["id"])
        size = len(request["Message"].encode())
        if size > LARGEST_BODY_BYTES:
            raise DeliveryError(
                f"The message has {size:,} bytes; SNS takes at most {LARGEST_BODY_BYTES:,}.",
                is_refused=True,
                is_too_large=True,
            )
        return f"SNS accepted it as message {self._context.publish(self._options.region, request)}."


def _attributes(event: CloudEvent) -> dict[str, dict[str, str]]:
    """Return what a subscription's filter policy can ask for; labels as far as there is room."""
    anomaly, account = event["data"].get("anomaly", {}), event["data"].get("account", {})
    texts = {"type": event["type"], "aws_account_id": account.get("aws_account_id")}
    texts |= {name: anomaly.get(name) for name in _OF_ANOMALIES}
    found = {name: {"DataType": "String", "StringValue": str(text)} for name, text in texts.items() if text}
    if anomaly:
        found["impact"] = {"DataType": "Number", "StringValue": str(anomaly["impact"])}
    labels: Mapping[str, str] = account.get("labels", {})
    names = label_names(labels, _FORBIDDEN)
    for key, value in sorted(labels.items())[: _MOST_ATTRIBUTES - len(found)]:
        found[names[key]] = {"DataType": "String", "StringValue": str(value)}
    return found


def _subject(title: str) -> str:
    """Return a title as the subject of a mail: SNS takes only ASCII, without control characters."""
    # A subject shows no mention and no link, so that nothing has to break them, and no letter from the right.
    shown = title.translate(_OF_SUBJECT)
    plain = shown.encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in plain)[:_LONGEST_SUBJECT]
