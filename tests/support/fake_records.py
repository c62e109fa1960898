"""Old rows in memory, for the tests of pruning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from costbatch.application.inspection import MonthSize, Rights
from costbatch.application.retention import OldRows

JANUARY, FEBRUARY = (MonthSize(month=date(2025, n, 1), rows=10 * n, bytes=8192) for n in (1, 2))


@dataclass
class FakeRecords:
    """Old things in memory. ``held`` names how often each step finds somebody in the way."""

    months: list[MonthSize] = field(default_factory=lambda: [JANUARY, FEBRUARY])
    accounts: int = 0
    old: dict[OldRows, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    held: dict[str, int] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    after_each: Callable[[], object] = lambda: None
    database_date: date = date.max

    def utc_date(self) -> date:
        """Return the day of the database's clock."""
        return self.database_date

    def rights(self, first_kept: date) -> Rights:
        """Tell what the role lacks."""
        return Rights(role="reader", missing=self.missing)

    def months_before(self, first_kept: date) -> list[MonthSize]:
        """Return the months."""
        return [month for month in self.months if month.month < first_kept]

    def drop_month(self, month: MonthSize) -> MonthSize | None:
        """Drop a month."""
        if self._is_held("drop"):
            return None
        self._note(f"drop {month.month:%B}")
        self.months = [each for each in self.months if each != month]
        return month

    def count_reaching_back(self, first_kept: date) -> int:
        """Count the accounts."""
        return self.accounts

    def move_covered(self, first_kept: date, *, most: int) -> int | None:
        """Move some accounts."""
        if self._is_held("move"):
            return None
        moved = min(self.accounts, most)
        self._note(f"move {moved}")
        self.accounts -= moved
        return moved

    def count_old(self, kind: OldRows, first_kept: date) -> int:
        """Count the rows."""
        return self.old.get(kind, 0)

    def delete_old(self, kind: OldRows, first_kept: date, *, most: int) -> Mapping[OldRows, int]:
        """Delete some rows."""
        deleted = min(self.old.get(kind, 0), most)
        self._note(f"delete {deleted} {kind}")
        self.old[kind] = self.old.get(kind, 0) - deleted
        return {kind: deleted, OldRows.RUN_ITEMS: 2 * deleted} if kind is OldRows.RUNS else {kind: deleted}

    def _is_held(self, step: str) -> bool:
        self.held[step] = self.held.get(step, 0) - 1
        return self.held[step] >= 0

    def _note(self, step: str) -> None:
        self.steps.append(step)
        self.after_each()
