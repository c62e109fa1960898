"""``accounts add`` takes what AWS itself hands out, and asks AWS whose it is before it is stored."""

import json
from dataclasses import dataclass

import pytest

from costbatch.simulator.world import Fault, Role, World
from tests.support.harness import Finished, Harness, make_account
from tests.support.machine import free_port

FIRST, SECOND = make_account(1), make_account(2, roles=(Role("costbatch", external_id="partner-7"),))
KEY, SECRET = FIRST.access_key_id, FIRST.secret_access_key
ADD = ("accounts", "add", FIRST.account_id, "--name", "first", "--secrets-file")
CREATED = {"UserName": "costbatch", "AccessKeyId": KEY, "Status": "Active", "SecretAccessKey": SECRET}
TOKEN = "FwoGZXIvYXdzEXAMPLE" * 8
PROCESS = {"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": SECRET}

HANDED_OUT = {
    "aws iam create-access-key": json.dumps({"AccessKey": {**CREATED, "CreateDate": "2025-03-12T06:30:00Z"}}),
    "aws iam create-access-key --query AccessKey": json.dumps(CREATED, indent=4),
    "export-credentials": json.dumps(PROCESS),
    "export-credentials, no token": json.dumps({**PROCESS, "SessionToken": None, "Expiration": None}),
    "export-credentials --format env": (
        f"export AWS_ACCESS_KEY_ID={KEY}\nexport AWS_SECRET_ACCESS_KEY={SECRET}\n"
    ),
    "export-credentials --format env-no-export": f"AWS_ACCESS_KEY_ID={KEY}\nAWS_SECRET_ACCESS_KEY={SECRET}\n",
    "export-credentials --format fish": (
        f"set -gx AWS_ACCESS_KEY_ID {KEY}\nset -gx AWS_SECRET_ACCESS_KEY {SECRET}\n"
    ),
    "export-credentials --format powershell": (
        f'$Env:AWS_ACCESS_KEY_ID="{KEY}"\r\n$Env:AWS_SECRET_ACCESS_KEY="{SECRET}"\r\n'
    ),
    "export-credentials --format windows-cmd": (
        f"set AWS_ACCESS_KEY_ID={KEY}\r\nset AWS_SECRET_ACCESS_KEY={SECRET}\r\n"
    ),
    "the lines of a shell's profile": (
        f'# mine\nexport AWS_REGION="eu-west-1"\nexport AWS_ACCESS_KEY_ID="{KEY}"\n'
        f"export AWS_SECRET_ACCESS_KEY='{SECRET}'\n"
    ),
    "the console's CSV": f"\ufeffAccess key ID,Secret access key\r\n{KEY},{SECRET}\r\n",
    "the console's CSV, unmarked": f"Access key ID,Secret access key\n{KEY},{SECRET}",
    "the console's CSV of a new user": (
        "User name,Password,Access key ID,Secret access key,Console login link\n"
        f"costbatch,,{KEY},{SECRET},https://{FIRST.account_id}.signin.aws.amazon.com/console\n"
    ),
    "the console's CSV, saved by a spreadsheet": f"Access key ID;Secret access key\r\n{KEY};{SECRET}\r\n",
    "our own JSON": json.dumps({"access_key_id": KEY, "secret_access_key": SECRET}),
    "our own JSON, with a mark": "\ufeff" + json.dumps({"access_key_id": KEY, "secret_access_key": SECRET}),
    "a credentials file": f"[costbatch]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n",
}


def is_registered(harness: Harness) -> bool:
    """Whether one of the two accounts is in the table."""
    ids = [FIRST.account_id, SECOND.account_id]
    return bool(harness.value("SELECT count(*) FROM accounts WHERE aws_account_id = ANY(%s)", ids))


@dataclass(frozen=True)
class Taken:
    """What adding an account by each form said and asked, and how a run over all of them ended."""

    ids: dict[str, str]
    added: dict[str, Finished]
    asked: dict[str, dict[str, int]]
    outcomes: dict[str, str]


