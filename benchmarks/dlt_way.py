"""Merges rows with `dlt`, to compare with: `python dlt_way.py DATABASE_URL ROWS.jsonl REPORT.json`.

Runs in an environment that has dlt and nothing of costbatch. Loading dlt and reading the rows is not counted.
"""

import json
import sys
import time
from decimal import Decimal
from pathlib import Path

import dlt  # type: ignore[import-not-found] # the benchmark installs it in an environment of its own

KEY = ["account_id", "usage_date", "service", "record_type"]
AMOUNTS = ["unblended", "amortized", "net_unblended", "net_amortized", "usage_quantity"]


def main(url: str, rows_path: Path, report_path: Path) -> None:
    """Merge the rows and report what that cost."""
    with rows_path.open() as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        row.update({name: Decimal(row[name]) for name in AMOUNTS})
    pipeline = dlt.pipeline(
        "costs", destination=dlt.destinations.postgres(credentials=url), dataset_name="costs"
    )
    cpu, wall = time.process_time(), time.monotonic()
    pipeline.run(rows, table_name="daily_costs", write_disposition="merge", primary_key=KEY)
    used = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - wall}
    report_path.write_text(json.dumps(used))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
