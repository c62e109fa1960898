"""Runs: opening or joining one, its list of accounts, and how it ended."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from costbatch.adapters.postgres.tables import accounts, collections, runs
from costbatch.domain.accounts import AccountStatus
from costbatch.domain.costs import StoredChange
from costbatch.domain.periods import DateRange, utc_day
from costbatch.domain.runs import (
    Collection,
    CollectionState,
    Failure,
    Run,
    RunCounts,
    RunRequest,
    RunStatus,
    SkipReason,
    StopReason,
)
from costbatch.errors import ConfigError, ErrorKind

_PENDING = collections.c.state == CollectionState.PENDING.value
_COLLECTING = collections.c.state == CollectionState.COLLECTING.value
_UNDONE = (CollectionState.FAILED.value, CollectionState.SKIPPED.value)
# What a report tells of an account, and no more: a run may have very many.
_OUTCOME = [
    collections.c[name]
    for name in (
        "state",
        "attempts",
        "window_start",
        "window_end_exclusive",
        "rows_fetched",
        "rows_inserted",
        "rows_updated",
        "rows_deleted",
        "api_requests",
        "api_requests_unanswered",
        "days_kept",
        "error_kind",
        "error_message",
        "skip_reason",
        "started_at",
        "finished_at",
    )
]

# The error of an earlier attempt stays on an account that ended otherwise.
_TALLY = sa.text("""
SELECT state, CASE state WHEN 'failed' THEN error_kind END AS error_kind, skip_reason, count(*) AS accounts,
    sum(rows_fetched) AS rows_fetched, sum(rows_inserted) AS rows_inserted,
    sum(rows_updated) AS rows_updated, sum(rows_deleted) AS rows_deleted, sum(api_requests) AS api_requests,
    sum(api_requests_unanswered) AS unanswered, sum(days_kept) AS days_kept,
    min(window_start) AS window_start, max(window_end_exclusive) AS window_end_exclusive
