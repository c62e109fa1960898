"""The runs store: opening, joining, going on, the list of accounts, and the end."""

from datetime import date, timedelta
from threading import Thread
from time import sleep
from typing import Any

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.accounts import AccountStatus
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import CollectionState, Run, RunRequest, RunStatus, SkipReason
from costbatch.errors import ConfigError
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    NOW,
    TODAY,
    WINDOW,
    account_id,
    add_account,
    claim,
    collect,
    fail,
    open_run,
)

LATER = NOW + timedelta(days=1)


def reopen(database: PostgresDatabase, key: str = "nightly", **request: Any) -> tuple[Run, int]:
    """Join a run a day later; return it with the number of accounts to do."""
    with database.transaction() as tx:
        run = tx.runs.open(key, RunRequest(**request), now=LATER, version="1.1")
        to_do = tx.runs.enlist(run)
        return tx.runs.load(run), to_do


def close(database: PostgresDatabase, run: Run, status: RunStatus) -> bool:
    """Close a run."""
    with database.transaction() as tx:
        return tx.runs.close(run, status, now=NOW)


def states(database: PostgresDatabase, run: Run) -> list[CollectionState]:
    """Return the states of a run's accounts, by account id."""
    with database.transaction() as tx:
        return [collection.state for collection in tx.runs.collections(run)]


def test_a_new_run_is_running_and_reads_back(database: PostgresDatabase) -> None:
    """Its today is the UTC day of its start; what it was asked for is kept."""
    request = RunRequest(days=WINDOW, aws_account_ids=(account_id(1), account_id(2)))
    with database.transaction() as tx:
        run = tx.runs.open("key", request, now=NOW, version="1.0")
        assert tx.runs.load(run) == run
    assert (run.key, run.request, run.status, run.today) == ("key", request, RunStatus.RUNNING, TODAY)
    assert (run.started_at, run.finished_at) == (NOW, None)


def test_who_comes_with_the_same_key_joins(database: PostgresDatabase, query: Query) -> None:
    """Start and today stay those of the first process, also after midnight."""
    run = open_run(database)
    joined, _ = reopen(database)
    assert joined == run
    assert query("SELECT count(*), min(version) FROM runs") == [(1, "1.0")]


@pytest.mark.parametrize(
    "request_",
    [{"days": WINDOW}, {"aws_account_ids": (account_id(1),)}],
    ids=["other days", "other accounts"],
)
def test_a_key_cannot_be_used_for_another_request(
    database: PostgresDatabase, request_: dict[str, Any]
) -> None:
    """The sentence names the key and the way out."""
    open_run(database)
    with pytest.raises(ConfigError, match=r"run key 'nightly' belongs to .* choose another --run-key\."):
        reopen(database, **request_)


