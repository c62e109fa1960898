"""The records of the cost job on a real PostgreSQL, where there are several runs."""

from datetime import timedelta

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.collection import CollectionCounts
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    LATER,
    NOW,
    WINDOW,
    account_id,
    add_account,
    claim,
    collect,
    fail,
    open_run,
    record,
)


def test_the_last_requests_are_those_of_the_newest_collection(database: PostgresDatabase) -> None:
    """By account: a failure after it does not count, an account never collected is absent; so the oldest."""
    account, _ = add_account(database, 1), add_account(database, 2)
    only = (account_id(1),)
    for key, requests, now in (("b", 5, LATER), ("a", 9, NOW)):
        (item,) = claim(database, open_run(database, key, aws_account_ids=only))
        collect(database, item, now=now, api_requests=requests)
    fail(database, claim(database, open_run(database, "c", aws_account_ids=only))[0])
    with database.transaction() as tx:
        assert tx.collections.last_requests() == {account.id: (5, len(WINDOW))}
        assert tx.collections.first_requests() == {account.id: (9, len(WINDOW))}


def test_the_records_of_another_run_do_not_count(database: PostgresDatabase) -> None:
    """Each run has its own records and sums."""
    add_account(database)
    first, second = open_run(database), open_run(database, "second")
    collect(database, *claim(database, first), rows_fetched=7)
    (item,) = claim(database, second)
    collect(database, item, now=NOW + timedelta(minutes=1), rows_fetched=9, days_kept=1)
    with database.transaction() as tx:
        assert tx.collections.of_run(second) == {item.id: record(rows_fetched=9, days_kept=1)}
        assert tx.collections.of_run(first, kept_only=True) == {}
        assert tx.collections.counts(first) == CollectionCounts(rows_fetched=7, days_read=WINDOW)


def test_a_record_goes_with_its_item(database: PostgresDatabase, query: Query) -> None:
    """A pruned run leaves no record behind."""
    add_account(database)
    collect(database, *claim(database, open_run(database)))
    query("DELETE FROM runs")
    assert query("SELECT count(*) FROM cost_collections") == [(0,)]
