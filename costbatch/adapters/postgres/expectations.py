"""What was expected of each judged day, in monthly partitions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from json import dumps
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from typing_extensions import override

from costbatch.application.detection_ports import ExpectationStore
from costbatch.domain.detection import JudgedDay, Reason
from costbatch.domain.expectations import Expectation
from costbatch.domain.periods import DateRange

# Whole rows are compared, without a join whose plan could depend on statistics.
_WRITE_DIFFERENCES = sa.text("""
INSERT INTO daily_expectations (
    account_id, usage_date, service, currency, expected, lower, upper, actual, score, reason)
SELECT * FROM json_to_recordset(:rows) AS judged (
    account_id bigint, usage_date date, service text, currency text,
    expected numeric, lower numeric, upper numeric, actual numeric, score numeric, reason text)
EXCEPT
SELECT account_id, usage_date, service, currency, expected, lower, upper, actual, score, reason
FROM daily_expectations
WHERE account_id = ANY(:account_ids) AND usage_date BETWEEN :start AND :last
ORDER BY account_id, usage_date, service, currency
ON CONFLICT (account_id, usage_date, service, currency) DO UPDATE SET
    expected = excluded.expected, lower = excluded.lower, upper = excluded.upper,
    actual = excluded.actual, score = excluded.score, reason = excluded.reason
""")
# How many rows are sent at once: a first collection judges a year of days of many services.
_ROWS_AT_ONCE = 5_000

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
        judged = [(row, each) for row, of_account in expectations.items() for each in of_account]
        for place in range(0, len(judged), _ROWS_AT_ONCE):
            some = judged[place : place + _ROWS_AT_ONCE]
            days = [each.day.usage_date for _, each in some]
            # Estimates, for which four decimals are plenty.
            rows = [
                {
                    "account_id": row,
                    "usage_date": str(each.day.usage_date),
                    "service": each.service or "",
                    "currency": each.currency,
                    "expected": f"{each.day.expected:.4f}",
                    "lower": f"{each.day.lower:.4f}",
                    "upper": f"{each.day.upper:.4f}",
                    "actual": f"{each.day.actual:.4f}",
                    "score": str(each.day.score),
                    "reason": each.day.reason,
                }
                for row, each in some
            ]
            written = {
                "rows": dumps(rows),
                "account_ids": [*{row for row, _ in some}],
                "start": min(days),
                "last": max(days),
            }
            self.connection.execute(_WRITE_DIFFERENCES, written)


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
