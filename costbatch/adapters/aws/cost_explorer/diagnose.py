"""Explains how a response differs from the documentation, after parse.py has refused it.

Shows at most a few printable characters of the response.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from costbatch.adapters.aws.cost_explorer.schema import METRICS, check_name
from costbatch.domain import strict_json
from costbatch.domain.money import parse_amount, parse_currency
from costbatch.domain.periods import DateRange
from costbatch.errors import AccountError, ErrorKind
from costbatch.logs import redact

_MOST_SHOWN = 40
# Longer than any secret, so that a secret is masked before it is cut.
_MOST_READ = 4000


class MalformedError(Exception):
    """What is wrong, and where. It becomes an AccountError before it leaves this package."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem

    def to_account_error(self) -> AccountError:
        """Return the error of the account."""
        return AccountError(ErrorKind.MALFORMED_RESPONSE, f"GetCostAndUsage: {self.place} {self.problem}.")


def shown(value: object) -> str:
    """Return a value as an error may show it: its type, or a few printable characters."""
    if value is None:
        return "absent"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    # Sliced first: a hostile text may be megabytes long, an integer too long to print at all.
    text = redact(value[:_MOST_READ]) if isinstance(value, str) else f"a {type(value).__name__}"
    printable = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)
    short = f"{printable[: _MOST_SHOWN - 1]}…" if len(printable) > _MOST_SHOWN else printable
    return json.dumps(short, ensure_ascii=False) if isinstance(value, str) else short


def explain(body: bytes, window: DateRange, days: Mapping[tuple[str, str], date]) -> MalformedError:
    """Return what is wrong with a page that could not be parsed.

    Checks it member by member, which is slow, but only refused pages take the time.

    days: the requested days, by the texts of their start and end.
    """
    try:
        try:
            page = _as_object(strict_json.loads(body), "the body")
        except strict_json.RepeatedMemberError as error:
            return MalformedError("the body", f"contains {error}")
        except (ValueError, RecursionError):
            return MalformedError("the body", f"is not JSON ({len(body)} bytes)")
        for index, result in enumerate(_as_list(page.get("ResultsByTime"), "ResultsByTime")):
            _check_result(result, f"ResultsByTime[{index}]", window, days)
        token = page.get("NextPageToken")
        if token is not None and (not isinstance(token, str) or not token):
            return MalformedError("NextPageToken", f"is {shown(token)}, not a token")
    except MalformedError as error:
        return error
    return MalformedError("the body", "is not as documented")


def _check_result(
    result: object, place: str, window: DateRange, days: Mapping[tuple[str, str], date]
) -> None:
    members = _as_object(result, place)
    period = _as_object(members.get("TimePeriod"), f"{place}.TimePeriod")
    start, end = period.get("Start"), period.get("End")
    ends = [day_end for day_start, day_end in days if day_start == start]
    if not ends:
        expected = f"a day from {window.start} to {window.last}"
        raise MalformedError(f"{place}.TimePeriod.Start", f"is {shown(start)}, not {expected}")
    if end not in ends:
        raise MalformedError(f"{place}.TimePeriod.End", f"is {shown(end)}, not the day after the start")
    estimated = members.get("Estimated")
    if not isinstance(estimated, bool):
        raise MalformedError(f"{place}.Estimated", f"is {shown(estimated)}, not true or false")
    for index, group in enumerate(_as_list(members.get("Groups"), f"{place}.Groups")):
        _check_group(group, f"{place}.Groups[{index}]")


def _check_group(group: object, place: str) -> None:
    members = _as_object(group, place)
    keys = _as_list(members.get("Keys"), f"{place}.Keys")
    if len(keys) != 2:  # noqa: PLR2004 - we group by two dimensions
        raise MalformedError(f"{place}.Keys", "is not a service and a record type")
    for index, name in enumerate(keys):
        _check(name, f"{place}.Keys[{index}]", check_name)
    metrics = _as_object(members.get("Metrics"), f"{place}.Metrics")
    # The currency of the first amount that is not zero: a zero needs none.
    owed: dict[str, str] = {}
    for name in METRICS:
        if metrics.get(name) is None and name.startswith(("Net", "Usage")):
            continue
        at = f"{place}.Metrics.{name}"
        metric = _as_object(metrics.get(name), at)
        amount, unit = metric.get("Amount"), metric.get("Unit")
        _check(amount, f"{at}.Amount", parse_amount)
        if name == "UsageQuantity":
            continue
        if parse_amount(amount):
            _check(unit, f"{at}.Unit", parse_currency)
            if unit not in (owed := owed or {str(unit): name}):
                ((currency, first),) = owed.items()
                raise MalformedError(f"{at}.Unit", f"is {shown(unit)}, although {first} is in {currency}")
        elif unit is not None:
            _check(unit, f"{at}.Unit", str)


def _as_object(value: object, place: str) -> dict[str, Any]:
    """Return a JSON object; raise MalformedError if it is not one."""
    if not isinstance(value, dict):
        raise MalformedError(place, f"is {shown(value)}, not an object")
    return value


def _as_list(value: object, place: str) -> list[Any]:
    """Return a JSON list; raise MalformedError if it is not one."""
    if not isinstance(value, list):
        raise MalformedError(place, f"is {shown(value)}, not a list")
    return value


def _check(value: object, place: str, check: Callable[[str], object]) -> None:
    """Apply a check, which raises ValueError with the reason, to a text."""
    if not isinstance(value, str):
        raise MalformedError(place, f"is {shown(value)}, not a text")
    try:
        check(value)
    except ValueError as error:
        problem = f"is {shown(value)}: {error}"
    else:
        return
    raise MalformedError(place, problem)
