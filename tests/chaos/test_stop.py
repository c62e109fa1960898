"""SIGTERM and SIGINT at every harness of a run: it ends in order and in time, and another completes it."""

import os
import signal
from time import monotonic

import pytest

from costbatch.cli.process import StopSignals
from tests.chaos.conftest import CopyScenario
from tests.chaos.contents import contents
from tests.chaos.scenarios import ENVIRON, RUN_KEY, Scenario, paid_by_account
from tests.support.fake_gateway import serve_gateway
from tests.support.fork_server import Process
from tests.support.harness import ONE_DAY, TODAY, Finished, Harness, bill, make_account, steady, wait_for
from tests.support.waiting import MOST_SECONDS, blocked, count, locked, until

# The first test of a process prepares the scenarios, which takes a while on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130}
_RUN_STATUS = "SELECT status FROM runs WHERE run_key = %s"
_INCIDENTS = "SELECT count(*) FROM events WHERE type = 'incident.detected'"
# What a loaded machine may add to a grace period.
_SLACK_SECONDS = 4


def _start(harness: Harness, **environ: str) -> Process:
    return harness.start("collect", "--run-key", RUN_KEY, "--output", "json", **{**ENVIRON, **environ})


def _end(process: Process) -> Finished:
    return wait_for(process, timeout_seconds=MOST_SECONDS)


def _check_complete(harness: Harness, scenario: Scenario) -> None:
    finished = _end(_start(harness))
    assert finished.status == 0, finished.stderr
    assert contents(harness, RUN_KEY) == scenario.expected
    assert paid_by_account(harness.aws) == scenario.paid


@pytest.mark.parametrize("number", _STATUS)
@pytest.mark.parametrize("scenario_name", ["fresh", "grown"])
def test_a_signal_in_the_middle_finishes_what_is_in_flight_and_stops(
    number: signal.Signals, scenario_name: str, scenarios: dict[str, Scenario], copy_scenario: CopyScenario
) -> None:
    """The run is stopped, told and measured; the next process with its key pays for nothing a second time."""
    scenario = scenarios[scenario_name]
    harness = copy_scenario(scenario)
    before = count(harness, "succeeded")
    with serve_gateway() as gateway:
        gateway.open.set()
        process = _start(harness, PUSHGATEWAY_URL=gateway.url)
        until(lambda: count(harness, "succeeded") > before)
        process.send_signal(number)
        finished = _end(process)
    assert finished.status == _STATUS[number], finished.stderr
    assert harness.value(_RUN_STATUS, RUN_KEY) == "stopped"
    assert finished.summary["run"]["status"] == "stopped"
    assert count(harness, "running") == 0
    assert count(harness, "pending") > 0
    assert harness.value("SELECT count(*) FROM deliveries WHERE delivered_at IS NULL") == 0
    assert "costbatch_last_run_succeeded 0.0" in gateway.text
    assert "last_success" not in gateway.text
    _check_complete(harness, scenario)


def test_a_signal_before_the_first_claim_stops_before_anything_is_paid(
    scenarios: dict[str, Scenario], copy_scenario: CopyScenario
) -> None:
    """Not even the first account is begun."""
    harness = copy_scenario(scenarios["fresh"])
    with locked(harness, "runs"):
        process = _start(harness)
        until(lambda: blocked(harness) == 1)
        process.send_signal(signal.SIGTERM)
    assert _end(process).status == 143
    assert harness.value(_RUN_STATUS, RUN_KEY) == "stopped"
    assert count(harness, "pending") == len(harness.ids)
    assert harness.aws.paid() == 0
    _check_complete(harness, scenarios["fresh"])


def test_a_signal_after_the_last_account_changes_nothing(harness: Harness) -> None:
    """What is complete is a success, even where the signal comes before the process has ended."""
    harness.open(make_account(1))
    with serve_gateway() as gateway:
        process = _start(harness, PUSHGATEWAY_URL=gateway.url)
        assert gateway.asked.wait(MOST_SECONDS)
        process.send_signal(signal.SIGTERM)
        gateway.open.set()
        finished = _end(process)
    assert finished.status == 0, finished.stderr
    assert harness.value(_RUN_STATUS, RUN_KEY) == "completed"
    assert "costbatch_last_run_succeeded 1.0" in gateway.text


