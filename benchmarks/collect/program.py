"""The measured process: the real command line, with the benchmark's day, that reports its memory at the end.

Run by the benchmark only: `python -m benchmarks.collect.program collect`.
"""

import os
from contextlib import nullcontext
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic

from benchmarks.collect.metered import peak_memory
from costbatch import cli
from costbatch.cli.context import Context

# On the last day of March a first load of no whole month before it reads the 30 days that every run reads.
TODAY = date(2025, 3, 31)
CLOCK = "BENCHMARK_CLOCK"
MEMORY = "BENCHMARK_MEMORY"
PROFILE = "BENCHMARK_PROFILE"
DAYS_LATER = "BENCHMARK_DAYS_LATER"


def main() -> None:
    """Run the command line."""
    # The machine's monotonic clock at the start of the benchmark: all its processes tell the same time.
    began, morning = float(os.environ[CLOCK]), datetime.combine(TODAY, time(6, 30), tzinfo=UTC)
    morning += timedelta(days=int(os.environ.get(DAYS_LATER, "0")))
    context = Context(now=lambda: morning + timedelta(seconds=monotonic() - began))
    folder = os.environ.get(PROFILE)
    if folder:
        from benchmarks.collect.profiling import profiled  # noqa: PLC0415 - what is measured must not load it
    try:
        with profiled(Path(folder)) if folder else nullcontext():
            cli.main(context)
    finally:
        Path(os.environ[MEMORY]).write_text(str(peak_memory()))


if __name__ == "__main__":
    main()
