"""The run: opens or joins it, claims accounts, fetches them in threads, settles each, and closes it.

Threads do the network, this thread does the database; what one account suffers, no other one sees.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Event as Signal
from time import monotonic

from costbatch.application.budget import ApiBudget
from costbatch.application.fetching import FetchPool, Flight, Landing
from costbatch.application.patience import in_transaction
from costbatch.application.plan import check_days, select_accounts, window_of
from costbatch.application.ports import Clock, CostSource, Database, Progress, Transaction
from costbatch.application.report import brief_report
from costbatch.application.settle import Settlement
from costbatch.domain.detection import Rule
from costbatch.domain.events import run_ended
from costbatch.domain.outcomes import (
    Claim,
    CollectionState,
    Failure,
    Run,
    RunRequest,
    RunStatus,
    SkipReason,
    status_of,
)
from costbatch.domain.periods import DateRange, WindowPolicy, earliest_available, month_start, utc_day
from costbatch.errors import ClaimLost, CostbatchError, ErrorKind, StatementRefused, StorageError
from costbatch.logs import bind_run, get_logger

log = get_logger(__name__)

# How long the loop sleeps at most before it looks after its leases and at the stop signal again.
_BEAT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectPolicy:
    """How a run works.

    lease: a claim dies this long after its worker's last sign of life.
    retry_pause: before an account's second attempt; it doubles for the next.
    grace: time for the accounts in flight once the run is asked to stop.
    most_requests: the cap on API cost in paid requests; None: no cap.
    """

    concurrency: int
    lease: timedelta
    retry_pause: timedelta
    grace: timedelta
    windows: WindowPolicy
    rule: Rule
    sinks: tuple[str, ...]
    version: str
    most_requests: int | None = None


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
            self._work(run)
        finally:
            self.progress.end()
        return in_transaction(self.database, lambda tx: self._close(tx, run))

    def _open(self, key: str, request: RunRequest) -> tuple[Run, int]:
        now, today = self.clock(), utc_day(self.clock())
        months = DateRange(earliest_available(today), month_start(today, months_back=-1))

        def enter(tx: Transaction) -> tuple[Run, int]:
            tx.claims.release_dead_claims(self.is_gone)
            run = tx.runs.open(key, request, now=now, version=self.policy.version)
            return run, tx.runs.enlist(run)

        in_transaction(self.database, lambda tx: select_accounts(tx, request.aws_account_ids))
        in_transaction(self.database, lambda tx: tx.costs.prepare_months(months))
        return in_transaction(self.database, enter)

    def _work(self, run: Run) -> None:
        """Claim, fetch and settle until every account has its outcome or the process is asked to end."""
        spent = in_transaction(self.database, lambda tx: tx.runs.api_requests(run))
        budget = ApiBudget(self.policy.most_requests, spent=spent)
        pool = FetchPool(self.source, budget, threads=self.policy.concurrency, clock=self.clock)
        settlement = Settlement(
            run=run, rule=self.policy.rule, retry_pause=self.policy.retry_pause, sinks=self.policy.sinks
        )
        watch = _Watch(self, pool)
        try:
            while (self._fill(run, pool, budget) or pool.in_flight) and not watch.grace_is_over():
                for landing in pool.landed(timeout_seconds=watch.beat_seconds):
                    self._settle(settlement, landing)
                watch.keep_leases()
        finally:
            pool.close()
        released = in_transaction(self.database, lambda tx: tx.claims.release_claims(self.worker))
        if released:
            log.warning("accounts_given_back", accounts=released)

    def _fill(self, run: Run, pool: FetchPool, budget: ApiBudget) -> bool:
        """Send accounts off while there is room; return whether there is anything to wait for."""
        if self.stop.is_set():
            return False
        if not pool.free:
            return True
        if budget.is_spent:
            self._skip_rest(run)
        for flight in in_transaction(self.database, lambda tx: self._claim(tx, run, pool.free)):
            pool.start(flight)
        return bool(pool.in_flight) or self._wait_for_others(run)

    def _claim(self, tx: Transaction, run: Run, most: int) -> list[Flight]:
        claims = tx.claims.claim(run, worker=self.worker, most=most, lease=self.policy.lease)
        return [self._flight(tx, run, claim) for claim in claims]

    def _flight(self, tx: Transaction, run: Run, claim: Claim) -> Flight:
        window = window_of(claim.account, run.request, today=run.today, policy=self.policy.windows)
        # After midnight a new month may have begun, and AWS has forgotten the oldest one of the run's day.
        start = max(window.start, earliest_available(utc_day(self.clock())))
        window = DateRange(min(start, window.last), window.end_exclusive)
        return Flight(claim=claim, access=tx.accounts.load_access(claim.account), window=window)

    def _wait_for_others(self, run: Run) -> bool:
        """Wait for a retry's pause or for another process; return whether there is anything to wait for."""

        def look(tx: Transaction) -> float | None:
            # Nothing of ours is in flight: a claim in our name is one whose commit we never heard of.
            tx.claims.release_claims(self.worker)
            tx.claims.release_dead_claims(self.is_gone)
            return tx.claims.seconds_until_work(run)

        seconds = in_transaction(self.database, look)
        if seconds is None:
            return False
        # Also where work is due now: another run may hold the account, and asking at once would spin.
        self.stop.wait(min(max(seconds, 0.1), _BEAT_SECONDS))
        return True

    def _settle(self, settlement: Settlement, landing: Landing) -> None:
        account = landing.flight.claim.account
        try:
            state = self._settle_somehow(settlement, landing)
        except ClaimLost:
            log.warning("claim_lost", aws_account_id=account.aws_account_id)
            return
        _log_outcome(landing, state)
        if state is not CollectionState.PENDING:
            self.progress.advance(state.value, account)

    def _settle_somehow(self, settlement: Settlement, landing: Landing) -> CollectionState:
        """Settle an account; where that fails while the database is there, the account has failed."""
        try:
            return self._settle_once(settlement, landing)
        except ClaimLost:
            raise
        except Exception as error:
            if isinstance(error, StorageError) and not isinstance(error, StatementRefused):
                raise
            log.exception("account_not_stored", aws_account_id=landing.flight.claim.account.aws_account_id)
            return self._settle_once(settlement, replace(landing, outcome=_not_stored(error)))

    def _settle_once(self, settlement: Settlement, landing: Landing) -> CollectionState:
        return in_transaction(self.database, lambda tx: settlement.settle(tx, landing, now=self.clock()))

    def _skip_rest(self, run: Run) -> None:
        reason, now = SkipReason.API_COST_CAP, self.clock()
        skipped = in_transaction(self.database, lambda tx: tx.claims.skip_pending(run, reason, now=now))
        if skipped:
            log.warning("api_cost_cap_reached", accounts_skipped=skipped)

    def _close(self, tx: Transaction, run: Run) -> Run:
        """Record how the run ended; whichever process is last writes the run's event."""
        now = self.clock()
        status = status_of(tx.runs.collections(run))
        if status is RunStatus.RUNNING:
            status = RunStatus.STOPPED
        changed = tx.runs.close(run, status, now=now)
        report = brief_report(tx, run, now=now)
        if changed and status is not RunStatus.STOPPED:
            failed = status is RunStatus.FAILED
            event = run_ended(report.headline, run_id=run.id, run_key=run.key, failed=failed, now=now)
            tx.outbox.append([event], self.policy.sinks, account_id=None, run_id=run.id)
        return report.run


