"""Values with everything filled in, so that a test names only what it is about."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from costbatch.domain.accounts import NO_PROGRESS, AccessMethod, Account, AccountStatus
from costbatch.domain.anomalies import Anomaly, AnomalyState
from costbatch.domain.collection import CollectOptions
from costbatch.domain.costs import CostBasis, CostColumns, DayDigest, FetchedCosts, PackedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.detection import SCORE, Direction, JudgedDay, Reason, Severity
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import (
    Run,
    RunStatus,
    WorkItem,
)

TODAY = date(2025, 6, 20)
NOW = datetime(2025, 6, 20, 6, 30, tzinfo=UTC)


def day(n: int) -> date:
    """Return the day so many days from the first of January 2025."""
    return date(2025, 1, 1) + timedelta(days=n)


def days(start: int, end_exclusive: int) -> DateRange:
    """Return a range of such days."""
    return DateRange(day(start), day(end_exclusive))


def make_account(row_id: int = 1, **fields: Any) -> Account:
    """Return an active account."""
    account = Account(
        id=row_id,
        aws_account_id=f"{row_id:012}",
        name=f"account-{row_id}",
        status=AccountStatus.ACTIVE,
        access=AccessMethod.POD_IDENTITY,
    )
    return replace(account, **fields)


def make_run(**fields: Any) -> Run:
    """Return a running run over every account."""
    run = Run(
        id=UUID(int=7),
        key="job-7",
        request=CollectOptions().to_request(),
        status=RunStatus.RUNNING,
        today=TODAY,
        started_at=NOW,
    )
    return replace(run, **fields)


def make_item(account: Account, **fields: Any) -> WorkItem:
    """Return the claimed item of a first attempt."""
    item = WorkItem(
        id=account.id,
        run_id=UUID(int=7),
        account=account,
        progress=NO_PROGRESS,
        attempt=1,
        token=UUID(int=account.id),
    )
    return replace(item, **fields)


def make_access(account: Account) -> Access:
    """Return the access of an account that needs no secret."""
    return Access(account=account)


class CostRow(NamedTuple):
    """One service and record type of one account on one UTC day, as the database stores it."""

    usage_date: date
    service: str
    record_type: str
    currency: str
    unblended: Decimal
    amortized: Decimal
    net_unblended: Decimal | None
    net_amortized: Decimal | None
    usage_quantity: Decimal | None
    estimated: bool


def make_row(usage_date: date, amount: str = "10", **fields: Any) -> CostRow:
    """Return a cost row of usage, all bases alike."""
    exact = Decimal(amount)
    row = CostRow(usage_date, "Amazon S3", "Usage", "USD", exact, exact, exact, exact, Decimal(1), False)
    return row._replace(**fields)


def by_column(rows: Iterable[CostRow]) -> CostColumns:
    """Return rows as an answer holds them."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in CostRow._fields]
    usage_dates, services, record_types, currencies, *amounts, estimated = columns
    names = ("unblended", "amortized", "net_unblended", "net_amortized", "usage_quantities")
    return CostColumns(
        usage_dates=usage_dates,
        keys=list(zip(services, record_types, strict=True)),
        currencies=currencies,
        estimated=estimated,
        **dict(zip(names, amounts, strict=True)),
    )


def rows_of(costs: CostColumns | PackedCosts) -> list[CostRow]:
    """Return columns as rows, whether they are packed or not."""
    return [row for part in costs.parts for row in _rows_of(part)]


def _rows_of(costs: CostColumns) -> list[CostRow]:
    amounts = costs.unblended, costs.amortized, costs.net_unblended, costs.net_amortized
    columns = costs.usage_dates, costs.keys, costs.currencies, *amounts, costs.usage_quantities
    return [
        CostRow._make((day, *key, *values, estimated))
        for day, key, *values, estimated in zip(*columns, costs.estimated, strict=True)
    ]


def make_fetched(window: DateRange, *rows: CostRow, api_requests: int = 1) -> FetchedCosts:
    """Return an answer that holds these rows, all of them changed."""
    counts = Counter(row.usage_date for row in rows)
    digests = {day: DayDigest(b"%16d" % counts[day], counts[day]) for day in window}
    return FetchedCosts(
        window=window, digests=digests, changed_days=window, costs=by_column(rows), api_requests=api_requests
    )


def make_judged(n: int, expected: str, actual: str, reason: Reason | None = Reason.DEVIATION) -> JudgedDay:
    """Return a day as the rule of fifty per cent judges it, from one dollar on."""
    mean, cost = Decimal(expected), Decimal(actual)
    margin, distance = max(Decimal(1), abs(mean) / 2), abs(cost - mean)
    score = (distance / (distance + margin)).quantize(SCORE)
    return JudgedDay(day(n), mean, cost, mean - margin, mean + margin, score, reason)


def make_anomaly(**fields: Any) -> Anomaly:
    """Return an open spike of day 40: 100.00 expected, 200.00 came."""
    anomaly = Anomaly(
        id=UUID(int=40),
        account_id=1,
        service=None,
        direction=Direction.SPIKE,
        state=AnomalyState.OPEN,
        severity=Severity.MEDIUM,
        start_date=day(40),
        last_date=day(40),
        currency="USD",
        cost_basis=CostBasis.UNBLENDED,
        expected=Decimal(100),
        actual=Decimal(200),
        peak=Decimal(200),
    )
    return replace(anomaly, **fields)
