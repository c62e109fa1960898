"""Promise 8: secrets are planted everywhere, AWS and crashes shout them, and nobody can find one."""

import base64
import json
import re
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from costbatch.adapters.aws import credentials
from costbatch.simulator.world import Account, Fault, Role
from tests.chaos import planted
from tests.chaos.planted import ECHO, SECRETS, dump, forms, leaks
from tests.support.harness import Finished, Harness, Prepare, make_account, wait_for
from tests.support.receiver import Reply, receiving
from tests.support.waiting import until

_XML = """
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>
<SessionToken>{}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::100000000010:assumed-role/Planted/costbatch</Arn></AssumedRoleUser>
</AssumeRoleResult></AssumeRoleResponse>
"""
_SESSION = _XML.format(planted.SESSION_KEY_ID, planted.SESSION_SECRET, planted.SESSION_TOKEN)
_UNIT = {"Amount": "1", "Unit": planted.SECRET_ACCESS_KEY}
_ODD_UNIT = json.dumps(
    {
        "ResultsByTime": [
            {
                "TimePeriod": {"Start": "2025-03-11", "End": "2025-03-12"},
                "Total": {},
                "Groups": [
                    {
                        "Keys": ["EC2", "Usage"],
                        "Metrics": dict.fromkeys(("UnblendedCost", "AmortizedCost"), _UNIT),
                    }
                ],
                "Estimated": True,
            }
        ]
    }
)


# Of the accounts below, in their order.
_OUTCOMES = [
    "collected",
    "access_denied",
    "malformed_response",
    "internal",
    "internal",
    "credentials_rejected",
    "timeout",
    "malformed_response",
    "collected",
    "credentials_rejected",
    "credentials_unreadable",
]


# Of the same accounts, if they are discovered instead.
_DISCOVERED = [
    "partial",
    "access_denied",
    "malformed_response",
    "internal",
    "timeout",
    "credentials_rejected",
    "internal",
    "access_denied",
    "malformed_response",
    "credentials_rejected",
    "credentials_unreadable",
]


def _code(code: str) -> str:
    return json.dumps({"__type": code, "message": ECHO})


def _accounts() -> list[Account]:
    """Return accounts that have the planted secrets, or to which AWS says them."""
    id_, secret = planted.ACCESS_KEY_ID, planted.SECRET_ACCESS_KEY
    role = Role("Planted", external_id=planted.EXTERNAL_ID)
    return [
        make_account(1, access_key_id=id_, secret_access_key=secret),
        make_account(2, faults=(Fault("access_denied", message=ECHO),)),
        make_account(3, faults=(Fault("body", body=ECHO),)),
        make_account(4, faults=(Fault("body", body=_code(planted.ACCESS_KEY_ID), status=400),)),
        make_account(5, faults=(Fault("body", body=_code("ValidationException"), status=400),)),
        make_account(6, faults=(Fault("invalid_token", message=ECHO, operation="GetCallerIdentity"),)),
        make_account(7, faults=(Fault("http_500", message=ECHO),)),
        make_account(8, faults=(Fault("body", body=_ODD_UNIT),)),
        make_account(9, roles=(role,)),
        make_account(10, roles=(role,), faults=(Fault("body", body=_SESSION, operation="AssumeRole"),)),
        make_account(11),
    ]


def _registered(harness: Harness) -> None:
    """Register the accounts, the last one with a secret that cannot be read."""
    harness.environ["ENCRYPTION_KEY"] = planted.ENCRYPTION_KEYS["hex"]
    accounts = _accounts()
    for account in accounts:
        harness.register(account, base=accounts[0].account_id if account.roles else None)
    harness.open(*accounts)
    harness.rows(
        "UPDATE account_credentials SET sealed = sealed || '\\x00'::bytea WHERE account_id ="
        " (SELECT id FROM accounts WHERE aws_account_id = %s)",
        harness.ids[10],
    )


