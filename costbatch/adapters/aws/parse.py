"""The body of a Cost Explorer answer to cost rows: pure, strict, and fast because an answer holds thousands.

Whatever is not as documented is refused with the place where it stands; nothing is guessed or filled in.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from itertools import repeat

import msgspec

from costbatch.adapters.aws.malformed import Explanation, MalformedError, shown
from costbatch.domain.costs import CostRow
from costbatch.domain.money import parse_amount, parse_currency
from costbatch.domain.periods import ONE_DAY, DateRange

_LONGEST_NAME = 1000
# PostgreSQL stores neither NUL nor half a surrogate pair; other control characters have no place in a name.
_UNFIT_FOR_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# The usual form of amounts, several of them, one to a line. Their size is within what parse_amount allows, so
# Decimal alone reads them the same at a quarter of the cost; a test holds the two against each other.
_are_plain = re.compile(r"(?:-?+[0-9]{1,18}+(?:\.[0-9]{1,20}+)?+(?:[eE]-1?[0-9])?+\n)*+").fullmatch

_Keys = tuple[str, str]


class _Quantity(msgspec.Struct, gc=False):
    Amount: str


class _Cost(msgspec.Struct, gc=False):
    Amount: str
    Unit: str


class _Metrics(msgspec.Struct, gc=False):
    UnblendedCost: _Cost
    AmortizedCost: _Cost
    # AWS leaves the net amounts out where an account has no discounts.
    NetUnblendedCost: _Cost | None = None
    NetAmortizedCost: _Cost | None = None
    UsageQuantity: _Quantity | None = None


METRICS = _Metrics.__struct_fields__


class _Group(msgspec.Struct, gc=False):
    Keys: _Keys
    Metrics: _Metrics


class _Period(msgspec.Struct, gc=False):
    Start: str
    End: str


class _Result(msgspec.Struct, gc=False):
    TimePeriod: _Period
    Groups: list[_Group]
    Estimated: bool


class _Page(msgspec.Struct, gc=False):
    ResultsByTime: list[_Result]
    NextPageToken: str | None = None


_read = msgspec.json.Decoder(_Page).decode


# Names and currencies repeat within an answer: each is checked once, and a dictionary that fills
# itself costs no Python call for what it knows.
class _Names(dict[str, str]):
    def __missing__(self, text: str) -> str:
        if not 0 < len(text) <= _LONGEST_NAME:
            raise ValueError(f"a name must have 1 to {_LONGEST_NAME:,} characters")
        if _UNFIT_FOR_NAME.search(text):
            raise ValueError("a name must not hold control characters")
        self[text] = text
        return text


class _Currencies(dict[str, str]):
    def __missing__(self, text: str) -> str:
        currency = self[text] = parse_currency(text)
        return currency


class _Amounts(dict[str, list[Decimal]]):
    """Exact amounts by their texts, one to a line; ValueError where one of them is no amount."""

    def of(self, costs: Sequence[_Cost | _Quantity | None]) -> Sequence[Decimal | None]:
        """Return the amounts of a column, None where there is none."""
        given = [cost.Amount for cost in costs if cost is not None]
        amounts = self["\n".join([*given, ""])]
        if len(amounts) != len(given):
            raise ValueError("an amount holds a line break")
        if len(amounts) == len(costs):
            return amounts
        rest = iter(amounts)
        return [None if cost is None else next(rest) for cost in costs]

    def __missing__(self, lines: str) -> list[Decimal]:
        read = Decimal if _are_plain(lines) else parse_amount
        amounts = self[lines] = list(map(read, lines.split("\n")[:-1]))
        return amounts


class CostAnswer:
    """Gathers the pages of one answer. Not for several threads."""

    def __init__(self, window: DateRange) -> None:
        self._window = window
        # Looking the texts up is faster than parsing dates, and stricter: there is one spelling of each day.
        self._days = {(day.isoformat(), (day + ONE_DAY).isoformat()): day for day in window}
        self._rows: dict[date, dict[_Keys, CostRow]] = {}
        self._names = _Names()
        self._currencies = _Currencies()

    def add_page(self, body: bytes) -> str | None:
        """Take the body of a page; return the token of the next one, None after the last.

        Raises:
            AccountError: malformed_response, naming the place.

        """
        try:
            page = _read(body)
            for index, result in enumerate(page.ResultsByTime):
                self._add_result(result, index)
            if page.NextPageToken != "":
                return page.NextPageToken
            problem = self._explain(body)
        except MalformedError as error:
            problem = error
        # A hostile body may be nested deeper than any stack.
        except (msgspec.MsgspecError, KeyError, ValueError, RecursionError):
            problem = self._explain(body)
        # Outside of the handler, so that what AWS sent is not even the context.
        raise problem.to_account_error()

    def rows(self) -> tuple[CostRow, ...]:
        """Return the rows by day, service and record type.

        Raises:
            AccountError: malformed_response: a day of the window is missing, which is not a zero.

        """
        for day in self._window:
            if day not in self._rows:
                raise MalformedError("ResultsByTime", f"does not hold the day {day}").to_account_error()
        by_day = (self._rows[day] for day in self._window)
        return tuple([groups[keys] for groups in by_day for keys in sorted(groups)])

    def _add_result(self, result: _Result, index: int) -> None:
        day = self._days[result.TimePeriod.Start, result.TimePeriod.End]
        # A day may be split between two pages.
        rows = self._rows.setdefault(day, {})
        known = len(rows)
        rows.update(self._rows_of(result, day))
        if len(rows) != known + len(result.Groups):
            raise _repeated(result.Groups, day).below(f"ResultsByTime[{index}]")

    def _rows_of(self, result: _Result, day: date) -> Iterator[tuple[_Keys, CostRow]]:
        """Return the rows of a day by their keys: column by column, because a row at a time costs twice."""
        keys = [group.Keys for group in result.Groups]
        metrics = [group.Metrics for group in result.Groups]
        unblended = [each.UnblendedCost for each in metrics]
        amortized = [each.AmortizedCost for each in metrics]
        net_unblended = [each.NetUnblendedCost for each in metrics]
        net_amortized = [each.NetAmortizedCost for each in metrics]
        currencies = [cost.Unit for cost in unblended]
        for costs in (amortized, net_unblended, net_amortized):
            _check_units(costs, currencies)
        # Where an account has neither discounts nor commitments, its columns are all alike.
        amounts = _Amounts()
        columns = (
            repeat(day),
            map(self._names.__getitem__, [service for service, _ in keys]),
            map(self._names.__getitem__, [record_type for _, record_type in keys]),
            map(self._currencies.__getitem__, currencies),
            amounts.of(unblended),
            amounts.of(amortized),
            amounts.of(net_unblended),
            amounts.of(net_amortized),
            amounts.of([each.UsageQuantity for each in metrics]),
            repeat(result.Estimated),
        )
        return zip(keys, map(CostRow._make, zip(*columns, strict=False)), strict=True)

    def _explain(self, body: bytes) -> MalformedError:
        return Explanation(
            metrics=METRICS,
            window=self._window,
            days=self._days,
            check_name=self._names.__getitem__,
            check_amount=parse_amount,
        ).of_page(body)


def _check_units(costs: Sequence[_Cost | None], currencies: Sequence[str]) -> None:
    if None in costs:
        currencies = [unit for cost, unit in zip(costs, currencies, strict=True) if cost is not None]
    if [cost.Unit for cost in costs if cost is not None] != currencies:
        raise ValueError("one group has amounts in two currencies")


def _repeated(groups: Sequence[_Group], day: date) -> MalformedError:
    """Return where a group stands that an earlier one, here or on a page before, has the keys of."""
    keys = [group.Keys for group in groups]
    index = next((index for index, each in enumerate(keys) if each in keys[:index]), 0)
    return MalformedError(f"Groups[{index}].Keys", f"repeats {shown(keys[index][0])} on {day}")


def parse_costs(pages: Sequence[bytes], window: DateRange) -> tuple[CostRow, ...]:
    """Return the rows of a whole answer.

    Raises:
        AccountError: malformed_response, naming the place.

    """
    answer = CostAnswer(window)
    for body in pages:
        answer.add_page(body)
    return answer.rows()
