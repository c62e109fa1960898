"""The use cases of events: list, show, deliver, replay, discard, and test a sink."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from costbatch.application.deliver import Deliverer, SinkResult
from costbatch.application.jobs.retry import in_transaction
from costbatch.application.outbox import Sink
from costbatch.application.ports import Database, Transaction
from costbatch.application.selection import check_registered
from costbatch.domain.deliveries import DeliveryState, EventQuery, StoredEvent, Waiting
from costbatch.domain.events import EventType, sink_test
from costbatch.domain.excerpt import excerpt
from costbatch.domain.periods import instant
from costbatch.errors import ConfigError

# No delivery begins later than this after a person's answer; the person waits for it.
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The use cases; ``deliverer`` has the configured sinks."""

    database: Database
    deliverer: Deliverer
    now: Callable[[], datetime]

    @property
    def sinks(self) -> Sequence[str]:
        """The names of the configured sinks."""
        return [sink.name for sink in self.deliverer.sinks]

    def find(self, query: EventQuery, *, most: int | None) -> list[StoredEvent]:
        """Return events, newest first; raise ConfigError if an account is not registered."""
        with self._transaction() as tx:
            check_registered(tx, query.aws_account_ids)
            return tx.outbox.find(query, most=most)

    def show(self, event_id: UUID) -> StoredEvent:
        """Return one event; raise ConfigError if there is none with this id."""
        found = self.find(EventQuery(ids=[event_id]), most=1)
        if not found:
            raise _unknown([event_id])
        return found[0]

    def deliver(self) -> Mapping[str, SinkResult]:
        """Deliver what is due; return what became of it, by sink."""
        self.database.check_schema()
        return self.deliverer.deliver()

    def waiting(self) -> Mapping[str, Waiting]:
        """Return what is still to be delivered, by sink, also what is not due yet."""
        return in_transaction(self.database, lambda tx: tx.outbox.waiting(), stop=self.deliverer.stop)

    def deliver_answers(self) -> Mapping[str, SinkResult]:
        """Deliver what is due to the sinks that an answer to an anomaly waits for, without a second attempt.

        An alert that was answered must not fire until the next run.
        """
        is_waiting = EventQuery(types=[EventType.ANOMALY_ANSWERED], state=DeliveryState.PENDING)
        waiting = {
            delivery.sink
            for event in self.find(is_waiting, most=None)
            for delivery in event.deliveries
            if delivery.state is DeliveryState.PENDING
        }
        deliverer = replace(
            self.deliverer,
            sinks=[sink for sink in self.deliverer.sinks if sink.name in waiting],
            budget_seconds=min(self.deliverer.budget_seconds, _ANSWER_SECONDS),
            pauses=(),
        )
        return deliverer.deliver()

    def replay(self, query: EventQuery, sinks: Sequence[str]) -> int:
        """Make events pending again for some sinks, all if none are named; return how many deliveries.

        Raises:
            ConfigError: there is no such sink, account or event.

        """
        for name in sinks:
            self._sink(name)
        with self._transaction() as tx:
            check_registered(tx, query.aws_account_ids)
            known = {each.id for each in tx.outbox.find(EventQuery(ids=query.ids), most=len(query.ids))}
            if unknown := [each for each in dict.fromkeys(query.ids) if each not in known]:
                raise _unknown(unknown)
            return tx.outbox.replay(query, sinks or self.sinks)

    def discard(self, sink: str) -> int:
        """Stop trying to deliver what waits for a sink or was given up; return how many deliveries.

        The sink need not be configured any more.
        """
        with self._transaction() as tx:
            return tx.outbox.discard(
                sink, f"Discarded by hand at {instant(self.now().replace(microsecond=0))}."
            )

    def test(self, name: str) -> str:
        """Send a message that is marked as a test; return what the receiver answered.

        Raises:
            ConfigError: there is no such sink.
            DeliveryError: the message was not accepted.

        """
        return self._sink(name).deliver([sink_test(name, now=self.now()).to_cloudevent()])

    def _sink(self, name: str) -> Sink:
        for sink in self.deliverer.sinks:
            if sink.name == name:
                return sink
        names = ", ".join(self.sinks) or "none"
        raise ConfigError(f"There is no sink {excerpt(name)}; the configured sinks are: {names}.")

    def _transaction(self) -> AbstractContextManager[Transaction]:
        self.database.check_schema()
        return self.database.transaction()


def _unknown(event_ids: Sequence[UUID]) -> ConfigError:
    return ConfigError(
        *(f"There is no event {each}; `costbatch events list` shows the newest ones." for each in event_ids)
    )
