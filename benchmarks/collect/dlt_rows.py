"""The rows that a second of CPU collects and stores, against a `dlt` merge of the same rows."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from benchmarks import plain_way
from benchmarks.collect.bench import Bench, median
from benchmarks.collect.per_account import body_of
from benchmarks.collect.processes import ROOT, clean_environment, run
from benchmarks.collect.stage import ROWS_PER_ACCOUNT
from benchmarks.collect.targets import Result

_INSTALL_SECONDS = 600


def against_dlt(bench: Bench) -> list[Result]:
    """Measure rows per CPU second, client and server together, on unchanged rows.

    costbatch fetches and judges them too; dlt is given them ready, and its start-up is not counted.
    """
    try:
        python = bench.dlt_python or _python_with_dlt(bench)
    except (OSError, subprocess.SubprocessError):
        return [Result("dlt", None, skipped="dlt could not be installed, for want of a package index.")]
    if python is None:
        return [Result("dlt", None, skipped="dlt is not installed for a smoke test; --dlt-python names one.")]
    ours = bench.client_seconds + bench.server_seconds
    rounds = _merges(bench, python)
    merged = len(rounds[0]) and bench.sizes.dlt * ROWS_PER_ACCOUNT
    cpu, wall = median(each["cpu"] for each in rounds), median(each["wall"] for each in rounds)
    parts = {
        "rows_per_cpu_second": ROWS_PER_ACCOUNT / ours,
        "dlt_rows_per_cpu_second": merged / cpu,
        "rows_per_second": ROWS_PER_ACCOUNT / bench.wall_seconds,
        "dlt_rows_per_second": merged / wall,
    }
    return [Result("dlt", parts["rows_per_cpu_second"] / parts["dlt_rows_per_cpu_second"], parts)]


def _python_with_dlt(bench: Bench) -> Path | None:
    """Make an environment of its own for dlt, so that nothing of it gets into costbatch's."""
    if bench.is_smoke:
        return None
    folder = bench.stage.folder / "dlt-environment"
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "dlt[postgres]"]
    for command in ([sys.executable, "-m", "venv", str(folder)], install):
        subprocess.run(command, check=True, timeout=_INSTALL_SECONDS, capture_output=True)
    return python


def _merges(bench: Bench, python: Path) -> list[dict[str, float]]:
    """Let dlt load the rows once and merge them again each round; return CPU and wall of the merges."""
    stage = bench.stage
    path, report = stage.folder / "rows.jsonl", stage.folder / "dlt.json"
    _write_rows(bench, path)
    url = _with_host_in_place(stage.server.create_database("dlt"))
    environ = clean_environment(
        RUNTIME__DLTHUB_TELEMETRY="false",
        RUNTIME__LOG_LEVEL="CRITICAL",
        DLT_DATA_DIR=str(stage.folder / "dlt-data"),
        HOME=str(stage.folder),
    )
    found = []
    for number in range(bench.sizes.rounds + 1):
        before = stage.server.cpu_seconds()
        command = [str(python), str(ROOT / "benchmarks" / "dlt_way.py"), url, str(path), str(report)]
        run(command, environ=environ, folder=stage.folder)
        server = stage.server.cpu_seconds() - before
        merge = json.loads(report.read_text())
        if number:  # the first one makes the table
            found.append({"cpu": merge["cpu_seconds"] + server, "wall": merge["wall_seconds"]})
    return found


def _write_rows(bench: Bench, path: Path) -> None:
    answer = json.loads(body_of(bench, 0))
    with path.open("w") as file:
        for number in range(bench.sizes.dlt):
            for row in plain_way.rows_of(f"{number:012d}", answer):
                file.write(json.dumps(row, default=str) + "\n")


def _with_host_in_place(url: str) -> str:
    """Return the URL as dlt reads it: the host in its place, and a password, which nobody asks for."""
    parts = urlsplit(url)
    host = quote(parse_qs(parts.query)["host"][0], safe="")
    return f"postgresql://postgres:none@{host}{parts.path}"
