"""The stand-in for the official image of PostgreSQL: its start, without a container."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from costbatch.demo.postgres import EmbeddedPostgres

ENTRYPOINT = Path(__file__).resolve().parents[2] / "docker" / "postgres" / "entrypoint"
# Stands for the server. Kills the start before it makes the database, if asked; serves one question only.
_SERVER = """#!/bin/sh
if [ "$1" = --single ]; then
    [ -z "${KILLED:-}" ] || { kill -KILL "$PPID"; exit; }
    exec "$PROGRAMS/postgres" "$@"
fi
echo "SELECT 'found ' || current_database()" | exec "$PROGRAMS/postgres" --single -D "$PGDATA" costbatch
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that another user may enter."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_a_start_that_was_killed_before_the_database_was_made_is_repeated(
    postgres: EmbeddedPostgres, folder: Path
) -> None:
    """The data of half a start are not taken for those of a whole one."""
    shutil.copy(ENTRYPOINT, folder)
    server = folder / "bin" / "postgres"
    server.parent.mkdir()
    server.write_text(_SERVER)
    server.chmod(0o755)
    process = postgres._server.get_postmaster_info().process
    programs = str(Path(process.exe()).parent)
    environ = {
        "PATH": os.pathsep.join([str(server.parent), programs, os.environ["PATH"]]),
        "PROGRAMS": programs,
        "PGDATA": str(folder / "data"),
        "POSTGRES_USER": "costbatch",
        "POSTGRES_PASSWORD": "only-here",
    }

    def start(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", folder / "entrypoint"],
            env=environ | more,
            # PostgreSQL refuses to run as root.
            user=process.uids().real if os.geteuid() == 0 else None,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert start(KILLED="yes").returncode == -signal.SIGKILL
    for _ in range(2):
        assert "found costbatch" in start().stdout
