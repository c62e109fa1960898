"""A misspelt command or option is answered with the one that may have been meant, in every group."""

import click
import pytest
from click.testing import CliRunner

from costbatch.cli import COMMANDS, cli


def _complaint(*words: str) -> str:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["colect"], "collect"),
        (["COLLECT"], "collect"),
        (["acounts", "list"], "accounts"),
        (["docter"], "doctor"),
        (["accounts", "lsit"], "list"),
        (["accounts", "set_credentials"], "set-credentials"),
        (["db", "stat"], "stats"),
        (["db", "upgarde"], "upgrade"),
        (["keys", "genrate"], "generate"),
        (["collect", "--acount", "1"], "--account"),
        (["accounts", "list", "--statsu", "paused"], "--status"),
        (["db", "prune", "--keeep", "3years"], "--keep"),
        (["--hlep"], "--help"),
    ],
)
def test_the_name_that_may_have_been_meant_is_named(words: list[str], meant: str) -> None:
    """Status 2, and the last line of standard error names it beside what was typed."""
    complaint = _complaint(*words)
    assert complaint.startswith("Error: No such ")
    assert "Did you mean" in complaint
    assert f"'{meant}'" in complaint


@pytest.mark.parametrize("words", [["xyz"], ["accounts", "xyz"], ["db", "--xyz"]])
def test_nothing_is_suggested_if_nothing_is_close(words: list[str]) -> None:
    """A guess at random would be worse than none."""
    assert "Did you mean" not in _complaint(*words)


@pytest.mark.parametrize(
    "group", [name for name, each in COMMANDS.items() if isinstance(each.load(), click.Group)]
)
def test_every_group_suggests(group: str) -> None:
    """Each command of each group is found with its last letter missing."""
    loaded = COMMANDS[group].load()
    assert isinstance(loaded, click.Group)
    for name in loaded.commands:
        assert f"'{name}'" in _complaint(group, name[:-1] + "_")
