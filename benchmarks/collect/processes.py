"""Client processes and what they cost; and which core each part of the benchmark runs on."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]


class ProcessFailed(Exception):  # noqa: N818 - it reads as what happened
    """A measured process ended with an error; the message holds the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one client process cost."""

    cpu_seconds: float
    wall_seconds: float


class Client:
    """A process under measurement, from its start to its end. What it prints goes to a file, as in a pod."""

    def __init__(self, command: Sequence[str], *, environ: Mapping[str, str], log: IO[bytes]) -> None:
        self._log = log
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            command, env=environ, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )

    def wait(self) -> Usage:
        """Wait for the end and return what it cost.

        Raises:
            ProcessFailed: its exit status was not 0.

        """
        _, status, used = os.wait4(self._process.pid, 0)
        wall = time.monotonic() - self._began
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if status:
            raise ProcessFailed(f"{self._process.args!r} ended with {status}:\n{self._last_words()}")
        return Usage(used.ru_utime + used.ru_stime, wall)

    def close(self) -> None:
        """End the process where an error or an interruption left it running."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        self._log.seek(max(0, self._log.tell() - 3000))
        return self._log.read().decode(errors="replace")


def run(command: Sequence[str], *, environ: Mapping[str, str], folder: Path) -> Usage:
    """Run a process to its end and return what it cost."""
    with (folder / "client.log").open("w+b") as log:
        client = Client(command, environ=environ, log=log)
        with contextlib.closing(client):
            return client.wait()


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without settings of AWS and costbatch, and with ``more``."""
    # Without the last one a start would compile all of costbatch anew; the image holds bytecode.
    left_out = (
        "AWS_",
        "COSTBATCH_",
        "DATABASE_URL",
        "ENCRYPTION_KEY",
        "PUSHGATEWAY_URL",
        "PYTHONDONTWRITEBYTECODE",
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return inherited | {"NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT)} | more


def cores() -> tuple[int, int] | None:
    """Return the core of the clients and the one of all servers; None where they cannot be told apart."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[-1]) if len(available) > 1 else None


@contextlib.contextmanager
def clients_on_their_core() -> Iterator[int | None]:
    """Keep this process, and so its clients, on one core until the end; yield the servers' core."""
    pair = cores()
    if pair is None:
        yield None
        return
    with _on_cores({pair[0]}):
        yield pair[1]


@contextlib.contextmanager
def clients_on_every_core(pids: Sequence[int]) -> Iterator[None]:
    """Let this process, and so its clients, run where these processes run too, until the end."""
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    with _on_cores(set().union(*(os.sched_getaffinity(pid) for pid in (0, *pids)))):
        yield


@contextlib.contextmanager
def _on_cores(chosen: set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move_to_core(core: int, pids: Sequence[int]) -> None:
    """Move processes with all their threads; what they start from then on follows."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            # A thread or a backend may just have ended.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), {core})
