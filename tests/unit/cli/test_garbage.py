"""Garbage collection: it must not cost a start or an end what it cannot bring in."""

from tests.support.machine import run_python

_ENDING = """
import atexit, gc, sys

def tell():
    print(gc.get_threshold()[0] > 150_000, gc.get_freeze_count() > 10_000, len(gc.get_objects()) < 10_000)

atexit.register(tell)  # the first to be registered is the last to be called
from costbatch.cli import main
sys.argv = ["costbatch", "--version"]
main()
"""


def test_nothing_is_looked_through_for_garbage_when_the_program_ends() -> None:
    """Python would walk three times through all that was imported, only to throw it away afterwards."""
    assert run_python(_ENDING).splitlines()[1:] == ["True True True"]
