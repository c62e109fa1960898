"""Fetches accounts in threads: network only, one result for each account, and nothing ever raised."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Thread

from costbatch.application.budget import ApiBudget, Meter
from costbatch.application.ports import Clock, CostSource
from costbatch.domain.costs import FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.outcomes import Claim, Failure
from costbatch.domain.periods import DateRange
from costbatch.errors import AccountError, BudgetSpent, ErrorKind
from costbatch.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """One account on its way: the claim, how to reach it, and the days to read."""

    claim: Claim
    access: Access
    window: DateRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """How a flight ended; ``outcome`` None: the cap on API cost stopped it.

    api_requests: paid requests of this attempt, also of one that failed.
    """

    flight: Flight
    outcome: FetchedCosts | Failure | None
    api_requests: int
    started_at: datetime


class FetchPool:
    """A fixed number of threads that fetch; as many accounts are in flight at most.

    Daemon threads: after the grace period of a shutdown nobody waits for an answer that does not come.
    """

    def __init__(self, source: CostSource, budget: ApiBudget, *, threads: int, clock: Clock) -> None:
        self._source, self._budget, self._clock = source, budget, clock
        self._departures: SimpleQueue[Flight | None] = SimpleQueue()
        self._landings: SimpleQueue[Landing] = SimpleQueue()
        self._threads = [Thread(target=self._work, name=f"fetch-{n}", daemon=True) for n in range(threads)]
        self._flying: dict[int, Claim] = {}
        for thread in self._threads:
            thread.start()

    @property
    def in_flight(self) -> int:
        """How many accounts are being fetched."""
        return len(self._flying)

    @property
    def free(self) -> int:
        """How many more accounts can be fetched right away."""
        return len(self._threads) - self.in_flight

    @property
    def claims(self) -> list[Claim]:
        """The claims of the accounts that are being fetched."""
        return list(self._flying.values())

    def start(self, flight: Flight) -> None:
        """Send an account off."""
        self._flying[flight.claim.collection_id] = flight.claim
        self._departures.put(flight)

    def landed(self, *, timeout_seconds: float) -> list[Landing]:
        """Return the accounts that came back, waiting for the first one."""
        landings: list[Landing] = []
        try:
            landings.append(self._landings.get(timeout=timeout_seconds))
            while True:
                landings.append(self._landings.get_nowait())
        except Empty:
            for landing in landings:
                del self._flying[landing.flight.claim.collection_id]
            return landings

    def close(self) -> None:
        """Let the idle threads end; those in flight end with their answer."""
        for _ in self._threads:
            self._departures.put(None)

    def _work(self) -> None:
        while (flight := self._departures.get()) is not None:
            self._landings.put(self._fly(flight))

    def _fly(self, flight: Flight) -> Landing:
        meter, started_at = Meter(self._budget), self._clock()
        outcome = _outcome_of(lambda: self._source.fetch(flight.access, flight.window, meter), flight)
        return Landing(flight=flight, outcome=outcome, api_requests=meter.requests, started_at=started_at)


def _outcome_of(fetch: Callable[[], FetchedCosts], flight: Flight) -> FetchedCosts | Failure | None:
    """Turn whatever happens to one account into its outcome, so that no other account notices."""
    try:
        return fetch()
    except BudgetSpent:
        return None
    except AccountError as error:
        return Failure(kind=error.kind, message=str(error))
    except Exception:
        log.exception("account_crashed", aws_account_id=flight.claim.account.aws_account_id)
        kind = ErrorKind.INTERNAL
        return Failure(kind=kind, message=kind.advice)
