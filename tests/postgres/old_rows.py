"""Old things for the tests of pruning: months of costs, and runs, events and anomalies of any age."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from types import MappingProxyType
from uuid import UUID, uuid4

from sqlalchemy.engine import Connection

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.retention import PostgresRetention
from costbatch.application.retention import Pruning, Retention
from costbatch.domain.periods import DateRange
from tests.postgres.conftest import Query
from tests.support.database_rows import add_account, prepare_months

TODAY, FIRST_KEPT = date(2026, 3, 10), date(2025, 12, 1)
OLD, YOUNG = datetime(2025, 11, 30, 23, 59, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC)
MONTHS = DateRange(date(2025, 9, 1), date(2026, 4, 1))
PARTITIONS = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY relname"
Connect = Callable[[], AbstractContextManager[Connection]]


def keeper(database: PostgresDatabase, connect: Connect | None = None) -> Retention:
    """Return what keeps three months of a database."""
    records = PostgresRetention(connect or database.connection)
    return Retention(records=records, keep_months=3, check_schema=database.check_schema)


def prune(database: PostgresDatabase, connect: Connect | None = None) -> Pruning:
    """Keep three months."""
    return keeper(database, connect).prune(TODAY)


def store_costs(database: PostgresDatabase, query: Query) -> None:
    """Store a row on the fifth and on the last day of every month, for two accounts."""
    prepare_months(database, MONTHS)
    for number in (1, 2):
        add_account(database, number)
    query(
        "INSERT INTO daily_costs"
        " SELECT accounts.id, (month + day)::date, 'S3', 'Usage', 'USD', 1.5, 1.5, null, null, null, false"
        " FROM accounts, generate_series('2025-09-01'::date, '2026-03-01', '1 month') AS month,"
        " (VALUES (interval '4 days'), (interval '1 month -1 day')) AS days (day)"
    )


def add_run(
    query: Query, *, started: datetime, ended: datetime | None, accounts: int = 1, **item: object
) -> UUID:
    """Add a run with an account or more, each with the same item."""
    run = uuid4()
    query(
        "INSERT INTO runs"
        " (id, job, run_key, status, today, aws_account_ids, options, version, started_at, finished_at)"
        " VALUES (:id, 'collect', :key, :status, '2025-01-01', '[]', '{}', '1', :started, :ended)",
        id=run,
        key=f"{run}",
        status="completed" if ended else "running",
        started=started,
        ended=ended,
    )
    values = {"state": "failed", "available_at": started, "finished_at": ended, **item}
    query(
        "INSERT INTO run_items"
        " (run_id, job, account_id, state, available_at, finished_at, error_kind, error_message)"
        " SELECT :run, 'collect', id, :state, :available_at, :finished_at, 'throttled', 'x'"
        " FROM accounts ORDER BY id LIMIT :n",
        run=run,
        n=accounts,
        **values,
    )
    return run


def cover(
    query: Query, start: str | None, end_exclusive: str | None, name: str = "%", *, job: str = "collect"
) -> None:
    """Record the days of accounts, all or those with this name, that are stored without a gap."""
    query(
        "INSERT INTO account_progress (account_id, job, covered_start, covered_end_exclusive)"
        " SELECT id, :job, :start, :end FROM accounts WHERE name LIKE :name",
        job=job,
        start=start,
        end=end_exclusive,
        name=name,
    )


def add_event(
    query: Query,
    occurred: datetime,
    *delivered: datetime | None,
    run: UUID | None = None,
    account_id: int | None = None,
    data: Mapping[str, object] = MappingProxyType({}),
) -> UUID:
    """Add an event, with a delivery for each sink: when it was made, or None."""
    identity = f"{uuid4()}"
    query(
        "INSERT INTO events (id, type, run_id, account_id, cloudevent, occurred_at) VALUES"
        " (:id, 'run.completed', :run, :account_id, CAST(:cloudevent AS jsonb), :occurred)",
        id=identity,
        run=run,
        account_id=account_id,
        cloudevent=json.dumps({"id": identity, "subject": "x", "data": dict(data)}),
        occurred=occurred,
    )
    for number, at in enumerate(delivered):
        query(
            "INSERT INTO deliveries (event_id, sink, sequence, ordering_key, state, retry_at, delivered_at)"
            " SELECT id, :sink, sequence, 0, :state, now(), :at FROM events WHERE id = :id",
            id=identity,
            sink=f"sink {number}",
            state="delivered" if at else "pending",
            at=at,
        )
    return UUID(identity)


def add_anomaly(query: Query, state: str, last: date, *, run: UUID | None = None) -> UUID:
    """Add an anomaly of the day before and a day."""
    anomaly = uuid4()
    query(
        "INSERT INTO anomalies"
        " (id, account_id, direction, state, severity, resolution, start_date, last_date, currency,"
        " cost_basis, expected, actual, peak, lower, upper, score, reason, words, explanation, revision,"
        " run_id, detected_at, updated_at)"
        " SELECT :id, min(id), 'spike', :state, 'low', :resolution, CAST(:last AS date) - 1, :last,"
        " 'USD', 'unblended', 1, 9, 5, 0, 2, 0.9, 'deviation', '', '[]', 1, :run, now(), now() FROM accounts",
        id=anomaly,
        state=state,
        resolution="ended" if state == "resolved" else None,
        last=last,
        run=run,
    )
    return anomaly


def add_resource(query: Query, gone_since: datetime | None) -> UUID:
    """Add a resource that was there before OLD."""
    resource = uuid4()
    query(
        "INSERT INTO resources (account_id, arn_digest, arn, service, type, region, name, tags,"
        " first_seen_at, last_seen_at, gone_since)"
        " SELECT min(id), :digest, 'arn:x', 's3', 'bucket', 'eu-west-1', 'b', '{}', '2025-09-01',"
        " :gone, :gone FROM accounts",
        digest=resource.bytes,
        gone=gone_since,
    )
    return resource


def add_cost_version(query: Query, night: date) -> None:
    """Add what a run of that day changed of the costs."""
    query(
        "INSERT INTO cost_versions (account_id, run_id, night, is_first)"
        " SELECT min(id), gen_random_uuid(), :night, false FROM accounts",
        night=night,
    )


def ids(query: Query, table: str) -> set[UUID]:
    """Return the ids that are left in a table."""
    column = "encode(arn_digest, 'hex')::uuid" if table == "resources" else "id"
    return {row[0] for row in query(f"SELECT {column} FROM {table}")}
