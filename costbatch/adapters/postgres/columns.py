"""Types and constraints that several tables share, and the metadata of all of them."""

from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, ForeignKey, MetaData, Text

from costbatch.domain.periods import FIRST_DAY, LAST_DAY

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# Compared byte by byte: faster than a locale's order, and the same everywhere.
CODE = Text(collation="C")
INSTANT = DateTime(timezone=True)


def key_of_account() -> Column[int]:
    """Return the account as a part of the primary key; rows go with their account."""
    return Column(
        "account_id",
        BigInteger,
        ForeignKey("accounts.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )


def currency_code() -> CheckConstraint:
    """Return the constraint that the column ``currency`` has a code of ISO 4217."""
    return CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code")


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """Return the constraint that a text column has one of a closed list of values."""
    quoted = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({quoted})", name=f"{column}_known")


def finite(*columns: str) -> CheckConstraint:
    """Return the constraint that amounts are plausible; to PostgreSQL, NaN is larger than every number."""
    return CheckConstraint(
        " AND ".join(f"abs({column}) < 1e30" for column in columns), name="amounts_are_numbers"
    )


def plausible_times(*columns: str) -> CheckConstraint:
    """Return the constraint that days and instants are plausible, and within the range of Python's."""
    bounds = f"BETWEEN '{FIRST_DAY}' AND '{LAST_DAY}'"
    return CheckConstraint(" AND ".join(f"{column} {bounds}" for column in columns), name="times_plausible")


def not_negative(*columns: str) -> CheckConstraint:
    """Return the constraint that counts are not negative."""
    return CheckConstraint(" AND ".join(f"{column} >= 0" for column in columns), name="counts_not_negative")
