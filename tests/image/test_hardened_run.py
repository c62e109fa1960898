"""The day's work in a hardened container: from an empty database to every exit status."""

import json

import pytest

from costbatch.simulator.world import Fault, World
from tests.image.conftest import account
from tests.image.containers import Box
from tests.support.harness import Harness

REVOKED = (Fault("invalid_token", operation="*"),)


def test_an_empty_database_becomes_one_with_cost_by_the_image_alone(empty_box: Box, harness: Harness) -> None:
    """Upgrade, add an account with its secrets on standard input, collect: all of it in the image."""
    first = account(1)
    harness.aws.replace_world(World(accounts=(first,)))
    keys = {"access_key_id": first.access_key_id, "secret_access_key": first.secret_access_key}

    upgraded = empty_box.run("db", "upgrade")
    added = empty_box.run(
        "accounts", "add", first.account_id, "--name", "first", "--secrets-file", "-", stdin=json.dumps(keys)
    )
    checked = empty_box.run("db", "check")
    collected = empty_box.run("collect", "--output", "json")

    assert [each.status for each in (upgraded, added, checked, collected)] == [0, 0, 0, 0], collected.log
    summary = json.loads(collected.stdout)
    assert [each["state"] for each in summary["accounts"]] == ["collected"]
    assert summary["accounts"][0]["rows"]["fetched"] > 100


@pytest.mark.parametrize(
    ("faults", "options", "status", "last_line"),
    [
        (((), ()), [], 0, ""),
        (((), REVOKED), [], 0, "PARTIAL: 1 of 2 accounts NOT COLLECTED (1 credentials_rejected)"),
        (
            ((), REVOKED),
            ["--fail-on", "partial"],
            3,
            "PARTIAL: 1 of 2 accounts NOT COLLECTED (1 credentials_rejected)",
        ),
        (
            ((), REVOKED),
            ["--fail-on", "partial", "--output", "json"],
            3,
            "PARTIAL: 1 of 2 accounts NOT COLLECTED (1 credentials_rejected)",
        ),
        ((REVOKED, REVOKED), [], 1, "FAILED: 0 of 2 accounts collected (2 credentials_rejected)"),
    ],
    ids=[
        "all-collected",
        "some-collected",
        "some-collected-is-a-failure",
        "some-collected-as-json",
        "none-collected",
    ],
)
def test_the_accounts_decide_the_exit_status_and_the_last_line_says_why(
    box: Box,
    harness: Harness,
    faults: tuple[tuple[Fault, ...], ...],
    options: list[str],
    status: int,
    last_line: str,
) -> None:
    """`kubectl describe` shows the end of the log of what failed (FallbackToLogsOnError)."""
    harness.open(*(account(number, faults=faults[number]) for number in range(len(faults))))

    ended = box.run("collect", *options)

    assert ended.status == status, ended.log
    if last_line:
        assert ended.last_line == last_line
    if status:
        # The kubelet takes the last 2 kB: the reason must be among them.
        assert "credentials_rejected" in ended.log[-2048:]


@pytest.mark.parametrize(
    ("command", "environ", "status", "last_line"),
    [
        (["collect"], {"ENCRYPTION_KEY": ""}, 2, "Error: ENCRYPTION_KEY is not set"),
        (["collect"], {"COSTBATCH_CONCURENCY": "8"}, 2, "Error: COSTBATCH_CONCURENCY is not a variable"),
        (["collect", "--no-such-option"], {}, 2, "Error: No such option"),
        (["collect"], {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, 1, "Error: "),
    ],
    ids=["no-key", "misspelt-variable", "unknown-option", "no-database"],
)
def test_what_stops_a_run_before_it_begins_is_the_last_line(
    box: Box, command: list[str], environ: dict[str, str], status: int, last_line: str
) -> None:
    """Wrong usage is 2, which a retry cannot help; a lost database is 1, which it can."""
    ended = box.run(*command, **environ)

    assert ended.status == status, ended.log
    assert ended.last_line.startswith(last_line)


def test_a_database_that_was_never_migrated_is_refused_with_the_command_that_helps(empty_box: Box) -> None:
    """Status 2: the Job fails at once instead of retrying."""
    ended = empty_box.run("collect")

    assert ended.status == 2
    assert "costbatch db upgrade" in ended.last_line


def test_an_installation_without_accounts_has_nothing_to_do(box: Box) -> None:
    """The first night after an installation is no failure."""
    assert box.run("collect").status == 0
