"""The runs store: the outcome of each account of a run, and all of them in numbers."""

from datetime import date, timedelta

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.costs import StoredChange
from costbatch.domain.runs import CollectionState, Ending, Run, RunCounts, SkipReason
from costbatch.errors import ErrorKind
from tests.support.database_rows import (
    NOW,
    WINDOW,
    account_id,
    add_account,
    claim,
    collected,
    fail,
    failed,
    failure,
    open_run,
)
from tests.support.factories import tally_of


def run_of_every_outcome(database: PostgresDatabase) -> Run:
    """Return a run with an account in each state, two collected, and one that waits for another attempt."""
    for number in range(1, 8):
        add_account(database, number)
    run = open_run(database)
    first, second, third, fourth, fifth, _ = claim(database, run, most=6)
    change = StoredChange(inserted=3, updated=2, deleted=1)
    skipped = Ending(
        claim=fifth, state=CollectionState.SKIPPED, api_requests=0, skip_reason=SkipReason.NOT_ACTIVE
    )
    with database.transaction() as tx:
        endings = [collected(each, rows_fetched=7, change=change) for each in (first, second)]
        endings += [failed(third), failed(fourth, retry_after=timedelta(hours=1)), skipped]
        tx.claims.finish(endings, now=NOW)
    return run


def test_a_tally_tells_of_a_run_in_numbers(database: PostgresDatabase) -> None:
    """By state, kind and reason; an account that waits for another attempt has not failed."""
    run = run_of_every_outcome(database)
    with database.transaction() as tx:
        counts, collections = tx.runs.counts(run), tx.runs.collections(run)
    assert counts == tally_of(collections)
    assert counts.accounts == {
        CollectionState.COLLECTED: 2,
        CollectionState.FAILED: 1,
        CollectionState.SKIPPED: 1,
        CollectionState.COLLECTING: 1,
        CollectionState.PENDING: 2,
    }
    assert (counts.failures, counts.skips) == ({ErrorKind.THROTTLED: 1}, {SkipReason.NOT_ACTIVE: 1})
    assert (counts.rows_fetched, counts.change) == (14, StoredChange(inserted=6, updated=4, deleted=2))


def test_the_tally_of_a_run_without_accounts_is_empty(database: PostgresDatabase) -> None:
    """Nothing to do is a run like any other."""
    run = open_run(database)
    with database.transaction() as tx:
        assert tx.runs.counts(run) == RunCounts()


def test_the_accounts_that_were_not_collected_can_be_had_alone(database: PostgresDatabase) -> None:
    """Whatever they are instead."""
    run = run_of_every_outcome(database)
    with database.transaction() as tx:
        listed = tx.runs.collections(run, collected_too=False)
    assert [each.aws_account_id for each in listed] == [account_id(number) for number in range(3, 8)]


def test_a_collection_tells_everything_about_its_account(database: PostgresDatabase) -> None:
    """Window, rows, change, requests, attempts and seconds of the collected; the reason of the failed."""
    for number in (1, 2):
        add_account(database, number)
    run = open_run(database)
    first, second = claim(database, run)
    days = frozenset({date(2026, 3, 3)})
    change = StoredChange(inserted=3, updated=2, deleted=1, changed_dates=days)
    with database.transaction() as tx:
        tx.claims.finish([collected(first, rows_fetched=1, change=change)], now=NOW + timedelta(seconds=2.5))
    fail(database, second)
    with database.transaction() as tx:
        good, bad = tx.runs.collections(run)
    assert (good.name, good.attempts, good.window) == ("account-1", 1, WINDOW)
    assert (good.rows_fetched, good.api_requests) == (1, 2)
    assert good.change == StoredChange(inserted=3, updated=2, deleted=1)
    assert (good.duration_seconds, good.failure) == (2.5, None)
    assert (bad.state, bad.failure, bad.window) == (CollectionState.FAILED, failure(), None)
