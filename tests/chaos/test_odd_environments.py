"""The command where little is as usual: no PATH, no HOME, a nameless user, closed streams, ASCII only."""

import os
import site
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from costbatch.demo.postgres import EmbeddedPostgres
from tests.support.fork_server import fork_server
from tests.support.harness import Finished, Harness, make_account, wait_for

pytestmark = pytest.mark.slow

_NAME = "Zürich, 東京 ☂"
_NOBODY = 65532
_ROOT = Path(__file__).resolve().parents[2]
# These print the name.
_NAMING = [["collect"], ["collect", "--output", "json"], ["accounts", "list"]]
_COMMANDS = [["db", "check"], ["config"], *_NAMING]


@pytest.fixture
def today(harness: Harness) -> Harness:
    """Open an account with a foreign name, at the real time: these tests start the real command."""
    harness.open(make_account(1, name=_NAME))
    harness.wake_at(datetime.now(UTC))
    harness.aws.set_today(None)
    return harness


def _start(harness: Harness, *args: str, environ: Mapping[str, str], **options: Any) -> subprocess.Popen[str]:
    streams: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    command = [environ.get("PYTHON", sys.executable), "-P", "-m", "costbatch", *args]
    whole = {**harness.environ, **environ}
    return subprocess.Popen(command, env=whole, encoding="utf-8", errors="replace", **{**streams, **options})


def _run(harness: Harness, *args: str, environ: Mapping[str, str] | None = None, **options: Any) -> Finished:
    return wait_for(_start(harness, *args, environ=environ or {}, **options))


def _check_quiet(finished: Finished) -> None:
    for complaint in ("Traceback", "Error", "Warning"):
        assert complaint not in (finished.stderr or "")


@pytest.mark.parametrize("command", _COMMANDS, ids=" ".join)
def test_it_works_without_path_and_home(command: list[str], today: Harness) -> None:
    """Nothing but its own variables is needed."""
    finished = _run(today, *command)
    assert finished.status == 0, finished.stderr
    _check_quiet(finished)


@pytest.mark.parametrize("command", _COMMANDS, ids=" ".join)
@pytest.mark.skipif(os.geteuid() != 0, reason="Only root can become another user.")
def test_it_works_for_a_user_without_a_name_in_a_folder_that_it_cannot_write_to(
    command: list[str], today: Harness, postgres: EmbeddedPostgres
) -> None:
    """Containers run under numbers that /etc/passwd does not know, on a file system that is read-only."""
    for_all = {"PYTHON": _python_for_all(), "PYTHONPATH": f"{_ROOT}:{site.getsitepackages()[0]}"}
    nobody = {"user": _NOBODY, "group": _NOBODY, "extra_groups": [], "cwd": "/"}
    # PostgreSQL's own folder, which holds the socket, is closed to others; it insists on that at its start.
    postgres._folder.chmod(0o711)
    try:
        finished = _run(today, *command, environ=for_all, **nobody)
    finally:
        postgres._folder.chmod(0o700)
    assert finished.status == 0, finished.stderr
    _check_quiet(finished)


def _python_for_all() -> str:
    """Return an interpreter of this version that every user may start."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (Path(sys.executable).resolve(), Path("/usr/bin", version)):
        if path.exists() and all(parent.stat().st_mode & 0o005 == 0o005 for parent in path.parents):
            return str(path)
    pytest.skip(f"No {version} here can be started by another user than root.")


@pytest.mark.parametrize("command", _NAMING, ids=" ".join)
@pytest.mark.parametrize(
    "environ",
    [
        {"LANG": "C"},
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=str,
)
def test_a_foreign_name_is_no_trouble_where_only_ascii_is_known(
    environ: dict[str, str], command: list[str], today: Harness
) -> None:
    """A name may look odd then, but no run fails over it."""
    finished = _run(today, *command, environ=environ)
    assert finished.status == 0, finished.stderr
    _check_quiet(finished)


@pytest.mark.parametrize("command", _COMMANDS, ids=" ".join)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_goes_away_is_not_complained_about(
    stream: str, command: list[str], today: Harness
) -> None:
    """As with ``| head -1``; the work is done all the same."""
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": PIPE, "stderr": PIPE, stream: writing}
    try:
        finished = wait_for(fork_server().start(command, today.process_environ(), **streams))
    finally:
        os.close(writing)
    assert finished.status == (141 if stream == "stdout" else 0)
    _check_quiet(finished)
    if command[0] == "collect":
        assert today.value("SELECT status FROM runs") == "completed"


@pytest.mark.parametrize("command", _NAMING, ids=" ".join)
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_closed_streams_are_no_trouble(closed: int, command: list[str], today: Harness) -> None:
    """A program that starts this one may have closed any of them."""
    finished = _run(today, *command, preexec_fn=lambda: os.close(closed))
    assert finished.status == 0, finished.stderr
    _check_quiet(finished)
    if command[0] == "collect":
        assert today.value("SELECT status FROM runs") == "completed"
