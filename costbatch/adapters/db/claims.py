"""Claims: which process may collect which account of a run, and how each account ended.

Leases and pauses are counted by the database's clock, the one clock that all pods share.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from costbatch.adapters.db.accounts import account_from_row
from costbatch.adapters.db.tables import accounts, collections
from costbatch.domain.accounts import Account
from costbatch.domain.costs import FetchedCosts, StoredChange
from costbatch.domain.outcomes import Claim, CollectionState, Failure, Run, SkipReason
from costbatch.errors import ClaimLost

_PENDING = collections.c.state == CollectionState.PENDING.value
_COLLECTING = collections.c.state == CollectionState.COLLECTING.value
_UNCLAIMED = {"claimed_by": None, "claim_token": None, "lease_expires_at": None}


@dataclass(frozen=True, slots=True)
class PostgresClaims:
    """The claims, within one transaction."""

    connection: Connection

    def claim(self, run: Run, *, worker: str, most: int, lease: timedelta) -> list[Claim]:
        """Take up to ``most`` accounts that nobody is working on, first attempts first."""
        try:
            with self.connection.begin_nested():
                claimed = self.connection.execute(_claim(run, worker, most, lease)).all()
        except IntegrityError:
            # Another run took one of these accounts in the same instant; the next call sees its claim.
            return []
        by_row = {row.account_id: row for row in claimed}
        found = self.connection.execute(sa.select(accounts).where(accounts.c.id.in_(by_row)))
        claims = [
            Claim(
                collection_id=by_row[account.id].id,
                run_id=run.id,
                account=account,
                attempt=by_row[account.id].attempts + 1,
                token=by_row[account.id].claim_token,
            )
            for account in map(account_from_row, found)
        ]
        return sorted(claims, key=lambda claim: (claim.attempt, claim.collection_id))

    def extend_leases(self, claims: Sequence[Claim], lease: timedelta) -> None:
        """Keep claims alive."""
        tokens = [claim.token for claim in claims]
        ours = sa.update(collections).where(_COLLECTING, collections.c.claim_token.in_(tokens))
        self.connection.execute(ours.values(lease_expires_at=sa.func.now() + lease))

    def release_claims(self, worker: str) -> int:
        """Give this worker's unfinished accounts back; return how many."""
        return self._release(collections.c.claimed_by == worker)

    def release_dead_claims(self, is_gone: Callable[[str], bool]) -> int:
        """Give back what dead workers held, by lapsed lease or known to be gone; return how many."""
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

    def hold(self, claim: Claim) -> Account:
        """Lock the claimed account for this transaction and return it as it is now.

        Raises:
            ClaimLost: the claim is no longer ours.

        """
        mine = (collections.c.id == claim.collection_id) & (collections.c.claim_token == claim.token)
        statement = sa.select(collections.c.id).where(mine).with_for_update()
        if self.connection.execute(statement).first() is None:
            raise ClaimLost(f"Another process has taken {claim.account} over.")
        account = sa.select(accounts).where(accounts.c.id == claim.account.id)
        row = self.connection.execute(account.with_for_update(key_share=True)).one()
        return account_from_row(row)

    def save_collected(
        self,
        claim: Claim,
        fetched: FetchedCosts,
        change: StoredChange,
        *,
        started_at: datetime,
        now: datetime,
    ) -> None:
        """Record that the account was collected."""
        self._finish(
            claim,
            CollectionState.COLLECTED,
            fetched.api_requests,
            now,
            window_start=fetched.window.start,
            window_end_exclusive=fetched.window.end_exclusive,
            rows_fetched=len(fetched.rows),
            rows_inserted=change.inserted,
            rows_updated=change.updated,
            rows_deleted=change.deleted,
            started_at=started_at,
            error_kind=None,
            error_message=None,
        )

    def save_failed(
        self,
        claim: Claim,
        failure: Failure,
        *,
        api_requests: int,
        retry_after: timedelta | None,
        now: datetime,
    ) -> None:
        """Record a failed attempt; with ``retry_after`` the account waits for another one."""
        reason = {"error_kind": failure.kind.value, "error_message": failure.message}
        if retry_after is None:
            self._finish(claim, CollectionState.FAILED, api_requests, now, **reason)
        else:
            available_at = sa.func.now() + retry_after
            self._finish(
                claim, CollectionState.PENDING, api_requests, None, available_at=available_at, **reason
            )

    def save_skipped(self, claim: Claim, reason: SkipReason, *, api_requests: int, now: datetime) -> None:
        """Record that the account was left out."""
        self._finish(claim, CollectionState.SKIPPED, api_requests, now, skip_reason=reason.value)

    def skip_pending(self, run: Run, reason: SkipReason, *, now: datetime) -> int:
        """Record that every account not begun is left out; return how many."""
        pending = sa.update(collections).where(collections.c.run_id == run.id, _PENDING)
        skipped = {"state": CollectionState.SKIPPED.value, "skip_reason": reason.value, "finished_at": now}
        return self.connection.execute(pending.values(**skipped)).rowcount

    def _release(self, condition: sa.ColumnElement[bool]) -> int:
        released = sa.update(collections).where(_COLLECTING, condition)
        pending = CollectionState.PENDING.value
        return self.connection.execute(released.values(**_UNCLAIMED, state=pending)).rowcount

    def _finish(
        self, claim: Claim, state: CollectionState, api_requests: int, now: datetime | None, **values: object
    ) -> None:
        """Record how an attempt ended; it counts only now, so that kills do not use attempts up."""
        statement = sa.update(collections).where(collections.c.id == claim.collection_id)
        self.connection.execute(
            statement.values(
                **_UNCLAIMED,
                state=state.value,
                attempts=collections.c.attempts + 1,
                api_requests=collections.c.api_requests + api_requests,
                finished_at=now,
                **values,
            )
        )


def _claim(run: Run, worker: str, most: int, lease: timedelta) -> sa.Update:
    """Return the statement that takes accounts of the run, leaving those that anybody works on."""
    other = collections.alias("other")
    taken = sa.exists().where(
        other.c.account_id == collections.c.account_id, other.c.state == CollectionState.COLLECTING.value
    )
    chosen = (
        sa.select(collections.c.id)
        .join_from(collections, accounts, collections.c.account_id == accounts.c.id)
        .where(collections.c.run_id == run.id, _PENDING, collections.c.available_at <= sa.func.now(), ~taken)
        .order_by(collections.c.attempts, collections.c.id)
        .limit(most)
        .with_for_update(of=(collections, accounts), skip_locked=True)
        .cte("chosen")
    )
    return (
        sa.update(collections)
        .where(collections.c.id == chosen.c.id)
        .values(
            state=CollectionState.COLLECTING.value,
            claimed_by=worker,
            claim_token=sa.func.gen_random_uuid(),
            lease_expires_at=sa.func.now() + lease,
        )
        .returning(
            collections.c.id, collections.c.account_id, collections.c.attempts, collections.c.claim_token
        )
    )
