"""Inspects the database for `costbatch doctor` and `costbatch db stats`: state, privileges, history, sizes.

Changes nothing, counts nothing large, and never waits long for a lock or an answer.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from time import monotonic
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection, Row
from typing_extensions import override

from costbatch.adapters.postgres.accounts import MAY_READ_CREDENTIALS
from costbatch.adapters.postgres.migrations import REVISIONS, current_revision
from costbatch.adapters.postgres.partitions import PARTITION_PATTERN, PARTITIONED
from costbatch.adapters.postgres.tables import (
    account_credentials,
    accounts,
    metadata,
    run_items,
    runs,
)
from costbatch.application.doctor.ports import (
    DatabaseHealth,
    NewestRun,
    SchemaVersion,
    SealedOfAccount,
    Server,
    SinkHealth,
)
from costbatch.application.inspection import DatabaseSizes, MonthSize, Rights, TableSize
from costbatch.domain.accounts import AccountStatus
from costbatch.domain.credentials import SealedCredentials
from costbatch.domain.deliveries import Backlog
from costbatch.domain.runs import RunStatus, SkipReason
from costbatch.errors import ConfigError

# The server stops working on a statement whose answer is no longer waited for.
_LIMITS = sa.text(
    "SELECT set_config('statement_timeout', :statement, true), set_config('lock_timeout', '5s', true)"
)
_CHECK_TIMEOUT, _SIZES_TIMEOUT = {"statement": "10s"}, {"statement": "30s"}

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
    current_schema() AS schema, current_database() AS database
""")

# Only the owner of a table attaches a partition to it.
_NOT_OWNED = sa.text("""
SELECT name FROM unnest(CAST(:tables AS text[])) AS name JOIN pg_class ON oid = to_regclass(name)
WHERE NOT pg_has_role(relowner, 'USAGE') ORDER BY name
""")

# Rows as the planner estimates them: those of a page when it was last analysed, times the pages of now.
_RELATIONS = sa.text("""
WITH ours AS (
    SELECT to_regclass(name)::oid AS oid, name, NULL AS month FROM unnest(CAST(:tables AS text[])) AS name
    UNION ALL
    SELECT inhrelid, parent, substring(relname FROM :partition)
    FROM unnest(CAST(:partitioned AS text[])) AS parent JOIN pg_inherits ON inhparent = to_regclass(parent)
        JOIN pg_class ON pg_class.oid = inhrelid
)
SELECT name, to_date(month, 'YYYY_MM') AS month, sizes.*,
    coalesce(CASE WHEN relpages > 0 AND reltuples >= 0
        THEN reltuples / relpages * (pg_relation_size(ours.oid) / current_setting('block_size')::bigint)
        ELSE n_live_tup END, 0)::bigint AS rows,
    coalesce(n_dead_tup, 0) AS dead_rows, greatest(last_vacuum, last_autovacuum) AS vacuumed_at
FROM ours JOIN pg_class ON pg_class.oid = ours.oid
    LEFT JOIN pg_stat_all_tables ON relid = ours.oid
    CROSS JOIN LATERAL (SELECT pg_indexes_size(ours.oid) AS index_bytes,
        coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0) AS toast_bytes,
        pg_total_relation_size(ours.oid) AS total_bytes) AS sizes
WHERE total_bytes IS NOT NULL
ORDER BY ours.month
""")

# A region that the account has disabled keeps its last read for ever: only what failed is looked at. One that
# was never read, as the account is new or has just enabled it, is late from its first failure on.
_UNREAD_REGIONS = sa.text("""
WITH newest AS (
    SELECT id FROM runs
    WHERE job = :job AND aws_account_ids = '[]' AND finished_at IS NOT NULL
    ORDER BY sequence DESC LIMIT 1
)
SELECT run_items.account_id, failed.region, failed.kind
FROM newest JOIN run_items ON run_items.run_id = newest.id
    JOIN discoveries ON discoveries.run_item_id = run_items.id
    CROSS JOIN LATERAL jsonb_to_recordset(failed_regions) AS failed (region text, kind text)
    LEFT JOIN discovered_regions AS known
        ON known.account_id = run_items.account_id AND known.region = failed.region
WHERE coalesce(known.read_at, (
    SELECT min(earlier.finished_at)
    FROM run_items AS earlier JOIN discoveries ON discoveries.run_item_id = earlier.id
    WHERE earlier.account_id = run_items.account_id AND earlier.state = 'succeeded'
        AND failed_regions @> jsonb_build_array(jsonb_build_object('region', failed.region))
)) < :since
""")

