"""Parsers of variables: each turns a text that is not empty into a value.

They raise ValueError with the end of a sentence that begins with the variable's name.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from costbatch.config.environment import KEY_BYTES
from costbatch.domain.accounts import parse_account_id
from costbatch.domain.credentials import Secret
from costbatch.domain.excerpt import excerpt
from costbatch.domain.money import Limit, is_currency

E = TypeVar("E", bound=StrEnum)

# Labels of the groups and of the metrics themselves: see adapters/pushgateway.py.
TAKEN_LABELS = frozenset(
    {
        *("job", "group", "run", "version", "python", "outcome", "kind", "change", "state", "severity"),
        *("aws_account_id", "bound", "currency", "sink"),
    }
)
MAKE_A_KEY = "Make one with `costbatch keys generate`."
_REGION = re.compile(r"[a-z]{2,8}(-[a-z]{2,20}){1,3}-[0-9]{1,2}")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
# A shorter part of an address is hardly a secret, and may be a word.
_SHORTEST_PIECE = 12
# Longer than any number that a setting takes.
_LONGEST_NUMBER = 40
# As long as a tag of AWS.
_LONGEST_NAME = 128


def decimal(least: str, most: str = "1000000000") -> Callable[[str], Decimal]:
    """Return a parser of exact numbers in a range."""

    def parse(text: str) -> Decimal:
        number = Decimal(text) if len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text) else None
        if number is None or not Decimal(least) <= number <= Decimal(most):
            raise ValueError(f"must be a number from {least} to {most}, not {excerpt(text)}.")
        return number

    return parse


def limit(otherwise: str | None) -> Callable[[str], Limit]:
    """Return a parser of a limit by currency: "1", "EUR=1,JPY=150" or "1,JPY=150".

    otherwise: the limit of all other currencies if the text gives none; None: as if nothing was set.
    """
    amount = decimal("0")

    def parse(text: str) -> Limit:
        if not re.search("[=,]", text):
            return Limit(amount(text))
        found: dict[str, Decimal] = {}
        for part in text.split(","):
            currency, is_named, number = part.strip().rpartition("=")
            currency, number = currency.strip(), number.strip()
            if (is_named and not is_currency(currency)) or not _NUMBER.fullmatch(number):
                raise ValueError(
                    f"must be a number, or numbers by currency such as EUR=1,JPY=150, not {excerpt(text)}."
                )
            if currency in found:
                raise ValueError(f"has two numbers for {currency or 'all other currencies'}.")
            found[currency] = amount(number)
        others = found.pop("", None if otherwise is None else Decimal(otherwise))
        return Limit(others, tuple(sorted(found.items())))

    return parse


def seconds(least: str, most: str = "3600") -> Callable[[str], float]:
    """Return a parser of seconds in a range."""
    return lambda text: float(decimal(least, most)(text))


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers in a range."""

    def parse(text: str) -> int:
        # Checked before int(): a text may be megabytes of digits.
        is_number = text.isascii() and text.isdecimal() and len(text) < len("1000000000")
        if not (is_number and least <= int(text) <= most):
            raise ValueError(f"must be a whole number from {least} to {most}, not {excerpt(text)}.")
        return int(text)

    return parse


def ratio(text: str) -> Decimal:
    """Return a ratio, given as 0.5 or as 50%."""
    number, is_percentage = text.removesuffix("%").rstrip(), text.endswith("%")
    if len(number) > _LONGEST_NUMBER or not _NUMBER.fullmatch(number):
        raise ValueError(f"must be a ratio such as 0.5 or a percentage such as 50%, not {excerpt(text)}.")
    part = Decimal(number) / (100 if is_percentage else 1)
    if part > 10:  # noqa: PLR2004 - 50 is likely to mean 50 %, not 5000 %
        raise ValueError(f"must be at most 10 or 1000%, not {excerpt(text)}; percentages end with %.")
    return part


def share(text: str) -> Decimal:
    """Return a ratio of at most 1, given as 0.5 or as 50%."""
    part = ratio(text)
    if part > 1:
        raise ValueError(f"must be at most 1 or 100%, not {text!r}.")
    return part


def boolean(text: str) -> bool:
    """Return true or false."""
    if text.lower() not in {"true", "yes", "on", "1", "false", "no", "off", "0"}:
        raise ValueError(f"must be true or false, not {excerpt(text)}.")
    return text.lower() in {"true", "yes", "on", "1"}


def choice(*allowed: str) -> Callable[[str], str]:
    """Return a parser of one of the words."""

    def parse(text: str) -> str:
        if text.lower() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}; it is {excerpt(text)}.")
        return text.lower()

    return parse


def member(enum: type[E]) -> Callable[[str], E]:
    """Return a parser of one of an enum's values."""
    return lambda text: enum(choice(*enum)(text))


