"""Types and constraints that several tables have."""

from enum import StrEnum

from sqlalchemy import CheckConstraint, DateTime, Text

# Names that are compared byte by byte: quicker than a locale's order, and the same everywhere.
CODE = Text(collation="C")
INSTANT = DateTime(timezone=True)


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """Return the constraint that a text column holds one of a closed list."""
    quoted = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({quoted})", name=f"{column}_known")


def finite(*columns: str) -> CheckConstraint:
    """Return the constraint that amounts are numbers, and no larger than any bill; NaN is to PostgreSQL."""
    return CheckConstraint(
        " AND ".join(f"abs({column}) < 1e30" for column in columns), name="amounts_are_numbers"
    )


def plausible_days(*columns: str) -> CheckConstraint:
    """Return the constraint that days are such as a bill can have, and the program can count from."""
    return CheckConstraint(
        " AND ".join(f"{column} BETWEEN '2000-01-01' AND '2999-12-31'" for column in columns),
        name="days_plausible",
    )


def not_negative(*columns: str) -> CheckConstraint:
    """Return the constraint that counts are none below zero."""
    return CheckConstraint(" AND ".join(f"{column} >= 0" for column in columns), name="counts_not_negative")
