"""``costbatch config`` and ``costbatch keys generate``."""

import io
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from costbatch.cli import output
from costbatch.config import VARIABLES, Settings


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """Claim to be one."""
        return True


def test_a_new_key_is_all_that_standard_output_holds(shell: Any) -> None:
    """It can be piped into a file, and the settings take it."""
    first, second = shell.run("keys", "generate"), shell.run("keys", "generate")
    assert len(Settings.from_environment({"ENCRYPTION_KEY": first.stdout}).key_bytes()) == 32
    assert len(first.stdout) == 65
    assert first.stdout != second.stdout
    assert first.stderr == ""


def test_a_new_key_as_json(shell: Any) -> None:
    """For programs."""
    assert len(json.loads(shell.run("keys", "generate", "--output", "json").stdout)["key"]) == 64


def test_a_terminal_gets_a_note_on_what_the_key_is_for(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, and only on a terminal."""
    monkeypatch.setattr("costbatch.cli.keys.is_terminal", lambda: True)
    result = shell.run("keys", "generate")
    assert len(result.stdout) == 65
    assert "Set it as ENCRYPTION_KEY, and keep a copy" in result.stderr


def test_config_shows_every_setting_and_where_it_comes_from(shell: Any) -> None:
    """Nothing that counts is hidden."""
    shell.environ = {"COSTBATCH_CONCURRENCY": "3", "COSTBATCH_ANOMALY_THRESHOLD": "25%"}
    documents = json.loads(shell.run("config", "--output", "json").stdout)
    by_name = {document["name"]: (document["value"], document["source"]) for document in documents}
    assert list(by_name) == [variable.name for variable in VARIABLES]
    assert by_name["COSTBATCH_CONCURRENCY"] == ("3", "environment")
    assert by_name["COSTBATCH_ANOMALY_THRESHOLD"] == ("0.25", "environment")
    assert by_name["COSTBATCH_LEASE_SECONDS"] == ("45", "default")
    assert by_name["COSTBATCH_ANOMALY_PER_SERVICE"] == ("false", "default")
    assert by_name["COSTBATCH_ANOMALY_EXCLUDED_RECORD_TYPES"] == ("Credit,Refund,Tax", "default")
    assert by_name["DATABASE_URL"] == (None, "default")


def test_config_masks_passwords_and_shows_the_keys_id(shell: Any) -> None:
    """Everything of a URL but its password; a word that equals the password stays."""
    key = "0f" * 32
    shell.environ = {
        "DATABASE_URL": "postgresql://costbatch:costbatch@db:5432/costbatch",
        "PUSHGATEWAY_URL": "http://push:9091",
        "ENCRYPTION_KEY": key,
    }
    result = shell.run("config")
    assert "postgresql://costbatch:***@db:5432/costbatch" in result.stdout
    assert "http://push:9091" in result.stdout
    assert "key id 11112222" in result.stdout
    assert key not in result.output
    shell.environ["PUSHGATEWAY_URL"] = "http://glc_token@push:9091"
    assert "http://***@push:9091" in shell.run("config").stdout


def test_config_lists_everything_that_is_wrong(shell: Any) -> None:
    """One line for each problem, what is missing too; exit status 2, nothing on standard output."""
    shell.environ = {"COSTBATCH_SINKS": "x", "DATABASE_URL": "x"}
    result = shell.run("config")
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 3
    assert all(line.startswith("Error: ") for line in result.stderr.splitlines())


def test_json_keeps_amounts_exact(capsys: pytest.CaptureFixture[str]) -> None:
    """Amounts are strings, sets are sorted, and what has no form is an error."""
    output.print_json({"a": Decimal("1E-7"), "b": {"y", "x"}, "c": UUID(int=0), "d": "é"})
    assert json.loads(capsys.readouterr().out) == {
        "a": "0.0000001",
        "b": ["x", "y"],
        "c": str(UUID(int=0)),
        "d": "é",
    }
    with pytest.raises(TypeError, match="object has no form in JSON"):
        output.print_json(object())


def test_a_table_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Names come from people: neither escape sequences nor markup have an effect."""
    output.print_table(("name", "cost"), [("\x1b[31m[red]x", Decimal("1.50"))], numbers=("cost",))
    printed = capsys.readouterr().out
    assert "\ufffd[31m[red]x" in printed
    assert "\x1b" not in printed
    assert all(line == line.rstrip() for line in printed.splitlines())


def test_a_table_has_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file full of escape codes is of no use."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    output.print_table(("name",), [("x",)])
    assert "\x1b[" in terminal.getvalue()
