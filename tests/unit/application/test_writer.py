"""The writer: results that came back together are saved together, and none affects the others."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from costbatch.application.collect.job import CollectJob, CollectTask
from costbatch.application.jobs.job import Attempt, Result
from costbatch.application.jobs.writer import Writer
from costbatch.application.ports import Transaction
from costbatch.domain.costs import NO_DIGESTS, FetchedCosts
from costbatch.domain.periods import WindowPolicy
from costbatch.domain.routing import Route
from costbatch.domain.runs import ItemRecord, ItemState
from costbatch.errors import StatementRefused
from tests.support.factories import (
    NOW,
    days,
    make_access,
    make_account,
    make_fetched,
    make_item,
    make_row,
    make_run,
)
from tests.support.fake_runs import FakeDisplay, FakeSource, Listed
from tests.support.fake_store import FakeStore
from tests.support.run_harness import make_detection

WINDOW = days(0, 35)


class CountingStore(FakeStore):
    """A database that counts its transactions."""

    transactions = 0

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Count one, and return it."""
        self.transactions += 1
        return super().transaction()


@dataclass
class Results:
    """Results of the cost job, and the writer that saves them."""

    store: CountingStore = field(default_factory=CountingStore)
    display: FakeDisplay = field(default_factory=FakeDisplay)

    def result(self, row: int, *, rows: int = 1) -> Attempt[CollectTask, FetchedCosts]:
        """Claim an account and return what was fetched of it."""
        account = make_account(row)
        item = make_item(account)
        record = ItemRecord(
            id=item.id, aws_account_id=account.aws_account_id, name="", state=ItemState.RUNNING
        )
        self.store.tables.accounts.rows[row] = account
        self.store.tables.items.listed[row] = Listed(row, record, "worker", item.token)
        costs = tuple(make_row(WINDOW.last, service=f"service {n}") for n in range(rows))
        return Result(
            item=item,
            task=CollectTask(access=make_access(account), window=WINDOW, digests=NO_DIGESTS, totals=()),
            value=make_fetched(WINDOW, *costs),
            api_requests=1,
            started_at=NOW,
        )

    def save(self, *results: Attempt[CollectTask, FetchedCosts]) -> list[str]:
        """Save the results and return the states of the accounts."""
        job = CollectJob(
            source=FakeSource(),
            windows=WindowPolicy(),
            detection=make_detection(),
            clock=lambda: NOW,
            vanished_ratio=Decimal("0.5"),
        )
        writer = Writer(
            database=self.store,
            job=job,
            run=make_run(),
            retry_pause=timedelta(seconds=30),
            routes=(Route("log"),),
            clock=lambda: NOW,
            display=self.display,
        )
        for saved in writer.save(results):
            writer.report(saved)
        return [each.record.state.value for each in self.store.tables.items.listed.values()]


@pytest.fixture
def results() -> Results:
    """Return an empty database with its writer."""
    return Results()


def test_results_that_came_back_together_are_one_transaction(results: Results) -> None:
    """Three accounts, one commit, three outcomes."""
    assert results.save(*(results.result(row) for row in (1, 2, 3))) == ["succeeded"] * 3
    assert results.store.transactions == 1
    assert len(results.display.outcomes) == 3


def test_without_results_there_is_nothing_to_write(results: Results) -> None:
    """The loop looks every second whether any came."""
    assert results.save() == []
    assert results.store.transactions == 0


def test_a_result_that_is_refused_does_not_affect_the_others(results: Results) -> None:
    """Together, then one by one: only its own account fails, and nothing is stored twice."""
    results.store.tables.costs.refuses = {2: StatementRefused("It does not fit.")}
    states = results.save(*(results.result(row) for row in (1, 2, 3)))
    assert states == ["succeeded", "pending", "succeeded"]
    # One together, one for each, and one more to record the failure.
    assert results.store.transactions == 5
    assert {key[0] for key in results.store.tables.costs.rows} == {1, 3}


def test_what_is_saved_again_has_the_database_made_ready_again(results: Results) -> None:
    """A pruning may have dropped the months that the run had made; an ordinary save does not ask for them."""
    results.save(results.result(1))
    assert results.store.tables.costs.prepared == []
    results.store.tables.costs.refuses = {2: StatementRefused("It does not fit.")}
    results.save(*(results.result(row) for row in (2, 3)))
    (made,) = results.store.tables.costs.prepared
    assert made.start <= WINDOW.start
    assert made.last >= WINDOW.last


def test_an_account_that_was_taken_over_does_not_affect_the_others(results: Results) -> None:
    """Its result is dropped, but for what it cost; the rest is stored in the same transaction."""
    fetched = [results.result(row) for row in (1, 2, 3)]
    items = results.store.tables.items
    token = make_item(make_account(9)).token
    items.listed[2] = replace(items.listed[2], worker="another", token=token, takeovers=1)
    assert results.save(*fetched) == ["succeeded", "running", "succeeded"]
    assert results.store.transactions == 1
    listed = results.store.tables.items.listed.values()
    assert [each.record.api_requests for each in listed] == [1, 1, 1]
    assert {key[0] for key in results.store.tables.costs.rows} == {1, 3}


def test_large_results_are_saved_in_several_transactions(results: Results) -> None:
    """A first collection has many rows: a few of them fill a transaction, and memory does not grow."""
    assert results.save(*(results.result(row, rows=14_000) for row in (1, 2, 3))) == ["succeeded"] * 3
    assert results.store.transactions == 2


def test_accounts_whose_history_is_learned_are_saved_one_by_one(results: Results) -> None:
    """Each takes more than half a second, and claims are renewed between two transactions."""
    fetched = [results.result(row) for row in (1, 2, 3)]
    learned = [replace(each, task=replace(each.task, learns=True)) for each in fetched if each.task]
    assert results.save(*learned) == ["succeeded"] * 3
    assert results.store.transactions == 3


def test_the_work_of_a_lost_claim_is_not_saved_beside_that_of_the_next_one(results: Results) -> None:
    """This process may have claimed the account again, and both answers arrive together."""
    current, lost = results.result(1), results.result(1, rows=2)
    lost = replace(lost, item=replace(lost.item, token=UUID(int=99)))
    assert results.save(lost, current) == ["succeeded"]
    assert len(results.store.tables.costs.rows) == 1
    assert len(results.display.outcomes) == 1
