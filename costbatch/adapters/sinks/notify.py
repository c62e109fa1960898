"""Tells people, in chat, by mail or by pager: through the library apprise, which knows a hundred services."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Self, cast
from urllib.parse import urlsplit

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from typing_extensions import override

from costbatch.adapters.sinks.base import CloudEvent, ConfiguredSink, Context
from costbatch.config.sinks import NotifyOptions, SinkConfig
from costbatch.domain.credentials import Secret
from costbatch.domain.messages import Importance, Message
from costbatch.errors import ConfigError, DeliveryError
from costbatch.timeout import within

# Its own log lines quote addresses and what receivers answer.
logging.getLogger("apprise").disabled = True

# A service with less room takes tags in a chat message, and no document.
_SHORTEST_DOCUMENT = 20_000
_TYPES = {
    Importance.SUCCESS: NotifyType.SUCCESS,
    Importance.INFO: NotifyType.INFO,
    Importance.WARNING: NotifyType.WARNING,
    Importance.FAILURE: NotifyType.FAILURE,
}


class NotifySink(ConfiguredSink):
    """Sends a message to each of its addresses, in the format that the service shows best."""

    def __init__(self, config: SinkConfig, context: Context, options: NotifyOptions) -> None:
        super().__init__(config, context)
        self._options = options
        # Nothing is read from the environment or from files, and nothing is stored.
        asset = AppriseAsset(app_id="costbatch", app_desc="costbatch", app_url="", async_mode=False)
        self._services = [_service(url, options.overflow, config.name, asset) for url in options.urls]

    @classmethod
    @override
    def build(cls, config: SinkConfig, context: Context) -> Self:
        return cls(config, context, cast("NotifyOptions", config.options))

    @override
    def deliver(self, cloudevents: Sequence[CloudEvent]) -> str:
        message = self.message(cloudevents)
        limit = self._options.timeout_seconds
        failed = []
        for scheme, service in self._services:
            try:
                is_sent = within(limit, partial(_send, service, message))
            except TimeoutError:
                failed.append(f"{scheme} did not answer within {limit:g} seconds")
            except Exception as error:  # noqa: BLE001 - a hundred plugins raise what they like
                failed.append(f"{scheme} failed ({type(error).__name__})")
            else:
                if not is_sent:
                    failed.append(f"{scheme} did not accept the message")
        if failed:
            raise DeliveryError(f"apprise: {'; '.join(failed)}.")
        return f"apprise sent it to {', '.join(scheme for scheme, _ in self._services)}."


def _service(url: Secret, overflow: str, name: str, asset: AppriseAsset) -> tuple[str, Apprise]:
    """Return the scheme of an address, which may be shown, and the service behind it."""
    scheme = urlsplit(url.reveal()).scheme
    service = Apprise(asset=asset)
    separator = "&" if "?" in url.reveal() else "?"
    if not service.add(f"{url.reveal()}{separator}overflow={overflow}"):
        raise ConfigError(
            f"The sink {name} has an address that begins with {scheme}:// and that apprise cannot read; "
            "see its documentation for the form of the address."
        )
    return scheme, service


def _send(service: Apprise, message: Message) -> bool:
    (plugin,) = service
    given: object = plugin.notify_format
    # One, or those that the service shows, the best first.
    formats = given if isinstance(given, tuple) else (given,)
    if formats[0] == NotifyFormat.HTML and plugin.body_maxlen >= _SHORTEST_DOCUMENT:
        body, format_ = message.html, NotifyFormat.HTML
    elif NotifyFormat.MARKDOWN in formats and formats[0] != NotifyFormat.HTML:
        body, format_ = message.markdown, NotifyFormat.MARKDOWN
    else:
        # apprise escapes it for a service that knows only a few tags.
        body, format_ = message.text, NotifyFormat.TEXT
    sent = service.notify(
        title=message.title,
        # apprise sends no message without a text.
        body=body or message.title,
        body_format=format_,
        notify_type=_TYPES[message.importance],
        interpret_escapes=False,
    )
    return bool(sent)
