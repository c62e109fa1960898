"""What a run knows of the last answer: whom it is handed to, and whose answer is remembered."""

import pytest

from costbatch import logs
from costbatch.domain.costs import DayAnswers
from costbatch.domain.outcomes import RunRequest, RunStatus
from costbatch.domain.periods import DateRange
from costbatch.errors import AccountError, ErrorKind
from tests.factories import TODAY, day, make_account, make_fetched
from tests.house import House

EARLIER = make_fetched(DateRange(day(0), day(30))).answers
THROTTLED = AccountError(ErrorKind.THROTTLED, "Again.")
DENIED = AccountError(ErrorKind.ACCESS_DENIED, "No.")


@pytest.fixture
def house() -> House:
    """Return a house with three accounts."""
    logs.unbind_run()
    house = House()
    logs.configure("info", "json", house.log)
    house.store.tables.accounts.rows = {row: make_account(row) for row in (1, 2, 3)}
    return house


def remembered(house: House) -> dict[int, DayAnswers]:
    """Return what is remembered of each account."""
    return house.store.tables.answers.rows


def answers_of(house: House) -> dict[int, DayAnswers]:
    """Return what each account was answered last."""
    return {row: make_fetched(window).answers for row, window in house.source.fetched}


def test_a_first_run_knows_nothing_and_remembers_every_answer(house: House) -> None:
    """Each account's own, with every day of its window."""
    house.collect()
    assert house.source.known == {row: [{}] for row in (1, 2, 3)}
    assert remembered(house) == answers_of(house)
    assert [min(answers) for answers in remembered(house).values()] == [TODAY.replace(2024, 5, 1)] * 3


def test_an_ordinary_run_is_handed_what_is_known_and_remembers_what_it_is_answered(house: House) -> None:
    """The account that is known has its own answer handed over, the others nothing."""
    house.store.tables.answers.rows = {2: EARLIER}
    house.collect()
    assert house.source.known == {1: [{}], 2: [EARLIER], 3: [{}]}
    assert remembered(house) == answers_of(house)


def test_the_next_run_knows_what_the_last_one_was_answered(house: House) -> None:
    """Night after night."""
    house.collect(key="one")
    first = answers_of(house)
    house.collect(key="two")
    assert {row: known[1:] for row, known in house.source.known.items()} == {
        row: [answers] for row, answers in first.items()
    }


def test_a_run_of_one_account_leaves_what_is_known_of_the_others(house: House) -> None:
    """It is an ordinary run of that account."""
    house.store.tables.answers.rows = dict.fromkeys((1, 2, 3), EARLIER)
    house.collect(RunRequest(aws_account_ids=("000000000003",)))
    assert house.source.known == {3: [EARLIER]}
    assert remembered(house) == {1: EARLIER, 2: EARLIER} | answers_of(house)


def test_a_backfill_is_handed_nothing_and_leaves_nothing_known(house: House) -> None:
    """It compares every day with what is stored; what was answered before is not what is stored now."""
    house.store.tables.answers.rows = {2: EARLIER, 3: EARLIER}
    house.collect(RunRequest(days=DateRange(day(0), day(30)), aws_account_ids=("000000000002",)))
    assert house.source.known == {2: [{}]}
    assert remembered(house) == {3: EARLIER}


def test_an_account_that_fails_leaves_what_is_known_as_it_was(house: House) -> None:
    """Nothing of it was stored; the others are remembered all the same."""
    house.store.tables.answers.rows = dict.fromkeys((1, 2), EARLIER)
    house.source.answers = {2: [DENIED], 3: [DENIED]}
    assert house.collect().status is RunStatus.PARTIAL
    assert remembered(house) == {1: answers_of(house)[1], 2: EARLIER}


def test_every_attempt_is_handed_what_is_known(house: House) -> None:
    """The second one starts from the same as the first."""
    house.store.tables.answers.rows = {1: EARLIER}
    house.source.answers = {1: [THROTTLED, None]}
    house.collect()
    assert house.source.known[1] == [EARLIER, EARLIER]
    assert remembered(house) == answers_of(house)


def test_an_account_whose_costs_are_not_taken_leaves_what_is_known_as_it_was(house: House) -> None:
    """Its answer commits with its costs, or not at all."""
    house.store.tables.answers.rows = {1: EARLIER}
    house.store.tables.costs.refuses = {1: ZeroDivisionError(), 2: ZeroDivisionError()}
    assert house.collect().status is RunStatus.PARTIAL
    assert remembered(house) == {1: EARLIER, 3: answers_of(house)[3]}