# The names one after the other: an index finds each, where a GROUP BY would read every delivery ever made.
# The first that waits may be from a clock that was ahead; those right behind it are as old.
_SINKS = sa.text("""
WITH RECURSIVE names AS (
    SELECT min(sink) AS sink FROM deliveries
    UNION ALL
    SELECT (SELECT min(sink) FROM deliveries WHERE sink > names.sink) FROM names WHERE names.sink IS NOT NULL
)
SELECT sink,
    (SELECT count(*) FROM deliveries WHERE deliveries.sink = names.sink AND state = 'pending') AS pending,
    (SELECT count(*) FROM deliveries WHERE deliveries.sink = names.sink AND state = 'dead') AS dead,
    (SELECT max(delivered_at) FROM deliveries WHERE deliveries.sink = names.sink) AS last_success_at,
    oldest.occurred_at AS oldest_at, oldest.reason AS last_error
FROM names LEFT JOIN LATERAL (
    SELECT min(occurred_at) AS occurred_at, (array_agg(reason ORDER BY sequence))[1] AS reason
    FROM (
        SELECT occurred_at, reason, deliveries.sequence FROM deliveries JOIN events ON events.id = event_id
        WHERE deliveries.sink = names.sink AND state = 'pending' ORDER BY deliveries.sequence LIMIT 1000
    ) AS waiting
) AS oldest ON true
WHERE sink IS NOT NULL ORDER BY sink
""")

_ACCOUNTS = sa.select(sa.func.count()).where(accounts.c.status != AccountStatus.REMOVED.value)


@dataclass(frozen=True, slots=True)
class PostgresHealth(DatabaseHealth):
    """Inspects one database. ``connect`` opens a transaction."""

    connect: Callable[[], AbstractContextManager[Connection]]

    @override
    def server(self) -> Server:
        began = monotonic()
        with self._look() as connection:
            row = connection.execute(_SERVER).one()
            seconds = monotonic() - began
            # A pooler tells clients a made-up process id when they connect.
            raw: Any = connection.connection.driver_connection
        return Server(
            version_number=row.number,
            version=row.version,
            encoding=row.encoding,
            is_pooled=row.pid != raw.info.backend_pid,
            connect_seconds=seconds,
        )

    @override
    def clock(self) -> datetime:
        with self._look() as connection:
            now: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        return now

    @override
    def schema(self) -> SchemaVersion:
        with self._look() as connection:
            current = current_revision(connection)
        return SchemaVersion(current=current, needed=REVISIONS[-1], is_known=current in REVISIONS)

    @override
    def rights(self) -> Rights:
        with self._look() as connection:
            missing = list(connection.scalars(_MISSING_ON_TABLES, {"tables": sorted(metadata.tables)}))
            row = connection.execute(_RIGHTS).one()
            not_owned = connection.scalars(_NOT_OWNED, {"tables": [*PARTITIONED]}).all()
        if not row.may_use_temporary:
            missing.append(f"TEMPORARY on database {row.database}")
        if not row.may_create:
            missing.append(f"CREATE on schema {row.schema}")
        missing += [f"ownership of {name}" for name in not_owned]
        return Rights(role=row.role, missing=tuple(missing), is_read_only=row.is_read_only)

    @override
    def sealed_credentials(self) -> list[SealedOfAccount] | None:
        sealed = account_credentials.c
        statement = (
            sa.select(accounts.c.aws_account_id, sealed.key_id, sealed.sealed)
            .join_from(account_credentials, accounts)
            .order_by(accounts.c.aws_account_id)
        )
        with self._look() as connection:
            if not connection.scalar(MAY_READ_CREDENTIALS):
                return None
            return [
                SealedOfAccount(
                    aws_account_id=row.aws_account_id,
                    sealed=SealedCredentials(row.key_id, bytes(row.sealed)),
                )
                for row in connection.execute(statement)
            ]

    @override
    def newest_run(self, job: str, *, any_options: bool = False) -> NewestRun | None:
        is_wanted = [runs.c.job == job, runs.c.aws_account_ids == sa.cast([], JSONB)]
        if not any_options:
            is_wanted.append(runs.c.options == sa.cast({}, JSONB))
        newest = sa.select(runs).where(*is_wanted).order_by(runs.c.sequence.desc()).limit(1)
        counts = sa.select(run_items.c.state, sa.func.count()).group_by(run_items.c.state)
        with self._look() as connection:
            row = connection.execute(newest).first()
            if row is None:
                return None
            is_of_run = run_items.c.run_id == row.id
            states = connection.execute(counts.where(is_of_run)).tuples().all()
            is_left_out = run_items.c.skip_reason == SkipReason.API_COST_CAP.value
            left_out = connection.scalars(
                sa.select(run_items.c.account_id).where(is_of_run, is_left_out)
            ).all()
        return NewestRun(
            key=row.run_key,
            status=RunStatus(row.status),
            started_at=row.started_at,
            finished_at=row.finished_at,
            accounts=dict(states),
            left_out=frozenset(left_out),
        )

    @override
    def unread_regions(self, job: str, since: datetime) -> dict[int, dict[str, str]]:
        unread: dict[int, dict[str, str]] = {}
        with self._look() as connection:
            for row in connection.execute(_UNREAD_REGIONS, {"job": job, "since": since}):
                unread.setdefault(row.account_id, {})[row.region] = row.kind
        return unread

    @override
    def sinks(self) -> list[SinkHealth]:
        with self._look() as connection:
            return [
                SinkHealth(
                    sink=row.sink,
                    backlog=Backlog(pending=row.pending, dead=row.dead),
                    last_success_at=row.last_success_at,
                    oldest_at=row.oldest_at,
                    last_error=row.last_error,
                )
                for row in connection.execute(_SINKS)
            ]

    @contextmanager
    def _look(self) -> Iterator[Connection]:
        with self.connect() as connection:
            connection.execute(_LIMITS, _CHECK_TIMEOUT)
            yield connection


