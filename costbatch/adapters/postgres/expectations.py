"""What was expected of each judged day, in monthly partitions."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from io import StringIO
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from typing_extensions import override

from costbatch.adapters.postgres.copy_format import escaped
from costbatch.application.detection_ports import ExpectationStore
from costbatch.domain.detection import JudgedDay, Reason
from costbatch.domain.expectations import Expectation
from costbatch.domain.periods import DateRange

# A session table, as for the costs.
_COPY_TO_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS expectations_staging (
    account_id bigint NOT NULL, usage_date date NOT NULL,
    service text COLLATE "C" NOT NULL, currency text COLLATE "C" NOT NULL,
    expected numeric NOT NULL, lower numeric NOT NULL, upper numeric NOT NULL, actual numeric NOT NULL,
    score numeric NOT NULL, reason text COLLATE "C"
) ON COMMIT DELETE ROWS;
DELETE FROM expectations_staging;
COPY expectations_staging FROM STDIN
"""

# Whole rows are compared, without a join whose plan could depend on statistics.
_WRITE_DIFFERENCES = sa.text("""
INSERT INTO daily_expectations (
    account_id, usage_date, service, currency, expected, lower, upper, actual, score, reason)
SELECT account_id, usage_date, service, currency, expected, lower, upper, actual, score, reason
FROM expectations_staging
EXCEPT
SELECT account_id, usage_date, service, currency, expected, lower, upper, actual, score, reason
FROM daily_expectations
WHERE account_id = ANY(:account_ids) AND usage_date BETWEEN :start AND :last
ORDER BY account_id, usage_date, service, currency
ON CONFLICT (account_id, usage_date, service, currency) DO UPDATE SET
    expected = excluded.expected, lower = excluded.lower, upper = excluded.upper,
    actual = excluded.actual, score = excluded.score, reason = excluded.reason
""")

_LOAD_OUTSIDE = sa.text("""
SELECT account_id, service, currency, usage_date, expected, actual, lower, upper, score, reason
FROM daily_expectations
WHERE account_id = ANY(:account_ids) AND usage_date >= :start AND (reason IS NOT NULL OR score >= 0.5)
ORDER BY account_id, usage_date, service, currency
""")

_OF_SERIES = sa.text("""
SELECT usage_date, expected, actual, lower, upper, score, reason
FROM daily_expectations
WHERE account_id = :account_id AND usage_date >= :start AND usage_date < :end_exclusive
    AND service = :service AND currency = :currency
""")


@dataclass(frozen=True, slots=True)
class PostgresExpectations(ExpectationStore):
    """The expectations, within one transaction."""

    connection: Connection

    @override
    def load_outside(self, starts: Mapping[int, date]) -> dict[int, list[Expectation]]:
        found: dict[int, list[Expectation]] = {}
        for start in dict.fromkeys(starts.values()):
            asked = {"account_ids": [row for row, each in starts.items() if each == start], "start": start}
            for row in self.connection.execute(_LOAD_OUTSIDE, asked):
                expectation = Expectation(row.service or None, row.currency, _judged(row))
                found.setdefault(row.account_id, []).append(expectation)
        return found

    @override
    def of_series(
        self, account_id: int, service: str | None, currency: str, days: DateRange
    ) -> dict[date, JudgedDay]:
        asked = {
            "account_id": account_id,
            "service": service or "",
            "currency": currency,
            "start": days.start,
            "end_exclusive": days.end_exclusive,
        }
        return {row.usage_date: _judged(row) for row in self.connection.execute(_OF_SERIES, asked)}

    @override
    def save(self, expectations: Mapping[int, Sequence[Expectation]]) -> None:
        lines = [_line(row, each) for row, of_account in expectations.items() for each in of_account]
        if not lines:
            return
        days = [each.day.usage_date for of_account in expectations.values() for each in of_account]
        with closing(self.connection.connection.cursor()) as cursor:
            cursor.copy_expert(_COPY_TO_STAGING, StringIO("".join(lines)))
        bounds = {"account_ids": [*expectations], "start": min(days), "last": max(days)}
        self.connection.execute(_WRITE_DIFFERENCES, bounds)


def _judged(row: Row[Any]) -> JudgedDay:
    return JudgedDay(
        row.usage_date,
        row.expected,
        row.actual,
        row.lower,
        row.upper,
        row.score,
        Reason(row.reason) if row.reason else None,
    )


def _line(row: int, each: Expectation) -> str:
    """Return a row in COPY's text format; expectations are estimates, and four decimals are plenty."""
    day, reason = each.day, escaped(each.day.reason)
    return (
        f"{row}\t{day.usage_date}\t{escaped(each.service or '')}\t{each.currency}\t{day.expected:.4f}"
        f"\t{day.lower:.4f}\t{day.upper:.4f}\t{day.actual:.4f}\t{day.score}\t{reason}\n"
    )
