"""Who may go on with a dead process's accounts, and when: its own host at once, another after the lease."""

import subprocess
import time
from time import monotonic

import pytest

from costbatch.adapters.workers import this_worker
from tests.chaos.conftest import CopyScene
from tests.chaos.contents import contents
from tests.chaos.scenes import ENVIRON, RUN_KEY, Scene
from tests.chaos.waiting import MOST_SECONDS, blocked, locked, until
from tests.stage import Finished, Stage, make_account, wait_for

# The first test of a process prepares the scenes, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(300)


def _start(stage: Stage, **environ: str) -> subprocess.Popen[str]:
    return stage.start("collect", "--run-key", RUN_KEY, "--output", "json", **{**ENVIRON, **environ})


@pytest.mark.parametrize("table", ["runs", "collections", "daily_costs", "anomalies", "events", "deliveries"])
@pytest.mark.parametrize("scene_name", ["fresh", "grown"])
def test_a_process_that_dies_in_the_middle_of_a_write_leaves_nothing_half_done(
    table: str, scene_name: str, scenes: dict[str, Scene], copy_scene: CopyScene
) -> None:
    """PostgreSQL works on for a moment after its client was killed; the next process stands that."""
    scene = scenes[scene_name]
    stage = copy_scene(scene)
    with locked(stage, table):
        killed = _start(stage)
        until(lambda: blocked(stage) >= 1)
        killed.kill()
        wait_for(killed)
        # The dead one's statement still waits for the lock; soon a living one waits behind it.
        second = _start(stage)
        until(lambda: blocked(stage) >= 2)
    finished = wait_for(second, timeout_seconds=MOST_SECONDS)
    assert finished.status == 0, finished.stderr
    assert contents(stage, RUN_KEY) == scene.expected


def _forge_claim(stage: Stage, worker: str, *, lease_seconds: float) -> None:
    """Make the one account of the run look as if a worker was on it."""
    stage.rows(
        "UPDATE collections SET state = 'collecting', claimed_by = %s, claim_token = gen_random_uuid(),"
        " lease_expires_at = now() + make_interval(secs => %s)",
        worker,
        lease_seconds,
    )


@pytest.fixture
def begun(stage: Stage) -> Stage:
    """Leave a run with one account that is not collected, and no process at work."""
    stage.open(make_account(1))
    stage.aws.set_outage(on=True)
    assert stage.collect("--run-key", RUN_KEY).status == 1
    stage.aws.set_outage(on=False)
    return stage


def test_the_account_of_a_worker_on_another_host_waits_for_its_lease(begun: Stage) -> None:
    """Nobody here can know whether a worker elsewhere lives; its lease says until when it may."""
    _forge_claim(begun, "elsewhere/boot/pid:[1]/77/123", lease_seconds=3)
    began = monotonic()
    finished = wait_for(_start(begun), timeout_seconds=MOST_SECONDS)
    assert finished.status == 0
    assert finished.outcomes == {begun.ids[0]: "collected"}
    assert monotonic() - began > 2.9
    assert begun.aws.paid() == 1


def test_a_lease_that_is_kept_alive_is_waited_for(begun: Stage) -> None:
    """A claim is not taken from a worker that lives, however long it works."""
    _forge_claim(begun, "elsewhere/boot/pid:[1]/77/123", lease_seconds=2)
    process = _start(begun)
    for _ in range(4):
        time.sleep(1)
        begun.rows("UPDATE collections SET lease_expires_at = now() + interval '2 seconds'")
    assert process.poll() is None
    assert begun.aws.paid() == 0
    assert wait_for(process, timeout_seconds=MOST_SECONDS).outcomes == {begun.ids[0]: "collected"}


def test_the_account_of_a_dead_worker_on_this_host_does_not_wait(begun: Stage) -> None:
    """A process that is gone from this host's process table will never come back."""
    place, _, _ = this_worker().rsplit("/", 2)
    _forge_claim(begun, f"{place}/{2**22 + 1}/123", lease_seconds=600)
    finished = wait_for(_start(begun), timeout_seconds=MOST_SECONDS)
    assert finished.outcomes == {begun.ids[0]: "collected"}


def test_a_process_that_is_alive_keeps_its_account_beyond_one_lease(stage: Stage) -> None:
    """Leases are extended while an account is fetched, so that a slow account is not paid for twice."""
    stage.open(make_account(1))
    stage.aws.add_fault(stage.ids[0], "latency", times=1, seconds=6)
    processes = [_start(stage, COSTBATCH_LEASE_SECONDS="2") for _ in range(2)]
    ended: list[Finished] = [wait_for(process, timeout_seconds=MOST_SECONDS) for process in processes]
    assert [each.outcomes for each in ended] == [{stage.ids[0]: "collected"}] * 2
    assert stage.aws.paid() == 1
    assert not any(each.logs("claim_lost") for each in ended)
