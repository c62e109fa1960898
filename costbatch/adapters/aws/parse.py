"""The body of a Cost Explorer answer to cost rows: pure, strict, and fast because an answer holds thousands.

Whatever is not as documented is refused with the place where it stands; nothing is guessed or filled in.
"""

import json
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from costbatch.adapters.aws.malformed import (
    MalformedError,
    as_bool,
    as_list,
    as_object,
    explain_group,
    shown,
)
from costbatch.domain.costs import CostRow
from costbatch.domain.money import parse_amount, parse_currency
from costbatch.domain.periods import ONE_DAY, DateRange

METRICS = ("UnblendedCost", "AmortizedCost", "NetUnblendedCost", "NetAmortizedCost", "UsageQuantity")

_LONGEST_NAME = 1000
# PostgreSQL stores neither NUL nor half a surrogate pair; other control characters have no place in a name.
_UNFIT_FOR_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# The usual form of an amount. Its size is within what parse_amount allows, so Decimal alone reads it the
# same, at half the cost; a test holds the two against each other.
_is_plain_amount = re.compile(r"-?+[0-9]{1,18}+(?:\.[0-9]{1,40}+)?+").fullmatch

_RowsOfDay = dict[tuple[str, str], CostRow]


# Names, currencies and amounts repeat within an answer: each is checked once, and a dictionary that fills
# itself costs no Python call for what it knows.
class _Names(dict[Any, str]):
    def __missing__(self, text: object) -> str:
        if not isinstance(text, str):
            raise ValueError("a name must be a text")
        if not 0 < len(text) <= _LONGEST_NAME:
            raise ValueError(f"a name must have 1 to {_LONGEST_NAME:,} characters")
        if _UNFIT_FOR_NAME.search(text):
            raise ValueError("a name must not hold control characters")
        self[text] = text
        return text


class _Currencies(dict[Any, str]):
    def __missing__(self, text: object) -> str:
        currency = self[text] = parse_currency(text)
        return currency


class _Amounts(dict[Any, Decimal]):
    def __missing__(self, text: object) -> Decimal:
        is_plain = isinstance(text, str) and _is_plain_amount(text)
        amount = self[text] = Decimal(str(text)) if is_plain else parse_amount(text)
        return amount


class CostAnswer:
    """Gathers the pages of one answer. Not for several threads."""

    def __init__(self, window: DateRange) -> None:
        self._window = window
        # Looking the texts up is faster than parsing dates, and stricter: there is one spelling of each day.
        self._days = {day.isoformat(): (day, (day + ONE_DAY).isoformat()) for day in window}
        self._rows: dict[date, _RowsOfDay] = {}
        self._names = _Names()
        self._currencies = _Currencies()
        self._amounts = _Amounts()

    def add_page(self, body: bytes) -> str | None:
        """Take the body of a page; return the token of the next one, None after the last.

        Raises:
            AccountError: malformed_response, naming the place.

        """
        try:
            page = as_object(_json(body), "the body")
            for index, result in enumerate(as_list(page.get("ResultsByTime"), "ResultsByTime")):
                self._add_result(result, f"ResultsByTime[{index}]")
            return _token(page.get("NextPageToken"))
        except MalformedError as error:
            failure = error.to_account_error()
        raise failure

    def rows(self) -> tuple[CostRow, ...]:
        """Return the rows by day, service and record type.

        Raises:
            AccountError: malformed_response: a day of the window is missing, which is not a zero.

        """
        for day in self._window:
            if day not in self._rows:
                raise MalformedError("ResultsByTime", f"does not hold the day {day}").to_account_error()
        by_day = (self._rows[day] for day in self._window)
        return tuple(groups[key] for groups in by_day for key in sorted(groups))

    def _add_result(self, result: object, place: str) -> None:
        try:
            members = as_object(result, "")
            day = self._day(as_object(members.get("TimePeriod"), "TimePeriod"))
            estimated = as_bool(members.get("Estimated"), "Estimated")
            groups = as_list(members.get("Groups"), "Groups")
            # A day may be split between two pages.
            self._add_groups(groups, day, self._rows.setdefault(day, {}), estimated=estimated)
        except MalformedError as error:
            raise error.below(place) from None

    def _day(self, period: dict[str, Any]) -> date:
        start, end = period.get("Start"), period.get("End")
        known = self._days.get(start) if isinstance(start, str) else None
        if known is None:
            expected = f"a day from {self._window.start} to {self._window.last}"
            raise MalformedError("TimePeriod.Start", f"is {shown(start)}, not {expected}")
        if end != known[1]:
            raise MalformedError("TimePeriod.End", f"is {shown(end)}, not the day after the start")
        return known[0]

    def _add_groups(self, groups: list[Any], day: date, rows: _RowsOfDay, *, estimated: bool) -> None:
        for index, group in enumerate(groups):
            try:
                row = self._row(group, day, estimated)
            except (KeyError, TypeError, ValueError):
                problem = explain_group(
                    group, check_name=self._names.__getitem__, check_amount=self._amounts.__getitem__
                )
                raise problem.below(f"Groups[{index}]") from None
            if rows.setdefault(row[1:3], row) is not row:
                raise MalformedError(f"Groups[{index}].Keys", f"repeats {shown(row.service)} on {day}")

    # Any subscript or look-up that fails says that the group is malformed; explain_group then finds where.
    def _row(self, group: Any, day: date, estimated: bool) -> CostRow:  # noqa: ANN401, FBT001 - unchecked JSON; the hot path
        keys, metrics, amounts = group["Keys"], group["Metrics"], self._amounts
        if type(keys) is not list:
            raise TypeError
        service, record_type = keys
        unblended, amortized = metrics["UnblendedCost"], metrics["AmortizedCost"]
        # AWS leaves the net amounts out where an account has no discounts.
        net_unblended, net_amortized = metrics.get("NetUnblendedCost"), metrics.get("NetAmortizedCost")
        quantity = metrics.get("UsageQuantity")
        unit = unblended["Unit"]
        if (
            unit != amortized["Unit"]
            or (net_unblended is not None and unit != net_unblended["Unit"])
            or (net_amortized is not None and unit != net_amortized["Unit"])
        ):
            raise ValueError
        return CostRow(
            day,
            self._names[service],
            self._names[record_type],
            self._currencies[unit],
            amounts[unblended["Amount"]],
            amounts[amortized["Amount"]],
            None if net_unblended is None else amounts[net_unblended["Amount"]],
            None if net_amortized is None else amounts[net_amortized["Amount"]],
            None if quantity is None else amounts[quantity["Amount"]],
            estimated,
        )


def parse_costs(pages: Sequence[bytes], window: DateRange) -> tuple[CostRow, ...]:
    """Return the rows of a whole answer.

    Raises:
        AccountError: malformed_response, naming the place.

    """
    answer = CostAnswer(window)
    for body in pages:
        answer.add_page(body)
    return answer.rows()


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        problem = f"is not JSON ({len(body)} bytes)"
    raise MalformedError("the body", problem)


def _token(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise MalformedError("NextPageToken", f"is {shown(value)}, not a token")
