"""Runs that overlap and processes that share a run: no account twice at once, none twice paid."""

import time
from collections import Counter
from subprocess import Popen

import pytest

from costbatch.simulator.world import Fault
from tests.bills import billed, stored
from tests.stage import ONE_DAY, TODAY, Row, Stage, make_account, wait_for

SLOW = (Fault("latency", seconds=0.25),)

# Pairs of collections of one account, in different runs, whose times overlap.
AT_ONCE = """
SELECT one.account_id FROM collections one JOIN collections other
ON one.account_id = other.account_id AND one.run_id < other.run_id
WHERE (one.started_at, one.finished_at) OVERLAPS (other.started_at, other.finished_at)
"""


def start(stage: Stage, key: str, *args: str) -> "Popen[str]":
    """Start `collect` with a run key in a process of its own."""
    return stage.start("collect", "--output", "json", "--run-key", key, *args)


def wait_until(stage: Stage, state: str) -> None:
    """Wait until an account of a run is in a state."""
    deadline = time.monotonic() + 30
    while not stage.rows("SELECT 1 FROM collections WHERE state = %s", state):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_runs_at_the_same_time_never_collect_one_account_at_once(stage: Stage) -> None:
    """A manual Job beside the nightly one: both end with every account collected, one at a time."""
    accounts = [make_account(n, faults=SLOW) for n in range(1, 6)]
    stage.open(*accounts)
    nightly, manual = start(stage, "nightly"), start(stage, "manual")
    runs = [wait_for(nightly), wait_for(manual)]
    assert [run.status for run in runs] == [0, 0]
    assert [run.outcomes for run in runs] == [dict.fromkeys(stage.ids, "collected")] * 2
    assert stage.rows(AT_ONCE) == []
    assert stage.aws.paid() == 10
    assert stage.value("SELECT min(finished_at) > max(started_at) FROM runs")


def test_overlapping_runs_leave_the_bill(stage: Stage) -> None:
    """Whoever comes last: the rows are AWS's, each event is there once."""
    accounts = [make_account(n, profile="noisy", faults=SLOW) for n in range(1, 4)]
    stage.open(*accounts)
    assert [wait_for(each).status for each in [start(stage, "a"), start(stage, "b")]] == [0, 0]
    for account in accounts:
        days = [TODAY - n * ONE_DAY for n in range(1, 61)]
        assert stored(stage, account.account_id) == billed(account, days, read_on=TODAY)
    assert stage.value("SELECT count(*) FROM events WHERE type = 'run.completed'") == 2


def test_pods_of_one_job_share_its_accounts_and_end_it_once(stage: Stage) -> None:
    """Three processes with one run key: each account is paid for once, by one of them; one event tells it."""
    accounts = [make_account(n, faults=SLOW) for n in range(1, 10)]
    stage.open(*accounts)
    pods = [wait_for(each) for each in [start(stage, "job", "--concurrency", "1") for _ in range(3)]]
    done = [Counter(line["aws_account_id"] for line in pod.logs("account_done")) for pod in pods]
    assert [pod.status for pod in pods] == [0, 0, 0]
    assert sum(done, Counter()) == Counter(stage.ids)
    assert all(done)
    assert stage.aws.paid() == len(accounts)
    assert [pod.summary["run"]["accounts"]["collected"] for pod in pods] == [9, 9, 9]
    events: list[Row] = stage.rows("SELECT type FROM events")
    assert [event["type"] for event in events] == ["run.completed"]
    assert stage.value("SELECT count(*) FROM runs") == 1


def test_pods_of_one_job_end_with_the_same_status(stage: Stage) -> None:
    """Which pod met the broken account does not matter: the status is the run's."""
    stage.open(
        make_account(1, faults=(Fault("not_enabled"),)), *(make_account(n, faults=SLOW) for n in range(2, 5))
    )
    args = ("--concurrency", "1", "--fail-on", "partial")
    pods = [wait_for(each) for each in [start(stage, "job", *args) for _ in range(2)]]
    assert [pod.status for pod in pods] == [3, 3]
    assert pods[0].outcomes == pods[1].outcomes
    assert stage.value("SELECT count(*) FROM events WHERE type = 'account.failed'") == 1


def test_an_account_that_is_paused_in_flight_is_left_out(stage: Stage) -> None:
    """What was fetched of an account that nobody wants any more is not stored."""
    stage.open(make_account(1, faults=(Fault("latency", seconds=1.5),)), make_account(2))
    process = start(stage, "job")
    wait_until(stage, "collecting")
    assert stage.run("accounts", "pause", stage.ids[0]).status == 0
    run = wait_for(process)
    assert run.outcomes == {stage.ids[0]: "skipped", stage.ids[1]: "collected"}
    assert run.account(stage.ids[0])["skip_reason"] == "not_active"
    assert stored(stage, stage.ids[0]) == {}


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_account_that_is_added_while_a_run_goes_on_waits_for_the_next(stage: Stage, when: str) -> None:
    """A run's list is made when a process joins it."""
    stage.open(make_account(1, faults=(Fault("latency", seconds=1.0),)))
    new = make_account(2)
    if when == "before":
        stage.register(new)
    process = start(stage, "job")
    wait_until(stage, "collecting")
    if when == "after":
        stage.register(new)
    run = wait_for(process)
    assert (new.account_id in run.outcomes) == (when == "before")
    assert run.outcomes[stage.ids[0]] == "collected"