FROM collections WHERE run_id = :run_id GROUP BY 1, 2, 3
""")


@dataclass(frozen=True, slots=True)
class PostgresRuns:
    """The runs, within one transaction."""

    connection: Connection

    def open(self, key: str, request: RunRequest, *, now: datetime, version: str) -> Run:
        """Start a run, or join the one with this key; what it left undone is to be done again.

        Raises:
            ConfigError: the key belongs to a run that was asked for something else.

        """
        statement = insert(runs).values(
            id=uuid4(),
            run_key=key,
            status=RunStatus.RUNNING.value,
            today=utc_day(now),
            days_start=request.days.start if request.days else None,
            days_end_exclusive=request.days.end_exclusive if request.days else None,
            aws_account_ids=list(request.aws_account_ids),
            accept_vanished=request.accept_vanished,
            version=version,
            started_at=now,
        )
        row = self.connection.execute(statement.on_conflict_do_nothing().returning(runs)).first()
        if row is not None:
            return _run_from_row(row)
        run = self._lock(runs.c.run_key == key)
        if run.request != request:
            raise ConfigError(
                f"The run key {key!r} belongs to a run that was asked for other days or accounts, or with "
                "other options; repeat its options or choose another --run-key."
            )
        return self._reopen(run)

    def find(self, key: str) -> Run | None:
        """Return the run with this key."""
        row = self.connection.execute(sa.select(runs).where(runs.c.run_key == key)).first()
        return None if row is None else _run_from_row(row)

    def enlist(self, run: Run) -> int:
        """Put every account of the request on the run's list; return how many are still to be done."""
        wanted = [accounts.c.status == AccountStatus.ACTIVE.value]
        if run.request.aws_account_ids:
            wanted.append(accounts.c.aws_account_id.in_(run.request.aws_account_ids))
        state = sa.literal(CollectionState.PENDING.value)
        listed = sa.select(sa.literal(run.id), accounts.c.id, state, sa.func.now()).where(*wanted)
        columns = ["run_id", "account_id", "state", "available_at"]
        listed = listed.order_by(accounts.c.aws_account_id)
        self.connection.execute(insert(collections).from_select(columns, listed).on_conflict_do_nothing())
        self._resume(run)
        to_do = sa.select(sa.func.count()).where(collections.c.run_id == run.id, _PENDING | _COLLECTING)
        return self.connection.scalars(to_do).one()

    def requeue(self, run: Run, is_dead: Callable[[str], bool] | None = None) -> int:
        """Put the accounts that were not collected back on the list; return how many.

        is_dead: only those whose last attempt was a dead worker's; None: all.
        """
        self._lock(runs.c.id == run.id)
        undone = [collections.c.run_id == run.id, collections.c.state.in_(_UNDONE)]
        if is_dead is not None:
            workers = self.connection.scalars(sa.select(collections.c.failed_by).where(*undone).distinct())
            dead = [worker for worker in workers if worker is not None and is_dead(worker)]
            undone.append(collections.c.failed_by.in_(dead))
        again = {"state": CollectionState.PENDING.value, "attempts": 0, "skip_reason": None}
        requeue = sa.update(collections).where(*undone)
        accounts = self.connection.execute(requeue.values(**again, available_at=sa.func.now())).rowcount
        self._resume(run)
        return accounts

    def hold(self, run: Run) -> set[CollectionState]:
        """Lock the run for this transaction; return the states that its accounts are in.

        Until it ends nobody else opens the run, closes it or puts accounts back.
        """
        self._lock(runs.c.id == run.id)
        states = sa.select(collections.c.state).where(collections.c.run_id == run.id).distinct()
        return set(map(CollectionState, self.connection.scalars(states)))

    def api_requests(self, run: Run) -> int:
        """Return the paid requests that the run has recorded so far."""
        total = sa.func.coalesce(sa.func.sum(collections.c.api_requests), 0)
        return int(self.connection.scalars(sa.select(total).where(collections.c.run_id == run.id)).one())

    def last_requests(self) -> dict[int, tuple[int, int]]:
        """Return, by account row, (paid requests, days) of the newest collection."""
        days = collections.c.window_end_exclusive - collections.c.window_start
        # One look into the index for each account: reading every collection ever made would take seconds.
        newest = (
            sa.select(collections.c.api_requests, days.label("days"))
            .where(
                collections.c.account_id == accounts.c.id,
                collections.c.state == CollectionState.COLLECTED.value,
            )
            .order_by(collections.c.finished_at.desc())
            .limit(1)
            .lateral()
        )
        statement = sa.select(accounts.c.id, newest).join_from(accounts, newest, sa.true())
        return {row[0]: (row[1], row[2]) for row in self.connection.execute(statement)}

    def close(
        self, run: Run, status: RunStatus, *, now: datetime, stopped_by: StopReason | None = None
    ) -> bool:
        """Set the run's status; return whether this call changed it."""
        changed = sa.update(runs).where(runs.c.id == run.id, runs.c.status != status.value)
        values = {"status": status.value, "finished_at": now, "stopped_by": stopped_by}
        return self.connection.execute(changed.values(**values)).rowcount > 0

    def load(self, run: Run) -> Run:
        """Return the run as it is now."""
        return _run_from_row(self.connection.execute(sa.select(runs).where(runs.c.id == run.id)).one())

    def counts(self, run: Run) -> RunCounts:
        """Return the accounts of the run in numbers."""
        return _tally_of(self.connection.execute(_TALLY, {"run_id": run.id}).all())

    def collections(self, run: Run, *, collected_too: bool = True) -> list[Collection]:
        """Return every account of the run with its outcome, by 12-digit id, or those that need a look."""
        statement = (
            sa.select(*_OUTCOME, accounts.c.aws_account_id, accounts.c.name)
            .join_from(collections, accounts)
            .where(collections.c.run_id == run.id)
            .order_by(accounts.c.aws_account_id)
        )
        if not collected_too:
            is_collected = collections.c.state == CollectionState.COLLECTED.value
            statement = statement.where(~is_collected | (collections.c.days_kept > 0))
        return [_collection_from_row(row) for row in self.connection.execute(statement)]

    def _lock(self, condition: sa.ColumnElement[bool]) -> Run:
        # Not its key: events that other processes write meanwhile refer to it.
        found = sa.select(runs).where(condition).with_for_update(key_share=True)
        return _run_from_row(self.connection.execute(found).one())

    def _reopen(self, run: Run) -> Run:
        """Put the accounts that were not collected back on the list, unless somebody works on it now."""
        held = sa.select(sa.func.count()).where(collections.c.run_id == run.id, _COLLECTING)
        if self.connection.scalars(held).one():
            return run
        self.requeue(run)
        return self.load(run)

    def _resume(self, run: Run) -> None:
        """Set an ended run running again where an account is still to be done."""
        running = RunStatus.RUNNING.value
        to_do = sa.exists().where(collections.c.run_id == run.id, _PENDING | _COLLECTING)
        ended = sa.update(runs).where(runs.c.id == run.id, runs.c.status != running, to_do)
        self.connection.execute(ended.values(status=running, finished_at=None, stopped_by=None))


