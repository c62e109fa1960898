"""The command line with the clock of a harness: what ``Harness.start`` runs in a process of its own.

Import nothing that the program itself does not: dozens of tests start it many times.
"""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic

from costbatch.cli import main
from costbatch.cli.context import Context

NOW = "TEST_NOW"


def clock_from(start: datetime, began: float) -> Callable[[], datetime]:
    """Return a clock that showed ``start`` when every process's monotonic clock showed ``began``."""
    return lambda: start + timedelta(seconds=monotonic() - began)


def run() -> None:
    """Run the command line with the time that the environment names."""
    start, began = os.environ[NOW].split()
    clock = clock_from(datetime.fromisoformat(start), float(began))
    main(Context(now=clock))


if __name__ == "__main__":
    run()
