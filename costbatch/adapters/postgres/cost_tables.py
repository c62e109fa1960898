"""The tables of the cost job: what it read for an account, the daily costs, and what changed them."""

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
    Table,
    Uuid,
)

from costbatch.adapters.postgres.columns import (
    CODE,
    currency_code,
    finite,
    key_of_account,
    metadata,
    not_negative,
    plausible_times,
)

# The columns of daily_costs that AWS may restate.
COST_VALUES = ("unblended", "amortized", "net_unblended", "net_amortized", "usage_quantity", "estimated")

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
