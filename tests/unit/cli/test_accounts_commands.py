"""``costbatch accounts …`` as a person or a script uses it."""

import errno
import json
from datetime import UTC, date, datetime
from io import RawIOBase
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typing_extensions import override

from costbatch.domain.accounts import Failing, Progress
from costbatch.domain.credentials import AccessKeys, Secret, StoredSecrets
from costbatch.domain.periods import DateRange
from tests.support.fakes import FakeVault

ID, OTHER = "111111111111", "222222222222"
KEY_ID = "AKIA" + "ABCDEFGHIJKLMNOP"
SECRET = "abc/def+ghi=jkl%mno"
KEYS = StoredSecrets(access_keys=AccessKeys(access_key_id=Secret(KEY_ID), secret_access_key=Secret(SECRET)))
DOCUMENT = json.dumps({"access_key_id": KEY_ID, "secret_access_key": SECRET})
PROFILE = f"# a comment\naws_access_key_id = {KEY_ID}\naws_secret_access_key={SECRET}\nregion = eu-west-1\n"
ROLE = f"arn:aws:iam::{ID}:role/costbatch"
ADD = ("accounts", "add", ID, "--name", "production")


COLLECTED = DateRange(date(2024, 2, 1), date(2025, 3, 10))


class GoneTerminal(RawIOBase):
    """A terminal whose window was closed."""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any, /) -> int:
        if not buffer:
            return 0  # click asks for no bytes, to see what kind of stream it is
        raise OSError(errno.EIO, "Input/output error")


def stored(shell: Any, row: int = 1) -> StoredSecrets:
    """Return the secrets that a row holds."""
    account = shell.database.accounts.rows[row]
    return FakeVault().open(account.aws_account_id, shell.database.accounts.sealed[row])


def assert_refused(result: Result, words: str) -> None:
    """Check that a command ended with exit status 2 and a sentence, and showed no secret."""
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stdout == ""
    assert SECRET not in result.stderr
    assert KEY_ID not in result.stderr


@pytest.mark.parametrize("document", [DOCUMENT, PROFILE, f"[default]\n{PROFILE}"])
def test_secrets_come_from_standard_input(shell: Any, document: str) -> None:
    """As JSON, or as the lines of an AWS credentials file."""
    result = shell.run(*ADD, "--secrets-file", "-", stdin=document)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"Account {ID} (production) is registered; the next run collects it.\n"
    assert stored(shell) == KEYS


def test_secrets_come_from_a_file(shell: Any, tmp_path: Path) -> None:
    """A path is as good as standard input; a session token in our own format is kept."""
    path = tmp_path / "credentials"
    members = {"access_key_id": KEY_ID, "secret_access_key": SECRET, "session_token": "token"}
    path.write_text(json.dumps(members))
    shell.run(*ADD, "--access-key", "--secrets-file", str(path))
    keys = stored(shell).access_keys
    assert keys is not None
    assert keys.session_token == Secret("token")


def test_a_person_is_asked_and_does_not_see_the_secret(shell: Any) -> None:
    """The prompt is hidden and on standard error."""
    shell.is_interactive = True
    result = shell.run(*ADD, stdin=f"{KEY_ID}\n{SECRET}\n")
    assert result.exit_code == 0, result.output
    assert stored(shell) == KEYS
    assert "Secret access key: " in result.stderr
    assert SECRET not in result.output


def test_without_a_terminal_there_is_no_prompt(shell: Any) -> None:
    """A script must not wait forever."""
    assert_refused(shell.run(*ADD), "there is no terminal to prompt on; use --secrets-file")


@pytest.mark.parametrize(
    "arguments",
    [("accounts", "add", OTHER, "--name", "x"), ("accounts", "remove", ID), ("events", "discard", "hook")],
    ids=" ".join,
)
def test_a_terminal_that_is_gone_is_not_the_output(shell: Any, arguments: tuple[str, ...]) -> None:
    """Reading from it fails as writing to a broken disk does; only the latter is a fault of the output."""
    assert shell.run(*ADD, "--secrets-file", "-", stdin=DOCUMENT).exit_code == 0
    shell.is_interactive = True
    result = shell.run(*arguments, stdin=GoneTerminal())
    assert result.exit_code == 1
    assert result.stderr.endswith("Error: The terminal cannot be read: Input/output error.\n")


def test_standard_input_that_breaks_is_named(shell: Any) -> None:
    """Its error has no file name either."""
    result = shell.run(*ADD, "--secrets-file", "-", stdin=GoneTerminal())
    assert_refused(result, "Standard input cannot be read: Input/output error.")


def test_giving_up_at_the_prompt_is_quiet(shell: Any) -> None:
    """The end of input counts as Ctrl-C."""
    shell.is_interactive = True
    result = shell.run(*ADD, stdin="")
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    assert shell.database.accounts.rows == {}


