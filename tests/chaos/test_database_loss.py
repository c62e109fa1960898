"""PostgreSQL goes away in the middle of a run: for a moment, for good, or one connection after the other."""

import signal
import time
from collections.abc import Iterator
from itertools import count as numbers
from threading import Thread
from time import monotonic

import pytest

from costbatch.application.jobs import retry
from costbatch.simulator.client import SimulatorProcess
from tests.chaos.postgres_servers import Server, serve_postgres
from tests.chaos.scenarios import RUN_KEY
from tests.support.harness import Harness, make_account, wait_for
from tests.support.waiting import MOST_SECONDS, count, until

_ACCOUNTS = 8
_LATENCY_SECONDS = 0.15
_databases = numbers(1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a server that the tests may stop."""
    with serve_postgres() as server:
        yield server


@pytest.fixture
def stage_of_server(server: Server, aws: SimulatorProcess) -> Harness:
    """Open some accounts whose answers take a moment, so that a run takes a second or two."""
    harness = Harness(aws, server.new_database(f"loss_{next(_databases)}"))
    harness.environ["COSTBATCH_CONCURRENCY"] = "2"
    harness.open(*map(make_account, range(1, _ACCOUNTS + 1)), latency_seconds=_LATENCY_SECONDS)
    return harness


@pytest.mark.parametrize("mode", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_run_outlives_a_restart_of_the_database(
    mode: signal.Signals, server: Server, stage_of_server: Harness
) -> None:
    """What was fetched and paid waits for the database, whether it ends in order or crashes."""
    harness = stage_of_server
    process = harness.start("collect", "--run-key", RUN_KEY, "--output", "json")
    until(lambda: count(harness, "succeeded") >= 2)
    server.stop(mode)
    time.sleep(1.5)
    server.start()
    finished = wait_for(process, timeout_seconds=MOST_SECONDS)
    assert finished.status == 0, finished.stderr
    assert finished.outcomes == dict.fromkeys(harness.ids, "collected")
    assert finished.logs("database_unavailable")
    assert harness.aws.paid() == _ACCOUNTS


def test_a_database_that_stays_away_ends_the_run_with_one_sentence(
    server: Server, stage_of_server: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the patience the status is 1, what was done stays done, and a retry does the rest."""
    monkeypatch.setattr(retry, "PATIENCE_SECONDS", 2.0)
    harness, stopped = stage_of_server, list[float]()

    def stop() -> None:
        until(lambda: count(harness, "succeeded") >= 2)
        stopped.append(monotonic())
        server.stop(signal.SIGINT)

    thread = Thread(target=stop)
    thread.start()
    finished = harness.collect("--run-key", RUN_KEY)
    ended = monotonic()
    thread.join()
    server.start()
    assert finished.status == 1
    assert finished.stdout == ""
    (sentence,) = finished.sentences
    assert sentence.startswith("The database cannot be reached or was lost: ")
    assert 1.4 < ended - stopped[0] < 6
    paid, done = harness.aws.paid(), count(harness, "succeeded")
    assert 2 <= done < _ACCOUNTS
    again = harness.collect("--run-key", RUN_KEY)
    assert again.outcomes == dict.fromkeys(harness.ids, "collected")
    assert harness.aws.paid() == paid + _ACCOUNTS - done


def test_a_run_outlives_the_loss_of_connection_after_connection(stage_of_server: Harness) -> None:
    """Each transaction that was cut off is done again, and none of them twice."""
    harness, cut = stage_of_server, 0
    process = harness.start("collect", "--run-key", RUN_KEY, "--output", "json")
    until(lambda: count(harness, "running") > 0)
    while process.poll() is None and cut < 8:
        cut += len(
            harness.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'costbatch' AND datname = current_database()"
            )
        )
        time.sleep(0.11)
    finished = wait_for(process, timeout_seconds=MOST_SECONDS)
    assert finished.status == 0, finished.stderr
    assert finished.outcomes == dict.fromkeys(harness.ids, "collected")
    assert cut >= 3
    assert harness.value("SELECT count(*) FROM run_items") == _ACCOUNTS
    assert harness.value("SELECT count(*) - count(DISTINCT cloudevent ->> 'id') FROM events") == 0
    assert harness.aws.paid() == _ACCOUNTS
