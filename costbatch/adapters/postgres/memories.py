"""What the adaptive detector remembers of each account."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from json import dumps

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.detection_tables import detector_memories
from costbatch.application.detection_ports import MemoryStore
from costbatch.domain.adaptive_memory import Memory

# A snapshot that stays is not written again: its value on the page is taken over as it is.
_SAVE = sa.text("""
INSERT INTO detector_memories (account_id, currency, version, newest_date, snapshot, mornings)
SELECT account_id, currency, version, newest_date, decode(snapshot, 'hex'), decode(mornings, 'hex')
FROM json_to_recordset(:memories) AS memories (
    account_id bigint, currency text, version text, newest_date date, snapshot text, mornings text)
ON CONFLICT (account_id, currency) DO UPDATE SET
    version = excluded.version, newest_date = excluded.newest_date, mornings = excluded.mornings,
    snapshot = coalesce(excluded.snapshot, detector_memories.snapshot)
WHERE (detector_memories.version, detector_memories.newest_date, detector_memories.mornings)
    IS DISTINCT FROM (excluded.version, excluded.newest_date, excluded.mornings)
    -- What a second run of the day learned again may differ in nothing else.
    OR excluded.snapshot <> coalesce(detector_memories.snapshot, '')
""")


@dataclass(frozen=True, slots=True)
class PostgresMemories(MemoryStore):
    """The memories, within one transaction."""

    connection: Connection

    @override
    def load(self, account_ids: Collection[int]) -> dict[tuple[int, str], Memory]:
        mine = detector_memories.c.account_id.in_(account_ids)
        return {
            (row.account_id, row.currency): Memory(
                version=row.version,
                newest=row.newest_date,
                snapshot=None if row.snapshot is None else bytes(row.snapshot),
                mornings=bytes(row.mornings),
            )
            for row in self.connection.execute(sa.select(detector_memories).where(mine))
        }

    @override
    def versions(self, account_ids: Collection[int]) -> dict[int, dict[str, tuple[str, date]]]:
        columns = detector_memories.c
        statement = sa.select(columns.account_id, columns.currency, columns.version, columns.newest_date)
        found: dict[int, dict[str, tuple[str, date]]] = {}
        for row in self.connection.execute(statement.where(columns.account_id.in_(account_ids))):
            found.setdefault(row.account_id, {})[row.currency] = row.version, row.newest_date
        return found

    @override
    def save(self, memories: Mapping[tuple[int, str], Memory]) -> None:
        rows = [
            {
                "account_id": account_id,
                "currency": currency,
                "version": each.version,
                "newest_date": str(each.newest),
                "snapshot": None if each.snapshot is None else each.snapshot.hex(),
                "mornings": each.mornings.hex(),
            }
            for (account_id, currency), each in sorted(memories.items())
        ]
        if rows:
            self.connection.execute(_SAVE, {"memories": dumps(rows)})

    @override
    def forget(self, account_id: int, currency: str | None = None) -> None:
        statement = sa.delete(detector_memories).where(detector_memories.c.account_id == account_id)
        if currency is not None:
            statement = statement.where(detector_memories.c.currency == currency)
        self.connection.execute(statement)
