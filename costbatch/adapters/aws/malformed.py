"""Says where an answer of Cost Explorer is not as documented; parse.py decides whether it is.

Shows at most a few printable characters of what stands there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from costbatch.domain.money import parse_currency
from costbatch.errors import AccountError, ErrorKind
from costbatch.logs import redact

_MOST_SHOWN = 40
# Longer than any secret, so that one is masked before it is cut.
_MOST_READ = 4000

Check = Callable[[Any], object]


class MalformedError(Exception):
    """What is wrong, and where; it becomes an AccountError before it leaves this package."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem

    def below(self, place: str) -> MalformedError:
        """Return the same problem seen from further up."""
        return MalformedError(f"{place}.{self.place}" if self.place else place, self.problem)

    def to_account_error(self) -> AccountError:
        """Return what the account fails with."""
        return AccountError(ErrorKind.MALFORMED_RESPONSE, f"GetCostAndUsage: {self.place} {self.problem}.")


def shown(value: object) -> str:
    """Return a value as an error may show it: its kind, or a few printable characters."""
    if value is None:
        return "absent"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    # Sliced first: a hostile text may be megabytes long, an integer too long to print at all.
    text = redact(value[:_MOST_READ]) if isinstance(value, str) else f"a {type(value).__name__}"
    printable = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)
    short = f"{printable[: _MOST_SHOWN - 1]}…" if len(printable) > _MOST_SHOWN else printable
    return json.dumps(short, ensure_ascii=False) if isinstance(value, str) else short


def as_object(value: object, place: str) -> dict[str, Any]:
    """Return a JSON object, or refuse."""
    if not isinstance(value, dict):
        raise MalformedError(place, f"is {shown(value)}, not an object")
    return value


def as_list(value: object, place: str) -> list[Any]:
    """Return a JSON list, or refuse."""
    if not isinstance(value, list):
        raise MalformedError(place, f"is {shown(value)}, not a list")
    return value


def as_bool(value: object, place: str) -> bool:
    """Return true or false, or refuse."""
    if not isinstance(value, bool):
        raise MalformedError(place, f"is {shown(value)}, not true or false")
    return value


def explain_group(group: object, *, check_name: Check, check_amount: Check) -> MalformedError:
    """Return what is wrong with a group that could not be read."""
    try:
        members = as_object(group, "")
        _explain_keys(members.get("Keys"), check_name)
        _explain_metrics(as_object(members.get("Metrics"), "Metrics"), check_amount)
    except MalformedError as error:
        return error
    return MalformedError("", "is not as documented")


def _explain_keys(keys: object, check_name: Check) -> None:
    if len(as_list(keys, "Keys")) != 2:  # noqa: PLR2004 - we group by two dimensions
        raise MalformedError("Keys", "is not a service and a record type")
    for index, name in enumerate(as_list(keys, "Keys")):
        _explain(name, f"Keys[{index}]", check_name)


def _explain_metrics(metrics: dict[str, Any], check_amount: Check) -> None:
    for name in ("UnblendedCost", "AmortizedCost", "NetUnblendedCost", "NetAmortizedCost", "UsageQuantity"):
        if metrics.get(name) is None and name.startswith(("Net", "Usage")):
            continue
        metric = as_object(metrics.get(name), f"Metrics.{name}")
        if name != "UsageQuantity":
            _explain_unit(metric.get("Unit"), metrics["UnblendedCost"].get("Unit"), f"Metrics.{name}.Unit")
        _explain(metric.get("Amount"), f"Metrics.{name}.Amount", check_amount)


def _explain_unit(unit: object, expected: object, place: str) -> None:
    _explain(unit, place, parse_currency)
    if unit != expected:
        raise MalformedError(place, f"is {shown(unit)}, although UnblendedCost is in {expected}")


def _explain(value: object, place: str, check: Check) -> None:
    if not isinstance(value, str):
        raise MalformedError(place, f"is {shown(value)}, not a text")
    try:
        check(value)
    except ValueError as error:
        problem = f"is {shown(value)}: {error}"
    else:
        return
    raise MalformedError(place, problem)
