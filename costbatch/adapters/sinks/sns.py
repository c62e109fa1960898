"""Publishes events to an SNS topic, as the pod's own identity, with attributes for filter policies."""

from collections.abc import Sequence
from typing import Any, Self, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session
from typing_extensions import override

from costbatch.adapters.sinks.base import CloudEvent, ConfiguredSink, Context
from costbatch.adapters.sinks.http import LARGEST_BODY_BYTES, to_json
from costbatch.config.sinks import SinkConfig, SnsOptions
from costbatch.errors import DeliveryError

# With more, SNS does not deliver to a queue with raw delivery.
_MOST_ATTRIBUTES = 10
_LONGEST_SUBJECT = 99
# The message group, SNS's ordering key, of events that are about no account.
_GROUP_OF_RUNS = "runs"
_OF_ANOMALIES = ("severity", "direction", "service", "currency")
# It refuses the topic or the sender, and would refuse the next message as well.
_ADVICE = {
    "AuthorizationError": "the pod's identity may not publish to the topic: grant it sns:Publish",
    "AuthorizationErrorException": "the pod's identity may not publish to the topic: grant it sns:Publish",
    "AccessDenied": "the pod's identity may not publish to the topic: grant it sns:Publish",
    "NotFound": "the topic does not exist",
    "NotFoundException": "the topic does not exist",
    "KMSAccessDenied": "the pod's identity may not use the key of the topic",
}
_OF_THE_MESSAGE = frozenset({"InvalidParameter", "ParameterValueInvalid", "ValidationError"})


class SnsSink(ConfiguredSink):
    """Publishes to one topic."""

    def __init__(self, config: SinkConfig, context: Context, options: SnsOptions) -> None:
        super().__init__(config, context)
        self._options = options
        self._client: Any = None

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
            request["MessageDeduplicationId"] = str(first["id"])
        size = len(request["Message"].encode())
        if size > LARGEST_BODY_BYTES:
            raise DeliveryError(
                f"The message has {size:,} bytes; SNS takes at most {LARGEST_BODY_BYTES:,}.", is_refused=True
            )
        return f"SNS accepted it as message {self._publish(request)}."

    def _publish(self, request: dict[str, Any]) -> str:
        topic = self._options.topic_arn
        try:
            self._client = self._client or _make_client(self._options.region, self._context.version)
            answer: dict[str, str] = self._client.publish(**request)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            # AWS's own text may name keys and identities.
            reason = _ADVICE.get(code, f"it answered {code if code.isalnum() else 'an error'}")
            raise DeliveryError(
                f"SNS did not accept the message for {topic}: {reason}.", is_refused=code in _OF_THE_MESSAGE
            ) from None
        except BotoCoreError as error:
            reason = type(error).__name__
            raise DeliveryError(f"SNS in {self._options.region} cannot be used ({reason}).") from None
        return answer["MessageId"]


def _make_client(region: str, version: str) -> Any:  # noqa: ANN401 - botocore makes the class at run time
    config = Config(
        connect_timeout=5,
        read_timeout=10,
        # The outbox tries again; here is only what passes within seconds.
        retries={"mode": "standard", "total_max_attempts": 3},
        user_agent_extra=f"costbatch/{version}",
    )
    return Session().create_client("sns", region_name=region, config=config)


def _attributes(event: CloudEvent) -> dict[str, dict[str, str]]:
    """Return what a subscription's filter policy can ask for; labels as far as there is room."""
    anomaly, account = event["data"].get("anomaly", {}), event["data"].get("account", {})
    texts = {"type": event["type"], "aws_account_id": account.get("aws_account_id")}
    texts |= {name: anomaly.get(name) for name in _OF_ANOMALIES}
    found = {name: {"DataType": "String", "StringValue": str(text)} for name, text in texts.items() if text}
    if anomaly:
        found["impact"] = {"DataType": "Number", "StringValue": str(anomaly["impact"])}
    for key, value in sorted(account.get("labels", {}).items())[: _MOST_ATTRIBUTES - len(found)]:
        name = "label_" + "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in key)
        found[name] = {"DataType": "String", "StringValue": str(value)}
    return found


def _subject(title: str) -> str:
    """Return a title as the subject of a mail: SNS takes only ASCII, without control characters."""
    plain = title.replace("\N{RIGHTWARDS ARROW}", "->").encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in plain)[:_LONGEST_SUBJECT]
