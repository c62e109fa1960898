"""The read-only role of docs/schema.md can run the commands that only read, and sees no credentials."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from costbatch.simulator.world import Role
from tests.support.harness import Finished, Harness, make_account

_SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schema.md"
_ROLE = "reader_of_commands"


class Reader:
    """Runs commands as an analyst: with the database's URL of the reader's role, and without the key."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.url = harness.database_url.replace("//postgres:@", f"//{quote(_ROLE)}@")

    def run(self, *args: str, **environ: str) -> Finished:
        """Run a command; ENCRYPTION_KEY is not set unless it is given."""
        given = {"DATABASE_URL": self.url, "ENCRYPTION_KEY": "", **environ}
        return self.harness.run(*args, **given)


@pytest.fixture(scope="module")
def reader(shared: Harness) -> Iterator[Reader]:
    """Make a role by the documents' own statements, in a database with one collected account."""
    role = Role("Reader", trusted_account_ids=("100000000001",))
    hub, member = make_account(1), make_account(2, roles=(role,))
    shared.register(hub)
    shared.register(member, base=hub.account_id)
    shared.open(hub, member)
    assert shared.collect().status == 0
    block = next(
        block for block in _SCHEMA.read_text().split("```") if "CREATE ROLE costbatch_reader" in block
    )
    shared.rows(f"DROP ROLE IF EXISTS {_ROLE}")
    shared.rows(block.removeprefix("sql").replace("costbatch_reader", _ROLE))
    yield Reader(shared)
    shared.rows(f"DROP OWNED BY {_ROLE}")
    shared.rows(f"DROP ROLE {_ROLE}")


_COMMANDS = [
    ["accounts", "list"],
    ["accounts", "list", "--output", "json"],
    ["accounts", "show", "100000000001"],
    ["accounts", "show", "100000000002", "--output", "json"],
    ["anomalies", "list", "--state", "all"],
    ["planned", "list"],
    ["arrival"],
    ["backtest"],
    ["changes", "--since", "2025-01-01"],
    ["forecast"],
    ["costs", "--as-of", "2025-03-12"],
    ["collect", "--dry-run"],
    ["collect", "--dry-run", "--account", "100000000002", "--date", "2025-03-01"],
    ["discover", "--dry-run"],
    ["events", "list"],
    ["resources", "export"],
    ["resources", "list"],
    ["resources", "stats"],
    ["db", "check"],
    ["db", "current"],
    ["db", "stats"],
    ["db", "prune", "--keep", "3years", "--dry-run"],
]
# These take the id of what the database happens to have.
_WITH_ID = {"anomalies show", "events show"}


@pytest.mark.parametrize("command", _COMMANDS, ids=" ".join)
def test_a_command_that_only_reads_works(reader: Reader, command: list[str]) -> None:
    """Status 0, and nothing is changed."""
    before = reader.harness.contents()
    run = reader.run(*command)
    assert run.status == 0, run.stderr
    assert reader.harness.contents() == before


def test_the_page_names_the_commands_that_work_without_the_key() -> None:
    """Each of them is tried here, and none is left out."""
    (line,) = [each for each in _SCHEMA.read_text().splitlines() if each.startswith("This role can run")]
    tried = {" ".join(command) for command in _COMMANDS}
    named = {" ".join(name.split()[:2]).removesuffix(" --dry-run") for name in re.findall("`(.+?)`", line)}
    works = {next((name for name in named if f"{each} ".startswith(f"{name} ")), each) for each in tried}
    assert named == works | _WITH_ID


def test_an_event_is_shown(reader: Reader) -> None:
    """With where it went."""
    (first, *_) = json.loads(reader.run("events", "list", "--output", "json").stdout)
    assert reader.run("events", "show", first["id"]).status == 0


def test_the_settings_are_shown(reader: Reader) -> None:
    """They come from the environment, whatever the role may do."""
    assert reader.run("config", ENCRYPTION_KEY=reader.harness.environ["ENCRYPTION_KEY"]).status == 0


def test_the_plan_is_the_same_as_that_of_the_batch(reader: Reader) -> None:
    """What a run would read does not depend on who asks."""
    as_reader = reader.run("collect", "--dry-run", "--output", "json")
    assert as_reader.summary == reader.harness.run("collect", "--dry-run", "--output", "json").summary


def test_an_account_is_shown_with_what_is_withheld(reader: Reader) -> None:
    """How it is reached is known; of the credentials it says that this role does not see them."""
    shown = json.loads(reader.run("accounts", "show", "100000000002", "--output", "json").stdout)
    assert shown["base_account"] == "100000000001"
    assert shown["credentials_key_id"] is None
    assert shown["credentials"] == "not visible to this database role"
    (hub,) = [reader.run("accounts", "show", "100000000001").stdout]
    assert "not visible to this database role" in hub


def test_the_examination_says_what_it_could_not_look_at(reader: Reader) -> None:
    """It goes through to its end: no check breaks, and the credentials are named as not looked at."""
    key = reader.harness.environ["ENCRYPTION_KEY"]
    run = reader.run("doctor", "--output", "json", ENCRYPTION_KEY=key)
    checks = {check["name"]: check for check in json.loads(run.stdout)["checks"]}
    assert (checks["encryption key"]["status"], checks["encryption key"]["found"]) == (
        "skipped",
        "Skipped: this database role may not read account_credentials.",
    )
    for name in ("configuration", "database", "schema", "clock", "accounts", "last run", "AWS endpoints"):
        assert checks[name]["status"] in {"ok", "warning"}, checks[name]
    # What a run must write, this role may not: that is said, with the way to examine the batch's own role.
    assert "INSERT, UPDATE, DELETE on daily_costs" in checks["privileges"]["found"]
    assert "DATABASE_URL of the role that runs use" in checks["privileges"]["advice"]
    assert "permission denied" not in run.stdout
    assert run.stderr.splitlines()[-1] == "FAILED: privileges; see the advice for each check."


@pytest.mark.parametrize(
    "command",
    [["collect"], ["accounts", "pause", "100000000001"], ["db", "prune", "--keep", "3years"]],
    ids=" ".join,
)
def test_a_command_that_writes_ends_with_one_sentence(reader: Reader, command: list[str]) -> None:
    """The database refuses it; nothing is changed, and there is no traceback."""
    before = reader.harness.contents()
    run = reader.run(*command, ENCRYPTION_KEY=reader.harness.environ["ENCRYPTION_KEY"])
    assert run.status in {1, 2}
    assert run.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in run.stderr
    assert reader.harness.contents() == before


def test_a_batch_without_its_key_is_still_refused_a_dry_run(reader: Reader) -> None:
    """Whoever may read the credentials is checked as before: a dry run finds what would stop the run."""
    run = reader.harness.run("collect", "--dry-run", ENCRYPTION_KEY="")
    assert run.status == 2
    assert "ENCRYPTION_KEY is not set" in run.stderr
