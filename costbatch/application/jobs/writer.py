"""Saves results in batches: what a job stores, events, progress and outcome of an account commit together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, cast
from uuid import UUID

from costbatch.application.jobs.job import Attempt, Job, R, Result, T, internal_failure
from costbatch.application.jobs.retry import in_transaction, is_lost
from costbatch.application.ports import Clock, Database, Display, Transaction
from costbatch.domain.accounts import AccountStatus, Failing, Progress, failing_since_added
from costbatch.domain.events import Event, account_failed, account_recovered
from costbatch.domain.periods import utc_day
from costbatch.domain.routing import Route
from costbatch.domain.runs import MAX_ATTEMPTS, Failure, ItemState, Outcome, Run, SkipReason
from costbatch.logs import get_logger

log = get_logger(__name__)

# A transaction of this many accounts takes the server little more than half the time of one for each; more
# gain nothing. An account's first run can have a hundred times the rows of an ordinary one.
_MOST_TOGETHER = 20
_MOST_ROWS_TOGETHER = 30_000


@dataclass(frozen=True, slots=True)
class Saved(Generic[T, R]):
    """Results that were saved together, and their outcomes by claim; a lost claim has none."""

    results: Sequence[Attempt[T, R]]
    outcomes: Mapping[UUID, Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer(Generic[T, R]):
    """Saves the results of one run.

    retry_pause: before an account's second attempt; it doubles for the next. routes: where events go.
    """

    database: Database
    job: Job[T, R]
    run: Run
    retry_pause: timedelta
    routes: tuple[Route, ...]
    clock: Clock
    display: Display
    most: int = _MOST_TOGETHER

    def save(self, results: Sequence[Attempt[T, R]]) -> Iterator[Saved[T, R]]:
        """Save results in batches that are not too large for one transaction.

        Raises:
            StorageError: the database is lost.

        """
        batches = self._batches(results)
        # What they hold takes memory that others wait for: nothing here keeps it once it is stored.
        del results
        while batches:
            batch = batches.pop(0)
            try:
                outcomes = self._save(batch)
            except Exception as error:
                if is_lost(error):
                    raise
                # One of them cannot be saved: alone, it does not affect the others.
                outcomes = [outcome for result in batch for outcome in self._save_alone(result)]
            yield Saved(batch, {outcome.item.token: outcome for outcome in outcomes})

    def report(self, saved: Saved[T, R]) -> None:
        """Log and display how each account ended."""
        for result in saved.results:
            account = result.account
            outcome = saved.outcomes.get(result.item.token)
            if outcome is None:
                log.warning("claim_lost", aws_account_id=account.aws_account_id)
                continue
            about: dict[str, Any] = {
                "aws_account_id": account.aws_account_id,
                "state": outcome.state.value,
                "attempt": outcome.item.attempt,
                "api_requests": outcome.api_requests,
            }
            if outcome.failure is None:
                log.info("account_finished", **about)
                for event, fields in outcome.warnings.items():
                    log.warning(event, aws_account_id=account.aws_account_id, **fields)
            else:
                failure = outcome.failure
                log.warning("account_failed", **about, kind=failure.kind.value, reason=failure.message)
            if outcome.state is not ItemState.PENDING:
                self.display.advance(outcome.state.value, account)

    def _batches(self, results: Sequence[Attempt[T, R]]) -> list[list[Attempt[T, R]]]:
        batches: list[list[Attempt[T, R]]] = []
        room = 0
        for result in results:
            value, task, rows = result.value, result.task, 0
            if not (value is None or task is None or isinstance(value, Failure)):
                rows = self.job.weight(task, value)
            if not batches or rows > room:
                batches.append([])
                room = _MOST_ROWS_TOGETHER
            batches[-1].append(result)
            room -= rows
        return batches

    def _save_alone(self, result: Attempt[T, R]) -> list[Outcome]:
        """Save one result; if the database refuses it, the account has failed."""
        try:
            return self._save([result], is_again=True)
        except Exception as error:
            if is_lost(error):
                raise
            log.exception("account_not_stored", aws_account_id=result.account.aws_account_id)
            return self._save([replace(result, value=internal_failure(error))])

    def _save(self, results: Sequence[Attempt[T, R]], *, is_again: bool = False) -> list[Outcome]:
        now = self.clock()

        def save(tx: Transaction) -> list[Outcome]:
            if is_again:
                # What the begin of the run made may be gone, as after a pruning by hand.
                self.job.begin(tx, today=utc_day(now))
            return self._save_in(tx, results, now)

        return in_transaction(self.database, save)

    def _save_in(self, tx: Transaction, results: Sequence[Attempt[T, R]], now: datetime) -> list[Outcome]:
        """Return the outcomes; for items that another process has taken over there are none."""
        ours = {item.token: item for item in tx.items.lock([result.item for result in results])}
        outcomes: list[Outcome] = []
        to_store: list[Result[T, R]] = []
        lost: list[Attempt[T, R]] = []
        for result in results:
            if (item := ours.get(result.item.token)) is None:
                lost.append(result)
                continue
            current = replace(result, item=item)
            if item.account.status is not AccountStatus.ACTIVE:
                outcomes.append(current.skipped(SkipReason.NOT_ACTIVE))
            elif current.value is None:
                outcomes.append(current.skipped(SkipReason.API_COST_CAP))
            elif isinstance(current.value, Failure):
                outcomes.append(current.failed(current.value))
            else:
                to_store.append(cast("Result[T, R]", current))
        if to_store:
            outcomes += self.job.save(tx, self.run, to_store, now=now)
        outcomes = [self._with_retry(outcome) for outcome in outcomes]
        if outcomes:
            tx.items.finish(outcomes, now=now)
            self._record_progress(tx, outcomes, now)
        # What they brought is dropped, and is paid all the same. In one order, as they are locked.
        for result in sorted(lost, key=lambda each: each.item.id):
            tx.items.add_lost_requests(result.item, result.api_requests, unanswered=result.unanswered)
        return outcomes

    def _with_retry(self, outcome: Outcome) -> Outcome:
        """Return the outcome, pending again if the failure is transient and attempts are left."""
        failure, attempt = outcome.failure, outcome.item.attempt
        if failure is None or not failure.kind.is_transient or attempt >= MAX_ATTEMPTS:
            return outcome
        return replace(outcome, state=ItemState.PENDING, retry_after=self.retry_pause * (1 << (attempt - 1)))

    def _record_progress(self, tx: Transaction, outcomes: Sequence[Outcome], now: datetime) -> None:
        changed: dict[int, Progress] = {}
        job, run_id = self.job.name, self.run.id
        # Other runs say nothing about the next night, and the person who started one sees how it ends.
        is_ordinary = self.job.is_ordinary(self.run.request)
        for outcome in outcomes:
            account, before = outcome.item.account, outcome.item.progress
            after, events = before, list[Event]()
            if outcome.state is ItemState.SUCCEEDED:
                still = None if is_ordinary else before.failing
                after, events = replace(outcome.progress, failing=still), list(outcome.events)
                if before.failing is not None and still is None:
                    event = account_recovered(account, before.failing, job=job, run_id=run_id, now=now)
                    events.append(event)
            elif is_ordinary and outcome.state is ItemState.FAILED and (failure := outcome.failure):
                known = failing_since_added(account, before)
                if known is not None and known.kind == failure.kind:
                    continue
                since = known.since if known else now
                after = replace(before, failing=Failing(since=since, kind=failure.kind))
                kind, message = failure.kind, failure.message
                event = account_failed(account, kind, message, job=job, run_id=run_id, now=now)
                events.append(event)
            if after != before:
                changed[account.id] = after
            if events:
                tx.outbox.append(events, self.routes, account_id=account.id, run_id=run_id)
        if changed:
            tx.progress.save(job, changed)
