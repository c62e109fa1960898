"""Starts commands as forks of a process that has imported the program: importing takes longer than most runs.

    process = fork_server().start(["collect"], environ, stdout=PIPE, stderr=PIPE)
    stdout, stderr = process.communicate(timeout=60)

A fork has its own environment, streams and signals, and ends as a process of its own does.
If the rule is about the interpreter or the imports, use ``Harness.start_python``.
"""

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Self, TextIO

from tests.support import command
from tests.support.machine import unmeasured_children

_ROOT = Path(__file__).resolve().parents[2]
# More than the command line and the environment of any test.
_MOST_BYTES = 1 << 17
_NUMBER_BYTES = 4
_kept: list[TextIO] = []
# What commands import when they need it.
_LATE_IMPORTS = (
    "costbatch.bootstrap",
    "costbatch.cli.collect",
    "costbatch.adapters.aws.cost_explorer.source",
    "costbatch.adapters.aws.inventory.source",
)


class Process:
    """A started command, with those members of ``subprocess.Popen`` that tests use."""

    def __init__(self, server: socket.socket, stdout: int | None, stderr: int | None) -> None:
        self._server = server
        self.pid = _receive(server)
        self.stdout = None if stdout is None else os.fdopen(stdout, encoding="utf-8")
        self.stderr = None if stderr is None else os.fdopen(stderr, encoding="utf-8")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or minus the signal that ended it; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the status; raise ``subprocess.TimeoutExpired`` after these seconds."""
        if self.returncode is None:
            self._server.settimeout(timeout)
            try:
                self.returncode = _receive(self._server)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("costbatch", timeout or 0) from None
            self._server.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end and return what it printed; end it if it takes longer than these seconds."""
        with ThreadPoolExecutor(2) as readers:
            printed = [readers.submit(each.read) if each else None for each in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            finally:
                self.kill()
        self._close_streams()
        stdout, stderr = (each.result() if each else "" for each in printed)
        return stdout, stderr

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            # It may end between the question and the signal.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, if it still runs."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        self._close_streams()

    def _close_streams(self) -> None:
        for stream in (self.stdout, self.stderr):
            if stream:
                stream.close()


class ForkServer:
    """The process that forks."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, unmeasured_children():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
                cwd=_ROOT,
                pass_fds=[theirs.fileno()],
            )

    def close(self) -> None:
        """End it; forks that still run go on."""
        self._requests.close()
        self._process.wait()

    def start(self, args: Sequence[str], environ: Mapping[str, str], *, stdout: int, stderr: int) -> Process:
        """Start a command without input. Streams are given as to ``subprocess.Popen``."""
        with ExitStack() as closing:
            null = os.open(os.devnull, os.O_RDWR)
            closing.callback(os.close, null)
            theirs, ours = [null], list[int | None]()
            for stream in (stdout, stderr):
                reading, writing = os.pipe() if stream == PIPE else (None, stream)
                if reading is not None:
                    closing.callback(os.close, writing)
                ours.append(reading)
                theirs.append({DEVNULL: null, STDOUT: theirs[-1]}.get(writing, writing))
            return self._fork(args, environ, theirs, ours)

    def start_on(self, terminal: int, args: Sequence[str], environ: Mapping[str, str]) -> Process:
        """Start a command whose three streams are a terminal that is its own, as a shell does."""
        return self._fork(args, environ, [terminal], [None, None])

    def _fork(
        self,
        args: Sequence[str],
        environ: Mapping[str, str],
        theirs: Sequence[int],
        ours: Sequence[int | None],
    ) -> Process:
        request = json.dumps({"args": args, "environ": environ}).encode()
        here, there = socket.socketpair()
        with there:
            socket.send_fds(self._requests, [request], [there.fileno(), *theirs])
        return Process(here, *ours)


@cache
def fork_server() -> ForkServer:
    """Return the one of this process, which ends with it."""
    server = ForkServer()
    atexit.register(server.close)
    return server


def _receive(sender: socket.socket) -> int:
    return int.from_bytes(sender.recv(_NUMBER_BYTES), signed=True)


def _send(receiver: socket.socket, number: int) -> None:
    # A test that failed may have closed it.
    with suppress(BrokenPipeError):
        receiver.sendall(number.to_bytes(_NUMBER_BYTES, signed=True))


def _serve(requests: socket.socket) -> None:
    """Fork for each request, and tell its pid and later its status. Return in the fork."""
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready, _, _ = select.select([requests.fileno(), *running], [], [])
        for ended in running.keys() & set(ready):
            pid, receiver = running.pop(ended)
            os.close(ended)
            with receiver:
                _send(receiver, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        if requests.fileno() not in ready:
            continue
        request, fds, _, _ = socket.recv_fds(requests, _MOST_BYTES, 4)
        if not request:
            sys.exit()
        receiver = socket.socket(fileno=fds[0])
        pid = os.fork()
        if not pid:
            for fd, (_, other) in running.items():
                os.close(fd)
                other.close()
            requests.close()
            receiver.close()
            _become(**json.loads(request), streams=fds[1:])
            return
        for fd in fds[1:]:
            os.close(fd)
        _send(receiver, pid)
        running[os.pidfd_open(pid)] = pid, receiver


def _become(*, args: Sequence[str], environ: Mapping[str, str], streams: Sequence[int]) -> None:
    """Give this process the command line, the environment and the streams of a command."""
    sys.argv[1:] = args
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    if len(streams) == 1:
        os.login_tty(streams[0])
    else:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
    # The objects know whether their stream is a terminal.
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    # As sys.__stderr__ in a process of its own: closed with its last reference, it would close the stream.
    _kept.append(sys.stderr)


def main() -> None:
    """Import the program, serve, and run the command line in each fork."""
    for name in _LATE_IMPORTS:
        importlib.import_module(name)
    # So that a fork's first collection copies no page.
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    command.run()


if __name__ == "__main__":
    main()
