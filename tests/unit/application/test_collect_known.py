"""What a run knows of the last answer: whom it is handed to, and whose answer is remembered."""

import pytest

from costbatch import logs
from costbatch.domain.costs import DayDigests
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import RunRequest, RunStatus
from costbatch.errors import AccountError, ErrorKind
from tests.support.factories import TODAY, day, make_account, make_fetched
from tests.support.run_harness import RunHarness

EARLIER = make_fetched(DateRange(day(0), day(30))).answers
THROTTLED = AccountError(ErrorKind.THROTTLED, "Again.")
DENIED = AccountError(ErrorKind.ACCESS_DENIED, "No.")


@pytest.fixture
def harness() -> RunHarness:
    """Return a harness with three accounts."""
    logs.unbind_run()
    harness = RunHarness()
    logs.configure("info", "json", harness.log)
    harness.store.tables.accounts.rows = {row: make_account(row) for row in (1, 2, 3)}
    return harness


def remembered(harness: RunHarness) -> dict[int, DayDigests]:
    """Return what is remembered of each account."""
    return harness.store.tables.answers.rows


def answers_of(harness: RunHarness) -> dict[int, DayDigests]:
    """Return what each account was answered last."""
    return {row: make_fetched(window).answers for row, window in harness.source.fetched}


def test_a_first_run_knows_nothing_and_remembers_every_answer(harness: RunHarness) -> None:
    """Each account's own, with every day of its window."""
    harness.collect()
    assert harness.source.known == {row: [{}] for row in (1, 2, 3)}
    assert remembered(harness) == answers_of(harness)
    assert [min(answers) for answers in remembered(harness).values()] == [TODAY.replace(2024, 5, 1)] * 3


def test_an_ordinary_run_is_handed_what_is_known_and_remembers_what_it_is_answered(
    harness: RunHarness,
) -> None:
    """The account that is known has its own answer handed over, the others nothing."""
    harness.store.tables.answers.rows = {2: EARLIER}
    harness.collect()
    assert harness.source.known == {1: [{}], 2: [EARLIER], 3: [{}]}
    assert remembered(harness) == answers_of(harness)


def test_the_next_run_knows_what_the_last_one_was_answered(harness: RunHarness) -> None:
    """Night after night."""
    harness.collect(key="one")
    first = answers_of(harness)
    harness.collect(key="two")
    assert {row: known[1:] for row, known in harness.source.known.items()} == {
        row: [answers] for row, answers in first.items()
    }


def test_a_run_of_one_account_leaves_what_is_known_of_the_others(harness: RunHarness) -> None:
    """It is an ordinary run of that account."""
    harness.store.tables.answers.rows = dict.fromkeys((1, 2, 3), EARLIER)
    harness.collect(RunRequest(aws_account_ids=("000000000003",)))
    assert harness.source.known == {3: [EARLIER]}
    assert remembered(harness) == {1: EARLIER, 2: EARLIER} | answers_of(harness)


def test_a_backfill_is_handed_nothing_and_leaves_nothing_known(harness: RunHarness) -> None:
    """It compares every day with what is stored; what was answered before is not what is stored now."""
    harness.store.tables.answers.rows = {2: EARLIER, 3: EARLIER}
    harness.collect(RunRequest(days=DateRange(day(0), day(30)), aws_account_ids=("000000000002",)))
    assert harness.source.known == {2: [{}]}
    assert remembered(harness) == {3: EARLIER}


def test_an_account_that_fails_leaves_what_is_known_as_it_was(harness: RunHarness) -> None:
    """Nothing of it was stored; the others are remembered all the same."""
    harness.store.tables.answers.rows = dict.fromkeys((1, 2), EARLIER)
    harness.source.answers = {2: [DENIED], 3: [DENIED]}
    assert harness.collect().status is RunStatus.PARTIAL
    assert remembered(harness) == {1: answers_of(harness)[1], 2: EARLIER}


def test_every_attempt_is_handed_what_is_known(harness: RunHarness) -> None:
    """The second one starts from the same as the first."""
    harness.store.tables.answers.rows = {1: EARLIER}
    harness.source.answers = {1: [THROTTLED, None]}
    harness.collect()
    assert harness.source.known[1] == [EARLIER, EARLIER]
    assert remembered(harness) == answers_of(harness)


def test_an_account_whose_costs_are_not_taken_leaves_what_is_known_as_it_was(harness: RunHarness) -> None:
    """Its answer commits with its costs, or not at all."""
    harness.store.tables.answers.rows = {1: EARLIER}
    harness.store.tables.costs.refuses = {1: ZeroDivisionError(), 2: ZeroDivisionError()}
    assert harness.collect().status is RunStatus.PARTIAL
    assert remembered(harness) == {1: EARLIER, 3: answers_of(harness)[3]}
