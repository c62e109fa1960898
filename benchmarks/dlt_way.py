"""Merges rows with `dlt`, to compare with: `python dlt_way.py WAY DATABASE_URL ROWS.jsonl REPORT.json`.

Runs in an environment that has dlt and nothing of costbatch. Each line of the file is one account's rows.
Reading the file is told apart in the report, for a pipeline would have the rows from a request.

The ways are dlt's own, from its page on PostgreSQL: `rows`, which is what it does by default (INSERT
statements), and `arrow`, "fast loading with Arrow tables and CSV" (COPY). Both merge by the primary key.
"""

import importlib.metadata
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import dlt  # type: ignore[import-not-found] # the benchmark installs it in an environment of its own

KEY = ["account_id", "usage_date", "service", "record_type"]
AMOUNTS = ["unblended", "amortized", "net_unblended", "net_amortized", "usage_quantity"]
# Without it dlt rounds amounts to nine digits after the point; AWS gives more.
PRECISION, SCALE = 38, 18
ACCOUNTS_PER_TABLE = 100

Rows = list[dict[str, Any]]


@dataclass
class Clock:
    """CPU and wall seconds that were spent between `start` and `stop`, however often."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0

    def start(self) -> None:
        """Begin to count."""
        self.cpu_seconds -= time.process_time()
        self.wall_seconds -= time.monotonic()

    def stop(self) -> None:
        """End counting."""
        self.cpu_seconds += time.process_time()
        self.wall_seconds += time.monotonic()


def read(path: Path, reading: Clock) -> Iterator[Rows]:
    """Return the rows account by account, as a request would give them."""
    reading.start()
    with path.open() as file:
        for line in file:
            rows = json.loads(line)
            for row in rows:
                row.update({name: Decimal(row[name]) for name in AMOUNTS})
                row["usage_date"] = date.fromisoformat(row["usage_date"])
            reading.stop()
            yield rows
            reading.start()
    reading.stop()


def tables(accounts: Iterator[Rows]) -> Iterator[Any]:
    """Return the rows as Arrow tables of a hundred accounts."""
    import pyarrow as pa  # type: ignore[import-not-found] # noqa: PLC0415 - only this way needs it, and it is large

    schema = pa.schema(
        [
            *((name, pa.date32() if name == "usage_date" else pa.string()) for name in (*KEY, "currency")),
            *((name, pa.decimal128(PRECISION, SCALE)) for name in AMOUNTS),
            ("estimated", pa.bool_()),
        ]
    )
    while batch := list(islice(accounts, ACCOUNTS_PER_TABLE)):
        yield pa.Table.from_pylist([row for rows in batch for row in rows], schema=schema)


def main(way: str, url: str, rows_path: Path, report_path: Path) -> None:
    """Merge the rows and report what that cost."""
    pipeline = dlt.pipeline(
        "costs", destination=dlt.destinations.postgres(credentials=url), dataset_name="costs"
    )
    merging, reading = Clock(), Clock()
    accounts = read(rows_path, reading)
    exact = {name: {"data_type": "decimal", "precision": PRECISION, "scale": SCALE} for name in AMOUNTS}
    merge = {"table_name": "daily_costs", "write_disposition": "merge", "primary_key": KEY}
    merging.start()
    if way == "arrow":
        pipeline.run(tables(accounts), loader_file_format="csv", **merge)
    else:
        pipeline.run(accounts, columns=exact, **merge)
    merging.stop()
    report = {
        "cpu_seconds": merging.cpu_seconds - reading.cpu_seconds,
        "wall_seconds": merging.wall_seconds - reading.wall_seconds,
        "reading_cpu_seconds": reading.cpu_seconds,
        "reading_wall_seconds": reading.wall_seconds,
        "version": importlib.metadata.version("dlt"),
    }
    report_path.write_text(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
