"""What surrounds a run misbehaves: answers that drip, files that never end, values in the wrong place."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from subprocess import TimeoutExpired
from time import monotonic

import pytest

from costbatch.adapters.aws.clients import AwsClients, AwsSettings, signing_as
from costbatch.adapters.aws.errors import call_aws
from costbatch.adapters.aws.operations import GET_COST_AND_USAGE
from costbatch.adapters.pushgateway import Pushgateway
from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.config import Settings
from costbatch.config import files as config_files
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys, Secret
from costbatch.errors import AccountError, ConfigError, DeliveryError, ErrorKind
from tests.support.harness import KEY, Finished, Harness, make_account, wait_for
from tests.support.slow_servers import dripping

AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEYS = AccessKeys(access_key_id=Secret("AKIAIOSFODNN7EXAMPLE"), secret_access_key=Secret(AWS_SECRET))
QUESTION = {
    "TimePeriod": {"Start": "2025-03-01", "End": "2025-03-02"},
    "Granularity": "DAILY",
    "Metrics": ["UnblendedCost"],
}


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "body"])
@pytest.mark.parametrize("service", ["ce", "sts"])
def test_an_answer_of_aws_that_drips_ends_at_the_limit(
    monkeypatch: pytest.MonkeyPatch, service: str, *, headers: bool
) -> None:
    """The read time-out is of the whole answer, for each attempt; the account's failure is a time-out."""
    with dripping(headers=headers) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        settings = {"connect_timeout_seconds": 5.0, "read_timeout_seconds": 0.5, "max_attempts": 1}
        clients = AwsClients(AwsSettings(version="0", **settings))  # type: ignore[arg-type] # as above
        call = clients.get("sts", Partition.AWS).get_caller_identity
        if service == "ce":
            costs = clients.requests(GET_COST_AND_USAGE, Partition.AWS)
            call = lambda: costs.send(dict(QUESTION), KEYS, Meter(ApiBudget()))  # noqa: E731 - shorter than a function
        begun = monotonic()
        with pytest.raises(AccountError) as caught, signing_as(KEYS):
            call_aws("X", call)
    assert caught.value.kind is ErrorKind.TIMEOUT
    assert monotonic() - begun < 5


def test_a_connection_that_never_opens_ends_at_its_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses of a name share the one time-out: here two that never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://localhost:{port}")
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 4)
        held = [socket.socket() for _ in range(4)]
        for each in held:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        settings = {"connect_timeout_seconds": 1.0, "read_timeout_seconds": 1.0, "max_attempts": 1}
        clients = AwsClients(AwsSettings(version="0", **settings))  # type: ignore[arg-type] # as above
        begun = monotonic()
        with pytest.raises(AccountError) as caught, signing_as(KEYS):
            call_aws("X", clients.get("sts", Partition.AWS).get_caller_identity)
        for each in held:
            each.close()
    assert caught.value.kind is ErrorKind.TIMEOUT
    assert monotonic() - begun < 3


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "body"])
def test_a_gateway_that_drips_is_given_up_at_the_limit(idle: Harness, *, headers: bool) -> None:
    """The push time-out is of the whole push; a body after the status is not waited for."""
    silent = pytest.raises(DeliveryError, match=r"did not answer within 0\.5 seconds")
    with dripping(headers=headers) as url:
        gateway = Pushgateway(Secret(url), job="collect", timeout_seconds=0.5, version="0")
        begun = monotonic()
        with silent if headers else nullcontext():
            gateway.push(None, succeeded=True, now=idle.now())
    assert monotonic() - begun < 3


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "PUSHGATEWAY_URL"])
def test_sigterm_while_something_drips_ends_within_the_grace(harness: Harness, name: str) -> None:
    """Neither AWS nor the gateway holds the process."""
    harness.open(make_account(1))
    with dripping(headers=True) as url:
        limits = {
            "COSTBATCH_AWS_READ_TIMEOUT_SECONDS": "60",
            "COSTBATCH_PUSH_TIMEOUT_SECONDS": "8",
            "COSTBATCH_GRACE_SECONDS": "2",
        }
        process = harness.start("collect", "--output", "json", **{name: url}, **limits)
        assert process.stderr is not None
        with pytest.raises(TimeoutExpired):
            process.wait(4)
        process.send_signal(signal.SIGTERM)
        begun = monotonic()
        wait_for(process)
    assert monotonic() - begun < 15


