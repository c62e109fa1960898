"""What it costs to start: the help text."""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.collect.bench import Bench, median
from benchmarks.collect.processes import clean_environment, run
from benchmarks.collect.targets import Result


def help_text(bench: Bench) -> list[Result]:
    """Measure ``costbatch --help`` against an interpreter that does nothing."""
    script = Path(sys.executable).parent / "costbatch"
    command = [str(script)] if script.exists() else [sys.executable, "-m", "costbatch"]
    shown, bare = _median_cpu(bench, [*command, "--help"], [sys.executable, "-c", "pass"])
    return [Result("help", shown / bare, {"help_ms": shown * 1000, "bare_ms": bare * 1000})]


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
