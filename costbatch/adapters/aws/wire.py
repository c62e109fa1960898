"""The wire format of Cost Explorer's answers to costs: typed as documented, strict, read without a guess."""

import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from costbatch.domain.costs import CostKey
from costbatch.domain.money import parse_amount, parse_currency

_LONGEST_NAME = 1000
# PostgreSQL stores neither NUL nor half a surrogate pair; other control characters have no place in a name.
_UNFIT_FOR_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# The usual form of amounts, several of them, one to a line. Their size is within what parse_amount allows, so
# Decimal alone reads them the same at a quarter of the cost; a test holds the two against each other.
_are_plain = re.compile(r"(?:-?+[0-9]{1,18}+(?:\.[0-9]{1,20}+)?+(?:[eE]-1?[0-9])?+\n)*+").fullmatch


class Quantity(msgspec.Struct, gc=False):
    """A sum over mixed units, as Cost Explorer gives it."""

    Amount: str
    Unit: str | None = None


class Cost(msgspec.Struct, gc=False):
    """An amount of money."""

    Amount: str
    Unit: str


class Metrics(msgspec.Struct, gc=False):
    """The amounts of one service and record type on one day."""

    UnblendedCost: Cost
    AmortizedCost: Cost
    # AWS leaves the net amounts out where an account has no discounts.
    NetUnblendedCost: Cost | None = None
    NetAmortizedCost: Cost | None = None
    UsageQuantity: Quantity | None = None


METRICS = Metrics.__struct_fields__


class Group(msgspec.Struct, gc=False):
    """One service and record type on one day."""

    Keys: CostKey
    Metrics: Metrics


class Period(msgspec.Struct, gc=False):
    """A day, and the one after it."""

    Start: str
    End: str


class Result(msgspec.Struct, gc=False):
    """What a page says of a day; the groups are a text until somebody reads them."""

    TimePeriod: Period
    Groups: msgspec.Raw
    Estimated: bool


class Page(msgspec.Struct, gc=False):
    """One page of an answer."""

    ResultsByTime: list[Result]
    NextPageToken: str | None = None


read_page = msgspec.json.Decoder(Page).decode
read_groups = msgspec.json.Decoder(list[Group]).decode


def check_name(text: str) -> None:
    """Raise ValueError where a text cannot be the name of a service or a record type."""
    if not 0 < len(text) <= _LONGEST_NAME:
        raise ValueError(f"a name must have 1 to {_LONGEST_NAME:,} characters")
    if _UNFIT_FOR_NAME.search(text):
        raise ValueError("a name must not hold control characters")


# These repeat within an answer: each is checked once, and a dictionary that fills itself costs no Python
# call for what it knows. What it returns is one object for all days.
class Keys(dict[CostKey, CostKey]):
    """Services and record types by themselves; ValueError where one is no name."""

    def __missing__(self, keys: CostKey) -> CostKey:
        for name in keys:
            check_name(name)
        self[keys] = keys
        return keys


class Currencies(dict[str, str]):
    """Currencies by themselves; ValueError where one is none."""

    def __missing__(self, text: str) -> str:
        currency = self[text] = parse_currency(text)
        return currency


class Amounts:
    """Exact amounts by column; ValueError where one of them is no amount."""

    def __init__(self) -> None:
        self._read: list[tuple[list[str], list[Decimal]]] = []

    def of(self, costs: Sequence[Cost]) -> list[Decimal]:
        """Return the amounts of a column."""
        return self._of([cost.Amount for cost in costs])

    def of_given(self, costs: Sequence[Cost | Quantity | None]) -> Sequence[Decimal | None]:
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


def check_units(costs: Sequence[Cost | None], currencies: Sequence[str]) -> None:
    """Raise ValueError where a column of amounts is not in the currencies of its groups."""
    if None in costs:
        currencies = [unit for cost, unit in zip(costs, currencies, strict=True) if cost is not None]
    if [cost.Unit for cost in costs if cost is not None] != currencies:
        raise ValueError("one group has amounts in two currencies")