@pytest.fixture
def quick_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file be waited for shortly."""
    monkeypatch.setattr(config_files, "LIMIT_SECONDS", 0.3)


@pytest.fixture(params=["endless", "fifo", "folder", "socket", "large", "absent", "utf-16", "nul"])
def bad_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Give a path that is of no use, and why it is not."""
    path = tmp_path / "value"
    match request.param:
        case "endless":
            yield "/dev/zero", "is larger than 64 KiB"
        case "fifo":
            os.mkfifo(path)
            yield str(path), "could not be read within 0.3 seconds"
        case "folder":
            yield str(tmp_path), "cannot be read: Is a directory"
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
                yield str(path), "cannot be read: No such device or address"
        case "large":
            path.write_text("x" * 10_000_000)
            yield str(path), "is larger than 64 KiB"
        case "absent":
            yield str(path), "cannot be read: No such file or directory"
        case "utf-16":
            path.write_text("production", encoding="utf-16")
            yield str(path), "is not a text file in UTF-8"
        case _:
            path.write_bytes(b"AKIA\0key")
            yield str(path), "it contains a NUL character"


@pytest.mark.parametrize("name", ["DATABASE_URL", "ENCRYPTION_KEY", "COSTBATCH_CONCURRENCY"])
def test_a_file_of_a_setting_is_read_within_bounds(
    quick_files: None, bad_file: tuple[str, str], name: str
) -> None:
    """Whatever the path names, one sentence says what is wrong with it, in time."""
    path, words = bad_file
    begun = monotonic()
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({f"{name}_FILE": path})
    (sentence,) = caught.value.problems
    assert sentence.startswith(f"{name}_FILE names {path}, which ")
    assert words in sentence
    assert monotonic() - begun < 3


@pytest.mark.parametrize("option", ["--secrets-file", "--external-id-file"])
def test_a_file_of_secrets_is_read_within_bounds(
    idle: Harness, quick_files: None, bad_file: tuple[str, str], option: str
) -> None:
    """As a file of a setting; nothing is stored."""
    path, words = bad_file
    role = ("--role-arn", "arn:aws:iam::123456789012:role/r") if option == "--external-id-file" else ()
    finished = idle.run("accounts", "add", "123456789012", "--name", "x", option, path, *role)
    assert one_sentence(finished).startswith(path)
    assert words in finished.stderr
    assert idle.value("SELECT count(*) FROM accounts") == 0


def one_sentence(finished: Finished) -> str:
    """Return the only sentence of a command that was used wrongly; there is no traceback."""
    assert finished.status == 2, finished.stderr
    assert "Traceback" not in finished.stderr
    (sentence,) = finished.sentences
    return sentence


@pytest.mark.parametrize(
    "document",
    [
        '{"access_key_id": "AKIA\\ud800AAAAAAAAAAAAAA", "secret_access_key": "x"}',
        '{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "half\\udfff-of-a-pair"}',
        '{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "nul\\u0000in-the-middle"}',
        '{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "schlüssel-zum-haus"}',
        '{"external_id": "\\ud83d"}',
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = half\u200bwidth\n",
    ],
)
def test_characters_that_no_secret_has_are_one_sentence(idle: Harness, document: str) -> None:
    """Half a surrogate pair, a NUL, a letter outside ASCII: refused without showing the secret."""
    command = ("accounts", "add", "123456789012", "--name", "x", "--secrets-file", "-")
    sentence = one_sentence(idle.run(*command, stdin=document))
    assert "contains characters that AWS never uses in one" in sentence


def test_bytes_that_are_not_text_are_one_sentence(idle: Harness, tmp_path: Path) -> None:
    """Invalid UTF-8 in a secrets file."""
    path = tmp_path / "secrets"
    path.write_bytes(b'{"external_id": "\xff\xfe"}')
    command = ("accounts", "add", "123456789012", "--name", "x", "--secrets-file", str(path))
    assert one_sentence(idle.run(*command)) == f"{path} is not a text file in UTF-8."


def test_a_byte_order_mark_is_not_part_of_a_file(harness: Harness, tmp_path: Path) -> None:
    """Windows writes one in front of what its editors save."""
    path = tmp_path / "secrets"
    document = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": AWS_SECRET}
    path.write_text(json.dumps(document), encoding="utf-8-sig")
    command = ("accounts", "add", "123456789012", "--name", "x", "--no-verify", "--secrets-file", str(path))
    assert harness.run(*command).status == 0
    path.write_text("17\r\n", encoding="utf-8-sig")
    assert Settings.from_environment({"COSTBATCH_CONCURRENCY_FILE": str(path)}).concurrency == 17


