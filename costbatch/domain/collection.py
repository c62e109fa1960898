"""The cost job's own words: what a run of it was asked for, and what it did for an account."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from costbatch.domain.costs import StoredChange
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.runs import RunRequest

# The name of the cost job.
COLLECT = "collect"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectOptions:
    """What a run of the cost job was asked for, besides its accounts.

    days: a backfill. since: a backfill from this day to the one before the run's. Neither: the ordinary
    window of each account.
    accept_vanished: whether to accept that AWS reports no cost for any number of stored days.
    """

    days: DateRange | None = None
    since: date | None = None
    accept_vanished: bool = False

    @property
    def is_backfill(self) -> bool:
        """Whether certain days were asked for."""
        return self.days is not None or self.since is not None

    def days_of(self, today: date) -> DateRange | None:
        """Return the days that a run of ``today`` was asked for: at least one, which may not be over."""
        return self.days if self.since is None else DateRange(self.since, max(today, self.since + ONE_DAY))

    def to_request(self, aws_account_ids: tuple[str, ...] = ()) -> RunRequest:
        """Return the request of a run."""
        options: dict[str, Any] = {}
        if self.days is not None:
            options["days"] = self.days.to_document()
        elif self.since is not None:
            # A retry after midnight has the request of its run only if neither holds the day.
            options["days"] = {"start": self.since.isoformat()}
        if self.accept_vanished:
            options["accept_vanished"] = True
        return RunRequest(job=COLLECT, aws_account_ids=aws_account_ids, options=options)

    @classmethod
    def of(cls, request: RunRequest) -> "CollectOptions":
        """Return the options of a run's request."""
        days = request.options.get("days", {})
        return cls(
            days=DateRange.from_document(days) if "end_exclusive" in days else None,
            since=date.fromisoformat(days["start"]) if days and "end_exclusive" not in days else None,
            accept_vanished=bool(request.options.get("accept_vanished")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionRecord:
    """What the cost job did for one account of a run. days_kept: stored days that AWS no longer reports."""

    window: DateRange
    rows_fetched: int
    change: StoredChange
    days_kept: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionCounts:
    """What the cost job did for all accounts of a run.

    days_read: from the first to the last day that was read of any account that was collected.
    """

    rows_fetched: int = 0
    change: StoredChange = field(default_factory=StoredChange)
    days_kept: int = 0
    days_read: DateRange | None = None
