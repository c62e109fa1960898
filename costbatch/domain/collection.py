"""The cost job's own words: what a run of it was asked for, and what it did for an account."""

from dataclasses import dataclass, field
from typing import Any

from costbatch.domain.costs import StoredChange
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import RunRequest

# The name of the cost job.
COLLECT = "collect"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectOptions:
    """What a run of the cost job was asked for, besides its accounts.

    days: a backfill; None: the ordinary window of each account.
    accept_vanished: whether to accept that AWS reports no cost for any number of stored days.
    """

    days: DateRange | None = None
    accept_vanished: bool = False

    def to_request(self, aws_account_ids: tuple[str, ...] = ()) -> RunRequest:
        """Return the request of a run."""
        options: dict[str, Any] = {}
        if self.days is not None:
            options["days"] = self.days.to_document()
        if self.accept_vanished:
            options["accept_vanished"] = True
        return RunRequest(job=COLLECT, aws_account_ids=aws_account_ids, options=options)

    @classmethod
    def of(cls, request: RunRequest) -> "CollectOptions":
        """Return the options of a run's request."""
        days = request.options.get("days")
        return cls(
            days=DateRange.from_document(days) if days else None,
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
