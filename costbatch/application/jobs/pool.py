"""Fetches accounts in threads: network only, one result for each account, and nothing ever raised."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.application.ports import Clock, CostSource
from costbatch.domain.costs import DayDigests, DayTotal, FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import Claim, Failure
from costbatch.errors import AccountError, BudgetSpent, ErrorKind
from costbatch.logs import get_logger

log = get_logger(__name__)

# How far ahead is "soon": several times what a claim takes, and nothing that another process would notice.
_SOON_SECONDS = 0.2
# The part of a new duration in the mean.
_WEIGHT_OF_NEW = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """One account on its way: the claim, how to reach it, the days to read, and what is known of them.

    known: what was answered of them the last time. totals: what they cost then, as it is stored.
    problem: why it cannot be fetched at all.
    """

    claim: Claim
    access: Access
    window: DateRange
    known: DayDigests
    totals: Sequence[DayTotal]
    problem: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """How a flight ended; ``outcome`` None: the cap on API cost stopped it.

    api_requests: paid requests of this attempt, also of one that failed. unanswered: how many of them had no
    answer, so that AWS may not have charged them.
    """

    flight: Flight
    outcome: FetchedCosts | Failure | None
    api_requests: int
    started_at: datetime
    unanswered: int = 0


class FetchPool:
    """A fixed number of threads that fetch, and the accounts that wait for one.

    An account is in flight until it has landed and its costs are stored, and no more are in flight than there
    are threads: a process that dies has paid for no more than that in vain.
    Daemon threads: after the grace period of a shutdown nobody waits for an answer that does not come.
    """

    def __init__(self, source: CostSource, budget: ApiBudget, *, threads: int, clock: Clock) -> None:
        self._source, self._budget, self._clock = source, budget, clock
        self._waiting: deque[Flight] = deque()
        self._departures: SimpleQueue[Flight | None] = SimpleQueue()
        self._landings: SimpleQueue[Landing | None] = SimpleQueue()
        self._threads = [Thread(target=self._work, name=f"fetch-{n}", daemon=True) for n in range(threads)]
        self._flying: dict[int, tuple[Claim, float]] = {}
        self._mean_seconds: float | None = None
        for thread in self._threads:
            thread.start()

    @property
    def in_flight(self) -> int:
        """How many accounts are being fetched, or have landed and are not stored yet."""
        return len(self._flying)

    @property
    def waiting(self) -> int:
        """How many accounts wait for a free thread."""
        return len(self._waiting)

    @property
    def free(self) -> int:
        """How many more accounts can be fetched right away."""
        return len(self._threads) - self.in_flight - self.waiting

    @property
    def begun_soon(self) -> int:
        """How many accounts can probably be begun soon; 0 before the first one has landed."""
        if self._mean_seconds is None:
            return 0
        return int(self.in_flight * _SOON_SECONDS / max(self._mean_seconds, 0.001))

    @property
    def claims(self) -> list[Claim]:
        """The claims of the accounts that are in flight or wait."""
        return [*(claim for claim, _ in self._flying.values()), *(flight.claim for flight in self._waiting)]

    def start(self, flights: Iterable[Flight]) -> None:
        """Send accounts off, as soon as there is room."""
        self._waiting += flights
        self._depart()

    def landed(self, *, timeout_seconds: float, most: int) -> list[Landing]:
        """Return up to ``most`` accounts that came back, waiting for the first one, or for ``wake``."""
        landings: list[Landing | None] = []
        try:
            landings.append(self._landings.get(timeout=timeout_seconds))
            while len(landings) < most:
                landings.append(self._landings.get_nowait())
        except Empty:
            pass
        return [landing for landing in landings if landing is not None]

    def wake(self) -> None:
        """Let ``landed`` wait no longer; safe to call from any thread."""
        self._landings.put(None)

    def settled(self, landings: Iterable[Landing]) -> None:
        """Note that nothing is left to be done for these; others take their places."""
        for landing in landings:
            _, departed = self._flying.pop(landing.flight.claim.collection_id)
            seconds = monotonic() - departed
            mean = seconds if self._mean_seconds is None else self._mean_seconds
            self._mean_seconds = mean + _WEIGHT_OF_NEW * (seconds - mean)
        self._depart()

    def drop_waiting(self) -> None:
        """Forget the accounts that nobody has begun to fetch."""
        self._waiting.clear()

    def close(self) -> None:
        """Let the idle threads end; those in flight end with their answer."""
        for _ in self._threads:
            self._departures.put(None)

    def _depart(self) -> None:
        while self._waiting and self.in_flight < len(self._threads):
            flight = self._waiting.popleft()
            self._flying[flight.claim.collection_id] = flight.claim, monotonic()
            self._departures.put(flight)

    def _work(self) -> None:
        while (flight := self._departures.get()) is not None:
            self._landings.put(self._fly(flight))

    def _fly(self, flight: Flight) -> Landing:
        meter, started_at = Meter(self._budget), self._clock()
        outcome = flight.problem or _outcome_of(
            lambda: self._source.fetch(flight.access, flight.window, meter, flight.known), flight
        )
        meter.close()
        return Landing(
            flight=flight,
            outcome=outcome,
            api_requests=meter.requests,
            unanswered=meter.unanswered,
            started_at=started_at,
        )


def _outcome_of(fetch: Callable[[], FetchedCosts], flight: Flight) -> FetchedCosts | Failure | None:
    """Turn whatever happens to one account into its outcome, so that no other account notices."""
    try:
        return fetch()
    except BudgetSpent:
        return None
    except AccountError as error:
        if error.kind is ErrorKind.INTERNAL:
            log.exception("account_crashed", aws_account_id=flight.claim.account.aws_account_id)
        return Failure(kind=error.kind, message=str(error))
    except Exception:
        log.exception("account_crashed", aws_account_id=flight.claim.account.aws_account_id)
        kind = ErrorKind.INTERNAL
        return Failure(kind=kind, message=kind.advice)