@dataclass(frozen=True, slots=True)
class PostgresSizes:
    """Measures one database. ``connect`` opens a transaction."""

    connect: Callable[[], AbstractContextManager[Connection]]

    def sizes(self, today: date) -> DatabaseSizes:
        """Return how large everything is.

        Raises:
            ConfigError: there are no tables.
            StorageError: the database is unreachable, or the role may not read the accounts or the runs.

        """
        with self.connect() as connection:
            # A size waits for a lock while a month is being dropped, which takes an instant.
            connection.execute(_LIMITS, _SIZES_TIMEOUT)
            relations = _relations(connection)
            if not relations:
                raise ConfigError("The database has no costbatch tables that this role can see.")
            return DatabaseSizes(
                today=today,
                database_bytes=_scalar(connection, sa.text("SELECT pg_database_size(current_database())")),
                tables=_tables(relations),
                months=_months(relations),
                accounts=_scalar(connection, _ACCOUNTS),
                first_run_at=connection.scalar(sa.select(sa.func.min(runs.c.started_at))),
            )


def month_sizes(connection: Connection) -> tuple[MonthSize, ...]:
    """Return the months of daily costs, oldest first."""
    return _months(_relations(connection))


def _relations(connection: Connection) -> list[Row[Any]]:
    parameters = {
        "tables": sorted(metadata.tables),
        "partition": PARTITION_PATTERN,
        "partitioned": list(PARTITIONED),
    }
    return list(connection.execute(_RELATIONS, parameters))


def _months(relations: list[Row[Any]]) -> tuple[MonthSize, ...]:
    months = [each for each in relations if each.month is not None and each.name == "daily_costs"]
    return tuple(MonthSize(month=each.month, rows=each.rows, bytes=each.total_bytes) for each in months)


def _tables(relations: list[Row[Any]]) -> tuple[TableSize, ...]:
    """Return the tables, the largest first; the partitioned ones with all their months."""
    tables = []
    for name in {relation.name for relation in relations}:
        parts = [each for each in relations if each.name == name]
        index_bytes = sum(each.index_bytes for each in parts)
        toast_bytes = sum(each.toast_bytes for each in parts)
        tables.append(
            TableSize(
                name=name,
                rows=sum(each.rows for each in parts),
                dead_rows=sum(each.dead_rows for each in parts),
                table_bytes=sum(each.total_bytes for each in parts) - index_bytes - toast_bytes,
                index_bytes=index_bytes,
                toast_bytes=toast_bytes,
                vacuumed_at=max((each.vacuumed_at for each in parts if each.vacuumed_at), default=None),
            )
        )
    return tuple(sorted(tables, key=lambda table: (-table.total_bytes, table.name)))


def _scalar(connection: Connection, statement: sa.Executable) -> int:
    number: int = connection.execute(statement).scalar_one()
    return number
