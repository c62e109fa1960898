"""The simulator starts as a process, says where it is, and stops when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from typing import TYPE_CHECKING

import pytest

from costbatch.simulator import client
from costbatch.simulator.__main__ import main
from costbatch.simulator.client import ControlError, SimulatorProcess
from costbatch.simulator.demo_world import load_world
from costbatch.simulator.world import World, to_plain

if TYPE_CHECKING:
    from pathlib import Path

    from costbatch.simulator.world import Account
    from tests.aws.simulator.conftest import Lab


def test_a_process_serves_a_world_and_stops(lab: Lab, account: Account) -> None:
    """The context manager starts it, its URL is an AWS endpoint, and its pid is gone afterwards."""
    world = World(accounts=(account,), today=date(2026, 3, 15))
    began = time.monotonic()
    with SimulatorProcess(world) as simulator:
        started = time.monotonic() - began
        assert simulator.current_world() == world
        sts = lab.aws("sts", account, endpoint_url=simulator.url)
        assert sts.get_caller_identity()["Account"] == account.account_id
        pid = simulator.pid
        assert simulator.health()["pid"] == pid
    assert started < 5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_it_cleanly(number: signal.Signals) -> None:
    """SIGTERM and SIGINT end it with status 0."""
    command = [sys.executable, "-m", "costbatch.simulator", "--load", "2", "--today", "2026-03-15"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        assert ready["url"].startswith("http://127.0.0.1:")
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_options_override_the_world(tmp_path: Path) -> None:
    """Seed, day and latency of the command line win over the file's."""
    file = tmp_path / "world.json"
    file.write_text(json.dumps(to_plain(load_world(1))), encoding="utf-8")
    options = ["--world", str(file), "--seed", "9", "--today", "2026-01-02", "--latency", "0.01"]
    with SimulatorProcess(arguments=options) as simulator:
        world = simulator.current_world()
    assert (world.seed, world.today, world.latency_seconds) == (9, date(2026, 1, 2), 0.01)


def test_the_demonstration_is_the_default() -> None:
    """Without a source the demonstration's accounts are served, on the real day."""
    with SimulatorProcess() as simulator:
        world = simulator.current_world()
        assert simulator.truth()
    assert len(world.accounts) > 20
    assert world.today is None


@pytest.mark.parametrize("text", ["not json", "[]", '{"accounts": [{"account_id": "1"}]}'])
def test_a_world_that_cannot_be_used_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """One sentence and status 2, before anything listens."""
    file = tmp_path / "world.json"
    file.write_text(text, encoding="utf-8")
    assert main(["--world", str(file)]) == 2
    assert capsys.readouterr().err.startswith("The world cannot be used: ")


def test_a_start_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """The client raises when the process ends before it is ready."""
    with pytest.raises(ControlError, match="did not start; exit status 2"):
        SimulatorProcess(arguments=["--world", "/nowhere/world.json"]).start()
    assert "The world cannot be used" in capfd.readouterr().err


def test_a_simulator_that_was_not_started_has_no_pid() -> None:
    """Asking too early is an error with a sentence."""
    with pytest.raises(ControlError, match="has not been started"):
        SimulatorProcess().stop()


def test_a_process_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch, account: Account) -> None:
    """A process that cannot answer SIGTERM is ended all the same."""
    monkeypatch.setattr(client, "STOP_TIMEOUT_SECONDS", 0.1)
    simulator = SimulatorProcess(World(accounts=(account,)))
    simulator.start()
    os.kill(simulator.pid, signal.SIGSTOP)
    simulator.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(simulator.pid, 0)
