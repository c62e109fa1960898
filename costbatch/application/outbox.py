"""The ports of events: the outbox that keeps them, and the sinks that they go to."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from costbatch.domain.deliveries import Backlog, Delivery, EventQuery, StoredEvent, Waiting
from costbatch.domain.events import Event
from costbatch.domain.routing import Route


class Outbox(Protocol):
    """Events, and what is still to be delivered to whom.

    All times are by one clock, the store's. So a process whose clock is wrong neither holds back the events
    of others, nor takes those that they are sending.
    """

    def append(
        self, events: Sequence[Event], routes: Sequence[Route], *, account_id: int | None, run_id: UUID | None
    ) -> None:
        """Add events with a delivery to every sink; one that is there already is left as it is.

        A filter decides here, once: an event that it excludes is recorded with the reason. A follow-up of an
        event that a sink received is not excluded for its size.
        """

    def claim(self, sink: str, *, worker: str, token: UUID, most: int, lease: timedelta) -> list[Delivery]:
        """Claim up to ``most`` deliveries that are due, oldest first; others leave them for the lease.

        A delivery that waits or is claimed holds back the later ones of its account.
        token: new for each claim; the same takes what it has taken again.
        """

    def held_for(self, sink: str) -> timedelta | None:
        """Return how long until the first claim of a process ends by itself; None if there is none."""

    def release_dead(self, is_gone: Callable[[str], bool]) -> int:
        """End the claims of workers that are known to be gone; return how many."""

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """End the claims of deliveries that were not attempted."""

    def mark_delivered(self, deliveries: Sequence[Delivery], *, now: datetime) -> None:
        """Record that the sink took them, unless the claim was lost to another process."""

    def mark_failed(
        self, delivery: Delivery, reason: str, *, retry_after: timedelta | None, is_refused: bool = False
    ) -> None:
        """Record that the sink did not take one, and the pause before it is due again; None: it is given up.

        is_refused: the receiver refuses this very event, which is counted.
        """

    def backlog(self) -> dict[str, Backlog]:
        """Return what is pending and given up, by sink; sinks without either are left out."""

    def waiting(self) -> dict[str, Waiting]:
        """Return what is pending, by sink, and when the first of it that is not claimed can be claimed."""

    def counts_of_run(self, run_id: UUID) -> dict[str, int]:
        """Return how many events of each type a run has written."""

    def endings_of_run(self, run_id: UUID) -> list[str]:
        """Return the statuses of the events that report the end of a run, oldest first."""

    def find(self, query: EventQuery, *, most: int | None) -> list[StoredEvent]:
        """Return the events that are meant, newest first, with all their deliveries."""

    def replay(self, query: EventQuery, sinks: Sequence[str]) -> int:
        """Make the deliveries of these events to the sinks pending again, or for the first time.

        A state in the query is that of the delivery to the sink itself; then what a process has claimed stays
        as it is. Return how many there are.
        """

    def discard(self, sink: str, reason: str) -> int:
        """End what is pending and given up for a sink as if its filter excluded it; return how many."""


class Sink(Protocol):
    """Where events go."""

    @property
    def name(self) -> str:
        """The name under which deliveries are recorded."""

    @property
    def is_digest(self) -> bool:
        """Whether it takes the events of one run together, as one message."""

    def deliver(self, cloudevents: Sequence[Mapping[str, Any]]) -> str:
        """Hand over one event, or several of one run for a digest; return what the receiver answered.

        More than once is possible: the receiver knows an event by its id.

        Raises:
            DeliveryError: it was not taken.

        """
