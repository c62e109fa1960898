"""Sends CloudEvents over HTTP, signed as Standard Webhooks says.

A single event goes in the structured or the binary mode, a digest as a batch.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self, cast
from urllib.parse import quote

from standardwebhooks import Webhook
from typing_extensions import override

from costbatch.adapters.sinks.base import CloudEvent, ConfiguredSink, Context, digest_id
from costbatch.adapters.sinks.http import HttpClient, to_json
from costbatch.config.sinks import SinkConfig, WebhookOptions

_STRUCTURED = "application/cloudevents+json; charset=utf-8"
_BATCH = "application/cloudevents-batch+json; charset=utf-8"
# As the HTTP binding of CloudEvents has it: what is left as it is in a header.
_PLAIN_IN_HEADERS = re.sub(r'["%]', "", "".join(map(chr, range(0x21, 0x7F))))


class WebhookSink(ConfiguredSink):
    """Posts to one address."""

    def __init__(self, config: SinkConfig, context: Context, options: WebhookOptions) -> None:
        super().__init__(config, context)
        self._options = options
        self._signers = [Webhook(secret.reveal()) for secret in options.secrets]
        self._client = HttpClient(
            url=options.url,
            what="The webhook",
            connection=options.connection,
            token=options.token,
            version=context.version,
        )

    @classmethod
    @override
    def build(cls, config: SinkConfig, context: Context) -> Self:
        return cls(config, context, cast("WebhookOptions", config.options))

    @override
    def deliver(self, cloudevents: Sequence[CloudEvent]) -> str:
        if self.is_digest:
            message_id = digest_id(cloudevents)
            body, headers = to_json(list(cloudevents)), {"Content-Type": _BATCH}
        else:
            (event,) = cloudevents
            message_id = str(event["id"])
            if self._options.is_binary:
                body, headers = to_json(event["data"]), _binary_headers(event)
            else:
                body, headers = to_json(event), {"Content-Type": _STRUCTURED}
        answered = self._client.post(body, {**headers, **self._signature(message_id, body)})
        return f"The webhook at {self._client.address} answered {answered}."

    def _signature(self, message_id: str, body: bytes) -> Mapping[str, str]:
        """Return the headers of Standard Webhooks; the time is that of this attempt, the id that of all."""
        now = datetime.now(UTC)
        headers = {"webhook-id": message_id, "webhook-timestamp": str(int(now.timestamp()))}
        if self._signers:
            signed = [signer.sign(message_id, now, body.decode()) for signer in self._signers]
            headers["webhook-signature"] = " ".join(signed)
        return headers


def _binary_headers(event: Mapping[str, Any]) -> dict[str, str]:
    attributes = {name: value for name, value in event.items() if name not in {"data", "datacontenttype"}}
    headers = {f"ce-{name}": quote(str(value), safe=_PLAIN_IN_HEADERS) for name, value in attributes.items()}
    return {"Content-Type": str(event["datacontenttype"]), **headers}
