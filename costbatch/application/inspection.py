"""Facts about the database itself: its size, its growth, and the privileges of its role."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from costbatch.domain.periods import month_start

# The growth is the mean of up to this many full months.
_GROWTH_MONTHS = 3
_PROJECTED_MONTHS = 12
_DAYS_OF_A_MONTH = 365.25 / 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """The privileges that the database role lacks. ``missing`` names each as GRANT does."""

    role: str
    missing: tuple[str, ...]
    is_read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthSize:
    """One month of daily costs: its first day, its rows as PostgreSQL estimates them, its size in bytes."""

    month: date
    rows: int
    bytes: int

    @property
    def bytes_per_row(self) -> int | None:
        """The bytes of a row with its share of the index; None without rows."""
        return round(self.bytes / self.rows) if self.rows else None

    def to_document(self) -> dict[str, Any]:
        """Return the month as JSON has it."""
        return {
            "month": f"{self.month:%Y-%m}",
            "rows": self.rows,
            "bytes": self.bytes,
            "bytes_per_row": self.bytes_per_row,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """One table with all its partitions. Rows are PostgreSQL's estimates.

    dead_rows: deleted rows whose space is not free yet.
    vacuumed_at: the last vacuum; None: not since the statistics began.
    """

    name: str
    rows: int
    dead_rows: int
    table_bytes: int
    index_bytes: int
    toast_bytes: int
    vacuumed_at: datetime | None = None

    @property
    def total_bytes(self) -> int:
        """All its bytes on disk."""
        return self.table_bytes + self.index_bytes + self.toast_bytes

    def to_document(self) -> dict[str, Any]:
        """Return the table as JSON has it."""
        return {
            "name": self.name,
            "rows": self.rows,
            "dead_rows": self.dead_rows,
            "table_bytes": self.table_bytes,
            "index_bytes": self.index_bytes,
            "toast_bytes": self.toast_bytes,
            "total_bytes": self.total_bytes,
            "vacuumed_at": self.vacuumed_at,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a month adds: cost rows and their bytes, and the bytes of everything else."""

    rows: int
    cost_bytes: int
    other_bytes: int

    @property
    def bytes(self) -> int:
        """The bytes that a month adds in all."""
        return self.cost_bytes + self.other_bytes

    def to_document(self) -> dict[str, Any]:
        """Return the growth as JSON has it."""
        return {"rows": self.rows, "cost_bytes": self.cost_bytes, "other_bytes": self.other_bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSizes:
    """The sizes on a UTC day.

    database_bytes: of the whole database, including tables that are not costbatch's.
    months: oldest first.
    accounts: how many are registered.
    first_run_at: the start of the oldest run that is stored.
    """

    today: date
    database_bytes: int
    tables: tuple[TableSize, ...]
    months: tuple[MonthSize, ...]
    accounts: int
    first_run_at: datetime | None

    @property
    def full_months(self) -> list[MonthSize]:
        """The last full months that have rows."""
        first, end = (month_start(self.today, months_back=n) for n in (_GROWTH_MONTHS, 0))
        return [each for each in self.months if first <= each.month < end and each.rows]

    @property
    def rows_per_account_and_day(self) -> float | None:
        """The rows of the last full month per day and registered account; None without either."""
        if not (self.full_months and self.accounts):
            return None
        newest = self.full_months[-1]
        days = monthrange(newest.month.year, newest.month.month)[1]
        return round(newest.rows / days / self.accounts, 1)

    @property
    def growth(self) -> Growth | None:
        """The mean of the last full months; None before there is one."""
        full = self.full_months
        if not full:
            return None
        others = sum(table.total_bytes for table in self.tables) - sum(month.bytes for month in self.months)
        return Growth(
            rows=round(sum(month.rows for month in full) / len(full)),
            cost_bytes=round(sum(month.bytes for month in full) / len(full)),
            other_bytes=round(others / max(self._months_of_runs(), 1)),
        )

    def projected_bytes(self, *, keep_months: int | None) -> int | None:
        """Return the size of the database in a year, in bytes; None if its growth is not known.

        keep_months: how many months runs keep; None: all.
        """
        growth = self.growth
        if growth is None:
            return None
        costs = _added_months(len([each for each in self.months if each.rows]), keep_months)
        others = _added_months(self._months_of_runs(), keep_months)
        return self.database_bytes + round(costs * growth.cost_bytes + others * growth.other_bytes)

    def to_document(self, *, keep_months: int | None) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        growth = self.growth
        return {
            "database_bytes": self.database_bytes,
            "accounts": self.accounts,
            "rows_per_account_and_day": self.rows_per_account_and_day,
            "growth_per_month": growth.to_document() if growth else None,
            "projection": {
                "months": _PROJECTED_MONTHS,
                "keep_months": keep_months,
                "database_bytes": self.projected_bytes(keep_months=keep_months),
            },
            "tables": [table.to_document() for table in self.tables],
            "months": [month.to_document() for month in self.months],
        }

    def _months_of_runs(self) -> float:
        """Return for how many months runs have been recorded."""
        if self.first_run_at is None:
            return 0
        return max((self.today - self.first_run_at.date()).days / _DAYS_OF_A_MONTH, 0)


def _added_months(now: float, keep_months: int | None) -> float:
    """Return how many months there will be more in a year; negative if pruning is still to come."""
    later = now + _PROJECTED_MONTHS
    # The current month is stored besides those that are kept.
    return (later if keep_months is None else min(later, keep_months + 1)) - now
