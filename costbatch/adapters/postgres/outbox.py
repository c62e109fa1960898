"""The outbox: events, and each one's way to each sink."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.tables import deliveries, events
from costbatch.application.ports import Outbox
from costbatch.domain.events import Delivery, Event


@dataclass(frozen=True, slots=True)
class PostgresOutbox(Outbox):
    """The events, within one transaction."""

    connection: Connection

    @override
    def append(
        self, new: Sequence[Event], sinks: Sequence[str], *, account_id: int | None, run_id: UUID | None
    ) -> None:
        for event in new:
            statement = insert(events).values(
                id=event.id,
                type=event.type.value,
                account_id=account_id,
                run_id=run_id,
                cloudevent=event.to_cloudevent(),
                occurred_at=event.occurred_at,
            )
            added = self.connection.execute(statement.on_conflict_do_nothing().returning(events.c.id))
            if added.first() and sinks:
                way = [{"event_id": event.id, "sink": sink, "retry_at": event.occurred_at} for sink in sinks]
                self.connection.execute(insert(deliveries).values(way))

    @override
    def claim(self, sink: str, *, most: int, now: datetime) -> list[Delivery]:
        statement = (
            sa.select(deliveries.c.event_id, deliveries.c.attempts, events.c.cloudevent)
            .join_from(deliveries, events)
            .where(
                deliveries.c.sink == sink, deliveries.c.delivered_at.is_(None), deliveries.c.retry_at <= now
            )
            .order_by(deliveries.c.sequence)
            .limit(most)
            .with_for_update(of=deliveries, skip_locked=True)
        )
        return [
            Delivery(event_id=row.event_id, sink=sink, attempt=row.attempts + 1, cloudevent=row.cloudevent)
            for row in self.connection.execute(statement)
        ]

    @override
    def mark_delivered(self, delivered: Sequence[Delivery], *, now: datetime) -> None:
        for delivery in delivered:
            self._update(delivery, delivered_at=now, attempts=delivery.attempt, last_error=None)

    @override
    def mark_failed(self, delivery: Delivery, reason: str, *, retry_at: datetime) -> None:
        self._update(delivery, attempts=delivery.attempt, last_error=reason, retry_at=retry_at)

    @override
    def count_pending(self) -> int:
        statement = sa.select(sa.func.count()).where(deliveries.c.delivered_at.is_(None))
        return self.connection.scalars(statement.select_from(deliveries)).one()

    @override
    def counts_of_run(self, run_id: UUID) -> dict[str, int]:
        statement = sa.select(events.c.type, sa.func.count()).where(events.c.run_id == run_id)
        rows = self.connection.execute(statement.group_by(events.c.type))
        return {type_: count for type_, count in rows}  # noqa: C416 - dict(rows) hides what the pairs are

    def _update(self, delivery: Delivery, **values: object) -> None:
        is_this = (deliveries.c.event_id == delivery.event_id) & (deliveries.c.sink == delivery.sink)
        self.connection.execute(sa.update(deliveries).where(is_this).values(**values))
