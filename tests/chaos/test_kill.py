"""SIGKILL at any moment, the same run key again: nothing is lost, told twice or paid twice.

CHAOS_SEED chooses other moments; a failure names the seed that it happened with.
"""

import os
import random
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from tests.chaos.conftest import CopyScenario
from tests.chaos.contents import contents, event_ids
from tests.chaos.scenarios import CONCURRENCY, ENVIRON, RUN_KEY, Scenario, paid_by_account
from tests.support.fork_server import Process
from tests.support.harness import Finished, Harness, wait_for

# The first test of a process prepares the scenarios, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(300)

_SEED = os.environ.get("CHAOS_SEED", "1")
_TRIALS = 20
# Before it there is nothing to disturb.
_STARTUP_SECONDS = 0.05
# Less than the lease of ENVIRON, so that no end can have waited for one.
_MOST_SECONDS = 60


def _kills_of(trial: int) -> int:
    """Return how often a trial's process is killed, each time as soon as it was started again."""
    return trial % 4 + 1


@dataclass
class _Trial:
    """One run, killed some times and then left to end."""

    harness: Harness
    scenario: Scenario
    chance: random.Random
    moments: list[float] = field(default_factory=list)
    printed: str = ""
    # By account: what was paid when it was found collected after a kill.
    paid_when_done: dict[str, int] = field(default_factory=dict)

    def kill(self) -> None:
        """Start the run and kill it at a random moment; sooner and sooner where it has ended by itself."""
        moment = self.chance.uniform(_STARTUP_SECONDS, self.scenario.duration_seconds)
        while not self._kill_after(moment):
            moment /= 2

    def _kill_after(self, seconds: float) -> bool:
        process = self._start()
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        finished = wait_for(process)
        self.printed += finished.stderr
        if finished.status == 0:
            return False
        self.moments.append(round(seconds, 3))
        # What three deaths mean for an account is tested elsewhere; here it is chance who is killed.
        self.harness.rows("UPDATE run_items SET takeovers = 0")
        self._look()
        return True

    def _look(self) -> None:
        done = self.harness.rows(
            "SELECT aws_account_id FROM run_items c JOIN accounts a ON a.id = account_id"
            " JOIN runs r ON r.id = run_id WHERE c.state = 'succeeded' AND run_key = %s",
            RUN_KEY,
        )
        paid = paid_by_account(self.harness.aws)
        for row in done:
            self.paid_when_done.setdefault(row["aws_account_id"], paid[row["aws_account_id"]])

    def finish(self) -> Finished:
        """Let the run end; nothing is left that it would have to wait for."""
        finished = wait_for(self._start(), timeout_seconds=_MOST_SECONDS)
        self.printed += finished.stderr
        return finished

    def _start(self) -> Process:
        return self.harness.start("collect", "--run-key", RUN_KEY, **ENVIRON)


def test_there_are_at_least_fifty_kills() -> None:
    """What is promised to have been tried that often is tried that often."""
    assert sum(map(_kills_of, range(_TRIALS))) >= 50


@pytest.mark.parametrize("number", range(_TRIALS))
def test_a_killed_run_ends_as_if_nothing_had_happened(
    number: int, scenarios: dict[str, Scenario], copy_scenario: CopyScenario
) -> None:
    """Promises 4, 6 and 7: kill it anywhere, run again: nothing lost, nothing twice, nothing paid twice."""
    scenario = scenarios["fresh" if number % 2 else "grown"]
    trial = _Trial(copy_scenario(scenario), scenario, random.Random(f"{_SEED}/{number}"))
    for _ in range(_kills_of(number)):
        trial.kill()
    finished = trial.finish()
    story = f"CHAOS_SEED={_SEED}, trial {number}, killed after {trial.moments} seconds"
    assert finished.status == 0, f"{story}\n{finished.stderr}"
    found = contents(trial.harness, RUN_KEY)
    for table, rows in scenario.expected.items():
        assert found[table] == rows, f"{table} differs: {story}\n{trial.printed}"
    for event_id in event_ids(trial.harness, RUN_KEY):
        assert f'"cloudevent": {{"id": "{event_id}"' in trial.printed, (
            f"{event_id} was not delivered: {story}"
        )
    _check_paid(trial, story)


def _check_paid(trial: _Trial, story: str) -> None:
    paid, undisturbed = paid_by_account(trial.harness.aws), trial.scenario.paid
    for account_id, before in trial.paid_when_done.items():
        assert paid[account_id] == before, f"{account_id} was done, and paid for again: {story}"
    kills, most_pages = len(trial.moments), max(undisturbed.values())
    assert sum(paid.values()) <= sum(undisturbed.values()) + kills * CONCURRENCY * most_pages, story
