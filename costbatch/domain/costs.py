"""Daily cost as AWS bills it: one row per service and record type of a day."""

import pickle
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import compress
from types import MappingProxyType
from typing import NamedTuple

from costbatch.domain.periods import DateRange

# The price of one Cost Explorer request; every page is one.
REQUEST_PRICE_USD = Decimal("0.01")

# A service and a record type: the key of a row within its day.
CostKey = tuple[str, str]

# The columns of amounts, and the text of an amount that AWS leaves out.
_AMOUNTS = ("unblended", "amortized", "net_unblended", "net_amortized", "usage_quantities")
_NO_AMOUNT = str(None)


class CostBasis(StrEnum):
    """Which of AWS's four amounts is meant; the value is the column that holds it."""

    UNBLENDED = "unblended"
    AMORTIZED = "amortized"
    NET_UNBLENDED = "net_unblended"
    NET_AMORTIZED = "net_amortized"


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class CostColumns:
    """Cost rows by column: the n-th values of all columns are one row.

    A response has thousands of rows, and columns take a third of the memory and time of objects.
    Columns with the same values may be one and the same object.
    """

    usage_dates: Sequence[date]
    keys: Sequence[CostKey]
    currencies: Sequence[str]
    unblended: Sequence[Decimal]
    amortized: Sequence[Decimal]
    net_unblended: Sequence[Decimal | None]
    net_amortized: Sequence[Decimal | None]
    usage_quantities: Sequence[Decimal | None]
    estimated: Sequence[bool]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.keys)

    @property
    def parts(self) -> Iterator["CostColumns"]:
        """The rows in parts, like those of ``PackedCosts``: here one part."""
        yield self

    def days_with_cost(self) -> set[date]:
        """Return the days on which any amount is not zero."""
        columns = (self.unblended, self.amortized, self.net_unblended, self.net_amortized)
        # Columns are often the same object: each is read once.
        return {
            day
            for column in {id(column): column for column in columns}.values()
            for day, amount in zip(self.usage_dates, column, strict=True)
            if amount
        }

    def since(self, day: date) -> "CostColumns":
        """Return the rows of this day and later ones."""
        wanted = [usage_date >= day for usage_date in self.usage_dates]
        return CostColumns(
            **{column.name: [*compress(getattr(self, column.name), wanted)] for column in fields(self)}
        )

    def amounts(self, basis: CostBasis) -> Sequence[Decimal]:
        """Return the amounts of a basis; without discounts AWS gives no net amounts, so the gross ones."""
        match basis:
            case CostBasis.UNBLENDED:
                return self.unblended
            case CostBasis.AMORTIZED:
                return self.amortized
            case CostBasis.NET_UNBLENDED:
                return _first_given(self.net_unblended, self.unblended)
            case CostBasis.NET_AMORTIZED:
                return _first_given(self.net_amortized, self.amortized)


def _first_given(amounts: Sequence[Decimal | None], others: Sequence[Decimal]) -> list[Decimal]:
    return [other if amount is None else amount for amount, other in zip(amounts, others, strict=True)]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class PackedCosts:
    """Cost rows of a large response: compressed to a tenth, in parts that are small when unpacked.

    The parts can be unpacked repeatedly, for example if a transaction is retried.
    """

    packed: Sequence[bytes]
    rows: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.rows

    @property
    def parts(self) -> Iterator[CostColumns]:
        """The rows, unpacked one part at a time."""
        return map(_unpack, self.packed)

    def days_with_cost(self) -> set[date]:
        """Return the days on which any amount is not zero."""
        return set().union(*(part.days_with_cost() for part in self.parts))

    def since(self, day: date) -> "PackedCosts":
        """Return the rows of this day and later ones."""
        later = [part for part in (part.since(day) for part in self.parts) if len(part)]
        return PackedCosts([*map(pack, later)], sum(map(len, later)))


def pack(costs: CostColumns) -> bytes:
    """Return rows as a part of ``PackedCosts``; amounts are text, because Decimals are slow to pickle."""
    columns = {name: getattr(costs, name) for name in CostColumns.__dataclass_fields__}
    texts = {id(columns[name]): "\n".join(map(str, columns[name])) for name in _AMOUNTS}
    columns |= {name: texts[id(columns[name])] for name in _AMOUNTS}
    return zlib.compress(pickle.dumps(columns, pickle.HIGHEST_PROTOCOL), level=1)


def _unpack(part: bytes) -> CostColumns:
    columns = pickle.loads(zlib.decompress(part))  # noqa: S301 - made by pack, in this process
    # Pickle preserves that columns are the same object.
    texts = {id(columns[name]): columns[name] for name in _AMOUNTS}
    amounts = {
        key: [None if amount == _NO_AMOUNT else Decimal(amount) for amount in text.splitlines()]
        for key, text in texts.items()
    }
    return CostColumns(**columns | {name: amounts[id(columns[name])] for name in _AMOUNTS})


class DayDigest(NamedTuple):
    """A digest of AWS's text for a day, and how many rows are stored for it.

    is_kept: AWS reported no cost, and the rows that were stored before were kept.
    """

    digest: bytes
    rows: int
    is_kept: bool = False

    @property
    def fetched_rows(self) -> int:
        """How many rows the response has."""
        return 0 if self.is_kept else self.rows


# The digests of one account by day; a day that is absent was not requested.
DayDigests = Mapping[date, DayDigest]
NO_DIGESTS: DayDigests = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedCosts:
    """Everything that Cost Explorer reports for one account and window; never a part of it.

    digests: the digest of every day of the window.
    changed_days: the days that may differ from what is stored; None: AWS's text of every day is unchanged.
    costs: the rows of the changed days; packed if there are very many.
    """

    window: DateRange
    digests: DayDigests
    changed_days: DateRange | None
    costs: CostColumns | PackedCosts
    api_requests: int

    @property
    def rows(self) -> int:
        """How many rows the response has."""
        return sum(digest.fetched_rows for digest in self.digests.values())

    @property
    def days_kept(self) -> int:
        """How many days AWS reports no cost for, while their stored rows are kept."""
        return sum(digest.is_kept for digest in self.digests.values())

    @property
    def shown_from(self) -> date | None:
        """The first day that AWS still shows; None if it shows all, so that nothing is kept."""
        last_kept = max((day for day, digest in self.digests.items() if digest.is_kept), default=None)
        if last_kept is None:
            return None
        shown = (day for day, digest in self.digests.items() if day > last_kept and digest.rows)
        return min(shown, default=self.window.last)

    @property
    def hidden(self) -> DateRange | None:
        """The days before the first one that AWS still shows; None if nothing is kept."""
        start, end_exclusive = self.window.start, self.shown_from
        return DateRange(start, end_exclusive) if end_exclusive and start < end_exclusive else None

    @property
    def shown(self) -> set[date]:
        """The days with cost in the response."""
        return {day for day, digest in self.digests.items() if digest.fetched_rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChange:
    """What replacing a window changed; ``changed_dates`` are new, restated and vanished days."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    changed_dates: frozenset[date] = frozenset()


class StoredDay(NamedTuple):
    """The stored cost of an account for one day in one currency.

    has_cost: any amount is not zero. amount: the unblended cost, every record type together.
    """

    usage_date: date
    currency: str
    rows: int
    amount: Decimal
    has_cost: bool


class DayTotal(NamedTuple):
    """The comparable cost of a day in one currency: of an account, or of one of its services."""

    usage_date: date
    currency: str
    amount: Decimal


# By service, what each day cost.
ServiceTotals = dict[str, list[DayTotal]]
