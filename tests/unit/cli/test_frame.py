"""The frame of the command line: help, lazy loading, and errors that become exit statuses."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from costbatch import __version__
from costbatch.cli import COMMANDS, LazyCommand, cli
from costbatch.cli.context import Context
from costbatch.cli.exit_status import ExitStatus
from costbatch.config import PREFIX, VARIABLES
from costbatch.errors import AccountError, ConfigError, ErrorKind, StorageError
from tests.support.machine import unavailable

HEAVY = {
    "boto3",
    "botocore",
    "sqlalchemy",
    "psycopg2",
    "rich",
    "prometheus_client",
    "structlog",
    "cryptography",
}


def all_commands(command: click.Command = cli) -> Iterator[click.Command]:
    """Return a command and, of a group, all below it."""
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from all_commands(found)


def clean_environment() -> dict[str, str]:
    """Return this process's environment without any setting of ours."""
    ours = {variable.name for variable in VARIABLES}
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) and name.removesuffix("_FILE") not in ours
    }


def python(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a clean environment."""
    environment = {**clean_environment(), **environ}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False, timeout=60
    )


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `costbatch keys` a command that fails."""

    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(LazyCommand, "load", lambda _self: failing)


def test_help_imports_none_of_the_heavy_modules() -> None:
    """Help, and the start of every command, cost little more than click."""
    program = (
        "import sys\nfrom costbatch.cli import main\nsys.argv = ['costbatch', '--help']\n"
        f"try:\n    main()\nfinally:\n    print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    result = python("-c", program)
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_command() -> None:
    """``python -m costbatch`` does the same, and names itself so that its lines can be copied."""
    result = python("-m", "costbatch", "--version")
    assert result.stdout == f"costbatch {__version__}\n"
    assert python("-m", "costbatch", "--help").stdout.startswith("Usage: costbatch ")


@pytest.mark.parametrize("command", list(all_commands()), ids=lambda command: command.name)
def test_every_command_has_help_with_an_example(command: click.Command) -> None:
    """A line to copy says more than a synopsis."""
    assert command.help
    assert command.epilog
    assert command.epilog.startswith("\b\nExample:\n  ")
    assert "costbatch" in command.epilog


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_leads_to_them(name: str) -> None:
    """The short help is there without an import, the command with one."""
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert COMMANDS[name].short_help in CliRunner().invoke(cli, ["--help"]).stdout


@pytest.mark.parametrize("group", ["accounts", "db"])
def test_every_command_of_a_group_is_in_its_help(group: str) -> None:
    """No command is hidden, and none has its short help cut."""
    loaded = COMMANDS[group].load()
    assert isinstance(loaded, click.Group)
    shown = CliRunner().invoke(cli, [group, "--help"]).stdout
    for name, command in loaded.commands.items():
        assert f"  {name} " in shown
        assert command.short_help
        assert command.short_help in shown


def test_an_unknown_command_is_wrong_usage() -> None:
    """Exit status 2 comes with a sentence."""
    result = CliRunner().invoke(cli, ["colect"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No such command 'colect'. Did you mean 'collect'?" in result.stderr


def test_exit_statuses_are_what_the_documentation_says() -> None:
    """Numbers are a promise to Kubernetes; each has a sentence."""
    assert {status.name: int(status) for status in ExitStatus} == {
        "OK": 0,
        "TOTAL_FAILURE": 1,
        "USAGE": 2,
        "PARTIAL_FAILURE": 3,
        "INTERRUPTED": 130,
        "OUTPUT_CLOSED": 141,
        "TERMINATED": 143,
    }
    assert all(status.sentence.endswith(".") for status in ExitStatus)


@pytest.mark.parametrize(
    ("error", "status", "stderr"),
    [
        (ConfigError("One is wrong.", "Two is wrong."), 2, "Error: One is wrong.\nError: Two is wrong.\n"),
        (StorageError("The database is lost."), 1, "Error: The database is lost.\n"),
        (
            AccountError(ErrorKind.THROTTLED, "It failed."),
            1,
            f"Error: It failed. {ErrorKind.THROTTLED.advice}\n",
        ),
        (StorageError("No postgresql://u:hunter2@db/x."), 1, "Error: No postgresql://u:***@db/x.\n"),
        (KeyboardInterrupt(), 130, "\nInterrupted.\n"),
        (click.Abort(), 130, "\nInterrupted.\n"),
        (BrokenPipeError(), 141, ""),
        *(
            (OSError(number, "Why"), 1, "Error: Standard output could not be written: Why.\n")
            for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
        ),
        (click.UsageError("Wrong."), 2, None),
    ],
)
def test_an_error_becomes_an_exit_status_and_sentences(
    monkeypatch: pytest.MonkeyPatch, shell: Any, error: BaseException, status: int, stderr: str | None
) -> None:
    """In one place, for every command."""
    fail_with(monkeypatch, error)
    result = shell.run("keys")
    assert (result.exit_code, result.stdout) == (status, "")
    assert stderr is None or result.stderr == stderr


@pytest.mark.parametrize("environ", [{}, {"COSTBATCH_SINKS": "wrong"}])
def test_an_unexpected_error_is_logged_and_reported_without_secrets(
    monkeypatch: pytest.MonkeyPatch, shell: Any, environ: dict[str, str]
) -> None:
    """The traceback is in the log, one sentence is for the person; wrong settings do not hide it."""
    fail_with(monkeypatch, ZeroDivisionError("postgresql://u:hunter2@db"))
    shell.environ = environ
    result = shell.run("keys")
    log, sentence = result.stderr.splitlines()
    assert result.exit_code == 1
    assert json.loads(log)["event"] == "unexpected_error"
    assert "ZeroDivisionError: postgresql://u:***@db" in json.loads(log)["exception"]
    assert sentence.startswith("Error: costbatch stopped because of an unexpected error")
    assert "hunter2" not in result.output


@pytest.mark.parametrize("command", ["config", "--help"])
def test_a_reader_that_goes_away_leaves_no_complaint(command: str) -> None:
    """`costbatch config | head -1` is an ordinary thing to do."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        result = subprocess.run(
            [sys.executable, "-m", "costbatch", command],
            stdout=gone,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            check=False,
            timeout=60,
        )
    assert (result.returncode, result.stderr) == (141, b"")


@pytest.mark.parametrize(
    "command", [["--help"], ["--version"], ["keys", "--help"], ["config"], ["config", "--output", "json"]]
)
def test_a_full_disk_earns_one_sentence(command: list[str]) -> None:
    """The work is done by then; without a sentence the person would look for a fault of the program."""
    full = Path("/dev/full")
    if not full.exists():
        unavailable("There is no /dev/full on this machine.")
    with full.open("w", encoding="utf-8") as disk:
        result = subprocess.run(
            [sys.executable, "-m", "costbatch", *command],
            stdout=disk,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
            check=False,
            timeout=60,
        )
    sentence = "Error: Standard output could not be written: No space left on device.\n"
    assert (result.returncode, result.stderr) == (1, sentence)


@pytest.mark.parametrize("is_full", [True, False], ids=["full", "closed"])
@pytest.mark.parametrize(
    ("command", "status"), [("colect", 2), ("config", 2), ("keys generate --output key", 0)]
)
def test_errors_that_cannot_be_written_change_nothing_else(
    tmp_path: Path, command: str, status: int, *, is_full: bool
) -> None:
    """Status 2 must stay 2, or Kubernetes would retry; and what standard output gets is not lost."""

    def run(errors: int) -> tuple[int, bytes]:
        folder = tmp_path / str(errors)
        folder.mkdir(parents=True)
        result = subprocess.run(
            [sys.executable, "-m", "costbatch", *command.split()],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=clean_environment(),
            cwd=folder,
            check=False,
            timeout=60,
        )
        return result.returncode, result.stdout

    full = Path("/dev/full")
    if not full.exists():
        unavailable("There is no /dev/full on this machine.")
    reading, gone = os.pipe()
    os.close(reading)
    with full.open("w", encoding="utf-8") as disk, os.fdopen(gone, "w") as closed:
        found = run((disk if is_full else closed).fileno())
    assert found == run(subprocess.PIPE)
    assert found[0] == status


def test_a_disk_that_is_full_elsewhere_is_unexpected(monkeypatch: pytest.MonkeyPatch, shell: Any) -> None:
    """An error that names a file is not one of standard output."""
    fail_with(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "/tmp/x"))
    result = shell.run("keys")
    assert result.exit_code == 1
    assert "unexpected error" in result.stderr


def test_the_default_context_is_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is aware and UTC, the environment is the process's, standard input is asked."""
    context = Context()
    monkeypatch.setattr("sys.stdin", None)
    assert context.now().utcoffset() is not None
    assert context.environ is os.environ
    assert not context.can_ask()


@pytest.fixture
def real_wiring() -> Context:
    """Return a context with an environment of its own and the real bootstrap."""
    return Context(
        environ={"ENCRYPTION_KEY": "00" * 32, "DATABASE_URL": "postgresql://nobody@localhost:1/none"}
    )


def test_the_real_wiring_builds_the_use_cases(real_wiring: Context) -> None:
    """Building connects to nothing."""
    assert len(real_wiring.bootstrap().vault().key_id) == 8
    accounts = real_wiring.bootstrap().accounts()
    assert accounts.vault is not None
    assert accounts.now().utcoffset() is not None
