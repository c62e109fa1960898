"""Work items: who works on which account of a run, and how each ended.

Leases and pauses are counted by the database's clock, which all pods share.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from json import dumps
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import IntegrityError
from typing_extensions import override

from costbatch.adapters.postgres.accounts import account_from_row
from costbatch.adapters.postgres.progress import PROGRESS_COLUMNS, progress_from_row
from costbatch.adapters.postgres.tables import HAD_TURN_IN_VAIN, accounts, run_items, runs
from costbatch.application.jobs.ports import ItemStore
from costbatch.domain.accounts import AccountStatus
from costbatch.domain.runs import (
    SUSPECT_TAKEOVERS,
    UNFINISHED,
    Failure,
    ItemRecord,
    ItemState,
    Outcome,
    Run,
    RunCounts,
    SkipReason,
    WorkItem,
)
from costbatch.errors import ErrorKind

_PENDING = run_items.c.state == ItemState.PENDING.value
_RUNNING = run_items.c.state == ItemState.RUNNING.value
_UNFINISHED = run_items.c.state.in_(UNFINISHED)
# Items are claimed ahead while this many are left: then the other processes have enough to begin now.
_PLENTY = 1000
_UNDONE = (ItemState.FAILED.value, ItemState.SKIPPED.value)
_UNCLAIMED = {"claimed_by": None, "claim_token": None, "lease_expires_at": None}

_ITEM_COLUMNS = (
    sa.column("item_id", sa.BigInteger),
    sa.column("attempts", sa.SmallInteger),
    sa.column("takeovers", sa.SmallInteger),
    sa.column("claim_token", sa.Uuid),
    sa.column("run_id", sa.Uuid),
    sa.column("failed_by", sa.Text),
    *(sa.column(column.name, column.type) for column in accounts.c),
    *PROGRESS_COLUMNS,
)

# Named one by one: a newer version may add columns to the table during a run.
_OF_ACCOUNTS = ", ".join(f"accounts.{column.name}" for column in accounts.c)

# Texts, not expressions: building an expression for each claim costs more than the statement. The savepoint
# is part of the text to save a round trip.
_CLAIM = sa.text(f"""
SAVEPOINT claim;
WITH chosen AS (
    SELECT run_items.id AS item_id, {_OF_ACCOUNTS},
        progress.covered_start, progress.covered_end_exclusive, progress.backfilled_from,
        progress.unknown_days, progress.failing_since, progress.failing_kind
    FROM run_items JOIN accounts ON accounts.id = run_items.account_id
    LEFT JOIN account_progress progress
        ON progress.account_id = run_items.account_id AND progress.job = run_items.job
    WHERE run_items.run_id = :run_id AND run_items.state = 'pending' AND accounts.status = 'active'
      AND run_items.available_at <= now() AND (run_items.takeovers >= :suspect) = :suspects
      AND NOT EXISTS (
        SELECT FROM run_items other
        WHERE other.account_id = run_items.account_id AND other.job = run_items.job
          AND other.state = 'running')
    ORDER BY run_items.takeovers, run_items.attempts, run_items.id
    LIMIT :most + CASE WHEN (
        SELECT count(*) FROM (
            SELECT FROM run_items WHERE run_id = :run_id AND state = 'pending' LIMIT :plenty) AS left_over
        ) >= :plenty THEN :ahead ELSE 0 END
    FOR UPDATE OF run_items, accounts SKIP LOCKED
)
UPDATE run_items SET
    state = 'running', claimed_by = :worker, claim_token = gen_random_uuid(),
    lease_expires_at = now() + :lease
FROM chosen WHERE run_items.id = chosen.item_id
RETURNING run_items.attempts, run_items.takeovers, run_items.claim_token, run_items.run_id,
    run_items.failed_by, chosen.*
""").columns(*_ITEM_COLUMNS)  # noqa: S608 - names of columns

# Two statements, because only the second one sees what the first had to wait for; in one text to save a round
# trip. Locked in the order of the accounts, which every job shares: two processes cannot wait for each other.
_LOCK = sa.text(f"""
SELECT FROM run_items JOIN accounts ON accounts.id = run_items.account_id
WHERE run_items.id = ANY(:item_ids) AND run_items.claim_token = ANY(CAST(:tokens AS uuid[]))
ORDER BY accounts.id, run_items.id
FOR NO KEY UPDATE;
SELECT run_items.id AS item_id, run_items.attempts, run_items.takeovers, run_items.claim_token,
    run_items.run_id, run_items.failed_by, {_OF_ACCOUNTS},
    progress.covered_start, progress.covered_end_exclusive, progress.backfilled_from,
    progress.unknown_days, progress.failing_since, progress.failing_kind