UNPRINTABLE = ["\udcff", "half \ud800", "\ufeffproduction", "a\0b", "a\x1b[31m", "x" * 201, " "]


@pytest.mark.parametrize("name", UNPRINTABLE)
def test_a_name_that_nothing_can_print_is_one_sentence(idle: Harness, name: str) -> None:
    """Bytes that are not UTF-8 come as halves of surrogate pairs."""
    sentence = one_sentence(idle.run("accounts", "add", "123456789012", "--pod-identity", "--name", name))
    assert sentence == "The name of an account must have 1 to 200 printable characters."


@pytest.mark.parametrize(
    "args",
    [
        ("--date", "9999-12-31"),
        ("--date", "9999-12-30"),
        ("--date", "0001-01-01"),
        ("--date", "0000-01-01"),
        ("--from", "0001-01-01"),
        ("--from", "9999-12-31"),
        ("--from", "2025-03-01", "--to", "9999-12-31"),
        ("--from", "0001-01-01", "--to", "9999-12-31"),
        *(("--deadline", text) for text in ("nan", "inf", "-inf", "1e308", "1e999999999", "-1", "0", "sNaN")),
        *(("--max-api-cost", text) for text in ("nan", "inf", "1e308", "1e999999999", "-1", "sNaN")),
        *(("--concurrency", text) for text in ("nan", "1e3", "9" * 5000)),
    ],
)
@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_the_ends_of_dates_and_numbers_are_one_sentence(
    idle: Harness, args: tuple[str, ...], dry_run: tuple[str, ...]
) -> None:
    """Never a traceback, and nothing is paid."""
    sentence = one_sentence(idle.collect(*args, *dry_run))
    assert len(sentence) < 200


@pytest.mark.parametrize("text", ["nan", "inf", "1e308", "-1", "0"])
def test_a_check_of_doctor_has_a_finite_limit(idle: Harness, text: str) -> None:
    """NaN is within no range."""
    sentence = one_sentence(idle.run("doctor", "--timeout", text))
    assert "is not a number of seconds from 0.1 to 600." in sentence


NUMBERS = [
    "COSTBATCH_PUSH_TIMEOUT_SECONDS",
    "COSTBATCH_DEADLINE_SECONDS",
    "COSTBATCH_ANOMALY_THRESHOLD",
    "COSTBATCH_MAX_API_COST_USD",
    "COSTBATCH_CONCURRENCY",
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e308", "-1", "9" * 60_000, "9" * 60_000 + "%"])
def test_a_number_of_a_variable_is_finite_and_short(tmp_path: Path, name: str, text: str) -> None:
    """The sentence does not repeat what is endless."""
    path = tmp_path / "number"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({f"{name}_FILE": str(path)})
    assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize("kind", ["CONCURRENCY", "ANOMALY_THRESHOLD", "VANISHED_RATIO", "DEADLINE_SECONDS"])
def test_a_number_from_a_file_is_not_shown(tmp_path: Path, kind: str) -> None:
    """It may be a secret, such as a PIN: the message has its length only."""
    path = tmp_path / "number"
    path.write_text("987654")
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({f"COSTBATCH_{kind}_FILE": str(path)})
    assert "not a value of 6 characters" in str(caught.value)
    assert "98765" not in str(caught.value)


MISPLACED = {
    "the key": KEY,
    "an AWS secret": AWS_SECRET,
    "an access key's id": "AKIAIOSFODNN7EXAMPLE",
    "a base64 key": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
    "a URL with a password": "postgresql://costbatch:hunter2@db/costs",
}


def heart_of(secret: str) -> str:
    """Return the part of a secret that must not be seen either."""
    return "hunter2" if "hunter2" in secret else secret[:12]


@pytest.mark.parametrize("secret", MISPLACED.values(), ids=MISPLACED.keys())
@pytest.mark.parametrize("from_file", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "COSTBATCH_CONCURRENCY",
        "COSTBATCH_LOG_LEVEL",
        "COSTBATCH_ANOMALY_THRESHOLD",
        "COSTBATCH_ACCOUNT_METRICS",
        "COSTBATCH_SINKS",
        "COSTBATCH_DEADLINE_SECONDS",
    ],
)
def test_a_secret_in_the_wrong_variable_is_not_shown(
    idle: Harness, tmp_path: Path, name: str, secret: str, *, from_file: bool
) -> None:
    """A file given to another variable by mistake, or the value itself: its length is all that is said."""
    path = tmp_path / "secret"
    path.write_text(f"{secret}\n")
    environ = {f"{name}_FILE": str(path)} if from_file else {name: secret}
    said = one_sentence(idle.run("config", **environ))
    assert secret not in said
    assert heart_of(secret) not in said


