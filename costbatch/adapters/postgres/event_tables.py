"""The tables of the outbox: the events, and their delivery to each sink."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from costbatch.adapters.postgres.columns import CODE, INSTANT, metadata, not_negative, one_of
from costbatch.domain.deliveries import DeliveryState
from costbatch.domain.events import EventType

events = Table(
    "events",
    metadata,
    Column("id", Uuid, primary_key=True, comment="Derived from its content: the same event has the same id"),
    Column("sequence", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("type", CODE, nullable=False),
    Column("account_id", BigInteger, ForeignKey("accounts.id")),
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="SET NULL")),
    Column("cloudevent", JSONB, nullable=False, comment="CloudEvents 1.0 JSON"),
    Column("occurred_at", INSTANT, nullable=False),
    one_of("type", EventType),
    CheckConstraint("cloudevent ->> 'id' IS NOT DISTINCT FROM id::text", name="cloudevent_has_id"),
    CheckConstraint(
        "jsonb_typeof(cloudevent -> 'subject') IS NOT DISTINCT FROM 'string'"
        " AND jsonb_typeof(cloudevent -> 'data') IS NOT DISTINCT FROM 'object'",
        name="cloudevent_whole",
    ),
    Index("ix_events_run_id", "run_id"),
    Index("ix_events_account_id", "account_id", "sequence"),
    comment="The outbox: written in the transaction of the change that it reports",
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", Uuid, ForeignKey("events.id", ondelete="CASCADE"), primary_key=True),
    Column("sink", CODE, primary_key=True),
    Column("sequence", BigInteger, nullable=False, comment="The order of delivery: the event's"),
    Column(
        "ordering_key",
        BigInteger,
        nullable=False,
        comment="Delivered one after the other: the account's row, or 0",
    ),
    Column("state", CODE, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("refusals", Integer, nullable=False, server_default="0", comment="Of the event itself"),
    Column("retry_at", INSTANT, nullable=False, comment="Not to be tried before"),
    Column("claimed_by", Text, comment="Host, process namespace and process of the worker"),
    Column("claim_token", Uuid, comment="Proof of the claim; a lost one cannot write"),
    Column("claimed_until", INSTANT, comment="When the claim of a process that died ends"),
    Column("delivered_at", INSTANT, comment="When the sink last accepted it"),
    Column("reason", Text, comment="The last error, or why the filter excludes it"),
    CheckConstraint("sink <> ''", name="sink_given"),
    one_of("state", DeliveryState),
    CheckConstraint(
        "(claim_token IS NULL) = (claimed_until IS NULL) AND (claim_token IS NULL) = (claimed_by IS NULL)",
        name="claim_whole_or_none",
    ),
    CheckConstraint("claim_token IS NULL OR state = 'pending'", name="claim_only_pending"),
    CheckConstraint("state <> 'delivered' OR delivered_at IS NOT NULL", name="delivered_has_time"),
    CheckConstraint("state <> 'filtered' OR reason IS NOT NULL", name="filtered_has_reason"),
    not_negative("attempts", "refusals"),
    Index("ix_deliveries_pending", "sink", "sequence", postgresql_where=text("state = 'pending'")),
    Index(
        "ix_deliveries_ordering_key",
        "sink",
        "ordering_key",
        "sequence",
        postgresql_where=text("state = 'pending'"),
    ),
    Index("ix_deliveries_dead", "sink", postgresql_where=text("state = 'dead'")),
    Index("ix_deliveries_delivered_at", "sink", "delivered_at"),
    comment="Delivery of each event to each sink",
)
