"""Prunes old records: drops old months whole, and deletes old rows in small batches.

Every step is a transaction of its own and safe to repeat, so that pruning can be stopped at any time, and
several processes can prune at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import partial
from threading import Event as Signal
from typing import Any, Protocol, TypeVar

from costbatch.application.inspection import MonthSize, Rights
from costbatch.domain.periods import month_start
from costbatch.errors import ConfigError

T = TypeVar("T")

# Tens of milliseconds of work: the locks are not noticed.
_BATCH = 5_000
# Writers lock the row of each account that they store; fewer at a time, so that they wait only briefly.
_ACCOUNTS_BATCH = 500
# Other transactions get through between two attempts at a lock.
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.5


class OldRows(StrEnum):
    """The kinds of old rows besides costs, each by the name of its table."""

    RUN_ITEMS = "run_items"
    RUNS = "runs"
    EVENTS = "events"
    ANOMALIES = "anomalies"
    RESOURCES = "resources"
    COST_VERSIONS = "cost_versions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What pruning removes, or removed.

    first_kept: the first day whose cost is kept.
    months: the dropped ones, oldest first; their rows are estimates.
    held_up: those that were not dropped, because another transaction held a lock.
    accounts: how many have their stored days begin later.
    rows: how many were deleted, by kind.
    """

    first_kept: date
    months: tuple[MonthSize, ...] = ()
    held_up: tuple[MonthSize, ...] = ()
    accounts: int = 0
    rows: Mapping[OldRows, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to remove."""
        return not (self.months or self.held_up or self.accounts or any(self.rows.values()))

    def to_document(self) -> dict[str, Any]:
        """Return the pruning as JSON has it."""
        return {
            "first_kept_day": self.first_kept,
            "months": [month.to_document() for month in self.months],
            "held_up_months": [month.to_document() for month in self.held_up],
            "accounts": self.accounts,
            "rows": {kind.value: self.rows.get(kind, 0) for kind in OldRows},
        }


class OldRecords(Protocol):
    """The old records. Every method is a transaction of its own and may raise StorageError."""

    def utc_date(self) -> date:
        """Return the UTC date of the database's clock."""

    def rights(self, first_kept: date) -> Rights:
        """Return the privileges that pruning needs and the role lacks."""

    def months_before(self, first_kept: date) -> list[MonthSize]:
        """Return the months before the first kept day, oldest first."""

    def drop_month(self, month: MonthSize) -> MonthSize | None:
        """Drop a month, if it still exists, and return it; None if another transaction holds a lock."""

    def count_reaching_back(self, first_kept: date) -> int:
        """Return how many accounts have days before the first kept one on record."""

    def move_covered(self, first_kept: date, *, most: int) -> int | None:
        """Let the stored days of up to ``most`` accounts begin with the first kept one; return how many.

        None if another transaction holds a lock.
        """

    def count_old(self, kind: OldRows, first_kept: date) -> int:
        """Return how many rows of a kind are old."""

    def delete_old(self, kind: OldRows, first_kept: date, *, most: int) -> Mapping[OldRows, int]:
        """Delete up to ``most`` old rows of a kind that are not locked; return how many, by kind.

        A run is deleted with its items, and counts once it is deleted itself.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Keeps the current month and ``keep_months`` before it. ``stop``: set when the process is to end."""

    records: OldRecords
    keep_months: int
    check_schema: Callable[[], None]
    stop: Signal = field(default_factory=Signal)

    def first_kept_day(self, today: date) -> date:
        """Return the first day that is kept, seen from the given day or the database's if that is earlier."""
        # What is dropped is gone: the clock of one pod must not decide it alone.
        return month_start(min(today, self.records.utc_date()), months_back=self.keep_months)

    def look(self, today: date) -> Pruning:
        """Return what pruning would remove; nothing is changed."""
        self.check_schema()
        first_kept = self.first_kept_day(today)
        return Pruning(
            first_kept=first_kept,
            months=tuple(self.records.months_before(first_kept)),
            accounts=self.records.count_reaching_back(first_kept),
            rows={kind: self.records.count_old(kind, first_kept) for kind in OldRows},
        )

    def prune(self, today: date) -> Pruning:
        """Remove what is no longer kept; return what was removed, and what was held up.

        Raises:
            ConfigError: the role lacks privileges; nothing was done.
            StorageError: the connection was lost; the next pruning continues from there.

        """
        first_kept = self.first_kept_day(today)
        # First: a role without privileges cannot even read the schema's revision.
        rights = self.records.rights(first_kept)
        if rights.missing:
            raise ConfigError(
                f"The role {rights.role} cannot prune, because it lacks {', '.join(rights.missing)}; "
                "set DATABASE_URL to the role that owns the tables."
            )
        self.check_schema()
        months = self.records.months_before(first_kept)
        # Before the months are dropped: days on record must be stored at every moment.
        moved = self._move_covered(first_kept)
        dropped: list[MonthSize] = []
        # Up to the first that is held up.
        for month in months if moved is not None else ():
            if self._retrying(partial(self.records.drop_month, month)) is None:
                break
            dropped.append(month)
        return Pruning(
            first_kept=first_kept,
            months=tuple(dropped),
            held_up=tuple(month for month in months if month not in dropped),
            # Again: accounts that were being stored meanwhile may have written the old range.
            accounts=(moved or 0) + (self._move_covered(first_kept) or 0),
            rows=self._delete_old(first_kept),
        )

    def _move_covered(self, first_kept: date) -> int | None:
        """Return how many accounts were moved; None if some are held up."""
        total = 0
        while True:
            moved = self._retrying(partial(self.records.move_covered, first_kept, most=_ACCOUNTS_BATCH))
            if moved is None:
                return None
            total += moved
            if moved < _ACCOUNTS_BATCH:
                return total

    def _delete_old(self, first_kept: date) -> Mapping[OldRows, int]:
        totals = dict.fromkeys(OldRows, 0)
        for kind in (kind for kind in OldRows if kind is not OldRows.RUN_ITEMS):
            while not self.stop.is_set():
                deleted = self.records.delete_old(kind, first_kept, most=_BATCH)
                if not any(deleted.values()):
                    break
                totals |= {each: totals[each] + number for each, number in deleted.items()}
        return totals

    def _retrying(self, attempt: Callable[[], T | None]) -> T | None:
        """Try until the result is not None, with pauses for other transactions; None if it never was."""
        for _ in range(_ATTEMPTS):
            if self.stop.is_set():
                return None
            done = attempt()
            if done is not None:
                return done
            self.stop.wait(_PAUSE_SECONDS)
        return None
