"""Looks at the database for `costbatch doctor`: what it is, what our role may do, what it tells of the past.

Changes nothing, and never waits long for a lock or an answer.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from costbatch.adapters.postgres.accounts import MAY_READ_CREDENTIALS
from costbatch.adapters.postgres.migrations import REVISIONS, current_revision
from costbatch.adapters.postgres.tables import (
    account_credentials,
    accounts,
    collections,
    deliveries,
    events,
    metadata,
    runs,
)
from costbatch.application.doctor.ports import NewestRun, SchemaVersion, SealedSample, Server, WaitingEvents
from costbatch.application.inspection import Rights
from costbatch.domain.credentials import SealedCredentials
from costbatch.domain.runs import RunStatus

# So that nothing goes on in the server after we gave up on its answer.
_PATIENCE = sa.text(
    "SELECT set_config('statement_timeout', '10s', true), set_config('lock_timeout', '5s', true)"
)

_SERVER = sa.text("""
SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
    current_setting('server_encoding') AS encoding, pg_backend_pid() AS pid
""")

_MISSING_ON_TABLES = sa.text("""
SELECT string_agg(privilege, ', ' ORDER BY place) || ' on ' || name
FROM unnest(CAST(:tables AS text[])) AS name,
    unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS privileges(privilege, place)
WHERE NOT coalesce(has_table_privilege(to_regclass(name)::oid, privilege), false)
GROUP BY name ORDER BY name
""")

_RIGHTS = sa.text("""
SELECT current_user AS role,
    pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_read_only,
    has_database_privilege(current_database(), 'TEMPORARY') AS may_use_temporary,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
    current_schema() AS schema, current_database() AS database,
    pg_has_role(relowner, 'USAGE') AS owns_costs
FROM pg_class WHERE oid = to_regclass('daily_costs')
""")


@dataclass(frozen=True, slots=True)
class PostgresHealth:
    """Looks at one database. ``connect`` opens a transaction."""

    connect: Callable[[], AbstractContextManager[Connection]]

    def server(self) -> Server:
        """Connect, and return what answered."""
        began = monotonic()
        with self._look() as connection:
            row = connection.execute(_SERVER).one()
            seconds = monotonic() - began
            # A pooler makes up the process id that a client is told when it connects.
            raw: Any = connection.connection.driver_connection
        return Server(
            version_number=row.number,
            version=row.version,
            encoding=row.encoding,
            is_pooled=row.pid != raw.info.backend_pid,
            connect_seconds=seconds,
        )

    def clock(self) -> datetime:
        """Return what time it is there."""
        with self._look() as connection:
            now: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        return now

    def schema(self) -> SchemaVersion:
        """Return which schema is there."""
        with self._look() as connection:
            current = current_revision(connection)
        return SchemaVersion(current=current, needed=REVISIONS[-1], is_known=current in REVISIONS)

    def rights(self) -> Rights:
        """Return what a run may not do that it must."""
        with self._look() as connection:
            missing = list(connection.scalars(_MISSING_ON_TABLES, {"tables": sorted(metadata.tables)}))
            row = connection.execute(_RIGHTS).one()
        if not row.may_use_temporary:
            missing.append(f"TEMPORARY on database {row.database}")
        if not row.may_create:
            missing.append(f"CREATE on schema {row.schema}")
        if not row.owns_costs:
            missing.append("ownership of daily_costs")
        return Rights(role=row.role, missing=tuple(missing), is_read_only=row.is_read_only)

    def sealed_samples(self) -> list[SealedSample] | None:
        """Return one credential of each key that has sealed any; None if our role may not read them."""
        sealed = account_credentials.c
        number = sa.func.count().over(partition_by=sealed.key_id).label("number")
        statement = (
            sa.select(accounts.c.aws_account_id, sealed.key_id, sealed.sealed, number)
            .join_from(account_credentials, accounts)
            .distinct(sealed.key_id)
            .order_by(sealed.key_id, accounts.c.aws_account_id)
        )
        with self._look() as connection:
            if not connection.scalar(MAY_READ_CREDENTIALS):
                return None
            return [
                SealedSample(
                    aws_account_id=row.aws_account_id,
                    sealed=SealedCredentials(row.key_id, bytes(row.sealed)),
                    number=row.number,
                )
                for row in connection.execute(statement)
            ]

    def newest_run(self) -> NewestRun | None:
        """Return the newest run over all accounts and their ordinary days."""
        is_whole = runs.c.days_start.is_(None) & (sa.func.jsonb_array_length(runs.c.aws_account_ids) == 0)
        newest = sa.select(runs).where(is_whole).order_by(runs.c.started_at.desc()).limit(1)
        counts = sa.select(collections.c.state, sa.func.count()).group_by(collections.c.state)
        with self._look() as connection:
            row = connection.execute(newest).first()
            if row is None:
                return None
            states = connection.execute(counts.where(collections.c.run_id == row.id)).tuples().all()
        return NewestRun(
            key=row.run_key,
            status=RunStatus(row.status),
            started_at=row.started_at,
            finished_at=row.finished_at,
            accounts=dict(states),
        )

    def events_before(self, instant: datetime) -> list[WaitingEvents]:
        """Return, by sink, the events from before an instant that it has not taken."""
        errors = sa.func.array_agg(sa.text("deliveries.last_error ORDER BY events.sequence"))
        statement = (
            sa.select(deliveries.c.sink, sa.func.count(), sa.func.min(events.c.occurred_at), errors)
            .join_from(deliveries, events)
            .where(deliveries.c.delivered_at.is_(None), events.c.occurred_at < instant)
            .group_by(deliveries.c.sink)
            .order_by(deliveries.c.sink)
        )
        with self._look() as connection:
            return [
                WaitingEvents(sink=sink, number=number, oldest_at=oldest, last_error=said[0])
                for sink, number, oldest, said in connection.execute(statement)
            ]

    @contextmanager
    def _look(self) -> Iterator[Connection]:
        with self.connect() as connection:
            connection.execute(_PATIENCE)
            yield connection
