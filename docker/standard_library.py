"""Compiles what costbatch imports of the standard library: `python standard_library.py FOLDER`.

Base images come without bytecode, and that of the whole standard library would be several times as much.
Below FOLDER each file gets the path at which Python looks for it.
"""

# ruff: noqa: INP001 - a script of the Dockerfile, which nobody imports

import pkgutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib import import_module
from importlib.util import cache_from_source
from pathlib import Path
from py_compile import PycInvalidationMode
from py_compile import compile as compile_file

from botocore.session import get_session

import costbatch

# These need the demo extra, start the program, or are Alembic's scripts.
NOT_IMPORTED = ("costbatch.demo", "costbatch.simulator", "costbatch.__main__", "costbatch._migrations")
# What is imported only on the way, once there is something to do.
ON_THE_WAY = (
    "alembic.command",
    "encodings.idna",
    "logging.config",
    "sqlalchemy.dialects.postgresql.psycopg2",
)


def import_everything() -> None:
    """Load what a start and a run of the program load."""
    for module in pkgutil.walk_packages(costbatch.__path__, "costbatch."):
        if not module.name.startswith(NOT_IMPORTED):
            import_module(module.name)
    for name in ON_THE_WAY:
        import_module(name)
    session = get_session()
    for service in session.get_available_services():  # those that prune.py leaves
        session.create_client(service, region_name="us-east-1")


def loaded_of_standard_library() -> Iterator[Path]:
    """Return the source files of the standard library's modules that are loaded."""
    folder = sysconfig.get_path("stdlib")
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and file.endswith(".py") and Path(file).is_relative_to(folder):
            yield Path(file)


def main(target: Path) -> None:
    """Load everything, then compile what that took."""
    import_everything()
    for source in sorted(loaded_of_standard_library()):
        compiled = target / cache_from_source(str(source)).removeprefix("/")
        compile_file(
            str(source),
            cfile=str(compiled),
            dfile=str(source),
            doraise=True,
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
