"""The tables of discovery: what exists in every account, and what each run found of it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from costbatch.adapters.postgres.columns import (
    CODE,
    INSTANT,
    key_of_account,
    metadata,
    not_negative,
    plausible_times,
)

discoveries = Table(
    "discoveries",
    metadata,
    Column(
        "run_item_id",
        BigInteger,
        ForeignKey("run_items.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("source", CODE, nullable=False, comment="The API that was read"),
    Column("regions_read", Integer, nullable=False),
    Column("failed_regions", JSONB, nullable=False, comment="The regions that were not read, and why"),
    Column("resources", Integer, nullable=False, comment="What was found in the regions that were read"),
    Column("rows_inserted", Integer, nullable=False),
    Column("rows_updated", Integer, nullable=False),
    Column("rows_returned", Integer, nullable=False, comment="Gone before, and there again"),
    Column("rows_gone", Integer, nullable=False),
    CheckConstraint("source IN ('tagging', 'explorer')", name="source_known"),
    CheckConstraint("jsonb_typeof(failed_regions) = 'array'", name="failed_regions_is_list"),
    not_negative("regions_read", "resources", "rows_inserted", "rows_updated", "rows_returned", "rows_gone"),
    comment="What the discovery job did for one account within one run",
)

discovered_regions = Table(
    "discovered_regions",
    metadata,
    key_of_account(),
    Column("region", CODE, primary_key=True, comment="As AWS names it; global: what is in no region"),
    Column("read_at", INSTANT, comment="When all of it was last read; null: never yet"),
    Column("source", CODE, comment="The API that it was read from"),
    Column("digest", LargeBinary, comment="Of its content: an unchanged region is not compared again"),
    Column("resources", Integer, nullable=False, comment="How many were seen last"),
    Column("is_used", Boolean, nullable=False, comment="Whether it ever had a resource of its own"),
    Column(
        "is_listed",
        Boolean,
        nullable=False,
        comment="Whether AWS ever listed it; false: only COSTBATCH_REGIONS named it",
    ),
    Column(
        "is_disabled",
        Boolean,
        nullable=False,
        server_default="false",
        comment="Whether it was not on the last list that AWS gave",
    ),
    CheckConstraint("region <> ''", name="region_given"),
    CheckConstraint("source IN ('tagging', 'explorer')", name="source_known"),
    CheckConstraint(
        "(read_at IS NULL) = (source IS NULL) AND (read_at IS NULL) = (digest IS NULL)", name="read_or_not"
    ),
    CheckConstraint("octet_length(digest) = 16", name="digest_whole"),
    not_negative("resources"),
    plausible_times("read_at"),
    comment="The regions of each account: when each was last read",
)

resources = Table(
    "resources",
    metadata,
    Column("account_id", BigInteger, ForeignKey("accounts.id"), primary_key=True, autoincrement=False),
    Column("arn_digest", LargeBinary, primary_key=True, comment="An ARN can be too long for an index"),
    Column("arn", Text, nullable=False),
    Column("service", CODE, nullable=False, comment="As the ARN names it, such as ec2"),
    Column("type", CODE, nullable=False, comment="As the ARN names it, such as instance"),
    Column("region", CODE, nullable=False, comment="Where it lies; global: in no region"),
    Column("name", Text, nullable=False, comment="The tag Name, else the end of the ARN"),
    Column("tags", JSONB, nullable=False),
    Column("first_seen_at", INSTANT, nullable=False),
    Column(
        "last_seen_at",
        INSTANT,
        comment="Null while it is there: then it was seen when its region was last read (discovered_regions)",
    ),
    Column("gone_since", INSTANT, comment="Null while it is there"),
    CheckConstraint("octet_length(arn_digest) = 16", name="arn_digest_whole"),
    CheckConstraint("arn <> '' AND service <> '' AND region <> ''", name="given"),
    CheckConstraint("jsonb_typeof(tags) = 'object'", name="tags_are_object"),
    CheckConstraint("(last_seen_at IS NULL) = (gone_since IS NULL)", name="gone_both_or_none"),
    plausible_times("first_seen_at", "last_seen_at", "gone_since"),
    Index("ix_resources_present", "account_id", "region", postgresql_where=text("gone_since IS NULL")),
    Index("ix_resources_gone_since", "gone_since", postgresql_where=text("gone_since IS NOT NULL")),
    comment="What exists in every account, and what existed",
)

used_services = Table(
    "used_services",
    metadata,
    key_of_account(),
    Column("service", CODE, primary_key=True, comment="As the ARN names it, such as ec2"),
    CheckConstraint("service <> ''", name="service_given"),
    comment="Every service of which an account ever had a resource; kept when resources are pruned",
)
