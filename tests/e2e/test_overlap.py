"""Runs that overlap and processes that share a run: no account twice at once, none twice paid."""

import time
from collections import Counter

import pytest

from costbatch.simulator.world import Fault
from tests.support.bills import billed, stored
from tests.support.fork_server import Process
from tests.support.harness import ONE_DAY, TODAY, Harness, Row, bill, make_account, steady, wait_for
from tests.support.waiting import blocked, locked, until

SLOW = (Fault("latency", seconds=0.25),)

# Pairs of collections of one account, in different runs, whose times overlap.
AT_ONCE = """
SELECT one.account_id FROM run_items one JOIN run_items other
ON one.account_id = other.account_id AND one.run_id < other.run_id
WHERE (one.started_at, one.finished_at) OVERLAPS (other.started_at, other.finished_at)
"""


def start(harness: Harness, key: str, *args: str) -> Process:
    """Start `collect` with a run key in a process of its own."""
    return harness.start("collect", "--output", "json", "--run-key", key, *args)


def wait_until(harness: Harness, state: str) -> None:
    """Wait until an account of a run is in a state."""
    deadline = time.monotonic() + 30
    while not harness.rows("SELECT 1 FROM run_items WHERE state = %s", state):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_runs_at_the_same_time_never_collect_one_account_at_once(harness: Harness) -> None:
    """A manual Job beside the nightly one: both end with every account collected, one at a time."""
    accounts = [make_account(n, faults=SLOW) for n in range(1, 6)]
    harness.open(*accounts)
    nightly, manual = start(harness, "nightly"), start(harness, "manual")
    runs = [wait_for(nightly), wait_for(manual)]
    assert [run.status for run in runs] == [0, 0]
    assert [run.outcomes for run in runs] == [dict.fromkeys(harness.ids, "collected")] * 2
    assert harness.rows(AT_ONCE) == []
    assert harness.aws.paid() == 10
    assert harness.value("SELECT min(finished_at) > max(started_at) FROM runs")


def test_overlapping_runs_leave_the_bill(harness: Harness) -> None:
    """Whoever comes last: the rows are AWS's, each event is there once."""
    accounts = [make_account(n, profile="noisy", faults=SLOW) for n in range(1, 4)]
    harness.open(*accounts)
    assert [wait_for(each).status for each in [start(harness, "a"), start(harness, "b")]] == [0, 0]
    for account in accounts:
        days = [TODAY - n * ONE_DAY for n in range(1, 61)]
        assert stored(harness, account.account_id) == billed(account, days, read_on=TODAY)
    assert harness.value("SELECT count(*) FROM events WHERE type = 'run.completed'") == 2


@pytest.mark.parametrize("answer", ["dismiss", "planned"])
def test_an_answer_while_the_night_saves_its_account_is_the_last_word(harness: Harness, answer: str) -> None:
    """It waits for the account, so that nothing of the night fires an alert again that was silenced."""
    rows = [row for row in steady("10.00", until=TODAY + ONE_DAY) if row.date < TODAY - ONE_DAY]
    rows += [bill(TODAY - ONE_DAY, "100.00"), bill(TODAY, "130.00")]
    harness.open(make_account(1, rows=tuple(rows)))
    harness.collect()
    found = harness.value("SELECT id::text FROM anomalies")
    harness.sleep_until(TODAY + ONE_DAY)
    days = ["--from", str(TODAY - ONE_DAY), "--to", str(TODAY + ONE_DAY), "--account", harness.ids[0]]
    silence = {"dismiss": ["anomalies", "dismiss", found], "planned": ["planned", "add", *days]}[answer]
    with locked(harness, "cost_collections"):
        night = harness.start("collect", "--output", "json")
        until(lambda: blocked(harness) >= 1)
        person = harness.start(*silence, "--reason", "load test", "--author", "alice")
        until(lambda: blocked(harness) >= 2 or person.poll() is not None)
    assert [wait_for(each).status for each in (night, person)] == [0, 0]
    told = harness.rows("SELECT type, cloudevent -> 'data' AS data FROM events ORDER BY sequence")
    last = [each for each in told if each["type"].startswith("anomaly.")][-1]
    assert last["type"] == "anomaly.answered"
    assert (last["data"]["standing"], last["data"]["anomaly"]["revision"]) == ("silent", 2)


