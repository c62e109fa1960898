"""What every RunStore does."""

from datetime import date
from typing import Any

import pytest

from costbatch.application.ports import Database
from costbatch.domain.collection import COLLECT, CollectOptions
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import RunStatus, StopReason
from costbatch.errors import ConfigError
from tests.support.database_rows import (
    LATER,
    NOW,
    TODAY,
    WINDOW,
    account_id,
    add_account,
    claim,
    close,
    collect,
    join,
    open_run,
    states,
)


class TestRunStore:
    """Opening, joining, resuming and closing runs."""

    def test_a_new_run_is_running_and_reads_back(self, database: Database) -> None:
        """Its today is the UTC day of its start; what it was asked for is kept."""
        request = CollectOptions(days=WINDOW).to_request((account_id(1), account_id(2)))
        with database.transaction() as tx:
            run = tx.runs.open("key", request, now=NOW, version="1.0")
            assert tx.runs.load(run) == run
            assert tx.runs.find(COLLECT, "key") == run
            assert tx.runs.find(COLLECT, "other") is None
        assert (run.key, run.request, run.status, run.today) == ("key", request, RunStatus.RUNNING, TODAY)
        assert (run.started_at, run.finished_at) == (NOW, None)

    @pytest.mark.parametrize(
        "options",
        [
            CollectOptions(),
            CollectOptions(days=DateRange(date(2026, 1, 31), date(2026, 2, 1))),
            CollectOptions(since=date(2026, 1, 31)),
            CollectOptions(accept_vanished=True),
        ],
        ids=["none", "days", "open end", "accept vanished"],
    )
    def test_the_options_of_a_run_are_kept(self, database: Database, options: CollectOptions) -> None:
        """A backfill's days are half-open on the way in and out."""
        with database.transaction() as tx:
            run = tx.runs.open("key", options.to_request(), now=NOW, version="1.0")
            assert CollectOptions.of(tx.runs.load(run).request) == options

    def test_a_process_with_the_same_key_joins(self, database: Database) -> None:
        """Start and today stay those of the first process, also after midnight."""
        run = open_run(database)
        joined, _ = join(database)
        assert joined == run

    @pytest.mark.parametrize(
        "request_",
        [{"days": WINDOW}, {"accept_vanished": True}, {"aws_account_ids": (account_id(1),)}],
        ids=["other days", "other options", "other accounts"],
    )
    def test_a_key_cannot_be_used_for_another_request(
        self, database: Database, request_: dict[str, Any]
    ) -> None:
        """The sentence names the key."""
        add_account(database)
        open_run(database)
        with pytest.raises(ConfigError, match="run key 'nightly' belongs to a run that was asked for"):
            join(database, **request_)

    def test_a_run_is_closed_once(self, database: Database) -> None:
        """Only the call that changes the status may report it."""
        run = open_run(database)
        assert close(database, run, RunStatus.STOPPED)
        assert close(database, run, RunStatus.COMPLETED)
        assert not close(database, run, RunStatus.COMPLETED)
        with database.transaction() as tx:
            assert tx.runs.load(run).status is RunStatus.COMPLETED

    def test_a_stopped_run_says_what_stopped_it_until_it_is_resumed(self, database: Database) -> None:
        """A resumed run is running: it has no end and no reason for it."""
        add_account(database)
        run = open_run(database)
        with database.transaction() as tx:
            tx.runs.close(run, RunStatus.STOPPED, now=LATER, stopped_by=StopReason.DEADLINE)
            stopped = tx.runs.load(run)
            assert (stopped.stopped_by, stopped.finished_at) == (StopReason.DEADLINE, LATER)
            assert tx.runs.resume(run) == run == tx.runs.load(run)

    def test_a_finished_run_is_resumed_for_an_account_that_was_added_meanwhile(
        self, database: Database
    ) -> None:
        """The account that is done is not done again."""
        add_account(database, 1)
        run = open_run(database)
        collect(database, claim(database, run)[0])
        close(database, run, RunStatus.COMPLETED)
        add_account(database, 2)
        joined, unfinished = join(database)
        assert (joined.status, joined.finished_at, unfinished) == (RunStatus.RUNNING, None, 1)
        assert states(database, run) == ["succeeded", "pending"]

    def test_a_finished_run_with_nothing_left_stays_finished(self, database: Database) -> None:
        """Joining it changes nothing."""
        add_account(database)
        run = open_run(database)
        collect(database, claim(database, run)[0])
        close(database, run, RunStatus.COMPLETED)
        joined, unfinished = join(database)
        assert (joined.status, joined.finished_at, unfinished) == (RunStatus.COMPLETED, NOW, 0)