def test_the_next_night_tells_the_incident_of_one_that_a_signal_stopped(harness: Harness) -> None:
    """Nobody resumes a Job that was deleted: what it found together would never be told."""
    process = _start_with_incident(harness)
    process.send_signal(signal.SIGTERM)
    assert _end(process).status == 143
    assert harness.value(_INCIDENTS) == 0
    _check_next_nights(harness)


def test_a_run_that_ends_meanwhile_does_not_hide_the_incident_of_one_that_is_killed(harness: Harness) -> None:
    """It leaves to a run that is worked on what that one has found; then nobody has told of it."""
    process = _start_with_incident(harness)
    assert harness.collect("--account", harness.ids[0]).status == 0
    assert harness.value(_INCIDENTS) == 0
    process.kill()
    _end(process)
    _check_next_nights(harness)


def _start_with_incident(harness: Harness) -> Process:
    """Start a run that has found the same spike in two accounts, and waits for the third one's answer."""
    day = TODAY - ONE_DAY
    usual = [row for row in steady("100.00", until=TODAY + 2 * ONE_DAY) if row.date != day]
    alike = [make_account(number, rows=(*usual, bill(day, "300.00"))) for number in (1, 2)]
    harness.open(*alike, make_account(3))
    harness.aws.add_fault(harness.ids[2], "latency", times=1, seconds=30)
    process = _start(harness)
    until(lambda: count(harness, "succeeded") == 2)
    return process


def _check_next_nights(harness: Harness) -> None:
    """Collect two more nights: the first one reports the incident, the second one nothing new of it."""
    for night in (1, 2):
        harness.sleep_until(TODAY + night * ONE_DAY)
        assert harness.collect().status == 0
        assert harness.value(_INCIDENTS) == 1


def _open_hanging(harness: Harness) -> None:
    """Open two accounts; the second one's answer does not come."""
    harness.open(make_account(1), make_account(2))
    harness.aws.add_fault(harness.ids[1], "hang", times=1, seconds=60)


@pytest.mark.parametrize("number", _STATUS)
def test_an_account_that_does_not_answer_is_given_back_after_the_grace_period(
    number: signal.Signals, harness: Harness
) -> None:
    """The process really ends in time, and the account is free at once for the next one."""
    _open_hanging(harness)
    process = _start(harness, COSTBATCH_GRACE_SECONDS="1", COSTBATCH_AWS_READ_TIMEOUT_SECONDS="60")
    until(lambda: count(harness, "succeeded") == 1)
    process.send_signal(number)
    began = monotonic()
    finished = _end(process)
    assert 1 <= monotonic() - began < 1 + _SLACK_SECONDS
    assert finished.status == _STATUS[number]
    assert [line["accounts"] for line in finished.logs("claims_released")] == [1]
    (row,) = harness.rows("SELECT attempts, claimed_by FROM run_items WHERE state = 'pending'")
    assert row == {"attempts": 0, "claimed_by": None}
    assert _end(_start(harness)).outcomes == dict.fromkeys(harness.ids, "collected")


@pytest.mark.parametrize("number", _STATUS)
@pytest.mark.parametrize("is_ignored", [False, True])
def test_a_second_signal_ends_at_once(number: signal.Signals, is_ignored: bool, harness: Harness) -> None:  # noqa: FBT001
    """Also where the system ignores what is not handled, as it does for the first process of a container."""
    _open_hanging(harness)
    before = signal.signal(number, signal.SIG_IGN) if is_ignored else signal.getsignal(number)
    try:
        process = _start(harness, COSTBATCH_GRACE_SECONDS="60", COSTBATCH_AWS_READ_TIMEOUT_SECONDS="60")
    finally:
        signal.signal(number, before)
    until(lambda: count(harness, "succeeded") == 1)
    process.send_signal(number)
    assert process.stderr is not None
    assert any('"stopping"' in line for line in iter(process.stderr.readline, ""))
    began = monotonic()
    process.send_signal(number)
    assert process.wait(MOST_SECONDS) == _STATUS[number]
    assert monotonic() - began < _SLACK_SECONDS
    process.communicate()
    assert _end(_start(harness)).outcomes == dict.fromkeys(harness.ids, "collected")


def test_a_signal_may_interrupt_the_very_wait_for_it() -> None:
    """A handler that took the lock of the interrupted code would wait for itself for ever."""
    with StopSignals() as signals:
        with signals.stop._cond:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.stop.wait(MOST_SECONDS)
    assert signals.received == signal.SIGTERM
