"""`costbatch demo`, what a new user sees first: it needs nothing of the shell, and its advice works."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from costbatch.cli import cli
from costbatch.demo.demonstration import Demo
from costbatch.errors import ConfigError
from costbatch.simulator.demo_world import demo_world
from tests.support.databases import database_folder
from tests.support.harness import KEY, Harness
from tests.support.machine import free_port, unmeasured_children

# Two whole demonstrations, on a machine that may be busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
# What the shell of someone who also runs the real thing may hold, and what would each end the demo.
HOSTILE = {
    "ENCRYPTION_KEY": "not a key",
    "ENCRYPTION_KEY_FILE": "/nowhere/key",
    "DATABASE_URL": "mysql://nowhere/x",
    "DATABASE_URL_FILE": "/nowhere/url",
    "PUSHGATEWAY_URL": "http://127.0.0.1:9",
    "PUSHGATEWAY_URL_FILE": "/nowhere/gateway",
    "COSTBATCH_CONCURRENCY": "many",
    "COSTBATCH_CONCURENCY": "8",
    "COSTBATCH_RUN_KEY_FILE": "/nowhere/run",
    "AWS_PROFILE": "nobody",
    "AWS_CONFIG_FILE": "/nowhere/config",
    "AWS_CA_BUNDLE": "/nowhere/ca",
    "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9",
    "PGHOST": "nowhere.invalid",
    "PGPORT": "9",
    "PGSSLMODE": "verify-full",
    "PGSERVICE": "nothing",
    "PGOPTIONS": "-c search_path=nowhere",
    "PGDATA": "/nowhere/data",
    "PGSERVER_POSTGRES_VERSION": "9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "no_proxy": "example.com",
}


def shell(command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a line as a person types it in the checkout."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def shown() -> Iterator[list[subprocess.CompletedProcess[str]]]:
    """Run the demonstration twice on the same folder, first in a shell with everything wrong."""
    with database_folder() as folder, unmeasured_children():
        demo = f"{sys.executable} -m costbatch demo --folder {folder}"
        yield [shell(demo, COLUMNS="120", **HOSTILE), shell(demo, COLUMNS="120")]


def _anomalies(demo: subprocess.CompletedProcess[str]) -> tuple[int, int]:
    """Return how many anomalies are open, and how many the run has detected."""
    found = re.search(r"(\d+) open \((\d+) detected", demo.stdout)
    assert found, demo.stdout
    return int(found[1]), int(found[2])


def test_the_demo_shows_every_kind_of_account(shown: list[subprocess.CompletedProcess[str]]) -> None:
    """Collected accounts, the two that fail and why, another currency, and the anomalies with their trend."""
    first = shown[0]
    assert first.returncode == 0, first.stderr
    assert "Registered 27 accounts; 0 were there already." in first.stdout
    for expected in ("25 collected, 2 failed", "credentials_rejected", "cost_explorer_not_enabled"):
        assert expected in first.stdout
    for account in ("checkout", "throttled", "tokyo-subsidiary", "startup-credits", "partner-by-role"):
        assert account in first.stdout
    assert "PARTIAL: 1 of 27 accounts NOT DISCOVERED" in first.stdout
    # The four that are made to show; on some days the rule takes other accounts' weekends for some too.
    opened, detected = _anomalies(first)
    assert opened == detected >= 4
    assert "█" in first.stdout
    assert len(re.findall(r"\sanomaly\.detected\s.*\snone$", first.stdout, re.MULTILINE)) == 3


def test_a_second_demo_goes_on_with_the_same_data(shown: list[subprocess.CompletedProcess[str]]) -> None:
    """It registers nothing anew, writes no row that has not changed, and finds no anomaly twice."""
    second = shown[1]
    assert second.returncode == 0, second.stderr
    assert "Registered 0 accounts; 27 were there already." in second.stdout
    assert _anomalies(second) == (_anomalies(shown[0])[0], 0)
    # As the README says.
    assert re.search(r"^ *API +25 requests, 0\.25 USD", second.stdout, re.MULTILINE), second.stdout


def test_the_demo_works_whatever_the_shell_has_set(shown: list[subprocess.CompletedProcess[str]]) -> None:
    """Variables of the installation, of libpq, of boto3 and of proxies: none of them counts."""
    first = shown[0]
    assert (first.returncode, first.stderr.count("Error: ")) == (0, 0), first.stderr
    assert "25 collected, 2 failed" in first.stdout


def test_the_next_commands_work_as_printed(shown: list[subprocess.CompletedProcess[str]]) -> None:
    """The demo ends with them; each starts the harness for itself, also in the hostile shell."""
    printed = shown[0].stdout
    last = printed[printed.index("Next, try:") :].splitlines()
    commands = [line.strip() for line in last[1:]]
    assert len(commands) == 5
    with unmeasured_children():
        ended = [shell(command, **HOSTILE) for command in commands]
    assert [each.returncode for each in ended] == [0] * 5, [each.stderr for each in ended]
    account, backfill, opinions, resources, sizes = (each.stdout for each in ended)
    assert "credentials_rejected" in account
    assert "COLLECTED 1 account" in backfill
    assert "Read 26 of 27 accounts by 26 requests" in opinions
    assert "\nboth\t" in opinions
    assert "bucket" in resources
    assert "The database takes " in sizes


def test_a_command_of_the_demo_prints_nothing_but_its_output(
    shown: list[subprocess.CompletedProcess[str]],
) -> None:
    """So that it can be piped into a program; its status is the demo's."""
    (line,) = [line for line in shown[0].stdout.splitlines() if line.endswith("db stats")]
    with unmeasured_children():
        listed = shell(line.replace("db stats", "accounts list --output json"))
        wrong = shell(line.replace("db stats", "accounts show 999999999999"))
    assert len(json.loads(listed.stdout)) == 27
    assert (wrong.returncode, wrong.stdout) == (2, "")