@pytest.mark.parametrize("secret", MISPLACED.values(), ids=MISPLACED.keys())
@pytest.mark.parametrize(
    "args",
    [
        ("collect", "{}"),
        ("{}",),
        ("collect", "--date", "{}"),
        ("collect", "--concurrency", "{}"),
        ("collect", "--deadline", "{}"),
        ("collect", "--max-api-cost", "{}"),
        ("collect", "--fail-on", "{}"),
        ("collect", "--account", "{}"),
        ("accounts", "show", "{}"),
        ("accounts", "add", "123456789012", "--name", "x", "--role-arn", "{}"),
        ("accounts", "add", "123456789012", "--name", "x", "--secrets-file", "{}"),
        ("db", "prune", "--keep", "{}"),
    ],
)
def test_a_secret_on_the_command_line_is_not_shown(idle: Harness, args: tuple[str, ...], secret: str) -> None:
    """Neither by costbatch nor by click."""
    finished = idle.run(*(arg.format(secret) for arg in args))
    assert finished.status == 2
    assert secret not in finished.stdout + finished.stderr
    assert heart_of(secret) not in finished.stdout + finished.stderr


@pytest.mark.parametrize("name", ["ENCRYPTION_KEY", "DATABASE_URL"])
def test_a_secret_in_place_of_its_files_path_is_not_shown(idle: Harness, name: str) -> None:
    """NAME_FILE was given the value and not the path."""
    value = idle.environ.pop(name)
    value = KEY if name == "ENCRYPTION_KEY" else "postgresql://costbatch:hunter2@db/costs"
    said = one_sentence(idle.run("config", **{f"{name}_FILE": value}))
    assert value not in said
    assert "hunter2" not in said


@pytest.mark.parametrize("secret", [KEY, AWS_SECRET, MISPLACED["a URL with a password"]])
@pytest.mark.parametrize("name", ["COSTBATCH_REQUIRED_TAGS", "COSTBATCH_ANOMALY_EXCLUDED_RECORD_TYPES"])
def test_a_secret_among_names_is_not_shown(idle: Harness, name: str, secret: str) -> None:
    """Any text may be a tag: it is taken, and `config` says only how long it is."""
    tags = "Owner,k8s.io/cluster-autoscaler/node-template/label"
    run = idle.run("config", "--output", "json", **{name: f"{tags},{secret}"})
    assert run.status == 0
    assert heart_of(secret) not in run.stdout + run.stderr
    shown = {each["name"]: each["value"] for each in json.loads(run.stdout)}[name]
    assert set(shown.split(",")) == {*tags.split(","), f"a value of {len(secret)} characters"}


@pytest.mark.parametrize("text", ["x" * 129, "a\x1b[31mb", "a,b\u202e"])
def test_a_name_of_a_list_is_printable_and_short(idle: Harness, text: str) -> None:
    """One sentence, without the whole of it."""
    sentence = one_sentence(idle.run("config", COSTBATCH_REQUIRED_TAGS=text))
    assert "must be names of up to 128 printable characters" in sentence
    assert len(sentence) < 200


def test_secrets_are_known_before_anything_is_printed(idle: Harness) -> None:
    """A password that was also given to another variable is masked in the sentence about that one."""
    environ = {"DATABASE_URL": "postgresql://u:correct-horse@db/costs", "COSTBATCH_FAIL_ON": "correct-horse"}
    assert "correct-horse" not in one_sentence(idle.run("config", **environ))


def test_ten_megabytes_are_not_echoed(idle: Harness, tmp_path: Path) -> None:
    """Nor one that fits into a file: some forty characters of a value are shown at most."""
    path = tmp_path / "value"
    path.write_text("word " * 10_000)
    said = one_sentence(idle.run("config", COSTBATCH_FAIL_ON_FILE=str(path)))
    assert len(said) < 300 + len(str(path))
    said = one_sentence(idle.run("config", COSTBATCH_FAIL_ON="word " * 10_000))
    assert len(said) < 300
