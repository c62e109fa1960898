"""Removes old months and old rows, so that other transactions wait for it only for an instant.

A month is removed by DROP TABLE. Like a plain DETACH, it locks only the partitioned tables, for the instant
of its commit. DETACH CONCURRENTLY cannot be part of a transaction, and waits for every reader.
Later transactions queue behind one that waits for a lock: hence the short timeout, and another attempt later.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from typing_extensions import override

from costbatch.adapters.postgres.cost_tables import cost_versions
from costbatch.adapters.postgres.detection_tables import anomalies
from costbatch.adapters.postgres.discovery_tables import (
    resources,
)
from costbatch.adapters.postgres.event_tables import deliveries, events
from costbatch.adapters.postgres.inspect import month_sizes
from costbatch.adapters.postgres.partitions import PARTITIONED, drop_partitions, partition_names
from costbatch.adapters.postgres.tables import account_progress, accounts, run_items, runs
from costbatch.application.inspection import MonthSize, Rights
from costbatch.application.retention import OldRecords, OldRows
from costbatch.domain.accounts import AccountStatus
from costbatch.domain.anomalies import AnomalyState
from costbatch.domain.collection import COLLECT
from costbatch.domain.deliveries import DeliveryState
from costbatch.domain.runs import RunStatus
from costbatch.errors import StorageError

T = TypeVar("T")

# SQLSTATEs of a lock that was not granted: the timeout, and a deadlock whose victim we are.
_HELD = {"55P03", "40P01"}

# One step deletes at most this many runs, however few items they have.
_RUNS_BATCH = 100

_BRIEFLY = sa.text("SELECT set_config('lock_timeout', '200ms', true)")

# Without our tables nothing is missing here; the check of the schema reports that.
_NOT_OWNED = sa.text("""
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name)
    AND relname = ANY(:names)
    AND NOT pg_has_role(relowner, 'USAGE') AND NOT pg_has_role(nspowner, 'USAGE')
