"""The run: opens or joins it, has this process work on it, and closes it when every account is done."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Event as Signal

from costbatch.application.collect.plan import check_days, select_accounts
from costbatch.application.collect.report import brief_report
from costbatch.application.jobs.retry import in_transaction
from costbatch.application.jobs.runner import Shift
from costbatch.application.policy import CollectPolicy
from costbatch.application.ports import Clock, CostSource, Progress
from costbatch.application.stores import Database, Transaction
from costbatch.domain.events import run_ended
from costbatch.domain.periods import DateRange, month_start, utc_day
from costbatch.domain.runs import Run, RunRequest, RunStatus, StopReason, status_of
from costbatch.logs import bind_run, get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Everything a run needs from outside. ``stop`` is set when the process is asked to end."""

    database: Database
    source: CostSource
    clock: Clock
    policy: CollectPolicy
    progress: Progress
    worker: str
    is_gone: Callable[[str], bool]
    stop: Signal = field(default_factory=Signal)

    def collect(self, key: str, request: RunRequest) -> Run:
        """Collect every account of the request that the run has not collected yet; return the run at its end.

        Raises:
            ConfigError: days that cannot be had, or accounts that are not there.
            StorageError: the database is lost; every account that is done stays done.

        """
        if request.days is not None:
            check_days(request.days, today=utc_day(self.clock()))
        run, to_do = self._open(key, request)
        bind_run(run_id=str(run.id), run_key=run.key)
        if run.status is RunStatus.RUNNING:
            log.info("run_started", accounts=to_do, today=str(run.today))
        else:
            # A key that never changes would make every later night join the first one.
            log.warning("run_finished_before", status=run.status.value, today=str(run.today))
        self.progress.begin(to_do)
        try:
            return self._work_until_closed(run)
        finally:
            self.progress.end()

    def give_up(self, key: str) -> None:
        """Record that the run is stopped and release what this process holds: it is about to end at once.

        Raises:
            StorageError: the database does not take it; nothing is tried again.

        """
        with self.database.transaction() as tx:
            if (run := tx.runs.find(key)) is not None and run.status is RunStatus.RUNNING:
                self._close(tx, run=run, stopped_by=StopReason.SIGNAL)
        # Apart, because what is being written just now is locked until it is there.
        with self.database.transaction() as tx:
            tx.claims.release_claims(self.worker)

    def _open(self, key: str, request: RunRequest) -> tuple[Run, int]:
        now, today = self.clock(), utc_day(self.clock())
        months = DateRange(self.policy.windows.earliest_day_on(today), month_start(today, months_back=-1))

        def enter(tx: Transaction) -> tuple[Run, int]:
            tx.claims.release_dead_claims(self.is_gone)
            run = tx.runs.open(key, request, now=now, version=self.policy.version)
            return run, tx.runs.enlist(run)

        if request.aws_account_ids:
            in_transaction(self.database, lambda tx: select_accounts(tx, request.aws_account_ids))
        in_transaction(self.database, lambda tx: tx.costs.prepare_months(months))
        return in_transaction(self.database, enter)

    def _work_until_closed(self, run: Run) -> Run:
        """Work until the run is closed; it is not while a retry has put failed accounts back on the list."""
        shift, closed = self._shift(run), None
        while closed is None:
            close = partial(self._close, run=run, stopped_by=shift.work())
            closed = in_transaction(self.database, close)
        return closed

    def _shift(self, run: Run) -> Shift:
        return Shift(
            run=run,
            database=self.database,
            source=self.source,
            clock=self.clock,
            policy=self.policy,
            progress=self.progress,
            worker=self.worker,
            is_gone=self.is_gone,
            stop=self.stop,
        )

    def _close(self, tx: Transaction, *, run: Run, stopped_by: StopReason | None) -> Run | None:
        """Record how the run ended; whichever process is last writes the run's event.

        None: there is work again, and nobody stopped this process.
        """
        now = self.clock()
        status = status_of(tx.runs.hold(run))
        if status is RunStatus.RUNNING:
            if stopped_by is None:
                return None
            status = RunStatus.STOPPED
        else:
            stopped_by = None
        changed = tx.runs.close(run, status, now=now, stopped_by=stopped_by)
        if changed and status is not RunStatus.STOPPED:
            failed, summary = status is RunStatus.FAILED, brief_report(tx, run, now=now).summary
            event = run_ended(summary, run_id=run.id, run_key=run.key, failed=failed, now=now)
            tx.outbox.append([event], self.policy.sinks, account_id=None, run_id=run.id)
        return tx.runs.load(run)