def test_two_processes_that_open_a_run_at_once_share_it(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    """The second waits until the first has its list, and joins."""
    add_account(database)
    joined: list[tuple[Run, int]] = []
    thread = Thread(target=lambda: joined.append(reopen(other)))
    with database.transaction() as tx:
        run = tx.runs.open("nightly", RunRequest(), now=NOW, version="1.0")
        thread.start()
        sleep(0.2)
        assert joined == []
        assert tx.runs.enlist(run) == 1
    thread.join(10)
    assert joined == [(run, 1)]


def test_the_list_holds_the_active_accounts_of_the_request(database: PostgresDatabase) -> None:
    """Paused and removed accounts are left out, asked for or not; an empty request means all."""
    accounts = [add_account(database, number) for number in (1, 2, 3, 4)]
    with database.transaction() as tx:
        tx.accounts.set_status(accounts[2], AccountStatus.PAUSED, now=NOW)
        tx.accounts.set_status(accounts[3], AccountStatus.REMOVED, now=NOW)
        everything = tx.runs.open("all", RunRequest(), now=NOW, version="1")
        some = RunRequest(aws_account_ids=tuple(account_id(number) for number in (2, 3, 9)))
        asked = tx.runs.open("some", some, now=NOW, version="1")
        assert (tx.runs.enlist(everything), tx.runs.enlist(asked)) == (2, 1)
        listed = [each.aws_account_id for each in tx.runs.collections(everything)]
        of_request = [each.aws_account_id for each in tx.runs.collections(asked)]
    assert listed == [account_id(1), account_id(2)]
    assert of_request == [account_id(2)]


def test_an_account_added_meanwhile_is_on_the_list_when_the_run_is_joined(
    database: PostgresDatabase,
) -> None:
    """A finished run goes on for it, and says so; the collected account is not done again."""
    add_account(database, 1)
    run = open_run(database)
    collect(database, claim(database, run)[0])
    close(database, run, RunStatus.COMPLETED)
    add_account(database, 2)
    joined, to_do = reopen(database)
    assert (joined.status, joined.finished_at, to_do) == (RunStatus.RUNNING, None, 1)
    assert states(database, run) == [CollectionState.COLLECTED, CollectionState.PENDING]


def test_a_finished_run_with_nothing_left_stays_finished(database: PostgresDatabase) -> None:
    """Joining it changes nothing."""
    add_account(database)
    run = open_run(database)
    collect(database, claim(database, run)[0])
    close(database, run, RunStatus.COMPLETED)
    joined, to_do = reopen(database)
    assert (joined.status, joined.finished_at, to_do) == (RunStatus.COMPLETED, NOW, 0)


def test_joining_puts_back_what_failed_and_what_was_left_out(database: PostgresDatabase) -> None:
    """A retry tries every account that is not collected, with all its attempts again."""
    for number in (1, 2, 3):
        add_account(database, number)
    run = open_run(database)
    first, second = claim(database, run, most=2)
    collect(database, first)
    fail(database, second)
    with database.transaction() as tx:
        assert tx.claims.skip_pending(run, SkipReason.API_COST_CAP, now=NOW) == 1
    close(database, run, RunStatus.PARTIAL)
    joined, to_do = reopen(database)
    assert (joined.status, to_do) == (RunStatus.RUNNING, 2)
    with database.transaction() as tx:
        found = tx.runs.collections(run)
    assert [each.state.value for each in found] == ["collected", "pending", "pending"]
    assert [each.attempts for each in found] == [1, 0, 0]
    assert [each.skip_reason for each in found] == [None, None, None]
    assert [each.attempt for each in claim(database, run)] == [1, 1]


def test_joining_while_somebody_works_puts_nothing_back(database: PostgresDatabase) -> None:
    """A sibling's start must not undo what the run has already decided."""
    for number in (1, 2):
        add_account(database, number)
    run = open_run(database)
    first, _ = claim(database, run)
    fail(database, first)
    _, to_do = reopen(database)
    assert to_do == 1
    assert states(database, run) == [CollectionState.FAILED, CollectionState.COLLECTING]


def test_an_heir_puts_back_what_was_not_collected(database: PostgresDatabase) -> None:
    """A run that others have closed meanwhile runs again; accounts in work and other runs stay put."""
    for number in (1, 2, 3):
        add_account(database, number)
    run, elsewhere = open_run(database), open_run(database, "other")
    first, second, _ = claim(database, run)
    collect(database, first)
    fail(database, second)
    with database.transaction() as tx:
        tx.claims.skip_pending(elsewhere, SkipReason.API_COST_CAP, now=NOW)
    close(database, run, RunStatus.PARTIAL)
    with database.transaction() as tx:
        assert (tx.runs.requeue(run), tx.runs.requeue(run)) == (1, 0)
        assert tx.runs.load(run).status is RunStatus.RUNNING
    pending, collecting = CollectionState.PENDING, CollectionState.COLLECTING
    assert states(database, run) == [CollectionState.COLLECTED, pending, collecting]
    assert states(database, elsewhere) == [CollectionState.SKIPPED] * 3


def test_nobody_puts_back_while_the_run_is_being_closed(database: PostgresDatabase) -> None:
    """What the closing process tells of the run is what it found; an heir comes before it or after it."""
    add_account(database)
    run = open_run(database)
    fail(database, *claim(database, run))
    requeue: list[int] = []

    def inherit() -> None:
        with database.transaction() as tx:
            requeue.append(tx.runs.requeue(run))

    heir = Thread(target=inherit)
    with database.transaction() as tx:
        assert tx.runs.hold(run) == {CollectionState.FAILED}
        heir.start()
        sleep(0.3)
        assert not requeue
        assert [each.state for each in tx.runs.collections(run)] == [CollectionState.FAILED]
        assert tx.runs.close(run, RunStatus.FAILED, now=NOW)
    heir.join()
    with database.transaction() as tx:
        assert (requeue, tx.runs.hold(run)) == ([1], {CollectionState.PENDING})
        assert tx.runs.load(run).status is RunStatus.RUNNING


def test_a_run_is_closed_once(database: PostgresDatabase) -> None:
    """Only the call that changes the status may tell of it."""
    run = open_run(database)
    assert close(database, run, RunStatus.STOPPED)
    assert close(database, run, RunStatus.COMPLETED)
    assert not close(database, run, RunStatus.COMPLETED)
    with database.transaction() as tx:
        assert tx.runs.load(run).status is RunStatus.COMPLETED


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


def test_requests_are_summed_over_the_run(database: PostgresDatabase) -> None:
    """Those of failed attempts count; another run's do not."""
    for number in (1, 2):
        add_account(database, number)
    run = open_run(database)
    with database.transaction() as tx:
        assert tx.runs.api_requests(run) == 0
    first, second = claim(database, run)
    fail(database, first, retry_after=timedelta(0))
    collect(database, second, api_requests=4)
    collect(database, claim(database, run)[0], api_requests=3)
    empty = open_run(database, "other")
    with database.transaction() as tx:
        assert tx.runs.api_requests(run) == 1 + 4 + 3
        assert tx.runs.api_requests(empty) == 0


def test_the_last_requests_are_those_of_the_newest_collection(database: PostgresDatabase) -> None:
    """By account: a failure after it does not count, an account never collected is absent."""
    account, _ = add_account(database, 1), add_account(database, 2)
    only = (account_id(1),)
    for key, requests, now in (("b", 5, LATER), ("a", 9, NOW)):
        (one,) = claim(database, open_run(database, key, aws_account_ids=only))
        collect(database, one, now=now, api_requests=requests)
    fail(database, claim(database, open_run(database, "c", aws_account_ids=only))[0])
    with database.transaction() as tx:
        assert tx.runs.last_requests() == {account.id: (5, len(WINDOW))}


def test_a_run_over_days_keeps_its_range(database: PostgresDatabase) -> None:
    """A backfill's days are half-open on the way in and out."""
    days = DateRange(date(2026, 1, 31), date(2026, 2, 1))
    run = open_run(database, days=days)
    with database.transaction() as tx:
        assert tx.runs.load(run).request == RunRequest(days=days)
