"""Accounts, runs and items, daily costs and digests of days, resources, anomalies and their answers, the outbox.

Revision: 20261129_baseline
After: nothing
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "20261129_baseline"
down_revision = None
branch_labels = None
depends_on = None


# Undoes, account by account, what came after the night: of each row the oldest of the later changes tells what it
# was. An account's nights never go back (cost_statements.py), so what follows its first later version is later too.
# PostgreSQL inlines it, so that a condition on account_id or usage_date reads only these.
_COSTS_AS_OF = """
CREATE FUNCTION costs_as_of(as_of date) RETURNS TABLE (
    account_id bigint, usage_date date, service text, record_type text, currency text, unblended numeric,
    amortized numeric, net_unblended numeric, net_amortized numeric, usage_quantity numeric, estimated boolean
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT a.id, x.usage_date, x.service, x.record_type, x.currency, x.unblended,
    x.amortized, x.net_unblended, x.net_amortized, x.usage_quantity, x.estimated
FROM accounts a
CROSS JOIN LATERAL (
    SELECT min(v.id) AS first_id, coalesce(bool_or(v.is_first), false) AS is_all
    FROM cost_versions v WHERE v.account_id = a.id AND v.night > as_of) AS later
CROSS JOIN LATERAL (
    SELECT d.usage_date, d.service, d.record_type, d.currency, d.unblended,
        d.amortized, d.net_unblended, d.net_amortized, d.usage_quantity, d.estimated
    FROM daily_costs d
    WHERE d.account_id = a.id AND NOT EXISTS (
        SELECT FROM cost_changes c
        WHERE c.account_id = a.id AND c.version_id >= later.first_id AND c.usage_date = d.usage_date
          AND c.service = d.service AND c.record_type = d.record_type AND c.currency = d.currency)
    UNION ALL
    SELECT u.usage_date, u.service, u.record_type, u.currency, u.old_unblended,
        u.old_amortized, u.old_net_unblended, u.old_net_amortized, u.old_usage_quantity, u.old_estimated
    FROM (
        SELECT DISTINCT ON (c.usage_date, c.service, c.record_type, c.currency) c.*
        FROM cost_changes c WHERE c.account_id = a.id AND c.version_id >= later.first_id
        ORDER BY c.usage_date, c.service, c.record_type, c.currency, c.version_id) AS u
    WHERE u.old_unblended IS NOT NULL
) AS x
WHERE NOT later.is_all
$$;
COMMENT ON FUNCTION costs_as_of(date) IS 'daily_costs as it was after the runs of a UTC day; see cost_versions.night';
"""


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="The row"),
        sa.Column(
            "aws_account_id", sa.Text(collation="C"), nullable=False, comment="The 12 digits, zeros kept"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="Display name"),
        sa.Column(
            "status", sa.Text(collation="C"), nullable=False, comment="Only active accounts are collected"
        ),
        sa.Column("access", sa.Text(collation="C"), nullable=False, comment="How its costs are reached"),
        sa.Column(
            "partition",
            sa.Text(collation="C"),
            nullable=False,
            comment="AWS partition, such as aws or aws-cn",
        ),
        sa.Column("role_arn", sa.Text(), nullable=True, comment="The role to assume, for assumed_role"),
        sa.Column(
            "base_account_id",
            sa.BigInteger(),
            nullable=True,
            comment="Whose credentials assume the role; null: the pod's own",
        ),
        sa.Column(
            "labels",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="Texts by key, such as the team",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When it was added, for the last time",
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(access = 'assumed_role') = (role_arn IS NOT NULL)", name=op.f("ck_accounts_role_iff_assumed")
        ),
        sa.CheckConstraint(
            "access IN ('access_keys', 'assumed_role', 'pod_identity')", name=op.f("ck_accounts_access_known")
        ),
        sa.CheckConstraint("aws_account_id ~ '^[0-9]{12}$'", name=op.f("ck_accounts_aws_account_id_digits")),
        sa.CheckConstraint(
            "base_account_id IS NULL OR access = 'assumed_role'", name=op.f("ck_accounts_base_only_assumed")
        ),
        sa.CheckConstraint(
            "created_at BETWEEN '2000-01-01' AND '2999-12-31' AND updated_at BETWEEN '2000-01-01' AND '2999-12-31'",
            name=op.f("ck_accounts_times_plausible"),
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_accounts_name_given")),
        sa.CheckConstraint(
            "partition IN ('aws', 'aws-cn', 'aws-us-gov')", name=op.f("ck_accounts_partition_known")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'paused', 'removed')", name=op.f("ck_accounts_status_known")
        ),
        sa.CheckConstraint("base_account_id <> id", name=op.f("ck_accounts_base_is_another")),
        sa.CheckConstraint(
            "CASE jsonb_typeof(labels) WHEN 'object' THEN NOT jsonb_path_exists(labels,"
            " 'strict $.* ? (@.type() != \"string\")') ELSE false END",
            name=op.f("ck_accounts_labels_are_texts"),
        ),
        sa.ForeignKeyConstraint(
            ["base_account_id"], ["accounts.id"], name=op.f("fk_accounts_base_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("aws_account_id", name=op.f("uq_accounts_aws_account_id")),
        comment="AWS accounts that jobs work on",
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "sequence",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Order of their starts",
        ),
        sa.Column(
            "job", sa.Text(collation="C"), nullable=False, comment="Which job it runs, such as collect"
        ),
        sa.Column("run_key", sa.Text(), nullable=False, comment="In Kubernetes the Job's uid"),
        sa.Column("status", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "today", sa.Date(), nullable=False, comment="UTC day of the start, for every process of the run"
        ),
        sa.Column(
            "aws_account_ids",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Accounts asked for; []: every active one",
        ),
        sa.Column(
            "options",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="What else was asked for, as the job defines it",
        ),
        sa.Column("version", sa.Text(), nullable=False, comment="Version of costbatch that started it"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "stopped_by",
            sa.Text(collation="C"),
            nullable=True,
            comment="What interrupted it, while it is stopped",
        ),
        sa.CheckConstraint(
            "(status = 'running') = (finished_at IS NULL)", name=op.f("ck_runs_finished_iff_not_running")
        ),
        sa.CheckConstraint("job <> ''", name=op.f("ck_runs_job_given")),
        sa.CheckConstraint(
            "jsonb_typeof(aws_account_ids) = 'array'", name=op.f("ck_runs_aws_account_ids_is_list")
        ),
        sa.CheckConstraint("jsonb_typeof(options) = 'object'", name=op.f("ck_runs_options_is_object")),
        sa.CheckConstraint("run_key <> ''", name=op.f("ck_runs_run_key_given")),
        sa.CheckConstraint(
            "status IN ('running', 'stopped', 'completed', 'partial', 'failed')",
            name=op.f("ck_runs_status_known"),
        ),
        sa.CheckConstraint("stopped_by IN ('signal', 'deadline')", name=op.f("ck_runs_stopped_by_known")),
        sa.CheckConstraint(
            "stopped_by IS NULL OR status = 'stopped'", name=op.f("ck_runs_stopped_by_only_stopped")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        comment="One execution of a job under one run key",
    )
    op.create_index("uq_runs_job_run_key", "runs", ["job", "run_key"], unique=True)
    op.create_table(
        "account_credentials",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "key_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="Id of the ENCRYPTION_KEY that encrypted it",
        ),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="AES-256-GCM, bound to the account"),
        sa.Column(
            "proven_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When AWS said that they are the account's; null: not yet",
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("key_id <> '' AND sealed <> ''", name=op.f("ck_account_credentials_given")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_account_credentials_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_account_credentials")),
        comment="Encrypted credentials, apart, so that a reader can be granted every other table",
    )
    op.create_table(
        "account_progress",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("job", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "covered_start", sa.Date(), nullable=True, comment="First day that is stored without a gap"
        ),
        sa.Column(
            "covered_end_exclusive",
            sa.Date(),
            nullable=True,
            comment="Day after the last one stored without a gap",
        ),
        sa.Column(
            "backfilled_from",
            sa.Date(),
            nullable=True,
            comment="First of these days that only backfills have read, if any",
        ),
        sa.Column(
            "unknown_days",
            postgresql.ARRAY(sa.Date()),
            server_default="{}",
            nullable=False,
            comment="Those of these days whose whole cost could never be read",
        ),
        sa.Column(
            "failing_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When it failed first, while it fails (import-aws: last)",
        ),
        sa.Column("failing_kind", sa.Text(collation="C"), nullable=True, comment="Why it fails"),
        sa.CheckConstraint(
            "covered_start BETWEEN '2000-01-01' AND '2999-12-31' AND covered_end_exclusive BETWEEN '2000-01-01' AND '2999-12-31' AND failing_since BETWEEN '2000-01-01' AND '2999-12-31'",
            name=op.f("ck_account_progress_times_plausible"),
        ),
        sa.CheckConstraint("job <> ''", name=op.f("ck_account_progress_job_given")),
        sa.CheckConstraint(
            "(covered_start IS NULL) = (covered_end_exclusive IS NULL)",
            name=op.f("ck_account_progress_covered_both_or_none"),
        ),
        sa.CheckConstraint(
            "array_position(unknown_days, NULL) IS NULL", name=op.f("ck_account_progress_unknown_days_given")
        ),
        sa.CheckConstraint(
            "(failing_since IS NULL) = (failing_kind IS NULL)",
            name=op.f("ck_account_progress_failing_both_or_none"),
        ),
        sa.CheckConstraint(
            "covered_start < covered_end_exclusive", name=op.f("ck_account_progress_covered_not_empty")
        ),
        sa.CheckConstraint(
            "backfilled_from IS NULL OR coalesce(covered_start <= backfilled_from AND backfilled_from < covered_end_exclusive, false)",
            name=op.f("ck_account_progress_backfilled_from_covered"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_account_progress_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "job", name=op.f("pk_account_progress")),
        comment="Progress of each job with each account, over all its runs",
    )
    op.create_table(
        "anomalies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.Text(collation="C"), nullable=True, comment="Null: the account's total"),
        sa.Column("direction", sa.Text(collation="C"), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("severity", sa.Text(collation="C"), nullable=False),
        sa.Column("resolution", sa.Text(collation="C"), nullable=True, comment="Why it is no longer open"),
        sa.Column("start_date", sa.Date(), nullable=False, comment="First anomalous day"),
        sa.Column("last_date", sa.Date(), nullable=False, comment="Last anomalous day so far"),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("cost_basis", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "expected",
            sa.Numeric(),
            nullable=False,
            comment="What was expected of the anomalous days together",
        ),
        sa.Column("actual", sa.Numeric(), nullable=False, comment="Sum of the cost of the anomalous days"),
        sa.Column(
            "peak", sa.Numeric(), nullable=False, comment="Highest daily cost of a spike, lowest of a drop"
        ),
        sa.Column("lower", sa.Numeric(), nullable=False, comment="Sum of the lower edges of the days' bands"),
        sa.Column("upper", sa.Numeric(), nullable=False, comment="Sum of the upper edges of the days' bands"),
        sa.Column(
            "score", sa.Numeric(), nullable=False, comment="0 to 1: how sure; of the day that stands out most"
        ),
        sa.Column("reason", sa.Text(collation="C"), nullable=False, comment="Why its first day is anomalous"),
        sa.Column(
            "words", sa.Text(), nullable=False, comment="What was expected from what, and what came, in words"
        ),
        sa.Column(
            "explanation",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The services that moved, largest first",
        ),
        sa.Column("revision", sa.Integer(), nullable=False, comment="Number of changes that were reported"),
        sa.Column("run_id", sa.Uuid(), nullable=True, comment="The run that found it"),
        sa.Column("detected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "incident_checked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its incident was looked for; null: not yet",
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(direction = 'spike') = (actual > expected)", name=op.f("ck_anomalies_direction_agrees")
        ),
        sa.CheckConstraint(
            "(state = 'resolved') = (resolution IS NOT NULL)", name=op.f("ck_anomalies_resolved_has_reason")
        ),
        sa.CheckConstraint(
            "cost_basis IN ('unblended', 'amortized', 'net_unblended', 'net_amortized')",
            name=op.f("ck_anomalies_cost_basis_known"),
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_anomalies_currency_code")),
        sa.CheckConstraint("direction IN ('spike', 'drop')", name=op.f("ck_anomalies_direction_known")),
        sa.CheckConstraint(
            "jsonb_typeof(explanation) = 'array'", name=op.f("ck_anomalies_explanation_is_list")
        ),
        sa.CheckConstraint(
            "resolution IN ('ended', 'restated', 'merged', 'removed')",
            name=op.f("ck_anomalies_resolution_known"),
        ),
        sa.CheckConstraint("service <> ''", name=op.f("ck_anomalies_service_given")),
        sa.CheckConstraint("severity IN ('low', 'medium', 'high')", name=op.f("ck_anomalies_severity_known")),
        sa.CheckConstraint(
            "start_date BETWEEN '2000-01-01' AND '2999-12-31' AND last_date BETWEEN '2000-01-01' AND '2999-12-31' AND detected_at BETWEEN '2000-01-01' AND '2999-12-31' AND incident_checked_at BETWEEN '2000-01-01' AND '2999-12-31' AND updated_at BETWEEN '2000-01-01' AND '2999-12-31'",
            name=op.f("ck_anomalies_times_plausible"),
        ),
        sa.CheckConstraint("state IN ('open', 'resolved')", name=op.f("ck_anomalies_state_known")),
        sa.CheckConstraint(
            'CASE jsonb_typeof(explanation) WHEN \'array\' THEN jsonb_array_length(explanation) = jsonb_array_length(jsonb_path_query_array(explanation, \'strict $[*] ? (@.type() == "object" && @.service.type() == "string" && @.expected like_regex "^-?[0-9]{1,40}([.][0-9]{1,60})?(E[+-]?[0-9]{1,2})?$" && @.actual like_regex "^-?[0-9]{1,40}([.][0-9]{1,60})?(E[+-]?[0-9]{1,2})?$")\')) ELSE true END',
            name=op.f("ck_anomalies_explanation_names_services"),
        ),
        sa.CheckConstraint(
            "abs(expected) < 1e30 AND abs(actual) < 1e30 AND abs(lower) < 1e30 AND abs(upper) < 1e30 AND abs(peak) < 1e30",
            name=op.f("ck_anomalies_amounts_are_numbers"),
        ),
        sa.CheckConstraint(
            "reason IN ('deviation', 'spike', 'burst', 'growth', 'drop', 'new_service', 'dormant_service')",
            name=op.f("ck_anomalies_reason_known"),
        ),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("ck_anomalies_score_is_share")),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_anomalies_revision_counts")),
        sa.CheckConstraint("start_date <= last_date", name=op.f("ck_anomalies_dates_ordered")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_anomalies_account_id")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_anomalies_run_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_anomalies")),
        comment="Days, or runs of days, with unusual cost",
    )
    op.create_index(
        "ix_anomalies_account_id_last_date", "anomalies", ["account_id", "last_date"], unique=False
    )
    op.create_index("ix_anomalies_run_id", "anomalies", ["run_id"], unique=False)
    op.create_index("ix_anomalies_state", "anomalies", ["state"], unique=False)
    op.create_index(
        "ix_anomalies_unchecked",
        "anomalies",
        ["run_id"],
        unique=False,
        postgresql_where=sa.text("incident_checked_at IS NULL"),
    )
    op.create_index(
        "uq_anomalies_open",
        "anomalies",
        ["account_id", sa.literal_column("coalesce(service, '')"), "currency", "direction", "start_date"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "anomaly_answers",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(collation="C"), nullable=False, comment="What was said of the anomaly"),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "service",
            sa.Text(collation="C"),
            nullable=True,
            comment="Null: the account's total; of a planned change, everything",
        ),
        sa.Column("currency", sa.Text(collation="C"), nullable=True, comment="Null: a planned change"),
        sa.Column("direction", sa.Text(collation="C"), nullable=True, comment="Null: a planned change"),
        sa.Column(
            "level",
            sa.Numeric(),
            nullable=True,
            comment="Peak of the anomaly when it was answered; null: a planned change",
        ),
        sa.Column("start_date", sa.Date(), nullable=True, comment="First day that it holds for; null: any"),
        sa.Column("end_date", sa.Date(), nullable=True, comment="Last day that it holds for; null: no end"),
        sa.Column(
            "anomaly_id",
            sa.Uuid(),
            nullable=True,
            comment="The anomaly that it was given for; null: a planned change",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why, in the author's words; may be empty"),
        sa.Column("author", sa.Text(), nullable=False, comment="Who answered"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True, comment="Null: it counts"),
        sa.Column("withdrawn_by", sa.Text(), nullable=True),
        sa.Column("withdrawn_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(kind = 'planned') = (level IS NULL) AND (level IS NULL) = (currency IS NULL) AND (level IS NULL) = (direction IS NULL) AND (level IS NULL) = (anomaly_id IS NULL)",
            name=op.f("ck_anomaly_answers_series_unless_planned"),
        ),
        sa.CheckConstraint("author <> ''", name=op.f("ck_anomaly_answers_author_given")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_anomaly_answers_currency_code")),
        sa.CheckConstraint("direction IN ('spike', 'drop')", name=op.f("ck_anomaly_answers_direction_known")),
        sa.CheckConstraint(
            "kind IN ('dismissed', 'expected', 'planned', 'acknowledged')",
            name=op.f("ck_anomaly_answers_kind_known"),
        ),
        sa.CheckConstraint(
            "kind NOT IN ('planned', 'acknowledged') OR (start_date IS NOT NULL AND end_date IS NOT NULL)",
            name=op.f("ck_anomaly_answers_days_if_needed"),
        ),
        sa.CheckConstraint("service <> ''", name=op.f("ck_anomaly_answers_service_given")),
        sa.CheckConstraint(
            "start_date BETWEEN '2000-01-01' AND '2999-12-31' AND end_date BETWEEN '2000-01-01' AND '2999-12-31' AND created_at BETWEEN '2000-01-01' AND '2999-12-31' AND withdrawn_at BETWEEN '2000-01-01' AND '2999-12-31'",
            name=op.f("ck_anomaly_answers_times_plausible"),
        ),
        sa.CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawn_by IS NULL) AND (withdrawn_at IS NULL) = (withdrawn_reason IS NULL)",
            name=op.f("ck_anomaly_answers_withdrawn_by_someone"),
        ),
        sa.CheckConstraint("abs(level) < 1e30", name=op.f("ck_anomaly_answers_amounts_are_numbers")),
        sa.CheckConstraint("start_date <= end_date", name=op.f("ck_anomaly_answers_dates_ordered")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_anomaly_answers_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_anomaly_answers")),
        comment="What people answered to anomalies, and changes that they planned",
    )
    op.create_index(
        "ix_anomaly_answers_account_id",
        "anomaly_answers",
        ["account_id"],
        unique=False,
    )
    op.create_table(
        "daily_costs",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("usage_date", sa.Date(), nullable=False, comment="The UTC day that AWS bills"),
        sa.Column("service", sa.Text(collation="C"), nullable=False, comment="As Cost Explorer names it"),
        sa.Column(
            "record_type",
            sa.Text(collation="C"),
            nullable=False,
            comment="Usage, Tax, Credit, Refund, …: an open list",
        ),
        sa.Column(
            "currency",
            sa.Text(collation="C"),
            nullable=False,
            comment="ISO code; an account can have several",
        ),
        sa.Column("unblended", sa.Numeric(), nullable=False, comment="Exact, as AWS printed it"),
        sa.Column("amortized", sa.Numeric(), nullable=False),
        sa.Column(
            "net_unblended", sa.Numeric(), nullable=True, comment="After discounts; null if AWS gives none"
        ),
        sa.Column(
            "net_amortized", sa.Numeric(), nullable=True, comment="After discounts; null if AWS gives none"
        ),
        sa.Column(
            "usage_quantity",
            sa.Numeric(),
            nullable=True,
            comment="Sum over mixed units, as Cost Explorer gives it",
        ),
        sa.Column("estimated", sa.Boolean(), nullable=False, comment="Whether AWS may still change it"),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_daily_costs_currency_code")),
        sa.CheckConstraint("record_type <> ''", name=op.f("ck_daily_costs_record_type_given")),
        sa.CheckConstraint("service <> ''", name=op.f("ck_daily_costs_service_given")),
        sa.CheckConstraint(
            "abs(unblended) < 1e30 AND abs(amortized) < 1e30 AND abs(net_unblended) < 1e30 AND abs(net_amortized) < 1e30 AND abs(usage_quantity) < 1e30",
            name=op.f("ck_daily_costs_amounts_are_numbers"),
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "usage_date", "service", "record_type", "currency", name=op.f("pk_daily_costs")
        ),
        comment="Daily cost of each account by service, record type and currency; partitioned by month",
        postgresql_partition_by="RANGE (usage_date)",
    )
    op.create_table(
        "cost_versions",
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="In the order of the changes",
        ),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False, comment="The run that changed the costs"),
        sa.Column(
            "night",
            sa.Date(),
            nullable=False,
            comment="The run's UTC day, or that of a later night before it",
        ),
        sa.Column(
            "is_first",
            sa.Boolean(),
            nullable=False,
            comment="The account's first costs: nothing before them",
        ),
        sa.CheckConstraint(
            "night BETWEEN '2000-01-01' AND '2999-12-31'", name=op.f("ck_cost_versions_times_plausible")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_cost_versions_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cost_versions")),
        comment="Each time that the stored costs of an account changed",
    )
    op.create_index("ix_cost_versions_account_id_id", "cost_versions", ["account_id", "id"], unique=False)
    op.create_table(
        "cost_changes",
        sa.Column("version_id", sa.BigInteger(), nullable=False, comment="Of cost_versions"),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("usage_date", sa.Date(), nullable=False, comment="The day whose cost changed"),
        sa.Column("service", sa.Text(collation="C"), nullable=False),
        sa.Column("record_type", sa.Text(collation="C"), nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("old_unblended", sa.Numeric(), nullable=True, comment="Before; null: no row"),
        sa.Column("old_amortized", sa.Numeric(), nullable=True, comment="Before; null: no row"),
        sa.Column("old_net_unblended", sa.Numeric(), nullable=True, comment="Before; null: no row"),
        sa.Column("old_net_amortized", sa.Numeric(), nullable=True, comment="Before; null: no row"),
        sa.Column("old_usage_quantity", sa.Numeric(), nullable=True, comment="Before; null: no row"),
        sa.Column("old_estimated", sa.Boolean(), nullable=True, comment="Before; null: no row"),
        sa.Column("new_unblended", sa.Numeric(), nullable=True, comment="After; null: no row"),
        sa.Column("new_amortized", sa.Numeric(), nullable=True, comment="After; null: no row"),
        sa.Column("new_net_unblended", sa.Numeric(), nullable=True, comment="After; null: no row"),
        sa.Column("new_net_amortized", sa.Numeric(), nullable=True, comment="After; null: no row"),
        sa.Column("new_usage_quantity", sa.Numeric(), nullable=True, comment="After; null: no row"),
        sa.Column("new_estimated", sa.Boolean(), nullable=True, comment="After; null: no row"),
        sa.CheckConstraint(
            "old_unblended IS NOT NULL OR new_unblended IS NOT NULL",
            name=op.f("ck_cost_changes_old_or_new"),
        ),
        comment="What each version of an account's costs changed, row by row; partitioned by month",
        postgresql_partition_by="RANGE (usage_date)",
    )
    op.create_index(
        "ix_cost_changes_account_id_version_id", "cost_changes", ["account_id", "version_id"], unique=False
    )
    op.execute(_COSTS_AS_OF)
    op.create_table(
        "daily_expectations",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("usage_date", sa.Date(), nullable=False, comment="The UTC day that was judged"),
        sa.Column("service", sa.Text(collation="C"), nullable=False, comment="Empty: the account's total"),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("expected", sa.Numeric(), nullable=False),
        sa.Column(
            "lower",
            sa.Numeric(),
            nullable=False,
            comment="Lower edge of the band in which the day is ordinary",
        ),
        sa.Column("upper", sa.Numeric(), nullable=False, comment="Upper edge of the band"),
        sa.Column(
            "actual", sa.Numeric(), nullable=False, comment="What the day cost when it was last judged"
        ),
        sa.Column("score", sa.Numeric(), nullable=False, comment="0 to 1; 0.5 is the edge of the band"),
        sa.Column(
            "reason",
            sa.Text(collation="C"),
            nullable=True,
            comment="Why the day is anomalous; null: it is ordinary",
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_daily_expectations_currency_code")),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("ck_daily_expectations_score_is_share")),
        sa.CheckConstraint(
            "reason IN ('deviation', 'spike', 'burst', 'growth', 'drop', 'new_service', 'dormant_service')",
            name=op.f("ck_daily_expectations_reason_known"),
        ),
        sa.CheckConstraint(
            "abs(expected) < 1e30 AND abs(lower) < 1e30 AND abs(upper) < 1e30 AND abs(actual) < 1e30",
            name=op.f("ck_daily_expectations_amounts_are_numbers"),
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "usage_date", "service", "currency", name=op.f("pk_daily_expectations")
        ),
        comment="What was expected of each judged day, of a total or a service; partitioned by month",
        postgresql_partition_by="RANGE (usage_date)",
    )
    op.create_table(
        "detector_memories",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "version",
            sa.Text(collation="C"),
            nullable=False,
            comment="Of what is learned and its settings; another is rebuilt",
        ),
        sa.Column("newest_date", sa.Date(), nullable=False, comment="The newest day that was judged"),
        sa.Column(
            "snapshot",
            sa.LargeBinary(),
            nullable=True,
            comment="What was learned before these mornings; null: nothing",
        ),
        sa.Column(
            "mornings", sa.LargeBinary(), nullable=False, comment="What was read on the mornings since"
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_detector_memories_currency_code")),
        sa.CheckConstraint(
            "newest_date BETWEEN '2000-01-01' AND '2999-12-31'",
            name=op.f("ck_detector_memories_times_plausible"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_detector_memories_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "currency", name=op.f("pk_detector_memories")),
        comment="What the adaptive detector remembers of an account: deleted rows are rebuilt from the costs",
    )
    op.create_table(
        "first_charges",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("service", sa.Text(collation="C"), nullable=False, comment="As Cost Explorer names it"),
        sa.Column(
            "usage_date",
            sa.Date(),
            nullable=False,
            comment="The first day with cost when it was first seen",
        ),
        sa.Column("currency", sa.Text(collation="C"), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False, comment="What that day cost then"),
        sa.CheckConstraint("service <> ''", name=op.f("ck_first_charges_service_given")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_first_charges_currency_code")),
        sa.CheckConstraint("abs(amount) < 1e30", name=op.f("ck_first_charges_amounts_are_numbers")),
        sa.CheckConstraint(
            "usage_date BETWEEN '2000-01-01' AND '2999-12-31'",
            name=op.f("ck_first_charges_times_plausible"),
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_first_charges_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "service", name=op.f("pk_first_charges")),
        comment="Every service that an account has ever paid for",
    )
    op.create_table(
        "anomaly_causes",
        sa.Column("anomaly_id", sa.Uuid(), nullable=False),
        sa.Column(
            "attempts",
            sa.SmallInteger(),
            nullable=False,
            comment="How often Cost Explorer was asked; what the cap cut short does not count",
        ),
        sa.Column(
            "cut_short",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="On how many nights the cap cut the response short",
        ),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, comment="When it was asked last"),
        sa.Column(
            "usage_date", sa.Date(), nullable=True, comment="The anomalous day; null: nothing is known"
        ),
        sa.Column("ordinary_date", sa.Date(), nullable=True, comment="The day that it is compared with"),
        sa.Column(
            "causes",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="The largest first, at most ten",
        ),
        sa.Column("problem", sa.Text(), nullable=True, comment="Why nothing is known"),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_anomaly_causes_attempts_not_negative")),
        sa.CheckConstraint("cut_short >= 0", name=op.f("ck_anomaly_causes_cut_short_not_negative")),
        sa.CheckConstraint(
            "(usage_date IS NULL) = (ordinary_date IS NULL)",
            name=op.f("ck_anomaly_causes_days_both_or_none"),
        ),
        sa.CheckConstraint(
            "usage_date IS NULL OR problem IS NULL", name=op.f("ck_anomaly_causes_problem_only_unknown")
        ),
        sa.CheckConstraint("jsonb_typeof(causes) = 'array'", name=op.f("ck_anomaly_causes_causes_is_list")),
        sa.CheckConstraint(
            "asked_at BETWEEN '2000-01-01' AND '2999-12-31'"
            " AND usage_date BETWEEN '2000-01-01' AND '2999-12-31'"
            " AND ordinary_date BETWEEN '2000-01-01' AND '2999-12-31'",
            name=op.f("ck_anomaly_causes_times_plausible"),
        ),
        sa.ForeignKeyConstraint(
            ["anomaly_id"], ["anomalies.id"], name=op.f("fk_anomaly_causes_anomaly_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("anomaly_id", name=op.f("pk_anomaly_causes")),
        comment="Regions and usage types that make the difference to an ordinary day, by anomaly",
    )
    op.create_table(
        "aws_anomalies",
        sa.Column("id", sa.Text(collation="C"), nullable=False, comment="AWS's id"),
        sa.Column(
            "account_id",
            sa.BigInteger(),
            nullable=False,
            comment="Whose credentials read it; a payer reads those of its members",
        ),
        sa.Column("monitor_arn", sa.Text(), nullable=False, comment="The monitor that found it"),
        sa.Column(
            "dimension_value",
            sa.Text(collation="C"),
            nullable=True,
            comment="A service, an account, or the value of a tag or cost category, by the kind of the monitor",
        ),
        sa.Column("start_date", sa.Date(), nullable=True, comment="First day; null: AWS does not say"),
        sa.Column("last_date", sa.Date(), nullable=True, comment="Last day; null: it has not ended"),
        sa.Column("score", sa.Numeric(), nullable=False, comment="AWS's largest score of it"),
        sa.Column("impact", sa.Numeric(), nullable=False, comment="US dollars more than expected"),
        sa.Column("expected", sa.Numeric(), nullable=True, comment="US dollars; null: AWS does not say"),
        sa.Column("actual", sa.Numeric(), nullable=True, comment="US dollars; null: AWS does not say"),
        sa.Column("feedback", sa.Text(collation="C"), nullable=True, comment="What people told AWS of it"),
        sa.Column(
            "root_causes",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Service, region, account, usage type and impact",
        ),
        sa.Column(
            "imported_at", sa.DateTime(timezone=True), nullable=False, comment="When it was read first"
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When it was last read otherwise than before",
        ),
        sa.CheckConstraint("id <> ''", name=op.f("ck_aws_anomalies_id_given")),
        sa.CheckConstraint("dimension_value <> ''", name=op.f("ck_aws_anomalies_dimension_value_given")),
        sa.CheckConstraint(
            "feedback IN ('YES', 'NO', 'PLANNED_ACTIVITY')", name=op.f("ck_aws_anomalies_feedback_known")
        ),
        sa.CheckConstraint(
            "jsonb_typeof(root_causes) = 'array'", name=op.f("ck_aws_anomalies_root_causes_are_list")
        ),
        sa.CheckConstraint(
            "abs(score) < 1e30 AND abs(impact) < 1e30 AND abs(expected) < 1e30 AND abs(actual) < 1e30",
            name=op.f("ck_aws_anomalies_amounts_are_numbers"),
        ),
        sa.CheckConstraint(
            "start_date BETWEEN '2000-01-01' AND '2999-12-31'"
            " AND last_date BETWEEN '2000-01-01' AND '2999-12-31'"
            " AND imported_at BETWEEN '2000-01-01' AND '2999-12-31'"
            " AND updated_at BETWEEN '2000-01-01' AND '2999-12-31'",
            name=op.f("ck_aws_anomalies_times_plausible"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_aws_anomalies_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aws_anomalies")),
        comment="Anomalies that AWS itself detected, as a second opinion; kept for ever",
    )
    op.create_index("ix_aws_anomalies_account_id", "aws_anomalies", ["account_id"], unique=False)
    op.create_table(
        "day_digests",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "run_item_id", sa.BigInteger(), nullable=False, comment="Not used once a later one succeeded"
        ),
        sa.Column("start_date", sa.Date(), nullable=False, comment="The first day"),
        sa.Column(
            "days", sa.LargeBinary(), nullable=False, comment="Of each day 16 bytes of digest, 4 of row count"
        ),
        sa.CheckConstraint(
            "days <> '' AND octet_length(days) % 20 = 0", name=op.f("ck_day_digests_days_whole")
        ),
        sa.CheckConstraint(
            "start_date BETWEEN '2000-01-01' AND '2999-12-31'", name=op.f("ck_day_digests_times_plausible")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_day_digests_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_day_digests")),
        comment="Digests of AWS's last response for each day: an unchanged day is not compared again",
    )
    # Each row changes each night: with room on its page the WAL holds what has changed, else the whole row.
    op.execute("ALTER TABLE day_digests SET (fillfactor = 45)")
    op.create_table(
        "events",
        sa.Column(
            "id",
            sa.Uuid(),
            nullable=False,
            comment="Derived from its content: the same event has the same id",
        ),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column(
            "cloudevent",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="CloudEvents 1.0 JSON",
        ),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "cloudevent ->> 'id' IS NOT DISTINCT FROM id::text", name=op.f("ck_events_cloudevent_has_id")
        ),
        sa.CheckConstraint(
            "jsonb_typeof(cloudevent -> 'subject') IS NOT DISTINCT FROM 'string' AND jsonb_typeof(cloudevent -> 'data') IS NOT DISTINCT FROM 'object'",
            name=op.f("ck_events_cloudevent_whole"),
        ),
        sa.CheckConstraint(
            "type IN ('anomaly.detected', 'anomaly.updated', 'anomaly.resolved', 'anomaly.reminder', 'anomaly.answered', 'anomaly.explained', 'incident.detected', 'service.first_charged', 'account.dormant_charged', 'account.failed', 'account.recovered', 'region.first_used', 'service.first_used', 'run.completed', 'run.failed', 'run.stopped', 'sink.test')",
            name=op.f("ck_events_type_known"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_events_account_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_events_run_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("sequence", name=op.f("uq_events_sequence")),
        comment="The outbox: written in the transaction of the change that it reports",
    )
    op.create_index("ix_events_run_id", "events", ["run_id"], unique=False)
    op.create_index("ix_events_account_id", "events", ["account_id", "sequence"], unique=False)
    op.create_table(
        "run_items",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("job", sa.Text(collation="C"), nullable=False, comment="The run's job"),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "attempts", sa.SmallInteger(), server_default="0", nullable=False, comment="Recorded attempts"
        ),
        sa.Column(
            "takeovers",
            sa.SmallInteger(),
            server_default="0",
            nullable=False,
            comment="Claims whose process died",
        ),
        sa.Column(
            "available_at", sa.DateTime(timezone=True), nullable=False, comment="Not to be claimed before"
        ),
        sa.Column(
            "claimed_by",
            sa.Text(),
            nullable=True,
            comment="Host, process namespace and process of the worker",
        ),
        sa.Column(
            "failed_by",
            sa.Text(),
            nullable=True,
            comment="Worker whose last attempt did not succeed, or that died with it",
        ),
        sa.Column(
            "claim_token", sa.Uuid(), nullable=True, comment="Proof of the claim; a lost one cannot write"
        ),
        sa.Column(
            "lease_expires_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the claim ends unless it is renewed",
        ),
        sa.Column(
            "api_requests", sa.Integer(), server_default="0", nullable=False, comment="Paid, $0.01 each"
        ),
        sa.Column(
            "api_requests_unanswered",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="Of these, without an answer: AWS may not have charged them",
        ),
        sa.Column("error_kind", sa.Text(collation="C"), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("skip_reason", sa.Text(collation="C"), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'running') = (claim_token IS NOT NULL) AND (claim_token IS NULL) = (claimed_by IS NULL) AND (claim_token IS NULL) = (lease_expires_at IS NULL)",
            name=op.f("ck_run_items_claim_iff_running"),
        ),
        sa.CheckConstraint(
            "(state = 'skipped') = (skip_reason IS NOT NULL)", name=op.f("ck_run_items_skipped_has_reason")
        ),
        sa.CheckConstraint(
            "error_kind IN ('credentials_unreadable', 'credentials_rejected', 'pod_identity_missing', 'wrong_clock', 'access_denied', 'cost_explorer_not_enabled', 'resource_explorer_not_enabled', 'data_unavailable', 'throttled', 'timeout', 'malformed_response', 'implausible_answer', 'wrong_account', 'process_killed', 'internal')",
            name=op.f("ck_run_items_error_kind_known"),
        ),
        sa.CheckConstraint(
            "skip_reason IN ('api_cost_cap', 'not_active')", name=op.f("ck_run_items_skip_reason_known")
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR error_kind IS NOT NULL", name=op.f("ck_run_items_failed_has_kind")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'running') OR finished_at IS NOT NULL",
            name=op.f("ck_run_items_ended_has_finish"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'running', 'succeeded', 'failed', 'skipped')",
            name=op.f("ck_run_items_state_known"),
        ),
        sa.CheckConstraint(
            "(error_kind IS NULL) = (error_message IS NULL)", name=op.f("ck_run_items_error_both_or_none")
        ),
        sa.CheckConstraint(
            "api_requests_unanswered <= api_requests", name=op.f("ck_run_items_unanswered_are_paid")
        ),
        sa.CheckConstraint(
            "attempts >= 0 AND takeovers >= 0 AND api_requests >= 0 AND api_requests_unanswered >= 0",
            name=op.f("ck_run_items_counts_not_negative"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_run_items_account_id")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_run_items_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_items")),
        comment="One account within one run, with its one outcome",
    )
    op.create_index(
        "ix_run_items_succeeded",
        "run_items",
        ["account_id", "job", "finished_at"],
        unique=False,
        postgresql_where=sa.text("state = 'succeeded'"),
    )
    op.create_index(
        "ix_run_items_turns_in_vain",
        "run_items",
        ["account_id", "job", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'failed' OR state <> 'succeeded' AND api_requests > 0"),
    )
    op.create_index(
        "ix_run_items_pending",
        "run_items",
        ["run_id", "takeovers", "attempts", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "uq_run_items_one_claim",
        "run_items",
        ["account_id", "job"],
        unique=True,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("uq_run_items_run_id_account_id", "run_items", ["run_id", "account_id"], unique=True)
    op.create_table(
        "cost_collections",
        sa.Column("run_item_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("window_start", sa.Date(), nullable=False),
        sa.Column("window_end_exclusive", sa.Date(), nullable=False),
        sa.Column("rows_fetched", sa.Integer(), nullable=False),
        sa.Column("rows_inserted", sa.Integer(), nullable=False),
        sa.Column("rows_updated", sa.Integer(), nullable=False),
        sa.Column("rows_deleted", sa.Integer(), nullable=False),
        sa.Column(
            "days_kept", sa.Integer(), nullable=False, comment="Stored days that AWS no longer reports, kept"
        ),
        sa.CheckConstraint(
            "rows_fetched >= 0 AND rows_inserted >= 0 AND rows_updated >= 0 AND rows_deleted >= 0 AND days_kept >= 0",
            name=op.f("ck_cost_collections_counts_not_negative"),
        ),
        sa.CheckConstraint(
            "window_start < window_end_exclusive", name=op.f("ck_cost_collections_window_not_empty")
        ),
        sa.ForeignKeyConstraint(
            ["run_item_id"],
            ["run_items.id"],
            name=op.f("fk_cost_collections_run_item_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_item_id", name=op.f("pk_cost_collections")),
        comment="What the cost job did for one account within one run",
    )
    op.create_table(
        "deliveries",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("sink", sa.Text(collation="C"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="The order of delivery: the event's"),
        sa.Column(
            "ordering_key",
            sa.BigInteger(),
            nullable=False,
            comment="Delivered one after the other: the account's row, or 0",
        ),
        sa.Column("state", sa.Text(collation="C"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "refusals", sa.Integer(), server_default="0", nullable=False, comment="Of the event itself"
        ),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=False, comment="Not to be tried before"),
        sa.Column(
            "claimed_by",
            sa.Text(),
            nullable=True,
            comment="Host, process namespace and process of the worker",
        ),
        sa.Column(
            "claim_token", sa.Uuid(), nullable=True, comment="Proof of the claim; a lost one cannot write"
        ),
        sa.Column(
            "claimed_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the claim of a process that died ends",
        ),
        sa.Column(
            "delivered_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the sink last accepted it",
        ),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="The last error, or why the filter excludes it"
        ),
        sa.CheckConstraint("sink <> ''", name=op.f("ck_deliveries_sink_given")),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'dead', 'filtered')", name=op.f("ck_deliveries_state_known")
        ),
        sa.CheckConstraint(
            "(claim_token IS NULL) = (claimed_until IS NULL) AND (claim_token IS NULL) = (claimed_by IS NULL)",
            name=op.f("ck_deliveries_claim_whole_or_none"),
        ),
        sa.CheckConstraint(
            "claim_token IS NULL OR state = 'pending'", name=op.f("ck_deliveries_claim_only_pending")
        ),
        sa.CheckConstraint(
            "state <> 'delivered' OR delivered_at IS NOT NULL", name=op.f("ck_deliveries_delivered_has_time")
        ),
        sa.CheckConstraint(
            "state <> 'filtered' OR reason IS NOT NULL", name=op.f("ck_deliveries_filtered_has_reason")
        ),
        sa.CheckConstraint("attempts >= 0 AND refusals >= 0", name=op.f("ck_deliveries_counts_not_negative")),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name=op.f("fk_deliveries_event_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event_id", "sink", name=op.f("pk_deliveries")),
        comment="Delivery of each event to each sink",
    )
    op.create_index(
        "ix_deliveries_pending",
        "deliveries",
        ["sink", "sequence"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_deliveries_ordering_key",
        "deliveries",
        ["sink", "ordering_key", "sequence"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_deliveries_dead",
        "deliveries",
        ["sink"],
        unique=False,
        postgresql_where=sa.text("state = 'dead'"),
    )
    op.create_index("ix_deliveries_delivered_at", "deliveries", ["sink", "delivered_at"], unique=False)
    op.create_table(
        "discovered_regions",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "region",
            sa.Text(collation="C"),
            nullable=False,
            comment="As AWS names it; global: what is in no region",
        ),
        sa.Column(
            "read_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When all of it was last read; null: never yet",
        ),
        sa.Column("source", sa.Text(collation="C"), nullable=True, comment="The API that it was read from"),
        sa.Column(
            "digest",
            sa.LargeBinary(),
            nullable=True,
            comment="Of its content: an unchanged region is not compared again",
        ),
        sa.Column("resources", sa.Integer(), nullable=False, comment="How many were seen last"),
        sa.Column(
            "is_used", sa.Boolean(), nullable=False, comment="Whether it ever had a resource of its own"
        ),
        sa.Column(
            "is_listed",
            sa.Boolean(),
            nullable=False,
            comment="Whether AWS ever listed it; false: only COSTBATCH_REGIONS named it",
        ),
        sa.Column(
            "is_disabled",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="Whether it was not on the last list that AWS gave",
        ),
        sa.CheckConstraint(
            "read_at BETWEEN '2000-01-01' AND '2999-12-31'",
            name=op.f("ck_discovered_regions_times_plausible"),
        ),
        sa.CheckConstraint("region <> ''", name=op.f("ck_discovered_regions_region_given")),
        sa.CheckConstraint(
            "source IN ('tagging', 'explorer')", name=op.f("ck_discovered_regions_source_known")
        ),
        sa.CheckConstraint(
            "(read_at IS NULL) = (source IS NULL) AND (read_at IS NULL) = (digest IS NULL)",
            name=op.f("ck_discovered_regions_read_or_not"),
        ),
        sa.CheckConstraint("octet_length(digest) = 16", name=op.f("ck_discovered_regions_digest_whole")),
        sa.CheckConstraint("resources >= 0", name=op.f("ck_discovered_regions_counts_not_negative")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_discovered_regions_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "region", name=op.f("pk_discovered_regions")),
        comment="The regions of each account: when each was last read",
    )
    op.create_table(
        "resources",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "arn_digest", sa.LargeBinary(), nullable=False, comment="An ARN can be too long for an index"
        ),
        sa.Column("arn", sa.Text(), nullable=False),
        sa.Column(
            "service", sa.Text(collation="C"), nullable=False, comment="As the ARN names it, such as ec2"
        ),
        sa.Column(
            "type", sa.Text(collation="C"), nullable=False, comment="As the ARN names it, such as instance"
        ),
        sa.Column(
            "region", sa.Text(collation="C"), nullable=False, comment="Where it lies; global: in no region"
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="The tag Name, else the end of the ARN"),
        sa.Column("tags", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Null while it is there: then it was seen when its region was last read (discovered_regions)",
        ),
        sa.Column("gone_since", sa.DateTime(timezone=True), nullable=True, comment="Null while it is there"),
        sa.CheckConstraint("arn <> '' AND service <> '' AND region <> ''", name=op.f("ck_resources_given")),
        sa.CheckConstraint(
            "first_seen_at BETWEEN '2000-01-01' AND '2999-12-31' AND last_seen_at BETWEEN '2000-01-01' AND '2999-12-31' AND gone_since BETWEEN '2000-01-01' AND '2999-12-31'",
            name=op.f("ck_resources_times_plausible"),
        ),
        sa.CheckConstraint("jsonb_typeof(tags) = 'object'", name=op.f("ck_resources_tags_are_object")),
        sa.CheckConstraint(
            "(last_seen_at IS NULL) = (gone_since IS NULL)", name=op.f("ck_resources_gone_both_or_none")
        ),
        sa.CheckConstraint("octet_length(arn_digest) = 16", name=op.f("ck_resources_arn_digest_whole")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_resources_account_id")),
        sa.PrimaryKeyConstraint("account_id", "arn_digest", name=op.f("pk_resources")),
        comment="What exists in every account, and what existed",
    )
    op.create_index(
        "ix_resources_gone_since",
        "resources",
        ["gone_since"],
        unique=False,
        postgresql_where=sa.text("gone_since IS NOT NULL"),
    )
    op.create_index(
        "ix_resources_present",
        "resources",
        ["account_id", "region"],
        unique=False,
        postgresql_where=sa.text("gone_since IS NULL"),
    )
    op.create_table(
        "used_services",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "service", sa.Text(collation="C"), nullable=False, comment="As the ARN names it, such as ec2"
        ),
        sa.CheckConstraint("service <> ''", name=op.f("ck_used_services_service_given")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_used_services_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "service", name=op.f("pk_used_services")),
        comment="Every service of which an account ever had a resource; kept when resources are pruned",
    )
    op.create_table(
        "discoveries",
        sa.Column("run_item_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(collation="C"), nullable=False, comment="The API that was read"),
        sa.Column("regions_read", sa.Integer(), nullable=False),
        sa.Column(
            "failed_regions",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The regions that were not read, and why",
        ),
        sa.Column(
            "resources", sa.Integer(), nullable=False, comment="What was found in the regions that were read"
        ),
        sa.Column("rows_inserted", sa.Integer(), nullable=False),
        sa.Column("rows_updated", sa.Integer(), nullable=False),
        sa.Column("rows_returned", sa.Integer(), nullable=False, comment="Gone before, and there again"),
        sa.Column("rows_gone", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "jsonb_typeof(failed_regions) = 'array'", name=op.f("ck_discoveries_failed_regions_is_list")
        ),
        sa.CheckConstraint("source IN ('tagging', 'explorer')", name=op.f("ck_discoveries_source_known")),
        sa.CheckConstraint(
            "regions_read >= 0 AND resources >= 0 AND rows_inserted >= 0 AND rows_updated >= 0 AND rows_returned >= 0 AND rows_gone >= 0",
            name=op.f("ck_discoveries_counts_not_negative"),
        ),
        sa.ForeignKeyConstraint(
            ["run_item_id"], ["run_items.id"], name=op.f("fk_discoveries_run_item_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_item_id", name=op.f("pk_discoveries")),
        comment="What the discovery job did for one account within one run",
    )
    # Every command looks at it first, those of a role that only reads too; it holds nothing but the revision.
    op.execute("GRANT SELECT ON alembic_version TO PUBLIC")


def downgrade() -> None:
    op.drop_table("discoveries")
    op.drop_table("used_services")
    op.drop_index(
        "ix_resources_present", table_name="resources", postgresql_where=sa.text("gone_since IS NULL")
    )
    op.drop_index(
        "ix_resources_gone_since", table_name="resources", postgresql_where=sa.text("gone_since IS NOT NULL")
    )
    op.drop_table("resources")
    op.drop_table("discovered_regions")
    op.drop_index("ix_deliveries_delivered_at", table_name="deliveries")
    op.drop_index("ix_deliveries_dead", table_name="deliveries", postgresql_where=sa.text("state = 'dead'"))
    op.drop_index(
        "ix_deliveries_ordering_key", table_name="deliveries", postgresql_where=sa.text("state = 'pending'")
    )
    op.drop_index(
        "ix_deliveries_pending", table_name="deliveries", postgresql_where=sa.text("state = 'pending'")
    )
    op.drop_table("deliveries")
    op.drop_table("cost_collections")
    op.drop_index("uq_run_items_run_id_account_id", table_name="run_items")
    op.drop_index(
        "uq_run_items_one_claim", table_name="run_items", postgresql_where=sa.text("state = 'running'")
    )
    op.drop_index(
        "ix_run_items_pending", table_name="run_items", postgresql_where=sa.text("state = 'pending'")
    )
    op.drop_index(
        "ix_run_items_turns_in_vain",
        table_name="run_items",
        postgresql_where=sa.text("state = 'failed' OR state <> 'succeeded' AND api_requests > 0"),
    )
    op.drop_index(
        "ix_run_items_succeeded", table_name="run_items", postgresql_where=sa.text("state = 'succeeded'")
    )
    op.drop_table("run_items")
    op.drop_index("ix_events_account_id", table_name="events")
    op.drop_index("ix_events_run_id", table_name="events")
    op.drop_table("events")
    op.drop_table("day_digests")
    op.drop_index("ix_aws_anomalies_account_id", table_name="aws_anomalies")
    op.drop_table("aws_anomalies")
    op.drop_table("anomaly_causes")
    op.drop_table("first_charges")
    op.drop_table("detector_memories")
    op.drop_table("daily_expectations")
    op.execute("DROP FUNCTION costs_as_of(date)")
    op.drop_table("cost_changes")
    op.drop_table("cost_versions")
    op.drop_table("daily_costs")
    op.drop_index("ix_anomaly_answers_account_id", table_name="anomaly_answers")
    op.drop_table("anomaly_answers")
    op.drop_index("uq_anomalies_open", table_name="anomalies", postgresql_where=sa.text("state = 'open'"))
    op.drop_index("ix_anomalies_state", table_name="anomalies")
    op.drop_index("ix_anomalies_run_id", table_name="anomalies")
    op.drop_index("ix_anomalies_account_id_last_date", table_name="anomalies")
    op.drop_table("anomalies")
    op.drop_table("account_progress")
    op.drop_table("account_credentials")
    op.drop_index("uq_runs_job_run_key", table_name="runs")
    op.drop_table("runs")
    op.drop_table("accounts")
