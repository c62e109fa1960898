"""Reports to be drawn, and what was drawn."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from types import MappingProxyType
from typing import Any
from uuid import UUID

from rich.console import Console

from costbatch.cli.views.collect import print_run
from costbatch.domain.anomalies import Anomaly, AnomalyState
from costbatch.domain.collect_report import AnomalyView, Collection, CollectReport
from costbatch.domain.collection import CollectionRecord, CollectOptions
from costbatch.domain.costs import CostBasis, StoredChange
from costbatch.domain.detection import Direction, Severity
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import Failure, ItemRecord, ItemState, Run, RunStatus, SkipReason
from costbatch.errors import ErrorKind
from tests.support.fake_runs import FakeCollections, counts_of

NOW = datetime(2025, 1, 15, 3, 30, tzinfo=UTC)
TODAY = date(2025, 1, 15)
WIDTHS = (80, 100, 120, 200, 10_000)
HOSTILE = "[red]a[/red]\x1b[31m\r\n\u202e:boom:"


def make_run(status: RunStatus) -> Run:
    """Return a run of 95 seconds."""
    return Run(
        id=UUID(int=1),
        key="nightly-42",
        request=CollectOptions().to_request(),
        status=status,
        today=TODAY,
        started_at=NOW - timedelta(seconds=95),
        finished_at=NOW,
    )


def account_id(number: int) -> str:
    """Return the 12 digits of an account."""
    return f"{123456780000 + number}"


def item(number: int, state: ItemState, **fields: Any) -> ItemRecord:
    """Return an account of the run, as it is recorded."""
    return ItemRecord(
        **{
            "id": number,
            "aws_account_id": account_id(number),
            "name": f"account-{number}",
            "state": state,
            **fields,
        }
    )


def collected(
    number: int = 1, *, record: Mapping[str, Any] = MappingProxyType({}), **fields: Any
) -> Collection:
    """Return an account that was collected; record: fields of what was read and changed."""
    return Collection(
        item=item(number, ItemState.SUCCEEDED, **{"api_requests": 2, "duration_seconds": 3.21, **fields}),
        record=CollectionRecord(
            **{
                "window": DateRange(date(2024, 12, 1), TODAY),
                "rows_fetched": 1234,
                "change": StoredChange(inserted=60, updated=5, deleted=2),
                **record,
            }
        ),
    )


def unfinished(number: int, state: ItemState = ItemState.PENDING) -> Collection:
    """Return an account that is waiting or being collected."""
    return Collection(item=item(number, state))


def skipped(number: int, reason: SkipReason) -> Collection:
    """Return an account that the run skipped."""
    return Collection(item=item(number, ItemState.SKIPPED, skip_reason=reason))


def failed(number: int, kind: ErrorKind = ErrorKind.THROTTLED, **fields: Any) -> Collection:
    """Return an account that was not collected."""
    failure = Failure(kind=kind, message=f"It went wrong. {kind.advice}")
    return Collection(item=item(number, ItemState.FAILED, api_requests=1, failure=failure, **fields))


def make_view(**fields: Any) -> AnomalyView:
    """Return an anomaly of the last two days of its trend."""
    anomaly = Anomaly(
        **{
            "id": UUID(int=2),
            "account_id": 1,
            "service": None,
            "direction": Direction.SPIKE,
            "state": AnomalyState.OPEN,
            "severity": Severity.HIGH,
            "start_date": date(2025, 1, 13),
            "last_date": date(2025, 1, 14),
            "currency": "USD",
            "cost_basis": CostBasis.UNBLENDED,
            "expected": Decimal(1000),
            "actual": Decimal("4567.891"),
            "peak": Decimal("2345.67"),
            **fields,
        }
    )
    amounts = [Decimal(10)] * 28 + [Decimal(80)] * 2
    trend = tuple(SeriesDay(TODAY - timedelta(days=30 - place), value) for place, value in enumerate(amounts))
    return AnomalyView(anomaly=anomaly, aws_account_id=account_id(1), account_name="account-1", trend=trend)


def make_report(
    accounts: Sequence[Collection],
    status: RunStatus = RunStatus.COMPLETED,
    *,
    listed: Sequence[Collection] | None = None,
    **fields: Any,
) -> CollectReport:
    """Return the report of a run; it lists every account unless a test says which."""
    run = make_run(status)
    records = {each.item.id: each.record for each in accounts if each.record}
    return CollectReport(
        run=run,
        counts=counts_of([each.item for each in accounts]),
        collected=FakeCollections(records).counts(run),
        collections=tuple(accounts if listed is None else listed),
        reported_at=NOW,
        **fields,
    )


def printed_run(report: CollectReport, width: int = 120) -> str:
    """Return what a person without colours sees."""
    stream = StringIO()
    print_run(report, Console(file=stream, width=width, force_terminal=True, color_system=None, _environ={}))
    return stream.getvalue()


def line_with(text: str, printed: str) -> str:
    """Return the first line that holds a text."""
    return next(line for line in printed.splitlines() if text in line)


def unfolded(printed: str) -> str:
    """Return what was printed as one line."""
    return " ".join(printed.split())
