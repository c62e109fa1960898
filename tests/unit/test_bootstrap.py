"""What is loaded to make a nightly run."""

from tests.support.machine import run_python

_WIRED = """
import sys
from threading import Event
import costbatch.cli.collect
from costbatch.cli.context import Context

context = Context(environ={"DATABASE_URL": "postgresql://nobody@localhost/none", "ENCRYPTION_KEY": "5b" * 32})
context.bootstrap().collect(stop=Event(), display=None)
print(sorted(set(sys.argv[1:]) & set(sys.modules)))
"""

_NOT_NEEDED = ("alembic", "boto3", "botocore")


def test_a_run_loads_nothing_that_it_does_not_need() -> None:
    """Botocore is loaded for the first account, and Alembic for commands that change the schema."""
    assert run_python(_WIRED, *_NOT_NEEDED) == "[]\n"
