"""One process's work on a run: claims accounts, has them fetched in threads, and writes what came back.

Threads do the network, this one writes to the database; what one account suffers, no other one sees.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event as Signal
from time import monotonic

from costbatch.application.collect.job import Settlement
from costbatch.application.jobs.budget import ApiBudget
from costbatch.application.jobs.pool import FetchPool
from costbatch.application.jobs.queue import Claimer
from costbatch.application.jobs.retry import in_transaction
from costbatch.application.jobs.writer import Writer
from costbatch.application.policy import CollectPolicy
from costbatch.application.ports import Clock, CostSource, Progress
from costbatch.application.stores import Database, Transaction
from costbatch.domain.runs import Run, SkipReason, StopReason
from costbatch.logs import get_logger

log = get_logger(__name__)

# How long the loop sleeps at most before it looks after its leases and at the stop signal again.
_BEAT_SECONDS = 1.0
# How often within a lease the own claims are extended and those of the dead are looked for.
_LOOKS_PER_LEASE = 5
# How many accounts are claimed at once: fewer cost more each, and with more the first of them wait, and
# the accounts that land meanwhile. When no more wait for a thread than this, it is time to claim again.
_CLAIMED_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What one process needs to work on a run. ``stop`` is set when it is asked to end.

    began: since when its deadline counts, by the monotonic clock.
    """

    run: Run
    database: Database
    source: CostSource
    clock: Clock
    policy: CollectPolicy
    progress: Progress
    worker: str
    is_gone: Callable[[str], bool]
    stop: Signal
    began: float = field(default_factory=monotonic)

    def work(self) -> StopReason | None:
        """Claim, fetch and write until every account has its outcome; return why it ended before that."""
        budget = ApiBudget(self.policy.most_requests)
        pool = FetchPool(self.source, budget, threads=self.policy.concurrency, clock=self.clock)
        claimer = self._claimer(pool)
        writer, watch = self._writer(), _Watch(self, pool, claimer)
        try:
            while (self._fill(pool, claimer, budget, watch) or pool.in_flight) and not watch.grace_is_over():
                for written in writer.write(
                    pool.landed(timeout_seconds=watch.patience_seconds, most=writer.most)
                ):
                    # First of all: others take their places, and nobody waits for the log.
                    pool.settled(written.landings)
                    budget.record(written.api_requests)
                    budget.left_out += written.left_out
                    writer.tell(written)
                watch.look_around()
        finally:
            pool.close()
            claimer.close()
        released = in_transaction(self.database, lambda tx: tx.claims.release_claims(self.worker))
        if released:
            log.warning("claims_released", accounts=released)
        if budget.left_out:
            log.warning("api_cost_cap_reached", accounts_skipped=budget.left_out)
        return watch.stopped_by()

    def _claimer(self, pool: FetchPool) -> Claimer:
        return Claimer(
            run=self.run,
            database=self.database,
            clock=self.clock,
            policy=self.policy,
            worker=self.worker,
            wake=pool.wake,
        )

    def _writer(self) -> Writer:
        settlement = Settlement(
            run=self.run,
            rule=self.policy.rule,
            retry_pause=self.policy.retry_pause,
            sinks=self.policy.sinks,
            vanished_ratio=self.policy.vanished_ratio,
        )
        return Writer(database=self.database, settlement=settlement, clock=self.clock, progress=self.progress)

    def _fill(self, pool: FetchPool, claimer: Claimer, budget: ApiBudget, watch: "_Watch") -> bool:
        """Send accounts off while there is room; return whether there is anything to wait for."""
        if watch.stopped_by() is not None:
            pool.drop_waiting()
            return False
        if budget.is_capped:
            # Also for the accounts that wait already: what the others spend meanwhile may be all there was.
            budget.learn(in_transaction(self.database, lambda tx: tx.runs.api_requests(self.run)))
        flights = claimer.take()
        if flights is None and watch.may_claim():
            # While requests are in flight, some of their cost may be given back.
            if budget.is_spent and not pool.in_flight:
                budget.left_out += self._skip_rest()
            # For threads that are free or will be soon, so that none waits for a claim; and more if plenty
            # are left. What another process could begin now is not claimed ahead.
            most = budget.affordable(min(watch.room, _CLAIMED_AT_ONCE))
            ahead = budget.affordable(_CLAIMED_AT_ONCE) - most
            watch.asks(most, ahead)
            if pool.in_flight:
                claimer.ask(most, ahead)
            else:
                flights = claimer.claim(most, ahead)
        if flights is not None:
            pool.start(flights)
            watch.claimed(len(flights))
        return bool(pool.in_flight) or claimer.is_asking or self._wait_for_others(watch)

    def _wait_for_others(self, watch: "_Watch") -> bool:
        """Wait for a retry's pause or for another process; return whether there is anything to wait for."""

        def look(tx: Transaction) -> float | None:
            # Nothing of ours is in flight: a claim in our name is one whose commit we never heard of.
            tx.claims.release_claims(self.worker)
            watch.take_over(tx)
            return tx.claims.seconds_until_work(self.run)

        seconds = in_transaction(self.database, look)
        if seconds is None:
            dead = watch.newly_dead()
            return bool(dead) and self._requeue(lambda worker: worker in dead or self.is_gone(worker))
        # Also where work is due now: another run may hold the account, and asking at once would spin.
        self.stop.wait(min(max(seconds, 0.1), _BEAT_SECONDS))
        return True

    def _requeue(self, is_dead: Callable[[str], bool]) -> bool:
        """Have the accounts tried again at which dead processes failed; return whether there are any."""
        accounts = in_transaction(self.database, lambda tx: tx.runs.requeue(self.run, is_dead))
        if accounts:
            log.info("accounts_requeued", accounts=accounts)
        return accounts > 0

    def _skip_rest(self) -> int:
        reason, now = SkipReason.API_COST_CAP, self.clock()
        return in_transaction(self.database, lambda tx: tx.claims.skip_pending(self.run, reason, now=now))


