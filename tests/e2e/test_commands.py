"""The accounts and db commands on a real database: what they refuse, keep and bring back."""

import json
from typing import Any

import pytest

from tests.support.bills import stored
from tests.support.harness import Harness, Prepare, make_account

ONE, TWO = "100000000001", "100000000002"
ARN = f"arn:aws:iam::{TWO}:role/CostReader"
KEYS = {
    "access_key_id": "AKIAABCDEFGHIJKLMNOP",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}


def collected(harness: Harness) -> None:
    """Collect one account."""
    harness.open(make_account(1))
    assert harness.collect().status == 0


@pytest.fixture
def opened(prepare: Prepare) -> Harness:
    """Return a harness with one collected account."""
    return prepare(collected)


def test_an_account_is_registered_collected_and_shown(harness: Harness) -> None:
    """From nothing to costs with three commands; the keys come in by standard input and are never shown."""
    account = make_account(1)
    harness.open()
    harness.aws.replace_world(harness.aws.current_world().__class__(accounts=(account,), today=harness.today))
    keys = json.dumps(
        {"access_key_id": account.access_key_id, "secret_access_key": account.secret_access_key}
    )
    added = harness.run("accounts", "add", ONE, "--name", "prod", "--secrets-file", "-", stdin=keys)
    assert added.status == 0
    assert harness.collect().outcomes == {ONE: "collected"}
    shown = json.loads(harness.run("accounts", "show", ONE, "--output", "json").stdout)
    assert (shown["collected_from"], shown["collected_to"]) == ("2024-02-01", "2025-03-11")
    assert shown["credentials"] == "can be decrypted with ENCRYPTION_KEY"
    assert account.secret_access_key not in added.stdout + added.stderr + json.dumps(shown)


def test_an_account_is_shown_with_every_job_that_fails_for_it(opened: Harness) -> None:
    """Also one of a later release, which this one has no advice for: its event sends people here."""
    assert not [name for name in _shown(opened) if name.startswith("scan")]
    opened.rows(
        "INSERT INTO account_progress (account_id, job, failing_since, failing_kind) "
        "SELECT id, 'scan', created_at, 'access_denied' FROM accounts"
    )
    shown = _shown(opened)
    assert shown["scan_failing_since"] is not None
    assert (shown["scan_failing_kind"], shown["scan_failing_advice"]) == ("access_denied", None)
    assert (shown["failing_kind"], shown["discovery_failing_kind"]) == (None, None)
    assert "scan failing kind" in opened.run("accounts", "show", ONE).stdout


def _shown(harness: Harness) -> dict[str, Any]:
    shown: dict[str, Any] = harness.run("accounts", "show", ONE, "--output", "json").summary
    return shown


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (
            ["add", "12345678901", "--name", "x"],
            "'12345678901' is not an AWS account id: it must have 12 digits.",
        ),
        (["add", "1234567890123", "--name", "x"], "it must have 12 digits."),
        (["add", ONE, "--name", "again"], f"Account {ONE} (account-1) is already registered."),
        (["add", TWO, "--name", ""], "The name of an account must have 1 to 200 printable characters."),
        (
            ["add", TWO, "--name", "x", "--role-arn", "arn:aws:iam::12:role/x"],
            "is not the ARN of an IAM role",
        ),
        (["add", TWO, "--name", "x", "--role-arn", f"arn:aws:s3:::{TWO}"], "is not the ARN of an IAM role"),
        (
            ["add", TWO, "--name", "x", "--role-arn", f"arn:aws:iam::{TWO}:user/x"],
            "is not the ARN of an IAM role",
        ),
        (
            ["add", TWO, "--name", "x", "--role-arn", ARN.replace(TWO, ONE)],
            f"belongs to account {ONE}, not to {TWO}",
        ),
        (["add", TWO, "--name", "x", "--role-arn", ARN, "--base-account", TWO], "cannot be its own base"),
        (
            ["add", TWO, "--name", "x", "--role-arn", ARN, "--base-account", "300000000003"],
            "Account 300000000003 is not registered",
        ),
        (["add", TWO, "--name", "x", "--role-arn", ARN, "--pod-identity"], "Give only one of --access-key"),
        (["add", TWO, "--name", "x", "--base-account", ONE], "are for roles; give --role-arn too."),
        (["add", TWO, "--name", "x"], "The secrets are missing and there is no terminal to prompt on"),
        (["show", TWO], f"Account {TWO} is not registered"),
        (["pause", TWO], f"Account {TWO} is not registered"),
        (["resume", TWO], f"Account {TWO} is not registered"),
        (["remove", TWO, "--yes"], f"Account {TWO} is not registered"),
        (["remove", ONE], "Removing an account needs confirmation and there is no terminal; pass --yes."),
        (["set-credentials", ONE], "The secrets are missing"),
        (["set-credentials", ONE, "--secrets-file", "/nowhere"], "/nowhere cannot be read"),
    ],
)
def test_what_cannot_be_is_refused(opened: Harness, args: list[str], sentence: str) -> None:
    """Exit status 2, one sentence, nothing on standard output and nothing changed."""
    before = opened.contents()
    run = opened.run("accounts", *args)
    assert (run.status, run.stdout, len(run.sentences)) == (2, "", 1)
    assert sentence in run.sentences[0]
    assert opened.contents() == before


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        '{"access_key_id": "AKIAABCDEFGHIJKLMNOP"}',
        json.dumps({**KEYS, "secret_access_key": "a b"}),
        "[a]\n[b]",
    ],
)
def test_broken_secrets_are_refused_and_not_repeated(opened: Harness, document: str) -> None:
    """What is wrong is said without the secret; nothing is stored."""
    before = opened.contents()
    args = ("accounts", "add", TWO, "--name", "x", "--secrets-file", "-")
    run = opened.run(*args, stdin=document)
    assert (run.status, run.stdout, len(run.sentences)) == (2, "", 1)
    assert KEYS["access_key_id"] not in run.stderr
    assert opened.contents() == before


