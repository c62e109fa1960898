"""Settings: the only reader of the environment. Each variable is declared once, with its default and meaning.

A field's variable is COSTBATCH_ and the field's name, unless another is given.
"""

# The defaults that `_variable` returns are fields whose values never change.
# ruff: noqa: RUF009

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from costbatch.domain.costs import CostBasis
from costbatch.domain.credentials import Secret
from costbatch.domain.detection import Rule
from costbatch.domain.periods import WindowPolicy
from costbatch.errors import ConfigError

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

PREFIX = "COSTBATCH_"
KEY_BYTES = 32
SINKS = ("log",)
_MAKE_A_KEY = "Make one with `costbatch keys generate`."
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
# What Kubernetes adds to a pod's environment for every Service whose name begins with "costbatch".
_SERVICE_LINK = re.compile(
    r"COSTBATCH(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?"
    r"|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


class FailOn(StrEnum):
    """Which failure of accounts makes a run's exit status a failure."""

    TOTAL = "total"
    PARTIAL = "partial"


# Parsers take a text that is not empty. They raise ValueError with the rest of a sentence
# that begins with the variable's name.


def _decimal(least: str, most: str = "1000000000") -> Callable[[str], Decimal]:
    def parse(text: str) -> Decimal:
        number = Decimal(text) if _NUMBER.fullmatch(text) else None
        if number is None or not Decimal(least) <= number <= Decimal(most):
            raise ValueError(f"must be a number from {least} to {most}, not {text!r}.")
        return number

    return parse


def _seconds(least: str, most: str = "3600") -> Callable[[str], float]:
    return lambda text: float(_decimal(least, most)(text))


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # The length check keeps int() from a text that is megabytes of digits.
        if not (text.isascii() and text.isdecimal() and len(text) < len("1000000000")):
            raise ValueError(f"must be a whole number from {least} to {most}, not {text!r}.")
        if not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {text}.")
        return int(text)

    return parse


def _ratio(text: str) -> Decimal:
    number, is_percentage = text.removesuffix("%").rstrip(), text.endswith("%")
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"must be a ratio such as 0.5 or a percentage such as 50%, not {text!r}.")
    ratio = Decimal(number) / (100 if is_percentage else 1)
    if ratio > 10:  # noqa: PLR2004 - 50 was meant as 50 %, not as 5000 %
        raise ValueError(
            f"is {ratio:f}, which means {ratio * 100:f} %; write {number}% for {number} percent."
        )
    return ratio


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "yes", "on", "1", "false", "no", "off", "0"}:
        raise ValueError(f"must be true or false, not {text!r}.")
    return text.lower() in {"true", "yes", "on", "1"}


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}; it is {text!r}.")
        return text.lower()

    return parse


def _member(enum: type[E]) -> Callable[[str], E]:
    return lambda text: enum(_choice(*enum)(text))


def _names(text: str) -> frozenset[str]:
    """Return the names of a comma list; "none" says that there are none, as an empty text means unset."""
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    return frozenset() if names == {"none"} else names


def _sinks(text: str) -> tuple[str, ...]:
    return tuple(sorted(_choice(*SINKS)(name) for name in _names(text)))