class _Watch:
    """Looks at the clock: keeps claims alive, finds dead ones, spaces out vain ones, tells when to end."""

    def __init__(self, shift: Shift, pool: FetchPool, claimer: Claimer) -> None:
        self._shift, self._pool, self._claimer = shift, pool, claimer
        self._looked = monotonic()
        self._dead: set[str] = set()
        self._asked = (0, 0)
        self._is_near_end = False
        self._came_back_empty: float | None = None
        self._stopped: tuple[StopReason, float] | None = None

    @property
    def beat_seconds(self) -> float:
        """How long the loop may sleep: no lease may lapse meanwhile."""
        return min(_BEAT_SECONDS, self._shift.policy.lease.total_seconds() / 4)

    @property
    def patience_seconds(self) -> float:
        """How long to wait for an account to land: not at all while there is room for others."""
        return 0 if self.stopped_by() is None and self.may_claim() else self.beat_seconds

    def look_around(self) -> None:
        """Several times within a lease: extend the own ones, and take over what dead workers hold."""
        lease, now = self._shift.policy.lease, monotonic()
        if now - self._looked > lease.total_seconds() / _LOOKS_PER_LEASE:
            claims = self._pool.claims
            in_transaction(self._shift.database, lambda tx: tx.claims.extend_leases(claims, lease))
            in_transaction(self._shift.database, self.take_over)
            self._looked = now

    def take_over(self, tx: Transaction) -> None:
        """Give back what dead workers hold, of other runs too."""
        released = tx.claims.release_dead_claims(self._shift.is_gone)
        self._dead |= {worker for run_id, worker in released if run_id == self._shift.run.id}

    def newly_dead(self) -> set[str]:
        """Return the workers of the run from which this process took over, and so is their retry; each once.

        At its start it could not know: their claims looked alive.
        """
        dead, self._dead = self._dead, set()
        return dead

    @property
    def room(self) -> int:
        """How many more accounts can be begun now or soon."""
        return max(self._pool.free + self._soon, 0)

    def may_claim(self) -> bool:
        """Whether to ask for accounts: some are missing, and it was not said just now that there are none."""
        if self._claimer.is_asking:
            return False
        if not self._pool.in_flight:
            return True
        if self._came_back_empty is not None:
            return self._pool.free > 0 and monotonic() - self._came_back_empty > self.beat_seconds
        if not self._is_near_end:
            return self._pool.waiting < _CLAIMED_AT_ONCE
        # Not for each account that makes room: a claim of several costs little more than of one.
        return self.room > 0 and self._pool.waiting <= self._soon // 2

    @property
    def _soon(self) -> int:
        return min(self._pool.begun_soon, 2 * _CLAIMED_AT_ONCE)

    def asks(self, most: int, ahead: int) -> None:
        """Note what a claim is to bring."""
        self._asked = most, ahead

    def claimed(self, accounts: int) -> None:
        """Note how many accounts the last claim brought.

        Fewer than asked: what is left is for the process that can begin it first. None, and not only because
        there was no room for any: nothing is left for now.
        """
        most, ahead = self._asked
        self._is_near_end = accounts < most + ahead
        self._came_back_empty = None if accounts or (ahead and not most) else monotonic()

    def stopped_by(self) -> StopReason | None:
        """Return why no more accounts are taken, once that is so."""
        if self._stopped is None and (reason := self._reason()):
            self._stopped = reason, monotonic()
        return self._stopped[0] if self._stopped else None

    def grace_is_over(self) -> bool:
        """Whether the end was called for so long ago that the accounts in flight are given up."""
        if self.stopped_by() is None or self._stopped is None:
            return False
        return monotonic() - self._stopped[1] > self._shift.policy.grace.total_seconds()

    def _reason(self) -> StopReason | None:
        if self._shift.stop.is_set():
            return StopReason.SIGNAL
        deadline = self._shift.policy.deadline
        if deadline is None or monotonic() - self._shift.began < deadline.total_seconds():
            return None
        log.warning("deadline_reached", seconds=deadline.total_seconds())
        return StopReason.DEADLINE
