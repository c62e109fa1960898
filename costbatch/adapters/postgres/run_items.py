"""Claims: which process may collect which account of a run, and how each account ended.

Leases and pauses are counted by the database's clock, the one clock that all pods share.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from json import dumps
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from costbatch.adapters.postgres.accounts import account_from_row
from costbatch.adapters.postgres.digests import pack
from costbatch.adapters.postgres.tables import accounts, collections
from costbatch.domain.accounts import Account
from costbatch.domain.runs import Claim, CollectionState, Ending, Run, SkipReason

_PENDING = collections.c.state == CollectionState.PENDING.value
_COLLECTING = collections.c.state == CollectionState.COLLECTING.value
# Accounts are claimed ahead while so many are left: then the run's other processes have enough to begin now.
_PLENTY = 1000
_UNCLAIMED = {"claimed_by": None, "claim_token": None, "lease_expires_at": None}

# Texts, not expressions: to build an expression anew for each claim costs more than the statement. The
# savepoint goes with it, and nobody needs to be told of its release.
_CLAIM = sa.text("""
SAVEPOINT claim;
WITH chosen AS (
    SELECT collections.id AS collection_id, accounts.*
    FROM collections JOIN accounts ON accounts.id = collections.account_id
    WHERE collections.run_id = :run_id AND collections.state = 'pending'
      AND collections.available_at <= now()
      AND NOT EXISTS (
        SELECT FROM collections other
        WHERE other.account_id = collections.account_id AND other.state = 'collecting')
    ORDER BY collections.attempts, collections.id
    LIMIT :most + CASE WHEN (
        SELECT count(*) FROM (
            SELECT FROM collections WHERE run_id = :run_id AND state = 'pending' LIMIT :plenty) AS left_over
        ) >= :plenty THEN :ahead ELSE 0 END
    FOR UPDATE OF collections, accounts SKIP LOCKED
)
UPDATE collections SET
    state = 'collecting', claimed_by = :worker, claim_token = gen_random_uuid(),
    lease_expires_at = now() + :lease
FROM chosen WHERE collections.id = chosen.collection_id
RETURNING collections.attempts, collections.claim_token, chosen.*
""").columns(
    sa.column("attempts", sa.SmallInteger),
    sa.column("claim_token", sa.Uuid),
    sa.column("collection_id", sa.BigInteger),
    *(sa.column(column.name, column.type) for column in accounts.c),
)

_HOLD = sa.text("""
SELECT collections.id AS collection_id, accounts.*
FROM collections JOIN accounts ON accounts.id = collections.account_id
WHERE collections.id = ANY(:collection_ids) AND collections.claim_token = ANY(CAST(:tokens AS uuid[]))
-- In one order, so that two processes cannot wait for each other.
ORDER BY collections.id
FOR NO KEY UPDATE
""").columns(
    sa.column("collection_id", sa.BigInteger),
    *(sa.column(column.name, column.type) for column in accounts.c),
)

# One statement for any number of accounts: each costs a round trip in which the accounts wait that land.
# What an ending does not say stays as an earlier attempt left it. The ids stand apart, because the planner
# takes a record set for a hundred rows and reads the table for them.
_FINISH = sa.text("""
WITH ending AS MATERIALIZED (
    SELECT * FROM json_to_recordset(:endings) AS ending (
        id bigint, account_id bigint, state text, api_requests integer, error_kind text, error_message text,
        retry_seconds double precision, skip_reason text, window_start date, window_end_exclusive date,
        rows_fetched integer, rows_inserted integer, rows_updated integer, rows_deleted integer,
        started_at timestamptz, answered_from date, answers text, unanswered integer, days_kept integer)
), finished AS (
    UPDATE collections SET
        state = ending.state,
        failed_by = CASE ending.state WHEN 'collected' THEN NULL ELSE collections.claimed_by END,
        claimed_by = NULL, claim_token = NULL, lease_expires_at = NULL,
        attempts = collections.attempts + 1, api_requests = collections.api_requests + ending.api_requests,
        available_at =
            coalesce(now() + ending.retry_seconds * interval '1 second', collections.available_at),
        finished_at = CASE ending.state WHEN 'pending' THEN NULL ELSE CAST(:now AS timestamptz) END,
        error_kind = CASE ending.state WHEN 'skipped' THEN collections.error_kind ELSE ending.error_kind END,
        error_message =
            CASE ending.state WHEN 'skipped' THEN collections.error_message ELSE ending.error_message END,
        skip_reason = coalesce(ending.skip_reason, collections.skip_reason),
        window_start = coalesce(ending.window_start, collections.window_start),
        window_end_exclusive = coalesce(ending.window_end_exclusive, collections.window_end_exclusive),
        rows_fetched = coalesce(ending.rows_fetched, collections.rows_fetched),
        rows_inserted = coalesce(ending.rows_inserted, collections.rows_inserted),
        rows_updated = coalesce(ending.rows_updated, collections.rows_updated),
        rows_deleted = coalesce(ending.rows_deleted, collections.rows_deleted),
        started_at = coalesce(ending.started_at, collections.started_at),
        api_requests_unanswered = collections.api_requests_unanswered + ending.unanswered,
        days_kept = ending.days_kept
    FROM ending WHERE collections.id = ending.id AND collections.id = ANY(:collection_ids)
), forgotten AS (
    DELETE FROM answers WHERE account_id = ANY(CAST(:forgotten AS bigint[]))
)
INSERT INTO answers (account_id, collection_id, start_date, days)
SELECT account_id, id, answered_from, decode(answers, 'hex') FROM ending WHERE answers IS NOT NULL
ON CONFLICT (account_id) DO UPDATE SET
    collection_id = excluded.collection_id, start_date = excluded.start_date, days = excluded.days
