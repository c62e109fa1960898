"""What the cost job did for each account of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from json import dumps
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.cost_tables import cost_collections
from costbatch.adapters.postgres.detection_tables import anomalies, anomaly_causes
from costbatch.adapters.postgres.run_items import is_of_run
from costbatch.adapters.postgres.tables import accounts, run_items
from costbatch.application.ports import CollectionStore
from costbatch.domain.collection import COLLECT, CollectionCounts, CollectionRecord
from costbatch.domain.costs import StoredChange
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import ItemState, Run

# No ON CONFLICT, which logs each row twice: the work items are locked. The ids stand apart because the
# planner takes a record set for a hundred rows and reads the table for them.
_SAVE = sa.text("""
WITH record AS MATERIALIZED (
    SELECT * FROM json_to_recordset(:records) AS record (
        run_item_id bigint, window_start date, window_end_exclusive date,
        rows_fetched integer, rows_inserted integer, rows_updated integer, rows_deleted integer,
        days_kept integer)
), updated AS (
    UPDATE cost_collections SET
        window_start = record.window_start, window_end_exclusive = record.window_end_exclusive,
        rows_fetched = record.rows_fetched, rows_inserted = record.rows_inserted,
        rows_updated = record.rows_updated, rows_deleted = record.rows_deleted,
        days_kept = record.days_kept
    FROM record
    WHERE cost_collections.run_item_id = record.run_item_id AND cost_collections.run_item_id = ANY(:item_ids)
    RETURNING cost_collections.run_item_id
)
INSERT INTO cost_collections (run_item_id, window_start, window_end_exclusive,
    rows_fetched, rows_inserted, rows_updated, rows_deleted, days_kept)
SELECT * FROM record WHERE run_item_id NOT IN (SELECT run_item_id FROM updated)
""")
_SUMS = ("rows_fetched", "rows_inserted", "rows_updated", "rows_deleted", "days_kept")


@dataclass(frozen=True, slots=True)
class PostgresCollections(CollectionStore):
    """The cost job's records, within one transaction."""

    connection: Connection

    @override
    def save(self, records: Mapping[int, CollectionRecord]) -> None:
        data = [
            {
                "run_item_id": item_id,
                "window_start": str(record.window.start),
                "window_end_exclusive": str(record.window.end_exclusive),
                "rows_fetched": record.rows_fetched,
                "rows_inserted": record.change.inserted,
                "rows_updated": record.change.updated,
                "rows_deleted": record.change.deleted,
                "days_kept": record.days_kept,
            }
            for item_id, record in records.items()
        ]
        self.connection.execute(_SAVE, {"records": dumps(data), "item_ids": list(records)})

    @override
    def of_run(self, run: Run, *, kept_only: bool = False) -> dict[int, CollectionRecord]:
        statement = sa.select(cost_collections).where(is_of_run(cost_collections, run))
        if kept_only:
            statement = statement.where(cost_collections.c.days_kept > 0)
        return {
            row.run_item_id: CollectionRecord(
                window=DateRange(row.window_start, row.window_end_exclusive),
                rows_fetched=row.rows_fetched,
                change=StoredChange(
                    inserted=row.rows_inserted, updated=row.rows_updated, deleted=row.rows_deleted
                ),
                days_kept=row.days_kept,
            )
            for row in self.connection.execute(statement)
        }

    @override
    def counts(self, run: Run) -> CollectionCounts:
        sums = [sa.func.coalesce(sa.func.sum(cost_collections.c[name]), 0).label(name) for name in _SUMS]
        start = sa.func.min(cost_collections.c.window_start).label("start")
        end_exclusive = sa.func.max(cost_collections.c.window_end_exclusive).label("end_exclusive")
        statement = sa.select(*sums, start, end_exclusive).where(is_of_run(cost_collections, run))
        row = self.connection.execute(statement).one()
        return CollectionCounts(
            rows_fetched=row.rows_fetched,
            change=StoredChange(
                inserted=row.rows_inserted, updated=row.rows_updated, deleted=row.rows_deleted
            ),
            days_kept=row.days_kept,
            days_read=DateRange(row.start, row.end_exclusive) if row.start else None,
        )

    @override
    def last_requests(self) -> dict[int, tuple[int, int]]:
        return self._requests(run_items.c.finished_at.desc())

    @override
    def first_requests(self) -> dict[int, tuple[int, int]]:
        return self._requests(run_items.c.finished_at.asc())

    def _requests(self, order: sa.UnaryExpression[Any]) -> dict[int, tuple[int, int]]:
        """Return (paid requests, days) of the first collection in this order, by account row."""
        days = cost_collections.c.window_end_exclusive - cost_collections.c.window_start
        # One look into the index for each account: reading every collection ever made would take seconds.
        found = (
            sa.select(run_items.c.api_requests, run_items.c.finished_at, days.label("days"))
            .join_from(run_items, cost_collections)
            .where(
                run_items.c.account_id == accounts.c.id,
                run_items.c.job == COLLECT,
                run_items.c.state == ItemState.SUCCEEDED.value,
            )
            .order_by(order)
            .limit(1)
            .lateral()
        )
        later = run_items.alias("later")
        next_at = (
            sa.select(later.c.finished_at)
            .where(
                later.c.account_id == accounts.c.id,
                later.c.job == COLLECT,
                later.c.state == ItemState.SUCCEEDED.value,
                later.c.finished_at > found.c.finished_at,
            )
            .order_by(later.c.finished_at)
            .limit(1)
            .correlate(accounts, found)
            .scalar_subquery()
        )
        # What was asked after it was counted with it, as a rule by one request.
        root_causes = (
            sa.select(sa.func.count())
            .select_from(anomaly_causes)
            .join(anomalies, anomalies.c.id == anomaly_causes.c.anomaly_id)
            .where(
                anomalies.c.account_id == accounts.c.id,
                anomaly_causes.c.asked_at >= found.c.finished_at,
                anomaly_causes.c.asked_at < sa.func.coalesce(next_at, sa.text("'infinity'")),
                anomaly_causes.c.usage_date.is_not(None),
            )
            .scalar_subquery()
        )
        columns = accounts.c.id, found.c.api_requests - root_causes, found.c.days
        statement = sa.select(*columns).join_from(accounts, found, sa.true())
        return {row[0]: (row[1], row[2]) for row in self.connection.execute(statement)}
