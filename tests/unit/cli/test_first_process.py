"""SIGTERM for the first process of a container."""

import signal
import subprocess
import sys

import pytest

_CHILD = """
import os, sys, time
os.getpid = lambda: {pid}
from costbatch.cli.first_process import end_on_sigterm
end_on_sigterm()
print("ready", flush=True)
time.sleep(30)
"""


@pytest.mark.parametrize(("pid", "status"), [(1, 143), (2, -signal.SIGTERM)])
def test_the_first_process_ends_on_sigterm_by_itself(pid: int, status: int) -> None:
    """For the first process the kernel would ignore the signal; any other keeps the kernel's way."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD.format(pid=pid)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.terminate()
        assert child.wait(timeout=10) == status
