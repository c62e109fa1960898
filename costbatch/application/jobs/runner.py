"""Runs a job: opens or joins the run, has this process work on it, and closes it when every item is done."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Event as Signal
from typing import Generic

from costbatch.application.jobs.budget import ApiBudget
from costbatch.application.jobs.job import Job, R, T
from costbatch.application.jobs.policy import RunPolicy
from costbatch.application.jobs.pool import WorkerPool
from costbatch.application.jobs.queue import Queue, dead_of
from costbatch.application.jobs.retry import in_transaction
from costbatch.application.jobs.stopping import StopConditions
from costbatch.application.jobs.writer import Writer
from costbatch.application.ports import Clock, Database, Display, Transaction
from costbatch.application.selection import find_run, select_accounts
from costbatch.domain.events import run_ended
from costbatch.domain.periods import utc_day
from costbatch.domain.runs import Run, RunRequest, RunStatus, SkipReason, StopReason, status_of
from costbatch.errors import ConfigError
from costbatch.logs import bind_run, get_logger

log = get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Runner(Generic[T, R]):
    """Everything that a run needs. ``stop`` is set when the process is asked to end.

    stopping: when the run stops, and what is done with it afterwards.
    """

    job: Job[T, R]
    database: Database
    clock: Clock
    policy: RunPolicy
    display: Display
    worker: str
    is_gone: Callable[[str], bool]
    stop: Signal = field(default_factory=Signal)
    stopping: StopConditions = field(init=False)
    _dead: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        """Begin to count the deadline."""
        self.stopping = StopConditions(
            signal=self.stop, deadline=self.policy.deadline, grace=self.policy.grace
        )

    def run(self, key: str, request: RunRequest) -> Run:
        """Do the job for every account of the request that the run has not done yet; return the ended run.

        Raises:
            ConfigError: the request cannot be carried out.
            StorageError: the database is lost; every account that is done stays done.

        """
        if request.job != self.job.name:
            # What is stored under one name would be looked up under the other one.
            raise ConfigError(
                f"The request is for the job {request.job!r}, but this is the job {self.job.name!r}: make it "
                "with the name of the job that runs it."
            )
        run, unfinished = self._open(key, request)
        bind_run(run_id=str(run.id), run_key=run.key)
        self.stopping.resume(self.clock() - run.started_at)
        if run.status is RunStatus.RUNNING:
            log.info("run_started", accounts=unfinished, today=str(run.today))
        else:
            # A key that never changes would make every later night join the first one.
            log.warning("run_finished_before", status=run.status.value, today=str(run.today))
        self.display.begin(unfinished)
        try:
            # Not closed: a retry requeued failed accounts while this process was about to close the run.
            closed = None
            while closed is None:
                stopped_by = self._work(run)
                closed = in_transaction(self.database, partial(self._close, run=run, stopped_by=stopped_by))
        finally:
            self.display.end()
        return closed

    def give_up(self, key: str) -> None:
        """Record that the run is stopped and release what this process holds: it is about to end at once.

        Raises:
            StorageError: the database does not take it; nothing is tried again.

        """
        with self.database.transaction() as tx:
            if (run := tx.runs.find(self.job.name, key)) and run.status is RunStatus.RUNNING:
                self._close(tx, run, StopReason.SIGNAL)
        # Apart, because what is being written just now is locked until it is there.
        with self.database.transaction() as tx:
            tx.items.release(self.worker)

    def _open(self, key: str, request: RunRequest) -> tuple[Run, int]:
        now = self.clock()
        today = utc_day(now)

        def enter(tx: Transaction) -> tuple[Run, int]:
            named = tx.items.release_dead(self.is_gone)
            run = tx.runs.open(key, request, now=now, version=self.policy.version)
            # Now, because another process may end their claims: then this one would not learn of them again,
            # and neither would the repeat of a commit whose reply was lost.
            self._dead |= dead_of(run, named)
            if not tx.items.has_running(run):
                # No other process works on it: this is a retry, which tries again what did not succeed.
                tx.items.requeue(run)
                self._dead.clear()
            # An earlier process may have listed what was paused or removed since.
            tx.items.skip_inactive(run, now=now)
            unfinished = tx.items.enlist(run)
            return tx.runs.resume(run), unfinished

        def check(tx: Transaction) -> None:
            known = find_run(tx, key, request)
            if known is None and request.aws_account_ids:
                # A run that is resumed skips those that were paused or removed since, and does the others.
                select_accounts(tx, request.aws_account_ids)
            # A retry after midnight may do what its run was allowed to.
            self.job.check(tx, request, today=known.today if known else today)

        in_transaction(self.database, check, stop=self.stop)
        in_transaction(self.database, lambda tx: self.job.begin(tx, today=today), stop=self.stop)
        return in_transaction(self.database, enter, stop=self.stop)

    def _work(self, run: Run) -> StopReason | None:
        """Claim, work and save until every item is done; return why it ended before that."""
        policy, stopping = self.policy, self.stopping
        budget = ApiBudget(policy.most_requests)
        dead, self._dead = self._dead, set()
        pool = WorkerPool(self.job, budget, threads=policy.concurrency, clock=self.clock)
        queue = Queue(
            run=run,
            job=self.job,
            database=self.database,
            policy=policy,
            worker=self.worker,
            is_gone=self.is_gone,
            pool=pool,
            dead=dead,
        )
        writer = Writer(
            database=self.database,
            job=self.job,
            run=run,
            retry_pause=policy.retry_pause,
            routes=policy.routes,
            clock=self.clock,
            display=self.display,
        )
        try:
            while (self._fill(run, pool, queue, budget) or pool.in_flight) and not stopping.is_grace_over():
                # Do not wait for a result while there is room for more items.
                is_hungry = stopping.reason is None and queue.may_claim
                seconds = 0 if is_hungry else queue.beat_seconds
                for saved in writer.save(pool.finished(timeout_seconds=seconds, most=writer.most)):
                    # First of all: waiting items start before anything is logged.
                    pool.saved(saved.results)
                    budget.record(sum(result.api_requests for result in saved.results))
                    reasons = [outcome.skip_reason for outcome in saved.outcomes.values()]
                    budget.left_out += reasons.count(SkipReason.API_COST_CAP)
                    writer.report(saved)
                    # Between two batches too: each may take long to save.
                    queue.keep_alive()
                queue.keep_alive()
        finally:
            pool.close()
        released = in_transaction(self.database, lambda tx: tx.items.release(self.worker))
        if released:
            log.warning("claims_released", accounts=released)
        if budget.left_out:
            log.warning("api_cost_cap_reached", accounts_skipped=budget.left_out)
        return stopping.reason

    def _fill(
        self,
        run: Run,
        pool: WorkerPool[T, R],
        queue: Queue[T, R],
        budget: ApiBudget,
    ) -> bool:
        """Claim and start items while there is room; return whether there is anything to wait for."""
        if self.stopping.reason is not None:
            pool.drop_waiting()
            return False
        if budget.is_capped:
            # Also for items that wait already: other processes may have spent the rest meanwhile.
            budget.learn(in_transaction(self.database, lambda tx: tx.items.api_requests(run)))
        if queue.may_claim:
            # A request in flight may turn out not to be charged.
            if budget.is_spent and not pool.in_flight:
                budget.left_out += in_transaction(self.database, partial(self._leave_out, run=run))
            queue.claim(partial(budget.affordable, in_hand=len(pool.items)))
        return bool(pool.in_flight) or queue.wait_for_work(self.stop.wait, now=self.clock())

    def _leave_out(self, tx: Transaction, run: Run) -> int:
        """Skip what no money is left for; return how many accounts."""
        now = self.clock()
        # First those that were paused or removed meanwhile: it is not the cap that leaves them out.
        tx.items.skip_inactive(run, now=now)
        return tx.items.skip_pending(run, SkipReason.API_COST_CAP, now=now)

    def _close(self, tx: Transaction, run: Run, stopped_by: StopReason | None) -> Run | None:
        """Record how the run ended; the last process writes the run's events.

        None: there is work again, and this process was not stopped.
        """
        now, reason = self.clock(), None
        tx.runs.lock(run)
        status = status_of(tx.items.states(run))
        if status is RunStatus.RUNNING:
            if stopped_by is None:
                return None
            status, reason = RunStatus.STOPPED, stopped_by
        changed = tx.runs.close(run, status, now=now, stopped_by=reason)
        # A retry resumes a run that a signal stopped. After the deadline there may be no retry: report now.
        is_late = reason is StopReason.DEADLINE
        if (changed and reason is None) or (is_late and not tx.items.has_running(run)):
            events = self.job.closing_events(tx, run, now=now)
            tx.outbox.append(events, self.policy.routes, account_id=None, run_id=run.id)
            summary = self.job.after(tx, run, now=now)
            reported = tx.outbox.endings_of_run(run.id)
            event = run_ended(summary, run_id=run.id, run_key=run.key, now=now, reported=reported)
            tx.outbox.append([event], self.policy.routes, account_id=None, run_id=run.id)
        return tx.runs.load(run)
