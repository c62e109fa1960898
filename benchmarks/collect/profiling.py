"""Where the time goes: cProfile of the main thread and of the workers, and the backend's CPU by statement.

Used inside the measured process when the benchmark asks for it; `show` prints what it left behind. The
profiler makes small functions look several times dearer than they are: compare like with like.
"""

import cProfile
import json
import pstats
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

MAIN, WORKERS, STATEMENTS = "main.pstats", "workers.pstats", "statements.json"
_TOP = 22
_statements: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])


@contextmanager
def profiled(folder: Path) -> Iterator[None]:
    """Profile every thread by its CPU time, and the server by statement, and write both to the folder."""
    connect, run = psycopg2.connect, threading.Thread.run
    psycopg2.connect = _metered_connect(connect)
    workers: list[cProfile.Profile] = []
    # From Python 3.12 on only one thread at a time can be profiled.
    if sys.version_info < (3, 12):
        threading.Thread.run = _profiled_run(run, workers)  # type: ignore[method-assign,assignment]
    profile = cProfile.Profile(time.thread_time)
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        psycopg2.connect = connect
        profile.dump_stats(folder / MAIN)
        _dump_together(workers, folder / WORKERS)
        (folder / STATEMENTS).write_text(json.dumps(_statements))


def show(folder: Path, accounts: int) -> None:
    """Print the top of what a profiled run left behind, each in milliseconds per account."""
    for name in (MAIN, WORKERS):
        if (folder / name).exists():
            _show_stats(pstats.Stats(str(folder / name)), name, accounts)
    statements = json.loads((folder / STATEMENTS).read_text())
    total = sum(seconds for _, seconds in statements.values())
    print(f"\nServer, {total * 1000 / accounts:.2f} ms per account; by statement: ms per account, calls")
    for statement, (calls, seconds) in sorted(statements.items(), key=lambda item: -item[1][1])[:_TOP]:
        print(f"  {seconds * 1000 / accounts:8.3f}  {calls / accounts:6.2f}  {statement}")


def _show_stats(stats: pstats.Stats, name: str, accounts: int) -> None:
    entries: dict[tuple[str, int, str], Any] = stats.stats  # type: ignore[attr-defined]
    total = sum(entry[2] for entry in entries.values())
    for title, place in (("own time", 2), ("with what it calls", 3)):
        print(f"\n{name}, {total * 1000 / accounts:.2f} ms per account; {title}: ms per account, calls")
        top = sorted(entries.items(), key=lambda item: -item[1][place])[: _TOP if place == 2 else 2 * _TOP]
        for (file, line, function), entry in top:
            where = f"{'/'.join(Path(file).parts[-3:])}:{line} " if line else ""
            print(f"  {entry[place] * 1000 / accounts:8.3f}  {entry[1] / accounts:6.2f}  {where}{function}")


def _profiled_run(
    run: Callable[[threading.Thread], None], profiles: list[cProfile.Profile]
) -> Callable[[threading.Thread], None]:
    def profiled_run(thread: threading.Thread) -> None:
        profile = cProfile.Profile(time.thread_time)
        profiles.append(profile)
        profile.enable()
        try:
            run(thread)
        finally:
            profile.disable()

    return profiled_run


def _dump_together(profiles: list[cProfile.Profile], path: Path) -> None:
    together: pstats.Stats | None = None
    for profile in profiles:
        # A thread that did nothing has no statistics to add.
        if profile.getstats():
            together = pstats.Stats(profile) if together is None else together.add(profile)
    if together is not None:
        together.dump_stats(path)


def _metered_connect(connect: Callable[..., Any]) -> Callable[..., Any]:
    def metered(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - psycopg2's own signature
        return connect(*args, **{**options, "connection_factory": _MeteredConnection})

    return metered


class _MeteredConnection(psycopg2.extensions.connection):  # type: ignore[misc] # psycopg2 has no types
    """Counts the CPU of its backend by statement."""

    def cursor(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
        return super().cursor(*args, **{"cursor_factory": _MeteredCursor, **options})

    def commit(self) -> None:
        with _meter(self, "COMMIT"):
            super().commit()

    def rollback(self) -> None:
        with _meter(self, "ROLLBACK"):
            super().rollback()


class _MeteredCursor(psycopg2.extensions.cursor):  # type: ignore[misc] # as above
    """Counts the CPU of each statement."""

    def execute(self, query: Any, *args: Any) -> None:  # noqa: ANN401 - as above
        with _meter(self.connection, str(query)):
            super().execute(query, *args)

    def copy_expert(self, query: Any, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as above
        with _meter(self.connection, str(query)):
            super().copy_expert(query, *args, **options)


@contextmanager
def _meter(connection: Any, statement: str) -> Iterator[None]:  # noqa: ANN401 - as above
    clock = (~connection.info.backend_pid << 3) | 2  # Linux: the CPU clock of another process
    before = time.clock_gettime(clock)
    try:
        yield
    finally:
        entry = _statements[" ".join(statement.split())[:110]]
        entry[0] += 1
        entry[1] += time.clock_gettime(clock) - before