FROM run_items JOIN accounts ON accounts.id = run_items.account_id
LEFT JOIN account_progress progress
    ON progress.account_id = run_items.account_id AND progress.job = run_items.job
WHERE run_items.id = ANY(:item_ids) AND run_items.claim_token = ANY(CAST(:tokens AS uuid[]))
""").columns(*_ITEM_COLUMNS)  # noqa: S608 - names of columns

# One statement for any number of items. What an outcome does not say stays as an earlier attempt left it.
# The ids stand apart because the planner takes a record set for a hundred rows and reads the table for them.
_FINISH = sa.text("""
WITH outcome AS MATERIALIZED (
    SELECT * FROM json_to_recordset(:outcomes) AS outcome (
        id bigint, state text, api_requests integer, unanswered integer, error_kind text, error_message text,
        retry_seconds double precision, skip_reason text, started_at timestamptz)
)
UPDATE run_items SET
    state = outcome.state,
    failed_by = CASE WHEN outcome.state IN ('failed', 'skipped') THEN run_items.claimed_by END,
    claimed_by = NULL, claim_token = NULL, lease_expires_at = NULL,
    attempts = run_items.attempts + 1, api_requests = run_items.api_requests + outcome.api_requests,
    api_requests_unanswered = run_items.api_requests_unanswered + outcome.unanswered,
    available_at =
        coalesce(now() + outcome.retry_seconds * interval '1 second', run_items.available_at),
    finished_at = CASE outcome.state WHEN 'pending' THEN NULL ELSE CAST(:now AS timestamptz) END,
    error_kind = CASE outcome.state WHEN 'skipped' THEN run_items.error_kind ELSE outcome.error_kind END,
    error_message =
        CASE outcome.state WHEN 'skipped' THEN run_items.error_message ELSE outcome.error_message END,
    skip_reason = coalesce(outcome.skip_reason, run_items.skip_reason),
    started_at = coalesce(outcome.started_at, run_items.started_at)
FROM outcome WHERE run_items.id = outcome.id AND run_items.id = ANY(:item_ids)
""")

# The error of an earlier attempt stays on an account that ended otherwise.
_COUNTS = sa.text("""
SELECT state, CASE state WHEN 'failed' THEN error_kind END AS error_kind, skip_reason, count(*) AS accounts,
    sum(api_requests) AS api_requests, sum(api_requests_unanswered) AS unanswered
