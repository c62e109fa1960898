"""Every exit status of `collect` that is not wrong usage."""

import socket

import pytest

from costbatch.application.jobs import retry
from costbatch.simulator.world import Fault
from tests.support.harness import Harness, make_account, wait_for

BROKEN = (Fault("not_enabled"),)


def unreachable_url() -> str:
    """Return the URL of a database that nobody serves."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"postgresql://costbatch:hunter2@127.0.0.1:{free.getsockname()[1]}/costs"


def test_all_collected_is_0(harness: Harness) -> None:
    """Every account is collected: 0."""
    harness.open(make_account(1), make_account(2))
    run = harness.collect()
    assert run.status == 0
    assert run.outcomes == dict.fromkeys(harness.ids, "collected")
    assert run.summary["run"]["status"] == "completed"


def test_some_collected_is_0_and_said_loudly(harness: Harness) -> None:
    """A partial failure is 0 by default; the table says it first and last, with the reason."""
    harness.open(make_account(1), make_account(2, faults=BROKEN), make_account(3))
    run = harness.run("collect")
    assert run.status == 0
    lines = run.stdout.strip().splitlines()
    assert "PARTIAL: 1 of 3 accounts NOT COLLECTED" in lines[0]
    assert "PARTIAL: 1 of 3 accounts NOT COLLECTED" in lines[-1]
    assert "failed: cost_explorer_not_enabled (1 account)" in run.stdout
    assert "Cost Explorer is not enabled in this account" in " ".join(run.stdout.split())


def test_some_failed_is_3_when_asked_for(harness: Harness) -> None:
    """--fail-on partial makes a partial failure 3, by option and by setting."""
    harness.open(make_account(1), make_account(2, faults=BROKEN))
    assert harness.collect("--fail-on", "partial").status == 3
    assert harness.collect(COSTBATCH_FAIL_ON="partial").status == 3
    assert harness.collect("--fail-on", "total", COSTBATCH_FAIL_ON="partial").status == 0


@pytest.mark.parametrize("fail_on", ["total", "partial"])
def test_none_failed_is_0_whatever_is_asked_for(harness: Harness, fail_on: str) -> None:
    """--fail-on says what counts as a failure, and success is none."""
    harness.open(make_account(1))
    assert harness.collect("--fail-on", fail_on).status == 0


@pytest.mark.parametrize("fail_on", ["total", "partial"])
def test_none_collected_is_1(harness: Harness, fail_on: str) -> None:
    """There were accounts and none was collected: 1, and the summary is printed all the same."""
    harness.open(make_account(1, faults=BROKEN), make_account(2, faults=BROKEN))
    run = harness.collect("--fail-on", fail_on)
    assert run.status == 1
    assert run.summary["run"]["status"] == "failed"
    assert run.summary["run"]["accounts"]["failed"] == 2


def test_no_accounts_is_0(harness: Harness) -> None:
    """Nothing to do is no failure; it is said, and nothing is asked of AWS."""
    run = harness.run("collect")
    assert run.status == 0
    assert "NOTHING TO DO: there are no accounts to collect" in run.stdout
    assert harness.aws.requests()["total"]["requests"] == 0


def test_only_paused_accounts_is_0(harness: Harness) -> None:
    """A paused account is left out of a run without a word, and without a request."""
    harness.open(make_account(1))
    harness.run("accounts", "pause", harness.ids[0])
    run = harness.collect()
    assert (run.status, run.summary["accounts"]) == (0, [])
    assert harness.aws.paid() == 0


def test_an_unreachable_database_is_1(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry may help, so it is 1: one sentence, without the password, and nothing is paid."""
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 1.0)
    harness.open(make_account(1))
    run = harness.collect(DATABASE_URL=unreachable_url())
    assert (run.status, run.stdout) == (1, "")
    (sentence,) = run.sentences
    assert sentence.startswith("The database cannot be reached or was lost: ")
    assert "hunter2" not in run.stderr
    assert "Traceback" not in run.stderr
    assert harness.aws.requests()["total"]["requests"] == 0


@pytest.mark.parametrize(
    "command", [["accounts", "list"], ["db", "upgrade"], ["db", "check"], ["db", "current"]]
)
def test_an_unreachable_database_is_1_for_every_command(harness: Harness, command: list[str]) -> None:
    """Every command that needs the database says so in one sentence."""
    run = harness.run(*command, DATABASE_URL=unreachable_url())
    assert (run.status, run.stdout, len(run.sentences)) == (1, "", 1)
    assert "Traceback" not in run.stderr


def test_anomalies_are_no_failure(harness: Harness) -> None:
    """What a run finds does not change how it ends."""
    harness.open(make_account(1, rows=()), make_account(2))
    assert harness.collect("--fail-on", "partial").status == 0


def test_the_installed_program_exits_with_the_same_statuses(harness: Harness) -> None:
    """A real process: its status, its summary on standard output, its log on standard error."""
    harness.open(make_account(1), make_account(2, faults=BROKEN))
    finished = wait_for(harness.start_python("collect", "--output", "json", "--fail-on", "partial"))
    assert finished.status == 3
    assert finished.outcomes == {harness.ids[0]: "collected", harness.ids[1]: "cost_explorer_not_enabled"}
    assert finished.logs("run_ended")[0]["status"] == "partial"