""")


@dataclass(frozen=True, slots=True)
class PostgresClaims:
    """The claims, within one transaction."""

    connection: Connection

    def claim(self, run: Run, *, worker: str, most: int, lease: timedelta, ahead: int = 0) -> list[Claim]:
        """Take up to ``most`` accounts that nobody is working on, first attempts first.

        While plenty are left, ``ahead`` more; with few left each process takes only what it begins now, so
        that another one can begin the rest.
        """
        parameters = {
            "run_id": run.id,
            "worker": worker,
            "lease": lease,
            "most": most,
            "ahead": ahead,
            "plenty": _PLENTY,
        }
        try:
            claimed = self.connection.execute(_CLAIM, parameters).all()
        except IntegrityError:
            # Another run took one of these accounts in the same instant; the next call sees its claim.
            self.connection.exec_driver_sql("ROLLBACK TO SAVEPOINT claim")
            return []
        claims = [
            Claim(
                collection_id=row.collection_id,
                run_id=run.id,
                account=account_from_row(row),
                attempt=row.attempts + 1,
                token=row.claim_token,
            )
            for row in claimed
        ]
        return sorted(claims, key=lambda claim: (claim.attempt, claim.collection_id))

    def extend_leases(self, claims: Sequence[Claim], lease: timedelta) -> None:
        """Keep claims alive."""
        tokens = [claim.token for claim in claims]
        ours = sa.update(collections).where(_COLLECTING, collections.c.claim_token.in_(tokens))
        self.connection.execute(ours.values(lease_expires_at=sa.func.now() + lease))

    def release_claims(self, worker: str) -> int:
        """Give this worker's unfinished accounts back; return how many."""
        return len(self._release(collections.c.claimed_by == worker))

    def release_dead_claims(self, is_gone: Callable[[str], bool]) -> list[tuple[UUID, str]]:
        """Give back what dead workers held, by lease or known to be gone; return (run, worker) of each."""
        holders = self.connection.scalars(sa.select(collections.c.claimed_by).where(_COLLECTING).distinct())
        gone = [worker for worker in holders if is_gone(worker)]
        lapsed = collections.c.lease_expires_at < sa.func.now()
        return self._release(lapsed | collections.c.claimed_by.in_(gone))

    def seconds_until_work(self, run: Run) -> float | None:
        """Return how long until an account may be claimed (0: now); None when every one has its outcome."""
        wait = sa.func.min(collections.c.available_at).filter(_PENDING) - sa.func.now()
        statement = sa.select(sa.func.count(), sa.func.extract("epoch", wait)).where(
            collections.c.run_id == run.id, _PENDING | _COLLECTING
        )
        unfinished, seconds = self.connection.execute(statement).one()
        if not unfinished:
            return None
        return max(float(seconds or 0), 0.0)

    def hold(self, claims: Sequence[Claim]) -> dict[int, Account]:
        """Lock what was claimed for this transaction; return each account as it is now, by collection.

        One that is missing is ours no longer.
        """
        ours = {
            "collection_ids": [claim.collection_id for claim in claims],
            "tokens": [str(claim.token) for claim in claims],
        }
        held = self.connection.execute(_HOLD, ours)
        return {row.collection_id: account_from_row(row) for row in held}

    def finish(self, endings: Sequence[Ending], *, now: datetime) -> None:
        """Record how attempts ended; they count only now, so that kills do not use attempts up.

        What AWS answered goes with it; without an answer nothing is known any more of what was collected.
        """
        ended = {
            "collection_ids": [ending.claim.collection_id for ending in endings],
            "forgotten": [ending.claim.account.id for ending in endings if _brought_no_answer(ending)],
            "endings": dumps([_ending_data(ending) for ending in endings]),
            "now": now,
        }
        self.connection.execute(_FINISH, ended)

    def skip_pending(self, run: Run, reason: SkipReason, *, now: datetime) -> int:
        """Record that every account not begun is left out; return how many."""
        pending = sa.update(collections).where(collections.c.run_id == run.id, _PENDING)
        skipped = {"state": CollectionState.SKIPPED.value, "skip_reason": reason.value, "finished_at": now}
        return self.connection.execute(pending.values(**skipped)).rowcount

    def _release(self, condition: sa.ColumnElement[bool]) -> list[tuple[UUID, str]]:
        # The update itself returns only what a row is afterwards.
        columns = [collections.c.id, collections.c.run_id, collections.c.claimed_by]
        found = sa.select(*columns).where(_COLLECTING, condition).order_by(collections.c.id)
        held = found.with_for_update().cte("held")
        pending = {**_UNCLAIMED, "state": CollectionState.PENDING.value}
        released = sa.update(collections).where(collections.c.id == held.c.id).values(**pending)
        rows = self.connection.execute(released.returning(held.c.run_id, held.c.claimed_by))
        return [(row.run_id, row.claimed_by) for row in rows]