def _items(text: str) -> frozenset[str]:
    """Return the items of a comma list; "none" is the empty list, as an empty variable is unset."""
    found = frozenset(item.strip() for item in text.split(",") if item.strip())
    if not found:
        raise ValueError("has no items; use none for an empty list.")
    return frozenset() if found == {"none"} else found


def names(text: str) -> frozenset[str]:
    """Return the names of a comma list; "none" is the empty list."""
    found = _items(text)
    for name in sorted(found):
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise ValueError(
                f"must be names of up to {_LONGEST_NAME} printable characters; {excerpt(name)} is none."
            )
    return found


def regions(text: str) -> frozenset[str]:
    """Return the AWS regions of a comma list; "none" is the empty list."""
    found = names(text)
    for name in sorted(found):
        if not _REGION.fullmatch(name):
            raise ValueError(f"must be AWS regions such as eu-west-1,us-east-1; {excerpt(name)} is not one.")
    return found


def account_ids(text: str) -> frozenset[str]:
    """Return the 12-digit account ids of a comma list."""
    found = set()
    for name in sorted(names(text)):
        try:
            found.add(parse_account_id(name))
        except ValueError:
            raise ValueError(
                f"has {excerpt(name)}, which is not an AWS account id: it must have 12 digits."
            ) from None
    return frozenset(found)


def push_labels(text: str) -> tuple[str, ...]:
    """Return the labels of a comma list such as namespace=finops,release=costbatch, by name."""
    labels: dict[str, str] = {}
    for pair in sorted(_items(text)):
        name, separator, value = (part.strip() for part in pair.partition("="))
        if not separator:
            raise ValueError(
                f"must be pairs such as namespace=finops,release=costbatch; {excerpt(pair)} has no =."
            )
        if not re.fullmatch(r"(?!__)[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(
                f"has {excerpt(name)}, which is not a label name: letters, digits and _, and not __ at first."
            )
        if name in TAKEN_LABELS:
            raise ValueError(f"has {name!r}, which costbatch sets itself; choose another name.")
        if name in labels:
            raise ValueError(f"gives {name!r} twice; give it one value.")
        # The value becomes part of a URL path, where "." and ".." have a meaning of their own.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}", value):
            raise ValueError(
                f"gives {excerpt(name)} the value {excerpt(value)}; a value is 1 to 200 letters, digits and "
                ". _ : / @ -, beginning with a letter or digit."
            )
        labels[name] = value
    return tuple(f"{name}={labels[name]}" for name in sorted(labels))


def run_key(text: str) -> str:
    """Return a run key."""
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", text):
        raise ValueError("must be 1 to 200 printable ASCII characters without spaces.")
    return text


def encryption_key(text: str) -> Secret:
    """Return the key as it was written, after checking that it has 32 bytes."""
    decode_key(text)
    return Secret(text)


def decode_key(text: str) -> bytes:
    """Return the key's 32 bytes."""
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
        f"must be {KEY_BYTES} bytes: 64 hex digits, base64, or 32 characters. It has {found}. " + MAKE_A_KEY
    )


def key_encodings(text: str) -> Iterable[str]:
    """Yield the key as it was written, and in every encoding that an error message may contain."""
    key = decode_key(text)
    yield from (text, key.hex(), key.hex().upper(), repr(key)[2:-1])
    yield from (base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode())


def _decode_base64(text: str) -> bytes | None:
    digits = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def web_url(text: str) -> Secret:
    """Return an http or https URL."""
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or re.search(r"\s", text):
        raise ValueError("must be a URL such as http://pushgateway:9091.")
    return Secret(text.rstrip("/"))


def pushgateway_url(text: str) -> Secret:
    """Return the URL of a Pushgateway, to which a push adds a path."""
    if "?" in text or "#" in text:
        raise ValueError(
            "must have neither a query (?) nor a fragment (#), which a push leaves out; "
            "write these characters of a password as %3F and %23."
        )
    return web_url(text)


def url_passwords(url: Secret | None) -> Iterable[str]:
    """Yield every password in a URL, percent-encoded and decoded; a user name without one is a token."""
    parts = urlsplit(url.reveal() if url else "")
    password = parts.password or parts.username or ""
    yield from (value for name, value in parse_qsl(parts.query) if "password" in name)
    yield from (password, unquote(password))


def url_secrets(url: Secret) -> Iterable[str]:
    """Yield a secret URL and its parts that an error may show alone: passwords, long segments and values."""
    text = url.reveal()
    yield from (text, *url_passwords(url))
    parts = urlsplit(text)
    pieces = [
        *parts.netloc.split("@"),
        *parts.path.split("/"),
        *(value for _, value in parse_qsl(parts.query)),
    ]
    yield from (piece for piece in pieces if len(piece) >= _SHORTEST_PIECE)
