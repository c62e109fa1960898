"""Settles accounts within a run: costs, judgement, events and outcome of each, several in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from costbatch.application.collect.detect import Judge, Replaced
from costbatch.application.jobs.pool import Landing
from costbatch.application.stores import Transaction
from costbatch.domain.absence import Vanished, may_vanish, weigh_absence
from costbatch.domain.accounts import AccessMethod, Account, AccountStatus, Failing
from costbatch.domain.costs import FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.detection import Rule
from costbatch.domain.events import Event, account_failed, account_recovered
from costbatch.domain.periods import extend_collected
from costbatch.domain.runs import (
    MAX_ATTEMPTS,
    Claim,
    CollectionState,
    Ending,
    Failure,
    Run,
    SkipReason,
)
from costbatch.errors import ErrorKind

_Collected = tuple[Landing, Account, FetchedCosts]


@dataclass(slots=True)
class _Ledger:
    """What a transaction is to write at its end, for all its accounts together."""

    endings: list[Ending] = field(default_factory=list)
    progress: list[Account] = field(default_factory=list)
    proven: list[Access] = field(default_factory=list)
    events: list[tuple[Account, list[Event]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Settles the accounts of one run.

    retry_pause: before an account's second attempt; it doubles for the next.
    sinks: where the events go.
    vanished_ratio: the share of an account's stored days that an answer may remove.
    """

    run: Run
    rule: Rule
    retry_pause: timedelta
    sinks: tuple[str, ...]
    vanished_ratio: Decimal

    def settle(self, tx: Transaction, landings: Sequence[Landing], *, now: datetime) -> dict[int, Ending]:
        """Write everything that the landings mean; return how each account ended, by collection.

        An account that is missing has been taken over by another process: nothing is written of it.
        """
        held = tx.claims.hold([landing.flight.claim for landing in landings])
        ledger = _Ledger()
        collected: list[_Collected] = []
        for landing in landings:
            account = held.get(landing.flight.claim.collection_id)
            match landing.outcome:
                case _ if account is None:
                    continue
                case _ if account.status is not AccountStatus.ACTIVE:
                    ledger.endings.append(_skipped(landing, SkipReason.NOT_ACTIVE))
                case FetchedCosts() as fetched:
                    collected.append((landing, account, fetched))
                case Failure() as failure:
                    self._fail(ledger, landing, account, failure, now)
                case None:
                    ledger.endings.append(_skipped(landing, SkipReason.API_COST_CAP))
        plausible = self._weigh(tx, ledger, collected, now)
        if plausible:
            self._keep(tx, ledger, plausible, now)
        self._write(tx, ledger, now)
        return {ending.claim.collection_id: ending for ending in ledger.endings}

    def _weigh(
        self, tx: Transaction, ledger: _Ledger, collected: Sequence[_Collected], now: datetime
    ) -> list[_Collected]:
        """Return the answers that may be stored; the others fail, because most stored days would vanish."""
        if self.run.request.accept_vanished:
            return [*collected]
        suspects = {
            account.id: fetched.window
            for landing, account, fetched in collected
            if may_vanish(fetched, landing.flight.known)
        }
        stored = tx.costs.stored_days(suspects) if suspects else {}
        plausible: list[_Collected] = []
        for landing, account, fetched in collected:
            weighed: FetchedCosts | Vanished = fetched
            if account.id in suspects:
                known = landing.flight.known
                weighed = weigh_absence(fetched, stored[account.id], known=known, ratio=self.vanished_ratio)
            if isinstance(weighed, Vanished):
                kind = ErrorKind.IMPLAUSIBLE_ANSWER
                failure = Failure(kind=kind, message=f"{weighed} {kind.advice}")
                self._fail(ledger, landing, account, failure, now)
            else:
                plausible.append((landing, account, weighed))
        return plausible

    def _keep(
        self,
        tx: Transaction,
        ledger: _Ledger,
        collected: Sequence[_Collected],
        now: datetime,
    ) -> None:
        # What is kept is not in the answer, and counts when the days after it are judged.
        keeping = {account.id: fetched.window for _, account, fetched in collected if fetched.days_kept}
        kept_totals = tx.costs.day_totals(keeping, self.rule) if keeping else {}
        changes = tx.costs.replace_windows([(account, fetched) for _, account, fetched in collected])
        replaced = [
            Replaced(
                account=account,
                fetched=fetched,
                change=change,
                totals=kept_totals.get(account.id, landing.flight.totals),
            )
            for (landing, account, fetched), change in zip(collected, changes, strict=True)
        ]
        judge = Judge(
            rule=self.rule, today=self.run.today, run_id=self.run.id, now=now, is_backfill=self._is_backfill
        )
        told = judge.judge(tx, replaced)
        for (landing, account, fetched), each, events in zip(collected, replaced, told, strict=True):
            ledger.endings.append(self._collected(landing, each))
            if account.failing is not None:
                events.append(account_recovered(account, run_id=self.run.id, now=now))
            reached = extend_collected(account.collected, fetched.window, is_ordinary=not self._is_backfill)
            _note(ledger, account, replace(account, collected=reached, failing=None), events)
            if account.access is AccessMethod.ACCESS_KEYS and not landing.flight.access.is_proven:
                ledger.proven.append(landing.flight.access)

    def _fail(
        self, ledger: _Ledger, landing: Landing, account: Account, failure: Failure, now: datetime
    ) -> None:
        pause = self._pause_before_retry(landing.flight.claim, failure)
        ended = CollectionState.FAILED if pause is None else CollectionState.PENDING
        ledger.endings.append(_ending(landing, ended, failure=failure, retry_after=pause))
        if pause is not None or (account.failing is not None and account.failing.kind == failure.kind):
            return
        event = account_failed(account, failure.kind, failure.message, run_id=self.run.id, now=now)
        since = account.failing.since if account.failing else now
        _note(ledger, account, replace(account, failing=Failing(since=since, kind=failure.kind)), [event])

    def _collected(self, landing: Landing, replaced: Replaced) -> Ending:
        fetched = replaced.fetched
        return Ending(
            claim=landing.flight.claim,
            state=CollectionState.COLLECTED,
            api_requests=landing.api_requests,
            unanswered=landing.unanswered,
            days_kept=fetched.days_kept,
            window=fetched.window,
            rows_fetched=fetched.rows,
            change=replaced.change,
            started_at=landing.started_at,
            # A backfill's days are not a night's, and what was answered last is no longer what is stored.
            answers=None if self._is_backfill else fetched.answers,
        )

    def _pause_before_retry(self, claim: Claim, failure: Failure) -> timedelta | None:
        if not failure.kind.is_passing or claim.attempt >= MAX_ATTEMPTS:
            return None
        return self.retry_pause * (1 << (claim.attempt - 1))

    def _write(self, tx: Transaction, ledger: _Ledger, now: datetime) -> None:
        _if_any(ledger.endings, lambda: tx.claims.finish(ledger.endings, now=now))
        _if_any(ledger.progress, lambda: tx.accounts.save_progress(ledger.progress))
        _if_any(ledger.proven, lambda: tx.accounts.save_proven(ledger.proven, now=now))
        for account, events in ledger.events:
            tx.outbox.append(events, self.sinks, account_id=account.id, run_id=self.run.id)

    @property
    def _is_backfill(self) -> bool:
        return self.run.request.days is not None


def _note(ledger: _Ledger, before: Account, after: Account, events: list[Event]) -> None:
    if after != before:
        ledger.progress.append(after)
    if events:
        ledger.events.append((after, events))


def _if_any(items: Sequence[object], write: Callable[[], None]) -> None:
    if items:
        write()


def _skipped(landing: Landing, reason: SkipReason) -> Ending:
    return _ending(landing, CollectionState.SKIPPED, skip_reason=reason)


def _ending(
    landing: Landing,
    state: CollectionState,
    *,
    failure: Failure | None = None,
    retry_after: timedelta | None = None,
    skip_reason: SkipReason | None = None,
) -> Ending:
    return Ending(
        claim=landing.flight.claim,
        state=state,
        api_requests=landing.api_requests,
        unanswered=landing.unanswered,
        failure=failure,
        retry_after=retry_after,
        skip_reason=skip_reason,
    )
