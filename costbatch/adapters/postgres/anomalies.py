"""Anomaly rows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from typing_extensions import override

from costbatch.adapters.postgres.detection_tables import anomalies
from costbatch.adapters.postgres.readable import readable
from costbatch.adapters.postgres.tables import accounts
from costbatch.application.detection_ports import AnomalyStore
from costbatch.domain.accounts import AccountStatus
from costbatch.domain.anomalies import Anomaly, AnomalyFilter, AnomalyState, Resolution
from costbatch.domain.costs import CostBasis
from costbatch.domain.detection import Contribution, Direction, Reason, Severity
from costbatch.domain.runs import Run

# Enough to say that a prefix is too short.
_MOST_FOUND = 10
# What a later save does not change, but for an anomaly without days that is found again.
_OF_DETECTION = ("run_id", "detected_at", "incident_checked_at")
_IS_FOUND_AGAIN = "anomalies.resolution IN ('restated', 'merged') AND EXCLUDED.state = 'open'"

# Named one by one: a newer version may add columns to the table while a run goes on.
_NAMES = [column.name for column in anomalies.c]
_LOAD_NEAR = sa.text(f"""
SELECT {", ".join(_NAMES)} FROM anomalies
WHERE account_id = ANY(:account_ids) AND (state = 'open' OR last_date >= :start)
ORDER BY start_date, id
""").columns(*(sa.column(column.name, column.type) for column in anomalies.c))  # noqa: S608 - names of columns

# A run that a process works on checks its own at its end; if its claims have lapsed, the process is gone.
_UNCHECKED = sa.text("""
SELECT anomalies.id FROM anomalies JOIN runs ON runs.id = anomalies.run_id
WHERE incident_checked_at IS NULL AND runs.job = :job AND (runs.id = :run_id OR NOT EXISTS (
    SELECT FROM run_items
    WHERE run_items.run_id = runs.id AND state = 'running' AND lease_expires_at > now()
))
""").bindparams(sa.bindparam("run_id", type_=sa.Uuid))

_LATER = ", ".join(
    [f"{name} = EXCLUDED.{name}" for name in _NAMES if name not in {"id", *_OF_DETECTION}]
    + [
        f"{name} = CASE WHEN {_IS_FOUND_AGAIN} THEN EXCLUDED.{name} ELSE anomalies.{name} END"
        for name in _OF_DETECTION
    ]
)
# As text, because SQLAlchemy compiles an INSERT with ON CONFLICT anew each time: longer than it executes.
_SAVE = sa.text(
    f"INSERT INTO anomalies ({', '.join(_NAMES)}) VALUES (:{', :'.join(_NAMES)})"  # noqa: S608 - names of columns
    f" ON CONFLICT (id) DO UPDATE SET {_LATER}"
).bindparams(*(sa.bindparam(column.name, type_=column.type) for column in anomalies.c))


@dataclass(frozen=True, slots=True)
class PostgresAnomalies(AnomalyStore):
    """The anomalies, within one transaction."""

    connection: Connection

    @override
    def load_near(self, starts: Mapping[int, date]) -> dict[int, list[Anomaly]]:
        near: dict[int, list[Anomaly]] = {}
        for start in dict.fromkeys(starts.values()):
            rows = [row for row, each in starts.items() if each == start]
            found = self.connection.execute(_LOAD_NEAR, {"account_ids": rows, "start": start})
            for anomaly in map(_from_row, found):
                near.setdefault(anomaly.account_id, []).append(anomaly)
        return near

    @override
    def save(self, anomaly: Anomaly, *, run_id: UUID | None, now: datetime) -> None:
        values = {
            "id": anomaly.id,
            "run_id": run_id,
            "detected_at": now,
            "incident_checked_at": None,
            "updated_at": now,
            "account_id": anomaly.account_id,
            "service": anomaly.service,
            "direction": anomaly.direction.value,
            "state": anomaly.state.value,
            "severity": anomaly.severity.value,
            "resolution": anomaly.resolution.value if anomaly.resolution else None,
            "start_date": anomaly.start_date,
            "last_date": anomaly.last_date,
            "currency": anomaly.currency,
            "cost_basis": anomaly.cost_basis.value,
            "expected": anomaly.expected,
            "actual": anomaly.actual,
            "peak": anomaly.peak,
            "lower": anomaly.lower,
            "upper": anomaly.upper,
            "score": anomaly.score,
            "reason": anomaly.reason.value,
            "words": anomaly.words,
            "explanation": [
                {"service": part.service, "expected": str(part.expected), "actual": str(part.actual)}
                for part in anomaly.explanation
            ],
            "revision": anomaly.revision,
        }
        self.connection.execute(_SAVE, values)

    @override
    def find(self, prefix: str) -> list[Anomaly]:
        id_text = sa.cast(anomalies.c.id, sa.Text)
        statement = sa.select(anomalies).where(id_text.startswith(prefix, autoescape=True))
        return self._readable(statement.order_by(anomalies.c.id).limit(_MOST_FOUND))

    @override
    def list_matching(self, wanted: AnomalyFilter) -> list[Anomaly]:
        severities = {severity.value: n for n, severity in enumerate(Severity)}
        conditions = _of(wanted.aws_account_ids, active=wanted.active)
        if wanted.states:
            conditions.append(anomalies.c.state.in_([state.value for state in wanted.states]))
        if wanted.severities:
            conditions.append(anomalies.c.severity.in_([severity.value for severity in wanted.severities]))
        if wanted.currencies:
            conditions.append(anomalies.c.currency.in_(wanted.currencies))
        if wanted.since is not None:
            conditions.append(anomalies.c.last_date >= wanted.since)
        if wanted.found_since is not None:
            midnight = datetime.combine(wanted.found_since, time(), UTC)
            conditions.append(anomalies.c.detected_at >= midnight)
        statement = (
            sa.select(anomalies)
            .where(*conditions)
            .order_by(
                sa.case(severities, value=anomalies.c.severity).desc(),
                anomalies.c.currency,
                sa.func.abs(anomalies.c.actual - anomalies.c.expected).desc(),
                anomalies.c.id,
            )
        )
        return self._readable(statement)

    @override
    def detected_by(self, run_id: UUID) -> set[UUID]:
        return set(self.connection.scalars(sa.select(anomalies.c.id).where(anomalies.c.run_id == run_id)))

    @override
    def unchecked(self, run: Run) -> set[UUID]:
        return set(self.connection.scalars(_UNCHECKED, {"run_id": run.id, "job": run.request.job}))

    @override
    def mark_checked(self, anomaly_ids: Collection[UUID], *, now: datetime) -> None:
        # What another process is saving is reported once more, under the same id, rather than waited for.
        free = sa.select(anomalies.c.id).where(anomalies.c.id.in_(anomaly_ids))
        free = free.with_for_update(key_share=True, skip_locked=True)
        self.connection.execute(
            sa.update(anomalies).where(anomalies.c.id.in_(free)).values(incident_checked_at=now)
        )

    @override
    def alike(self, anomaly_ids: Collection[UUID]) -> list[Anomaly]:
        days = sa.select(anomalies.c.start_date).where(anomalies.c.id.in_(anomaly_ids)).distinct()
        found = sa.select(anomalies).where(anomalies.c.start_date.in_(days)).order_by(anomalies.c.id)
        return self._readable(found)

    @override
    def counts(self, aws_account_ids: Collection[str] = ()) -> dict[tuple[str, str, str], int]:
        columns = [anomalies.c.state, anomalies.c.severity, anomalies.c.currency]
        statement = sa.select(*columns, sa.func.count()).where(*_of(aws_account_ids, active=True))
        rows = self.connection.execute(statement.group_by(*columns))
        return {(state, severity, currency): count for state, severity, currency, count in rows}

    def _readable(self, statement: sa.Select[Any]) -> list[Anomaly]:
        return readable(self.connection.execute(statement), _from_row, "anomaly_unreadable")


def _of(aws_account_ids: Collection[str], *, active: bool) -> list[sa.ColumnElement[bool]]:
    """Return the condition that an anomaly is of one of these accounts; without any, of whichever."""
    conditions: list[sa.ColumnElement[bool]] = []
    if aws_account_ids:
        conditions.append(accounts.c.aws_account_id.in_(aws_account_ids))
    if active:
        conditions.append(accounts.c.status == AccountStatus.ACTIVE.value)
    return [anomalies.c.account_id.in_(sa.select(accounts.c.id).where(*conditions))] if conditions else []


def _from_row(row: Row[Any]) -> Anomaly:
    return Anomaly(
        id=row.id,
        account_id=row.account_id,
        service=row.service,
        direction=Direction(row.direction),
        state=AnomalyState(row.state),
        severity=Severity(row.severity),
        resolution=Resolution(row.resolution) if row.resolution else None,
        start_date=row.start_date,
        last_date=row.last_date,
        currency=row.currency,
        cost_basis=CostBasis(row.cost_basis),
        expected=row.expected,
        actual=row.actual,
        peak=row.peak,
        lower=row.lower,
        upper=row.upper,
        score=row.score,
        reason=Reason(row.reason),
        words=row.words,
        explanation=tuple(
            Contribution(part["service"], Decimal(part["expected"]), Decimal(part["actual"]))
            for part in row.explanation
        ),
        revision=row.revision,
    )
