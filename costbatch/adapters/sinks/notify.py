"""Tells people, in chat, by mail or by pager: through the library apprise, which knows a hundred services."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from itertools import accumulate
from threading import Event
from typing import Any, Self, cast
from urllib.parse import urlsplit

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType
from apprise.plugins.ntfy import NotifyNtfy
from apprise.plugins.workflows import NotifyWorkflows
from typing_extensions import override

from costbatch.adapters.sinks.alerts import alert_key, is_over
from costbatch.adapters.sinks.base import CloudEvent, ConfiguredSink, Context
from costbatch.config.sinks import NotifyOptions, SinkConfig
from costbatch.domain.events import EventType
from costbatch.domain.messages import Importance, Message
from costbatch.errors import ConfigError, DeliveryError
from costbatch.timeout import within

# Its own log lines quote addresses and what receivers answer.
logging.getLogger("apprise").disabled = True

# A service with less room takes tags in a chat message, and no document.
_SHORTEST_DOCUMENT = 20_000
# Of Slack's blocks: the text of a section, and that of a header.
_LONGEST_BLOCK = 3_000
_LONGEST_HEADER = 150
# Teams takes 28 kB (28,672 bytes) a message and adds up to 4.5 kB of its own. A character takes at most four
# bytes, in UTF-8 as in UTF-16, in which Teams counts some messages.
_LONGEST_CARD = 5_500
# ntfy takes what has 4,096 bytes for a file, which needs a store of files there. So does apprise: what has
# 8,000 in JSON, where a letter that is not English has 6 or 12. Within these limits, a text has 4,000.
_LONGEST_PUSH = 2_000
_LARGEST_PUSH_BYTES = 7_000
_LARGEST_PUSH_WITH_TITLE_BYTES = 7_600
_PUSH_STEP = 100
# Mail has no limit of characters, but apprise has one for what states none, and would cut a document there.
_LONGEST_MAIL = 1_000_000
# As which attribute the pagers of apprise have the key of an incident.
_KEYS = ("dedup", "external_id", "thirdparty", "entity_id")
# What makes a success close the incident with the same key, and everything else open it.
_MAPPED = "map"
# What opens an alert for each message.
_NEW = "new"
# Between the parts of one message. What states no pace gets 5.5 seconds from apprise, and a digest in seven
# parts would take longer than a sink has.
_PAUSE_SECONDS = 1.2
# Of the message that a thread sends: it goes on after it was given up, and its sink may send another one.
_abandoned: ContextVar[Event] = ContextVar("abandoned")
_TYPES = {
    Importance.SUCCESS: NotifyType.SUCCESS,
    Importance.INFO: NotifyType.INFO,
    Importance.WARNING: NotifyType.WARNING,
    Importance.FAILURE: NotifyType.FAILURE,
}


class NotifySink(ConfiguredSink):
    """Sends a message to one address, in the format that the service shows best.

    One and no more: if one of several failed, all would get the message again. A pager gets each event by
    itself, with the key of its alert: what ends the alert closes the incident.
    """

    def __init__(self, config: SinkConfig, context: Context, options: NotifyOptions) -> None:
        super().__init__(config, context)
        self._options = options
        self._scheme = urlsplit(options.url.reveal()).scheme
        self._service = _service(options, self._scheme, config.name)
        (self._plugin,) = self._service
        self._key = _name_of_key(self._plugin)

    @classmethod
    @override
    def build(cls, config: SinkConfig, context: Context) -> Self:
        return cls(config, context, cast("NotifyOptions", config.options))

    @property
    @override
    def is_digest(self) -> bool:
        return super().is_digest and self._key is None

    @override
    def deliver(self, cloudevents: Sequence[CloudEvent]) -> str:
        message, limit = self.message(cloudevents), self._options.timeout_seconds
        type_ = _TYPES[message.importance]
        if self._key is not None:
            (event,) = cloudevents
            setattr(self._plugin, self._key, alert_key(event))
            if is_over(event) and event["type"] != EventType.SINK_TEST:
                type_ = NotifyType.SUCCESS
        is_late, abandoned = False, Event()
        try:
            is_sent = within(limit, partial(_send, self._service, message, type_, abandoned))
        except TimeoutError:
            abandoned.set()
            problem, is_late = f"did not answer within {limit:g} seconds", True
        except Exception as error:  # noqa: BLE001 - a hundred plugins raise what they like
            problem = f"failed ({type(error).__name__})"
        else:
            if is_sent:
                return f"apprise sent it to {self._scheme}."
            problem = "did not accept the message"
        # apprise says no in the same way if a receiver refuses a message and if it is away; and a digest that
        # is late may have more parts than can be sent in time.
        is_unclear = not is_late or len(cloudevents) > 1
        raise DeliveryError(f"apprise: {self._scheme} {problem}.", is_unclear=is_unclear)


def _service(options: NotifyOptions, scheme: str, name: str) -> Apprise:
    """Return the service behind an address; the scheme is the part of it that may be shown."""
    # Nothing is read from the environment or from files, and nothing is stored.
    asset = AppriseAsset(app_id="costbatch", app_desc="costbatch", app_url="", async_mode=False)
    service, url = Apprise(asset=asset), options.url.reveal()
    separator = "&" if "?" in url else "?"
    if not service.add(f"{url}{separator}overflow={options.overflow}"):
        raise ConfigError(
            f"The sink {name} has an address that begins with {scheme}:// and that apprise cannot read; "
            "see its documentation for the form of the address."
        )
    if len(service) != 1:
        raise ConfigError(f"The sink {name} has {len(service)} addresses; give each a sink of its own.")
    (plugin,) = service
    if getattr(plugin, "use_blocks", False):
        # apprise cuts by the limits of a message without blocks.
        plugin.body_maxlen, plugin.title_maxlen = _LONGEST_BLOCK, _LONGEST_HEADER
    elif isinstance(plugin, NotifyWorkflows):
        plugin.body_maxlen = _LONGEST_CARD
    elif _formats(plugin)[0] == NotifyFormat.HTML and plugin.body_maxlen == NotifyBase.body_maxlen:
        plugin.body_maxlen = _LONGEST_MAIL
    if plugin.request_rate_per_sec == NotifyBase.request_rate_per_sec:
        plugin.request_rate_per_sec = _PAUSE_SECONDS
    if _name_of_key(plugin):
        plugin.action = _MAPPED  # type: ignore[attr-defined] # every pager has it
    elif getattr(plugin, "action", None) == _MAPPED:
        # Opsgenie and Jira: apprise closes, and adds notes to, what this very process has opened. Of all else
        # it would send nothing, and say that it did.
        plugin.action = _NEW  # type: ignore[attr-defined] # it was read above
    plugin.throttle = partial(_throttle, plugin.throttle)  # type: ignore[method-assign] # of this one alone
    return service


def _name_of_key(plugin: NotifyBase) -> str | None:
    """Return the attribute of a pager for the key of an incident; None: it is no pager, or has none."""
    actions = cast("Mapping[str, Any]", plugin.template_args.get("action", {}))
    if _MAPPED not in actions.get("values", ()):
        return None
    return next((name for name in _KEYS if hasattr(plugin, name)), None)


def _throttle(throttle: Callable[..., None], *args: object, **kwargs: object) -> None:
    """Wait before a part of a message, as its service needs it; raise TimeoutError if it was given up."""
    throttle(*args, **kwargs)
    abandoned = _abandoned.get(None)
    if abandoned and abandoned.is_set():
        # It is sent again from its beginning.
        raise TimeoutError


def _formats(plugin: NotifyBase) -> tuple[NotifyFormat, ...]:
    """Return what a service shows, the best first."""
    given: object = plugin.notify_format
    return given if isinstance(given, tuple) else (cast("NotifyFormat", given),)


def _longest_push(title: str, body: str) -> int:
    """Return how many characters of a body ntfy takes at once, wherever it is cut."""
    room = min(
        _LARGEST_PUSH_BYTES, _LARGEST_PUSH_WITH_TITLE_BYTES - _json_bytes(title[: NotifyNtfy.title_maxlen])
    )
    sums = [0, *accumulate(map(_json_bytes, body))]
    longest = _LONGEST_PUSH
    while any(end - start > room for start, end in zip(sums, sums[min(longest, len(body)) :], strict=False)):
        longest -= _PUSH_STEP
    return longest


def _json_bytes(text: str) -> int:
    return len(json.dumps(text)) - len('""')


def _send(service: Apprise, message: Message, type_: NotifyType, abandoned: Event) -> bool:
    _abandoned.set(abandoned)
    (plugin,) = service
    title, formats = message.title, _formats(plugin)
    # A document that is cut is none.
    holds_document = plugin.body_maxlen >= max(_SHORTEST_DOCUMENT, len(message.html))
    if formats[0] == NotifyFormat.HTML and holds_document:
        body, format_ = message.html, NotifyFormat.HTML
    elif NotifyFormat.MARKDOWN in formats and formats[0] != NotifyFormat.HTML:
        # A service with Markdown may read a title as Markdown, too.
        title, body, format_ = message.markdown_title, message.markdown, NotifyFormat.MARKDOWN
    else:
        # apprise escapes it for a service that knows only a few tags.
        body, format_ = message.text, NotifyFormat.TEXT
    if isinstance(plugin, NotifyNtfy):
        plugin.body_maxlen = _longest_push(title, body)
    sent = service.notify(
        title=title,
        # apprise sends no message without a text.
        body=body or title,
        body_format=format_,
        notify_type=type_,
        interpret_escapes=False,
    )
    return bool(sent)
