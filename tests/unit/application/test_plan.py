"""What a run would read, and what is refused before anything is paid."""

from datetime import timedelta
from typing import cast

import pytest

from costbatch.application.collect.plan import PlanPolicy, check_days, plan_run, window_of
from costbatch.application.ports import Transaction
from costbatch.application.selection import select_accounts
from costbatch.domain.accounts import AccountStatus, Progress
from costbatch.domain.collection import CollectOptions
from costbatch.domain.periods import ONE_DAY, DateRange, WindowPolicy, earliest_available
from costbatch.errors import ConfigError
from tests.support.factories import TODAY, days, make_account
from tests.support.fake_store import FakeTables

POLICY = WindowPolicy()
PLANS = PlanPolicy(windows=POLICY)
YESTERDAY = TODAY - ONE_DAY


@pytest.fixture
def tables() -> FakeTables:
    """Return two active accounts, a paused and a removed one."""
    tables = FakeTables()
    statuses = [AccountStatus.ACTIVE, AccountStatus.ACTIVE, AccountStatus.PAUSED, AccountStatus.REMOVED]
    tables.accounts.rows = {n: make_account(n, status=status) for n, status in enumerate(statuses, 1)}
    return tables


def as_transaction(tables: FakeTables) -> Transaction:
    """Return the tables as the port that they behave like."""
    return cast("Transaction", tables)


def selected(tables: FakeTables, *rows: int) -> list[int]:
    """Return the rows that a run would collect, asked for these."""
    return [each.id for each in select_accounts(as_transaction(tables), [f"{row:012}" for row in rows])]


def test_without_a_wish_every_active_account_is_collected(tables: FakeTables) -> None:
    """Paused and removed ones are not."""
    assert selected(tables) == [1, 2]


def test_accounts_are_collected_as_asked_for(tables: FakeTables) -> None:
    """These and no others."""
    assert selected(tables, 2) == [2]


def test_every_account_that_cannot_be_collected_gets_its_sentence(tables: FakeTables) -> None:
    """Unknown, removed and paused ones are all named at once, each with what to do."""
    with pytest.raises(ConfigError) as caught:
        selected(tables, 1, 3, 4, 9)
    assert caught.value.problems == (
        (
            "Account 000000000003 (account-3) is paused; "
            "resume it with `costbatch accounts resume 000000000003`."
        ),
        "Account 000000000004 is not registered; add it with `costbatch accounts add`.",
        "Account 000000000009 is not registered; add it with `costbatch accounts add`.",
    )


@pytest.mark.parametrize("ahead", [0, 1, 400])
def test_days_that_are_not_over_are_refused(ahead: int) -> None:
    """Today's cost is not whole, tomorrow's not there; the sentence says which day it is."""
    asked = DateRange(YESTERDAY, TODAY + timedelta(days=ahead + 1))
    with pytest.raises(ConfigError, match=rf"{asked.last} is not over yet; .* before {TODAY} \(today, UTC\)"):
        check_days(asked, today=TODAY, policy=POLICY)


def test_days_before_the_history_of_aws_are_refused() -> None:
    """The sentence says which day is the first to be had."""
    first = earliest_available(TODAY)
    with pytest.raises(ConfigError, match=rf"cost of {first - ONE_DAY}; ask for {first} or later"):
        check_days(DateRange(first - ONE_DAY, TODAY), today=TODAY, policy=POLICY)


def test_all_of_the_history_may_be_asked_for() -> None:
    """From its first day to yesterday."""
    check_days(DateRange(earliest_available(TODAY), TODAY), today=TODAY, policy=POLICY)
    check_days(DateRange(YESTERDAY, TODAY), today=TODAY, policy=POLICY)


def test_a_backfill_reads_the_days_that_it_was_asked_for() -> None:
    """An ordinary run reads the account's own window."""
    progress = Progress(covered=DateRange(TODAY - timedelta(days=100), TODAY - ONE_DAY))
    asked = CollectOptions(days=days(3, 9))
    assert window_of(progress, asked, today=TODAY, policy=POLICY) == days(3, 9)
    ordinary = window_of(progress, CollectOptions(), today=TODAY, policy=POLICY)
    assert ordinary == DateRange(TODAY - timedelta(days=35), TODAY)


def test_a_plan_expects_one_request_of_an_account_never_collected(tables: FakeTables) -> None:
    """For any window: there is nothing to estimate from yet."""
    plan = plan_run(as_transaction(tables), CollectOptions().to_request(), today=TODAY, policy=PLANS)
    assert [(each.account.id, each.api_requests) for each in plan.collections] == [(1, 1), (2, 1)]
    assert plan.today == TODAY


