"""The report of a run: its summary, its metrics and its event are all made from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from costbatch.domain.anomalies import Anomaly
from costbatch.domain.collection import CollectionCounts, CollectionRecord, CollectOptions
from costbatch.domain.compared_costs import CostSummary
from costbatch.domain.costs import REQUEST_PRICE_USD, DayTotal, StoredChange
from costbatch.domain.events import EventType, anomaly_data
from costbatch.domain.periods import ONE_DAY, DateRange, instant
from costbatch.domain.runs import UNFINISHED, ItemRecord, ItemState, Run, RunCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyView:
    """An anomaly with its account, and the daily cost up to it."""

    anomaly: Anomaly
    aws_account_id: str
    account_name: str
    trend: tuple[DayTotal, ...] = ()
    is_new: bool = False


# The states of accounts in the words of the cost job.
_STATES = {
    ItemState.PENDING: "pending",
    ItemState.RUNNING: "collecting",
    ItemState.SUCCEEDED: "collected",
    ItemState.FAILED: "failed",
    ItemState.SKIPPED: "skipped",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One account within a run: its item, and what was read and changed if it was collected."""

    item: ItemRecord
    record: CollectionRecord | None = None

    @property
    def state(self) -> str:
        """The state in the words of the cost job."""
        return _STATES[self.item.state]

    @property
    def api_cost_usd(self) -> Decimal:
        """What AWS charges for the requests."""
        return self.item.api_requests * REQUEST_PRICE_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Everything that a run of the cost job did, all its processes together.

    counts, collected: all its accounts. event_counts: events that the run wrote, by type.
    anomaly_counts: anomalies in the database, or of the accounts asked for, by (state, severity).
    collections: the accounts to list; if there are very many, those that need attention.
    cost_summary: what the days that were read cost; None in a brief report.
    costs: comparable cost of ``cost_date`` as (12-digit account id, currency, amount), if asked for.
    """

    run: Run
    counts: RunCounts
    reported_at: datetime
    collected: CollectionCounts = field(default_factory=CollectionCounts)
    event_counts: Mapping[str, int] = field(default_factory=dict)
    anomaly_counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    collections: tuple[Collection, ...] = ()
    open_anomalies: tuple[AnomalyView, ...] = ()
    cost_summary: CostSummary | None = None
    costs: tuple[tuple[str, str, Decimal], ...] = ()
    events_pending: int = 0

    @property
    def days(self) -> DateRange:
        """The days of a backfill, else the newest day that the run read."""
        asked = CollectOptions.of(self.run.request).days
        return asked or DateRange(self.run.today - ONE_DAY, self.run.today)

    @property
    def cost_date(self) -> date:
        """The newest day that the run read."""
        return self.days.last

    @property
    def api_cost_usd(self) -> Decimal:
        """What AWS charges for the run's requests."""
        return self.counts.api_requests * REQUEST_PRICE_USD

    @property
    def duration_seconds(self) -> float:
        """From the run's start to its end, or to now."""
        return ((self.run.finished_at or self.reported_at) - self.run.started_at).total_seconds()

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers of the run as JSON has them: the data of its event."""
        run, counts, collected = self.run, self.counts, self.collected
        return {
            "id": str(run.id),
            "key": run.key,
            "status": run.status.value,
            "stopped_by": run.stopped_by.value if run.stopped_by else None,
            "cost_date": self.cost_date.isoformat(),
            "days_read": collected.days_read.to_document() if collected.days_read else None,
            "started_at": instant(run.started_at),
            "finished_at": instant(run.finished_at) if run.finished_at else None,
            "duration_seconds": round(self.duration_seconds, 3),
            "accounts": {
                "total": counts.count(),
                "collected": counts.count(ItemState.SUCCEEDED),
                "failed": counts.count(ItemState.FAILED),
                "skipped": counts.count(ItemState.SKIPPED),
                "unfinished": counts.count(*UNFINISHED),
            },
            "failures": {kind.value: counts.failures[kind] for kind in sorted(counts.failures)},
            "rows": {
                "fetched": collected.rows_fetched,
                "inserted": collected.change.inserted,
                "updated": collected.change.updated,
                "deleted": collected.change.deleted,
            },
            "days_kept": collected.days_kept,
            "api": {"requests": counts.api_requests, "cost_usd": str(self.api_cost_usd)},
            "api_requests_unanswered": counts.unanswered,
            "anomalies": {
                "detected": self.event_counts.get(EventType.ANOMALY_DETECTED, 0),
                "updated": self.event_counts.get(EventType.ANOMALY_UPDATED, 0),
                "resolved": self.event_counts.get(EventType.ANOMALY_RESOLVED, 0),
                "open": sum(n for (state, _), n in self.anomaly_counts.items() if state == "open"),
            },
        }

    def to_document(self) -> dict[str, Any]:
        """Return the whole report as JSON has it: the output of ``collect --output json``."""
        return {
            "run": self.summary,
            "accounts": [_collection_data(collection) for collection in self.collections],
            "costs": self.cost_summary.to_document() if self.cost_summary else None,
            "open_anomalies": [_view_data(view) for view in self.open_anomalies],
            "events": {"written": dict(self.event_counts), "pending": self.events_pending},
        }


def _collection_data(collection: Collection) -> dict[str, Any]:
    item, record = collection.item, collection.record
    failure, change = item.failure, record.change if record else StoredChange()
    return {
        "aws_account_id": item.aws_account_id,
        "name": item.name,
        "state": collection.state,
        "attempts": item.attempts,
        "window": record.window.to_document() if record else None,
        "days": len(record.window) if record else 0,
        "rows": {
            "fetched": record.rows_fetched if record else 0,
            "inserted": change.inserted,
            "updated": change.updated,
            "deleted": change.deleted,
        },
        "days_kept": record.days_kept if record else 0,
        "api": {"requests": item.api_requests, "cost_usd": str(collection.api_cost_usd)},
        "api_requests_unanswered": item.unanswered,
        "error": {"kind": failure.kind.value, "message": failure.message} if failure else None,
        "skip_reason": item.skip_reason.value if item.skip_reason else None,
        "duration_seconds": item.duration_seconds,
    }


def _view_data(view: AnomalyView) -> dict[str, Any]:
    return {
        "aws_account_id": view.aws_account_id,
        "account_name": view.account_name,
        "is_new": view.is_new,
        **anomaly_data(view.anomaly),
        "trend": [
            {"date": total.usage_date.isoformat(), "amount": str(total.amount)} for total in view.trend
        ],
    }
