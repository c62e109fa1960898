"""Delivers the outbox: at least once to each sink, in order for each account.

Each sink has a thread of its own, which claims, commits, sends and marks: no transaction waits for a network.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from threading import Event as Signal
from threading import Thread
from time import monotonic
from uuid import UUID, uuid4

from costbatch.application.jobs.retry import in_transaction
from costbatch.application.outbox import Sink
from costbatch.application.ports import Clock, Database, Transaction
from costbatch.domain.deliveries import MOST_REFUSALS, Delivery, pause_after
from costbatch.errors import DeliveryError
from costbatch.logs import get_logger

log = get_logger(__name__)

# Small: a kill in between repeats at most this many deliveries.
_BATCH = 20
# A digest has all events of a run, because an incident, which comes last, tells those of its members: more
# than runs write, and some 40 MB. What is too large for a receiver is sent in halves.
_DIGEST = 2000
# One event that a receiver refuses is found among the others of a digest by sending it in halves; 24
# refusals find two. If it refuses more, its refusal is not about single events. A refusal for the size is
# none of these: it is about the message, which is divided in any case.
_MOST_REFUSED_AT_ONCE = 24
# If it is not known whether a receiver refuses a digest or is unavailable, it is sent as a whole this often,
# which are all attempts of a night, before it is sent in halves. Otherwise one event would block the others.
_WHOLE_ATTEMPTS = 4
# How long another process does not touch a claim, and how long this one works on it before it claims again.
# A sink must answer within the difference.
LEASE_SECONDS = 120.0
_WORK_SECONDS = 60.0
# After this number of failures in a row, delivery to the receiver pauses.
_FAILURES_IN_A_ROW = 3
# What is being sent when the time is over may end.
_LAST_SEND_SECONDS = 10.0
# How often it is looked whether the process was asked to end.
_LOOK_SECONDS = 0.25
# The time for all of delivery once the process was asked to end.
_STOPPING_SECONDS = 5.0


@dataclass(slots=True)
class SinkResult:
    """What became of a sink's deliveries. waiting: what it did not take. problem: the last error that stands.

    A sink that did not answer in time has a problem, too.
    """

    delivered: int = 0
    given_up: int = 0
    waiting: set[UUID] = field(default_factory=set)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Failure:
    """A delivery that a sink did not take. is_refused: the receiver refuses this very event, sent alone."""

    delivery: Delivery
    error: DeliveryError
    is_refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverer:
    """Brings events to the sinks.

    most_attempts: after these, an event is given up; one that is refused, earlier.
    budget_seconds: no delivery begins later than this.
    stop: set when the process is asked to end. pauses: before a failing sink is tried again, in seconds.
    jitter: returns numbers from 0 to 1. worker: this process, in its claims. is_gone: whether one has died.
    """

    database: Database
    sinks: Sequence[Sink]
    clock: Clock
    worker: str = "worker"
    is_gone: Callable[[str], bool] = lambda _: False
    most_attempts: int = 10
    budget_seconds: float = 120.0
    stop: Signal = field(default_factory=Signal)
    pauses: Sequence[float] = (5.0, 10.0, 20.0)
    jitter: Callable[[], float] = random.random

    def deliver(self) -> Mapping[str, SinkResult]:
        """Deliver what is due; return what became of it, by sink.

        A sink that hangs is left behind when the time is over; its claims end by themselves.

        Raises:
            StorageError: the database is lost; what was not marked is delivered again.

        """
        is_stopping = self.stop.is_set()
        seconds = min(self.budget_seconds, _STOPPING_SECONDS) if is_stopping else self.budget_seconds
        until = monotonic() + seconds
        # Patiently, as all that follows, or the alerts of a night would wait for the next one if the database
        # restarts meanwhile; but not beyond the time of this delivery.
        in_transaction(
            self.database, lambda tx: tx.outbox.release_dead(self.is_gone), until=until, stop=self.stop
        )
        drains = [
            _Drain(deliverer=self, sink=sink, until=until, stop=Signal() if is_stopping else self.stop)
            for sink in self.sinks
        ]
        threads = [Thread(target=drain.run, name=f"sink {drain.sink.name}", daemon=True) for drain in drains]
        for thread in threads:
            thread.start()
        end = until if is_stopping else until + _LAST_SEND_SECONDS
        for drain, thread in zip(drains, threads, strict=True):
            while thread.is_alive() and monotonic() < end:
                thread.join(min(_LOOK_SECONDS, max(0, end - monotonic())))
                if self.stop.is_set():
                    end = min(end, monotonic() + _STOPPING_SECONDS)
            if thread.is_alive():
                drain.result.problem = "It did not answer in time."
                log.warning("sink_abandoned", sink=drain.sink.name)
        for drain in drains:
            if drain.error is not None:
                raise drain.error
        return {drain.sink.name: drain.result for drain in drains}


@dataclass(slots=True, kw_only=True)
class _Drain:
    """One sink's share of a delivery: until nothing is due, the time is over, or the receiver stays away."""

    deliverer: Deliverer
    sink: Sink
    until: float
    stop: Signal
    result: SinkResult = field(default_factory=SinkResult)
    error: Exception | None = None
    in_a_row: int = 0
    has_failed: bool = False
    retry_after_seconds: float | None = None

    def run(self) -> None:
        """Deliver; an error that is not the sink's ends only this thread, and is raised by the other."""
        try:
            pauses = iter(self.deliverer.pauses)
            while not self._is_over():
                before = self.result.delivered
                is_empty = self._send_claimed()
                if self.result.delivered > before:
                    pauses = iter(self.deliverer.pauses)
                if not is_empty and not self._is_suspended:
                    continue
                if not (self._pause(pauses) if self.has_failed else self._wait_for_claims()):
                    return
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            self.error = error

    def _wait_for_claims(self) -> bool:
        """Wait a moment if another process, which may have died, holds deliveries; return whether it does.

        If its claims end by themselves within the time of this delivery, they need not wait for a night.
        """
        name = self.sink.name
        held_for = in_transaction(
            self.deliverer.database,
            lambda tx: tx.outbox.held_for(name),
            until=self.until,
            stop=self.stop,
        )
        if held_for is None or monotonic() + held_for.total_seconds() > self.until:
            return False
        return not self.stop.wait(min(_LOOK_SECONDS * 4, held_for.total_seconds()))

    def _pause(self, pauses: Iterator[float]) -> bool:
        """Wait for a failing sink if the time allows it; return whether to try again."""
        seconds = self.retry_after_seconds or next(pauses, None)
        if seconds is None or monotonic() + seconds > self.until:
            return False
        self.in_a_row, self.has_failed, self.retry_after_seconds = 0, False, None
        return not self.stop.wait(seconds)

    def _is_over(self) -> bool:
        return self.stop.is_set() or monotonic() >= self.until

    @property
    def _is_suspended(self) -> bool:
        return self.in_a_row >= _FAILURES_IN_A_ROW or self.retry_after_seconds is not None

    def _send_claimed(self) -> bool:
        """Claim some deliveries, send and mark them; return whether there were none."""
        name, worker = self.sink.name, self.deliverer.worker
        most, lease = _DIGEST if self.sink.is_digest else _BATCH, timedelta(seconds=LEASE_SECONDS)
        # One for all attempts: if the reply to a commit was lost, the claim is this process's own.
        token = uuid4()

        def claim(tx: Transaction) -> list[Delivery]:
            return tx.outbox.claim(name, worker=worker, token=token, most=most, lease=lease)

        batch = in_transaction(self.deliverer.database, claim, until=self.until, stop=self.stop)
        if not batch:
            return True
        now = self.deliverer.clock()
        delivered, failed, left = self._send(batch)

        def mark(tx: Transaction) -> None:
            tx.outbox.mark_delivered(delivered, now=now)
            for each in failed:
                reason, pause = str(each.error), self._pause_after(each)
                tx.outbox.mark_failed(each.delivery, reason, retry_after=pause, is_refused=each.is_refused)
            tx.outbox.release(left)

        # However little time is left, also if the process is to stop: what is not marked is sent again.
        in_transaction(self.deliverer.database, mark)
        self._report(failed)
        self.result.delivered += len(delivered)
        self.result.waiting -= {delivery.event_id for delivery in delivered}
        if not (self.result.waiting or self.result.given_up):
            # What failed before was accepted after all.
            self.result.problem = ""
        return False

    def _send(self, batch: Sequence[Delivery]) -> tuple[list[Delivery], list[_Failure], list[Delivery]]:
        """Return what the sink took, what it did not take, and what it was not asked to take."""
        delivered: list[Delivery] = []
        failed: list[_Failure] = []
        left: list[Delivery] = []
        held: set[int] = set()
        refusals = 0
        began = monotonic()
        whole_attempts = min(_WHOLE_ATTEMPTS, self.deliverer.most_attempts // 2)
        messages = deque(_messages(self.sink, batch))
        while messages:
            message = messages.popleft()
            keys = {delivery.ordering_key for delivery in message}
            is_late = monotonic() - began > _WORK_SECONDS
            if self._is_over() or self._is_suspended or is_late or held & keys:
                left += message
                # What comes later with these keys must not overtake it.
                held |= keys
                continue
            try:
                self._hand_over(message)
            except DeliveryError as error:
                refusals += error.is_refused and not error.is_too_large
                is_about_some = error.is_refused and refusals <= _MOST_REFUSED_AT_ONCE
                if not error.is_refused:
                    self.in_a_row += 1
                    attempts = max(delivery.attempt for delivery in message)
                    # A receiver that is away ends this by its failures in a row.
                    is_about_some = error.is_unclear and attempts > whole_attempts and not self._is_suspended
                if (error.is_too_large or is_about_some) and len(message) > 1:
                    middle = len(message) // 2
                    messages.extendleft((message[middle:], message[:middle]))
                    continue
                is_refused = error.is_refused and len(message) == 1
                failed += [_Failure(delivery, error, is_refused) for delivery in message]
                held |= keys
                # One that refuses this message may take the next at once.
                self.retry_after_seconds = None if error.is_refused else error.retry_after_seconds
            else:
                delivered += message
                self.in_a_row = 0
        return delivered, failed, left

    def _hand_over(self, message: Sequence[Delivery]) -> None:
        """Give a message to the sink; raise DeliveryError if it is not taken, whatever the sink raises."""
        try:
            self.sink.deliver([delivery.cloudevent for delivery in message])
        except DeliveryError:
            raise
        except Exception as error:
            # Or one event that a sink cannot handle would keep all others from it for ever.
            log.exception("sink_failed", sink=self.sink.name, event_id=str(message[0].event_id))
            raise DeliveryError(
                f"An unexpected error ({type(error).__name__}); the log line sink_failed has the traceback.",
                is_refused=True,
            ) from error

    def _pause_after(self, failure: _Failure) -> timedelta | None:
        """Return the pause before an event is tried again; None: it is given up."""
        if self._is_given_up(failure):
            return None
        asked = failure.error.retry_after_seconds
        return pause_after(
            failure.delivery.attempt,
            self.deliverer.jitter(),
            None if asked is None else timedelta(seconds=asked),
            is_refused=failure.error.is_refused,
        )

    def _is_given_up(self, failure: _Failure) -> bool:
        delivery = failure.delivery
        is_hopeless = failure.is_refused and delivery.refusals + 1 >= MOST_REFUSALS
        return is_hopeless or delivery.attempt >= self.deliverer.most_attempts

    def _report(self, failed: Sequence[_Failure]) -> None:
        for failure in failed:
            delivery, error, is_given_up = failure.delivery, failure.error, self._is_given_up(failure)
            self.result.given_up += is_given_up
            (self.result.waiting.discard if is_given_up else self.result.waiting.add)(delivery.event_id)
            self.result.problem = str(error)
            # A message that is refused will hardly be accepted within the same run.
            self.has_failed = self.has_failed or not error.is_refused
            log.warning(
                "event_given_up" if is_given_up else "event_not_delivered",
                sink=delivery.sink,
                event_id=str(delivery.event_id),
                attempt=delivery.attempt,
                reason=str(error),
            )


def _messages(sink: Sink, batch: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """Yield what is sent together: each event alone, or neighbours of one run for a digest."""
    for run_id, deliveries in groupby(batch, key=lambda delivery: delivery.run_id):
        if sink.is_digest and run_id is not None:
            yield list(deliveries)
        else:
            yield from ([delivery] for delivery in deliveries)
