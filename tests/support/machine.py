"""What tests need from the machine: programs, a free port, another Python process."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest


def program(*names: str, path: str | None = None) -> str:
    """Return the path of the first of these programs, on PATH or ``path``; else see ``unavailable``."""
    place = next((found for name in names if (found := shutil.which(name, path=path))), None)
    if place is None:
        unavailable(f"{names[0]} is not installed on this machine.")
    return place


def unavailable(sentence: str) -> NoReturn:
    """Skip the test; in CI, which has every program, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


def free_port() -> int:
    """Return a loopback port with no listener."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def run_python(code: str, *arguments: str) -> str:
    """Return what code prints in a process of its own, which must exit with 0."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@contextmanager
def unmeasured_children() -> Iterator[None]:
    """Do not measure the coverage of processes that are started in the block: it slows them down by half.

    For suites that start the whole program many times; other tests cover the same lines.
    """
    # By this coverage finds its configuration in a child.
    measuring = os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    try:
        yield
    finally:
        if measuring is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = measuring
