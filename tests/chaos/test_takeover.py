"""Who may go on with a dead process's accounts, and when: its own host at once, another after the lease."""

import time
from functools import partial
from time import monotonic

import pytest

from costbatch.adapters.worker_id import this_worker
from costbatch.simulator.world import Fault
from tests.chaos.conftest import CopyScenario
from tests.chaos.contents import contents
from tests.chaos.postgres_servers import network_to
from tests.chaos.scenarios import ENVIRON, RUN_KEY, Scenario
from tests.support.fork_server import Process
from tests.support.harness import Finished, Harness, make_account, wait_for
from tests.support.waiting import MOST_SECONDS, blocked, count, locked, until

# The first test of a process prepares the scenarios, which takes a while on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _start(harness: Harness, **environ: str) -> Process:
    return harness.start("collect", "--run-key", RUN_KEY, "--output", "json", **{**ENVIRON, **environ})


@pytest.mark.parametrize(
    "table",
    ["runs", "run_items", "daily_costs", "anomalies", "daily_expectations", "events", "deliveries"],
)
@pytest.mark.parametrize("scenario_name", ["fresh", "grown"])
def test_a_process_that_dies_in_the_middle_of_a_write_leaves_nothing_half_done(
    table: str, scenario_name: str, scenarios: dict[str, Scenario], copy_scenario: CopyScenario
) -> None:
    """PostgreSQL works on for a moment after its client was killed; the next process stands that."""
    scenario = scenarios[scenario_name]
    harness = copy_scenario(scenario)
    with locked(harness, table):
        killed = _start(harness)
        until(lambda: blocked(harness) >= 1)
        killed.kill()
        wait_for(killed)
        # The dead one's statement still waits for the lock; soon a living one waits behind it.
        second = _start(harness)
        until(lambda: blocked(harness) >= 2)
    finished = wait_for(second, timeout_seconds=MOST_SECONDS)
    assert finished.status == 0, finished.stderr
    assert contents(harness, RUN_KEY) == scenario.expected


def test_a_node_that_vanishes_in_the_middle_of_a_save_stops_nobody_else(harness: Harness) -> None:
    """Its server keeps the locks until it notices; meanwhile every run does all but that one account."""
    harness.open(*map(make_account, range(1, 5)), latency_seconds=0.2)
    with network_to(harness.database_url) as network:
        with locked(harness, "daily_costs"):
            lost = _start(harness, COSTBATCH_CONCURRENCY="1", DATABASE_URL=network.url)
            until(lambda: blocked(harness) >= 1)
            network.cut()
            lost.kill()
            wait_for(lost)
        retry = _start(harness)
        manual = harness.start("collect", "--run-key", "manual", "--output", "json", **ENVIRON)
        until(lambda: count(harness, "succeeded") == 6)
        assert (retry.poll(), manual.poll()) == (None, None)
    for process in (retry, manual):
        finished = wait_for(process, timeout_seconds=MOST_SECONDS)
        assert finished.outcomes == dict.fromkeys(harness.ids, "collected")


_ELSEWHERE = "elsewhere/boot/pid:[1]/77/123"
_STATE_OF = "SELECT state FROM run_items JOIN accounts ON accounts.id = account_id WHERE aws_account_id = %s"


def _forge_claim(harness: Harness, worker: str, *, lease_seconds: float, of: str | None = None) -> None:
    """Make an account of the run, the only one if none is named, look as if a worker was on it."""
    harness.rows(
        "UPDATE run_items SET state = 'running', claimed_by = %s, claim_token = gen_random_uuid(),"
        " lease_expires_at = now() + make_interval(secs => %s)"
        " FROM accounts WHERE accounts.id = account_id AND aws_account_id = %s",
        worker,
        lease_seconds,
        of or harness.ids[0],
    )


@pytest.fixture
def begun(harness: Harness) -> Harness:
    """Leave a run with one account that is not collected, and no process at work."""
    harness.open(make_account(1))
    harness.aws.set_outage(on=True)
    assert harness.collect("--run-key", RUN_KEY).status == 1
    harness.aws.set_outage(on=False)
    return harness


def test_the_account_of_a_worker_on_another_host_waits_for_its_lease(begun: Harness) -> None:
    """Nobody here can know whether a worker elsewhere lives; its lease says until when it may."""
    _forge_claim(begun, _ELSEWHERE, lease_seconds=3)
    began = monotonic()
    finished = wait_for(_start(begun), timeout_seconds=MOST_SECONDS)
    assert finished.status == 0
    assert finished.outcomes == {begun.ids[0]: "collected"}
    assert monotonic() - began > 2.9
    assert begun.aws.paid() == 1


def test_a_lease_that_is_kept_alive_is_waited_for(begun: Harness) -> None:
    """A claim is not taken from a worker that lives, however long it works."""
    _forge_claim(begun, _ELSEWHERE, lease_seconds=2)
    process = _start(begun)
    for _ in range(4):
        time.sleep(1)
        begun.rows("UPDATE run_items SET lease_expires_at = now() + interval '2 seconds'")
    assert process.poll() is None
    assert begun.aws.paid() == 0
    assert wait_for(process, timeout_seconds=MOST_SECONDS).outcomes == {begun.ids[0]: "collected"}