def test_a_role_is_added_with_its_external_id(shell: Any, tmp_path: Path) -> None:
    """From standard input, from a file, or from a document; or without one."""
    path = tmp_path / "external-id"
    path.write_text("partner-7\n")
    ways = [
        (("--external-id-stdin",), "partner-7\n"),
        (("--external-id-file", str(path)), None),
        (("--secrets-file", "-"), '{"external_id": "partner-7"}'),
    ]
    for options, stdin in ways:
        result = shell.run(*ADD, "--role-arn", ROLE, *options, stdin=stdin)
        assert result.exit_code == 0, result.output
        assert stored(shell) == StoredSecrets(external_id=Secret("partner-7"))
        shell.run("accounts", "remove", ID, "--yes")
    assert shell.run(*ADD, "--role-arn", ROLE).exit_code == 0
    assert shell.database.accounts.sealed == {}


@pytest.mark.parametrize(
    ("options", "stdin", "words"),
    [
        (("--external-id-stdin",), "\n", "An external id must have 2 to 1224 letters"),
        (("--secrets-file", "-"), '{"external_id": ""}', "An external id must have 2 to 1224 letters"),
        (("--external-id-file", ""), None, "cannot be read"),
        (("--secrets-file", ""), None, "cannot be read"),
        (("--external-id-file", "", "--external-id-stdin"), "partner-7", "Give only one of"),
    ],
)
def test_an_empty_external_id_is_not_none(
    shell: Any, options: tuple[str, ...], stdin: str | None, words: str
) -> None:
    """A role without one can be assumed for anyone who knows its ARN: nobody asked for that."""
    assert_refused(shell.run(*ADD, "--role-arn", ROLE, *options, stdin=stdin), words)
    assert shell.database.accounts.rows == {}
    shell.run(*ADD, "--role-arn", ROLE, "--external-id-stdin", stdin="partner-7")
    change = ("accounts", "set-credentials", ID, "--secrets-file")
    assert_refused(shell.run(*change, "-", stdin='{"external_id": ""}'), "An external id must have")
    assert_refused(shell.run(*change, ""), "cannot be read")
    assert stored(shell) == StoredSecrets(external_id=Secret("partner-7"))


def test_a_role_is_added_with_its_base(shell: Any) -> None:
    """And `show` names the base."""
    shell.run("accounts", "add", OTHER, "--name", "payer", "--secrets-file", "-", stdin=DOCUMENT)
    result = shell.run(*ADD, "--role-arn", ROLE, "--base-account", "2222-2222-2222", "--output", "json")
    assert json.loads(result.stdout)["role_arn"] == ROLE
    assert json.loads(shell.run("accounts", "show", ID, "--output", "json").stdout)["base_account"] == OTHER


def test_a_pods_identity_needs_no_secret(shell: Any) -> None:
    """Nothing is stored."""
    result = shell.run(*ADD, "--pod-identity", "--partition", "aws-cn", "--output", "json")
    assert json.loads(result.stdout)["access"] == "pod_identity"
    assert json.loads(result.stdout)["partition"] == "aws-cn"
    assert shell.database.accounts.sealed == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--access-key", "--pod-identity"), "Give only one of --access-key, --role-arn and --pod-identity."),
        (("--pod-identity", "--base-account", OTHER), "are for roles; give --role-arn too"),
        (("--external-id-stdin",), "are for roles; give --role-arn too"),
        (
            ("--role-arn", ROLE, "--external-id-stdin", "--secrets-file", "-"),
            "Give only one of --secrets-file, --external-id-file and --external-id-stdin.",
        ),
        (("--role-arn", "nonsense"), "is not the ARN of an IAM role"),
        (("--role-arn", ROLE.replace(ID, OTHER)), f"belongs to account {OTHER}, not to {ID}"),
        (("--role-arn", ROLE, "--partition", "aws-cn"), "is in the partition aws, not in aws-cn"),
        (("--role-arn", ROLE, "--base-account", OTHER), f"Account {OTHER} is not registered"),
        (("--role-arn", ROLE, "--base-account", ID), "cannot be its own base"),
        (("--pod-identity", "--secrets-file", "-"), "has no credentials to store"),
        (("--secrets-file", "/no/such/file"), "cannot be read: No such file or directory"),
        (("--secrets-file", "\0"), "cannot be read: the path is not valid"),
    ],
)
def test_options_that_do_not_fit_are_refused(shell: Any, options: tuple[str, ...], words: str) -> None:
    """One sentence, exit status 2, nothing stored."""
    assert_refused(shell.run(*ADD, *options, stdin=DOCUMENT), words)
    assert shell.database.accounts.rows == {}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", 'is empty. Expected JSON such as {"access_key_id": "…", "secret_access_key": "…"}'),
        ("{", "is not a JSON object of strings"),
        ('{"access_key_id": 1}', "is not a JSON object of strings"),
        ("{}", "holds no secrets"),
        (json.dumps({"AccessKeyId": KEY_ID}), "without the other"),
        (json.dumps({"access_key_id": KEY_ID}), "without the other"),
        (json.dumps({"secret_access_key": SECRET}), "without the other"),
        (f"{KEY_ID}\n{SECRET}\n", "is not understood"),
        (f"[a]\n{PROFILE}[b]\n{PROFILE}", "holds 2 profiles; keep one"),
        (json.dumps({"access_key_id": SECRET, "secret_access_key": KEY_ID}), "look swapped"),
        (json.dumps({"access_key_id": KEY_ID, "secret_access_key": ""}), "is empty"),
        (json.dumps({"external_id": "x7"}), "An access key is required"),
    ],
)
def test_a_document_that_holds_no_access_key_is_refused(shell: Any, document: str, words: str) -> None:
    """The sentence never quotes the document."""
    assert_refused(shell.run(*ADD, "--secrets-file", "-", stdin=document), words)
    assert shell.database.accounts.rows == {}