def test_pods_of_one_job_share_its_accounts_and_end_it_once(harness: Harness) -> None:
    """Three processes with one run key: each account is paid for once, by one of them; one event tells it."""
    accounts = [make_account(n, faults=SLOW) for n in range(1, 10)]
    harness.open(*accounts)
    pods = [wait_for(each) for each in [start(harness, "job", "--concurrency", "1") for _ in range(3)]]
    done = [Counter(line["aws_account_id"] for line in pod.logs("account_finished")) for pod in pods]
    assert [pod.status for pod in pods] == [0, 0, 0]
    assert sum(done, Counter()) == Counter(harness.ids)
    assert all(done)
    assert harness.aws.paid() == len(accounts)
    assert [pod.summary["run"]["accounts"]["collected"] for pod in pods] == [9, 9, 9]
    events: list[Row] = harness.rows("SELECT type FROM events")
    assert [event["type"] for event in events] == ["run.completed"]
    assert harness.value("SELECT count(*) FROM runs") == 1


def test_pods_of_one_job_end_with_the_same_status(harness: Harness) -> None:
    """Which pod met the broken account does not matter: the status is the run's."""
    harness.open(
        make_account(1, faults=(Fault("not_enabled"),)), *(make_account(n, faults=SLOW) for n in range(2, 5))
    )
    args = ("--concurrency", "1", "--fail-on", "partial")
    pods = [wait_for(each) for each in [start(harness, "job", *args) for _ in range(2)]]
    assert [pod.status for pod in pods] == [3, 3]
    assert pods[0].outcomes == pods[1].outcomes
    assert harness.value("SELECT count(*) FROM events WHERE type = 'account.failed'") == 1


def test_an_account_that_is_paused_in_flight_is_left_out(harness: Harness) -> None:
    """What was fetched of an account that nobody wants any more is not stored."""
    harness.open(make_account(1, faults=(Fault("latency", seconds=1.5),)), make_account(2))
    process = start(harness, "job")
    wait_until(harness, "running")
    assert harness.run("accounts", "pause", harness.ids[0]).status == 0
    run = wait_for(process)
    assert run.outcomes == {harness.ids[0]: "skipped", harness.ids[1]: "collected"}
    assert run.account(harness.ids[0])["skip_reason"] == "not_active"
    assert stored(harness, harness.ids[0]) == {}


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_account_that_is_added_while_a_run_goes_on_waits_for_the_next(harness: Harness, when: str) -> None:
    """A run's list is made when a process joins it."""
    harness.open(make_account(1, faults=(Fault("latency", seconds=1.0),)))
    new = make_account(2)
    if when == "before":
        harness.register(new)
    process = start(harness, "job")
    wait_until(harness, "running")
    if when == "after":
        harness.register(new)
    run = wait_for(process)
    assert (new.account_id in run.outcomes) == (when == "before")
    assert run.outcomes[harness.ids[0]] == "collected"


def test_a_run_goes_on_beside_the_columns_that_a_newer_version_adds(harness: Harness) -> None:
    """The newer version is installed in the middle of the night; nothing that is read is in another place."""
    harness.open(make_account(1, rows=(*steady("100"), bill(TODAY - ONE_DAY, "500", service="Other"))))
    harness.collect()
    assert harness.value("SELECT count(*) FROM anomalies") == 1
    for table in harness.contents():
        harness.rows(f'ALTER TABLE "{table}" ADD COLUMN of_the_next_{table} text')
    harness.sleep_until(TODAY + ONE_DAY)
    # This process has run the statements before, and knows at which place each column is.
    window = harness.collect().account(harness.ids[0])["window"]
    assert window["start"] == str(TODAY - 34 * ONE_DAY)
    harness.sleep_until(TODAY + 2 * ONE_DAY)
    for job in ("collect", "discover"):
        run = wait_for(harness.start(job, "--output", "json"))
        assert run.status == 0, run.stderr
