"""The last line of a failed pod's log says why: Kubernetes keeps it, and both streams are in it."""

import json
import os
import subprocess
from collections.abc import Callable
from signal import SIGTERM
from time import monotonic, sleep

import pytest

from costbatch.simulator.world import Fault
from tests.support.fork_server import Process
from tests.support.harness import Harness, make_account

BROKEN = (Fault("not_enabled"),)
OUTPUTS = pytest.mark.parametrize("output", ["table", "json"])
# So that the last log line is not the one that is looked for.
LOGGING = {"COSTBATCH_LOG_LEVEL": "info", "COSTBATCH_LOG_FORMAT": "json"}


def _start(harness: Harness, output: str, *args: str) -> Process:
    return harness.start_with(subprocess.STDOUT, "collect", "--output", output, *args, **LOGGING)


def _log_of(process: Process) -> list[str]:
    with process:
        log, _ = process.communicate(timeout=60)
    return [line.strip() for line in log.splitlines() if line.strip()]


@OUTPUTS
def test_a_total_failure_says_why_in_its_last_line(harness: Harness, output: str) -> None:
    """Status 1, and the kinds of errors with their numbers."""
    accounts = [make_account(number, faults=BROKEN) for number in range(3)]
    harness.open(*accounts, make_account(3, faults=(Fault("invalid_token", operation="*"),)))
    process = _start(harness, output)

    assert _log_of(process)[-1] == (
        "FAILED: 0 of 4 accounts collected (3 cost_explorer_not_enabled, 1 credentials_rejected)"
    )
    assert process.returncode == 1


@OUTPUTS
def test_a_partial_failure_says_why_in_its_last_line(harness: Harness, output: str) -> None:
    """Status 3, where it was asked for."""
    harness.open(make_account(1), make_account(2, faults=BROKEN))
    process = _start(harness, output, "--fail-on", "partial")

    assert _log_of(process)[-1] == "PARTIAL: 1 of 2 accounts NOT COLLECTED (1 cost_explorer_not_enabled)"
    assert process.returncode == 3


@OUTPUTS
def test_a_stopped_run_says_so_in_its_last_line(harness: Harness, output: str) -> None:
    """Status 143, and how many accounts are left."""
    harness.open(*(make_account(number) for number in range(6)), latency_seconds=0.5)
    process = _start(harness, output, "--concurrency", "1")
    _wait_until(lambda: harness.aws.paid() > 0)
    process.send_signal(SIGTERM)
    last = _log_of(process)[-1]

    left = harness.value("SELECT count(*) FROM run_items WHERE state = 'pending'")
    key = harness.value("SELECT run_key FROM runs")
    assert last == (
        f"STOPPED: {left} of 6 accounts not finished. To continue: costbatch collect --run-key {key}"
    )
    assert process.returncode == 143


def test_the_sentence_is_beside_the_document_and_not_in_it(harness: Harness) -> None:
    """Programs read one JSON document from standard output, however a run ends."""
    harness.open(make_account(1, faults=BROKEN))
    run = harness.collect()

    assert (run.status, run.summary["run"]["status"]) == (1, "failed")
    assert run.stderr.splitlines()[-1].startswith("FAILED: ")


def test_a_run_that_is_no_failure_adds_no_sentence(harness: Harness) -> None:
    """Status 0: the document says that an account is missing, and nobody is alarmed."""
    harness.open(make_account(1), make_account(2, faults=BROKEN))
    run = harness.collect()

    assert (run.status, run.summary["run"]["status"]) == (0, "partial")
    assert "PARTIAL" not in run.stderr


def test_a_log_that_nobody_reads_changes_no_status(harness: Harness) -> None:
    """The sentence has nowhere to go, and the document is complete all the same."""
    harness.open(make_account(1, faults=BROKEN))
    reader, writer = os.pipe()
    os.close(reader)
    with harness.start_with(writer, "collect", "--output", "json") as process:
        os.close(writer)
        document, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert json.loads(document)["run"]["status"] == "failed"


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = monotonic() + 30
    while not is_so():
        assert monotonic() < deadline, "nothing was asked of AWS within 30 seconds"
        sleep(0.02)
