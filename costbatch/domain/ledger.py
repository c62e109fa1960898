"""The ledger of restatements: what each night changed of the stored costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from costbatch.domain.detection import ZERO
from costbatch.domain.periods import DateRange


class CostValues(NamedTuple):
    """What AWS may restate of a row."""

    unblended: Decimal
    amortized: Decimal
    net_unblended: Decimal | None
    net_amortized: Decimal | None
    usage_quantity: Decimal | None
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCost:
    """One row of the daily costs, as it is or was."""

    aws_account_id: str
    usage_date: date
    service: str
    record_type: str
    currency: str
    values: CostValues


@dataclass(frozen=True, slots=True, kw_only=True)
class CostChange:
    """What one night changed of one row. old: None if the row is new. new: None if it was deleted."""

    night: date
    run_id: UUID
    aws_account_id: str
    account_name: str
    usage_date: date
    service: str
    record_type: str
    currency: str
    old: CostValues | None
    new: CostValues | None

    @property
    def difference(self) -> Decimal:
        """By how much the unblended cost became larger."""
        old, new = (values.unblended if values else ZERO for values in (self.old, self.new))
        return new - old


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeQuery:
    """Which changes are asked for: of nights from ``since`` on, of at least ``least`` in any currency."""

    since: date
    aws_account_ids: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    least: Decimal = ZERO


class Amount(NamedTuple):
    """A row of the daily costs by its key. is_compared: whether its record type counts for anomalies."""

    usage_date: date
    service: str
    record_type: str
    currency: str
    is_compared: bool


class AmountChange(NamedTuple):
    """What a run changed of a row's comparable amount; None: there was, or is, no such row."""

    run_id: UUID
    row: Amount
    old: Decimal | None
    new: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCollection:
    """A collection of an account: its run, the run's day, and the days that it read.

    days_kept: how many of the first stored days AWS no longer showed.
    """

    run_id: UUID
    today: date
    window: DateRange
    is_backfill: bool
    days_kept: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHistory:
    """All that is known of how an account's stored costs became what they are.

    stored: as they are now. changes, collections: in their order.
    first_run: the run that stored the first costs; None if that is not known.
    """

    stored: Sequence[tuple[Amount, Decimal]]
    changes: Sequence[AmountChange]
    collections: Sequence[PastCollection]
    first_run: UUID | None
