"""The outbox: events, and each one's way to each sink.

Claims and pauses are counted by the database's clock, which all processes share; an event keeps the time that
its process saw.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.event_tables import deliveries, events
from costbatch.adapters.postgres.tables import accounts
from costbatch.application.outbox import Outbox
from costbatch.domain.deliveries import (
    Backlog,
    Delivery,
    DeliveryState,
    EventQuery,
    StoredDelivery,
    StoredEvent,
    Waiting,
)
from costbatch.domain.events import RUN_ENDINGS, Event
from costbatch.domain.routing import Route, is_follow_up

# Events about no account go one after the other as well.
_KEY_OF_RUNS = 0

# One process at a time claims for a sink: with SKIP LOCKED another could take a later event of an account
# whose earlier one is being claimed.
_TAKE_TURNS = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('costbatch deliveries ' || :sink, 0))")

# The statement's time, because the transaction may have waited for its turn.
_CLAIM = sa.text("""
WITH due AS (
    SELECT event_id FROM deliveries
    WHERE sink = :sink AND state = 'pending' AND NOT EXISTS (
        SELECT FROM deliveries AS earlier
        WHERE earlier.sink = deliveries.sink AND earlier.ordering_key = deliveries.ordering_key
            AND earlier.state = 'pending'
            AND earlier.sequence <= deliveries.sequence
            AND (earlier.retry_at > statement_timestamp() OR (
                earlier.claimed_until > statement_timestamp()
                AND earlier.claim_token IS DISTINCT FROM :token))
    )
    ORDER BY sequence LIMIT :most
), claimed AS (
    UPDATE deliveries SET claimed_by = :worker, claim_token = :token,
        claimed_until = statement_timestamp() + :lease
    FROM due WHERE deliveries.event_id = due.event_id AND deliveries.sink = :sink
    RETURNING deliveries.event_id, deliveries.attempts, deliveries.refusals, deliveries.ordering_key,
        deliveries.sequence
)
SELECT claimed.*, events.run_id, events.cloudevent FROM claimed JOIN events ON events.id = claimed.event_id
ORDER BY claimed.sequence
""")

# The first one of an ordering key is due before those that it holds back. What a process holds is most likely
# sent before its claim ends, so that the end is said only if nothing else is due.
_WAITING = sa.text("""
SELECT sink, sum(number) AS number, sum(CASE WHEN is_held THEN number ELSE held END) AS held,
    coalesce(min(due_at) FILTER (WHERE NOT is_held), min(due_at)) AS due_at
FROM (
    SELECT sink, count(*) AS number, count(*) FILTER (WHERE claimed_until > now()) AS held,
        (array_agg(greatest(retry_at, claimed_until) ORDER BY sequence))[1] AS due_at,
        (array_agg(coalesce(claimed_until > now(), false) ORDER BY sequence))[1] AS is_held
    FROM deliveries WHERE state = 'pending' GROUP BY sink, ordering_key
) AS keys
GROUP BY sink ORDER BY sink
""")

# As text, because SQLAlchemy compiles an INSERT with ON CONFLICT anew each time: longer than it executes.
_APPEND = sa.text("""
INSERT INTO events (id, type, account_id, run_id, cloudevent, occurred_at)
VALUES (:id, :type, :account_id, :run_id, :cloudevent, :occurred_at)
ON CONFLICT DO NOTHING RETURNING sequence
""").bindparams(*(sa.bindparam(name, type_=events.c[name].type) for name in ("id", "run_id", "cloudevent")))

_NO_CLAIM: dict[str, object] = {"claimed_by": None, "claim_token": None, "claimed_until": None}
# As the partial indexes have it.
_IS_PENDING = deliveries.c.state == sa.literal_column("'pending'")

# Which of the sinks were told, or are about to be told, of this anomaly before.
_TOLD = sa.text("""
SELECT DISTINCT sink FROM events JOIN deliveries ON deliveries.event_id = events.id
WHERE account_id = :account_id AND cloudevent #>> '{data,anomaly,id}' = :anomaly
    AND sink = ANY(:sinks) AND deliveries.state <> 'filtered'