def blocks_by_hand() -> list[str]:
    """Return the blocks of shell in the section on the simulated AWS."""
    text = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
    section = re.search(r"^## Simulated AWS\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section
    return re.findall(r"^```sh\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)


def test_data_of_another_version_are_refused(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its schema may be called the same; a query would fail without advice."""
    servers = nullcontext((demo_world(date(2026, 3, 1)), harness.environ))
    monkeypatch.setattr(Demo, "_servers", lambda *_: servers)
    demo = Demo(tmp_path, Console())
    assert demo.run(date(2026, 3, 1), ["db", "check"]) == 0
    harness.rows("ALTER TABLE runs DROP COLUMN stopped_by")
    with pytest.raises(ConfigError, match=r"Another version of costbatch .* delete the folder"):
        demo.run(date(2026, 3, 1), ["db", "check"])


def test_a_folder_that_cannot_be_made_is_named() -> None:
    """It ends with one sentence, before a server is started."""
    demo = Demo(Path("/proc/demo"), Console(quiet=True))
    with pytest.raises(ConfigError, match=r"^The folder /proc/demo cannot be written: "):
        demo.collect(date(2026, 3, 1))


def test_a_key_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not standard output that is full; and the next demo does not take what is left for a key."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    demo, key = Demo(tmp_path, Console()), tmp_path / "encryption-key"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(ConfigError) as raised:
            demo._key()
    assert str(raised.value) == f"The file {key} cannot be written: No space left on device."
    assert len(demo._key()) == 64
    assert demo._key() == key.read_text()
    assert key.stat().st_mode & 0o777 == 0o600


def test_the_stand_in_is_used_from_its_document_alone(empty_database_url: str) -> None:
    """Five commands, as they are written there but for the port, on an empty database."""
    start, use = (block.replace("8081", port) for port in [str(free_port())] for block in blocks_by_hand())
    assert len((start + use).splitlines()) == 5
    configuration = {"DATABASE_URL": empty_database_url, "ENCRYPTION_KEY": KEY}
    with (
        unmeasured_children(),
        subprocess.Popen(
            ["bash", "-c", f"exec {start}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as stand_in,
    ):
        try:
            assert stand_in.stdout
            assert json.loads(stand_in.stdout.readline())["url"].startswith("http://127.0.0.1:")
            ended = shell(f"set -e -o pipefail\n{use}", **configuration)
        finally:
            stand_in.send_signal(signal.SIGTERM)
    assert ended.returncode == 0, ended.stderr
    assert "Account 100000000012 (checkout) is registered" in ended.stdout
    assert "COLLECTED 1 account" in ended.stdout


def test_the_stand_in_says_which_accounts_there_are() -> None:
    """An id that is mistyped ends with status 2 and the ids that it knows."""
    ended = shell(f"{sys.executable} -m costbatch.simulator --keys 12")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "There is no account 12 in this world" in ended.stderr
    assert "100000000012 (checkout)" in ended.stderr


def test_a_demo_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A production image has no stand-in: one sentence, status 2."""
    monkeypatch.setattr("costbatch.cli.demo.find_spec", lambda _: None)
    result = CliRunner().invoke(cli, ["demo"])
    assert result.exit_code == 2
    assert "pip install '.[demo]'" in result.stderr
