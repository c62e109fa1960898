"""The tables as SQLAlchemy declares them; the migrations in ``alembic/`` build the same."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from costbatch.adapters.postgres import (
    columns,
    detection_tables,  # noqa: F401 - its tables are ours, too
    discovery_tables,  # noqa: F401 - as above
)
from costbatch.adapters.postgres.columns import (
    CODE,
    INSTANT,
    currency_code,
    finite,
    key_of_account,
    not_negative,
    one_of,
    plausible_times,
)
from costbatch.domain.accounts import AccessMethod, AccountStatus, Partition
from costbatch.domain.anomalies import AnomalyState, Resolution
from costbatch.domain.answers import AnswerKind
from costbatch.domain.costs import CostBasis
from costbatch.domain.deliveries import DeliveryState
from costbatch.domain.detection import Direction, Reason, Severity
from costbatch.domain.events import EventType
from costbatch.domain.runs import ItemState, RunStatus, SkipReason, StopReason
from costbatch.errors import ErrorKind

# The parts of an explanation that are a service with its two amounts.
_CONTRIBUTIONS = (
    'strict $[*] ? (@.type() == "object" && @.service.type() == "string"'
    ' && @.expected like_regex "^-?[0-9]{1,40}([.][0-9]{1,60})?(E[+-]?[0-9]{1,2})?$"'
    ' && @.actual like_regex "^-?[0-9]{1,40}([.][0-9]{1,60})?(E[+-]?[0-9]{1,2})?$")'
)

_LABELS_ARE_TEXTS = (
    "CASE jsonb_typeof(labels) WHEN 'object' THEN"
    " NOT jsonb_path_exists(labels, 'strict $.* ? (@.type() != \"string\")') ELSE false END"
)
# The columns of daily_costs that AWS may restate.
COST_VALUES = ("unblended", "amortized", "net_unblended", "net_amortized", "usage_quantity", "estimated")

# One for all tables, also those of the detectors.
metadata = columns.metadata

accounts = Table(
    "accounts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="The row"),
    Column("aws_account_id", CODE, nullable=False, unique=True, comment="The 12 digits, zeros kept"),
    Column("name", Text, nullable=False, comment="Display name"),
    Column("status", CODE, nullable=False, comment="Only active accounts are collected"),
    Column("access", CODE, nullable=False, comment="How its costs are reached"),
    Column("partition", CODE, nullable=False, comment="AWS partition, such as aws or aws-cn"),
    Column("role_arn", Text, comment="The role to assume, for assumed_role"),
    Column(
        "base_account_id",
        BigInteger,
        ForeignKey("accounts.id"),
        comment="Whose credentials assume the role; null: the pod's own",
    ),
    Column("labels", JSONB, nullable=False, server_default="{}", comment="Texts by key, such as the team"),
    Column("created_at", INSTANT, nullable=False, comment="When it was added, for the last time"),
    Column("updated_at", INSTANT, nullable=False),
    CheckConstraint("aws_account_id ~ '^[0-9]{12}$'", name="aws_account_id_digits"),
    CheckConstraint("name <> ''", name="name_given"),
    one_of("status", AccountStatus),
    one_of("access", AccessMethod),
    one_of("partition", Partition),
    CheckConstraint("(access = 'assumed_role') = (role_arn IS NOT NULL)", name="role_iff_assumed"),
    CheckConstraint("base_account_id IS NULL OR access = 'assumed_role'", name="base_only_assumed"),
    CheckConstraint("base_account_id <> id", name="base_is_another"),
    CheckConstraint(_LABELS_ARE_TEXTS, name="labels_are_texts"),
    plausible_times("created_at", "updated_at"),
    comment="AWS accounts that jobs work on",
)

account_credentials = Table(
    "account_credentials",
    metadata,
    key_of_account(),
    Column("key_id", CODE, nullable=False, comment="Id of the ENCRYPTION_KEY that encrypted it"),
    Column("sealed", LargeBinary, nullable=False, comment="AES-256-GCM, bound to the account"),
    Column("proven_at", INSTANT, comment="When AWS said that they are the account's; null: not yet"),
    Column("updated_at", INSTANT, nullable=False),
    CheckConstraint("key_id <> '' AND sealed <> ''", name="given"),
    comment="Encrypted credentials, apart, so that a reader can be granted every other table",
)

runs = Table(
    "runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("sequence", BigInteger, Identity(always=True), nullable=False, comment="Order of their starts"),
    Column("job", CODE, nullable=False, comment="Which job it runs, such as collect"),
    Column("run_key", Text, nullable=False, comment="In Kubernetes the Job's uid"),
    Column("status", CODE, nullable=False),
    Column("today", Date, nullable=False, comment="UTC day of the start, for every process of the run"),
    Column("aws_account_ids", JSONB, nullable=False, comment="Accounts asked for; []: every active one"),
    Column("options", JSONB, nullable=False, comment="What else was asked for, as the job defines it"),
    Column("version", Text, nullable=False, comment="Version of costbatch that started it"),
    Column("started_at", INSTANT, nullable=False),
    Column("finished_at", INSTANT),
    Column("stopped_by", CODE, comment="What interrupted it, while it is stopped"),
    one_of("status", RunStatus),
    one_of("stopped_by", StopReason),
    CheckConstraint("stopped_by IS NULL OR status = 'stopped'", name="stopped_by_only_stopped"),
    CheckConstraint("job <> ''", name="job_given"),
    CheckConstraint("run_key <> ''", name="run_key_given"),
    CheckConstraint("(status = 'running') = (finished_at IS NULL)", name="finished_iff_not_running"),
    CheckConstraint("jsonb_typeof(aws_account_ids) = 'array'", name="aws_account_ids_is_list"),
    CheckConstraint("jsonb_typeof(options) = 'object'", name="options_is_object"),
    Index("uq_runs_job_run_key", "job", "run_key", unique=True),
    comment="One execution of a job under one run key",
)

# Of an item whose account had its turn without success: the others have an index already. Queries use it as
# it is here: else the planner cannot prove that the index serves.
HAD_TURN_IN_VAIN = "state = 'failed' OR state <> 'succeeded' AND api_requests > 0"

run_items = Table(
    "run_items",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("job", CODE, nullable=False, comment="The run's job"),
    Column("account_id", BigInteger, ForeignKey("accounts.id"), nullable=False),
    Column("state", CODE, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default="0", comment="Recorded attempts"),
    Column(
        "takeovers", SmallInteger, nullable=False, server_default="0", comment="Claims whose process died"
    ),
    Column("available_at", INSTANT, nullable=False, comment="Not to be claimed before"),
    Column("claimed_by", Text, comment="Host, process namespace and process of the worker"),
    Column("failed_by", Text, comment="Worker whose last attempt did not succeed, or that died with it"),
    Column("claim_token", Uuid, comment="Proof of the claim; a lost one cannot write"),
    Column("lease_expires_at", INSTANT, comment="When the claim ends unless it is renewed"),
    Column("api_requests", Integer, nullable=False, server_default="0", comment="Paid, $0.01 each"),
    Column(
        "api_requests_unanswered",
        Integer,
        nullable=False,
        server_default="0",
        comment="Of these, without an answer: AWS may not have charged them",
    ),
    Column("error_kind", CODE),
    Column("error_message", Text),
    Column("skip_reason", CODE),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    one_of("state", ItemState),
    CheckConstraint(
        "(state = 'running') = (claim_token IS NOT NULL) AND (claim_token IS NULL) = (claimed_by IS NULL)"
        " AND (claim_token IS NULL) = (lease_expires_at IS NULL)",
        name="claim_iff_running",
    ),
    CheckConstraint("state <> 'failed' OR error_kind IS NOT NULL", name="failed_has_kind"),
    CheckConstraint("(state = 'skipped') = (skip_reason IS NOT NULL)", name="skipped_has_reason"),
    CheckConstraint("(error_kind IS NULL) = (error_message IS NULL)", name="error_both_or_none"),
    CheckConstraint("state IN ('pending', 'running') OR finished_at IS NOT NULL", name="ended_has_finish"),
    one_of("skip_reason", SkipReason),
    one_of("error_kind", ErrorKind),
    not_negative("attempts", "takeovers", "api_requests", "api_requests_unanswered"),
    CheckConstraint("api_requests_unanswered <= api_requests", name="unanswered_are_paid"),
    Index("uq_run_items_run_id_account_id", "run_id", "account_id", unique=True),
    # Two runs of a job never work on one account at the same time.
    Index(
        "uq_run_items_one_claim", "account_id", "job", unique=True, postgresql_where=text("state = 'running'")
    ),
    Index(
        "ix_run_items_pending",
        "run_id",
        "takeovers",
        "attempts",
        "id",
        postgresql_where=text("state = 'pending'"),
    ),
    Index(
        "ix_run_items_succeeded",
        "account_id",
        "job",
        "finished_at",
        postgresql_where=text("state = 'succeeded'"),
    ),
    Index("ix_run_items_turns_in_vain", "account_id", "job", "id", postgresql_where=text(HAD_TURN_IN_VAIN)),
    comment="One account within one run, with its one outcome",
)

account_progress = Table(
    "account_progress",
    metadata,
    key_of_account(),
    Column("job", CODE, primary_key=True),
    Column("covered_start", Date, comment="First day that is stored without a gap"),
    Column("covered_end_exclusive", Date, comment="Day after the last one stored without a gap"),
    Column("backfilled_from", Date, comment="First of these days that only backfills have read, if any"),
    Column("failing_since", INSTANT, comment="When it failed first, while it fails (import-aws: last)"),
    Column("failing_kind", CODE, comment="Why it fails"),
    CheckConstraint("job <> ''", name="job_given"),
    CheckConstraint("(covered_start IS NULL) = (covered_end_exclusive IS NULL)", name="covered_both_or_none"),
    CheckConstraint("covered_start < covered_end_exclusive", name="covered_not_empty"),
    CheckConstraint(
        "backfilled_from IS NULL"
        " OR coalesce(covered_start <= backfilled_from AND backfilled_from < covered_end_exclusive, false)",
        name="backfilled_from_covered",
    ),
    CheckConstraint("(failing_since IS NULL) = (failing_kind IS NULL)", name="failing_both_or_none"),
    plausible_times("covered_start", "covered_end_exclusive", "failing_since"),
    comment="Progress of each job with each account, over all its runs",
)

cost_collections = Table(
    "cost_collections",
    metadata,
    Column(
        "run_item_id",
        BigInteger,
        ForeignKey("run_items.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("window_start", Date, nullable=False),
    Column("window_end_exclusive", Date, nullable=False),
    Column("rows_fetched", Integer, nullable=False),
    Column("rows_inserted", Integer, nullable=False),
    Column("rows_updated", Integer, nullable=False),
    Column("rows_deleted", Integer, nullable=False),
    Column("days_kept", Integer, nullable=False, comment="Stored days that AWS no longer reports, kept"),
    CheckConstraint("window_start < window_end_exclusive", name="window_not_empty"),
    not_negative("rows_fetched", "rows_inserted", "rows_updated", "rows_deleted", "days_kept"),
    comment="What the cost job did for one account within one run",
)

daily_costs = Table(
    "daily_costs",
    metadata,
    # No foreign key: to check each row takes more than half of a COPY. Rows are written while their account
    # is locked, and the rows of cost_versions, of which it has one at least, keep it from being deleted.
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("usage_date", Date, primary_key=True, comment="The UTC day that AWS bills"),
    Column("service", CODE, primary_key=True, comment="As Cost Explorer names it"),
    Column("record_type", CODE, primary_key=True, comment="Usage, Tax, Credit, Refund, …: an open list"),
    Column("currency", CODE, primary_key=True, comment="ISO code; an account can have several"),
    Column("unblended", Numeric, nullable=False, comment="Exact, as AWS printed it"),
    Column("amortized", Numeric, nullable=False),
    Column("net_unblended", Numeric, comment="After discounts; null if AWS gives none"),
    Column("net_amortized", Numeric, comment="After discounts; null if AWS gives none"),
    Column("usage_quantity", Numeric, comment="Sum over mixed units, as Cost Explorer gives it"),
    Column("estimated", Boolean, nullable=False, comment="Whether AWS may still change it"),
    currency_code(),
    CheckConstraint("service <> ''", name="service_given"),
    CheckConstraint("record_type <> ''", name="record_type_given"),
    finite("unblended", "amortized", "net_unblended", "net_amortized", "usage_quantity"),
    comment="Daily cost of each account by service, record type and currency; partitioned by month",
    postgresql_partition_by="RANGE (usage_date)",
)

cost_versions = Table(
    "cost_versions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="In the order of the changes"),
    Column("account_id", BigInteger, ForeignKey("accounts.id"), nullable=False),
    # No foreign key: runs are pruned by themselves.
    Column("run_id", Uuid, nullable=False, comment="The run that changed the costs"),
    Column("night", Date, nullable=False, comment="The run's UTC day, or that of a later night before it"),
    Column("is_first", Boolean, nullable=False, comment="The account's first costs: nothing before them"),
    Index("ix_cost_versions_account_id_id", "account_id", "id"),
    plausible_times("night"),
    comment="Each time that the stored costs of an account changed",
)

cost_changes = Table(
    "cost_changes",
    metadata,
    # No foreign keys: written in one statement with the version, which is pruned when its months are gone.
    Column("version_id", BigInteger, nullable=False, comment="Of cost_versions"),
    Column("account_id", BigInteger, nullable=False),
    Column("usage_date", Date, nullable=False, comment="The day whose cost changed"),
    Column("service", CODE, nullable=False),
    Column("record_type", CODE, nullable=False),
    Column("currency", CODE, nullable=False),
    *(
        Column(f"{side}_{name}", Boolean if name == "estimated" else Numeric, comment=meaning)
        for side, meaning in (("old", "Before; null: no row"), ("new", "After; null: no row"))
        for name in COST_VALUES
    ),
    CheckConstraint("old_unblended IS NOT NULL OR new_unblended IS NOT NULL", name="old_or_new"),
    Index("ix_cost_changes_account_id_version_id", "account_id", "version_id"),
    comment="What each version of an account's costs changed, row by row; partitioned by month",
    postgresql_partition_by="RANGE (usage_date)",
)

day_digests = Table(
    "day_digests",
    metadata,
    key_of_account(),
    # No foreign key: if the item is gone, the digests are not used.
    Column("run_item_id", BigInteger, nullable=False, comment="Not used once a later one succeeded"),
    Column("start_date", Date, nullable=False, comment="The first day"),
    Column("days", LargeBinary, nullable=False, comment="Of each day 16 bytes of digest, 4 of row count"),
    CheckConstraint("days <> '' AND octet_length(days) % 20 = 0", name="days_whole"),
    plausible_times("start_date"),
    comment="Digests of AWS's last response for each day: an unchanged day is not compared again",
)

anomalies = Table(
    "anomalies",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", BigInteger, ForeignKey("accounts.id"), nullable=False),
    Column("service", CODE, comment="Null: the account's total"),
    Column("direction", CODE, nullable=False),
    Column("state", CODE, nullable=False),
    Column("severity", CODE, nullable=False),
    Column("resolution", CODE, comment="Why it is no longer open"),
    Column("start_date", Date, nullable=False, comment="First anomalous day"),
    Column("last_date", Date, nullable=False, comment="Last anomalous day so far"),
    Column("currency", CODE, nullable=False),
    Column("cost_basis", CODE, nullable=False),
    Column("expected", Numeric, nullable=False, comment="What was expected of the anomalous days together"),
    Column("actual", Numeric, nullable=False, comment="Sum of the cost of the anomalous days"),
    Column("peak", Numeric, nullable=False, comment="Highest daily cost of a spike, lowest of a drop"),
    Column("lower", Numeric, nullable=False, comment="Sum of the lower edges of the days' bands"),
    Column("upper", Numeric, nullable=False, comment="Sum of the upper edges of the days' bands"),
    Column("score", Numeric, nullable=False, comment="0 to 1: how sure; of the day that stands out most"),
    Column("reason", CODE, nullable=False, comment="Why its first day is anomalous"),
    Column("words", Text, nullable=False, comment="What was expected from what, and what came, in words"),
    Column("explanation", JSONB, nullable=False, comment="The services that moved, largest first"),
    Column("revision", Integer, nullable=False, comment="Number of changes that were reported"),
    Column("run_id", Uuid, ForeignKey("runs.id", ondelete="SET NULL"), comment="The run that found it"),
    Column("detected_at", INSTANT, nullable=False),
    Column("incident_checked_at", INSTANT, comment="When its incident was looked for; null: not yet"),
    Column("updated_at", INSTANT, nullable=False),
    one_of("direction", Direction),
    one_of("state", AnomalyState),
    one_of("severity", Severity),
    one_of("resolution", Resolution),
    one_of("reason", Reason),
    one_of("cost_basis", CostBasis),
    CheckConstraint("start_date <= last_date", name="dates_ordered"),
    currency_code(),
    CheckConstraint("(state = 'resolved') = (resolution IS NOT NULL)", name="resolved_has_reason"),
    CheckConstraint("(direction = 'spike') = (actual > expected)", name="direction_agrees"),
    CheckConstraint("revision >= 1", name="revision_counts"),
    CheckConstraint("service <> ''", name="service_given"),
    CheckConstraint("jsonb_typeof(explanation) = 'array'", name="explanation_is_list"),
    CheckConstraint(
        "CASE jsonb_typeof(explanation) WHEN 'array' THEN jsonb_array_length(explanation) ="
        f" jsonb_array_length(jsonb_path_query_array(explanation, '{_CONTRIBUTIONS}')) ELSE true END",
        name="explanation_names_services",
    ),
    plausible_times("start_date", "last_date", "detected_at", "incident_checked_at", "updated_at"),
    finite("expected", "actual", "lower", "upper", "peak"),
    CheckConstraint("score BETWEEN 0 AND 1", name="score_is_share"),
    # One open anomaly for a series, a direction and a start: never two for the same days.
    Index(
        "uq_anomalies_open",
        "account_id",
        text("coalesce(service, '')"),
        "currency",
        "direction",
        "start_date",
        unique=True,
        postgresql_where=text("state = 'open'"),
    ),
    Index("ix_anomalies_account_id_last_date", "account_id", "last_date"),
    Index("ix_anomalies_state", "state"),
    Index("ix_anomalies_run_id", "run_id"),
    Index("ix_anomalies_unchecked", "run_id", postgresql_where=text("incident_checked_at IS NULL")),
    comment="Days, or runs of days, with unusual cost",
)

anomaly_answers = Table(
    "anomaly_answers",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", CODE, nullable=False, comment="What was said of the anomaly"),
    Column("account_id", BigInteger, ForeignKey("accounts.id"), nullable=False),
    Column("service", CODE, comment="Null: the account's total; of a planned change, everything"),
    *(Column(name, CODE, comment="Null: a planned change") for name in ("currency", "direction")),
    Column("level", Numeric, comment="Peak of the anomaly when it was answered; null: a planned change"),
    Column("start_date", Date, comment="First day that it holds for; null: any"),
    Column("end_date", Date, comment="Last day that it holds for; null: no end"),
    # No foreign key: the answer belongs to the series, and outlives the anomaly that it was given for.
    Column("anomaly_id", Uuid, comment="The anomaly that it was given for; null: a planned change"),
    Column("reason", Text, nullable=False, comment="Why, in the author's words; may be empty"),
    Column("author", Text, nullable=False, comment="Who answered"),
    Column("created_at", INSTANT, nullable=False),
    Column("withdrawn_at", INSTANT, comment="Null: it counts"),
    *(Column(name, Text) for name in ("withdrawn_by", "withdrawn_reason")),
    one_of("kind", AnswerKind),
    one_of("direction", Direction),
    CheckConstraint("service <> ''", name="service_given"),
    CheckConstraint("author <> ''", name="author_given"),
    currency_code(),
    CheckConstraint("start_date <= end_date", name="dates_ordered"),
    CheckConstraint(
        "(kind = 'planned') = (level IS NULL) AND (level IS NULL) = (currency IS NULL)"
        " AND (level IS NULL) = (direction IS NULL) AND (level IS NULL) = (anomaly_id IS NULL)",
        name="series_unless_planned",
    ),
    CheckConstraint(
        "kind NOT IN ('planned', 'acknowledged') OR (start_date IS NOT NULL AND end_date IS NOT NULL)",
        name="days_if_needed",
    ),
    CheckConstraint(
        "(withdrawn_at IS NULL) = (withdrawn_by IS NULL)"
        " AND (withdrawn_at IS NULL) = (withdrawn_reason IS NULL)",
        name="withdrawn_by_someone",
    ),
    plausible_times("start_date", "end_date", "created_at", "withdrawn_at"),
    finite("level"),
    Index("ix_anomaly_answers_account_id", "account_id"),
    comment="What people answered to anomalies, and changes that they planned",
)

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
