"""Digests of what AWS last answered for each account and day, as long as it is what is stored."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import count
from json import dumps

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.cost_tables import day_digests
from costbatch.application.ports import DigestStore
from costbatch.domain.collection import COLLECT
from costbatch.domain.costs import DayDigest, DayDigests
from costbatch.domain.periods import DateRange

# A day in the column ``days``: its digest, and how many rows are stored. The highest bit says that AWS showed
# no cost, and that the rows were kept.
_DAY = struct.Struct(">16sI")
_IS_KEPT = 1 << 31

# The count finds rows that were removed by hand; constant bounds let the server skip other months. A later
# collection without digests leaves a newer item behind.
_LOAD = sa.text("""
SELECT day_digests.account_id, day_digests.start_date, day_digests.days, (
    SELECT count(*) FROM daily_costs
    WHERE daily_costs.account_id = day_digests.account_id
      AND usage_date >= :start AND usage_date < :end_exclusive
      AND usage_date >= day_digests.start_date
      AND usage_date < day_digests.start_date + octet_length(day_digests.days) / :day_bytes) AS stored
FROM day_digests
WHERE day_digests.account_id = ANY(:account_ids)
  AND day_digests.run_item_id = (
    SELECT run_items.id FROM run_items JOIN cost_collections ON run_item_id = run_items.id
    WHERE run_items.account_id = day_digests.account_id AND job = :job AND state = 'succeeded'
    ORDER BY finished_at DESC LIMIT 1)
""")

# No ON CONFLICT, which logs a lock of each row: the accounts are locked. The ids stand apart because the
# planner takes a record set for a hundred rows and reads the table for them.
_SAVE = sa.text("""
WITH digests AS MATERIALIZED (
    SELECT account_id, run_item_id, start_date, decode(days, 'hex') AS days
    FROM json_to_recordset(:digests) AS digests (
        account_id bigint, run_item_id bigint, start_date date, days text)
), updated AS (
    UPDATE day_digests SET
        run_item_id = digests.run_item_id, start_date = digests.start_date, days = digests.days
    FROM digests
    WHERE day_digests.account_id = digests.account_id AND day_digests.account_id = ANY(:account_ids)
    RETURNING day_digests.account_id
)
INSERT INTO day_digests (account_id, run_item_id, start_date, days)
SELECT * FROM digests WHERE account_id NOT IN (SELECT account_id FROM updated)
""")


@dataclass(frozen=True, slots=True)
class PostgresDigests(DigestStore):
    """The digests, within one transaction."""

    connection: Connection

    @override
    def load(self, windows: Mapping[int, DateRange]) -> dict[int, DayDigests]:
        start = min(window.start for window in windows.values())
        end_exclusive = max(window.end_exclusive for window in windows.values())
        asked = {
            "account_ids": list(windows),
            "job": COLLECT,
            "start": start,
            "end_exclusive": end_exclusive,
            "day_bytes": _DAY.size,
        }
        found = dict[int, DayDigests]()
        for account_id, first_day, days, stored in self.connection.execute(_LOAD, asked).all():
            digests = _unpack(first_day, days)
            # Compared here: a call of ``in`` for each day would take as long as all the rest.
            if stored == sum([each.rows for day, each in digests.items() if start <= day < end_exclusive]):
                found[account_id] = digests
        return found

    @override
    def replace(self, digests: Mapping[int, tuple[int, DayDigests] | None]) -> None:
        stored, gone = [], []
        for account_id, each in sorted(digests.items()):
            if each is None:
                gone.append(account_id)
                continue
            item_id, days = each
            stored.append(
                {
                    "account_id": account_id,
                    "run_item_id": item_id,
                    "start_date": str(min(days)),
                    "days": _pack(days).hex(),
                }
            )
        if stored:
            account_ids = [row["account_id"] for row in stored]
            self.connection.execute(_SAVE, {"digests": dumps(stored), "account_ids": account_ids})
        if gone:
            self.connection.execute(sa.delete(day_digests).where(day_digests.c.account_id.in_(gone)))


def _pack(digests: DayDigests) -> bytes:
    """Return the digests, which are of days without a gap, as the column ``days`` holds them."""
    return b"".join(
        [
            _DAY.pack(digest.digest, digest.rows | _IS_KEPT if digest.is_kept else digest.rows)
            for _, digest in sorted(digests.items())
        ]
    )


def _unpack(start: date, days: bytes) -> dict[date, DayDigest]:
    dates = map(date.fromordinal, count(start.toordinal()))
    digests = [
        DayDigest(digest, rows & ~_IS_KEPT, rows >= _IS_KEPT) for digest, rows in _DAY.iter_unpack(days)
    ]
    return dict(zip(dates, digests, strict=False))
