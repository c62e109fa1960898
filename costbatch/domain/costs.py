"""Daily cost as AWS bills it: one row per service and record type of a day."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from costbatch.domain.periods import DateRange

# The price of one Cost Explorer request; every page is one.
REQUEST_PRICE_USD = Decimal("0.01")


class CostBasis(StrEnum):
    """Which of AWS's four amounts is meant; the value is the column that holds it."""

    UNBLENDED = "unblended"
    AMORTIZED = "amortized"
    NET_UNBLENDED = "net_unblended"
    NET_AMORTIZED = "net_amortized"


class CostRow(NamedTuple):
    """One service and record type of one account on one UTC day; amounts are exact and may be negative.

    A tuple, because an answer holds thousands. The net amounts are None where AWS gives none.
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
class FetchedCosts:
    """Everything that Cost Explorer reports of one account for a window: complete, or it is not made."""

    window: DateRange
    rows: tuple[CostRow, ...]
    api_requests: int


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
