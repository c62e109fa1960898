"""The rows that a second of CPU collects and stores, against a `dlt` merge of the same rows."""

import json
from pathlib import Path

from benchmarks import plain_way
from benchmarks.collect.bench import Bench, median
from benchmarks.collect.dlt_runs import DltMissing, Merge, dlt_python, merge
from benchmarks.collect.per_account import body_of
from benchmarks.collect.stage import ROWS_PER_ACCOUNT
from benchmarks.collect.targets import Result


def against_dlt(bench: Bench) -> list[Result]:
    """Measure rows per CPU second, client and server together, on unchanged rows.

    costbatch fetches and judges them too; dlt is given them ready, and its start-up is not counted. The
    ratio is to dlt's default way; the parts also tell of its fast way by Arrow tables.
    """
    try:
        python = dlt_python(bench)
    except DltMissing as missing:
        return [Result("dlt", None, skipped=str(missing))]
    path = bench.stage.folder / "rows.jsonl"
    _write_rows(bench, path)
    ours = ROWS_PER_ACCOUNT / (bench.client_seconds + bench.server_seconds)
    rows = bench.sizes.dlt * ROWS_PER_ACCOUNT
    default, arrow = (_merges(bench, python, way, path) for way in ("rows", "arrow"))
    theirs, fast = (rows / median(map(_cpu, merges)) for merges in (default, arrow))
    parts = {
        "rows_per_cpu_second": ours,
        "dlt_rows_per_cpu_second": theirs,
        "rows_per_second": ROWS_PER_ACCOUNT / bench.wall_seconds,
        "dlt_rows_per_second": rows / median(each.wall_seconds for each in default),
        "dlt_arrow_rows_per_cpu_second": fast,
        "dlt_arrow_rows_per_second": rows / median(each.wall_seconds for each in arrow),
        "ratio_to_dlt_arrow": ours / fast,
    }
    return [Result("dlt", ours / theirs, parts)]


def _merges(bench: Bench, python: Path, way: str, path: Path) -> list[Merge]:
    """Let dlt load the rows once and merge them again each round; return the merges."""
    url = bench.stage.server.create_database(f"dlt-{way}")
    merges = [merge(bench.stage, python, way, url=url, rows_path=path) for _ in range(bench.sizes.rounds + 1)]
    return merges[1:]


def _cpu(merged: Merge) -> float:
    return merged.cpu_seconds + merged.process.server_seconds


def _write_rows(bench: Bench, path: Path) -> None:
    answer = json.loads(body_of(bench, 0))
    with path.open("w") as file:
        for number in range(bench.sizes.dlt):
            rows = list(plain_way.rows_of(f"{number:012d}", answer))
            file.write(json.dumps(rows, default=str) + "\n")