class _Watch:
    """Keeps the claims in flight alive, and tells when the grace period of a shutdown is over."""

    def __init__(self, collector: Collector, pool: FetchPool) -> None:
        self._collector, self._pool = collector, pool
        self._extended = monotonic()
        self._stopped: float | None = None

    @property
    def beat_seconds(self) -> float:
        """How long the loop may sleep: no lease may lapse meanwhile."""
        return min(_BEAT_SECONDS, self._collector.policy.lease.total_seconds() / 4)

    def keep_leases(self) -> None:
        """Extend the leases when a third of one has passed."""
        lease, now = self._collector.policy.lease, monotonic()
        if now - self._extended > lease.total_seconds() / 3:
            claims = self._pool.claims
            in_transaction(self._collector.database, lambda tx: tx.claims.extend_leases(claims, lease))
            self._extended = now

    def grace_is_over(self) -> bool:
        """Whether the process was asked to end so long ago that the accounts in flight are given up."""
        if not self._collector.stop.is_set():
            return False
        self._stopped = self._stopped or monotonic()
        return monotonic() - self._stopped > self._collector.policy.grace.total_seconds()


def _not_stored(error: Exception) -> Failure:
    """Return why an account's costs could not be settled; a stranger's error may hold anything."""
    kind = ErrorKind.INTERNAL
    is_ours = isinstance(error, CostbatchError)
    return Failure(kind=kind, message=f"{error} {kind.advice}" if is_ours else kind.advice)


def _log_outcome(landing: Landing, state: CollectionState) -> None:
    claim, outcome = landing.flight.claim, landing.outcome
    about = log.bind(
        aws_account_id=claim.account.aws_account_id,
        state=state.value,
        attempt=claim.attempt,
        api_requests=landing.api_requests,
    )
    if isinstance(outcome, Failure):
        about.warning("account_failed", kind=outcome.kind.value, reason=outcome.message)
    else:
        about.info("account_done")
