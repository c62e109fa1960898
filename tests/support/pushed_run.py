"""A sample run whose metrics are pushed."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from costbatch.domain.collection import CollectionRecord, CollectOptions
from costbatch.domain.costs import StoredChange
from costbatch.domain.forecast import Forecast
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import Failure, ItemRecord, ItemState, Run, RunStatus
from costbatch.errors import ErrorKind

ONE, TWO = "1" * 12, "2" * 12
COLLECTED = ItemRecord(id=1, aws_account_id=ONE, name="one", state=ItemState.SUCCEEDED, api_requests=2)
DENIED = ItemRecord(
    id=2,
    aws_account_id=TWO,
    name="two",
    state=ItemState.FAILED,
    api_requests=1,
    failure=Failure(kind=ErrorKind.ACCESS_DENIED, message="No."),
)
# What the cost job did for the first one.
RECORD = CollectionRecord(
    window=DateRange(date(2025, 1, 1), date(2025, 1, 15)),
    rows_fetched=70,
    change=StoredChange(inserted=5, updated=4, deleted=3),
)


# What the month will cost.
FORECAST = Forecast(
    aws_account_id="",
    currency="USD",
    month=date(2025, 1, 1),
    month_to_date=Decimal("140.50"),
    last_month=Decimal(300),
    expected=Decimal("310.25"),
    lower=Decimal(300),
    upper=Decimal(330),
)


def partial_run(now: datetime) -> Run:
    """Return a run that ended at this instant, with some accounts not collected."""
    return Run(
        id=UUID(int=1),
        key="nightly",
        request=CollectOptions().to_request(),
        status=RunStatus.PARTIAL,
        today=date(2025, 1, 15),
        started_at=now - timedelta(seconds=90),
        finished_at=now,
    )
