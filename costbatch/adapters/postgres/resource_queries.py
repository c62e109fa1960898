"""Looks at the stored resources for `costbatch resources`: filters, in pieces, and numbers by type."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import Connection
from typing_extensions import override

from costbatch.adapters.postgres.discovery_tables import (
    discovered_regions,
    resources,
)
from costbatch.adapters.postgres.tables import (
    accounts,
)
from costbatch.application.discover.ports import ResourceQueries
from costbatch.domain.accounts import AccountStatus
from costbatch.domain.resource_queries import ResourceFilter, StoredResource, TypeCount

# How many rows the server hands over at a time.
_ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class PostgresResourceQueries(ResourceQueries):
    """The resources of one database. ``connect`` opens a transaction."""

    connect: Callable[[], AbstractContextManager[Connection]]

    @override
    def count(self, asked: ResourceFilter) -> int:
        statement = sa.select(sa.func.count()).select_from(_source()).where(*_conditions(asked))
        with self.connect() as connection:
            return connection.execute(statement).scalar_one()

    @override
    def find(self, asked: ResourceFilter, *, most: int | None = None) -> Iterator[StoredResource]:
        table = resources.c
        source = _source().outerjoin(
            discovered_regions,
            sa.and_(
                discovered_regions.c.account_id == table.account_id,
                discovered_regions.c.region == table.region,
            ),
        )
        columns = [table[name] for name in ("arn", "service", "type", "region", "name", "tags")]
        last_seen = sa.func.coalesce(table.last_seen_at, discovered_regions.c.read_at).label("last_seen_at")
        statement = (
            sa.select(accounts.c.aws_account_id, *columns, table.first_seen_at, last_seen, table.gone_since)
            .select_from(source)
            .where(*_conditions(asked))
            .order_by(accounts.c.aws_account_id, table.service, table.type, table.arn)
            .limit(most)
        )
        with self.connect() as connection:
            rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(statement)
            for row in rows:
                yield StoredResource(**row._mapping)  # noqa: SLF001 - public in SQLAlchemy, for all its name

    @override
    def stats(self, asked: ResourceFilter, required_tags: Sequence[str]) -> list[TypeCount]:
        table = resources.c
        number = sa.func.count()
        lacking = [
            number.filter(~table.tags.has_key(tag)).label(f"lacking_{place}")
            for place, tag in enumerate(required_tags)
        ]
        untagged = number.filter(table.tags == sa.cast({}, JSONB))
        statement = (
            sa.select(table.service, table.type, number, untagged, *lacking)
            .select_from(_source())
            .where(*_conditions(asked))
            .group_by(table.service, table.type)
            .order_by(number.desc(), table.service, table.type)
        )
        with self.connect() as connection:
            return [
                TypeCount(
                    service=row[0],
                    type=row[1],
                    resources=row[2],
                    untagged=row[3],
                    lacking=dict(zip(required_tags, row[4:], strict=True)),
                )
                for row in connection.execute(statement)
            ]


def _source() -> sa.Join:
    return sa.join(resources, accounts, accounts.c.id == resources.c.account_id)


def _conditions(asked: ResourceFilter) -> Iterator[sa.ColumnElement[bool]]:
    table = resources.c
    yield (
        table.gone_since.is_(None)
        if asked.gone_since is None
        else table.gone_since >= _start(asked.gone_since)
    )
    if asked.aws_account_ids:
        yield accounts.c.aws_account_id.in_(asked.aws_account_ids)
    else:
        # No run reads it any more: whether its resources are still there, nobody knows.
        yield accounts.c.status != AccountStatus.REMOVED.value
    if asked.regions:
        yield table.region.in_(asked.regions)
    if asked.services:
        yield table.service.in_(asked.services)
    if asked.types:
        yield sa.or_(table.type.in_(asked.types), (table.service + ":" + table.type).in_(asked.types))
    for key, value in asked.tags:
        yield table.tags.has_key(key) if value is None else table.tags.contains({key: value})
    if asked.lacking:
        yield ~table.tags.has_all(sa.cast(list(asked.lacking), ARRAY(sa.Text)))
    if asked.new_since is not None:
        yield table.first_seen_at >= _start(asked.new_since)


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