def test_the_account_of_a_dead_worker_on_this_host_does_not_wait(begun: Harness) -> None:
    """A process that is gone from this host's process table will never come back."""
    place, _, _ = this_worker().rsplit("/", 2)
    _forge_claim(begun, f"{place}/{2**22 + 1}/123", lease_seconds=600)
    finished = wait_for(_start(begun), timeout_seconds=MOST_SECONDS)
    assert finished.outcomes == {begun.ids[0]: "collected"}


def test_a_retry_that_comes_before_the_lease_has_lapsed_tries_what_failed_too(harness: Harness) -> None:
    """Whose retry it is it learns only later; an account that has recovered meanwhile is collected."""
    harness.open(make_account(1), make_account(2, faults=(Fault("access_denied"),)))
    harness.collect("--run-key", RUN_KEY)
    _forge_claim(harness, _ELSEWHERE, lease_seconds=3, of=harness.ids[0])
    harness.rows("UPDATE run_items SET failed_by = %s WHERE state = 'failed'", _ELSEWHERE)
    harness.aws.clear_faults(harness.ids[1])
    finished = wait_for(_start(harness), timeout_seconds=MOST_SECONDS)
    assert finished.status == 0
    assert finished.outcomes == dict.fromkeys(harness.ids, "collected")


def test_who_takes_over_from_another_run_is_no_retry_of_its_own(harness: Harness) -> None:
    """The other run's worker has died, not this one's: what failed here has had its chance."""
    harness.open(make_account(1), make_account(2, faults=(Fault("access_denied"),)))
    harness.collect("--run-key", "other", "--account", harness.ids[0])
    _forge_claim(harness, _ELSEWHERE, lease_seconds=3)
    finished = wait_for(_start(harness), timeout_seconds=MOST_SECONDS)
    assert finished.outcomes == {harness.ids[0]: "collected", harness.ids[1]: "access_denied"}
    assert harness.aws.requests()["accounts"][harness.ids[1]]["requests"]["GetCostAndUsage"] == 1


def test_an_account_that_kills_every_process_does_not_keep_the_run_from_its_end(harness: Harness) -> None:
    """The others are collected first; after three deaths it fails, and the night's events are delivered."""
    harness.open(*map(make_account, range(1, 5)))
    deadly, *others = harness.ids
    harness.aws.add_fault(deadly, "latency", times=9, seconds=600)

    def is_held_after(deaths: int) -> bool:
        return harness.rows(f"{_STATE_OF} AND takeovers = %s", deadly, deaths) == [{"state": "running"}]

    for deaths in range(3):
        process = _start(harness)
        until(partial(is_held_after, deaths))
        process.kill()
        wait_for(process)
    finished = wait_for(_start(harness), timeout_seconds=MOST_SECONDS)
    assert finished.status == 0
    assert finished.outcomes == {deadly: "process_killed", **dict.fromkeys(others, "collected")}
    assert finished.summary["events"] == {
        "written": {"account.failed": 1, "run.completed": 1},
        "pending": 0,
        "dead": 0,
    }


def test_the_account_of_a_dead_worker_elsewhere_is_taken_over_during_the_run(harness: Harness) -> None:
    """Within a lease and a little, however much else there is to do; it comes after all of that."""
    harness.open(*map(make_account, range(1, 21)), latency_seconds=0.2)
    process = _start(harness, COSTBATCH_CONCURRENCY="1", COSTBATCH_LEASE_SECONDS="2")
    until(lambda: count(harness, "succeeded") > 0)
    _forge_claim(harness, _ELSEWHERE, lease_seconds=1, of=harness.ids[10])
    until(lambda: harness.value("SELECT sum(takeovers) FROM run_items") == 1)
    assert count(harness, "pending") > 1
    finished = wait_for(process, timeout_seconds=MOST_SECONDS)
    assert finished.outcomes == dict.fromkeys(harness.ids, "collected")
    assert finished.logs("account_finished")[-1]["aws_account_id"] == harness.ids[10]


def test_a_process_that_is_alive_keeps_its_account_beyond_one_lease(harness: Harness) -> None:
    """Leases are extended while an account is fetched, so that a slow account is not paid for twice."""
    harness.open(make_account(1))
    harness.aws.add_fault(harness.ids[0], "latency", times=1, seconds=6)
    processes = [_start(harness, COSTBATCH_LEASE_SECONDS="2") for _ in range(2)]
    ended: list[Finished] = [wait_for(process, timeout_seconds=MOST_SECONDS) for process in processes]
    assert [each.outcomes for each in ended] == [{harness.ids[0]: "collected"}] * 2
    assert harness.aws.paid() == 1
    assert not any(each.logs("claim_lost") for each in ended)
