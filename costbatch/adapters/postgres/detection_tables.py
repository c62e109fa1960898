"""The tables of the detectors: what they expected, what they remember, and what was first paid for."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
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
from costbatch.domain.detection import Reason
from costbatch.domain.second_opinion import Feedback

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
        comment="How often the cap cut the response short",
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
