"""The sinks: from the list in COSTBATCH_SINKS, or from the YAML document in COSTBATCH_SINKS_FILE."""

import base64
import binascii
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeAlias
from urllib.parse import urlsplit

from costbatch.config import parsers
from costbatch.config.files import read_small_file
from costbatch.config.selections import OTHER, read_accounts, read_labels, read_minimum, read_percent
from costbatch.config.yaml_reader import Section, read_document
from costbatch.domain.credentials import Secret
from costbatch.domain.detection import Direction, Severity
from costbatch.domain.events import EventType
from costbatch.domain.excerpt import excerpt
from costbatch.domain.money import Limit
from costbatch.domain.routing import Filter, Route
from costbatch.errors import ConfigError

FILTER_KEYS = (
    *("types", "accounts", "labels", "services", "direction", "severity"),
    *("minimum", "minimum_percent"),
)
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
# In the path or the query: a named one, or a long run of letters and digits.
_HOLDS_SECRET = re.compile(
    r"(token|secret|key|sig|signature|password|auth)=|(?=[A-Za-z0-9_-]*[0-9])(?=[A-Za-z0-9_-]*[A-Z])"
    r"[A-Za-z0-9_-]{20,}|[0-9a-f]{24,}",
)
_WEBHOOK_PREFIX = "whsec_"
# What a header can carry.
_is_plain = re.compile(r"[!-~]+").fullmatch
# As Standard Webhooks has them.
_SECRET_BYTES = range(24, 65)
# The receiver may turn to a new secret before or after costbatch does.
_MOST_SECRETS = 2
# What goes to people without a filter of types: everything but what people have said themselves.
_TOLD_TO_PEOPLE = frozenset(type_.value for type_ in EventType if type_ is not EventType.ANOMALY_ANSWERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How an address is reached: times in seconds, sizes in bytes.

    allow_private: whether it may be an address inside of a network. ca_file: trusted beside the usual ones.
    """

    connect_timeout_seconds: float = 5.0
    timeout_seconds: float = 20.0
    allow_private: bool = False
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """The log needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """CloudEvents over HTTP. secrets: each signs. is_binary: the binary mode, not the structured one."""

    url: Secret
    secrets: tuple[Secret, ...] = ()
    token: Secret | None = None
    is_binary: bool = False
    connection: Connection = field(default=Connection())


@dataclass(frozen=True, slots=True, kw_only=True)
class SnsOptions:
    """An SNS topic. as_text: messages for people instead of CloudEvents."""

    topic_arn: str
    region: str
    as_text: bool = False

    @property
    def is_fifo(self) -> bool:
        """Whether the topic keeps the order."""
        return self.topic_arn.endswith(".fifo")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerOptions:
    """An Alertmanager. firing_days: how long an alert fires without news of it."""

    url: Secret
    token: Secret | None = None
    firing_days: int = 7
    connection: Connection = field(default=Connection(allow_private=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyOptions:
    """An address of the library apprise. overflow: what happens to a text too long for the service."""

    url: Secret
    overflow: str = "split"
    timeout_seconds: float = 30.0


Options: TypeAlias = LogOptions | WebhookOptions | SnsOptions | AlertmanagerOptions | NotifyOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkConfig:
    """One sink. is_digest: it receives the events of one run as one message."""

    name: str
    kind: str
    options: Options = field(default=LogOptions())
    filter: Filter = field(default=Filter())
    is_digest: bool = False

    @property
    def route(self) -> Route:
        """The way to it."""
        return Route(self.name, self.filter)

    def __str__(self) -> str:
        return self.name if self.name == self.kind else f"{self.name} ({self.kind})"


LOG = SinkConfig(name="log", kind="log")


def parse_list(text: str) -> tuple[SinkConfig, ...]:
    """Return the sinks of a comma list, each once: the log is the only one that needs no options."""
    found = parsers.names(text)
    if others := sorted(name for name in found if name.lower() != LOG.name):
        raise ValueError(
            f"must be log or none, not {excerpt(others[0])}; describe other sinks in a YAML file and set "
            "COSTBATCH_SINKS_FILE to its path."
        )
    return (LOG,) if found else ()


def parse_file(
    text: str, path: str, environ: Mapping[str, str]
) -> tuple[tuple[SinkConfig, ...], list[Secret]]:
    """Return the sinks of a file, by name, and the secrets that they refer to.

    Raises:
        ConfigError: with one sentence for each problem: the file, the line, the key.

    """
    document, problems = read_document(text, path, environ, empty="it must have the key sinks")
    sinks: list[SinkConfig] = []
    if document is not None:
        document.allow("sinks")
        if document.required("sinks") and (sections := document.section("sinks")):
            sinks = [
                sink
                for name, section in sections.sections()
                if (sink := _read_sink(name, section)) is not None
            ]
    if problems.found:
        raise ConfigError(*problems.found)
    return tuple(sorted(sinks, key=lambda sink: sink.name)), problems.secrets


def _read_sink(name: str, section: Section) -> SinkConfig | None:
    if not _NAME.fullmatch(name):
        section.refuse("is not a name: 1 to 63 small letters, digits and -, beginning with a letter.")
    if not section.required("type"):
        return None
    kind = section.value("type", parsers.choice(*READERS), "")
    if not kind:
        return None
    read, keys, is_digest = READERS[kind]
    section.allow("type", "filter", *keys, *([] if is_digest is None else ["digest"]))
    options = read(section)
    wanted = section.section("filter")
    filter_ = _read_filter(wanted) if wanted else Filter()
    digest = section.value("digest", parsers.boolean, default=bool(is_digest))
    if options is None:
        return None
    is_for_people = isinstance(options, NotifyOptions) or (
        isinstance(options, SnsOptions) and options.as_text
    )
    if is_for_people and not filter_.types:
        filter_ = replace(filter_, types=_TOLD_TO_PEOPLE)
    return SinkConfig(name=name, kind=kind, options=options, filter=filter_, is_digest=digest)


def _read_filter(section: Section) -> Filter:
    section.allow(*FILTER_KEYS)
    minimum = read_minimum(section)
    return Filter(
        types=frozenset(section.texts("types", parsers.choice(*EventType))),
        accounts=read_accounts(section),
        labels=read_labels(section),
        services=frozenset(section.texts("services", str)),
        direction=section.value("direction", parsers.member(Direction), None),
        severity=section.value("severity", parsers.member(Severity), None),
        minimum_impact=Limit(minimum.pop(OTHER, Decimal(0)), tuple(sorted(minimum.items())))
        if minimum
        else None,
        minimum_percent=read_percent(section),
    )


def _read_webhook(section: Section) -> WebhookOptions | None:
    url = _read_url(section)
    secrets = section.secrets("secrets", most=_MOST_SECRETS)
    for secret in secrets:
        if problem := _webhook_secret_problem(secret.reveal()):
            section.refuse(problem, "secrets")
    token, connection = _read_token(section), _read_connection(section, allow_private=False)
    is_binary = section.value("mode", parsers.choice("structured", "binary"), "") == "binary"
    if is_binary and section.value("digest", parsers.boolean, default=False):
        section.refuse("must be structured for a digest: CloudEvents has no binary batch.", "mode")
    if url is None:
        return None
    return WebhookOptions(
        url=url, secrets=tuple(secrets), token=token, is_binary=is_binary, connection=connection
    )


def _read_token(section: Section) -> Secret | None:
    token = section.secret("token")
    if token is not None and not _is_plain(token.reveal()):
        section.refuse("must have only letters, digits and signs of ASCII, and no spaces.", "token")
    return token


def _webhook_secret_problem(text: str) -> str:
    try:
        size = len(base64.b64decode(text.removeprefix(_WEBHOOK_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if text.startswith(_WEBHOOK_PREFIX) and size in _SECRET_BYTES:
        return ""
    return (
        f"must be {_WEBHOOK_PREFIX} and base64 of {_SECRET_BYTES.start} to {_SECRET_BYTES.stop - 1} bytes; "
        f'make one with `echo "{_WEBHOOK_PREFIX}$(openssl rand -base64 32)"`.'
    )


def _read_sns(section: Section) -> SnsOptions | None:
    if not section.required("topic_arn"):
        return None
    arn = section.text("topic_arn") or ""
    match = _TOPIC.fullmatch(arn)
    as_text = section.value("format", parsers.choice("cloudevents", "text"), "") == "text"
    if match is None:
        section.refuse("must look like arn:aws:sns:REGION:123456789012:TOPIC.", "topic_arn")
        return None
    if section.value("digest", parsers.boolean, default=False) and not as_text:
        section.refuse("needs format: text, because a message can hold only one CloudEvent.", "digest")
    return SnsOptions(topic_arn=arn, region=match[1], as_text=as_text)


def _read_alertmanager(section: Section) -> AlertmanagerOptions | None:
    url, token = _read_url(section), _read_token(section)
    days = section.value("firing_days", parsers.integer(1, 365), 7)
    connection = _read_connection(section, allow_private=True)
    if url is None:
        return None
    return AlertmanagerOptions(url=url, token=token, firing_days=days, connection=connection)


def _read_notify(section: Section) -> NotifyOptions | None:
    if not section.required("url"):
        return None
    url = section.secret("url")
    if url and not re.match(r"[a-z0-9]+://\S", url.reveal()):
        section.refuse(
            "must be an address of apprise, such as slack://…, mailtos://… or pagerduty://….", "url"
        )
    overflow = section.value("overflow", parsers.choice("split", "truncate", "upstream"), "split")
    timeout = section.value("timeout_seconds", parsers.seconds("0.1", "60"), 30.0)
    return NotifyOptions(url=url, overflow=overflow, timeout_seconds=timeout) if url else None


def _read_url(section: Section) -> Secret | None:
    """Return an address, which may be a secret or be written down if it holds none."""
    if not section.required("url"):
        return None
    is_plain = section.is_text("url")
    url = _plain_url(section) if is_plain else section.secret("url")
    if url is None:
        return None
    try:
        parsers.web_url(url.reveal())
        parts = urlsplit(url.reveal())
    except ValueError:
        section.refuse("must be a URL such as https://example.com/hook.", "url")
        return None
    if parts.username is not None or parts.fragment:
        section.refuse("must have neither a user nor a fragment; give a token with the key token.", "url")
        return None
    return url


def _plain_url(section: Section) -> Secret | None:
    """Return an address that is written down, unless it looks like one that holds a secret."""
    text = section.text("url")
    if text is None:
        return None
    if _HOLDS_SECRET.search(text.partition("://")[2].partition("/")[2]):
        section.refuse("looks as if it holds a secret; give secret_file or secret_env instead.", "url")
        return None
    return Secret(text)


def _read_connection(section: Section, *, allow_private: bool) -> Connection:
    ca_file = section.text("ca_file")
    if ca_file is not None and (problem := _certificates_problem(ca_file)):
        section.refuse(problem, "ca_file")
    default = Connection()
    seconds = parsers.seconds("0.1", "60")
    return Connection(
        connect_timeout_seconds=section.value(
            "connect_timeout_seconds", seconds, default.connect_timeout_seconds
        ),
        timeout_seconds=section.value("timeout_seconds", seconds, default.timeout_seconds),
        allow_private=section.value("allow_private", parsers.boolean, default=allow_private),
        ca_file=ca_file,
    )


def _certificates_problem(path: str) -> str:
    """Return what is wrong with a file of certificates; it is read as it will be for a connection."""
    try:
        if b"BEGIN CERTIFICATE" not in read_small_file(path):
            return "names a file without a certificate in PEM."
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return "names a file with a damaged certificate; write it again, in PEM."
    except ValueError as error:
        return f"names a file that {error}"
    return ""


_CONNECTION_KEYS = ("connect_timeout_seconds", "timeout_seconds", "allow_private", "ca_file")

# By type: what reads its options, its keys, and whether it sends digests (None: it cannot).
READERS: dict[str, tuple[Callable[[Section], Options | None], Iterable[str], bool | None]] = {
    "log": (lambda _: LogOptions(), (), None),
    "webhook": (_read_webhook, ("url", "secrets", "token", "mode", *_CONNECTION_KEYS), False),
    "sns": (_read_sns, ("topic_arn", "format"), False),
    "alertmanager": (_read_alertmanager, ("url", "token", "firing_days", *_CONNECTION_KEYS), None),
    "notify": (_read_notify, ("url", "overflow", "timeout_seconds"), True),
}