@pytest.fixture(params=["raw"])
def secretive(request: pytest.FixtureRequest, prepare: Prepare) -> Harness:
    """Return the accounts with every setting's secret planted, the key in an encoding."""
    harness = prepare(_registered)
    password = f"postgres:{planted.DATABASE_PASSWORD}@"
    harness.environ["DATABASE_URL"] = harness.database_url.replace("postgres:@", password)
    harness.environ["ENCRYPTION_KEY"] = planted.ENCRYPTION_KEYS[request.param]
    harness.environ["COSTBATCH_RETRY_PAUSE_SECONDS"] = "0"
    harness.environ["COSTBATCH_LOG_LEVEL"] = "debug"
    return harness


in_each_encoding = pytest.mark.parametrize("secretive", planted.ENCRYPTION_KEYS, indirect=True)


def _texts(*commands: Finished) -> list[str]:
    return [text for command in commands for text in (command.stdout, command.stderr)]


@pytest.mark.parametrize("name", SECRETS)
def test_the_search_finds_a_secret_that_is_there(name: str) -> None:
    """A search that finds nothing proves something only where it would find."""
    secret = SECRETS[name]
    for form in forms(secret):
        assert name in leaks(b"some text around " + form + b", and behind")
    header = base64.b64encode(f"somebody:{secret}".encode()).decode()
    assert leaks(f"Authorization: Basic {header}") == {name}
    assert leaks("nothing of interest") == set()


def test_the_search_finds_a_secret_in_a_table(harness: Harness) -> None:
    """The dump holds every table, and bytes are searched too."""
    harness.open(make_account(1, name=planted.EXTERNAL_ID))
    harness.rows("UPDATE account_credentials SET sealed = %s", planted.SECRET_ACCESS_KEY.encode())
    assert leaks(dump(harness.database_url)) == {"external id", "secret access key"}


@in_each_encoding
def test_a_run_shows_no_secret(secretive: Harness, gateway_url: str) -> None:
    """Not in the summary, the logs of both formats, the events, the metrics, or any column of any table."""
    pushgateway = gateway_url.replace("//", f"//somebody:{planted.PUSH_PASSWORD}@")
    runs = [
        secretive.run(
            "collect", "--output", output, COSTBATCH_LOG_FORMAT=log_format, PUSHGATEWAY_URL=pushgateway
        )
        for output, log_format in (("json", "console"), ("table", "json"), ("json", "json"))
    ]
    assert [run.status for run in runs] == [0, 0, 0]
    assert runs[0].outcomes == dict(zip(secretive.ids, _OUTCOMES, strict=True))
    with build_opener(ProxyHandler({})).open(f"{gateway_url}/metrics", timeout=5) as answer:
        metrics = answer.read()
    assert b"costbatch_accounts" in metrics
    assert leaks(*_texts(*runs), metrics, dump(secretive.database_url)) == set()


def test_a_discovery_shows_no_secret(secretive: Harness) -> None:
    """Whatever AWS says of regions, views and resources: nothing of it is repeated."""
    echo = {"message": ECHO}
    code = {"body": _code(planted.ACCESS_KEY_ID), "status": 400}
    for number, operation, kind, parameters in (
        (1, "GetResources", "access_denied", {"region": "eu-west-1", **echo}),
        (2, "GetResources", "access_denied", echo),
        (3, "ListRegions", "body", {"body": ECHO}),
        (4, "ListRegions", "body", code),
        (5, "GetResources", "http_500", echo),
        (7, "ListIndexes", "validation", echo),
        (8, "ListRegions", "access_denied", echo),
        (8, "DescribeRegions", "access_denied", echo),
        (9, "GetResources", "body", {"body": json.dumps({"ResourceTagMappingList": ECHO})}),
    ):
        secretive.aws.add_fault(secretive.ids[number - 1], kind, operation=operation, **parameters)
    arns = [{"arn": arn, "region": "us-east-1", "was_tagged": True} for arn in SECRETS.values()]
    secretive.aws.update_account(secretive.ids[0], inventory=arns)
    runs = [secretive.run("discover", "--output", output) for output in ("json", "table")]
    assert [run.status for run in runs] == [0, 0]
    assert runs[0].outcomes == dict(zip(secretive.ids, _DISCOVERED, strict=True))
    assert leaks(*_texts(*runs), dump(secretive.database_url)) == set()


