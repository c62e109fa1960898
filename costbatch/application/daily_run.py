"""The day's story: collect, deliver what happened, push the metrics; only the first can fail it."""

from collections.abc import Callable
from dataclasses import dataclass

from costbatch.application.collect import Collector
from costbatch.application.deliver import Deliverer
from costbatch.application.patience import in_transaction
from costbatch.application.ports import Clock, Database, Metrics, Vault
from costbatch.application.report import full_report
from costbatch.domain.outcomes import Run, RunRequest, RunStatus
from costbatch.domain.reports import RunReport
from costbatch.errors import ConfigError, DeliveryError, StorageError
from costbatch.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyRun:
    """The whole run. ``metrics`` None: nobody asked for them. ``is_success`` decides what counts as one."""

    collector: Collector
    deliverer: Deliverer
    vault: Vault
    metrics: Metrics | None
    clock: Clock
    is_success: Callable[[RunStatus], bool]

    def run(self, key: str, request: RunRequest) -> RunReport:
        """Do the day's work and return what it did.

        Raises:
            ConfigError: wrong usage; nothing was done.
            StorageError: the database is lost; the metrics say so where they can.

        """
        try:
            report = self._work(key, request)
        except BaseException as error:
            # Wrong usage did nothing: the gateway keeps what the last run told it.
            if not isinstance(error, ConfigError):
                self._push(None)
            raise
        self._push(report)
        return report

    def _work(self, key: str, request: RunRequest) -> RunReport:
        preflight(self.collector.database, self.vault)
        run = self.collector.collect(key, request)
        self._deliver()
        return self._report(run)

    def _deliver(self) -> None:
        try:
            failed = self.deliverer.deliver()
        except StorageError as error:
            log.warning("delivery_interrupted", reason=str(error))
        else:
            if failed:
                log.warning("events_not_delivered", deliveries=failed)

    def _report(self, run: Run) -> RunReport:
        rule, now = self.collector.policy.rule, self.clock()
        report = in_transaction(self.collector.database, lambda tx: full_report(tx, run, rule=rule, now=now))
        log.info("run_ended", **report.headline["accounts"], status=report.run.status.value)
        return report

    def _push(self, report: RunReport | None) -> None:
        if self.metrics is None:
            return
        succeeded = report is not None and self.is_success(report.run.status)
        try:
            self.metrics.push(report, succeeded=succeeded, now=self.clock())
        except DeliveryError as error:
            log.warning("metrics_not_pushed", reason=str(error))


def preflight(database: Database, vault: Vault) -> None:
    """Refuse to start where no account could be collected: a schema or a key that does not fit.

    Raises:
        ConfigError: with what does not fit and what to do.
        StorageError: the database is unreachable.

    """
    database.check_schema()
    with database.transaction() as tx:
        sealed_by = tx.accounts.credential_key_ids()
    if sealed_by and vault.key_id not in sealed_by:
        raise ConfigError(
            f"ENCRYPTION_KEY (key id {vault.key_id}) opens none of the {sum(sealed_by.values())} stored "
            f"credentials: they were sealed with key id {', '.join(sorted(sealed_by))}. "
            "Set ENCRYPTION_KEY to the key that sealed them."
        )
