"""The way of an event to a sink: its states, and when a failed delivery is tried again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(hours=12)
# An event that its receiver refuses is given up the third time: the next ones would hardly end otherwise, and
# it holds back what comes after it. The pause is longer than a run delivers.
MOST_REFUSALS = 3
_PAUSE_AFTER_REFUSAL = timedelta(hours=1)
# A receiver may ask for more patience than an alert has.
_LONGEST_RETRY_AFTER = timedelta(hours=24)
_TRUSTED_ATTEMPTS = 3


class DeliveryState(StrEnum):
    """Where an event is on its way to a sink."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    FILTERED = "filtered"

    @property
    def sentence(self) -> str:
        """What it means."""
        return _SENTENCES[self]


_SENTENCES = {
    DeliveryState.PENDING: "Still to be delivered.",
    DeliveryState.DELIVERED: "The sink has accepted it.",
    DeliveryState.DEAD: (
        "Given up after COSTBATCH_DELIVERY_ATTEMPTS failed attempts, or when the receiver refused the event "
        f"itself {MOST_REFUSALS} times; it can be replayed."
    ),
    DeliveryState.FILTERED: "The sink's filter excludes it.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event that this process has claimed for a sink.

    attempt: counts from 1. refusals: of the event itself, before this attempt.
    ordering_key: events with the same one, an account's or that of runs, go in order.
    """

    event_id: UUID
    sink: str
    attempt: int
    ordering_key: int
    run_id: UUID | None
    claim_token: UUID
    cloudevent: Mapping[str, Any]
    refusals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDelivery:
    """The way of one event to one sink. reason: the last error, or why the filter excludes the event."""

    sink: str
    state: DeliveryState
    attempts: int
    retry_at: datetime
    delivered_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event in the outbox, with its deliveries by name of the sink."""

    id: UUID
    type: str
    subject: str
    occurred_at: datetime
    cloudevent: Mapping[str, Any]
    deliveries: tuple[StoredDelivery, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuery:
    """Which events are meant; what is empty or None excludes none.

    state: events with a delivery in this state, to ``sink`` if that is given too.
    """

    ids: Collection[UUID] = ()
    types: Collection[str] = ()
    aws_account_ids: Collection[str] = ()
    sink: str | None = None
    state: DeliveryState | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many deliveries of a sink are still to be made, and how many were given up."""

    pending: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many deliveries of a sink are still to be made, and when the next attempt is due.

    held: how many of them a process has claimed, or will after those; due_at is that of the others, if any.
    """

    number: int
    due_at: datetime
    held: int = 0


def pause_after(
    attempt: int, jitter: float, retry_after: timedelta | None = None, *, is_refused: bool = False
) -> timedelta:
    """Return the pause after a failed attempt: 5 seconds, doubling up to 12 hours, or what the receiver asks.

    jitter: from 0 to 1; it takes up to a quarter of the pause away, so that not all events come at once.
    is_refused: the receiver refused the event itself; it is left for a later run.
    """
    pause = min(_FIRST_PAUSE * (1 << min(attempt - 1, 20)), _LONGEST_PAUSE) * (1 - jitter / 4)
    if is_refused:
        return max(pause, _PAUSE_AFTER_REFUSAL)
    if retry_after is None:
        return pause
    asked = min(retry_after, _LONGEST_RETRY_AFTER)
    # One that asks for a second again and again would use all attempts up within a minute.
    return asked if attempt <= _TRUSTED_ATTEMPTS else max(pause, asked)
