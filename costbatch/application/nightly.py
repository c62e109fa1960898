"""A whole night: run the job, deliver events, push metrics, prune; only the job decides its exit status."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from costbatch.application.deliver import Deliverer
from costbatch.application.jobs.retry import in_transaction
from costbatch.application.jobs.runner import Runner
from costbatch.application.ports import Clock, Database, Metrics, Transaction, Vault
from costbatch.application.retention import Retention
from costbatch.application.selection import active_accounts
from costbatch.domain.accounts import AccountStatus, AwsNeeds, needs_of
from costbatch.domain.deliveries import Backlog
from costbatch.domain.reports import RunReport
from costbatch.domain.runs import FailOn, ItemState, Run, RunRequest, is_success
from costbatch.errors import ConfigError, CostbatchError, DeliveryError, StorageError
from costbatch.logs import get_logger

P = TypeVar("P", bound=RunReport)
log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nightly(Generic[P]):
    """A whole night of one job.

    report: returns what a run did, read from the database at an instant; its events are counted here.
    check_environment: raises ConfigError if AWS cannot be called from here at all.
    metrics: None: there is no Pushgateway. retention: None: everything is kept.
    fail_on: which failures make the run fail. follow_up: what is done with an ended run before its events
    are delivered; it cannot change how the run ended.
    """

    runner: Runner[Any, Any]
    report: Callable[[Transaction, Run, datetime], P]
    deliverer: Deliverer
    vault: Vault
    metrics: Metrics | None
    clock: Clock
    fail_on: FailOn
    check_environment: Callable[[AwsNeeds], None] = lambda _: None
    retention: Retention | None = None
    follow_up: Callable[[Run], None] | None = None

    def run(self, key: str, request: RunRequest) -> P:
        """Do the day's work and return what it did.

        Raises:
            ConfigError: wrong usage or configuration; no account was claimed.
            StorageError: the database is lost; the metrics say so if they can be pushed.

        """
        try:
            report = self._work(key, request)
        except BaseException as error:
            # Wrong usage did nothing: the gateway keeps the metrics of the last run.
            if not isinstance(error, ConfigError):
                self._push(None, request)
            raise
        self._push(report, request)
        # Last: the report does not wait for it.
        self._prune(report)
        return report

    def give_up(self, key: str) -> None:
        """Record that the run is stopped and release its accounts: the process is about to end at once.

        Raises:
            StorageError: the database does not take it.

        """
        self.runner.give_up(key)

    def _work(self, key: str, request: RunRequest) -> P:
        # First of all a transaction that has patience: a serverless database may refuse until it is awake.
        in_transaction(self.runner.database, lambda _: None, stop=self.runner.stop)
        self.runner.database.check_schema()
        try:
            check_key(self.runner.database, self.vault)
            with self.runner.database.transaction() as tx:
                accounts = active_accounts(tx, request.aws_account_ids)
                registered = tx.accounts.list_all([AccountStatus.ACTIVE, AccountStatus.PAUSED])
            if accounts:
                self.check_environment(needs_of(accounts, registered))
            run = self.runner.run(key, request)
        except Exception as error:
            # The outbox may hold the events of earlier runs; without the database there is no outbox.
            if not isinstance(error, StorageError):
                self._deliver()
            raise
        self._follow_up(run)
        self._deliver()
        now = self.clock()
        report = in_transaction(
            self.runner.database, lambda tx: self._report(tx, run, now), stop=self.runner.stop
        )
        log.info("run_ended", **report.summary["accounts"], status=run.status.value)
        return report

    def _report(self, tx: Transaction, run: Run, now: datetime) -> P:
        """Return the job's report with what every job tells of events."""
        return replace(
            self.report(tx, run, now),
            # As this process closed it: one that joined meanwhile may have set it running again.
            run=run,
            event_counts=tx.outbox.counts_of_run(run.id),
            backlog={**{sink.name: Backlog() for sink in self.deliverer.sinks}, **tx.outbox.backlog()},
        )

    def _follow_up(self, run: Run) -> None:
        if self.follow_up is None:
            return
        try:
            self.follow_up(run)
        except Exception as error:  # noqa: BLE001 - as for the delivery
            log.warning("follow_up_interrupted", reason=_shown(error))

    def _deliver(self) -> None:
        try:
            results = self.deliverer.deliver()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended as it has
            log.warning("delivery_interrupted", reason=_shown(error))
            return
        for sink, result in results.items():
            if result.waiting or result.given_up:
                log.warning(
                    "events_not_delivered",
                    sink=sink,
                    waiting=len(result.waiting),
                    given_up=result.given_up,
                    reason=result.problem,
                )

    def _push(self, report: RunReport | None, request: RunRequest) -> None:
        if self.metrics is None:
            return
        succeeded = report is not None and is_success(report.run.status, self.fail_on)
        try:
            self.metrics.push(report, succeeded=succeeded, now=self.clock(), is_whole=request.is_whole)
        except DeliveryError as error:
            log.warning("metrics_not_pushed", reason=str(error))

    def _prune(self, report: RunReport) -> None:
        if self.retention is None or self.runner.stop.is_set():
            return
        # AWS refuses every request if the clock is wrong, and the database may have the same clock.
        if report.counts.count() and not report.counts.count(ItemState.SUCCEEDED):
            return
        try:
            # Seen from the run's own day, so that it drops nothing that it may have read.
            pruning = self.retention.prune(report.run.today)
        except CostbatchError as error:
            log.warning("pruning_failed", reason=str(error))
            return
        if pruning.held_up:
            log.warning("months_not_dropped", months=[f"{each.month:%Y-%m}" for each in pruning.held_up])
        if not pruning.is_empty:
            months = [f"{each.month:%Y-%m}" for each in pruning.months]
            log.info("pruned", months=months, accounts=pruning.accounts, rows=dict(pruning.rows))


def _shown(error: Exception) -> str:
    """Return the reason for the log; an error that is not ours may quote anything."""
    return str(error) if isinstance(error, CostbatchError) else type(error).__name__


def check_key(database: Database, vault: Vault) -> None:
    """Refuse a key that decrypts none of the stored credentials.

    Raises:
        ConfigError: with the ids of the keys that they were encrypted with.
        StorageError: the database is unreachable.

    """
    with database.transaction() as tx:
        key_ids = tx.accounts.credential_key_ids()
    if key_ids and vault.key_id not in key_ids:
        raise ConfigError(
            f"ENCRYPTION_KEY (key id {vault.key_id}) decrypts none of the {sum(key_ids.values())} stored "
            f"credentials: they were encrypted with key id {', '.join(sorted(key_ids))}. "
            "Set ENCRYPTION_KEY to that key."
        )
