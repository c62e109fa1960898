"""The digests of what AWS last answered: which accounts they are passed to, and which are stored."""

import pytest

from costbatch.domain.collection import CollectOptions
from costbatch.domain.costs import DayDigests
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import RunStatus
from costbatch.errors import AccountError, ErrorKind
from tests.support.factories import TODAY, day, make_fetched
from tests.support.run_harness import RunHarness, harness_with

EARLIER = make_fetched(DateRange(day(0), day(30))).digests
THROTTLED = AccountError(ErrorKind.THROTTLED, "Again.")
DENIED = AccountError(ErrorKind.ACCESS_DENIED, "No.")


@pytest.fixture
def harness() -> RunHarness:
    """Return a harness with three accounts."""
    return harness_with(1, 2, 3)


def stored(harness: RunHarness) -> dict[int, DayDigests]:
    """Return the stored digests by account row."""
    return harness.store.tables.digests.rows


def answered(harness: RunHarness) -> dict[int, DayDigests]:
    """Return the digests of the last answer for each account."""
    return {row: make_fetched(window).digests for row, window in harness.source.fetched}


def test_a_first_run_has_no_digests_and_stores_those_of_every_answer(harness: RunHarness) -> None:
    """Each account's own, with every day of its window."""
    harness.collect()
    assert harness.source.previous == {row: [{}] for row in (1, 2, 3)}
    assert stored(harness) == answered(harness)
    assert [min(digests) for digests in stored(harness).values()] == [TODAY.replace(2024, 5, 1)] * 3


def test_an_ordinary_run_is_passed_the_digests_and_replaces_them(
    harness: RunHarness,
) -> None:
    """An account with digests is passed its own, the others none."""
    harness.store.tables.digests.rows = {2: EARLIER}
    harness.collect()
    assert harness.source.previous == {1: [{}], 2: [EARLIER], 3: [{}]}
    assert stored(harness) == answered(harness)


def test_the_next_run_is_passed_the_digests_of_the_last_one(harness: RunHarness) -> None:
    """Night after night."""
    harness.collect(key="one")
    first = answered(harness)
    harness.collect(key="two")
    assert {row: known[1:] for row, known in harness.source.previous.items()} == {
        row: [digests] for row, digests in first.items()
    }


def test_a_run_of_one_account_leaves_the_digests_of_the_others(harness: RunHarness) -> None:
    """It is an ordinary run of that account."""
    harness.store.tables.digests.rows = dict.fromkeys((1, 2, 3), EARLIER)
    harness.collect(CollectOptions().to_request(("000000000003",)))
    assert harness.source.previous == {3: [EARLIER]}
    assert stored(harness) == {1: EARLIER, 2: EARLIER} | answered(harness)


def test_a_backfill_is_passed_no_digests_and_deletes_them(harness: RunHarness) -> None:
    """It compares every day with what is stored; what was answered before is not what is stored now."""
    harness.store.tables.digests.rows = {2: EARLIER, 3: EARLIER}
    harness.collect(CollectOptions(days=DateRange(day(0), day(30))).to_request(("000000000002",)))
    assert harness.source.previous == {2: [{}]}
    assert stored(harness) == {3: EARLIER}


def test_an_account_that_fails_keeps_its_digests(harness: RunHarness) -> None:
    """Nothing of it was stored; the digests of the others are."""
    harness.store.tables.digests.rows = dict.fromkeys((1, 2), EARLIER)
    harness.source.answers = {2: [DENIED], 3: [DENIED]}
    assert harness.collect().status is RunStatus.PARTIAL
    assert stored(harness) == {1: answered(harness)[1], 2: EARLIER}


def test_every_attempt_is_passed_the_digests(harness: RunHarness) -> None:
    """The second one starts from the same as the first."""
    harness.store.tables.digests.rows = {1: EARLIER}
    harness.source.answers = {1: [THROTTLED, None]}
    harness.collect()
    assert harness.source.previous[1] == [EARLIER, EARLIER]
    assert stored(harness) == answered(harness)


def test_an_account_whose_costs_are_refused_keeps_its_digests(harness: RunHarness) -> None:
    """They commit with its costs, or not at all."""
    harness.store.tables.digests.rows = {1: EARLIER}
    harness.store.tables.costs.refuses = {1: ZeroDivisionError(), 2: ZeroDivisionError()}
    assert harness.collect().status is RunStatus.PARTIAL
    assert stored(harness) == {1: EARLIER, 3: answered(harness)[3]}
