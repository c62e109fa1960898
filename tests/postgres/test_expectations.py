"""What is stored for the detectors: expectations, memories and first charges."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.accounts import Account
from costbatch.domain.adaptive_memory import Memory
from costbatch.domain.detection import JudgedDay, Reason
from costbatch.domain.expectations import Expectation
from costbatch.domain.first_charges import FirstCharge
from costbatch.domain.periods import DateRange
from tests.postgres.conftest import Query
from tests.support.database_rows import add_account, prepare_months

DAY = date(2026, 3, 4)
WRITTEN = "SELECT xmin::text FROM daily_expectations ORDER BY usage_date, service"


def judged(day: int, score: str = "0.2", reason: Reason | None = None) -> JudgedDay:
    """Return a day of March."""
    lower, upper = Decimal("80.5"), Decimal(120)
    return JudgedDay(
        date(2026, 3, day), Decimal("100.1234"), Decimal("99.5"), lower, upper, Decimal(score), reason
    )


@pytest.fixture
def account(database: PostgresDatabase) -> Account:
    """Return an account with months for its days."""
    prepare_months(database)
    return add_account(database)


def test_days_outside_their_band_are_read_as_they_were_written(
    database: PostgresDatabase, account: Account
) -> None:
    """Of a total and of services with any name, and only from the day that is asked for."""
    odd = Expectation("tab\tand \\N", "EUR", judged(5, "0.9", Reason.GROWTH))
    outside = [Expectation(None, "USD", judged(4, "0.5")), odd]
    inside = [Expectation(None, "USD", judged(5)), Expectation("S3", "USD", judged(3, "1", Reason.SPIKE))]
    with database.transaction() as tx:
        tx.expectations.save({account.id: [*outside, *inside]})
    with database.transaction() as tx:
        assert tx.expectations.load_outside({account.id: DAY, 999: DAY}) == {account.id: outside}


def test_the_days_of_one_series_are_read(database: PostgresDatabase, account: Account) -> None:
    """Of the total or of one service, in one currency, in a range of days, inside their band or not."""
    days = DateRange(DAY, date(2026, 3, 6))
    mine = [Expectation(None, "USD", judged(n, score)) for n, score in ((4, "0.2"), (5, "0.9"))]
    others = [
        Expectation(None, "USD", judged(3)),
        Expectation(None, "USD", judged(6)),
        Expectation(None, "EUR", judged(4)),
        Expectation("S3", "USD", judged(5)),
    ]
    with database.transaction() as tx:
        tx.expectations.save({account.id: [*mine, *others]})
        found = tx.expectations.of_series(account.id, None, "USD", days)
        assert found == {each.day.usage_date: each.day for each in mine}
        assert tx.expectations.of_series(account.id, "S3", "USD", days) == {date(2026, 3, 5): judged(5)}
        assert tx.expectations.of_series(999, None, "USD", days) == {}


def test_only_what_differs_is_written(database: PostgresDatabase, account: Account, query: Query) -> None:
    """A night that judges the same days alike leaves their rows alone."""
    days = [Expectation("S3", "USD", judged(day)) for day in (3, 4, 5)]
    with database.transaction() as tx:
        tx.expectations.save({account.id: days})
    before = query(WRITTEN)
    changed = Expectation("S3", "USD", replace(judged(4), score=Decimal("0.3")))
    with database.transaction() as tx:
        tx.expectations.save({account.id: [days[0], changed, days[2]]})
    assert [new == old for new, old in zip(query(WRITTEN), before, strict=True)] == [True, False, True]
    assert query("SELECT score FROM daily_expectations WHERE usage_date = '2026-03-04'") == [
        (Decimal("0.3"),)
    ]


def test_a_memory_keeps_its_snapshot_until_it_has_another(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """Most nights write the new morning only, and a repeated one writes nothing."""
    first = Memory(version="1/a", newest=DAY, snapshot=b"large", mornings=b"one")
    second = replace(first, snapshot=None, mornings=b"two")
    with database.transaction() as tx:
        tx.memories.save({(account.id, "USD"): first, (account.id, "EUR"): second})
    with database.transaction() as tx:
        assert tx.memories.load([account.id, 999]) == {
            (account.id, "USD"): first,
            (account.id, "EUR"): second,
        }
        about = ("1/a", DAY)
        assert tx.memories.versions([account.id, 999]) == {account.id: {"USD": about, "EUR": about}}
        tx.memories.save({(account.id, "USD"): second})
    with database.transaction() as tx:
        assert tx.memories.load([account.id])[account.id, "USD"] == replace(second, snapshot=b"large")
    # A second run of the day learned an older day again.
    for snapshot in (b"larger", None):
        with database.transaction() as tx:
            tx.memories.save({(account.id, "USD"): replace(second, snapshot=snapshot)})
        with database.transaction() as tx:
            assert tx.memories.load([account.id])[account.id, "USD"] == replace(second, snapshot=b"larger")
    before = query("SELECT xmin::text FROM detector_memories")
    with database.transaction() as tx:
        tx.memories.save({(account.id, "USD"): second})
    assert query("SELECT xmin::text FROM detector_memories") == before
    with database.transaction() as tx:
        tx.memories.forget(account.id, "EUR")
        assert set(tx.memories.load([account.id])) == {(account.id, "USD")}
        tx.memories.forget(account.id)
        assert tx.memories.load([account.id]) == {}


def test_a_first_charge_is_remembered_as_it_was_first_seen(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """What is added again is left as it is."""
    other = add_account(database, 2)
    charge = FirstCharge("Amazon S3", DAY, "USD", Decimal("0.012"))
    with database.transaction() as tx:
        tx.first_charges.add({account.id: [charge], other.id: []})
        tx.first_charges.add({account.id: [charge._replace(amount=Decimal(9))]})
        assert tx.first_charges.services([account.id, other.id]) == {account.id: {"Amazon S3"}}
    assert query("SELECT amount FROM first_charges") == [(Decimal("0.012"),)]
