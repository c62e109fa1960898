"""Values with everything filled in, so that a test names only what it is about."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from costbatch.domain.accounts import AccessMethod, Account, AccountStatus
from costbatch.domain.anomalies import Anomaly, AnomalyState
from costbatch.domain.costs import CostBasis, CostRow, DayCosts, FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.detection import Direction, Severity
from costbatch.domain.outcomes import Claim, Run, RunRequest, RunStatus
from costbatch.domain.periods import DateRange

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
        request=RunRequest(),
        status=RunStatus.RUNNING,
        today=TODAY,
        started_at=NOW,
    )
    return replace(run, **fields)


def make_claim(account: Account, **fields: Any) -> Claim:
    """Return the claim of a first attempt."""
    claim = Claim(
        collection_id=account.id, run_id=UUID(int=7), account=account, attempt=1, token=UUID(int=account.id)
    )
    return replace(claim, **fields)


def make_access(account: Account) -> Access:
    """Return the access of an account that needs no secret."""
    return Access(account=account)


def make_row(usage_date: date, amount: str = "10", **fields: Any) -> CostRow:
    """Return a cost row of usage, all bases alike."""
    exact = Decimal(amount)
    row = CostRow(usage_date, "Amazon S3", "Usage", "USD", exact, exact, exact, exact, Decimal(1), False)
    return row._replace(**fields)


def by_column(rows: Iterable[CostRow]) -> tuple[DayCosts, ...]:
    """Return rows as an answer holds them: by day, those of a day together, each in the order given."""
    parts = groupby(sorted(rows, key=itemgetter(0, 9)), key=itemgetter(0, 9))
    return tuple(_day_costs(list(part)) for _, part in parts)


def _day_costs(rows: list[CostRow]) -> DayCosts:
    columns = dict(zip(CostRow._fields, zip(*rows, strict=True), strict=True))
    return DayCosts(
        usage_date=rows[0].usage_date,
        keys=list(zip(columns["service"], columns["record_type"], strict=True)),
        currencies=columns["currency"],
        estimated=rows[0].estimated,
        **{name: columns[name] for name in CostRow._fields[4:9]},
    )


def make_fetched(window: DateRange, *rows: CostRow, api_requests: int = 1) -> FetchedCosts:
    """Return an answer that holds these rows."""
    return FetchedCosts(window=window, days=by_column(rows), api_requests=api_requests)


def rows_of(fetched: FetchedCosts) -> list[CostRow]:
    """Return the rows of an answer."""
    return [row for day_costs in fetched.days for row in day_costs.rows()]


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
    )
    return replace(anomaly, **fields)
