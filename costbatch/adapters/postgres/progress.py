"""How far each job got with each account."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from json import dumps
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from typing_extensions import override

from costbatch.adapters.postgres.tables import account_progress
from costbatch.application.ports import ProgressStore
from costbatch.domain.accounts import NO_PROGRESS, Failing, Progress
from costbatch.domain.periods import DateRange

_NAMES = (
    "covered_start",
    "covered_end_exclusive",
    "backfilled_from",
    "unknown_days",
    "failing_since",
    "failing_kind",
)
PROGRESS_COLUMNS = tuple(sa.column(name, account_progress.c[name].type) for name in _NAMES)

_SAVE = sa.text("""
INSERT INTO account_progress
    (account_id, job, covered_start, covered_end_exclusive, backfilled_from, unknown_days,
    failing_since, failing_kind)
SELECT id, :job, covered_start, covered_end_exclusive, backfilled_from, unknown_days,
    failing_since, failing_kind
FROM json_to_recordset(:changed) AS changed (
    id bigint, covered_start date, covered_end_exclusive date, backfilled_from date, unknown_days date[],
    failing_since timestamptz, failing_kind text)
ON CONFLICT (account_id, job) DO UPDATE SET
    covered_start = excluded.covered_start, covered_end_exclusive = excluded.covered_end_exclusive,
    backfilled_from = excluded.backfilled_from, unknown_days = excluded.unknown_days,
    failing_since = excluded.failing_since, failing_kind = excluded.failing_kind
""")


@dataclass(frozen=True, slots=True)
class PostgresProgress(ProgressStore):
    """The progress of jobs, within one transaction."""

    connection: Connection

    @override
    def load(self, job: str, account_ids: Collection[int] | None = None) -> dict[int, Progress]:
        statement = sa.select(account_progress).where(account_progress.c.job == job)
        if account_ids is not None:
            statement = statement.where(account_progress.c.account_id.in_(account_ids))
        return {row.account_id: progress_from_row(row) for row in self.connection.execute(statement)}

    @override
    def load_of(self, account_id: int) -> dict[str, Progress]:
        statement = sa.select(account_progress).where(account_progress.c.account_id == account_id)
        return {row.job: progress_from_row(row) for row in self.connection.execute(statement)}

    @override
    def save(self, job: str, progress: Mapping[int, Progress]) -> None:
        changed = [
            {
                "id": account_id,
                "covered_start": str(each.covered.start) if each.covered else None,
                "covered_end_exclusive": str(each.covered.end_exclusive) if each.covered else None,
                "backfilled_from": str(each.backfilled_from) if each.backfilled_from else None,
                "unknown_days": [str(day) for day in sorted(each.unknown)],
                "failing_since": each.failing.since.isoformat() if each.failing else None,
                "failing_kind": each.failing.kind if each.failing else None,
            }
            for account_id, each in sorted(progress.items())
        ]
        self.connection.execute(_SAVE, {"job": job, "changed": dumps(changed)})


def progress_from_row(row: Row[Any]) -> Progress:
    """Return the progress that a row holds; of an outer join it may hold none."""
    covered = None if row.covered_start is None else DateRange(row.covered_start, row.covered_end_exclusive)
    failing = None if row.failing_since is None else Failing(since=row.failing_since, kind=row.failing_kind)
    if covered is None and failing is None:
        return NO_PROGRESS
    return Progress(
        covered=covered,
        backfilled_from=row.backfilled_from,
        unknown=frozenset(row.unknown_days),
        failing=failing,
    )
