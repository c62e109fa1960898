"""The tables of accounts and of runs, which every job has; ``metadata`` has those of every subject, too."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from costbatch.adapters.postgres import (
    columns,
    cost_tables,  # noqa: F401 - its tables are ours, too
    detection_tables,  # noqa: F401 - as above
    discovery_tables,  # noqa: F401 - as above
    event_tables,  # noqa: F401 - as above
)
from costbatch.adapters.postgres.columns import (
    CODE,
    INSTANT,
    key_of_account,
    not_negative,
    one_of,
    plausible_times,
)
from costbatch.domain.accounts import AccessMethod, AccountStatus, Partition
from costbatch.domain.runs import ItemState, RunStatus, SkipReason, StopReason
from costbatch.errors import ErrorKind

_LABELS_ARE_TEXTS = (
    "CASE jsonb_typeof(labels) WHEN 'object' THEN"
    " NOT jsonb_path_exists(labels, 'strict $.* ? (@.type() != \"string\")') ELSE false END"
)

# One for all tables.
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
    Column(
        "unknown_days",
        ARRAY(Date),
        nullable=False,
        server_default="{}",
        comment="Those of these days whose whole cost could never be read",
    ),
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
    CheckConstraint("array_position(unknown_days, NULL) IS NULL", name="unknown_days_given"),
    CheckConstraint("(failing_since IS NULL) = (failing_kind IS NULL)", name="failing_both_or_none"),
    plausible_times("covered_start", "covered_end_exclusive", "failing_since"),
    comment="Progress of each job with each account, over all its runs",
)
