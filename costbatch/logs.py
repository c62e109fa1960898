"""Structured logs: JSON lines for programs, columns for people, and no secret in either."""

import json
import logging
import re
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO, cast
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from costbatch.domain.credentials import Secret

MASK = "***"

# A shorter secret would turn every log into asterisks; the patterns below still catch it in a URL.
_SHORTEST_SECRET = 6
_PATTERNS = (
    # Not the examples: AWS's own in its documentation, and the form of a URL in our advice.
    (re.compile(r"\b(AKIA|ASIA)(?!IOSFODNN7EXAMPLE)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"(://(?!USER:PASSWORD@HOST\b)[^\s/:@]*:)[^\s/]+@"), rf"\1{MASK}@"),
    (
        re.compile(
            r"((?:secret_?access_?key|session_?token|security[_-]token|external_?id|password)[\"']?\s*[=:]\s*)"
            r"(?!\"?…)"  # the place of a secret, in our own advice
            r"(\"[^\"]*\"|'[^']*'|[^\s\"',;&)}]+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)
_SECRET_FIELD = re.compile(
    r"password|secret_?access_?key|session_?token|external_?id|encryption_?key", re.IGNORECASE
)

# Registered secrets by their first characters, so that a line costs its own length, however many there are.
# The inner ones are sets in all but name: a thread can copy a dictionary while another one adds to it.
_secrets: dict[str, dict[str, None]] = {}
# What every pattern needs: most texts have none of it, and one search is quicker than three replacements.
_may_match = re.compile(r"AKIA|ASIA|://|secret|token|external|password", re.IGNORECASE).search
_lock = threading.Lock()

# A process works on one run. Context variables do not reach worker threads that exist already, this does.
_run_fields: dict[str, str] = {}


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger; give events static names and put what varies into fields."""
    return structlog.stdlib.get_logger(name)


def bind_run(run_id: object, run_key: str) -> None:
    """Put the run's id and key on every line from here on, in every thread."""
    _run_fields.update(run_id=str(run_id), run_key=run_key)


def unbind_run() -> None:
    """Take the run's id and key off again."""
    _run_fields.clear()


def register_secret(secret: Secret) -> None:
    """Mask this text wherever a log line holds it."""
    text = secret.reveal()
    if len(text) < _SHORTEST_SECRET:
        return
    # Errors often quote a text as Python, JSON or a URL would write it.
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
    """Return the text with every registered secret, and all that looks like one, masked."""
    starts = [text[at : at + _SHORTEST_SECRET] for at in range(len(text) - _SHORTEST_SECRET + 1)]
    # One look-up for all of a text: hardly any text begins a secret anywhere.
    if not _secrets.keys().isdisjoint(starts):
        secrets = [secret for start in starts for secret in list(_secrets.get(start, ()))]
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
    return mask_patterns(text)


def mask_patterns(text: str) -> str:
    """Return the text with everything masked that looks like a secret: access keys, passwords in URLs."""
    if _may_match(text):
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
    return text


class _Withheld(logging.Handler):
    """Counts the warnings that are not shown, by event."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.events: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Count one warning; an error is shown."""
        if record.levelno < logging.ERROR:
            is_ours = isinstance(record.msg, dict)
            self.events[str(record.msg["event"]) if is_ours else record.name] += 1  # type: ignore[index]


_withheld = _Withheld()


def withheld_warnings() -> Counter[str]:
    """Return how many warnings were not shown, by event; of other libraries by logger."""
    return _withheld.events


def configure(
    level: str = "info",
    log_format: str = "auto",
    stream: TextIO | None = None,
    *,
    no_color: bool = False,
    errors_only: bool = False,
) -> None:
    """Send every log line to ``stream`` (standard error), ours from ``level`` on, others' from warning on.

    ``log_format`` is json, console, or auto: console on a terminal. Colours appear on a terminal only.
    ``errors_only``: warnings are counted and not shown, and what is less is left out.
    """
    stream = stream or sys.stderr
    is_terminal = stream.isatty()
    is_console = log_format == "console" or (log_format == "auto" and is_terminal)
    handler = logging.StreamHandler(stream)
    for_people = _structures_as_json, _console(colors=is_terminal and not no_color)
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
        handler.setLevel(logging.ERROR)
        root.addHandler(_withheld)
    root.addHandler(handler)
    root.setLevel(max(severity, logging.WARNING))
    logging.getLogger("costbatch").setLevel(severity)
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
    """Put what every line has first, in the order in which it is read."""
    first = {name: event[name] for name in ("timestamp", "level", "event") if name in event}
    return {**first, **event}


def _redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return cast("EventDict", _redacted(event))


def _redacted(value: object) -> object:
    """Return the value as plain data without secrets; what is no plain data becomes text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redact(str(name)): _field(str(name), one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(one) for one in value]
    return redact(str(value))


def _field(name: str, value: object) -> object:
    return MASK if value is not None and _SECRET_FIELD.search(name) else _redacted(value)


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
    """What is inside a field, which the renderer for people would otherwise show as Python."""

    value: object

    def __repr__(self) -> str:
        return json.dumps(self.value, ensure_ascii=False)


def _structures_as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {
        name: _AsJson(value) if isinstance(value, dict | list) else value for name, value in event.items()
    }


def _console(*, colors: bool) -> Processor:
    # Plain tracebacks: the pretty ones print local variables.
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


def _formatter(*renderers: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_ENRICH,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Before redaction, so that a traceback is a text like any other.
            structlog.processors.format_exc_info,
            structlog.processors.StackInfoRenderer(),
            _redact_event,
            _arrange,
            *renderers,
        ],
    )
