"""The rows that a second of CPU collects and stores, against a `dlt` merge of the same rows."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import plain_way
from benchmarks.collect.bench import Bench, Marginal, median
from benchmarks.collect.dlt_runs import DltMissing, Merge, dlt_python, merge
from benchmarks.collect.per_account import body_of
from benchmarks.collect.targets import Result
from benchmarks.collect.testbed import ROWS_PER_ACCOUNT


def against_dlt(bench: Bench) -> list[Result]:
    """Measure rows per CPU second, client and server together, on unchanged rows.

    costbatch fetches and judges them too; dlt is given them ready, and its start-up is not counted. The
    ratio is to dlt's default way; the parts also tell of its fast way by Arrow tables.
    """
    try:
        python = dlt_python(bench)
    except DltMissing as missing:
        return [Result("dlt", None, skipped=str(missing))]
    path = bench.testbed.folder / "rows.jsonl"
    _write_rows(bench, path)
    rows = bench.sizes.dlt * ROWS_PER_ACCOUNT
    rounds = bench.beside(_merging(bench, python, "rows", path))
    arrows = bench.beside(_merging(bench, python, "arrow", path))
    parts = {
        "rows_per_cpu_second": median(map(_ours, rounds)),
        "dlt_rows_per_cpu_second": median(rows / _cpu(merged) for _, merged in rounds),
        "rows_per_second": median(ROWS_PER_ACCOUNT / marginal.wall_seconds for marginal, _ in rounds),
        "dlt_rows_per_second": median(rows / merged.wall_seconds for _, merged in rounds),
        "dlt_arrow_rows_per_cpu_second": median(rows / _cpu(merged) for _, merged in arrows),
        "dlt_arrow_rows_per_second": median(rows / merged.wall_seconds for _, merged in arrows),
        "ratio_to_dlt_arrow": _ratio(arrows, rows),
    }
    return [Result("dlt", _ratio(rounds, rows), parts)]


def _merging(bench: Bench, python: Path, way: str, path: Path) -> Callable[[], Merge]:
    """Let dlt load the rows once; return what merges them again."""
    url = bench.testbed.server.create_database(f"dlt-{way}")
    work = partial(merge, bench.testbed, python, way, url=url, rows_path=path)
    work()
    return work


def _ratio(rounds: Sequence[tuple[Marginal, Merge]], rows: int) -> float:
    return median(_ours(each) * _cpu(each[1]) / rows for each in rounds)


def _ours(measured: tuple[Marginal, Merge]) -> float:
    """Return the rows that costbatch collects and stores in a second of CPU."""
    marginal, _ = measured
    return ROWS_PER_ACCOUNT / (marginal.client_seconds + marginal.server_seconds)


def _cpu(merged: Merge) -> float:
    return merged.cpu_seconds + merged.process.server_seconds


def _write_rows(bench: Bench, path: Path) -> None:
    answer = json.loads(body_of(bench, 0))
    with path.open("w") as file:
        for number in range(bench.sizes.dlt):
            rows = list(plain_way.rows_of(f"{number:012d}", answer))
            file.write(json.dumps(rows, default=str) + "\n")
