"""Valid rows for the tests of the stores; a test names only what it is about."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import uuid4

import sqlalchemy as sa

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.event_tables import deliveries
from costbatch.application.ports import Database, Transaction
from costbatch.domain.accounts import AccessMethod, Account, NewAccount
from costbatch.domain.anomalies import Anomaly, AnomalyState
from costbatch.domain.collection import CollectionRecord, CollectOptions
from costbatch.domain.costs import CostBasis, DayDigests, FetchedCosts, StoredChange
from costbatch.domain.detection import Contribution, Direction, Severity
from costbatch.domain.events import Event, EventType
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.runs import (
    Failure,
    ItemRecord,
    ItemState,
    Outcome,
    Run,
    RunStatus,
    SkipReason,
    WorkItem,
)
from costbatch.errors import ErrorKind
from tests.support.factories import CostRow, make_fetched, make_run
from tests.support.fake_store import FakeStore
from tests.support.run_harness import RunHarness

NOW = datetime(2026, 3, 10, 7, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
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


def add_account(database: Database, number: int = 1, **fields: Any) -> Account:
    """Register an account for good."""
    with database.transaction() as tx:
        return tx.accounts.add(new_account(number, **fields), now=NOW)


def prepare_months(database: Database, days: DateRange = MONTHS) -> None:
    """Make the partitions that a test's costs fall into."""
    with database.transaction() as tx:
        tx.costs.prepare_months(days)


def cost_row(day: date | int = TODAY - ONE_DAY, amount: str = "1.50", **fields: Any) -> CostRow:
    """Return one service's cost on a day (of March 2026 if only a number is given)."""
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
    database: Database,
    account: Account,
    rows: Sequence[CostRow],
    window: DateRange = WINDOW,
    *,
    night: date = TODAY,
) -> StoredChange:
    """Replace an account's window in a transaction of its own."""
    with database.transaction() as tx:
        return replace_window(tx, account, rows, window, night=night)


def replace_window(
    tx: Transaction,
    account: Account,
    rows: Sequence[CostRow],
    window: DateRange = WINDOW,
    *,
    night: date = TODAY,
) -> StoredChange:
    """Replace an account's window."""
    run = make_run(today=night)
    return tx.costs.replace_windows(run, {account.id: make_fetched(window, *rows)})[account.id]


def open_run(
    database: Database, key: str = "nightly", *, aws_account_ids: tuple[str, ...] = (), **options: Any
) -> Run:
    """Open or join a run of the cost job and enlist its accounts."""
    with database.transaction() as tx:
        request = CollectOptions(**options).to_request(aws_account_ids)
        run = tx.runs.open(key, request, now=NOW, version="1.0")
        tx.items.enlist(run)
        return run


def claim(
    database: Database,
    run: Run,
    worker: str = "worker",
    *,
    most: int = 100,
    lease: timedelta = LEASE,
    suspects: bool = False,
) -> list[WorkItem]:
    """Claim items in a transaction of its own."""
    with database.transaction() as tx:
        return tx.items.claim(run, worker=worker, most=most, lease=lease, suspects=suspects)


def fetched(*rows: CostRow, api_requests: int = 2) -> FetchedCosts:
    """Return what Cost Explorer reported."""
    return make_fetched(WINDOW, *rows, api_requests=api_requests)


def failure(kind: ErrorKind = ErrorKind.THROTTLED) -> Failure:
    """Return why an account failed."""
    return Failure(kind=kind, message=kind.advice)


def record(**fields: Any) -> CollectionRecord:
    """Return what the cost job did for an account: it read the window and changed nothing."""
    return replace(CollectionRecord(window=WINDOW, rows_fetched=0, change=StoredChange()), **fields)


def succeeded(item: WorkItem, **fields: Any) -> Outcome:
    """Return that the work on an item succeeded."""
    outcome = Outcome(item=item, state=ItemState.SUCCEEDED, api_requests=2, started_at=NOW)
    return replace(outcome, **fields)


