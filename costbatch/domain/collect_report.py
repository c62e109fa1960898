"""The report of a run of the cost job, and its metrics."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import product
from typing import Any, ClassVar

from costbatch.domain.anomalies import Anomaly
from costbatch.domain.answers import Standing
from costbatch.domain.collection import COLLECT, CollectionCounts, CollectionRecord, CollectOptions
from costbatch.domain.compared_costs import CostSummary
from costbatch.domain.costs import REQUEST_PRICE_USD, StoredChange
from costbatch.domain.detection import Severity
from costbatch.domain.events import EventType, anomaly_data
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.forecast import Forecast
from costbatch.domain.metrics import Metric, Sample
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.reports import JobWords, RunReport, item_data
from costbatch.domain.runs import ItemRecord, ItemState

# The anomalies that are not over.
_STANDINGS = (Standing.OPEN, Standing.ACKNOWLEDGED, Standing.SILENT)
WORDS = JobWords(name=COLLECT, doing="collecting", done="collected")

COST_DATE = Metric(
    "costbatch_cost_date_timestamp_seconds",
    (),
    "The newest usage date that the last run read, as seconds since 1970 at its start in UTC; "
    "absent if it read none.",
)
API_REQUESTS = Metric(
    "costbatch_api_requests", (), "Paid Cost Explorer requests of the last run, and those without an answer."
)
API_COST = Metric("costbatch_api_cost_usd", (), "What AWS charges for these requests, in US dollars.")
ROWS_FETCHED = Metric("costbatch_rows_fetched", (), "Cost rows that the last run read from AWS.")
ROWS_WRITTEN = Metric(
    "costbatch_rows_written", ("change",), "Cost rows that the last run changed in the database."
)
ANOMALIES = Metric(
    "costbatch_anomalies",
    ("state", "severity", "currency"),
    "Anomalies of active accounts: open and unanswered, acknowledged, silent (dismissed, expected or "
    "planned), or resolved; absent for a currency without anomalies.",
)
ACCOUNT_COST = Metric(
    "costbatch_account_cost",
    ("aws_account_id", "currency"),
    "Comparable cost of the account on the newest usage date, in the currency of its label.",
)
MONTH_TO_DATE = Metric(
    "costbatch_month_cost_to_date",
    ("currency",),
    "Comparable cost of the month of the newest usage date so far, all accounts together.",
)
MONTH_FORECAST = Metric(
    "costbatch_month_cost_forecast",
    ("currency", "bound"),
    "What all of that month is expected to cost, and the lower and the upper bound of the range; "
    "absent with too little history.",
)
COLLECT_METRICS = (
    *(COST_DATE, API_REQUESTS, API_COST, ROWS_FETCHED, ROWS_WRITTEN, ANOMALIES),
    *(MONTH_TO_DATE, MONTH_FORECAST, ACCOUNT_COST),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyView:
    """An anomaly with its account, and the daily cost up to it."""

    anomaly: Anomaly
    aws_account_id: str
    account_name: str
    trend: tuple[SeriesDay, ...] = ()
    is_new: bool = False
    standing: Standing = Standing.OPEN

    def to_document(self) -> dict[str, Any]:
        """Return the anomaly as JSON has it."""
        return {
            "aws_account_id": self.aws_account_id,
            "account_name": self.account_name,
            "is_new": self.is_new,
            "standing": self.standing.value,
            **anomaly_data(self.anomaly),
            "trend": [{"date": day.usage_date.isoformat(), "amount": str(day.actual)} for day in self.trend],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One account within a run: its item, and what was read and changed if it was collected."""

    item: ItemRecord
    record: CollectionRecord | None = None

    @property
    def state(self) -> str:
        """The state in the words of the cost job."""
        return WORDS.state(self.item.state)

    @property
    def api_cost_usd(self) -> Decimal:
        """What AWS charges for the requests."""
        return self.item.api_requests * REQUEST_PRICE_USD

    def to_document(self) -> dict[str, Any]:
        """Return the account as JSON has it; without a record nothing was read."""
        item, record = self.item, self.record
        change = record.change if record else StoredChange()
        return {
            **item_data(item, WORDS),
            "window": record.window.to_document() if record else None,
            "days": len(record.window) if record else 0,
            "rows": {
                "fetched": record.rows_fetched if record else 0,
                "inserted": change.inserted,
                "updated": change.updated,
                "deleted": change.deleted,
            },
            "days_kept": record.days_kept if record else 0,
            "api": {"requests": item.api_requests, "cost_usd": str(self.api_cost_usd)},
            "api_requests_unanswered": item.unanswered,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectReport(RunReport):
    """Everything that a run of the cost job did, all its processes together.

    collected: all its accounts.
    anomaly_counts: anomalies in the database, or of the accounts asked for, by (standing, severity,
    currency).
    collections: the accounts to list; if there are very many, those that need attention.
    cost_summary: what the days that were read cost; None in a brief report.
    costs: comparable cost of ``cost_date`` as (12-digit account id, currency, amount), if asked for.
    forecasts: of the month, all accounts together, by currency, if asked for.
    """

    words: ClassVar[JobWords] = WORDS

    collected: CollectionCounts = field(default_factory=CollectionCounts)
    anomaly_counts: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    collections: tuple[Collection, ...] = ()
    open_anomalies: tuple[AnomalyView, ...] = ()
    cost_summary: CostSummary | None = None
    costs: tuple[tuple[str, str, Decimal], ...] = ()
    forecasts: tuple[Forecast, ...] = ()

    @property
    def days(self) -> DateRange:
        """The days of a backfill, else the newest day that the run read."""
        asked = CollectOptions.of(self.run.request).days_of(self.run.today)
        return asked or DateRange(self.run.today - ONE_DAY, self.run.today)

    @property
    def cost_date(self) -> date:
        """The newest day that the run read."""
        return self.days.last

    @property
    def api_cost_usd(self) -> Decimal:
        """What AWS charges for the run's requests."""
        return self.counts.api_requests * REQUEST_PRICE_USD

    def anomalies_that_are(self, standing: Standing) -> int:
        """Return how many anomalies stand so."""
        return sum(count for (how, *_), count in self.anomaly_counts.items() if how == standing.value)

    def job_summary(self) -> dict[str, Any]:
        """Return what was read, stored, paid and found."""
        counts, collected = self.counts, self.collected
        return {
            "cost_date": self.cost_date.isoformat(),
            "days_read": collected.days_read.to_document() if collected.days_read else None,
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
                **{each.value: self.anomalies_that_are(each) for each in _STANDINGS},
            },
        }

    def to_document(self) -> dict[str, Any]:
        """Return the whole report as JSON has it: the output of ``collect --output json``."""
        return {
            **RunReport.to_document(self),
            "accounts": [collection.to_document() for collection in self.collections],
            "costs": self.cost_summary.to_document() if self.cost_summary else None,
            "open_anomalies": [view.to_document() for view in self.open_anomalies],
        }

    def job_samples(self) -> Iterable[Sample]:
        """Yield what was read, paid and stored."""
        if self.counts.count(ItemState.SUCCEEDED):
            # A run that collected nothing has no newest date.
            newest_day = datetime.combine(self.cost_date, time(), UTC)
            yield Sample(COST_DATE, newest_day.timestamp())
        yield Sample(API_REQUESTS, self.counts.api_requests)
        yield Sample(API_COST, self.api_cost_usd)
        change = self.collected.change
        yield Sample(ROWS_FETCHED, self.collected.rows_fetched)
        yield Sample(ROWS_WRITTEN, change.inserted, ("inserted",))
        yield Sample(ROWS_WRITTEN, change.updated, ("updated",))
        yield Sample(ROWS_WRITTEN, change.deleted, ("deleted",))

    def database_samples(self) -> Iterable[Sample]:
        """Yield the anomalies and the cost of accounts too."""
        yield from RunReport.database_samples(self)
        currencies = sorted({currency for _, _, currency in self.anomaly_counts})
        for how, severity, currency in product(Standing, Severity, currencies):
            labels = (how.value, severity.value, currency)
            yield Sample(ANOMALIES, self.anomaly_counts.get(labels, 0), labels)
        for each in self.forecasts:
            yield Sample(MONTH_TO_DATE, each.month_to_date, (each.currency,))
            bounds = {"expected": each.expected, "lower": each.lower, "upper": each.upper}
            for bound, amount in bounds.items():
                if amount is not None:
                    yield Sample(MONTH_FORECAST, amount, (each.currency, bound))
        for aws_account_id, currency, amount in self.costs:
            # Prometheus has only floats; no decision is made on this number.
            yield Sample(ACCOUNT_COST, amount, (aws_account_id, currency))
