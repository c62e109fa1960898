"""Replaying a ledger: the costs as each collection left them, from whatever is still known."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

from costbatch.application.replay import PastCosts, replay
from costbatch.domain.detection import Rule
from costbatch.domain.ledger import AccountHistory, Amount, AmountChange, PastCollection
from costbatch.domain.periods import DateRange
from tests.support.factories import day, days, make_account

EVER = days(0, 100)
FIRST, SECOND, THIRD = (UUID(int=n) for n in (1, 2, 3))


def row(n: int, *, is_compared: bool = True, currency: str = "USD") -> Amount:
    """Return the key of a row of a day."""
    return Amount(day(n), "Amazon EC2", "Usage" if is_compared else "Tax", currency, is_compared)


def change(run: UUID, n: int, old: str | None, new: str | None, *, is_compared: bool = True) -> AmountChange:
    """Return a change of a row."""
    amounts = [None if amount is None else Decimal(amount) for amount in (old, new)]
    return AmountChange(run, row(n, is_compared=is_compared), *amounts)


def collection(run: UUID, today: int, window: DateRange) -> PastCollection:
    """Return an ordinary collection."""
    return PastCollection(run_id=run, today=day(today), window=window, is_backfill=False)


COLLECTIONS = [
    collection(FIRST, 10, days(0, 10)),
    collection(SECOND, 11, days(1, 11)),
    collection(THIRD, 12, days(2, 12)),
]
CHANGES = [
    change(SECOND, 10, None, "5"),
    change(SECOND, 9, "1", "2"),
    change(SECOND, 9, None, "7", is_compared=False),
    change(THIRD, 10, "5", "6"),
    change(THIRD, 8, "3", None),
]
STORED = [
    (row(9), Decimal(2)),
    (row(9, is_compared=False), Decimal(7)),
    (row(10), Decimal(6)),
]


def mornings(history: AccountHistory) -> list[tuple[date | None, list[int], dict[int, int]]]:
    """Return for each night the first covered day, the days that it changed, and the stored totals by day."""
    costs, found = PastCosts(), []
    for _, replaced in replay(make_account(), history, costs):
        totals = {
            (each.usage_date - day(0)).days: int(each.amount)
            for each in costs.day_totals({1: EVER}, Rule())[1]
        }
        changed = sorted((each - day(0)).days for each in replaced.change.changed_dates)
        found.append((replaced.covered.start if replaced.covered else None, changed, totals))
    return found


def test_each_night_sees_what_was_stored_by_then() -> None:
    """The first costs come with their run; later runs restate, add and delete; tax is not compared."""
    history = AccountHistory(stored=STORED, changes=CHANGES, collections=COLLECTIONS, first_run=FIRST)
    assert mornings(history) == [
        (None, [8, 9], {8: 3, 9: 1}),
        (day(0), [9, 10], {8: 3, 9: 2, 10: 5}),
        (day(0), [8, 10], {9: 2, 10: 6}),
    ]


def test_a_first_collection_that_found_nothing_is_passed_over() -> None:
    """What was stored first came later; its days count as covered."""
    early = [collection(UUID(int=9), 9, days(0, 9)), *COLLECTIONS]
    history = AccountHistory(stored=STORED, changes=CHANGES, collections=early, first_run=FIRST)
    assert mornings(history)[0] == (day(0), [8, 9], {8: 3, 9: 1})


def test_without_the_first_run_the_oldest_known_one_begins_with_what_was_stored() -> None:
    """As after pruning: nothing is undone that no known run did."""
    history = AccountHistory(stored=STORED, changes=CHANGES, collections=COLLECTIONS[2:], first_run=None)
    assert mornings(history) == [(day(8), [8, 10], {9: 2, 10: 6})]
    assert mornings(AccountHistory(stored=[], changes=[], collections=[], first_run=None)) == []


def test_days_that_aws_hid_are_not_judged_by_a_replay_either() -> None:
    """Of a night that kept some days, those after them are; all of a night that kept none."""
    kept = replace(COLLECTIONS[1], days_kept=1)
    everything_is_kept = replace(COLLECTIONS[2], days_kept=2)
    collections = [COLLECTIONS[0], kept, everything_is_kept]
    history = AccountHistory(stored=STORED, changes=CHANGES, collections=collections, first_run=FIRST)
    judged = [replaced.judged_from for _, replaced in replay(make_account(), history, PastCosts())]
    assert judged == [day(0), day(9), day(11)]


def test_a_currencys_first_day_counts_rows_of_every_kind() -> None:
    """Also those that are not compared, as the database does."""
    costs = PastCosts()
    costs.change(row(3, is_compared=False, currency="EUR"), None, Decimal(1))
    costs.change(row(4), None, Decimal(0))
    assert costs.first_days({1: ["EUR", "USD", "JPY"]}) == {(1, "EUR"): day(3), (1, "USD"): day(4)}
    costs.change(row(4), Decimal(0), None)
    assert costs.first_days({1: ["USD"]}) == {}