def collect(
    database: Database,
    item: WorkItem,
    *,
    now: datetime = NOW,
    api_requests: int = 2,
    digests: DayDigests | None = None,
    **fields: Any,
) -> bool:
    """Save an item as the cost job does, if it is still ours; return whether it is.

    fields: of the record of the collection.
    """
    with database.transaction() as tx:
        if tx.items.lock([item]):
            save_collected(tx, item, now=now, api_requests=api_requests, digests=digests, **fields)
            return True
    return False


def save_collected(
    tx: Transaction,
    item: WorkItem,
    *,
    now: datetime = NOW,
    api_requests: int = 2,
    digests: DayDigests | None = None,
    **fields: Any,
) -> None:
    """Save the record, digests and outcome of a locked item."""
    tx.collections.save({item.id: record(**fields)})
    tx.digests.replace({item.account.id: None if digests is None else (item.id, digests)})
    tx.items.finish([succeeded(item, api_requests=api_requests, started_at=now)], now=now)


def failed(item: WorkItem, *, retry_after: timedelta | None = None) -> Outcome:
    """Return that the work on an item failed."""
    state = ItemState.FAILED if retry_after is None else ItemState.PENDING
    return Outcome(item=item, state=state, api_requests=1, failure=failure(), retry_after=retry_after)


def skipped(item: WorkItem, reason: SkipReason, *, api_requests: int = 0) -> Outcome:
    """Return that an item was skipped."""
    return Outcome(item=item, state=ItemState.SKIPPED, api_requests=api_requests, skip_reason=reason)


def finish(database: Database, *outcomes: Outcome, now: datetime = NOW) -> None:
    """Record outcomes in a transaction of its own."""
    with database.transaction() as tx:
        tx.items.finish(outcomes, now=now)


def fail(database: Database, item: WorkItem, *, retry_after: timedelta | None = None) -> None:
    """Record that the work on an item failed."""
    finish(database, failed(item, retry_after=retry_after))


def records(database: Database, run: Run) -> list[ItemRecord]:
    """Return the accounts of a run as they are recorded, by 12-digit id."""
    with database.transaction() as tx:
        return tx.items.records(run)


def states(database: Database, run: Run) -> list[str]:
    """Return the states of a run's accounts, by 12-digit id."""
    return [each.state.value for each in records(database, run)]


def join(
    database: Database, key: str = "nightly", *, aws_account_ids: tuple[str, ...] = (), **options: Any
) -> tuple[Run, int]:
    """Open or join a run a day later as a process does; return it with the number of unfinished accounts."""
    runner = RunHarness(store=cast("FakeStore", database), now=LATER).runner()
    return runner._open(key, CollectOptions(**options).to_request(aws_account_ids))


def close(database: Database, run: Run, status: RunStatus) -> bool:
    """Close a run; return whether this call changed its status."""
    with database.transaction() as tx:
        return tx.runs.close(run, status, now=NOW)


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
        "peak": Decimal(16),
        "explanation": (Contribution("Amazon S3", Decimal(10), Decimal(30)),),
    }
    return Anomaly(**{**defaults, **fields})


def let_deliveries_wait(database: PostgresDatabase, time: timedelta) -> None:
    """Let time pass for deliveries: they wait by the database's clock, which no test can set."""
    passed = {"retry_at": deliveries.c.retry_at - time, "claimed_until": deliveries.c.claimed_until - time}
    with database.connection() as connection:
        connection.execute(sa.update(deliveries).values(**passed))


def event(type_: EventType = EventType.ACCOUNT_FAILED, **fields: Any) -> Event:
    """Return an event."""
    defaults: dict[str, Any] = {
        "id": uuid4(),
        "type": type_,
        "subject": account_id(1),
        "occurred_at": NOW,
        "data": {"amount": "12.30"},
    }
    return Event(**{**defaults, **fields})
