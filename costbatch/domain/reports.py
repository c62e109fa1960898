"""What a run did, as one value: the summary, the metrics and the run's event are all read off it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from costbatch.domain.anomalies import Anomaly
from costbatch.domain.compared_costs import CostSummary
from costbatch.domain.costs import DayTotal
from costbatch.domain.events import EventType, anomaly_data, instant
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.runs import Collection, CollectionState, Run, RunCounts, RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyView:
    """An anomaly with what a reader needs beside it: its account, and the daily cost that leads up to it."""

    anomaly: Anomaly
    aws_account_id: str
    account_name: str
    trend: tuple[DayTotal, ...] = ()
    is_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Everything that a run did, all its processes together.

    counts: all its accounts. event_counts: events that the run wrote, by type.
    anomaly_counts: anomalies in the database, or of the accounts asked for, by (state, severity).
    collections: the accounts to be told of one by one; where they are very many, those that need a look.
    cost_summary: what the days that were read cost; None in a brief report.
    costs: comparable cost of ``cost_date`` as (12-digit account id, currency, amount), where asked for.
    """

    run: Run
    counts: RunCounts
    reported_at: datetime
    event_counts: Mapping[str, int] = field(default_factory=dict)
    anomaly_counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    collections: tuple[Collection, ...] = ()
    open_anomalies: tuple[AnomalyView, ...] = ()
    cost_summary: CostSummary | None = None
    costs: tuple[tuple[str, str, Decimal], ...] = ()
    events_pending: int = 0

    @property
    def cost_date(self) -> date:
        """The newest day that the run read."""
        return self.run.request.days.last if self.run.request.days else self.run.today - ONE_DAY

    @property
    def duration_seconds(self) -> float:
        """From the run's start to its end, or to now."""
        return ((self.run.finished_at or self.reported_at) - self.run.started_at).total_seconds()

    @property
    def summary(self) -> dict[str, Any]:
        """The run in a few numbers, JSON-ready: what its event carries."""
        run, counts = self.run, self.counts
        return {
            "id": str(run.id),
            "key": run.key,
            "status": run.status.value,
            "stopped_by": run.stopped_by.value if run.stopped_by else None,
            "cost_date": self.cost_date.isoformat(),
            "days_read": _range_data(counts.days_read),
            "started_at": instant(run.started_at),
            "finished_at": instant(run.finished_at) if run.finished_at else None,
            "duration_seconds": round(self.duration_seconds, 3),
            "accounts": {
                "total": counts.count(),
                "collected": counts.count(CollectionState.COLLECTED),
                "failed": counts.count(CollectionState.FAILED),
                "skipped": counts.count(CollectionState.SKIPPED),
                "unfinished": counts.count(CollectionState.PENDING, CollectionState.COLLECTING),
            },
            "failures": {kind.value: counts.failures[kind] for kind in sorted(counts.failures)},
            "rows": {
                "fetched": counts.rows_fetched,
                "inserted": counts.change.inserted,
                "updated": counts.change.updated,
                "deleted": counts.change.deleted,
            },
            "days_kept": counts.days_kept,
            "api": {"requests": counts.api_requests, "cost_usd": str(counts.api_cost_usd)},
            "api_requests_unanswered": counts.unanswered,
            "anomalies": {
                "detected": self.event_counts.get(EventType.ANOMALY_DETECTED, 0),
                "updated": self.event_counts.get(EventType.ANOMALY_UPDATED, 0),
                "resolved": self.event_counts.get(EventType.ANOMALY_RESOLVED, 0),
                "open": sum(n for (state, _), n in self.anomaly_counts.items() if state == "open"),
            },
        }

    def to_document(self) -> dict[str, Any]:
        """Return the whole report, JSON-ready: the one summary of ``collect --output json``."""
        return {
            "run": self.summary,
            "accounts": [_collection_data(collection) for collection in self.collections],
            "costs": self.cost_summary.to_document() if self.cost_summary else None,
            "open_anomalies": [_view_data(view) for view in self.open_anomalies],
            "events": {"written": dict(self.event_counts), "pending": self.events_pending},
        }


def is_failed(status: RunStatus) -> bool:
    """Whether nothing at all was collected."""
    return status is RunStatus.FAILED


def _collection_data(collection: Collection) -> dict[str, Any]:
    window, failure, change = collection.window, collection.failure, collection.change
    return {
        "aws_account_id": collection.aws_account_id,
        "name": collection.name,
        "state": collection.state.value,
        "attempts": collection.attempts,
        "window": _range_data(window),
        "days": len(window) if window else 0,
        "rows": {
            "fetched": collection.rows_fetched,
            "inserted": change.inserted,
            "updated": change.updated,
            "deleted": change.deleted,
        },
        "days_kept": collection.days_kept,
        "api": {"requests": collection.api_requests, "cost_usd": str(collection.api_cost_usd)},
        "api_requests_unanswered": collection.unanswered,
        "error": {"kind": failure.kind.value, "message": failure.message} if failure else None,
        "skip_reason": collection.skip_reason.value if collection.skip_reason else None,
        "duration_seconds": collection.duration_seconds,
    }


def _range_data(days: DateRange | None) -> dict[str, str] | None:
    if days is None:
        return None
    return {"start": days.start.isoformat(), "end_exclusive": days.end_exclusive.isoformat()}


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