def _range(start: Any, end_exclusive: Any) -> DateRange | None:  # noqa: ANN401 - nullable columns
    return None if start is None else DateRange(start, end_exclusive)


def _run_from_row(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        key=row.run_key,
        request=RunRequest(
            days=_range(row.days_start, row.days_end_exclusive),
            aws_account_ids=tuple(row.aws_account_ids),
            accept_vanished=row.accept_vanished,
        ),
        status=RunStatus(row.status),
        today=row.today,
        started_at=row.started_at,
        finished_at=row.finished_at,
        stopped_by=StopReason(row.stopped_by) if row.stopped_by else None,
    )


def _tally_of(groups: Sequence[Row[Any]]) -> RunCounts:
    accounts: Counter[CollectionState] = Counter()
    failures: Counter[ErrorKind] = Counter()
    skips: Counter[SkipReason] = Counter()
    for group in groups:
        accounts[CollectionState(group.state)] += group.accounts
        if group.error_kind:
            failures[ErrorKind(group.error_kind)] += group.accounts
        if group.skip_reason:
            skips[SkipReason(group.skip_reason)] += group.accounts
    read = [group for group in groups if group.state == CollectionState.COLLECTED]
    return RunCounts(
        accounts=accounts,
        failures=failures,
        skips=skips,
        days_read=DateRange(
            min(group.window_start for group in read), max(group.window_end_exclusive for group in read)
        )
        if read
        else None,
        rows_fetched=sum(group.rows_fetched for group in groups),
        change=StoredChange(
            inserted=sum(group.rows_inserted for group in groups),
            updated=sum(group.rows_updated for group in groups),
            deleted=sum(group.rows_deleted for group in groups),
        ),
        api_requests=sum(group.api_requests for group in groups),
        unanswered=sum(group.unanswered for group in groups),
        days_kept=sum(group.days_kept for group in groups),
    )


def _collection_from_row(row: Row[Any]) -> Collection:
    failure = None
    if row.error_kind is not None:
        failure = Failure(kind=ErrorKind(row.error_kind), message=row.error_message)
    seconds = None
    if row.started_at and row.finished_at:
        seconds = (row.finished_at - row.started_at).total_seconds()
    return Collection(
        aws_account_id=row.aws_account_id,
        name=row.name,
        state=CollectionState(row.state),
        attempts=row.attempts,
        window=_range(row.window_start, row.window_end_exclusive),
        rows_fetched=row.rows_fetched,
        change=StoredChange(inserted=row.rows_inserted, updated=row.rows_updated, deleted=row.rows_deleted),
        api_requests=row.api_requests,
        unanswered=row.api_requests_unanswered,
        days_kept=row.days_kept,
        failure=failure,
        skip_reason=SkipReason(row.skip_reason) if row.skip_reason else None,
        duration_seconds=seconds,
    )
