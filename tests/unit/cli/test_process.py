"""What the process prepares: SIGTERM in a container, and garbage collection."""

import signal
import subprocess
import sys

import pytest

from tests.support.machine import run_python

_CHILD = """
import os, sys, time
os.getpid = lambda: {pid}
from costbatch.cli.process import prepare_process
prepare_process()
print("ready", flush=True)
time.sleep(30)
"""
_EXIT = """
import atexit, gc, sys

def report():
    print(gc.get_threshold()[0] > 150_000, gc.get_freeze_count() > 10_000, len(gc.get_objects()) < 10_000)

atexit.register(report)  # the first to be registered is the last to be called
from costbatch.cli import main
sys.argv = ["costbatch", "--version"]
main()
"""


@pytest.mark.parametrize(("pid", "status"), [(1, 143), (2, -signal.SIGTERM)])
def test_the_first_process_ends_on_sigterm_by_itself(pid: int, status: int) -> None:
    """For the first process the kernel ignores the signal; any other keeps its default."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD.format(pid=pid)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.terminate()
        assert child.wait(timeout=10) == status


def test_no_garbage_is_collected_at_exit() -> None:
    """Python would walk three times through everything that was imported, only to discard it afterwards."""
    assert run_python(_EXIT).splitlines()[1:] == ["True True True"]
