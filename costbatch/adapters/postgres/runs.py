"""Runs: starting or joining one, and how it ended."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row
from typing_extensions import override

from costbatch.adapters.postgres.tables import run_items, runs
from costbatch.application.jobs.ports import RunStore
from costbatch.domain.periods import utc_day
from costbatch.domain.runs import UNFINISHED, Run, RunRequest, RunStatus, StopReason


@dataclass(frozen=True, slots=True)
class PostgresRuns(RunStore):
    """The runs, within one transaction."""

    connection: Connection

    @override
    def open(self, key: str, request: RunRequest, *, now: datetime, version: str) -> Run:
        statement = insert(runs).values(
            id=uuid4(),
            job=request.job,
            run_key=key,
            status=RunStatus.RUNNING.value,
            today=utc_day(now),
            aws_account_ids=list(request.aws_account_ids),
            options=dict(request.options),
            version=version,
            started_at=now,
        )
        row = self.connection.execute(statement.on_conflict_do_nothing().returning(runs)).first()
        if row is not None:
            return _run_from_row(row)
        run = self._lock(runs.c.job == request.job, runs.c.run_key == key)
        run.check_request(request)
        return run

    @override
    def find(self, job: str, key: str) -> Run | None:
        row = self.connection.execute(sa.select(runs).where(runs.c.job == job, runs.c.run_key == key)).first()
        return None if row is None else _run_from_row(row)

    @override
    def lock(self, run: Run) -> None:
        self._lock(runs.c.id == run.id)

    @override
    def resume(self, run: Run) -> Run:
        running = RunStatus.RUNNING.value
        unfinished = sa.exists().where(run_items.c.run_id == run.id, run_items.c.state.in_(UNFINISHED))
        ended = sa.update(runs).where(runs.c.id == run.id, runs.c.status != running, unfinished)
        self.connection.execute(ended.values(status=running, finished_at=None, stopped_by=None))
        return self.load(run)

    @override
    def close(
        self, run: Run, status: RunStatus, *, now: datetime, stopped_by: StopReason | None = None
    ) -> bool:
        changed = sa.update(runs).where(runs.c.id == run.id, runs.c.status != status.value)
        values = {"status": status.value, "finished_at": now, "stopped_by": stopped_by}
        return self.connection.execute(changed.values(**values)).rowcount > 0

    @override
    def load(self, run: Run) -> Run:
        return _run_from_row(self.connection.execute(sa.select(runs).where(runs.c.id == run.id)).one())

    def _lock(self, *conditions: sa.ColumnElement[bool]) -> Run:
        # FOR NO KEY UPDATE: events that other processes write meanwhile refer to the run.
        found = sa.select(runs).where(*conditions).with_for_update(key_share=True)
        return _run_from_row(self.connection.execute(found).one())


def _run_from_row(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        key=row.run_key,
        request=RunRequest(
            job=row.job, aws_account_ids=tuple(row.aws_account_ids), options=dict(row.options)
        ),
        status=RunStatus(row.status),
        today=row.today,
        started_at=row.started_at,
        finished_at=row.finished_at,
        stopped_by=StopReason(row.stopped_by) if row.stopped_by else None,
    )
