"""Structured logs: JSON lines for programs, columns for people; secrets are masked in both."""

import json
import logging
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TextIO, cast
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from costbatch.domain.credentials import Secret

MASK = "***"

# The logger of the sink of type log.
EVENTS = "costbatch.events"

# A shorter secret would mask parts of ordinary words; the patterns below still catch it in a URL.
_SHORTEST_SECRET = 6
_PATTERNS = (
    # Except examples: AWS's own from its documentation, and the URL in our error messages.
    (re.compile(r"\b(AKIA|ASIA)(?!IOSFODNN7EXAMPLE)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"(://(?!USER:PASSWORD@HOST\b)[^\s/:@]*:)[^\s/]+@"), rf"\1{MASK}@"),
    # A user name without a password is a token.
    (re.compile(r"(https?://)[^\s/:@?#]+:?@"), rf"\1{MASK}@"),
    (
        re.compile(
            r"((?:secret_?access_?key|session_?token|security[_-]token|external_?id|password)[\"']?\s*[=:]\s*)"
            r"(?![\"']?…)"  # a placeholder in our error messages
            r"(\"[^\"]*\"|'[^']*'|[^\s\"',;&)}]+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)
_SECRET_FIELD = re.compile(
    r"password|secret_?access_?key|session_?token|external_?id|encryption_?key", re.IGNORECASE
)

# Registered secrets by their first characters, so that the cost of a line does not grow with their number.
# The inner dictionaries serve as sets: a thread can copy a dictionary while another thread adds to it.
_secrets: dict[str, dict[str, None]] = {}
# Every match of a pattern contains one of these, in some case; most lines have none.
_MARKS = ("akia", "asia", "://", "secret", "token", "external", "password")
_lock = threading.Lock()

# A process works on one run. Context variables would not reach threads that are already running.
_run_fields: dict[str, str] = {}


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger; use static event names, and fields for what varies."""
    return structlog.stdlib.get_logger(name)


def bind_run(run_id: object, run_key: str) -> None:
    """Add the run's id and key to every line from now on, in every thread."""
    _run_fields.update(run_id=str(run_id), run_key=run_key)


def register_secret(secret: Secret) -> None:
    """Mask this text in every log line from now on."""
    text = secret.reveal()
    if len(text) < _SHORTEST_SECRET:
        return
    # Errors quote texts as Python, JSON or URLs encode them.
    for form in {
        text,
        repr(text)[1:-1],
        json.dumps(text)[1:-1],
        quote(text, safe="", errors="surrogatepass"),
    }:
        start = form[:_SHORTEST_SECRET]
        with _lock:
            _secrets.setdefault(start, {})[form] = None


def redact(text: str) -> str:
    """Return the text with registered secrets masked, and everything that looks like a secret."""
    starts = [text[at : at + _SHORTEST_SECRET] for at in range(len(text) - _SHORTEST_SECRET + 1)]
    # One look-up for the whole text: most lines contain the beginning of no secret.
    if not _secrets.keys().isdisjoint(starts):
        secrets = [secret for start in starts for secret in list(_secrets.get(start, ()))]
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
    return mask_patterns(text)


def mask_patterns(text: str) -> str:
    """Return the text with access keys, passwords in URLs and the like masked."""
    folded = text.casefold()
    if any(mark in folded for mark in _MARKS):
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
    return text


def _is_never_withheld(record: logging.LogRecord) -> bool:
    """Whether a line is shown also if only errors are: an error, or an event that needs attention."""
    return record.levelno >= logging.ERROR or (record.name == EVENTS and record.levelno >= logging.WARNING)


class _Withheld(logging.Handler):
    """Counts the warnings that are not shown, by event."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.events: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Count one warning; what is shown is none."""
        if not _is_never_withheld(record):
            is_ours = isinstance(record.msg, dict)
            self.events[str(record.msg["event"]) if is_ours else record.name] += 1  # type: ignore[index]


_withheld = _Withheld()


def withheld_warnings() -> Counter[str]:
    """Return how many warnings were not shown, by event, or by logger for other libraries."""
    return _withheld.events


@contextmanager
def muted(name: str) -> Iterator[None]:
    """Log nothing of a package of ours meanwhile: it is at work on something that does not happen now."""
    logger = logging.getLogger(name)
    level = logger.level
    # Above every level that there is.
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def configure(
    level: str = "info",
    log_format: str = "auto",
    stream: TextIO | None = None,
    *,
    no_color: bool = False,
    errors_only: bool = False,
) -> None:
    """Write log lines to ``stream`` (standard error): ours from ``level`` on, others from warning on.

    ``log_format``: json, console, or auto, which is console on a terminal. Only terminals get colors.
    ``errors_only``: show errors and events that need attention only, and count the other warnings.
    """
    stream = stream or sys.stderr
    is_terminal = stream.isatty()
    is_console = log_format == "console" or (log_format == "auto" and is_terminal)
    handler = logging.StreamHandler(stream)
    # Plain tracebacks: the pretty ones print local variables.
    console = structlog.dev.ConsoleRenderer(
        colors=is_terminal and not no_color, exception_formatter=structlog.dev.plain_traceback
    )
    for_people = _structures_as_json, console
    handler.setFormatter(_formatter(*(for_people if is_console else [_JSON])))
    severity = logging.WARNING if errors_only else logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    for old in [
        old for old in root.handlers if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter)
    ]:
        root.removeHandler(old)
    root.removeHandler(_withheld)
    _withheld.events.clear()
    if errors_only:
        handler.addFilter(_is_never_withheld)
        root.addHandler(_withheld)
    root.addHandler(handler)
    root.setLevel(max(severity, logging.WARNING))
    logging.getLogger("costbatch").setLevel(severity)
    # An event that is not written would count as delivered all the same: neither a level nor a terminal
    # leaves out an alert.
    logging.getLogger(EVENTS).setLevel(min(severity, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_ENRICH,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _add_run(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**_run_fields, **event}


def _arrange(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put the fields that every line has first."""
    first = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return {**first, **event}


def _redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Return the event as plain data with secrets masked."""
    texts: list[str] = []

    def note(text: str) -> str:
        texts.append(text)
        return text

    plain = _plain(event, note)
    whole = "\n".join(texts)
    # Nearly every line holds no secret, and one look at the whole of it tells so.
    return cast("EventDict", plain if redact(whole) == whole else _plain(event, redact))


def _plain(value: object, of_text: Callable[[str], str]) -> object:
    """Return the value as plain data, each text as ``of_text`` returns it; other objects become text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return of_text(value)
    if isinstance(value, Mapping):
        return {
            of_text(str(name)): MASK if one is not None and _is_secret(str(name)) else _plain(one, of_text)
            for name, one in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one, of_text) for one in value]
    return of_text(str(value))


@lru_cache(maxsize=256)
def _is_secret(field: str) -> bool:
    """Whether a field of this name is masked, whatever it holds."""
    return _SECRET_FIELD.search(field) is not None


_ENRICH: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    _add_run,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_JSON = structlog.processors.JSONRenderer(ensure_ascii=False)


@dataclass(frozen=True, slots=True, repr=False)
class _AsJson:
    """A structured field, which the console renderer would otherwise show as Python."""

    value: object

    def __repr__(self) -> str:
        return json.dumps(self.value, ensure_ascii=False)


def _structures_as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {
        name: _AsJson(value) if isinstance(value, dict | list) else value for name, value in event.items()
    }


def _formatter(*renderers: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_ENRICH,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Before redaction, so that tracebacks are masked too.
            structlog.processors.format_exc_info,
            structlog.processors.StackInfoRenderer(),
            _redact_event,
            _arrange,
            *renderers,
        ],
    )
