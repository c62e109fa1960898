"""The body of a Cost Explorer answer to costs: pure, strict, and fast, for it holds thousands of rows.

Whatever is not as documented is refused with the place where it stands; nothing is guessed or filled in.
"""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec

from costbatch.adapters.aws.malformed import Explanation, MalformedError, shown
from costbatch.domain.costs import CostKey, DayCosts
from costbatch.domain.money import parse_amount, parse_currency
from costbatch.domain.periods import ONE_DAY, DateRange

_LONGEST_NAME = 1000
# PostgreSQL stores neither NUL nor half a surrogate pair; other control characters have no place in a name.
_UNFIT_FOR_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# The usual form of amounts, several of them, one to a line. Their size is within what parse_amount allows, so
# Decimal alone reads them the same at a quarter of the cost; a test holds the two against each other.
_are_plain = re.compile(r"(?:-?+[0-9]{1,18}+(?:\.[0-9]{1,20}+)?+(?:[eE]-1?[0-9])?+\n)*+").fullmatch


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
    Keys: CostKey
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


def _check_name(text: str) -> None:
    if not 0 < len(text) <= _LONGEST_NAME:
        raise ValueError(f"a name must have 1 to {_LONGEST_NAME:,} characters")
    if _UNFIT_FOR_NAME.search(text):
        raise ValueError("a name must not hold control characters")


# Keys and currencies repeat within an answer: each is checked once, and a dictionary that fills itself
# costs no Python call for what it knows. What it returns is one object for all days.
class _Keys(dict[CostKey, CostKey]):
    def __missing__(self, keys: CostKey) -> CostKey:
        for name in keys:
            _check_name(name)
        self[keys] = keys
        return keys


class _Currencies(dict[str, str]):
    def __missing__(self, text: str) -> str:
        currency = self[text] = parse_currency(text)
        return currency


class _Amounts(dict[str, list[Decimal]]):
    """Exact amounts by their texts, one to a line; ValueError where one of them is no amount."""

    def of(self, costs: Sequence[_Cost]) -> list[Decimal]:
        """Return the amounts of a column."""
        return self._read([cost.Amount for cost in costs])

    def of_given(self, costs: Sequence[_Cost | _Quantity | None]) -> Sequence[Decimal | None]:
        """Return the amounts of a column, None where there is none."""
        texts = [cost.Amount for cost in costs if cost is not None]
        amounts = self._read(texts)
        if len(texts) == len(costs):
            return amounts
        rest = iter(amounts)
        return [None if cost is None else next(rest) for cost in costs]

    def _read(self, texts: Sequence[str]) -> list[Decimal]:
        amounts = self["\n".join([*texts, ""])]
        if len(amounts) != len(texts):
            raise ValueError("an amount holds a line break")
        return amounts

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
        self._parts: dict[date, list[DayCosts]] = {}
        self._known: dict[date, set[CostKey]] = {}
        self._keys = _Keys()
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

    def days(self) -> tuple[DayCosts, ...]:
        """Return the costs of every day, in the order of the window.

        Raises:
            AccountError: malformed_response: a day of the window is missing, which is not a zero.

        """
        for day in self._window:
            if day not in self._parts:
                raise MalformedError("ResultsByTime", f"does not hold the day {day}").to_account_error()
        return tuple([part for day in self._window for part in self._parts[day]])

    def _add_result(self, result: _Result, index: int) -> None:
        day = self._days[result.TimePeriod.Start, result.TimePeriod.End]
        part = self._costs_of(result, day)
        # A day may be split between two pages.
        known = self._known.setdefault(day, set())
        before = len(known)
        known.update(part.keys)
        if len(known) != before + len(part.keys):
            raise _repeated(result.Groups, day).below(f"ResultsByTime[{index}]")
        self._parts.setdefault(day, []).append(part)

    def _costs_of(self, result: _Result, day: date) -> DayCosts:
        """Return what a result holds, column by column, because a row at a time costs twice."""
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
        return DayCosts(
            usage_date=day,
            keys=[self._keys[group.Keys] for group in result.Groups],
            currencies=[self._currencies[currency] for currency in currencies],
            unblended=amounts.of(unblended),
            amortized=amounts.of(amortized),
            net_unblended=amounts.of_given(net_unblended),
            net_amortized=amounts.of_given(net_amortized),
            usage_quantity=amounts.of_given([each.UsageQuantity for each in metrics]),
            estimated=result.Estimated,
        )

    def _explain(self, body: bytes) -> MalformedError:
        return Explanation(
            metrics=METRICS,
            window=self._window,
            days=self._days,
            check_name=_check_name,
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