def test_a_file_that_is_not_text_is_refused(shell: Any, tmp_path: Path) -> None:
    """A keystore is not a document."""
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00")
    assert_refused(shell.run(*ADD, "--secrets-file", str(path)), "is not a text file in UTF-8")


def test_an_id_with_11_digits_is_refused(shell: Any) -> None:
    """Before anything is read or asked."""
    result = shell.run("accounts", "add", "12345678901", "--name", "x")
    assert_refused(result, "'12345678901' is not an AWS account id: it must have 12 digits.")


def test_a_duplicate_is_refused(shell: Any) -> None:
    """The sentence names the command that was perhaps meant."""
    shell.run(*ADD, "--pod-identity")
    assert_refused(shell.run(*ADD, "--pod-identity"), "is already registered. To replace its credentials")


def test_the_list_is_a_table_for_people(shell: Any) -> None:
    """When it is piped: one account a line, tabs between the values, however long the name."""
    shell.run("accounts", "add", ID, "--name", "n" * 150, "--pod-identity")
    failing = Failing(since=datetime(2025, 3, 10, 7, tzinfo=UTC), kind="throttled")
    shell.database.progress.rows[1] = Progress(covered=COLLECTED, failing=failing)
    header, row = shell.run("accounts", "list").stdout.splitlines()
    assert header.split("\t")[:2] == ["account", "name"]
    assert row.split("\t") == [
        ID,
        "n" * 150,
        "active",
        "pod_identity",
        "2025-03-09",
        "2025-03-10T07:00:00Z",
        "throttled",
        "-",
    ]


def test_the_list_shows_that_discovery_fails(shell: Any) -> None:
    """Alone or beside the collection; it is since the first of both that something is wrong."""
    shell.run(*ADD, "--pod-identity")
    collection = Failing(since=datetime(2025, 3, 10, 9, tzinfo=UTC), kind="throttled")
    discovery = Failing(since=datetime(2025, 3, 10, 8, tzinfo=UTC), kind="access_denied")
    shell.database.progress.discovery[1] = Progress(failing=discovery)
    for failing, why in (
        (None, "discovery: access_denied"),
        (collection, "throttled; discovery: access_denied"),
    ):
        shell.database.progress.rows[1] = Progress(covered=COLLECTED, failing=failing)
        record = shell.run("accounts", "list").stdout.splitlines()[1].split("\t")
        assert record[5:7] == ["2025-03-10T08:00:00Z", why]
        (account,) = json.loads(shell.run("accounts", "list", "--output", "json").stdout)
        assert account["failing_kind"] == (failing and failing.kind)
        assert account["discovery_failing_since"] == "2025-03-10T08:00:00Z"
        assert account["discovery_failing_kind"] == "access_denied"


def test_the_list_is_json_for_programs(shell: Any) -> None:
    """Days and instants are ISO 8601; the document ends with a newline."""
    shell.run(*ADD, "--pod-identity")
    shell.database.progress.rows[1] = Progress(covered=COLLECTED)
    result = shell.run("accounts", "list", "--output", "json")
    assert result.stdout.endswith("]\n")
    (account,) = json.loads(result.stdout)
    assert (account["aws_account_id"], account["added_at"]) == (ID, "2025-03-10T07:00:00Z")
    assert (account["collected_from"], account["collected_to"]) == ("2024-02-01", "2025-03-09")
    assert account["failing_since"] is None


def test_the_list_can_be_of_one_status(shell: Any) -> None:
    """And says so when it is empty."""
    shell.run(*ADD, "--pod-identity")
    assert "`costbatch accounts add`" in shell.run("accounts", "list", "--status", "paused").stdout
    shell.run("accounts", "pause", ID)
    assert ID in shell.run("accounts", "list", "--status", "paused").stdout


