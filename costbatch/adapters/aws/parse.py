"""The body of a Cost Explorer answer to costs: pure, strict, and fast, for it holds thousands of rows.

Whatever is not as documented is refused with the place where it stands; nothing is guessed or filled in.
"""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from itertools import chain

import msgspec

from costbatch.adapters.aws.malformed import Explanation, MalformedError, shown
from costbatch.domain.costs import CostColumns, CostKey
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


class _Amounts:
    """Exact amounts by column; ValueError where one of them is no amount."""

    def __init__(self) -> None:
        self._read: list[tuple[list[str], list[Decimal]]] = []

    def of(self, costs: Sequence[_Cost]) -> list[Decimal]:
        """Return the amounts of a column."""
        return self._of([cost.Amount for cost in costs])

    def of_given(self, costs: Sequence[_Cost | _Quantity | None]) -> Sequence[Decimal | None]:
        """Return the amounts of a column, None where there is none."""
        texts = [cost.Amount for cost in costs if cost is not None]
        amounts = self._of(texts)
        if len(texts) == len(costs):
            return amounts
        rest = iter(amounts)
        return [None if cost is None else next(rest) for cost in costs]

    def _of(self, texts: list[str]) -> list[Decimal]:
        # Where an account has neither discounts nor commitments, its columns are all alike.
        for known, amounts in self._read:
            if known == texts:
                return amounts
        lines = "\n".join([*texts, ""])
        if lines.count("\n") != len(texts):
            raise ValueError("an amount holds a line break")
        read = Decimal if _are_plain(lines) else parse_amount
        amounts = list(map(read, texts))
        self._read.append((texts, amounts))
        return amounts


class CostAnswer:
    """Gathers the pages of one answer. Not for several threads."""

    def __init__(self, window: DateRange) -> None:
        self._window = window
        # Looking the texts up is faster than parsing dates, and stricter: there is one spelling of each day.
        self._days = {(day.isoformat(), (day + ONE_DAY).isoformat()): day for day in window}
        self._known: dict[date, set[CostKey]] = {}
        self._keys = _Keys()
        self._currencies = _Currencies()
        self._pages: list[CostColumns] = []

    def add_page(self, body: bytes) -> str | None:
        """Take the body of a page; return the token of the next one, None after the last.

        Raises:
            AccountError: malformed_response, naming the place.

        """
        try:
            page = _read(body)
            self._pages.append(self._columns_of(page.ResultsByTime))
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

    def costs(self) -> CostColumns:
        """Return the costs of all pages.

        Raises:
            AccountError: malformed_response: a day of the window is missing, which is not a zero.

        """
        for day in self._window:
            if day not in self._known:
                raise MalformedError("ResultsByTime", f"does not hold the day {day}").to_account_error()
        return self._pages[0] if len(self._pages) == 1 else _joined(self._pages)

    def _columns_of(self, results: Sequence[_Result]) -> CostColumns:
        """Return what a page holds, column by column, because a row at a time costs twice."""
        usage_dates: list[date] = []
        estimated: list[bool] = []
        keys: list[CostKey] = []
        metrics: list[_Metrics] = []
        for index, result in enumerate(results):
            day = self._days[result.TimePeriod.Start, result.TimePeriod.End]
            usage_dates += [day] * len(result.Groups)
            estimated += [result.Estimated] * len(result.Groups)
            keys += self._keys_of(result.Groups, day, index)
            metrics += [group.Metrics for group in result.Groups]
        unblended = [each.UnblendedCost for each in metrics]
        amortized = [each.AmortizedCost for each in metrics]
        net_unblended = [each.NetUnblendedCost for each in metrics]
        net_amortized = [each.NetAmortizedCost for each in metrics]
        currencies = [cost.Unit for cost in unblended]
        for costs in (amortized, net_unblended, net_amortized):
            _check_units(costs, currencies)
        amounts = _Amounts()
        return CostColumns(
            usage_dates=usage_dates,
            keys=keys,
            currencies=[self._currencies[currency] for currency in currencies],
            unblended=amounts.of(unblended),
            amortized=amounts.of(amortized),
            net_unblended=amounts.of_given(net_unblended),
            net_amortized=amounts.of_given(net_amortized),
            usage_quantities=amounts.of_given([each.UsageQuantity for each in metrics]),
            estimated=estimated,
        )

    def _keys_of(self, groups: Sequence[_Group], day: date, index: int) -> list[CostKey]:
        keys = [self._keys[group.Keys] for group in groups]
        # A day may be split between two pages.
        known = self._known.setdefault(day, set())
        before = len(known)
        known.update(keys)
        if len(known) != before + len(keys):
            raise _repeated(keys, day).below(f"ResultsByTime[{index}]")
        return keys

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


def _repeated(keys: Sequence[CostKey], day: date) -> MalformedError:
    """Return where a group stands that an earlier one, here or on a page before, has the keys of."""
    index = next((index for index, each in enumerate(keys) if each in keys[:index]), 0)
    return MalformedError(f"Groups[{index}].Keys", f"repeats {shown(keys[index][0])} on {day}")


def _joined(pages: Sequence[CostColumns]) -> CostColumns:
    """Return several pages as one."""
    names = CostColumns.__dataclass_fields__
    columns = {name: [*chain.from_iterable(getattr(page, name) for page in pages)] for name in names}
    return CostColumns(**columns)
