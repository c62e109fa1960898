"""What AWS answered last of each account, day by day and in short, as long as it is what is stored."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from costbatch.adapters.db.tables import answers as answers_table
from costbatch.domain.accounts import Account
from costbatch.domain.costs import DayAnswer, DayAnswers
from costbatch.domain.outcomes import Claim
from costbatch.domain.periods import DateRange

# A day in the column ``days``: its digest, and how many rows it holds.
_DAY = struct.Struct(">16sI")

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

_SAVE = sa.text("""
INSERT INTO answers (account_id, collection_id, start_date, days)
SELECT * FROM unnest(
    CAST(:account_ids AS bigint[]), CAST(:collection_ids AS bigint[]), CAST(:starts AS date[]),
    CAST(:days AS bytea[]))
ON CONFLICT (account_id) DO UPDATE SET
    collection_id = excluded.collection_id, start_date = excluded.start_date, days = excluded.days
""")


@dataclass(frozen=True, slots=True)
class PostgresAnswers:
    """The answers, within one transaction."""

    connection: Connection

    def load(self, windows: Mapping[int, DateRange]) -> dict[int, DayAnswers]:
        """Return what is known of each window, by account row; nothing where it is not what is stored."""
        start = min(window.start for window in windows.values())
        end_exclusive = max(window.end_exclusive for window in windows.values())
        asked = {
            "account_ids": list(windows),
            "start": start,
            "end_exclusive": end_exclusive,
            "day_bytes": _DAY.size,
        }
        known: dict[int, DayAnswers] = {}
        for row in self.connection.execute(_LOAD, asked):
            answers = _unpack(row.start_date, row.days)
            counted = DateRange(start, end_exclusive)
            if row.stored == sum(answer.rows for day, answer in answers.items() if day in counted):
                known[row.account_id] = answers
        return known

    def save(self, answers: Sequence[tuple[Claim, DayAnswers]]) -> None:
        """Remember each answer, in the transaction that stores its costs."""
        remembered = {
            "account_ids": [claim.account.id for claim, _ in answers],
            "collection_ids": [claim.collection_id for claim, _ in answers],
            "starts": [min(days) for _, days in answers],
            "days": [_pack(days) for _, days in answers],
        }
        self.connection.execute(_SAVE, remembered)

    def forget(self, accounts: Sequence[Account]) -> None:
        """Let nothing be known of the accounts."""
        rows = [account.id for account in accounts]
        self.connection.execute(sa.delete(answers_table).where(answers_table.c.account_id.in_(rows)))


def _pack(answers: DayAnswers) -> bytes:
    return b"".join(_DAY.pack(*answers[day]) for day in sorted(answers))


def _unpack(start: date, days: bytes) -> dict[date, DayAnswer]:
    return {
        start + timedelta(days=n): DayAnswer(digest, rows)
        for n, (digest, rows) in enumerate(_DAY.iter_unpack(days))
    }
