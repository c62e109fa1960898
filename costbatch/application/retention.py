"""The story of what is no longer kept: old months are dropped whole, old rows go in small batches.

Every step is a transaction of its own and harmless to repeat, so that a pruning can be stopped anywhere, and
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

# Some ten milliseconds' work: nobody notices the locks.
_BATCH = 5_000
# An account's row is locked by whoever stores its costs; fewer at a time, so that nobody waits for many.
_ACCOUNTS_BATCH = 500
# Between two attempts at a lock everybody else gets through.
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.5


class OldRows(StrEnum):
    """What is old besides costs."""

    RUN_ITEMS = "run_items"
    RUNS = "runs"
    EVENTS = "events"
    ANOMALIES = "anomalies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What a pruning takes away, or took.

    first_kept: the first day whose cost stays.
    months: those dropped, oldest first; their rows are estimates.
    held_up: those that stay for now, because somebody's transaction was in the way.
    accounts: how many have their stored days begin later.
    rows: how many went of each table.
    """

    first_kept: date
    months: tuple[MonthSize, ...] = ()
    held_up: tuple[MonthSize, ...] = ()
    accounts: int = 0
    rows: Mapping[OldRows, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to take."""
        return not (self.months or self.held_up or self.accounts or any(self.rows.values()))

    def to_document(self) -> dict[str, Any]:
        """Return the pruning, JSON-ready."""
        return {
            "first_kept_day": self.first_kept,
            "months": [month.to_document() for month in self.months],
            "held_up_months": [month.to_document() for month in self.held_up],
            "accounts": self.accounts,
            "rows": {kind.value: self.rows.get(kind, 0) for kind in OldRows},
        }


class OldRecords(Protocol):
    """What is stored of the past. Every method is a transaction of its own and may raise StorageError."""

    def rights(self, first_kept: date) -> Rights:
        """Return what the role may not do that a pruning must."""

    def months_before(self, first_kept: date) -> list[MonthSize]:
        """Return the months that lie wholly before a first of a month, oldest first."""

    def drop_month(self, month: MonthSize) -> MonthSize | None:
        """Drop a month, if it is still there, and return it.

        None where somebody's transaction is in the way.
        """

    def count_reaching_back(self, first_kept: date) -> int:
        """Return how many accounts have days before the first kept one stored without a gap."""

    def move_covered(self, first_kept: date, *, most: int) -> int | None:
        """Let up to ``most`` accounts have their days stored from the first kept one on; return how many.

        None where somebody's transaction is in the way.
        """

    def count_old(self, kind: OldRows, first_kept: date) -> int:
        """Return how many rows of a kind are old."""

    def delete_old(self, kind: OldRows, first_kept: date, *, most: int) -> Mapping[OldRows, int]:
        """Delete up to ``most`` old rows of a kind that nobody works on; return how many, by kind.

        A run goes with its items.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Keeps the current month and so many whole ones before it. ``stop``: set when the process is to end."""

    records: OldRecords
    keep_months: int
    check_schema: Callable[[], None]
    stop: Signal = field(default_factory=Signal)

    def first_kept_day(self, today: date) -> date:
        """Return the first day that stays stored."""
        return month_start(today, months_back=self.keep_months)

    def look(self, today: date) -> Pruning:
        """Return what a pruning would take; nothing is changed."""
        self.check_schema()
        first_kept = self.first_kept_day(today)
        return Pruning(
            first_kept=first_kept,
            months=tuple(self.records.months_before(first_kept)),
            accounts=self.records.count_reaching_back(first_kept),
            rows={kind: self.records.count_old(kind, first_kept) for kind in OldRows},
        )

    def prune(self, today: date) -> Pruning:
        """Take away what is no longer kept; return what went, and what is held up.

        Raises:
            ConfigError: the role may not do it; nothing was done.
            StorageError: the database is lost; what went is gone, and the next pruning goes on.

        """
        first_kept = self.first_kept_day(today)
        # First, because a role that may do nothing cannot even read the schema's version.
        self._check_rights(first_kept)
        self.check_schema()
        months = self.records.months_before(first_kept)
        # What is called stored without a gap must be so at every moment, so this comes before the months.
        moved = self._move_covered(first_kept)
        dropped = self._drop(months) if moved is not None else []
        return Pruning(
            first_kept=first_kept,
            months=tuple(dropped),
            held_up=tuple(month for month in months if month not in dropped),
            # Whoever was being stored meanwhile has written what it had read before.
            accounts=(moved or 0) + (self._move_covered(first_kept) or 0),
            rows=self._delete_old(first_kept),
        )

    def _check_rights(self, first_kept: date) -> None:
        rights = self.records.rights(first_kept)
        if rights.missing:
            raise ConfigError(
                f"The role {rights.role} may not prune, because it lacks {', '.join(rights.missing)}; "
                "let DATABASE_URL name the role that owns the tables."
            )

    def _move_covered(self, first_kept: date) -> int | None:
        """Return how many accounts were moved; None where not all could be."""
        total = 0
        while True:
            moved = self._patiently(partial(self.records.move_covered, first_kept, most=_ACCOUNTS_BATCH))
            if moved is None:
                return None
            total += moved
            if moved < _ACCOUNTS_BATCH:
                return total

    def _drop(self, months: list[MonthSize]) -> list[MonthSize]:
        """Return the months that were dropped; where one is held up, so are those after it."""
        for number, month in enumerate(months):
            if self._patiently(partial(self.records.drop_month, month)) is None:
                return months[:number]
        return months

    def _delete_old(self, first_kept: date) -> Mapping[OldRows, int]:
        totals = dict.fromkeys(OldRows, 0)
        for kind in (OldRows.RUNS, OldRows.EVENTS, OldRows.ANOMALIES):
            while not self.stop.is_set():
                deleted = self.records.delete_old(kind, first_kept, most=_BATCH)
                if not any(deleted.values()):
                    break
                totals |= {each: totals[each] + number for each, number in deleted.items()}
        return totals

    def _patiently(self, attempt: Callable[[], T | None]) -> T | None:
        """Try something until it is not None, with pauses for everybody else; None where it never was."""
        for _ in range(_ATTEMPTS):
            if self.stop.is_set():
                return None
            done = attempt()
            if done is not None:
                return done
            self.stop.wait(_PAUSE_SECONDS)
        return None
