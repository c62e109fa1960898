"""What the discovery job did for each account of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from json import dumps

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.discovery_tables import (
    discoveries,
)
from costbatch.adapters.postgres.run_items import is_of_run
from costbatch.application.discover.ports import DiscoveryStore
from costbatch.domain.discovery import DiscoveryCounts, DiscoveryRecord, ResourceChange
from costbatch.domain.resources import SourceChoice
from costbatch.domain.runs import Failure, Run
from costbatch.errors import ErrorKind

_SAVE = sa.text("""
INSERT INTO discoveries (run_item_id, source, regions_read, failed_regions, resources,
    rows_inserted, rows_updated, rows_returned, rows_gone)
SELECT * FROM json_to_recordset(:records) AS record (
    run_item_id bigint, source text, regions_read integer, failed_regions jsonb, resources integer,
    rows_inserted integer, rows_updated integer, rows_returned integer, rows_gone integer)
ON CONFLICT (run_item_id) DO UPDATE SET
    source = excluded.source, regions_read = excluded.regions_read,
    failed_regions = excluded.failed_regions, resources = excluded.resources,
    rows_inserted = excluded.rows_inserted, rows_updated = excluded.rows_updated,
    rows_returned = excluded.rows_returned, rows_gone = excluded.rows_gone
""")


@dataclass(frozen=True, slots=True)
class PostgresDiscoveries(DiscoveryStore):
    """The discovery job's records, within one transaction."""

    connection: Connection

    @override
    def save(self, records: Mapping[int, DiscoveryRecord]) -> None:
        data = [
            {
                "run_item_id": item_id,
                "source": record.source,
                "regions_read": record.regions_read,
                "failed_regions": record.to_document()["failed_regions"],
                "resources": record.resources,
                "rows_inserted": record.change.inserted,
                "rows_updated": record.change.updated,
                "rows_returned": record.change.returned,
                "rows_gone": record.change.gone,
            }
            for item_id, record in records.items()
        ]
        self.connection.execute(_SAVE, {"records": dumps(data)})

    @override
    def of_run(self, run: Run, *, partial_only: bool = False) -> dict[int, DiscoveryRecord]:
        statement = sa.select(discoveries).where(is_of_run(discoveries, run))
        if partial_only:
            statement = statement.where(_failed() > 0)
        return {
            row.run_item_id: DiscoveryRecord(
                source=SourceChoice(row.source),
                regions_read=row.regions_read,
                resources=row.resources,
                change=ResourceChange(
                    inserted=row.rows_inserted,
                    updated=row.rows_updated,
                    returned=row.rows_returned,
                    gone=row.rows_gone,
                ),
                failed={
                    each["region"]: Failure(kind=ErrorKind(each["kind"]), message=each["message"])
                    for each in row.failed_regions
                },
            )
            for row in self.connection.execute(statement)
        }

    @override
    def counts(self, run: Run) -> DiscoveryCounts:
        table = discoveries.c

        def total(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
            return sa.func.coalesce(sa.func.sum(column), 0)

        statement = sa.select(
            sa.func.count().filter(_failed() > 0),
            total(table.regions_read),
            total(_failed()),
            total(table.resources),
            total(table.rows_inserted),
            total(table.rows_updated),
            total(table.rows_returned),
            total(table.rows_gone),
        ).where(is_of_run(discoveries, run))
        partial, read, failed, found, inserted, updated, returned, gone = self.connection.execute(
            statement
        ).one()
        return DiscoveryCounts(
            partial_accounts=partial,
            regions_read=read,
            regions_failed=failed,
            resources=found,
            change=ResourceChange(inserted=inserted, updated=updated, returned=returned, gone=gone),
        )


def _failed() -> sa.ColumnElement[int]:
    return sa.func.jsonb_array_length(discoveries.c.failed_regions)