""")
# And which of them of this failure.
_TOLD_OF_FAILURE = sa.text("""
SELECT DISTINCT sink FROM events JOIN deliveries ON deliveries.event_id = events.id
WHERE account_id = :account_id AND type = 'account.failed' AND cloudevent #>> '{data,job}' = :job
    AND occurred_at >= :since AND sink = ANY(:sinks) AND deliveries.state <> 'filtered'
""")


@dataclass(frozen=True, slots=True)
class PostgresOutbox(Outbox):
    """The events, within one transaction."""

    connection: Connection

    @override
    def append(
        self, new: Sequence[Event], routes: Sequence[Route], *, account_id: int | None, run_id: UUID | None
    ) -> None:
        for event in new:
            values = {
                "id": event.id,
                "type": event.type.value,
                "account_id": account_id,
                "run_id": run_id,
                "cloudevent": event.to_cloudevent(),
                "occurred_at": event.occurred_at,
            }
            sequence = self.connection.scalar(_APPEND, values)
            if sequence is not None and routes:
                common = {
                    "event_id": event.id,
                    "sequence": sequence,
                    "ordering_key": account_id or _KEY_OF_RUNS,
                }
                ways = [{**common, **way} for way in self._ways(event, routes, account_id)]
                self.connection.execute(sa.insert(deliveries).values(retry_at=sa.func.now()), ways)

    def _ways(
        self, event: Event, routes: Sequence[Route], account_id: int | None
    ) -> Iterator[dict[str, object]]:
        refusals = {route.sink: route.filter.refusal(event) for route in routes}
        unsure = [sink for sink, refusal in refusals.items() if refusal and not refusal.is_of_type]
        if unsure and is_follow_up(event):
            refusals |= dict.fromkeys(self._told_before(event, unsure, account_id))
        for sink, refusal in refusals.items():
            state = DeliveryState.FILTERED if refusal else DeliveryState.PENDING
            yield {"sink": sink, "state": state.value, "reason": refusal.reason if refusal else None}

    def _told_before(self, event: Event, sinks: Sequence[str], account_id: int | None) -> Iterable[str]:
        """Return which of the sinks were told of what a follow-up is about."""
        about: dict[str, object] = {"account_id": account_id, "sinks": sinks}
        if "anomaly" in event.data:
            return self.connection.scalars(_TOLD, {**about, "anomaly": event.data["anomaly"]["id"]})
        since = datetime.fromisoformat(event.data["failed"]["since"])
        return self.connection.scalars(_TOLD_OF_FAILURE, {**about, "job": event.data["job"], "since": since})

    @override
    def claim(self, sink: str, *, worker: str, token: UUID, most: int, lease: timedelta) -> list[Delivery]:
        self.connection.execute(_TAKE_TURNS, {"sink": sink})
        parameters = {"sink": sink, "most": most, "worker": worker, "lease": lease, "token": token}
        return [
            Delivery(
                event_id=row.event_id,
                sink=sink,
                attempt=row.attempts + 1,
                refusals=row.refusals,
                ordering_key=row.ordering_key,
                run_id=row.run_id,
                claim_token=token,
                cloudevent=row.cloudevent,
            )
            for row in self.connection.execute(_CLAIM, parameters)
        ]

    @override
    def held_for(self, sink: str) -> timedelta | None:
        now = sa.func.now()
        statement = sa.select(sa.func.min(deliveries.c.claimed_until) - now).where(
            deliveries.c.sink == sink, _IS_PENDING, deliveries.c.claimed_until > now
        )
        held: timedelta | None = self.connection.scalar(statement)
        return held

    @override
    def release_dead(self, is_gone: Callable[[str], bool]) -> int:
        holders = sa.select(deliveries.c.claimed_by).distinct()
        found = self.connection.scalars(holders.where(_IS_PENDING, deliveries.c.claimed_by.is_not(None)))
        gone = [worker for worker in found if worker is not None and is_gone(worker)]
        if not gone:
            return 0
        statement = sa.update(deliveries).where(_IS_PENDING, deliveries.c.claimed_by.in_(gone))
        return self.connection.execute(statement.values(**_NO_CLAIM)).rowcount

    @override
    def release(self, claimed: Sequence[Delivery]) -> None:
        self._update(claimed)

    @override
    def mark_delivered(self, delivered: Sequence[Delivery], *, now: datetime) -> None:
        state = DeliveryState.DELIVERED.value
        self._update(
            delivered, state=state, delivered_at=now, attempts=deliveries.c.attempts + 1, reason=None
        )

    @override
    def mark_failed(
        self, delivery: Delivery, reason: str, *, retry_after: timedelta | None, is_refused: bool = False
    ) -> None:
        later: dict[str, object] = {"state": DeliveryState.DEAD.value}
        if retry_after is not None:
            later = {"retry_at": sa.func.now() + retry_after}
        counts = {"attempts": delivery.attempt, "refusals": delivery.refusals + is_refused}
        self._update([delivery], reason=reason, **counts, **later)

    def _update(self, claimed: Sequence[Delivery], **values: object) -> None:
        """Write and end the claims that are still ours."""
        for token in {delivery.claim_token for delivery in claimed}:
            ids = [delivery.event_id for delivery in claimed if delivery.claim_token == token]
            is_ours = (deliveries.c.claim_token == token) & deliveries.c.event_id.in_(ids)
            statement = sa.update(deliveries).where(is_ours)
            self.connection.execute(statement.values(**_NO_CLAIM, **values))

    @override
    def backlog(self) -> dict[str, Backlog]:
        counts: dict[str, dict[str, int]] = {}
        for state in (DeliveryState.PENDING.value, DeliveryState.DEAD.value):
            # One after the other, because each has an index of its own.
            statement = sa.select(deliveries.c.sink, sa.func.count()).where(
                deliveries.c.state == sa.literal_column(f"'{state}'")
            )
            for sink, number in self.connection.execute(statement.group_by(deliveries.c.sink)):
                counts.setdefault(sink, {})[state] = number
        return {sink: Backlog(**found) for sink, found in sorted(counts.items())}

    @override
    def waiting(self) -> dict[str, Waiting]:
        found = self.connection.execute(_WAITING)
        return {
            row.sink: Waiting(number=int(row.number), held=int(row.held), due_at=row.due_at) for row in found
        }

    @override
    def counts_of_run(self, run_id: UUID) -> dict[str, int]:
        statement = sa.select(events.c.type, sa.func.count()).where(events.c.run_id == run_id)
        rows = self.connection.execute(statement.group_by(events.c.type))
        return {type_: count for type_, count in rows}  # noqa: C416 - dict(rows) hides what the pairs are

    @override
    def endings_of_run(self, run_id: UUID) -> list[str]:
        told = sa.select(events.c.cloudevent["data"]["run"]["status"].astext)
        of_run = told.where(events.c.run_id == run_id, events.c.type.in_(RUN_ENDINGS))
        return list(self.connection.scalars(of_run.order_by(events.c.sequence)))

    @override
    def find(self, query: EventQuery, *, most: int | None) -> list[StoredEvent]:
        found = self.connection.execute(
            sa.select(events)
            .where(*_conditions(query), *_has_delivery(query))
            .order_by(events.c.sequence.desc())
            .limit(most)
        ).all()
        ways: dict[UUID, list[StoredDelivery]] = {row.id: [] for row in found}
        statement = sa.select(deliveries).where(deliveries.c.event_id.in_(list(ways)))
        for row in self.connection.execute(statement.order_by(deliveries.c.sink)):
            ways[row.event_id].append(
                StoredDelivery(
                    sink=row.sink,
                    state=DeliveryState(row.state),
                    attempts=row.attempts,
                    retry_at=row.retry_at,
                    delivered_at=row.delivered_at,
                    reason=row.reason,
                )
            )
        return [
            StoredEvent(
                id=row.id,
                type=row.type,
                subject=row.cloudevent["subject"],
                occurred_at=row.occurred_at,
                cloudevent=row.cloudevent,
                deliveries=tuple(ways[row.id]),
            )
            for row in found
        ]

    @override
    def replay(self, query: EventQuery, sinks: Sequence[str]) -> int:
        again = {
            "state": DeliveryState.PENDING.value,
            "attempts": 0,
            "refusals": 0,
            "retry_at": sa.func.now(),
            "reason": None,
            **_NO_CLAIM,
        }
        meant = sa.select(events.c.id).where(*_conditions(query))
        if query.state:
            # Only what has such a delivery; no other sink receives anything.
            has_state = deliveries.c.state == query.state.value
            # What a process is sending would be sent twice.
            is_held = sa.func.coalesce(deliveries.c.claimed_until > sa.func.now(), sa.false())
            which = (
                deliveries.c.event_id.in_(meant) & deliveries.c.sink.in_(list(sinks)) & has_state & ~is_held
            )
            return self.connection.execute(sa.update(deliveries).where(which).values(**again)).rowcount
        ordering_key = sa.func.coalesce(events.c.account_id, _KEY_OF_RUNS)
        names = sa.func.unnest(sa.literal(list(sinks), sa.ARRAY(sa.Text))).table_valued("name")
        columns = [
            events.c.id,
            names.c.name,
            events.c.sequence,
            ordering_key,
            sa.literal("pending", sa.Text),
            sa.func.now(),
        ]
        ways = sa.select(*columns).select_from(events.join(names, sa.true())).where(*_conditions(query))
        into = ["event_id", "sink", "sequence", "ordering_key", "state", "retry_at"]
        statement = insert(deliveries).from_select(into, ways)
        replayed = statement.on_conflict_do_update(index_elements=["event_id", "sink"], set_=again)
        return self.connection.execute(replayed).rowcount

    @override
    def discard(self, sink: str, reason: str) -> int:
        states = [DeliveryState.PENDING.value, DeliveryState.DEAD.value]
        meant = (deliveries.c.sink == sink) & deliveries.c.state.in_(states)
        ended = {"state": DeliveryState.FILTERED.value, "reason": reason}
        statement = sa.update(deliveries).where(meant)
        return self.connection.execute(statement.values(**_NO_CLAIM, **ended)).rowcount


def _conditions(query: EventQuery) -> list[sa.ColumnElement[bool]]:
    """Return what the event itself must be."""
    conditions: list[sa.ColumnElement[bool]] = []
    if query.ids:
        conditions.append(events.c.id.in_(list(query.ids)))
    if query.types:
        conditions.append(events.c.type.in_(list(query.types)))
    if query.aws_account_ids:
        wanted = sa.select(accounts.c.id).where(accounts.c.aws_account_id.in_(list(query.aws_account_ids)))
        conditions.append(events.c.account_id.in_(wanted))
    if query.since:
        conditions.append(events.c.occurred_at >= query.since)
    return conditions


def _has_delivery(query: EventQuery) -> list[sa.ColumnElement[bool]]:
    """Return the condition that the event has such a delivery."""
    if query.sink is None and query.state is None:
        return []
    conditions = [deliveries.c.event_id == events.c.id]
    if query.sink is not None:
        conditions.append(deliveries.c.sink == query.sink)
    if query.state is not None:
        conditions.append(deliveries.c.state == query.state.value)
    return [sa.exists().where(*conditions)]
