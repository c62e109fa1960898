"""Runs on a real PostgreSQL: processes that open, resume and close one at the same time."""

from threading import Thread
from time import sleep

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.collection import CollectOptions
from costbatch.domain.runs import ItemState, Run, RunRequest, RunStatus
from costbatch.errors import ConfigError
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    NOW,
    WINDOW,
    add_account,
    claim,
    close,
    fail,
    join,
    open_run,
    states,
)


def test_a_run_that_is_joined_keeps_the_version_that_started_it(
    database: PostgresDatabase, query: Query
) -> None:
    """There is one row, of the first process."""
    open_run(database)
    join(database)
    assert query("SELECT job, run_key, version FROM runs") == [("collect", "nightly", "1.0")]


def test_the_refusal_of_a_key_says_what_to_do(database: PostgresDatabase) -> None:
    """The sentence names the key and the way out."""
    open_run(database)
    with pytest.raises(ConfigError, match=r"run key 'nightly' belongs to .* choose another --run-key\."):
        join(database, days=WINDOW)


def test_another_job_may_have_a_run_with_the_same_key(database: PostgresDatabase) -> None:
    """A key is the key of one job's run."""
    run = open_run(database)
    with database.transaction() as tx:
        other = tx.runs.open("nightly", RunRequest(job="other"), now=NOW, version="1.0")
        assert tx.runs.find("other", "nightly") == other
        assert tx.runs.find("collect", "nightly") == run
        assert tx.runs.find("third", "nightly") is None


def test_two_processes_that_open_a_run_at_once_share_it(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    """The second waits until the first has its items, and joins."""
    add_account(database)
    joined: list[tuple[Run, int]] = []
    thread = Thread(target=lambda: joined.append(join(other)))
    with database.transaction() as tx:
        run = tx.runs.open("nightly", CollectOptions().to_request(), now=NOW, version="1.0")
        thread.start()
        sleep(0.5)
        assert joined == []
        assert tx.items.enlist(run) == 1
    thread.join(10)
    assert joined == [(run, 1)]


def test_a_closed_run_that_is_requeued_runs_again(database: PostgresDatabase) -> None:
    """A process takes over what a dead one failed at, although others have closed the run meanwhile."""
    add_account(database)
    run = open_run(database)
    fail(database, *claim(database, run))
    close(database, run, RunStatus.FAILED)
    assert requeue(database, run) == 1
    with database.transaction() as tx:
        assert tx.runs.load(run).status is RunStatus.RUNNING
    assert states(database, run) == ["pending"]


def test_nothing_is_requeued_while_the_run_is_being_closed(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    """What the closing process reports of the run is what it found; another one comes before or after it."""
    add_account(database)
    run = open_run(database)
    fail(database, *claim(database, run))
    requeued: list[int] = []
    thread = Thread(target=lambda: requeued.append(requeue(other, run)))
    with database.transaction() as tx:
        tx.runs.lock(run)
        assert tx.items.states(run) == {ItemState.FAILED}
        thread.start()
        sleep(0.3)
        assert not requeued
        assert [each.state for each in tx.items.records(run)] == [ItemState.FAILED]
        assert tx.runs.close(run, RunStatus.FAILED, now=NOW)
    thread.join(10)
    assert (requeued, states(database, run)) == ([1], ["pending"])
    with database.transaction() as tx:
        assert tx.runs.load(run).status is RunStatus.RUNNING


def test_of_two_processes_that_close_at_once_one_changes_it(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    """The later one waits and finds it done."""
    run = open_run(database)
    changed: list[bool] = []
    thread = Thread(target=lambda: changed.append(close(other, run, RunStatus.COMPLETED)))
    with database.transaction() as tx:
        assert tx.runs.close(run, RunStatus.COMPLETED, now=NOW)
        thread.start()
        sleep(0.2)
        assert changed == []
    thread.join(10)
    assert changed == [False]


def requeue(database: PostgresDatabase, run: Run) -> int:
    """Try again what failed, as a process that takes over from a dead one; return how many items."""
    with database.transaction() as tx:
        tx.runs.lock(run)
        accounts = tx.items.requeue(run)
        tx.runs.resume(run)
    return accounts
