"""What it costs to start: the help text, and a run that has nothing to do."""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.collect.bench import Bench, median
from benchmarks.collect.processes import clean_environment, run
from benchmarks.collect.targets import Result

# The libraries of a run, with an engine and a client: what a program has loaded that imports at the top.
_EAGER = """
import boto3, click, cryptography.hazmat.primitives.ciphers.aead, prometheus_client, psycopg2, structlog
import sqlalchemy, sqlalchemy.orm, sqlalchemy.dialects.postgresql.psycopg2
sqlalchemy.create_engine("postgresql+psycopg2://localhost/none")
boto3.Session("a", "b", region_name="us-east-1").client("ce")
"""


def help_text(bench: Bench) -> list[Result]:
    """Measure ``costbatch --help`` against an interpreter that does nothing."""
    script = Path(sys.executable).parent / "costbatch"
    command = [str(script)] if script.exists() else [sys.executable, "-m", "costbatch"]
    shown, bare = _median_cpu(bench, [*command, "--help"], [sys.executable, "-c", "pass"])
    return [Result("help", shown / bare, {"help_ms": shown * 1000, "bare_ms": bare * 1000})]


def set_up(bench: Bench) -> list[Result]:
    """Measure a run without accounts against importing everything."""
    database = bench.testbed.database("no-accounts", 0)
    rounds = max(bench.sizes.rounds, bench.sizes.starts // 2)
    run_seconds = median(bench.collect(database, 0).client_seconds for _ in range(rounds))
    (eager,) = _median_cpu(bench, [sys.executable, "-c", _EAGER])
    return [Result("set_up", run_seconds / eager, {"run_ms": run_seconds * 1000, "eager_ms": eager * 1000})]


def _median_cpu(bench: Bench, *commands: Sequence[str]) -> list[float]:
    """Run the commands in turns, so that neighbours slow all of them; return the CPU seconds of each."""
    with TemporaryDirectory(prefix="benchmark-") as folder:
        rounds = [
            [
                run(command, environ=clean_environment(), folder=Path(folder)).cpu_seconds
                for command in commands
            ]
            for _ in range(bench.sizes.starts)
        ]
    return [median(each) for each in zip(*rounds, strict=True)]
