"""Resources: replacing a region's content by COPY, so that only what differs is written."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from json import dumps

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.copy_format import Pieces, escaped
from costbatch.adapters.postgres.discovery_tables import (
    discovered_regions,
    resources,
)
from costbatch.adapters.postgres.staging import StagingTable
from costbatch.application.discover.ports import ResourceStore, Written
from costbatch.domain.discovery import AccountDiscovery, KnownRegion, KnownRegions, ResourceChange
from costbatch.domain.resources import GLOBAL, RegionContent, SourceChoice

# As with costs_staging: made once per server connection, emptied by each commit, never in the WAL.
_STAGING = StagingTable(
    "resources_staging",
    """
CREATE TEMP TABLE IF NOT EXISTS resources_staging (
    account_id bigint NOT NULL, arn_digest bytea NOT NULL, arn text NOT NULL,
    service text COLLATE "C" NOT NULL, type text COLLATE "C" NOT NULL, region text COLLATE "C" NOT NULL,
    name text NOT NULL, tags jsonb NOT NULL
) ON COMMIT DELETE ROWS;
DELETE FROM resources_staging;
COPY resources_staging FROM STDIN
""",
)

# The LIMIT makes it one look into the key for each resource, whatever the statistics say: a join would read
# the whole table for each batch. What is compared is the table as it was before the INSERT.
_WRITE_DIFFERENCES = _STAGING.text("""
WITH compared AS MATERIALIZED (
    SELECT staged.*, stored.account_id IS NOT NULL AS was_stored, stored.gone_since IS NOT NULL AS was_gone
    FROM resources_staging staged
    LEFT JOIN LATERAL (
        SELECT * FROM resources
        WHERE resources.account_id = staged.account_id AND resources.arn_digest = staged.arn_digest
        LIMIT 1) AS stored ON true
    WHERE stored.account_id IS NULL OR stored.gone_since IS NOT NULL
       OR (stored.region, stored.name, stored.type, stored.tags)
            IS DISTINCT FROM (staged.region, staged.name, staged.type, staged.tags)
), written AS (
    INSERT INTO resources (account_id, arn_digest, arn, service, type, region, name, tags, first_seen_at)
    SELECT account_id, arn_digest, arn, service, type, region, name, tags, :now
    FROM compared ORDER BY account_id, arn_digest
    ON CONFLICT (account_id, arn_digest) DO UPDATE SET
        region = excluded.region, name = excluded.name, type = excluded.type, tags = excluded.tags,
        last_seen_at = NULL, gone_since = NULL
), first_used AS (
    INSERT INTO used_services (account_id, service)
    SELECT DISTINCT account_id, service FROM compared ORDER BY account_id, service
    ON CONFLICT DO NOTHING RETURNING account_id, service
)
SELECT account_id, region, service, count(*) FILTER (WHERE NOT was_stored) AS inserted,
    count(*) FILTER (WHERE was_stored AND NOT was_gone) AS updated,
    count(*) FILTER (WHERE was_gone) AS returned, bool_or(first_used.account_id IS NOT NULL) AS is_first
FROM compared LEFT JOIN first_used USING (account_id, service) GROUP BY account_id, region, service
""")

_MARK_GONE = _STAGING.text("""
WITH asked AS MATERIALIZED (
    SELECT asked.account_id, asked.region, coalesce(known.read_at, :now) AS last_read_at
    FROM unnest(CAST(:account_ids AS bigint[]), CAST(:regions AS text[])) AS asked (account_id, region)
    LEFT JOIN LATERAL (
        SELECT read_at FROM discovered_regions
        WHERE discovered_regions.account_id = asked.account_id AND discovered_regions.region = asked.region
        LIMIT 1) AS known ON true
), gone AS (
    UPDATE resources SET gone_since = :now, last_seen_at = asked.last_read_at
    FROM asked
    WHERE resources.account_id = ANY(:account_ids)
      AND resources.account_id = asked.account_id AND resources.region = asked.region
      AND resources.gone_since IS NULL
      AND NOT EXISTS (
        SELECT FROM resources_staging staged
        WHERE staged.account_id = resources.account_id AND staged.arn_digest = resources.arn_digest)
    RETURNING resources.account_id, resources.region
)
SELECT account_id, region, count(*) FROM gone GROUP BY account_id, region
""")

# The count finds rows that were changed by hand: then the digest is not that of what is stored. It comes
# first, because a newer version may add columns to the table during a run.
_LOAD_REGIONS = sa.text("""
SELECT known.resources = (
    SELECT count(*) FROM resources
    WHERE resources.account_id = known.account_id AND resources.region = known.region
      AND gone_since IS NULL) AS is_stored, known.*
FROM discovered_regions known WHERE account_id = ANY(:account_ids)
""")

_SAVE_REGIONS = sa.text("""
INSERT INTO discovered_regions (account_id, region, read_at, source, digest, resources, is_used, is_listed)
SELECT account_id, region, read_at, source, decode(digest, 'hex'), resources, is_used, is_listed
FROM json_to_recordset(:regions) AS saved (account_id bigint, region text, read_at timestamptz,
    source text, digest text, resources integer, is_used boolean, is_listed boolean)
ON CONFLICT (account_id, region) DO UPDATE SET
    read_at = excluded.read_at, source = excluded.source, digest = excluded.digest,
    resources = excluded.resources, is_used = excluded.is_used, is_listed = excluded.is_listed