ORDER BY relname
""")
# Rows are locked before they are deleted or changed, and a lock is an UPDATE by its privilege.
_CHANGED = ("accounts", "account_progress")
_MISSING = sa.text("""
SELECT privilege || ' on ' || name
FROM (
    SELECT name, 'UPDATE' AS privilege FROM unnest(CAST(:changed AS text[])) AS name
    UNION ALL
    SELECT name, privilege FROM unnest(CAST(:deleted AS text[])) AS name,
        unnest(ARRAY['UPDATE', 'DELETE']) AS privilege
) AS needed
WHERE NOT has_table_privilege(to_regclass(name)::oid, privilege)
ORDER BY name, privilege
""")


@dataclass(frozen=True, slots=True)
class PostgresRetention(OldRecords):
    """The old records of one database. ``connect`` opens a transaction."""

    connect: Callable[[], AbstractContextManager[Connection]]

    @override
    def utc_date(self) -> date:
        today = sa.text("SELECT CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date)")
        with self.connect() as connection:
            found: date = connection.execute(today).scalar_one()
        return found

    @override
    def rights(self, first_kept: date) -> Rights:
        with self.connect() as connection:
            names = [
                name
                for month in _months_before(connection, first_kept)
                for name in partition_names(month.month).values()
            ]
            missing = list(connection.scalars(_MISSING, {"changed": [*_CHANGED], "deleted": [*OldRows]}))
            missing += [
                f"ownership of {name}"
                for name in connection.scalars(_NOT_OWNED, {"names": names, "tables": [*PARTITIONED]})
            ]
            role = connection.execute(sa.text("SELECT current_user")).scalar_one()
        return Rights(role=role, missing=tuple(missing))

    @override
    def months_before(self, first_kept: date) -> list[MonthSize]:
        with self.connect() as connection:
            return _months_before(connection, first_kept)

    @override
    def drop_month(self, month: MonthSize) -> MonthSize | None:

        def drop(connection: Connection) -> MonthSize:
            drop_partitions(connection, month.month)
            return month

        return self._briefly(drop)

    @override
    def count_reaching_back(self, first_kept: date) -> int:
        return self._count(account_progress, _reaches_back(first_kept))

    @override
    def move_covered(self, first_kept: date, *, most: int) -> int | None:
        covered = account_progress.c
        # A process that saves an account holds the lock on its row, and has read its progress under it.
        locked = (
            sa.select(accounts.c.id)
            .join_from(accounts, account_progress)
            .where(_reaches_back(first_kept))
            .order_by(accounts.c.id)
            .limit(most)
            .with_for_update(of=accounts, key_share=True)
        )
        end_exclusive = covered.covered_end_exclusive
        moved = sa.update(account_progress).values(
            covered_start=sa.case((end_exclusive > first_kept, first_kept)),
            covered_end_exclusive=sa.case((end_exclusive > first_kept, end_exclusive)),
            backfilled_from=sa.case(
                (covered.backfilled_from.is_(None) | (end_exclusive <= first_kept), None),
                else_=sa.func.greatest(covered.backfilled_from, first_kept),
            ),
        )

        def move(connection: Connection) -> int:
            ids = connection.scalars(locked).all()
            connection.execute(moved.where(covered.account_id.in_(ids), _reaches_back(first_kept)))
            return len(ids)

        return self._briefly(move)

    @override
    def count_old(self, kind: OldRows, first_kept: date) -> int:
        before = datetime.combine(first_kept, time(), UTC)
        match kind:
            case OldRows.RUN_ITEMS:
                old_runs = sa.select(runs.c.id).where(_run_is_old(before))
                return self._count(run_items, run_items.c.run_id.in_(old_runs))
            case OldRows.RUNS:
                return self._count(runs, _run_is_old(before))
            case OldRows.EVENTS:
                return self._count(events, _event_is_old(before))
            case OldRows.ANOMALIES:
                return self._count(anomalies, anomalies.c.id.in_(_old_anomalies(first_kept)))
            case OldRows.RESOURCES:
                return self._count(resources, _resource_is_old(before))
            case OldRows.COST_VERSIONS:
                return self._count(cost_versions, cost_versions.c.night < first_kept)

    @override
    def delete_old(self, kind: OldRows, first_kept: date, *, most: int) -> Mapping[OldRows, int]:
        before = datetime.combine(first_kept, time(), UTC)
        match kind:
            case OldRows.RUNS | OldRows.RUN_ITEMS:
                return self._briefly(lambda connection: _delete_runs(connection, before, most)) or {}
            case OldRows.EVENTS:
                some = sa.select(events.c.id).where(_event_is_old(before)).order_by(events.c.sequence)
                delete = _delete(events, some.limit(most))
            case OldRows.ANOMALIES:
                delete = _delete(anomalies, _old_anomalies(first_kept).limit(most))
            case OldRows.RESOURCES:
                deleted = self._briefly(lambda connection: _delete_resources(connection, before, most))
                return {kind: deleted or 0}
            case OldRows.COST_VERSIONS:
                # Their changes went with the months: what they changed is older still.
                some = sa.select(cost_versions.c.id).where(cost_versions.c.night < first_kept)
                delete = _delete(cost_versions, some.order_by(cost_versions.c.id).limit(most))
        return {kind: self._briefly(lambda connection: connection.execute(delete).rowcount) or 0}

    def _count(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
        statement = sa.select(sa.func.count()).select_from(table).where(condition)
        with self.connect() as connection:
            return connection.execute(statement).scalar_one()

    def _briefly(self, action: Callable[[Connection], T]) -> T | None:
        """Return the result of a transaction of its own; None if a lock is not granted at once."""
        try:
            with self.connect() as connection:
                connection.execute(_BRIEFLY)
                return action(connection)
        except StorageError as error:
            cause = error.__cause__
            if isinstance(cause, DBAPIError) and getattr(cause.orig, "pgcode", None) in _HELD:
                return None
            raise


def _months_before(connection: Connection, first_kept: date) -> list[MonthSize]:
    return [each for each in month_sizes(connection) if each.month < first_kept]


def _reaches_back(first_kept: date) -> sa.ColumnElement[bool]:
    """Return whether days of costs go; what other jobs have covered does not go with the months."""
    return (account_progress.c.job == COLLECT) & (account_progress.c.covered_start < first_kept)


def _run_is_old(before: datetime) -> sa.ColumnElement[bool]:
    """Return whether a run ended long ago, or never ended and shows no activity since."""
    of_run = run_items.alias("of_run")
    last_activity = sa.func.greatest(of_run.c.available_at, of_run.c.finished_at, of_run.c.lease_expires_at)
    # A run key can be used for years, so that the start alone does not tell.
    last = sa.select(sa.func.max(last_activity)).where(of_run.c.run_id == runs.c.id).scalar_subquery()
    never_ended = (runs.c.status == RunStatus.RUNNING.value) & (runs.c.started_at < before)
    return (runs.c.finished_at < before) | never_ended & (sa.func.coalesce(last, runs.c.started_at) < before)


def _delete_runs(connection: Connection, before: datetime, most: int) -> Mapping[OldRows, int]:
    """Delete the items of old runs, and each run whose items are gone."""
    # Run by run, so that the runs that are already empty are not searched again.
    old = sa.select(runs.c.id).where(_run_is_old(before)).order_by(runs.c.started_at).limit(_RUNS_BATCH)
    deleted = dict.fromkeys((OldRows.RUN_ITEMS, OldRows.RUNS), 0)
    for run_id in connection.scalars(old).all():
        # In the order of an index, so that it is used whatever the statistics say.
        mine = sa.select(run_items.c.id).where(run_items.c.run_id == run_id)
        mine = mine.order_by(run_items.c.account_id)
        some = mine.limit(most - deleted[OldRows.RUN_ITEMS])
        deleted[OldRows.RUN_ITEMS] += connection.execute(_delete(run_items, some)).rowcount
        if connection.scalar(mine.limit(1)) is None:
            free = sa.select(runs.c.id).where(runs.c.id == run_id)
            deleted[OldRows.RUNS] += connection.execute(_delete(runs, free)).rowcount
        if deleted[OldRows.RUN_ITEMS] >= most:
            break
    return deleted


def _was_removed(before: datetime) -> sa.ColumnElement[bool]:
    """Return whether an account was removed long ago.

    Nothing but its status is changed of a removed account, and no run reads it.
    """
    return (accounts.c.status == AccountStatus.REMOVED.value) & (accounts.c.updated_at < before)


def _resource_is_old(before: datetime) -> sa.ColumnElement[bool]:
    """Return whether a resource is long gone, or its account was removed long ago."""
    of_removed = resources.c.account_id.in_(sa.select(accounts.c.id).where(_was_removed(before)))
    return (resources.c.gone_since < before) | of_removed


def _delete_resources(connection: Connection, before: datetime, most: int) -> int:
    # Their key has two columns, so they are not deleted by an id. In the order of an index, as those of runs.
    row = resources.c
    gone = sa.select(row.account_id, row.arn_digest).where(row.gone_since < before).order_by(row.gone_since)
    free = gone.limit(most).with_for_update(skip_locked=True)
    key = sa.tuple_(row.account_id, row.arn_digest)
    deleted = connection.execute(sa.delete(resources).where(key.in_(free))).rowcount
    # Account by account, and with a limit for each: a join could read the resources of all accounts.
    first = sa.select(row.account_id).where(row.account_id == accounts.c.id).order_by(row.arn_digest).limit(1)
    not_empty = sa.select(accounts.c.id).where(_was_removed(before), first.scalar_subquery().is_not(None))
    for account_id in connection.scalars(not_empty.order_by(accounts.c.id)).all():
        if deleted >= most:
            break
        mine = sa.select(row.arn_digest).where(row.account_id == account_id).order_by(row.arn_digest)
        some = mine.limit(most - deleted).with_for_update(skip_locked=True).scalar_subquery()
        is_one = (row.account_id == account_id) & (row.arn_digest == sa.any_(sa.func.array(some)))
        deleted += connection.execute(sa.delete(resources).where(is_one)).rowcount
    return deleted


def _event_is_old(before: datetime) -> sa.ColumnElement[bool]:
    """Return whether an event is old, every sink has it, and the anomaly that it is about is over."""
    later = events.alias("later")
    # The sequence follows the time: up to the first event that is not old, an index finds the old ones and
    # leaves the others unread. One that came in another order goes some days later.
    first_new = sa.select(later.c.sequence).where(later.c.occurred_at >= before).order_by(later.c.sequence)
    is_first = events.c.sequence < sa.func.coalesce(first_new.limit(1).scalar_subquery(), _LAST_SEQUENCE)
    pending = sa.exists().where(
        deliveries.c.event_id == events.c.id, deliveries.c.state == DeliveryState.PENDING.value
    )
    # By the index of the open ones. Who was told of an anomaly is told its end, whatever the filter excludes.
    told = events.c.cloudevent[("data", "anomaly", "id")].astext
    goes_on = sa.exists().where(
        anomalies.c.account_id == events.c.account_id,
        anomalies.c.state == sa.literal_column(f"'{AnomalyState.OPEN.value}'"),
        sa.cast(anomalies.c.id, sa.Text) == told,
    )
    return (events.c.occurred_at < before) & is_first & ~pending & ~goes_on


# The largest bigint.
_LAST_SEQUENCE = sa.literal(2**63 - 1, sa.BigInteger)


def _old_anomalies(first_kept: date) -> sa.Select[tuple[UUID]]:
    is_over = anomalies.c.state == AnomalyState.RESOLVED.value
    return sa.select(anomalies.c.id).where(is_over, anomalies.c.last_date < first_kept)


def _delete(table: sa.Table, ids: sa.Select[Any]) -> sa.Delete:
    """Return the statement that deletes rows, leaving those that another process has locked."""
    free = ids.with_for_update(skip_locked=True).scalar_subquery()
    # As an array they are looked up one by one; IN could become a join with the whole table.
    return sa.delete(table).where(table.c.id == sa.any_(sa.func.array(free)))
