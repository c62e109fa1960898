"""``config`` lists all problems, ``db check`` knows an empty database, and key files stay private."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from costbatch.adapters.postgres import migrations
from costbatch.config import Settings
from tests.support.fork_server import fork_server
from tests.support.harness import Harness, wait_for


@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize(
    "missing", [("DATABASE_URL",), ("ENCRYPTION_KEY",), ("DATABASE_URL", "ENCRYPTION_KEY")]
)
@pytest.mark.parametrize("empty", ["", "\n"])
def test_what_a_run_cannot_do_without_is_named(
    idle: Harness, output: str, missing: tuple[str, ...], empty: str
) -> None:
    """The settings are shown all the same; one sentence for each missing variable, status 2."""
    run = idle.run("config", "--output", output, **dict.fromkeys(missing, empty))
    assert run.status == 2
    assert [sentence.split()[0] for sentence in run.sentences] == list(missing)
    assert "COSTBATCH_CONCURRENCY" in run.stdout


def test_config_is_0_if_nothing_is_wrong_or_missing(idle: Harness) -> None:
    """Also if a value comes from a file."""
    assert idle.run("config").status == 0


def test_wrong_unknown_contradicting_and_missing_are_listed_at_once(idle: Harness, tmp_path: Path) -> None:
    """A second call must not show a second problem."""
    run = idle.run(
        "config",
        DATABASE_URL="",
        ENCRYPTION_KEY="short",
        COSTBATCH_CONCURENCY="8",
        COSTBATCH_WINDOW_DAYS="many",
        COSTBATCH_ANOMALY_MEDIUM_IMPACT="900",
        COSTBATCH_ANOMALY_HIGH_IMPACT="100",
        PUSHGATEWAY_URL_FILE=str(tmp_path / "nothing"),
    )
    assert (run.status, run.stdout) == (2, "")
    assert len(run.sentences) == 6
    for name in (
        "DATABASE_URL is not set",
        "ENCRYPTION_KEY",
        "COSTBATCH_CONCURENCY",
        "COSTBATCH_WINDOW_DAYS",
        "COSTBATCH_ANOMALY_MEDIUM_IMPACT",
        "PUSHGATEWAY_URL_FILE",
    ):
        assert name in run.stderr


def test_a_database_without_tables_is_not_changed_by_hand(idle: Harness, empty_database_url: str) -> None:
    """It says that there are none, and the command that makes them."""
    run = idle.run("db", "check", DATABASE_URL=empty_database_url)
    assert (run.status, run.stdout) == (2, "")
    assert run.sentences == ["The database has no costbatch tables yet; run `costbatch db upgrade` first."]


def test_a_database_with_tables_of_others_has_none_of_ours(idle: Harness, empty_database_url: str) -> None:
    """A shared database is empty for us."""
    other = Harness(idle.aws, empty_database_url)
    other.rows("CREATE TABLE invoices (id int)")
    run = other.run("db", "check")
    assert run.sentences == ["The database has no costbatch tables yet; run `costbatch db upgrade` first."]


def test_an_old_schema_is_to_be_upgraded(idle: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind is not changed by hand."""
    monkeypatch.setattr(migrations, "REVISIONS", (*migrations.REVISIONS, "29990101_newer"))
    run = idle.run("db", "check")
    assert run.status == 2
    assert "older than this program needs" in run.stderr
    assert "by hand" not in run.stderr


def test_tables_without_their_revision_were_changed_by_hand(harness: Harness) -> None:
    """What is true of them is said: the tables are there."""
    harness.rows("DROP TABLE alembic_version")
    run = harness.run("db", "check")
    assert run.status == 2
    assert "no costbatch tables" not in run.stderr
    assert "alembic_version does not say" in run.stderr


def test_a_key_file_is_the_owners_alone(idle: Harness, tmp_path: Path) -> None:
    """Whatever the umask, nobody else reads it; standard output stays empty, and the settings take it."""
    path = tmp_path / "encryption-key"
    old = os.umask(0)
    try:
        run = idle.run("keys", "generate", "--output", str(path))
    finally:
        os.umask(old)
    assert (run.status, run.stdout) == (0, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(path) in run.stderr
    assert path.read_text().strip() not in run.stderr
    assert len(Settings.from_environment({"ENCRYPTION_KEY_FILE": str(path)}).key_bytes()) == 32


@pytest.mark.parametrize("kind", ["file", "link", "folder", "no folder", "nothing"])
def test_a_key_file_is_never_overwritten(idle: Harness, tmp_path: Path, kind: str) -> None:
    """The key in it may be the only one that opens the stored credentials."""
    path = tmp_path / "encryption-key"
    if kind == "file":
        path.write_text("the old key")
    elif kind == "link":
        (tmp_path / "elsewhere").write_text("the old key")
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    elif kind == "no folder":
        path = tmp_path / "missing" / "key"
    run = idle.run("keys", "generate", "--output", "a\0b" if kind == "nothing" else str(path))
    assert (run.status, run.stdout, len(run.sentences)) == (2, "", 1)
    assert kind not in {"file", "link"} or path.read_text() == "the old key"


def generate(harness: Harness, *args: str, stdout: int) -> str:
    """Generate a key in a process with this standard output; return its standard error."""
    command = ("keys", "generate", *args)
    environ = harness.process_environ()
    finished = wait_for(fork_server().start(command, environ, stdout=stdout, stderr=subprocess.PIPE))
    assert finished.status == 0
    return finished.stderr


@pytest.mark.parametrize(("mode", "is_warned"), [(0o644, True), (0o640, True), (0o604, True), (0o600, False)])
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_key_that_others_can_read_is_warned_of(
    idle: Harness, tmp_path: Path, mode: int, output: str, *, is_warned: bool
) -> None:
    """A shell made the file with its own mode before costbatch began."""
    path = tmp_path / "encryption-key"
    path.touch()
    path.chmod(mode)
    with path.open("w") as file:
        told = generate(idle, "--output", output, stdout=file.fileno())
    assert ("chmod 600" in told) == is_warned
    text = path.read_text()
    assert len(json.loads(text)["key"] if output == "json" else text.strip()) == 64


def test_a_pipe_and_nowhere_are_not_warned_of(idle: Harness) -> None:
    """What is piped has no mode that others could use."""
    assert [generate(idle, stdout=each) for each in (subprocess.PIPE, subprocess.DEVNULL)] == ["", ""]