""")

_SET_DISABLED = sa.text("""
UPDATE discovered_regions SET is_disabled = given.is_disabled
FROM json_to_recordset(:regions) AS given (account_id bigint, region text, is_disabled boolean)
WHERE discovered_regions.account_id = given.account_id AND discovered_regions.region = given.region
""")

# A digest of what is stored under an ARN; see the table.
_DIGEST_BYTES = 16
# How many lines a piece of COPY has: it is all that is held beside the resources themselves.
_LINES_OF_A_PIECE = 5_000


@dataclass(frozen=True, slots=True)
class PostgresResources(ResourceStore):
    """The resources and their regions, within one transaction."""

    connection: Connection

    @override
    def load_regions(self, account_ids: Collection[int]) -> dict[int, dict[str, KnownRegion]]:
        known: dict[int, dict[str, KnownRegion]] = {row: {} for row in account_ids}
        for row in self.connection.execute(_LOAD_REGIONS, {"account_ids": list(account_ids)}):
            known[row.account_id][row.region] = KnownRegion(
                read_at=row.read_at,
                source=SourceChoice(row.source) if row.source else None,
                digest=bytes(row.digest) if row.digest is not None and row.is_stored else None,
                resources=row.resources,
                is_used=row.is_used,
                is_listed=row.is_listed,
                is_disabled=row.is_disabled,
            )
        return known

    @override
    def replace(
        self, contents: Mapping[int, Mapping[str, RegionContent]], *, now: datetime
    ) -> dict[int, dict[str, Written]]:
        changes = {row: dict.fromkeys(of_region, ResourceChange()) for row, of_region in contents.items()}
        if not any(contents.values()):
            return {row: {} for row in contents}
        with closing(self.connection.connection.cursor()) as cursor:
            cursor.copy_expert(_STAGING.copy, Pieces(_copy_texts(contents)))
        written = self.connection.execute(_WRITE_DIFFERENCES, {"now": now}).all()
        for line in written:
            changes[line.account_id][line.region] += ResourceChange(
                inserted=line.inserted, updated=line.updated, returned=line.returned
            )
        complete = [
            (row, region)
            for row, of_region in contents.items()
            for region, content in of_region.items()
            if content.is_complete
        ]
        parameters = {
            "account_ids": [row for row, _ in complete],
            "regions": [region for _, region in complete],
            "now": now,
        }
        for row, region, number in self.connection.execute(_MARK_GONE, parameters):
            changes[row][region] += ResourceChange(gone=number)
        services: dict[tuple[int, str], dict[str, int]] = {}
        for line in written:
            if line.is_first:
                services.setdefault((line.account_id, line.region), {})[line.service] = line.inserted
        return {
            row: {
                region: Written(change=change, new_services=services.get((row, region), {}))
                for region, change in of_region.items()
            }
            for row, of_region in changes.items()
        }

    @override
    def save_regions(self, regions: Mapping[int, KnownRegions]) -> None:
        data = [
            {
                "account_id": row,
                "region": region,
                "read_at": known.read_at.isoformat() if known.read_at else None,
                "source": known.source,
                "digest": known.digest.hex() if known.digest is not None else None,
                "resources": known.resources,
                "is_used": known.is_used,
                "is_listed": known.is_listed,
            }
            for row, of_region in sorted(regions.items())
            for region, known in sorted(of_region.items())
        ]
        if data:
            self.connection.execute(_SAVE_REGIONS, {"regions": dumps(data)})

    @override
    def set_disabled(self, regions: Mapping[int, Mapping[str, bool]]) -> None:
        data = [
            {"account_id": row, "region": region, "is_disabled": is_disabled}
            for row, of_region in regions.items()
            for region, is_disabled in of_region.items()
        ]
        if data:
            self.connection.execute(_SET_DISABLED, {"regions": dumps(data)})

    @override
    def discoveries(self, account_ids: Collection[int] | None = None) -> dict[int, AccountDiscovery]:
        known = discovered_regions.c
        # Those of an account that was removed are pruned, and its regions stay as they were read. The limit
        # and the order of an index let the database look into each account, and not read them all.
        stored = sa.select(resources.c.account_id).where(resources.c.account_id == known.account_id)
        stored = stored.where(resources.c.gone_since.is_(None)).order_by(resources.c.region).limit(1)
        is_any_stored = stored.scalar_subquery().is_not(None)
        statement = (
            sa.select(
                known.account_id,
                sa.func.max(known.read_at).label("discovered_at"),
                sa.func.array_agg(aggregate_order_by(known.source, known.read_at.desc()))[1].label("source"),
                sa.func.count().filter(known.region != GLOBAL).label("regions"),
                sa.case((is_any_stored, sa.func.sum(known.resources)), else_=0).label("resources"),
            )
            .where(known.read_at.is_not(None))
            .group_by(known.account_id)
        )
        if account_ids is not None:
            statement = statement.where(known.account_id.in_(account_ids))
        return {
            row.account_id: AccountDiscovery(
                discovered_at=row.discovered_at,
                source=SourceChoice(row.source),
                regions=row.regions,
                resources=row.resources,
            )
            for row in self.connection.execute(statement)
        }


def _copy_texts(contents: Mapping[int, Mapping[str, RegionContent]]) -> Iterator[str]:
    """Yield all resources in COPY's text format, in pieces that take little memory."""
    lines: list[str] = []
    for row, of_region in contents.items():
        for resource in chain.from_iterable(content.resources for content in of_region.values()):
            digest = hashlib.blake2b(resource.arn.encode(), digest_size=_DIGEST_BYTES).hexdigest()
            texts = (
                resource.arn,
                resource.service,
                resource.type,
                resource.region,
                resource.name,
                resource.tags_json,
            )
            lines.append("\t".join([str(row), rf"\\x{digest}", *map(escaped, texts)]) + "\n")
            if len(lines) == _LINES_OF_A_PIECE:
                yield "".join(lines)
                lines.clear()
    if lines:
        yield "".join(lines)
