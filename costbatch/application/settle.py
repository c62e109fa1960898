"""Settles one account within a run: costs, judgement, events and outcome, in one transaction."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from costbatch.application.fetching import Landing
from costbatch.application.judge import Judge
from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account, AccountStatus, Failing
from costbatch.domain.costs import FetchedCosts
from costbatch.domain.detection import Rule
from costbatch.domain.events import Event, account_failed, account_recovered
from costbatch.domain.outcomes import MAX_ATTEMPTS, Claim, CollectionState, Failure, Run, SkipReason
from costbatch.domain.periods import extend_collected


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Settles the accounts of one run.

    retry_pause: before an account's second attempt; it doubles for the next.
    sinks: where the events go.
    """

    run: Run
    rule: Rule
    retry_pause: timedelta
    sinks: tuple[str, ...]

    def settle(self, tx: Transaction, landing: Landing, *, now: datetime) -> CollectionState:
        """Write everything that a landing means; return where the account stands.

        Raises:
            ClaimLost: another process has the account now; nothing is written.

        """
        claim, outcome = landing.flight.claim, landing.outcome
        account = tx.claims.hold(claim)
        if account.status is not AccountStatus.ACTIVE:
            return self._skip(tx, landing, SkipReason.NOT_ACTIVE, now)
        match outcome:
            case FetchedCosts():
                return self._keep(tx, account, landing, outcome, now)
            case Failure():
                return self._fail(tx, account, landing, outcome, now)
            case None:
                return self._skip(tx, landing, SkipReason.API_COST_CAP, now)

    def _keep(
        self, tx: Transaction, account: Account, landing: Landing, fetched: FetchedCosts, now: datetime
    ) -> CollectionState:
        claim, is_backfill = landing.flight.claim, self.run.request.days is not None
        change = tx.costs.replace_window(account, fetched.window, fetched.rows)
        judge = Judge(
            rule=self.rule, today=self.run.today, run_id=self.run.id, now=now, is_backfill=is_backfill
        )
        events = judge.judge(tx, account, fetched.window, change)
        collected = extend_collected(account.collected, fetched.window, is_ordinary=not is_backfill)
        if collected != account.collected:
            tx.accounts.save_collected(account, collected)
        if account.failing is not None:
            events.append(account_recovered(account, run_id=self.run.id, now=now))
            tx.accounts.save_failing(account, None)
        tx.claims.save_collected(claim, fetched, change, started_at=landing.started_at, now=now)
        self._tell(tx, account, events)
        return CollectionState.COLLECTED

    def _fail(
        self, tx: Transaction, account: Account, landing: Landing, failure: Failure, now: datetime
    ) -> CollectionState:
        claim = landing.flight.claim
        pause = self._pause_before_retry(claim, failure)
        tx.claims.save_failed(claim, failure, api_requests=landing.api_requests, retry_after=pause, now=now)
        if pause is not None:
            return CollectionState.PENDING
        if account.failing is None or account.failing.kind != failure.kind:
            event = account_failed(account, failure.kind, failure.message, run_id=self.run.id, now=now)
            self._tell(tx, account, [event])
            failing = Failing(since=now, kind=failure.kind)
            if account.failing is not None:
                failing = replace(failing, since=account.failing.since)
            tx.accounts.save_failing(account, failing)
        return CollectionState.FAILED

    def _skip(self, tx: Transaction, landing: Landing, reason: SkipReason, now: datetime) -> CollectionState:
        tx.claims.save_skipped(landing.flight.claim, reason, api_requests=landing.api_requests, now=now)
        return CollectionState.SKIPPED

    def _pause_before_retry(self, claim: Claim, failure: Failure) -> timedelta | None:
        if not failure.kind.is_passing or claim.attempt >= MAX_ATTEMPTS:
            return None
        return self.retry_pause * (1 << (claim.attempt - 1))

    def _tell(self, tx: Transaction, account: Account, events: list[Event]) -> None:
        tx.outbox.append(events, self.sinks, account_id=account.id, run_id=self.run.id)
