"""Claims under contention: separate processes, separate runs, and the index that decides."""

from collections import Counter
from datetime import timedelta
from random import Random
from threading import Thread
from time import sleep

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.credentials import Secret
from costbatch.domain.runs import Run, RunRequest, WorkItem
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    LEASE,
    NOW,
    account_id,
    add_account,
    claim,
    collect,
    new_account,
    open_run,
    states,
)

LAPSED = -timedelta(seconds=1)


def work(url: str, run: Run, worker: str, done: list[tuple[str, str]]) -> None:
    """Claim a few items at a time and collect their accounts, as one process does, until none are left."""
    database, random = PostgresDatabase(Secret(url)), Random(worker)
    while claims := claim_or_wait(database, run, worker, random.randint(1, 5)):
        for one in claims:
            collect(database, one)
            done.append((one.account.aws_account_id, str(run.id)))
    database.close()


def claim_or_wait(database: PostgresDatabase, run: Run, worker: str, most: int) -> list[WorkItem]:
    """Claim; if others hold everything that is left, wait and look again."""
    for _ in range(200):
        if claims := claim(database, run, worker, most=most):
            return claims
        with database.transaction() as tx:
            if tx.items.seconds_until_work(run) is None:
                return []
        sleep(0.02)
    raise TimeoutError


@pytest.mark.parametrize("runs", [1, 2])
def test_processes_that_hammer_never_get_the_same_account(
    database: PostgresDatabase, database_url: str, query: Query, runs: int
) -> None:
    """Four workers, each account once in each run, and no two runs at one account together."""
    with database.transaction() as tx:
        for number in range(1, 61):
            tx.accounts.add(new_account(number), now=NOW)
    opened = [open_run(database, f"run {n}") for n in range(runs)]
    done: list[tuple[str, str]] = []
    threads = [
        Thread(target=work, args=(database_url, opened[n % runs], f"worker {n}", done)) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(done) == Counter({(account_id(n), str(run.id)): 1 for n in range(1, 61) for run in opened})
    assert query("SELECT state, attempts, count(*) FROM run_items GROUP BY 1, 2") == [
        ("succeeded", 1, 60 * runs)
    ]


def test_an_account_in_work_is_left_alone_by_other_runs(database: PostgresDatabase) -> None:
    """A manual run waits for the nightly one, account by account."""
    for number in (1, 2):
        add_account(database, number)
    nightly, manual = open_run(database, "nightly"), open_run(database, "manual")
    (held,) = claim(database, nightly, most=1)
    (free,) = claim(database, manual)
    assert free.account.aws_account_id == account_id(2)
    assert claim(database, manual) == []
    collect(database, held)
    assert [one.account for one in claim(database, manual)] == [held.account]


def test_an_account_being_claimed_is_skipped_without_waiting(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    """Before the first claim commits, a second process takes the next account, in any run."""
    for number in (1, 2, 3):
        add_account(database, number)
    nightly, manual = open_run(database, "nightly"), open_run(database, "manual")
    with database.transaction() as tx:
        tx.items.claim(nightly, worker="first", most=1, lease=NOW - NOW)
        (sibling,) = claim(other, nightly, "second", most=1)
        (stranger,) = claim(other, manual, "third", most=2)
    assert sibling.account.aws_account_id == account_id(2)
    assert stranger.account.aws_account_id == account_id(3)


def test_the_index_decides_between_claims_of_the_same_instant(
    database: PostgresDatabase, other: PostgresDatabase, query: Query
) -> None:
    """A claim that was taken in the same instant is a claim of nothing; the transaction continues."""
    add_account(database)
    nightly, manual = open_run(database, "nightly"), open_run(database, "manual")
    claimed: list[list[WorkItem]] = []

    def claim_as_well() -> None:
        with other.transaction() as tx:
            claimed.append(tx.items.claim(manual, worker="late", most=1, lease=NOW - NOW))
            assert tx.runs.load(manual) == manual

    thread = Thread(target=claim_as_well)
    with database.transaction() as tx:
        # Past the lock on the account, as a claim that was not seen yet.
        tx.connection.exec_driver_sql(
            "UPDATE run_items SET state = 'running', claimed_by = 'early', lease_expires_at = now(),"
            " claim_token = gen_random_uuid() WHERE run_id = %s",
            (str(nightly.id),),
        )
        thread.start()
        sleep(0.3)
        assert thread.is_alive()
    thread.join(10)
    assert claimed == [[]]
    assert query("SELECT claimed_by FROM run_items WHERE state = 'running'") == [("early",)]
    assert claim(database, manual) == []


def test_a_dead_workers_claim_that_its_server_still_writes_is_left_for_later(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    """Its node may have vanished in the middle of a save: nobody waits until PostgreSQL has noticed."""
    for number in (1, 2):
        add_account(database, number)
    run = open_run(database)
    in_doubt, _ = claim(database, run, "dead")
    with other.transaction() as vanished:
        assert vanished.items.lock([in_doubt])
        with database.transaction() as tx:
            tx.connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            assert tx.items.release_dead("dead".__eq__) == [(run.id, "dead")]
        assert states(database, run) == ["running", "pending"]
    with database.transaction() as tx:
        assert tx.items.release_dead("dead".__eq__) == [(run.id, "dead")]


@pytest.mark.parametrize(("worker", "lease"), [("dead", LEASE), ("silent", LAPSED)])
def test_a_dead_worker_is_named_also_if_nothing_of_it_can_be_released(
    database: PostgresDatabase, other: PostgresDatabase, worker: str, lease: timedelta
) -> None:
    """What it failed at is tried again also if its last save commits, or another process releases it."""
    for number in (1, 2):
        add_account(database, number)
    run = open_run(database)
    (in_doubt,) = claim(database, run, worker, most=1, lease=lease)
    claim(database, run, "alive", most=1)
    with other.transaction() as vanished:
        assert vanished.items.lock([in_doubt])
        with database.transaction() as tx:
            tx.connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            assert tx.items.release_dead("dead".__eq__) == [(run.id, worker)]
        assert states(database, run) == ["running", "running"]


def test_the_jobs_lock_the_accounts_that_they_share_in_one_order(
    database: PostgresDatabase, other: PostgresDatabase, query: Query
) -> None:
    """Each lists them in an order of its own; whoever waits for the first holds none of the later ones."""
    one, two = (add_account(database, number) for number in (1, 2))
    with database.transaction() as tx:
        run = tx.runs.open("nightly", RunRequest(job="other"), now=NOW, version="1")
    for account in (two, one):
        query(
            "INSERT INTO run_items (run_id, job, account_id, state, available_at)"
            " VALUES (:run, 'other', :account, 'pending', now())",
            run=run.id,
            account=account.id,
        )
    items = claim(database, run)
    assert [item.account.id for item in items] == [two.id, one.id]

    def lock() -> None:
        with other.transaction() as tx:
            tx.items.lock(items)

    thread = Thread(target=lock)
    with database.transaction() as tx:
        assert tx.accounts.find(one.aws_account_id, lock=True)
        thread.start()
        sleep(0.3)
        assert thread.is_alive()
        free = "SELECT aws_account_id FROM accounts FOR UPDATE SKIP LOCKED"
        assert query(free) == [(two.aws_account_id,)]
    thread.join(10)
