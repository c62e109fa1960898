"""A pod that is asked to go, and pods that share a run."""

import json
import time
from collections.abc import Callable

from tests.image.conftest import account
from tests.image.containers import Box
from tests.support.harness import Harness


def test_sigterm_finishes_what_is_in_flight_and_ends_with_143(box: Box, harness: Harness) -> None:
    """The first process of a container gets SIGTERM itself; the run is recorded as stopped and can go on."""
    harness.open(*(account(number) for number in range(6)), latency_seconds=0.7)
    running = box.start("collect", "--concurrency", "2", "--run-key", "job")
    _wait_until(lambda: harness.aws.paid() > 0)
    running.terminate()

    ended = running.wait()

    assert ended.status == 143, ended.log
    assert ended.last_line.startswith("STOPPED: ")
    states = harness.rows("SELECT state, count(*) AS n FROM run_items GROUP BY state")
    assert {row["state"]: row["n"] for row in states}.keys() == {"succeeded", "pending"}

    again = box.run("collect", "--run-key", "job", "--output", "json")
    assert again.status == 0, again.log
    assert harness.value("SELECT count(*) FROM run_items WHERE state = 'succeeded'") == 6
    assert [harness.aws.paid(one) for one in harness.ids] == [harness.aws.paid(harness.ids[0])] * 6


def test_three_pods_with_one_run_key_collect_every_account_once(box: Box, harness: Harness) -> None:
    """An Indexed Job: the pods share the accounts, each is paid for once, and all end with 0."""
    harness.open(*(account(number) for number in range(18)), latency_seconds=0.5)
    options = ["--concurrency", "2", "--output", "json"]

    pods = [box.start("collect", *options, COSTBATCH_RUN_KEY="job") for _ in range(3)]
    workers = set()
    while any(pod.process.poll() is None for pod in pods):
        found = harness.rows("SELECT DISTINCT claimed_by FROM run_items WHERE claimed_by IS NOT NULL")
        workers |= {row["claimed_by"] for row in found}
        time.sleep(0.05)
    ended = [pod.wait() for pod in pods]

    assert [each.status for each in ended] == [0, 0, 0], [each.log for each in ended]
    assert len(workers) == 3
    assert harness.value("SELECT count(*) FROM runs") == 1
    assert harness.value("SELECT count(*) FROM run_items WHERE state = 'succeeded'") == 18
    assert {harness.aws.paid(one) for one in harness.ids} == {harness.aws.paid(harness.ids[0])}
    assert {json.loads(each.stdout)["run"]["key"] for each in ended} == {"job"}


def _wait_until(is_so: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} seconds"
        time.sleep(0.05)
