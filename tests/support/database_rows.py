"""Valid rows for the tests of the stores; a test names only what it is about."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.engine import PostgresTransaction
from costbatch.domain.accounts import AccessMethod, Account, NewAccount
from costbatch.domain.anomalies import Anomaly, AnomalyState
from costbatch.domain.costs import CostBasis, FetchedCosts, StoredChange
from costbatch.domain.detection import Contribution, Direction, Severity
from costbatch.domain.events import Event, EventType
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.runs import Claim, CollectionState, Ending, Failure, Run, RunRequest
from costbatch.errors import ErrorKind
from tests.support.factories import CostRow, make_fetched

NOW = datetime(2026, 3, 10, 7, tzinfo=UTC)
TODAY = date(2026, 3, 10)
MONTHS = DateRange(date(2026, 1, 1), date(2026, 4, 1))
WINDOW = DateRange(date(2026, 3, 1), TODAY)
LEASE = timedelta(minutes=5)


def account_id(number: int) -> str:
    """Return the 12 digits of an account."""
    return f"{number:012}"


def new_account(number: int = 1, **fields: Any) -> NewAccount:
    """Return what registers an account that the pod's own identity reaches."""
    defaults = {
        "aws_account_id": account_id(number),
        "name": f"account-{number}",
        "access": AccessMethod.POD_IDENTITY,
    }
    return NewAccount(**{**defaults, **fields})


def assumed_role(number: int, base: Account | None = None) -> NewAccount:
    """Return what registers an account whose role another one's credentials assume."""
    return new_account(
        number,
        access=AccessMethod.ASSUMED_ROLE,
        role_arn=f"arn:aws:iam::{account_id(number)}:role/costbatch",
        base_account_id=base.id if base else None,
    )


def add_account(database: PostgresDatabase, number: int = 1, **fields: Any) -> Account:
    """Register an account for good."""
    with database.transaction() as tx:
        return tx.accounts.add(new_account(number, **fields), now=NOW)


def prepare_months(database: PostgresDatabase, days: DateRange = MONTHS) -> None:
    """Make the partitions that a test's costs fall into."""
    with database.transaction() as tx:
        tx.costs.prepare_months(days)


def cost_row(day: date | int = TODAY - ONE_DAY, amount: str = "1.50", **fields: Any) -> CostRow:
    """Return one service's cost on a day (of March 2026 where only a number is given)."""
    defaults = {
        "usage_date": date(2026, 3, day) if isinstance(day, int) else day,
        "service": "Amazon Simple Storage Service",
        "record_type": "Usage",
        "currency": "USD",
        "unblended": Decimal(amount),
        "amortized": Decimal(amount),
        "net_unblended": None,
        "net_amortized": None,
        "usage_quantity": Decimal(7),
        "estimated": False,
    }
    return CostRow(**{**defaults, **fields})


def store(
    database: PostgresDatabase, account: Account, rows: list[CostRow], window: DateRange = WINDOW
) -> StoredChange:
    """Replace an account's window in a transaction of its own."""
    with database.transaction() as tx:
        return replace_window(tx, account, rows, window)


def replace_window(
    tx: PostgresTransaction, account: Account, rows: Sequence[CostRow], window: DateRange = WINDOW
) -> StoredChange:
    """Replace an account's window."""
    fetched = make_fetched(window, *rows)
    (change,) = tx.costs.replace_windows([(account, fetched)])
    return change


def open_run(database: PostgresDatabase, key: str = "nightly", **request: Any) -> Run:
    """Open or join a run and put its accounts on the list."""
    with database.transaction() as tx:
        run = tx.runs.open(key, RunRequest(**request), now=NOW, version="1.0")
        tx.runs.enlist(run)
        return run


def claim(
    database: PostgresDatabase, run: Run, worker: str = "worker", *, most: int = 100, lease: timedelta = LEASE
) -> list[Claim]:
    """Claim accounts in a transaction of its own."""
    with database.transaction() as tx:
        return tx.claims.claim(run, worker=worker, most=most, lease=lease)


def fetched(*rows: CostRow, api_requests: int = 2) -> FetchedCosts:
    """Return what Cost Explorer reported."""
    return make_fetched(WINDOW, *rows, api_requests=api_requests)


def failure(kind: ErrorKind = ErrorKind.THROTTLED) -> Failure:
    """Return why an account was not collected."""
    return Failure(kind=kind, message=kind.advice)


def collected(one: Claim, **fields: Any) -> Ending:
    """Return that a claimed account was collected."""
    ending = Ending(
        claim=one,
        state=CollectionState.COLLECTED,
        api_requests=2,
        window=WINDOW,
        rows_fetched=0,
        change=StoredChange(),
        started_at=NOW,
    )
    return replace(ending, **fields)


def collect(database: PostgresDatabase, one: Claim, *, now: datetime = NOW, api_requests: int = 2) -> bool:
    """Record that a claimed account was collected, if it is still ours; return whether it is."""
    with database.transaction() as tx:
        held = tx.claims.hold([one])
        if held:
            tx.claims.finish([collected(one, api_requests=api_requests, started_at=now)], now=now)
    return bool(held)


def failed(one: Claim, *, retry_after: timedelta | None = None) -> Ending:
    """Return that a claimed account failed."""
    state = CollectionState.FAILED if retry_after is None else CollectionState.PENDING
    return Ending(claim=one, state=state, api_requests=1, failure=failure(), retry_after=retry_after)


def fail(database: PostgresDatabase, one: Claim, *, retry_after: timedelta | None = None) -> None:
    """Record that a claimed account failed."""
    with database.transaction() as tx:
        tx.claims.finish([failed(one, retry_after=retry_after)], now=NOW)


def anomaly(account: Account, **fields: Any) -> Anomaly:
    """Return an open spike of two days."""
    defaults = {
        "id": uuid4(),
        "account_id": account.id,
        "service": None,
        "direction": Direction.SPIKE,
        "state": AnomalyState.OPEN,
        "severity": Severity.LOW,
        "start_date": date(2026, 3, 7),
        "last_date": date(2026, 3, 8),
        "currency": "USD",
        "cost_basis": CostBasis.UNBLENDED,
        "expected": Decimal(10),
        "actual": Decimal(30),
        "explanation": (Contribution("Amazon S3", Decimal(10), Decimal(30)),),
    }
    return Anomaly(**{**defaults, **fields})


def event(type_: EventType = EventType.ACCOUNT_FAILED, **fields: Any) -> Event:
    """Return something worth telling."""
    defaults: dict[str, Any] = {
        "id": uuid4(),
        "type": type_,
        "subject": account_id(1),
        "occurred_at": NOW,
        "data": {"amount": "12.30"},
    }
    return Event(**{**defaults, **fields})
