"""The tables of anomalies: what the detectors found and expected, what people answered, what AWS found."""

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
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from costbatch.adapters.postgres.columns import (
    CODE,
    INSTANT,
    currency_code,
    finite,
    key_of_account,
    metadata,
    one_of,
    plausible_times,
)
from costbatch.domain.anomalies import AnomalyState, Resolution
from costbatch.domain.answers import AnswerKind
from costbatch.domain.costs import CostBasis
from costbatch.domain.detection import Direction, Reason, Severity
from costbatch.domain.second_opinion import Feedback

# The parts of an explanation that are a service with its two amounts.
_CONTRIBUTIONS = (
    'strict $[*] ? (@.type() == "object" && @.service.type() == "string"'
    ' && @.expected like_regex "^-?[0-9]{1,40}([.][0-9]{1,60})?(E[+-]?[0-9]{1,2})?$"'
    ' && @.actual like_regex "^-?[0-9]{1,40}([.][0-9]{1,60})?(E[+-]?[0-9]{1,2})?$")'
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

# No foreign key: written beside the costs of a locked account, and to check each row would cost as much.
daily_expectations = Table(
    "daily_expectations",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("usage_date", Date, primary_key=True, comment="The UTC day that was judged"),
    Column("service", CODE, primary_key=True, comment="Empty: the account's total"),
    Column("currency", CODE, primary_key=True),
    Column("expected", Numeric, nullable=False),
    Column("lower", Numeric, nullable=False, comment="Lower edge of the band in which the day is ordinary"),
    Column("upper", Numeric, nullable=False, comment="Upper edge of the band"),
    Column("actual", Numeric, nullable=False, comment="What the day cost when it was last judged"),
    Column("score", Numeric, nullable=False, comment="0 to 1; 0.5 is the edge of the band"),
    Column("reason", CODE, comment="Why the day is anomalous; null: it is ordinary"),
    currency_code(),
    CheckConstraint("score BETWEEN 0 AND 1", name="score_is_share"),
    one_of("reason", Reason),
    finite("expected", "lower", "upper", "actual"),
    comment="What was expected of each judged day, of a total or a service; partitioned by month",
    postgresql_partition_by="RANGE (usage_date)",
)

detector_memories = Table(
    "detector_memories",
    metadata,
    key_of_account(),
    Column("currency", CODE, primary_key=True),
    Column(
        "version", CODE, nullable=False, comment="Of what is learned and its settings; another is rebuilt"
    ),
    Column("newest_date", Date, nullable=False, comment="The newest day that was judged"),
    Column("snapshot", LargeBinary, comment="What was learned before these mornings; null: nothing"),
    Column("mornings", LargeBinary, nullable=False, comment="What was read on the mornings since"),
    currency_code(),
    plausible_times("newest_date"),
    comment="What the adaptive detector remembers of an account: deleted rows are rebuilt from the costs",
)

first_charges = Table(
    "first_charges",
    metadata,
    key_of_account(),
    Column("service", CODE, primary_key=True, comment="As Cost Explorer names it"),
    Column("usage_date", Date, nullable=False, comment="The first day with cost when it was first seen"),
    Column("currency", CODE, nullable=False),
    Column("amount", Numeric, nullable=False, comment="What that day cost then"),
    CheckConstraint("service <> ''", name="service_given"),
    currency_code(),
    finite("amount"),
    plausible_times("usage_date"),
    comment="Every service that an account has ever paid for",
)

anomaly_causes = Table(
    "anomaly_causes",
    metadata,
    Column("anomaly_id", Uuid, ForeignKey("anomalies.id", ondelete="CASCADE"), primary_key=True),
    Column(
        "attempts",
        SmallInteger,
        nullable=False,
        comment="How often Cost Explorer was asked; what the cap cut short does not count",
    ),
    Column(
        "cut_short",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="On how many nights the cap cut the response short",
    ),
    Column("asked_at", INSTANT, nullable=False, comment="When it was asked last"),
    Column("usage_date", Date, comment="The anomalous day; null: nothing is known"),
    Column("ordinary_date", Date, comment="The day that it is compared with"),
    Column("causes", JSONB, nullable=False, server_default="[]", comment="The largest first, at most ten"),
    Column("problem", Text, comment="Why nothing is known"),
    CheckConstraint("attempts >= 0", name="attempts_not_negative"),
    CheckConstraint("cut_short >= 0", name="cut_short_not_negative"),
    CheckConstraint("(usage_date IS NULL) = (ordinary_date IS NULL)", name="days_both_or_none"),
    CheckConstraint("usage_date IS NULL OR problem IS NULL", name="problem_only_unknown"),
    CheckConstraint("jsonb_typeof(causes) = 'array'", name="causes_is_list"),
    plausible_times("asked_at", "usage_date", "ordinary_date"),
    comment="Regions and usage types that make the difference to an ordinary day, by anomaly",
)

aws_anomalies = Table(
    "aws_anomalies",
    metadata,
    Column("id", CODE, primary_key=True, comment="AWS's id"),
    Column(
        "account_id",
        BigInteger,
        ForeignKey("accounts.id"),
        nullable=False,
        comment="Whose credentials read it; a payer reads those of its members",
    ),
    Column("monitor_arn", Text, nullable=False, comment="The monitor that found it"),
    Column(
        "dimension_value",
        CODE,
        comment="A service, an account, or the value of a tag or cost category, by the kind of the monitor",
    ),
    Column("start_date", Date, comment="First day; null: AWS does not say"),
    Column("last_date", Date, comment="Last day; null: it has not ended"),
    Column("score", Numeric, nullable=False, comment="AWS's largest score of it"),
    Column("impact", Numeric, nullable=False, comment="US dollars more than expected"),
    Column("expected", Numeric, comment="US dollars; null: AWS does not say"),
    Column("actual", Numeric, comment="US dollars; null: AWS does not say"),
    Column("feedback", CODE, comment="What people told AWS of it"),
    Column("root_causes", JSONB, nullable=False, comment="Service, region, account, usage type and impact"),
    Column("imported_at", INSTANT, nullable=False, comment="When it was read first"),
    Column("updated_at", INSTANT, nullable=False, comment="When it was last read otherwise than before"),
    CheckConstraint("id <> ''", name="id_given"),
    CheckConstraint("dimension_value <> ''", name="dimension_value_given"),
    one_of("feedback", Feedback),
    CheckConstraint("jsonb_typeof(root_causes) = 'array'", name="root_causes_are_list"),
    finite("score", "impact", "expected", "actual"),
    plausible_times("start_date", "last_date", "imported_at", "updated_at"),
    Index("ix_aws_anomalies_account_id", "account_id"),
    comment="Anomalies that AWS itself detected, as a second opinion; kept for ever",
)
