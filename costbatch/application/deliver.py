"""Delivers the outbox: at least once to each sink, oldest first; what is not taken waits for another try."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from costbatch.application.ports import Clock, Database, Sink, Transaction
from costbatch.domain.events import Delivery
from costbatch.errors import DeliveryError
from costbatch.logs import get_logger

log = get_logger(__name__)

# Small: a kill in between repeats at most this many deliveries.
_BATCH = 20
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverer:
    """Brings events to the sinks."""

    database: Database
    sinks: Sequence[Sink]
    clock: Clock

    def deliver(self) -> int:
        """Deliver what is due; return how many deliveries a sink did not take.

        Raises:
            StorageError: the database is lost; what was not marked is delivered again.

        """
        return sum(self._drain(sink) for sink in self.sinks)

    def _drain(self, sink: Sink) -> int:
        failed = 0
        # What fails is due again only after a pause, so that the outbox runs dry.
        now = self.clock()
        while True:
            with self.database.transaction() as tx:
                batch = tx.outbox.claim(sink.name, most=_BATCH, now=now)
                failed += self._deliver_batch(tx, sink, batch, now)
            if not batch:
                return failed

    def _deliver_batch(self, tx: Transaction, sink: Sink, batch: Sequence[Delivery], now: datetime) -> int:
        delivered = []
        for delivery in batch:
            try:
                sink.deliver(delivery.cloudevent)
            except DeliveryError as error:
                retry_at = now + _pause_after(delivery.attempt)
                tx.outbox.mark_failed(delivery, str(error), retry_at=retry_at)
                log.warning(
                    "event_not_delivered",
                    sink=sink.name,
                    event_id=str(delivery.event_id),
                    attempt=delivery.attempt,
                    retry_at=retry_at.isoformat(),
                    reason=str(error),
                )
            else:
                delivered.append(delivery)
        tx.outbox.mark_delivered(delivered, now=now)
        return len(batch) - len(delivered)


def _pause_after(attempt: int) -> timedelta:
    """Return the pause after a failed attempt: a minute, doubling up to half a day."""
    return min(_FIRST_PAUSE * (1 << min(attempt - 1, 16)), _LONGEST_PAUSE)