@pytest.fixture(scope="module")
def taken(shared: Harness, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """Add an account by each form, and collect them all."""
    accounts = {form: make_account(n) for n, form in enumerate(HANDED_OUT, 101)}
    shared.aws.replace_world(World(accounts=(*accounts.values(),), today=shared.today))
    path = tmp_path_factory.mktemp("keys") / "key"
    added = {}
    for form, account in accounts.items():
        text = HANDED_OUT[form].replace(KEY, account.access_key_id)
        path.write_bytes(text.replace(SECRET, account.secret_access_key).encode())
        add = ("accounts", "add", account.account_id, "--name", form, "--secrets-file", str(path))
        added[form] = shared.run(*add)
    requests = shared.aws.requests()["accounts"]
    ids = {form: account.account_id for form, account in accounts.items()}
    asked = {form: requests[one]["requests"] for form, one in ids.items()}
    return Taken(ids, added, asked, shared.collect().outcomes)


@pytest.mark.parametrize("form", HANDED_OUT)
def test_what_aws_hands_out_is_taken(taken: Taken, form: str) -> None:
    """As it is, without an editor in between; and STS has said that the key is the account's."""
    assert (taken.added[form].status, taken.added[form].stderr) == (0, "")
    assert taken.asked[form] == {"GetCallerIdentity": 1}
    assert taken.outcomes[taken.ids[form]] == "collected"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            json.dumps({**PROCESS, "SessionToken": TOKEN, "Expiration": "2025-03-12T12:00:00Z"}),
            "temporary",
        ),
        (json.dumps({"Credentials": {**PROCESS, "SessionToken": TOKEN}}), "temporary credentials"),
        (HANDED_OUT["export-credentials --format env"] + f"export AWS_SESSION_TOKEN={TOKEN}\n", "temporary"),
        (
            HANDED_OUT["export-credentials --format fish"] + f"set -gx AWS_SESSION_TOKEN {TOKEN}\n",
            "temporary",
        ),
        (json.dumps({"AccessKey": {"AccessKeyId": KEY, "Status": "Active"}}), "without the other"),
        (
            json.dumps({"AccessKey": {"AccessKeyId": KEY, "SecretAccessKey": 7}}),
            "not a JSON object of strings",
        ),
        (f"export AWS_ACCESS_KEY_ID={KEY}\n", "without the other"),
        (f"AWS_ACCESS_KEY_ID={KEY}\nAWS_ACCESS_KEY_ID={KEY}\n", "sets AWS_ACCESS_KEY_ID more than once"),
        ("Access key ID,Secret access key\n", "holds 0 access keys"),
        (f"Access key ID,Secret access key\n{KEY},{SECRET}\n{KEY},{SECRET}\n", "holds 2 access keys"),
        (f"Access key ID,Secret access key\n{KEY}\n", "without the other"),
        ("export AWS_REGION=eu-west-1\n", "holds no secrets"),
    ],
)
def test_what_cannot_serve_every_night_is_refused(idle: Harness, document: str, words: str) -> None:
    """Temporary, cut and doubled keys: one sentence, status 2, nothing stored, nothing shown."""
    run = idle.run(*ADD, "-", stdin=document)
    assert (run.status, len(run.sentences), run.stdout) == (2, 1, "")
    assert words in run.stderr
    assert not is_registered(idle)
    for secret in (KEY, SECRET, TOKEN):
        assert secret not in run.stderr


@pytest.mark.parametrize("form", ["aws iam create-access-key", "our own JSON", "the console's CSV"])
def test_the_key_of_another_account_is_refused(harness: Harness, form: str) -> None:
    """Both ids are named, nothing is stored and nothing is paid; --no-verify does not ask."""
    harness.aws.replace_world(World(accounts=(FIRST, SECOND), today=harness.today))
    wrong = ("accounts", "add", SECOND.account_id, "--name", "second", "--secrets-file", "-")
    run = harness.run(*wrong, stdin=HANDED_OUT[form])
    assert (run.status, len(run.sentences)) == (2, 1)
    assert f"credentials belong to account {FIRST.account_id}, not to {SECOND.account_id}" in run.stderr
    assert not is_registered(harness)
    assert set(harness.aws.requests()["accounts"][FIRST.account_id]["requests"]) == {"GetCallerIdentity"}
    harness.aws.reset_requests()
    assert harness.run(*wrong, "--no-verify", stdin=HANDED_OUT[form]).status == 0
    assert harness.aws.requests()["total"]["requests"] == 0