def _run_key(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", text):
        raise ValueError("must be 1 to 200 printable ASCII characters without spaces.")
    return text


def _encryption_key(text: str) -> Secret:
    _decode_key(text)
    return Secret(text)


def _decode_key(text: str) -> bytes:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    decoded = _decode_base64(text)
    if decoded is not None and len(decoded) == KEY_BYTES:
        return decoded
    if len(text) == KEY_BYTES and text.isascii():
        return text.encode()
    found = f"{len(text)} characters" + ("" if text.isascii() else " outside ASCII")
    if re.fullmatch(r"([0-9a-fA-F]{2})+", text):
        found = f"{len(text) // 2} bytes of hexadecimal"
    elif decoded is not None and text.endswith("="):
        found = f"{len(decoded)} bytes of base64"
    raise ValueError(
        f"must be {KEY_BYTES} bytes: 64 hex digits, base64, or 32 characters. It has {found}. " + _MAKE_A_KEY
    )


def _decode_base64(text: str) -> bytes | None:
    digits = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _database_url(text: str) -> Secret:
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in {"postgresql", "postgres"}:
        raise ValueError("must begin with postgresql://; costbatch stores costs in PostgreSQL only.")
    advice = (
        "write it as postgresql://USER:PASSWORD@HOST:5432/DATABASE, "
        "with %40 for @, %2F for /, %23 for # and %3F for ? in the password."
    )
    try:
        parts = urlsplit(f"postgresql://{rest}")
        port_is_wrong = parts.port == 0
    except ValueError:
        raise ValueError(f"is not a URL; {advice}") from None
    if port_is_wrong or parts.netloc.count("@") > 1 or parts.fragment or re.search(r"\s", text):
        raise ValueError(f"is not a URL; {advice}")
    if not parts.path.strip("/"):
        raise ValueError(f"names no database; {advice}")
    return Secret(f"postgresql+psycopg2://{rest}")


def _web_url(text: str) -> Secret:
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or re.search(r"\s", text):
        raise ValueError("must be an address such as http://pushgateway:9091.")
    return Secret(text.rstrip("/"))


def _url_passwords(url: Secret | None) -> Iterable[str]:
    """Return every password in a URL, as it is written and as it is meant."""
    parts = urlsplit(url.reveal() if url else "")
    yield from (value for name, value in parse_qsl(parts.query) if "password" in name)
    yield from (parts.password or "", unquote(parts.password or ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable of the environment: ``field`` of Settings holds what ``parse`` makes of its text.

    default: the text that stands in where it is not set; None: there is none.
    """

    name: str
    field: str
    parse: Callable[[str], object]
    default: str | None
    description: str
    is_secret: bool


def _variable(
    parse: Callable[[str], T], default: str | None, description: str, *, name: str = "", secret: bool = False
) -> T:
    metadata = {"name": name, "parse": parse, "default": default, "about": description, "secret": secret}
    # What the caller assigns to is a field, yet its declared type must be the parser's.
    return cast("T", field(default=None if default is None else parse(default), metadata=metadata))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured. Without arguments: the defaults."""

    database_url: Secret | None = _variable(
        _database_url,
        None,
        "The PostgreSQL database, as postgresql://USER:PASSWORD@HOST:5432/DATABASE.",
        name="DATABASE_URL",
        secret=True,
    )
    encryption_key: Secret | None = _variable(
        _encryption_key,
        None,
        "The key that seals stored AWS credentials: 32 bytes as 64 hex digits, as base64 "
        "or as 32 characters.",
        name="ENCRYPTION_KEY",
        secret=True,
    )
    pushgateway_url: Secret | None = _variable(
        _web_url,
        None,
        "The Prometheus Pushgateway that takes a run's metrics; without it none are pushed.",
        name="PUSHGATEWAY_URL",
        secret=True,
    )
    push_timeout_seconds: float = _variable(
        _seconds("0.1"), "10", "How long the Pushgateway may take to answer."
    )
    concurrency: int = _variable(_integer(1, 256), "8", "How many accounts are fetched at the same time.")
    window_days: int = _variable(
        _integer(1, 1000), "35", "How many days up to yesterday every run reads again."
    )
    history_months: int = _variable(
        _integer(0, 13),
        "13",
        "How many whole months before the current one an account's first collection reads.",
    )
    month_close_day: int = _variable(
        _integer(0, 28), "10", "Until this day of the month the whole last month is read again; 0 never does."
    )
    fail_on: FailOn = _variable(
        _member(FailOn),
        "total",
        "When a run exits with a failure: total, when no account was collected (1); "
        "partial, when any account failed (3).",
    )
    max_api_cost_usd: Decimal | None = _variable(
        _decimal("0.01"),
        None,
        "The most that one run may spend on Cost Explorer requests, in US dollars; "
        "accounts beyond it are skipped.",
    )
    run_key: str | None = _variable(
        _run_key, None, "Processes with the same key share one run; Kubernetes sets it to the Job's uid."
    )
    retry_pause_seconds: float = _variable(
        _seconds("0"),
        "30",
        "How long an account that failed for a passing reason waits for its second attempt.",
    )
    lease_seconds: float = _variable(
        _seconds("1"),
        "45",
        "How long the accounts of a process that died stay reserved before another takes them.",
    )
    grace_seconds: float = _variable(
        _seconds("0"), "25", "How long accounts in flight may take to finish after SIGTERM."
    )
    aws_connect_timeout_seconds: float = _variable(
        _seconds("0.1"), "10", "How long a connection to AWS may take to open."
    )
    aws_read_timeout_seconds: float = _variable(
        _seconds("0.1"), "60", "How long AWS may take to answer one request."
    )
    aws_max_attempts: int = _variable(
        _integer(1, 20),
        "5",
        "How often one request is sent before the account fails as throttled or timed out.",
    )
    page_limit: int = _variable(
        _integer(1, 10000), "200", "The most pages of one answer; each is a paid request."
    )
    anomaly_threshold: Decimal = _variable(
        _ratio,
        "0.5",
        "A day departs when it differs from its baseline by more than this part of it; "
        "0.5 and 50% mean the same.",
    )
    anomaly_baseline_days: int = _variable(
        _integer(1, 400), "30", "The baseline is the mean of this many days before the day."
    )
    anomaly_minimum_history_days: int = _variable(
        _integer(1, 400), "7", "Accounts with fewer days of history than this are not judged."
    )
    anomaly_floor: Decimal = _variable(
        _decimal("0"), "1", "The smallest difference that counts, in the billing currency."
    )
    anomaly_settle_days: int = _variable(
        _integer(0, 30), "2", "How many days after its end a day's cost is complete; drops wait for that."
    )
    anomaly_cost_basis: CostBasis = _variable(
        _member(CostBasis),
        "unblended",
        "Which amount is compared: unblended, amortized, net_unblended or net_amortized.",
    )
    anomaly_excluded_record_types: frozenset[str] = _variable(
        _names,
        "Credit,Refund,Tax",
        "The record types left out of the comparison, as a comma list; none excludes nothing.",
    )
    anomaly_per_service: bool = _variable(
        _boolean, "false", "Whether each service is judged too, besides the account's total."
    )
    anomaly_medium_impact: Decimal = _variable(
        _decimal("0"),
        "100",
        "From this difference on an anomaly is of medium severity, in the billing currency.",
    )
    anomaly_high_impact: Decimal = _variable(
        _decimal("0"),
        "1000",
        "From this difference on an anomaly is of high severity, in the billing currency.",
    )
    sinks: tuple[str, ...] = _variable(_sinks, "log", "Where events are delivered, as a comma list of: log.")
    account_metrics: bool = _variable(
        _boolean, "true", "Whether the metrics hold the cost of each account, one series per account."
    )
    log_level: str = _variable(
        _choice("debug", "info", "warning", "error"), "info", "The least severe log lines that are written."
    )
    log_format: str = _variable(
        _choice("auto", "json", "console"),
        "auto",
        "How log lines look; auto is console on a terminal and json elsewhere.",
    )
    # By variable: "environment", or the file that its value was read from. Absent: the default.
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings that the environment asks for.

        Raises:
            ConfigError: with one sentence for every problem there is.

        """
        problems = list(_unknown_names(environ))
        values: dict[str, object] = {}
        sources: dict[str, str] = {}
        unread: set[str] = set()
        for variable in VARIABLES:
            try:
                text, source = _read(variable.name, environ)
                if text:
                    values[variable.field] = _parse(variable, text, source)
                    sources[variable.name] = source
            except ValueError as error:
                problems.append(str(error))
                unread.add(variable.field)
        settings = cls(**values, sources=sources)  # type: ignore[arg-type] # each parser returns its field's type
        problems += _contradictions(settings, unread)
        if problems:
            raise ConfigError(*problems)
        return settings

    def require_database_url(self) -> Secret:
        """Return the database's URL, as SQLAlchemy takes it; raise ConfigError where it is not set."""
        return _require(self.database_url, "DATABASE_URL", "It is the PostgreSQL database to work with.")

    def key_bytes(self) -> bytes:
        """Return the encryption key's 32 bytes; raise ConfigError where it is not set."""
        return _decode_key(_require(self.encryption_key, "ENCRYPTION_KEY", _MAKE_A_KEY).reveal())

    @property
    def secrets(self) -> list[Secret]:
        """Every text that must never be printed: the key and the passwords in URLs."""
        key = self.encryption_key.reveal() if self.encryption_key else ""
        texts = {key, *_url_passwords(self.database_url), *_url_passwords(self.pushgateway_url)}
        return [Secret(text) for text in texts if text]

    @property
    def window_policy(self) -> WindowPolicy:
        """How far back an ordinary run reads."""
        return WindowPolicy(
            trailing_days=self.window_days,
            month_close_day=self.month_close_day,
            history_months=self.history_months,
        )

    @property
    def rule(self) -> Rule:
        """When a day departs from its baseline."""
        return Rule(
            threshold_ratio=self.anomaly_threshold,
            baseline_days=self.anomaly_baseline_days,
            minimum_history_days=self.anomaly_minimum_history_days,
            floor=self.anomaly_floor,
            settle_days=self.anomaly_settle_days,
            cost_basis=self.anomaly_cost_basis,
            excluded_record_types=self.anomaly_excluded_record_types,
            per_service=self.anomaly_per_service,
            medium_impact=self.anomaly_medium_impact,
            high_impact=self.anomaly_high_impact,
        )


VARIABLES: tuple[Variable, ...] = tuple(
    Variable(
        name=one.metadata["name"] or PREFIX + one.name.upper(),
        field=one.name,
        parse=one.metadata["parse"],
        default=one.metadata["default"],
        description=one.metadata["about"],
        is_secret=one.metadata["secret"],
    )
    for one in fields(Settings)
    if one.metadata
)


def _require(secret: Secret | None, name: str, advice: str) -> Secret:
    if secret is None:
        raise ConfigError(
            f"{name} is not set; set it, or {name}_FILE to the path of a file that holds it. {advice}"
        )
    return secret


def _read(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return a variable's text, empty where it is not set, and where it is from."""
    text, path = environ.get(name, "").strip("\r\n"), environ.get(f"{name}_FILE", "")
    if not path:
        return text, "environment"
    if text:
        raise ValueError(f"Both {name} and {name}_FILE are set; remove one of them.")
    try:
        text = Path(path).read_text(encoding="utf-8").strip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{name}_FILE names {path}, which is not a text file in UTF-8.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise ValueError(f"{name}_FILE names {path}, which cannot be read: {reason}.") from None
    if not text:
        raise ValueError(f"{name}_FILE names {path}, which is empty; write the value into it.")
    return text, f"file {path}"


def _parse(variable: Variable, text: str, source: str) -> object:
    try:
        return variable.parse(text if variable.is_secret else text.strip())
    except ValueError as error:
        where = "" if source == "environment" else f" (from the {source})"
        raise ValueError(f"{variable.name}{where} {error}") from None


def _unknown_names(environ: Mapping[str, str]) -> Iterable[str]:
    known = [name for variable in VARIABLES for name in (variable.name, f"{variable.name}_FILE")]
    for name in sorted(environ):
        if not name.startswith(PREFIX) or not environ[name] or name in known or _SERVICE_LINK.fullmatch(name):
            continue
        close = get_close_matches(name, known, n=1)
        advice = f"did you mean {close[0]}?" if close else "`costbatch config` lists those there are."
        yield f"{name} is not a variable of costbatch; {advice}"


# Pairs of fields: the first must stay below the second by at least this much.
_ORDERED = (
    ("anomaly_minimum_history_days", "anomaly_baseline_days", 0),
    ("anomaly_medium_impact", "anomaly_high_impact", 0),
    ("anomaly_settle_days", "window_days", 1),  # or no day is read again once it is complete
)


def _contradictions(settings: Settings, unread: set[str]) -> Iterable[str]:
    for low, high, gap in _ORDERED:
        if not unread & {low, high} and getattr(settings, low) + gap > getattr(settings, high):
            values = f"{getattr(settings, low)} and {getattr(settings, high)}"
            order = "less than" if gap else "at most"
            names = f"{PREFIX}{low.upper()} must be {order} {PREFIX}{high.upper()}"
            yield f"{names}; they are {values}."