FROM run_items WHERE run_id = :run_id GROUP BY 1, 2, 3
""")


@dataclass(frozen=True, slots=True)
class PostgresRunItems(ItemStore):
    """The work items, within one transaction."""

    connection: Connection

    @override
    def enlist(self, run: Run) -> int:
        request = run.request
        # The row of the run is locked since it was opened: no other process adds items meanwhile.
        is_listed = sa.exists().where(run_items.c.run_id == run.id, run_items.c.account_id == accounts.c.id)
        wanted = [accounts.c.status == AccountStatus.ACTIVE.value, ~is_listed]
        if request.aws_account_ids:
            wanted.append(accounts.c.aws_account_id.in_(request.aws_account_ids))
        found = sa.select(
            accounts.c.id, accounts.c.aws_account_id, _newest_turn(request.job).label("item_id")
        )
        account, turn = found.where(*wanted).subquery("account"), run_items.alias("turn")
        is_cut = turn.c.skip_reason == SkipReason.API_COST_CAP.value
        listed = (
            sa.select(
                sa.literal(run.id),
                sa.literal(request.job),
                account.c.id,
                sa.literal(ItemState.PENDING.value),
                sa.func.now(),
            )
            .join_from(account, turn, turn.c.id == account.c.item_id, isouter=True)
            .outerjoin(runs, runs.c.id == turn.c.run_id)
            # Claimed in the order of their ids: under a cap or a deadline each account has its turn.
            .order_by(
                runs.c.sequence.nulls_first(),
                # Of those that the cap cut short, the first one spent it, and the others waited for it.
                sa.case((is_cut, -turn.c.id)).nulls_first(),
                turn.c.id,
                account.c.aws_account_id,
            )
        )
        columns = ["run_id", "job", "account_id", "state", "available_at"]
        self.connection.execute(sa.insert(run_items).from_select(columns, listed))
        unfinished = sa.select(sa.func.count()).where(run_items.c.run_id == run.id, _UNFINISHED)
        return self.connection.scalars(unfinished).one()

    @override
    def has_running(self, run: Run) -> bool:
        running = sa.select(sa.exists().where(run_items.c.run_id == run.id, _RUNNING))
        return self.connection.scalars(running).one()

    @override
    def requeue(self, run: Run, is_dead: Callable[[str], bool] | None = None) -> int:
        undone = [run_items.c.run_id == run.id, run_items.c.state.in_(_UNDONE)]
        if is_dead is not None:
            workers = self.connection.scalars(sa.select(run_items.c.failed_by).where(*undone).distinct())
            dead = [worker for worker in workers if worker is not None and is_dead(worker)]
            undone.append(run_items.c.failed_by.in_(dead))
        pending = {"attempts": 0, "takeovers": 0, "skip_reason": None, "failed_by": None}
        requeued = sa.update(run_items).where(*undone).values(state=ItemState.PENDING.value, **pending)
        return self.connection.execute(requeued.values(available_at=sa.func.now())).rowcount

    @override
    def claim(
        self, run: Run, *, worker: str, most: int, lease: timedelta, ahead: int = 0, suspects: bool = False
    ) -> list[WorkItem]:
        parameters = {
            "run_id": run.id,
            "worker": worker,
            "lease": lease,
            "most": most,
            "ahead": ahead,
            "plenty": _PLENTY,
            "suspect": SUSPECT_TAKEOVERS,
            "suspects": suspects,
        }
        try:
            claimed = self.connection.execute(_CLAIM, parameters).all()
        except IntegrityError:
            # Another run claimed one of these accounts in the same instant; the next call sees its claim.
            self.connection.exec_driver_sql("ROLLBACK TO SAVEPOINT claim")
            return []
        return sorted(map(_item_from_row, claimed), key=lambda item: (item.takeovers, item.attempt, item.id))

    @override
    def extend_leases(self, items: Sequence[WorkItem], lease: timedelta) -> None:
        tokens = [item.token for item in items]
        ours = sa.update(run_items).where(_RUNNING, run_items.c.claim_token.in_(tokens))
        self.connection.execute(ours.values(lease_expires_at=sa.func.now() + lease))

    @override
    def release(self, worker: str) -> int:
        return len(self._release(run_items.c.claimed_by == worker, died=False))

    @override
    def release_dead(self, is_gone: Callable[[str], bool]) -> list[tuple[UUID, str]]:
        lapsed = run_items.c.lease_expires_at < sa.func.now()
        columns = (run_items.c.run_id, run_items.c.claimed_by)
        holders = sa.select(*columns, sa.func.bool_or(lapsed).label("has_lapsed")).where(_RUNNING)
        found = self.connection.execute(holders.group_by(*columns)).all()
        gone = [worker for worker in {holder.claimed_by for holder in found} if is_gone(worker)]
        dead = lapsed | run_items.c.claimed_by.in_(gone)
        # If its node vanished in the middle of a save, its locks stay until PostgreSQL has noticed.
        released = self._release(dead, died=True)
        named = {
            (holder.run_id, holder.claimed_by)
            for holder in found
            if holder.has_lapsed or holder.claimed_by in gone
        }
        return [*released, *named.difference(released)]

    @override
    def seconds_until_work(self, run: Run) -> float | None:
        wait = sa.func.min(run_items.c.available_at).filter(_PENDING) - sa.func.now()
        statement = sa.select(sa.func.count(), sa.func.extract("epoch", wait)).where(
            run_items.c.run_id == run.id, _UNFINISHED
        )
        unfinished, seconds = self.connection.execute(statement).one()
        if not unfinished:
            return None
        return max(float(seconds or 0), 0.0)

    @override
    def lock(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        ours = {"item_ids": [item.id for item in items], "tokens": [str(item.token) for item in items]}
        return [_item_from_row(row) for row in self.connection.execute(_LOCK, ours)]

    @override
    def finish(self, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        data: list[dict[str, object]] = []
        for outcome in outcomes:
            failure, retry_after = outcome.failure, outcome.retry_after
            data.append(
                {
                    "id": outcome.item.id,
                    "state": outcome.state.value,
                    "api_requests": outcome.api_requests,
                    "unanswered": outcome.unanswered,
                    "error_kind": failure.kind.value if failure else None,
                    "error_message": failure.message if failure else None,
                    "retry_seconds": retry_after.total_seconds() if retry_after is not None else None,
                    "skip_reason": outcome.skip_reason.value if outcome.skip_reason else None,
                    "started_at": outcome.started_at.isoformat() if outcome.started_at else None,
                }
            )
        item_ids = [outcome.item.id for outcome in outcomes]
        self.connection.execute(_FINISH, {"item_ids": item_ids, "outcomes": dumps(data), "now": now})

    @override
    def skip_pending(self, run: Run, reason: SkipReason, *, now: datetime) -> int:
        return self._skip((run_items.c.run_id == run.id) & _PENDING, reason, now)

    @override
    def skip_inactive(self, run: Run, *, now: datetime) -> int:
        is_inactive = accounts.c.status != AccountStatus.ACTIVE.value
        found = sa.select(run_items.c.id).join_from(run_items, accounts)
        found = found.where(run_items.c.run_id == run.id, _PENDING, is_inactive).order_by(run_items.c.id)
        # Locked in one order, and none that another process is claiming or skipping.
        ids = found.with_for_update(of=run_items, skip_locked=True).cte("inactive")
        return self._skip(run_items.c.id == ids.c.id, SkipReason.NOT_ACTIVE, now)

    @override
    def states(self, run: Run) -> set[ItemState]:
        is_meant = run_items.c.skip_reason.is_distinct_from(SkipReason.NOT_ACTIVE.value)
        states = sa.select(run_items.c.state).where(run_items.c.run_id == run.id, is_meant).distinct()
        return set(map(ItemState, self.connection.scalars(states)))

    @override
    def counts(self, run: Run) -> RunCounts:
        by_state: Counter[ItemState] = Counter()
        failures: Counter[ErrorKind] = Counter()
        skips: Counter[SkipReason] = Counter()
        api_requests = unanswered = 0
        for group in self.connection.execute(_COUNTS, {"run_id": run.id}):
            by_state[ItemState(group.state)] += group.accounts
            api_requests += group.api_requests
            unanswered += group.unanswered
            if group.error_kind:
                failures[ErrorKind(group.error_kind)] += group.accounts
            if group.skip_reason:
                skips[SkipReason(group.skip_reason)] += group.accounts
        return RunCounts(
            accounts=by_state,
            failures=failures,
            skips=skips,
            api_requests=api_requests,
            unanswered=unanswered,
        )

    @override
    def records(
        self, run: Run, *, succeeded_too: bool = True, also: Collection[int] = ()
    ) -> list[ItemRecord]:
        statement = (
            sa.select(run_items, accounts.c.aws_account_id, accounts.c.name)
            .join_from(run_items, accounts)
            .where(run_items.c.run_id == run.id)
            .order_by(accounts.c.aws_account_id)
        )
        if not succeeded_too:
            succeeded = run_items.c.state == ItemState.SUCCEEDED.value
            statement = statement.where(~succeeded | run_items.c.id.in_(also))
        return [_record_from_row(row) for row in self.connection.execute(statement)]

    @override
    def listed_of(self, run: Run, account_ids: Collection[int]) -> set[int]:
        listed = sa.select(run_items.c.account_id).where(run_items.c.run_id == run.id)
        return set(self.connection.scalars(listed.where(run_items.c.account_id.in_(account_ids))))

    @override
    def add_requests(self, run: Run, account_id: int, requests: int, *, unanswered: int) -> None:
        of_account = (run_items.c.run_id == run.id) & (run_items.c.account_id == account_id)
        self._add_requests(of_account, requests, unanswered)

    @override
    def add_lost_requests(self, item: WorkItem, requests: int, *, unanswered: int) -> None:
        is_taken_over = (run_items.c.id == item.id) & (run_items.c.takeovers > item.takeovers)
        self._add_requests(is_taken_over, requests, unanswered)

    @override
    def api_requests(self, run: Run) -> int:
        total = sa.func.coalesce(sa.func.sum(run_items.c.api_requests), 0)
        return int(self.connection.scalars(sa.select(total).where(run_items.c.run_id == run.id)).one())

    def _skip(self, condition: sa.ColumnElement[bool], reason: SkipReason, now: datetime) -> int:
        skipped = {"state": ItemState.SKIPPED.value, "skip_reason": reason.value, "finished_at": now}
        # A process that died with one of them before is not the reason.
        update = sa.update(run_items).where(condition).values(**skipped, failed_by=None)
        return self.connection.execute(update).rowcount

    def _add_requests(self, condition: sa.ColumnElement[bool], requests: int, unanswered: int) -> None:
        counts = {
            "api_requests": run_items.c.api_requests + requests,
            "api_requests_unanswered": run_items.c.api_requests_unanswered + unanswered,
        }
        self.connection.execute(sa.update(run_items).where(condition).values(**counts))

    def _release(self, condition: sa.ColumnElement[bool], *, died: bool) -> list[tuple[UUID, str]]:
        # The update itself returns only what a row is afterwards.
        columns = [run_items.c.id, run_items.c.run_id, run_items.c.claimed_by]
        found = sa.select(*columns).where(_RUNNING, condition).order_by(run_items.c.id)
        held = found.with_for_update(skip_locked=died).cte("held")
        pending: dict[str, Any] = {**_UNCLAIMED, "state": ItemState.PENDING.value}
        if died:
            # The process that takes it over learns of the death from it.
            pending |= {"takeovers": run_items.c.takeovers + 1, "failed_by": held.c.claimed_by}
        released = sa.update(run_items).where(run_items.c.id == held.c.id).values(**pending)
        rows = self.connection.execute(released.returning(held.c.run_id, held.c.claimed_by))
        return [(row.run_id, row.claimed_by) for row in rows]


def _item_from_row(row: Row[Any]) -> WorkItem:
    return WorkItem(
        id=row.item_id,
        run_id=row.run_id,
        account=account_from_row(row),
        progress=progress_from_row(row),
        attempt=row.attempts + 1,
        token=row.claim_token,
        takeovers=row.takeovers,
        left_by=row.failed_by,
    )


def _record_from_row(row: Row[Any]) -> ItemRecord:
    failure = None
    if row.error_kind is not None:
        failure = Failure(kind=ErrorKind(row.error_kind), message=row.error_message)
    seconds = None
    if row.started_at and row.finished_at:
        seconds = (row.finished_at - row.started_at).total_seconds()
    return ItemRecord(
        id=row.id,
        aws_account_id=row.aws_account_id,
        name=row.name,
        state=ItemState(row.state),
        attempts=row.attempts,
        api_requests=row.api_requests,
        unanswered=row.api_requests_unanswered,
        failure=failure,
        skip_reason=SkipReason(row.skip_reason) if row.skip_reason else None,
        duration_seconds=seconds,
    )


def is_of_run(records: sa.Table, run: Run) -> sa.ColumnElement[bool]:
    """Return the condition that a job's record of a work item is of the run."""
    ids = sa.select(run_items.c.id).where(run_items.c.run_id == run.id).correlate(None).scalar_subquery()
    # As an array the ids are looked up one by one; a join would read the records of every run ever made.
    return records.c.run_item_id == sa.any_(sa.func.array(ids))


def _newest_turn(job: str) -> sa.ColumnElement[Any]:
    """Return the newest item of an account that ended by itself or was paid for, or null without one."""
    item = run_items.c
    of_account = sa.select(item.id).where(item.account_id == accounts.c.id, item.job == job)
    succeeded = of_account.where(item.state == ItemState.SUCCEEDED.value)
    succeeded = succeeded.order_by(item.finished_at.desc())
    in_vain = of_account.where(sa.text(f"({HAD_TURN_IN_VAIN})")).order_by(item.id.desc())
    # The larger one, or the one that is not null. No account succeeds by a wrong clock: AWS refuses it.
    return sa.func.greatest(*(found.limit(1).scalar_subquery() for found in (succeeded, in_vain)))