def test_a_paused_account_is_left_out_until_it_is_resumed(opened: Harness) -> None:
    """Pausing and resuming are harmless to repeat."""
    states: list[dict[str, str]] = []
    for command in ("pause", "pause", "resume", "resume"):
        assert opened.run("accounts", command, ONE).status == 0
        states.append(opened.collect().outcomes)
    assert states == [{}, {}, {ONE: "collected"}, {ONE: "collected"}]


def test_a_removed_account_keeps_its_history_and_loses_its_credentials(opened: Harness) -> None:
    """Its rows stay, its secrets are gone, runs leave it out, and adding it brings it back."""
    before = stored(opened, ONE)
    assert opened.run("accounts", "remove", ONE, "--yes").status == 0
    assert opened.value("SELECT count(*) FROM account_credentials") == 0
    assert opened.collect().outcomes == {}
    assert opened.run("collect", "--account", ONE).status == 2
    opened.register(make_account(1))
    assert opened.collect().outcomes == {ONE: "collected"}
    assert stored(opened, ONE) == before


def test_a_base_account_is_not_removed_before_its_roles(opened: Harness) -> None:
    """Removing it would break the accounts that it reaches."""
    add = (
        "accounts",
        "add",
        TWO,
        "--name",
        "member",
        "--role-arn",
        ARN,
        "--base-account",
        ONE,
        "--no-verify",
    )
    assert opened.run(*add).status == 0
    run = opened.run("accounts", "remove", ONE, "--yes")
    assert (run.status, f"its credentials assume the roles of {TWO} (member)" in run.sentences[0]) == (
        2,
        True,
    )
    assert opened.run("accounts", "remove", TWO, "--yes").status == 0
    assert opened.run("accounts", "remove", ONE, "--yes").status == 0


def test_accounts_are_listed_for_people_and_for_programs(opened: Harness) -> None:
    """The same accounts in both, with what was collected."""
    listed: list[dict[str, Any]] = json.loads(opened.run("accounts", "list", "--output", "json").stdout)
    assert [(each["aws_account_id"], each["status"]) for each in listed] == [(ONE, "active")]
    table = opened.run("accounts", "list").stdout
    assert ONE in table
    assert "2025-03-11" in table


def test_the_schema_is_made_checked_and_named(harness: Harness, empty_database_url: str) -> None:
    """The command db upgrade makes it and may be repeated; current and check say how it stands."""
    at = {"DATABASE_URL": empty_database_url}
    assert json.loads(harness.run("db", "current", "--output", "json", **at).stdout)["current"] is None
    assert harness.run("db", "check", **at).status == 2
    first = json.loads(harness.run("db", "upgrade", "--output", "json", **at).stdout)
    again = json.loads(harness.run("db", "upgrade", "--output", "json", **at).stdout)
    assert (first["from"], again["from"], again["to"]) == (None, first["to"], first["to"])
    current = json.loads(harness.run("db", "current", "--output", "json", **at).stdout)
    assert current == {"current": first["to"], "needed": first["to"]}
    assert harness.run("db", "check", **at).status == 0


def test_a_schema_that_somebody_changed_is_noticed(harness: Harness) -> None:
    """The command db check names the difference and exits with 2."""
    harness.rows("ALTER TABLE accounts ADD COLUMN nickname text")
    run = harness.run("db", "check")
    assert run.status == 2
    assert "nickname" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("command", [["upgrade"], ["check"]])
def test_a_newer_schema_is_left_alone(harness: Harness, command: list[str]) -> None:
    """An old program does not touch what a newer one has made."""
    harness.rows("UPDATE alembic_version SET version_num = '29990101_future'")
    before = harness.contents()
    run = harness.run("db", *command)
    assert (run.status, run.stdout) == (2, "")
    assert "29990101_future" in run.stderr
    assert harness.contents() == before