def test_show_prints_everything_but_the_secrets(shell: Any) -> None:
    """Why it fails, with what to do, and whether its credentials open."""
    shell.run(*ADD, "--secrets-file", "-", stdin=DOCUMENT)
    failing = Failing(since=datetime(2025, 3, 10, 7, tzinfo=UTC), kind="access_denied")
    shell.database.progress.rows[1] = Progress(failing=failing)
    result = shell.run("accounts", "show", ID)
    for words in (
        ID,
        "access_keys",
        "access_denied",
        "ce:GetCostAndUsage",
        "11112222",
        "can be decrypted with ENCRYPTION_KEY",
    ):
        assert words in result.stdout
    assert SECRET not in result.stdout
    assert KEY_ID not in result.stdout


def test_show_says_when_credentials_do_not_open_or_are_not_there(shell: Any) -> None:
    """Another key sealed them, or nothing is stored."""
    shell.run(*ADD, "--pod-identity")
    store = shell.database.accounts
    failing = Failing(since=store.rows[1].created_at, kind="of the future")
    shell.database.progress.rows[1] = Progress(failing=failing)
    assert "none stored" in shell.run("accounts", "show", ID).stdout
    shell.database.accounts.sealed[1] = FakeVault("99998888").seal(ID, KEYS)
    assert "cannot be decrypted with ENCRYPTION_KEY" in shell.run("accounts", "show", ID).stdout


def test_show_works_without_the_key(shell: Any) -> None:
    """It then says that it could not try."""
    shell.run(*ADD, "--secrets-file", "-", stdin=DOCUMENT)
    shell.vault = None
    assert "not checked, because ENCRYPTION_KEY is not set" in shell.run("accounts", "show", ID).stdout


def test_a_person_hears_of_a_duplicate_before_typing_a_secret(shell: Any) -> None:
    """No prompt appears."""
    shell.run(*ADD, "--pod-identity")
    shell.is_interactive = True
    result = shell.run(*ADD, stdin=f"{KEY_ID}\n{SECRET}\n")
    assert_refused(result, "is already registered")
    assert "Access key id" not in result.stderr


def test_show_of_an_unknown_account_is_refused(shell: Any) -> None:
    """With the way to those that are known."""
    assert_refused(
        shell.run("accounts", "show", ID), f"Account {ID} is not registered; `costbatch accounts list`"
    )


def test_an_account_is_paused_and_resumed(shell: Any) -> None:
    """Each says what it means for the next run."""
    shell.run(*ADD, "--pod-identity")
    assert "is paused; it will be skipped until you resume it" in shell.run("accounts", "pause", ID).stdout
    assert "is active; the next run collects it" in shell.run("accounts", "resume", ID).stdout


@pytest.mark.parametrize(("answer", "status"), [("y\n", "removed"), ("n\n", "active")])
def test_removing_asks_first(shell: Any, answer: str, status: str) -> None:
    """No means that nothing changes."""
    shell.run(*ADD, "--pod-identity")
    shell.is_interactive = True
    result = shell.run("accounts", "remove", ID, stdin=answer)
    assert result.exit_code == 0
    assert "Erase the credentials of account" in result.stderr
    assert shell.database.accounts.rows[1].status == status


def test_removing_without_a_terminal_needs_yes(shell: Any) -> None:
    """A script says that it means it; the answer says what is kept."""
    shell.run(*ADD, "--pod-identity")
    assert_refused(shell.run("accounts", "remove", ID), "pass --yes")
    result = shell.run("accounts", "remove", ID, "--yes")
    assert result.stdout.endswith("is removed: its credentials are erased, its history is kept.\n")


def test_credentials_are_replaced(shell: Any) -> None:
    """From a document, or from a person, who is asked for what the account needs."""
    shell.run(*ADD, "--secrets-file", "-", stdin=DOCUMENT.replace("abc", "old"))
    command = ("accounts", "set-credentials", ID)
    result = shell.run(*command, "--secrets-file", "-", stdin=DOCUMENT)
    assert result.stdout == f"The credentials of account {ID} (production) are replaced.\n"
    assert stored(shell) == KEYS
    shell.is_interactive = True
    shell.run(*command, stdin=f"{KEY_ID}\nnew\n")
    keys = stored(shell).access_keys
    assert keys is not None
    assert keys.secret_access_key == Secret("new")


def test_a_person_is_asked_for_the_external_id_of_a_role(shell: Any) -> None:
    """A role has no access key."""
    shell.run(*ADD, "--role-arn", ROLE)
    shell.is_interactive = True
    result = shell.run("accounts", "set-credentials", ID, stdin="partner-8\n")
    assert result.exit_code == 0, result.output
    assert stored(shell).external_id == Secret("partner-8")
