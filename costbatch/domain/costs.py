"""Daily cost as AWS bills it: one row per service and record type of a day."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from costbatch.domain.periods import DateRange

# The price of one Cost Explorer request; every page is one.
REQUEST_PRICE_USD = Decimal("0.01")

# A service and a record type: what tells the rows of a day apart.
CostKey = tuple[str, str]


class CostBasis(StrEnum):
    """Which of AWS's four amounts is meant; the value is the column that holds it."""

    UNBLENDED = "unblended"
    AMORTIZED = "amortized"
    NET_UNBLENDED = "net_unblended"
    NET_AMORTIZED = "net_amortized"


class CostRow(NamedTuple):
    """One service and record type of one account on one UTC day; amounts are exact and may be negative.

    The net amounts and the quantity are None where AWS gives none.
    """

    usage_date: date
    service: str
    record_type: str
    currency: str
    unblended: Decimal
    amortized: Decimal
    net_unblended: Decimal | None
    net_amortized: Decimal | None
    usage_quantity: Decimal | None
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCosts:
    """The cost rows of one UTC day, or of a part of it, by column: the n-th of each belong together.

    An answer holds thousands of rows, and columns cost a third of what as many objects would.
    Columns that are alike may be one and the same.
    """

    usage_date: date
    keys: Sequence[CostKey]
    currencies: Sequence[str]
    unblended: Sequence[Decimal]
    amortized: Sequence[Decimal]
    net_unblended: Sequence[Decimal | None]
    net_amortized: Sequence[Decimal | None]
    usage_quantity: Sequence[Decimal | None]
    estimated: bool

    def amounts(self, basis: CostBasis) -> Sequence[Decimal]:
        """Return a column of amounts; without discounts AWS gives no net amounts, and the others count."""
        match basis:
            case CostBasis.UNBLENDED:
                return self.unblended
            case CostBasis.AMORTIZED:
                return self.amortized
            case CostBasis.NET_UNBLENDED:
                return _first_given(self.net_unblended, self.unblended)
            case CostBasis.NET_AMORTIZED:
                return _first_given(self.net_amortized, self.amortized)

    def rows(self) -> Iterator[CostRow]:
        """Return the rows one by one."""
        columns = (
            self.currencies,
            self.unblended,
            self.amortized,
            self.net_unblended,
            self.net_amortized,
            self.usage_quantity,
        )
        for (service, record_type), *values in zip(self.keys, *columns, strict=True):
            yield CostRow._make((self.usage_date, service, record_type, *values, self.estimated))


@dataclass(frozen=True, kw_only=True)
class FetchedCosts:
    """Everything that Cost Explorer reports of one account for a window: complete, or it is not made.

    days: in the order of the window; a day may come in parts.
    """

    window: DateRange
    days: tuple[DayCosts, ...]
    api_requests: int

    @cached_property
    def row_count(self) -> int:
        """How many cost rows there are."""
        return sum(len(day.keys) for day in self.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChange:
    """What replacing a window did to the database; ``changed_dates`` are new, restated and vanished days."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    changed_dates: frozenset[date] = frozenset()


class DayTotal(NamedTuple):
    """The comparable cost of a day in one currency: of an account, or of one of its services."""

    usage_date: date
    currency: str
    amount: Decimal


def _first_given(amounts: Sequence[Decimal | None], others: Sequence[Decimal]) -> list[Decimal]:
    return [other if amount is None else amount for amount, other in zip(amounts, others, strict=True)]