def test_a_crash_shows_no_secret(secretive: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback is logged, with the errors that it tells, and without the secrets that they hold."""

    def crash(*_: object) -> None:
        raise RuntimeError(f"it broke over {ECHO!r}") from KeyError(ECHO)

    monkeypatch.setattr(credentials, "_check_owner", crash)
    secretive.environ["PUSHGATEWAY_URL"] = f"http://somebody:{planted.PUSH_PASSWORD}@127.0.0.1:9"
    by_session = ("collect", "--account", secretive.ids[9])
    runs = [secretive.run(*by_session, COSTBATCH_LOG_FORMAT=name) for name in ("json", "console")]
    assert [run.status for run in runs] == [1, 1]
    for run in runs:
        assert "Traceback" in run.stderr
        assert "RuntimeError: it broke over" in run.stderr
    assert leaks(*_texts(*runs), dump(secretive.database_url)) == set()


@in_each_encoding
def test_no_command_shows_a_secret(secretive: Harness) -> None:
    """Whatever prints settings or accounts prints them without their secrets."""
    secretive.environ["PUSHGATEWAY_URL"] = f"http://somebody:{planted.PUSH_PASSWORD}@127.0.0.1:9"
    commands = [["config"], ["accounts", "list"], *(["accounts", "show", each] for each in secretive.ids)]
    shown = [secretive.run(*each, "--output", output) for each in commands for output in ("table", "json")]
    assert {each.status for each in shown} == {0}
    assert "***" in shown[0].stdout
    assert leaks(*_texts(*shown)) == set()


@pytest.mark.parametrize(
    "document",
    [
        ECHO,
        "{" + ECHO,
        json.dumps({"access_key_id": planted.ACCESS_KEY_ID, "secret": planted.SECRET_ACCESS_KEY}),
        json.dumps({"access_key_id": planted.ACCESS_KEY_ID}),
        json.dumps({"access_key_id": planted.SECRET_ACCESS_KEY, "secret_access_key": planted.ACCESS_KEY_ID}),
        json.dumps({"access_key_id": planted.ACCESS_KEY_ID, "secret_access_key": f"{ECHO}\n"}),
        json.dumps({planted.SECRET_ACCESS_KEY: planted.ACCESS_KEY_ID}),
        json.dumps({"external_id": planted.EXTERNAL_ID}),
        f"aws_secret_access_key {planted.SECRET_ACCESS_KEY}\n",
        f"[a]\naws_secret_access_key={planted.SECRET_ACCESS_KEY}\n[b]\nx={planted.ACCESS_KEY_ID}",
        f"aws_access_key_id={planted.ACCESS_KEY_ID}\naws_access_key_id={planted.SECRET_ACCESS_KEY}",
    ],
)
def test_a_wrong_document_is_refused_without_being_quoted(document: str, harness: Harness) -> None:
    """Who pastes the wrong thing gets a sentence, and nothing of it reaches the terminal or the database."""
    arguments = ("accounts", "add", "123456789012", "--name", "wrong", "--secrets-file", "-")
    finished = harness.run(*arguments, stdin=document)
    assert finished.status == 2
    assert len(finished.sentences) == 1
    assert leaks(*_texts(finished), dump(harness.database_url)) == set()
    assert harness.rows("SELECT 1 FROM accounts") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENCRYPTION_KEY", planted.KEY_BYTES.hex() + "00"),
        ("ENCRYPTION_KEY", planted.KEY_BYTES.decode() + "!"),
        ("DATABASE_URL", f"mysql://root:{planted.DATABASE_PASSWORD}@db/costs"),
        ("DATABASE_URL", f"postgresql://root:a@{planted.DATABASE_PASSWORD}@db/costs"),
        ("DATABASE_URL", f"postgresql://root:{planted.DATABASE_PASSWORD}@127.0.0.1:1/costs"),
        ("DATABASE_URL", f"postgresql://127.0.0.1:1/costs?user=root&password={planted.DATABASE_PASSWORD}"),
        ("PUSHGATEWAY_URL", f"ftp://root:{planted.PUSH_PASSWORD}@gateway"),
    ],
)
def test_a_wrong_setting_is_refused_without_being_quoted(name: str, value: str, harness: Harness) -> None:
    """The sentence says what was found in words, never by showing it."""
    finished = harness.run("db", "check", **{name: value})
    assert finished.status in (1, 2)
    assert finished.sentences
    assert leaks(*_texts(finished)) == set()


def test_a_running_collect_has_no_secret_on_its_command_line(secretive: Harness) -> None:
    """Every user of the machine may read it."""
    secretive.aws.set_latency(0.3)
    process = secretive.start_python("collect")
    until(lambda: bool(secretive.rows("SELECT 1 FROM run_items WHERE state = 'running'")))
    command_line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    finished = wait_for(process)
    assert re.search(rb"\0collect\0$", command_line)
    assert leaks(command_line, *_texts(finished)) == set()


# Of the sinks, beside those of planted.SECRETS.
_OF_SINKS = {
    "SIGN": "whsec_" + base64.b64encode(b"planted-signing-secret-7731").decode(),
    "TOKEN": "planted-bearer-t0ken-7731",
    "HOOK": "http://127.0.0.1:{port}/services/PlantedHook7731/XXXXyyyy0000",
    "CHAT": "json://planted-user:Planted-chat-Passw0rd@127.0.0.1:{port}/PlantedChat7731Path",
}


def test_the_secrets_of_sinks_come_to_light_nowhere(harness: Harness, tmp_path: Path) -> None:
    """Receivers quote them, and every command looks at the sinks: no output and no row has one."""
    with receiving() as receiver:
        port = receiver.url.rpartition(":")[2]
        secrets = {name: text.replace("{port}", port) for name, text in _OF_SINKS.items()}
        receiver.reply = Reply(500, {"X-Echo": secrets["TOKEN"]}, body=" ".join(secrets.values()).encode())
        file = tmp_path / "sinks.yaml"
        file.write_text(
            """
sinks:
  hook:
    type: webhook
    url: {secret_env: HOOK}
    secrets: {secret_env: SIGN}
    token: {secret_env: TOKEN}
    allow_private: true
  chat: {type: notify, url: {secret_env: CHAT}}
"""
        )
        harness.environ |= {
            **secrets,
            "COSTBATCH_SINKS_FILE": str(file),
            "COSTBATCH_DELIVERY_SECONDS": "1",
            "COSTBATCH_LOG_LEVEL": "debug",
        }
        harness.open(make_account(1))
        commands = [
            harness.collect(),
            *(
                harness.run(*args)
                for args in (["config"], ["doctor"], ["events", "list"], ["events", "deliver"])
            ),
            *(harness.run("events", "test", name) for name in ("hook", "chat", "gone")),
        ]
        assert len(receiver.asked) >= 4
    parts = [*secrets.values(), "PlantedHook7731", "Planted-chat-Passw0rd", "PlantedChat7731Path"]
    outputs = [*map(str.encode, _texts(*commands)), dump(harness.database_url)]
    for secret in parts:
        assert not any(form in output for form in forms(secret) for output in outputs), secret
    assert "answered 500 Internal Server Error" in commands[0].stderr