@pytest.mark.parametrize(
    ("requests", "over_days", "expected"),
    [(5, 35, 5), (5, 36, 5), (12, 400, 2), (1, 400, 1), (0, 35, 1), (1, 1, 1), (3, 1, 71)],
)
def test_a_plan_expects_requests_in_proportion_to_the_newest_collection(
    tables: FakeTables, requests: int, over_days: int, expected: int
) -> None:
    """Further pages grow with days; part of a page is a page, and every collection has a first one."""
    tables.accounts.rows = {1: make_account()}
    tables.progress.rows = {1: Progress(covered=DateRange(TODAY - timedelta(days=99), TODAY))}
    tables.collections.last = {1: (requests, over_days)}
    plan = plan_run(as_transaction(tables), CollectOptions().to_request(), today=TODAY, policy=PLANS)
    assert plan.api_requests == expected


def test_a_plan_expects_of_a_new_account_what_the_others_took(tables: FakeTables) -> None:
    """By their further pages for a day; one that was read for a single day has none."""
    tables.collections.last = {1: (1, 1)}
    plan = plan_run(as_transaction(tables), CollectOptions().to_request(), today=TODAY, policy=PLANS)
    assert [(each.account.id, each.api_requests) for each in plan.collections] == [(1, 1), (2, 1)]
    tables.collections.last = {1: (3, len(plan.collections[1].window))}
    plan = plan_run(as_transaction(tables), CollectOptions().to_request(), today=TODAY, policy=PLANS)
    assert plan.collections[1].api_requests == 3


@pytest.mark.parametrize(
    ("newest", "oldest", "expected"),
    [
        ((1, 35), (4, 396), (4, False)),
        ((1, 35), (3, 198), (5, False)),
        ((1, 35), (4, 390), (4, False)),
        ((2, 35), (4, 396), (13, False)),
        ((1, 35), (1, 396), (1, False)),
        ((1, 35), (1, 35), (1, True)),
        ((4, 400), (1, 35), (4, False)),
    ],
    ids=[
        "as the first one",
        "in proportion",
        "almost as many days",
        "it has grown",
        "one page is known",
        "not known",
        "newest is long",
    ],
)
def test_a_plan_of_many_days_does_not_go_by_a_night_of_one_page(
    tables: FakeTables, newest: tuple[int, int], oldest: tuple[int, int], expected: tuple[int, bool]
) -> None:
    """How full a single page was is not known: the oldest collection says how many pages many days have."""
    tables.accounts.rows = {1: make_account()}
    tables.collections.last, tables.collections.first = {1: newest}, {1: oldest}
    asked = CollectOptions(days=DateRange(TODAY - timedelta(days=396), TODAY)).to_request()
    plan = plan_run(as_transaction(tables), asked, today=TODAY, policy=PLANS)
    assert (plan.api_requests, plan.is_least) == expected


def test_a_few_days_more_than_last_night_are_no_further_page(tables: FakeTables) -> None:
    """The window grows by a day a night until the tenth; a first collection of four pages says no more."""
    tables.accounts.rows = {1: make_account()}
    tables.collections.last, tables.collections.first = {1: (1, 35)}, {1: (4, 396)}
    asked = CollectOptions(days=DateRange(TODAY - timedelta(days=40), TODAY)).to_request()
    plan = plan_run(as_transaction(tables), asked, today=TODAY, policy=PLANS)
    assert (plan.api_requests, plan.is_least) == (1, False)


def test_a_plan_of_a_new_account_goes_by_the_first_collections_of_the_others(tables: FakeTables) -> None:
    """Their newest ones are of a few weeks; without any, one page is the least."""
    plan = plan_run(as_transaction(tables), CollectOptions().to_request(), today=TODAY, policy=PLANS)
    assert [each.is_least for each in plan.collections] == [True, True]
    days_read = len(plan.collections[1].window)
    tables.progress.rows = {1: Progress(covered=DateRange(TODAY - timedelta(days=99), TODAY))}
    tables.collections.last, tables.collections.first = {1: (1, 35)}, {1: (4, days_read)}
    plan = plan_run(as_transaction(tables), CollectOptions().to_request(), today=TODAY, policy=PLANS)
    assert [(each.api_requests, each.is_least) for each in plan.collections] == [(1, False), (4, False)]


def test_a_plan_of_accounts_that_cannot_be_collected_is_refused(tables: FakeTables) -> None:
    """A dry run says what the run would say."""
    with pytest.raises(ConfigError, match="is paused"):
        plan_run(
            as_transaction(tables),
            CollectOptions().to_request(("000000000003",)),
            today=TODAY,
            policy=PLANS,
        )
