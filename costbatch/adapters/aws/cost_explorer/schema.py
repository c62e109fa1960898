"""The schema of Cost Explorer's responses: typed as documented, and strict."""

import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from costbatch.domain.costs import CostKey
from costbatch.domain.money import is_currency, parse_amount, parse_currency

_LONGEST_NAME = 1000
# PostgreSQL stores neither NUL nor half a surrogate pair; other control characters have no place in a name.
_UNFIT_FOR_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Several amounts in the usual form, one to a line. They are within parse_amount's limits, so that Decimal
# alone reads the same in a quarter of the time; a test compares the two.
_are_plain = re.compile(r"(?:-?+[0-9]{1,18}+(?:\.[0-9]{1,20}+)?+(?:[eE]-1?[0-9])?+\n)*+").fullmatch


class Quantity(msgspec.Struct, gc=False):
    """A sum over mixed units."""

    Amount: str
    Unit: str | None = None


class Cost(msgspec.Struct, gc=False):
    """An amount of money. The unit of a zero can be "N/A", empty or absent."""

    Amount: str
    Unit: str | None = None


class Metrics(msgspec.Struct, gc=False):
    """The amounts of one service and record type on one day."""

    UnblendedCost: Cost
    AmortizedCost: Cost
    # AWS leaves the net amounts out if an account has no discounts.
    NetUnblendedCost: Cost | None = None
    NetAmortizedCost: Cost | None = None
    UsageQuantity: Quantity | None = None


METRICS = Metrics.__struct_fields__
COST_METRICS = frozenset(METRICS) - {"UsageQuantity"}
# The currency of a group whose costs are all zero.
NO_CURRENCY = ""


class Group(msgspec.Struct, gc=False):
    """One service and record type on one day."""

    Keys: CostKey
    Metrics: Metrics


class Period(msgspec.Struct, gc=False):
    """A day, and the one after it."""

    Start: str
    End: str


class Result(msgspec.Struct, gc=False):
    """A day of a page; its groups and its total are texts until they are parsed."""

    TimePeriod: Period
    Groups: msgspec.Raw
    Estimated: bool
    # AWS leaves it empty if there are groups, and sends zeros for a day without cost.
    Total: msgspec.Raw = msgspec.Raw(b"null")


class Page(msgspec.Struct, gc=False):
    """One page of a response."""

    ResultsByTime: list[Result]
    NextPageToken: str | None = None


read_page = msgspec.json.Decoder(Page).decode
read_groups = msgspec.json.Decoder(list[Group]).decode
read_total = msgspec.json.Decoder(dict[str, Quantity] | None).decode


def check_name(text: str) -> None:
    """Raise ValueError if a text cannot be the name of a service or a record type."""
    if not 0 < len(text) <= _LONGEST_NAME:
        raise ValueError(f"a name must have 1 to {_LONGEST_NAME:,} characters")
    if _UNFIT_FOR_NAME.search(text):
        raise ValueError("a name must not contain control characters")


# These repeat within a response: each is checked once. A dictionary that fills itself takes no Python call
# for a known key, and returns the same object for all days.
class Keys(dict[CostKey, CostKey]):
    """Each service and record type by itself; ValueError if one is not a name."""

    def __missing__(self, keys: CostKey) -> CostKey:
        for name in keys:
            check_name(name)
        self[keys] = keys
        return keys


class Currencies(dict[str | None, str]):
    """Each currency by itself; ValueError if one is not a currency."""

    def __missing__(self, text: str | None) -> str:
        currency = self[text] = parse_currency(text)
        return currency

    def of(self, unblended: Sequence[Cost], *others: Sequence[Cost | None]) -> list[str]:
        """Return the currency of each group; NO_CURRENCY if its costs are all zero and have none."""
        units = [cost.Unit for cost in unblended]
        try:
            if all(_are_in(units, costs) for costs in others):
                return [self[unit] for unit in units]
        except ValueError:
            # A unit is not a currency, which is allowed if its amount is zero.
            pass
        return [self._of_group(costs) for costs in zip(unblended, *others, strict=True)]

    def _of_group(self, costs: Sequence[Cost | None]) -> str:
        """Return the one currency of the costs that are not zero, or else the currency of a zero."""
        given = [cost for cost in costs if cost is not None]
        currencies = {self[cost.Unit] for cost in given if parse_amount(cost.Amount)}
        if len(currencies) > 1:
            raise ValueError("one group has amounts in two currencies")
        named = (cost.Unit for cost in given if cost.Unit is not None and is_currency(cost.Unit))
        return currencies.pop() if currencies else next(named, NO_CURRENCY)


def _are_in(units: Sequence[str | None], costs: Sequence[Cost | None]) -> bool:
    if None in costs:
        units = [unit for cost, unit in zip(costs, units, strict=True) if cost is not None]
    return [cost.Unit for cost in costs if cost is not None] == units


class Amounts:
    """Exact amounts by column; ValueError if one is not an amount."""

    def __init__(self) -> None:
        self._read: list[tuple[list[str], list[Decimal]]] = []

    def of(self, costs: Sequence[Cost]) -> list[Decimal]:
        """Return the amounts of a column."""
        return self._of([cost.Amount for cost in costs])

    def of_given(self, costs: Sequence[Cost | Quantity | None]) -> Sequence[Decimal | None]:
        """Return the amounts of a column; None for those left out."""
        texts = [cost.Amount for cost in costs if cost is not None]
        amounts = self._of(texts)
        if len(texts) == len(costs):
            return amounts
        rest = iter(amounts)
        return [None if cost is None else next(rest) for cost in costs]

    def _of(self, texts: list[str]) -> list[Decimal]:
        # If an account has neither discounts nor commitments, all its columns are the same.
        for earlier, amounts in self._read:
            if earlier == texts:
                return amounts
        lines = "\n".join([*texts, ""])
        if lines.count("\n") != len(texts):
            raise ValueError("an amount contains a line break")
        read = Decimal if _are_plain(lines) else parse_amount
        amounts = list(map(read, texts))
        self._read.append((texts, amounts))
        return amounts
