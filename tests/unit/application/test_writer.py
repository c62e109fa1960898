"""The one writer: accounts that came back together are stored together, and none notices the others."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest

from costbatch.application.collect.job import Settlement
from costbatch.application.jobs.pool import Flight, Landing
from costbatch.application.jobs.writer import Writer
from costbatch.application.ports import Transaction
from costbatch.domain.detection import Rule
from costbatch.domain.runs import Collection, CollectionState
from costbatch.errors import StatementRefused
from tests.support.factories import (
    NOW,
    days,
    make_access,
    make_account,
    make_claim,
    make_fetched,
    make_row,
    make_run,
)
from tests.support.fake_runs import FakeProgress, Listed
from tests.support.fake_store import FakeStore

WINDOW = days(0, 35)


class CountingStore(FakeStore):
    """A database that counts its transactions."""

    transactions = 0

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Count one, and return it."""
        self.transactions += 1
        return super().transaction()


@dataclass
class Office:
    """A writer with its database."""

    store: CountingStore = field(default_factory=CountingStore)
    progress: FakeProgress = field(default_factory=FakeProgress)

    def landing(self, row: int, *, rows: int = 1) -> Landing:
        """Claim an account and return what was fetched of it."""
        account = make_account(row)
        claim = make_claim(account)
        collection = Collection(
            aws_account_id=account.aws_account_id, name="", state=CollectionState.COLLECTING
        )
        self.store.tables.accounts.rows[row] = account
        self.store.tables.runs.listed[row] = Listed(row, collection, "worker", claim.token)
        costs = tuple(make_row(WINDOW.last, service=f"service {n}") for n in range(rows))
        fetched = make_fetched(WINDOW, *costs)
        flight = Flight(claim=claim, access=make_access(account), window=WINDOW, known={}, totals=())
        return Landing(flight=flight, outcome=fetched, api_requests=1, started_at=NOW)

    def write(self, *landings: Landing) -> list[str]:
        """Write the landings and return how their accounts stand."""
        settlement = Settlement(
            run=make_run(),
            rule=Rule(),
            retry_pause=timedelta(seconds=30),
            sinks=("log",),
            vanished_ratio=Decimal("0.5"),
        )
        writer = Writer(database=self.store, settlement=settlement, clock=lambda: NOW, progress=self.progress)
        for written in writer.write(landings):
            writer.tell(written)
        return [each.collection.state.value for each in self.store.tables.runs.listed.values()]


@pytest.fixture
def office() -> Office:
    """Return an empty office."""
    return Office()


def test_what_came_back_together_is_one_transaction(office: Office) -> None:
    """Three accounts, one commit, three outcomes."""
    assert office.write(*(office.landing(row) for row in (1, 2, 3))) == ["collected"] * 3
    assert office.store.transactions == 1
    assert len(office.progress.outcomes) == 3


def test_nothing_that_came_back_is_nothing_to_write(office: Office) -> None:
    """The loop looks every second whether anything came."""
    assert office.write() == []
    assert office.store.transactions == 0


def test_one_that_makes_trouble_is_parted_from_the_others(office: Office) -> None:
    """Together, then one by one: the trouble is its own, and nothing is stored twice."""
    office.store.tables.costs.refuses = {2: StatementRefused("It does not fit.")}
    assert office.write(*(office.landing(row) for row in (1, 2, 3))) == ["collected", "pending", "collected"]
    # One together, one for each, and one more to record the failure.
    assert office.store.transactions == 5
    assert {key[0] for key in office.store.tables.costs.rows} == {1, 3}


def test_an_account_that_was_taken_over_does_not_keep_the_others(office: Office) -> None:
    """Theirs is dropped without a trace, the rest is stored in the same transaction."""
    landings = [office.landing(row) for row in (1, 2, 3)]
    taken = office.store.tables.runs.listed[2]
    office.store.tables.runs.listed[2] = Listed(
        2, taken.collection, "another", make_claim(make_account(9)).token
    )
    assert office.write(*landings) == ["collected", "collecting", "collected"]
    assert office.store.transactions == 1
    assert {key[0] for key in office.store.tables.costs.rows} == {1, 3}


def test_histories_go_apart(office: Office) -> None:
    """A first collection has many rows: a few of them fill a transaction, and memory does not grow."""
    assert office.write(*(office.landing(row, rows=14_000) for row in (1, 2, 3))) == ["collected"] * 3
    assert office.store.transactions == 2
