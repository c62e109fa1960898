"""What a detector is: the seam between the cost job and the rules by which days are judged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account, Progress
from costbatch.domain.anomalies import Anomaly, AnomalyChange
from costbatch.domain.costs import DayTotal, FetchedCosts, StoredChange
from costbatch.domain.expectations import Expectation
from costbatch.domain.periods import DateRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """An account whose window was just replaced.

    progress: what was stored before. totals: what the window cost before, on the days that did not change.
    shown_from: the first day that AWS still shows; None: all, nothing is kept. unknown: see ``Progress``.
    """

    account: Account
    progress: Progress
    fetched: FetchedCosts
    change: StoredChange
    totals: Sequence[DayTotal]
    shown_from: date | None = None
    unknown: frozenset[date] = frozenset()

    @property
    def covered(self) -> DateRange | None:
        """What was stored without a gap before."""
        return self.progress.covered

    @property
    def continues(self) -> bool:
        """Whether the window continues what is stored already."""
        return self.covered is not None and self.covered.touches(self.fetched.window)

    @property
    def stored(self) -> DateRange:
        """The days around the window that are stored without a gap: outside nothing is known, not zero."""
        window = self.fetched.window
        return self.covered.join(window) if self.covered and self.continues else window

    @property
    def judged_from(self) -> date:
        """The first day to judge: of days that AWS hides, a part of the cost may be missing for ever."""
        return max(self.stored.start, self.shown_from or self.stored.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """The run that judges. now: when its events say that it happened."""

    today: date
    run_id: UUID
    now: datetime
    is_backfill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a detector says of one account.

    changes: of its anomalies. expectations: of the days that it judged. known: the anomalies as they were.
    history: the currencies whose days were judged for the first time, long after they were new.
    """

    changes: Sequence[AnomalyChange] = ()
    expectations: Sequence[Expectation] = ()
    known: Sequence[Anomaly] = ()
    history: Collection[str] = ()


class Detector(Protocol):
    """A rule by which days are judged. What it remembers, it stores in the transaction that it is given."""

    def judge(self, tx: Transaction, accounts: Sequence[Replaced], night: Night) -> dict[int, Verdict]:
        """Judge the days that each collection touched; return a verdict for each account row.

        The same stored costs give the same verdict, however often a night is repeated.
        """

    def learners(
        self, tx: Transaction, accounts: Collection[Account], newest: Mapping[int, date]
    ) -> set[int]:
        """Return the rows of the accounts whose whole history is read: few of them are saved together.

        newest: the newest stored day, by account row.
        """