def test_replacing_by_the_key_of_another_account_keeps_the_old_one(harness: Harness) -> None:
    """The check comes before the old key is erased."""
    third = make_account(3)
    harness.open(FIRST, third)
    command = ("accounts", "set-credentials", third.account_id, "--secrets-file", "-")
    run = harness.run(*command, stdin=HANDED_OUT["our own JSON"])
    assert (run.status, len(run.sentences)) == (2, 1)
    assert f"credentials belong to account {FIRST.account_id}, not to {third.account_id}" in run.stderr
    assert set(harness.collect().outcomes.values()) == {"collected"}
    assert harness.run(*command, "--no-verify", stdin=HANDED_OUT["our own JSON"]).status == 0


@pytest.mark.parametrize("fault", ["invalid_token", "access_denied"])
def test_a_key_that_aws_refuses_is_not_stored(idle: Harness, fault: str) -> None:
    """A deleted or mistyped key is found now, and not at two in the morning."""
    broken = make_account(1, faults=(Fault(fault, operation="*"),))
    idle.aws.replace_world(World(accounts=(broken,), today=idle.today))
    run = idle.run(*ADD, "-", stdin=HANDED_OUT["our own JSON"])
    assert (run.status, len(run.sentences)) == (2, 1)
    assert "Nothing was stored." in run.stderr
    assert not is_registered(idle)


@pytest.mark.parametrize("how", ["nothing listens", "aws is down"])
def test_without_an_answer_nothing_is_registered(harness: Harness, how: str) -> None:
    """Status 1, because trying again can help; the sentence names the option that skips the check."""
    broken = make_account(1, faults=(Fault("http_500", operation="*"),))
    harness.aws.replace_world(World(accounts=(broken,), today=harness.today))
    environ = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"} if how == "nothing listens" else {}
    run = harness.run(*ADD, "-", stdin=HANDED_OUT["our own JSON"], **environ)
    assert (run.status, len(run.sentences)) == (1, 1)
    assert "Nothing was stored." in run.stderr
    assert "--no-verify" in run.stderr
    assert not is_registered(harness)
    assert harness.run(*ADD, "-", "--no-verify", stdin=HANDED_OUT["our own JSON"], **environ).status == 0


def test_a_role_that_cannot_be_assumed_is_not_registered(harness: Harness) -> None:
    """The base account's key tries it, with the external id that is to be stored."""
    harness.open(FIRST)
    harness.aws.replace_world(World(accounts=(FIRST, SECOND), today=harness.today))
    role = f"arn:aws:iam::{SECOND.account_id}:role/costbatch"
    add = ("accounts", "add", SECOND.account_id, "--name", "second", "--role-arn", role)
    options = ("--base-account", FIRST.account_id, "--external-id-stdin")
    run = harness.run(*add, *options[:2], ENCRYPTION_KEY="")
    assert (run.status, len(run.sentences)) == (2, 1)
    assert "ENCRYPTION_KEY" in run.stderr
    run = harness.run(*add, *options, stdin="partner-8")
    assert (run.status, len(run.sentences)) == (2, 1)
    assert "AssumeRole" in run.stderr
    assert "trust policy" in run.stderr
    assert harness.value("SELECT count(*) FROM accounts") == 1
    assert harness.run(*add, *options, stdin="partner-7").status == 0
    assert set(harness.collect().outcomes.values()) == {"collected"}


def test_what_the_pod_signs_is_not_asked_about(harness: Harness) -> None:
    """Accounts are often registered elsewhere than in the pod, whose identity is not there."""
    harness.aws.replace_world(World(accounts=(FIRST, SECOND), today=harness.today))
    role = f"arn:aws:iam::{SECOND.account_id}:role/costbatch"
    assert harness.run("accounts", "add", FIRST.account_id, "--name", "tools", "--pod-identity").status == 0
    assert harness.run("accounts", "add", SECOND.account_id, "--name", "x", "--role-arn", role).status == 0
    assert harness.aws.requests()["total"]["requests"] == 0
