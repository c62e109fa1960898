"""Root causes of anomalies, and which anomalies were asked about."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from typing_extensions import override

from costbatch.adapters.postgres.detection_tables import anomaly_causes
from costbatch.adapters.postgres.readable import readable
from costbatch.application.detection_ports import CauseStore
from costbatch.domain.causes import Cause, CutShort, RootCause

_CLAIM = sa.text("""
INSERT INTO anomaly_causes (anomaly_id, attempts, asked_at) VALUES (:anomaly_id, 1, :now)
ON CONFLICT (anomaly_id) DO UPDATE
SET attempts = anomaly_causes.attempts + 1, asked_at = excluded.asked_at, problem = NULL
WHERE anomaly_causes.usage_date IS NULL AND anomaly_causes.attempts < :most
    AND anomaly_causes.asked_at <= :asked_before
RETURNING anomaly_id
""")


@dataclass(frozen=True, slots=True)
class PostgresCauses(CauseStore):
    """The root causes, within one transaction."""

    connection: Connection

    @override
    def settled(self, anomaly_ids: Collection[UUID], *, most_attempts: int) -> set[UUID]:
        table = anomaly_causes.c
        is_settled = table.usage_date.is_not(None) | (table.attempts >= most_attempts)
        found = sa.select(table.anomaly_id).where(table.anomaly_id.in_(anomaly_ids), is_settled)
        return set(self.connection.scalars(found))

    @override
    def cut_short(self, anomaly_ids: Collection[UUID]) -> dict[UUID, CutShort]:
        table = anomaly_causes.c
        is_cut = table.anomaly_id.in_(anomaly_ids) & (table.cut_short > 0)
        columns = table.anomaly_id, table.cut_short, table.asked_at
        rows = self.connection.execute(sa.select(*columns).where(is_cut))
        return {row.anomaly_id: CutShort(row.cut_short, row.asked_at) for row in rows}

    @override
    def claim(self, anomaly_id: UUID, *, now: datetime, pause: timedelta, most_attempts: int) -> bool:
        asked = {
            "anomaly_id": anomaly_id,
            "now": now,
            "asked_before": now - pause,
            "most": most_attempts,
        }
        return self.connection.execute(_CLAIM, asked).first() is not None

    @override
    def save(
        self,
        anomaly_id: UUID,
        found: RootCause | None,
        *,
        problem: str | None = None,
        attempts: int = 1,
        is_again: bool = False,
    ) -> bool:
        table = anomaly_causes.c
        # With every digit.
        causes = [
            {
                "region": cause.region,
                "usage_type": cause.usage_type,
                "expected": f"{cause.expected:f}",
                "actual": f"{cause.actual:f}",
            }
            for cause in (found.causes if found else ())
        ]
        values = {
            "usage_date": found.usage_date if found else None,
            "ordinary_date": found.ordinary_date if found else None,
            "causes": causes,
            "problem": problem,
            # The claim has counted one.
            "attempts": table.attempts - 1 + attempts,
            "cut_short": table.cut_short + (0 if attempts or is_again else 1),
        }
        is_new = table.usage_date.is_(None) & table.problem.is_(None)
        saved = sa.update(anomaly_causes).where(table.anomaly_id == anomaly_id, is_new).values(**values)
        return bool(self.connection.execute(saved).rowcount)

    @override
    def find(self, anomaly_id: UUID) -> RootCause | None:
        table = anomaly_causes.c
        is_found = sa.and_(table.anomaly_id == anomaly_id, table.usage_date.is_not(None))
        rows = self.connection.execute(sa.select(anomaly_causes).where(is_found))
        return next(iter(readable(rows, _from_row, "root_cause_unreadable", key="anomaly_id")), None)


def _from_row(row: Row[Any]) -> RootCause:
    return RootCause(
        usage_date=row.usage_date,
        ordinary_date=row.ordinary_date,
        causes=tuple(
            Cause(each["region"], each["usage_type"], Decimal(each["expected"]), Decimal(each["actual"]))
            for each in row.causes
        ),
    )