def _brought_no_answer(ending: Ending) -> bool:
    return ending.state is CollectionState.COLLECTED and ending.answers is None


def _ending_data(ending: Ending) -> dict[str, object]:
    """Return an ending as _FINISH reads it."""
    failure, window, change, answers = ending.failure, ending.window, ending.change, ending.answers
    return {
        "id": ending.claim.collection_id,
        "account_id": ending.claim.account.id,
        "state": ending.state.value,
        "api_requests": ending.api_requests,
        "error_kind": failure.kind.value if failure else None,
        "error_message": failure.message if failure else None,
        "retry_seconds": ending.retry_after.total_seconds() if ending.retry_after is not None else None,
        "skip_reason": ending.skip_reason.value if ending.skip_reason else None,
        "window_start": str(window.start) if window else None,
        "window_end_exclusive": str(window.end_exclusive) if window else None,
        "rows_fetched": ending.rows_fetched,
        "rows_inserted": change.inserted if change else None,
        "rows_updated": change.updated if change else None,
        "rows_deleted": change.deleted if change else None,
        "started_at": ending.started_at.isoformat() if ending.started_at else None,
        "answered_from": str(min(answers)) if answers else None,
        "answers": pack(answers).hex() if answers else None,
        "unanswered": ending.unanswered,
        "days_kept": ending.days_kept,
    }
