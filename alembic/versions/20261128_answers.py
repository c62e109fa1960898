"""What AWS answered last of each account, in short.

Revision: 20261128_answers
After: 20261123_foundation
"""

import sqlalchemy as sa

from alembic import op

revision = "20261128_answers"
down_revision = "20261123_foundation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "collection_id",
            sa.BigInteger(),
            nullable=False,
            comment="Not believed once another one came later",
        ),
        sa.Column("start_date", sa.Date(), nullable=False, comment="The first day"),
        sa.Column(
            "days",
            sa.LargeBinary(),
            nullable=False,
            comment="Of each day 16 bytes of digest, 4 of row count",
        ),
        sa.CheckConstraint("days <> '' AND octet_length(days) % 20 = 0", name=op.f("ck_answers_days_whole")),
        sa.CheckConstraint(
            "start_date BETWEEN '2000-01-01' AND '2999-12-31'", name=op.f("ck_answers_times_plausible")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_answers_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_answers")),
        comment="What AWS answered last of each account, in short: a day that reads the same is not read again",
    )


def downgrade() -> None:
    op.drop_table("answers")
