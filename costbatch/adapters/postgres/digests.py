"""What AWS answered last of each account, day by day and in short, as long as it is what is stored."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from costbatch.domain.costs import DayDigest, DayDigests
from costbatch.domain.periods import DateRange

# A day in the column ``days``: its digest, and how many rows are stored. The highest bit says that AWS showed
# no cost, and that the rows were kept.
_DAY = struct.Struct(">16sI")
_IS_KEPT = 1 << 31

# The count tells where rows were removed by hand; constant bounds let the server skip other months. An
# earlier release, which knows nothing of this table, leaves a newer collection behind.
_LOAD = sa.text("""
SELECT answers.account_id, answers.start_date, answers.days, (
    SELECT count(*) FROM daily_costs
    WHERE daily_costs.account_id = answers.account_id
      AND usage_date >= :start AND usage_date < :end_exclusive
      AND usage_date >= answers.start_date
      AND usage_date < answers.start_date + octet_length(answers.days) / :day_bytes) AS stored
FROM answers
WHERE answers.account_id = ANY(:account_ids)
  AND answers.collection_id = (
    SELECT id FROM collections
    WHERE collections.account_id = answers.account_id AND state = 'collected'
    ORDER BY finished_at DESC LIMIT 1)
""")


@dataclass(frozen=True, slots=True)
class PostgresDigests:
    """The answers, within one transaction."""

    connection: Connection

    def load(self, windows: Mapping[int, DateRange]) -> dict[int, DayDigests]:
        """Return what is known of each window, by account row; nothing where it is not what is stored."""
        start = min(window.start for window in windows.values())
        end_exclusive = max(window.end_exclusive for window in windows.values())
        asked = {
            "account_ids": list(windows),
            "start": start,
            "end_exclusive": end_exclusive,
            "day_bytes": _DAY.size,
        }
        counted, known = DateRange(start, end_exclusive), dict[int, DayDigests]()
        for row in self.connection.execute(_LOAD, asked):
            answers = _unpack(row.start_date, row.days)
            if row.stored == sum(answer.rows for day, answer in answers.items() if day in counted):
                known[row.account_id] = answers
        return known


def pack(answers: DayDigests) -> bytes:
    """Return the answers, which are of days without a gap, as the column ``days`` holds them."""
    return b"".join(
        [
            _DAY.pack(answer.digest, answer.rows | _IS_KEPT if answer.is_kept else answer.rows)
            for _, answer in sorted(answers.items())
        ]
    )


def _unpack(start: date, days: bytes) -> dict[date, DayDigest]:
    return {
        start + timedelta(days=n): DayDigest(digest, rows & ~_IS_KEPT, bool(rows & _IS_KEPT))
        for n, (digest, rows) in enumerate(_DAY.iter_unpack(days))
    }
