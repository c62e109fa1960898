"""dlt under measurement: an environment of its own, and merges of a file of rows."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from benchmarks.collect.bench import Bench
from benchmarks.collect.processes import ROOT, clean_environment
from benchmarks.collect.scripts import run_script
from benchmarks.collect.testbed import Reading, Testbed

WAYS = ("rows", "arrow")
PACKAGE = "dlt[postgres,parquet]"
_INSTALL_SECONDS = 600


class DltMissing(Exception):  # noqa: N818 - it reads as what happened
    """There is no dlt to compare with; the message says why."""


@dataclass(frozen=True, slots=True)
class Merge:
    """What one merge cost.

    process: the whole process without reading the rows. cpu_seconds, wall_seconds: the pipeline's run alone.
    """

    process: Reading
    cpu_seconds: float
    wall_seconds: float
    version: str


def dlt_python(bench: Bench) -> Path:
    """Return a Python that has dlt: the one that was named, or one that is made once and kept in `.cache`.

    Raises:
        DltMissing: none was named for a smoke test, or it cannot be installed.

    """
    if bench.dlt_python:
        return bench.dlt_python
    if bench.is_smoke:
        raise DltMissing("dlt is not installed for a smoke test; --dlt-python names one.")
    folder = ROOT / ".cache" / f"benchmark-dlt-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if not _works(python):
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder, python)
    return python


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    found = subprocess.run(
        [str(python), "-c", "import dlt, psycopg2, pyarrow"], check=False, capture_output=True
    )
    return found.returncode == 0


def _install(folder: Path, python: Path) -> None:
    print(f"Installing dlt in {folder.relative_to(ROOT)} (once) ...", file=sys.stderr, flush=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]
    try:
        for command in ([sys.executable, "-m", "venv", str(folder)], install):
            subprocess.run(command, check=True, timeout=_INSTALL_SECONDS, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        raise DltMissing(f"dlt could not be installed: {' '.join(reason) or 'no reason given'}") from error


def merge(testbed: Testbed, python: Path, way: str, *, url: str, rows_path: Path) -> Merge:
    """Let dlt merge the rows of a file into a database."""
    report = testbed.folder / "dlt.json"
    environ = clean_environment(
        RUNTIME__DLTHUB_TELEMETRY="false",
        RUNTIME__LOG_LEVEL="CRITICAL",
        # What dlt remembers of one database must not meet another one.
        DLT_DATA_DIR=str(testbed.folder / f"dlt-data{urlsplit(url).path}"),
        HOME=str(testbed.folder),
    )
    arguments = [way, _with_host_in_place(url), str(rows_path), str(report)]
    whole = run_script(testbed, "dlt_way.py", *arguments, environ=environ, python=python)
    told = json.loads(report.read_text())
    process = Reading(
        client_seconds=whole.client_seconds - told["reading_cpu_seconds"],
        server_seconds=whole.server_seconds,
        wall_seconds=whole.wall_seconds - told["reading_wall_seconds"],
        wal_bytes=whole.wal_bytes,
        memory_bytes=whole.memory_bytes,
    )
    return Merge(process, told["cpu_seconds"], told["wall_seconds"], told["version"])


def _with_host_in_place(url: str) -> str:
    """Return the URL as dlt reads it: the host in its place, and a password, which nobody asks for."""
    parts = urlsplit(url)
    host = quote(parse_qs(parts.query)["host"][0], safe="")
    return f"postgresql://postgres:none@{host}{parts.path}"
