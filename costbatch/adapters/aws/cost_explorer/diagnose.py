"""Explains where an answer is not as documented, after parse.py has refused it.

Shows at most a few printable characters of the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from costbatch.domain import strict_json
from costbatch.domain.money import parse_currency
from costbatch.domain.periods import DateRange
from costbatch.errors import AccountError, ErrorKind
from costbatch.logs import redact

_MOST_SHOWN = 40
# Longer than any secret, so that a secret is masked before it is cut.
_MOST_READ = 4000

Check = Callable[[Any], object]


class MalformedError(Exception):
    """What is wrong, and where. It becomes an AccountError before it leaves this package."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem

    def below(self, place: str) -> MalformedError:
        """Return the same problem with its place inside another one."""
        return MalformedError(f"{place}.{self.place}" if self.place else place, self.problem)

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


def _as_bool(value: object, place: str) -> bool:
    """Return true or false; raise MalformedError if it is neither."""
    if not isinstance(value, bool):
        raise MalformedError(place, f"is {shown(value)}, not true or false")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Checks a refused page member by member; it is slow, but only refused pages take the time.

    metrics: the names of the amounts. days: the requested days, by the texts of their start and end.
    The checks raise ValueError with the reason.
    """

    metrics: tuple[str, ...]
    window: DateRange
    days: Mapping[tuple[str, str], date]
    check_name: Check
    check_amount: Check

    def of_page(self, body: bytes) -> MalformedError:
        """Return what is wrong with a page that could not be parsed."""
        try:
            page = _as_object(_json(body), "the body")
            for index, result in enumerate(_as_list(page.get("ResultsByTime"), "ResultsByTime")):
                _below(f"ResultsByTime[{index}]", self._check_result, result)
            _check_token(page.get("NextPageToken"))
        except MalformedError as error:
            return error
        return MalformedError("the body", "is not as documented")

    def _check_result(self, result: object) -> None:
        members = _as_object(result, "")
        self._check_day(_as_object(members.get("TimePeriod"), "TimePeriod"))
        _as_bool(members.get("Estimated"), "Estimated")
        for index, group in enumerate(_as_list(members.get("Groups"), "Groups")):
            _below(f"Groups[{index}]", self._check_group, group)

    def _check_day(self, period: dict[str, Any]) -> None:
        start, end = period.get("Start"), period.get("End")
        ends = [known_end for known_start, known_end in self.days if known_start == start]
        if not ends:
            expected = f"a day from {self.window.start} to {self.window.last}"
            raise MalformedError("TimePeriod.Start", f"is {shown(start)}, not {expected}")
        if end not in ends:
            raise MalformedError("TimePeriod.End", f"is {shown(end)}, not the day after the start")

    def _check_group(self, group: object) -> None:
        members = _as_object(group, "")
        keys = _as_list(members.get("Keys"), "Keys")
        if len(keys) != 2:  # noqa: PLR2004 - we group by two dimensions
            raise MalformedError("Keys", "is not a service and a record type")
        for index, name in enumerate(keys):
            _check(name, f"Keys[{index}]", self.check_name)
        self._check_metrics(_as_object(members.get("Metrics"), "Metrics"))

    def _check_metrics(self, metrics: dict[str, Any]) -> None:
        # The currency of the first amount that is not zero: a zero needs none.
        owed: dict[str, str] = {}
        for name in self.metrics:
            if metrics.get(name) is None and name.startswith(("Net", "Usage")):
                continue
            metric, place = _as_object(metrics.get(name), f"Metrics.{name}"), f"Metrics.{name}.Unit"
            amount, unit = metric.get("Amount"), metric.get("Unit")
            _check(amount, f"Metrics.{name}.Amount", self.check_amount)
            if name == "UsageQuantity":
                continue
            if self.check_amount(amount):
                _check(unit, place, parse_currency)
                if unit not in (owed := owed or {str(unit): name}):
                    ((currency, first),) = owed.items()
                    raise MalformedError(place, f"is {shown(unit)}, although {first} is in {currency}")
            elif unit is not None:
                _check(unit, place, str)


def _below(place: str, check: Callable[[object], None], value: object) -> None:
    """Check a value, and put its place in front of a problem's."""
    try:
        check(value)
    except MalformedError as error:
        raise error.below(place) from None


def _check(value: object, place: str, check: Check) -> None:
    if not isinstance(value, str):
        raise MalformedError(place, f"is {shown(value)}, not a text")
    try:
        check(value)
    except ValueError as error:
        problem = f"is {shown(value)}: {error}"
    else:
        return
    raise MalformedError(place, problem)


def _check_token(value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value):
        raise MalformedError("NextPageToken", f"is {shown(value)}, not a token")


def _json(body: bytes) -> object:
    try:
        return strict_json.loads(body)
    except strict_json.RepeatedMemberError as error:
        problem = f"contains {error}"
    except (ValueError, RecursionError):
        problem = f"is not JSON ({len(body)} bytes)"
    raise MalformedError("the body", problem)
