"""What AWS answered last: kept day by day, and believed only as long as it is what is stored."""

from datetime import date, datetime, timedelta

import pytest
import sqlalchemy as sa

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.accounts import Account
from costbatch.domain.costs import DayDigest, DayDigests
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.runs import Claim, CollectionState, Ending, SkipReason
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    NOW,
    TODAY,
    WINDOW,
    add_account,
    claim,
    collect,
    collected,
    cost_row,
    failed,
    open_run,
    prepare_months,
    replace_window,
    store,
)
from tests.support.factories import CostRow, make_fetched

LATER = NOW + timedelta(days=1)
ROWS = [cost_row(3), cost_row(3, record_type="Tax"), cost_row(5), cost_row(9)]

EARLIER_RELEASE = sa.text("""
UPDATE collections SET
    state = 'collected', claimed_by = NULL, claim_token = NULL, lease_expires_at = NULL, finished_at = :now,
    window_start = '2026-03-01', window_end_exclusive = '2026-03-10'
WHERE id = :id
""")


@pytest.fixture
def account(database: PostgresDatabase) -> Account:
    """Register an account, with room for its costs."""
    prepare_months(database)
    return add_account(database)


def claimed(database: PostgresDatabase, account: Account, key: str = "nightly") -> Claim:
    """Claim one account in a run of its own."""
    run = open_run(database, key, aws_account_ids=(account.aws_account_id,))
    (one,) = claim(database, run)
    return one


def answered(
    database: PostgresDatabase,
    account: Account,
    rows: list[CostRow],
    window: DateRange = WINDOW,
    *,
    key: str = "nightly",
) -> DayDigests:
    """Collect an account as a run does: costs, outcome and answer in one transaction; return the answer."""
    one = claimed(database, account, key)
    answers = make_fetched(window, *rows).answers
    with database.transaction() as tx:
        tx.claims.hold([one])
        replace_window(tx, account, rows, window)
        tx.claims.finish([collected(one, answers=answers)], now=NOW)
    return answers


def collect_as_before(database: PostgresDatabase, one: Claim, now: datetime) -> None:
    """Record that an account was collected, as a release did that knew nothing of answers."""
    with database.connection() as connection:
        connection.execute(EARLIER_RELEASE, {"id": one.collection_id, "now": now})


def known(database: PostgresDatabase, account: Account, window: DateRange = WINDOW) -> DayDigests | None:
    """Return what is known of an account's window; None where nothing is."""
    with database.transaction() as tx:
        return tx.answers.load({account.id: window}).get(account.id)


def test_an_answer_is_remembered_to_the_byte(database: PostgresDatabase, account: Account) -> None:
    """Every day of the window with its digest, zero bytes and all, and its number of rows."""
    one = claimed(database, account)
    answers = {
        WINDOW.start: DayDigest(bytes(16), 0),
        WINDOW.start + ONE_DAY: DayDigest(b"\xff" * 16, 2**31 - 1),
    }
    with database.transaction() as tx:
        tx.claims.finish([collected(one, answers=dict(reversed(answers.items())))], now=NOW)
    with database.connection() as connection:
        saved = connection.exec_driver_sql("SELECT start_date, days FROM answers").one()
    assert saved.start_date == WINDOW.start
    assert bytes(saved.days) == bytes(20) + b"\xff" * 16 + b"\x7f\xff\xff\xff"
    assert known(database, account, DateRange(WINDOW.start, WINDOW.start + ONE_DAY)) == answers


def test_what_was_answered_is_known(database: PostgresDatabase, account: Account) -> None:
    """Days without cost too."""
    answers = answered(database, account, ROWS)
    assert [answers[date(2026, 3, day)].rows for day in (2, 3, 5, 9)] == [0, 2, 1, 1]
    assert known(database, account) == answers


def test_a_collection_without_an_answer_lets_nothing_be_known(
    database: PostgresDatabase, account: Account
) -> None:
    """A backfill has stored something else, whatever the clock of its process says; of others it has not."""
    neighbour = add_account(database, 2)
    answered(database, account, ROWS)
    of_neighbour = answered(database, neighbour, [], key="neighbour")
    collect(database, claimed(database, account, "backfill"), now=NOW - timedelta(days=1))
    assert known(database, account) is None
    assert known(database, neighbour) == of_neighbour


def test_nothing_is_known_of_an_account_that_was_never_saved(
    database: PostgresDatabase, account: Account
) -> None:
    """Neither of a new one, nor of one that an earlier release has collected."""
    assert known(database, account) is None
    collect(database, claimed(database, account))
    assert known(database, account) is None


def test_an_answer_of_no_rows_at_all_is_known(database: PostgresDatabase, account: Account) -> None:
    """None are stored, and none were answered."""
    assert known(database, account) is None
    answers = answered(database, account, [])
    assert known(database, account) == answers


def test_an_answer_is_not_believed_once_another_collection_came_later(
    database: PostgresDatabase, account: Account
) -> None:
    """An earlier release may have stored something else, and knows nothing of answers."""
    answered(database, account, ROWS)
    collect_as_before(database, claimed(database, account, "later"), LATER)
    assert known(database, account) is None


def test_what_is_answered_after_that_is_believed(database: PostgresDatabase, account: Account) -> None:
    """The next ordinary run compares everything, and its own answer counts from then on."""
    answered(database, account, ROWS)
    collect_as_before(database, claimed(database, account, "later"), NOW + timedelta(minutes=1))
    one = claimed(database, account, "last")
    answers = make_fetched(WINDOW, *ROWS).answers
    with database.transaction() as tx:
        tx.claims.finish([collected(one, answers=answers)], now=LATER)
    assert known(database, account) == answers


def test_a_collection_of_another_account_does_not_matter(
    database: PostgresDatabase, account: Account
) -> None:
    """Each account has its own newest one."""
    answers = answered(database, account, ROWS)
    collect(database, claimed(database, add_account(database, 2), "later"), now=LATER)
    assert known(database, account) == answers


@pytest.mark.parametrize("fate", ["pending", "collecting", "failed", "tried again", "skipped"])
def test_an_answer_is_believed_while_nothing_came_of_a_later_attempt(
    database: PostgresDatabase, account: Account, fate: str
) -> None:
    """Only what was collected has stored anything."""
    answers = answered(database, account, ROWS)
    run = open_run(database, "later")
    if fate != "pending":
        (one,) = claim(database, run)
        endings = {
            "failed": failed(one),
            "tried again": failed(one, retry_after=timedelta(0)),
            "skipped": Ending(
                claim=one,
                state=CollectionState.SKIPPED,
                api_requests=1,
                skip_reason=SkipReason.API_COST_CAP,
            ),
        }
        with database.transaction() as tx:
            tx.claims.finish([endings[fate]] if fate in endings else [], now=LATER)
    assert known(database, account) == answers


ONE_MORE = """
INSERT INTO daily_costs
    (account_id, usage_date, service, record_type, currency, unblended, amortized, estimated)
SELECT account_id, usage_date, 'x', 'x', 'USD', 1, 1, false FROM daily_costs LIMIT 1
"""


@pytest.mark.parametrize(
    "by_hand",
    [
        "DELETE FROM daily_costs WHERE record_type = 'Tax'",
        "DELETE FROM daily_costs WHERE usage_date = '2026-03-09'",
        "DELETE FROM daily_costs",
        "UPDATE daily_costs SET usage_date = '2026-02-28' WHERE usage_date = '2026-03-09'",
        ONE_MORE,
    ],
    ids=["one too few", "a day too few", "none left", "one moved out", "one too many"],
)
def test_an_answer_is_not_believed_where_the_rows_are_not_as_many(
    database: PostgresDatabase, account: Account, query: Query, by_hand: str
) -> None:
    """Somebody has removed or added rows by hand: the next run compares everything."""
    answered(database, account, ROWS)
    query(by_hand)
    assert known(database, account) is None


def test_rows_of_other_accounts_and_of_other_days_are_not_counted(
    database: PostgresDatabase, account: Account
) -> None:
    """Days before what is known were stored by earlier runs, and days after it by nobody who counts."""
    answers = answered(database, account, ROWS)
    neighbour = add_account(database, 2)
    with database.transaction() as tx:
        replace_window(tx, neighbour, ROWS)
        replace_window(tx, account, [cost_row(date(2026, 2, 28))], DateRange(date(2026, 2, 1), WINDOW.start))
        replace_window(tx, account, [cost_row(TODAY)], DateRange(TODAY, TODAY + ONE_DAY))
    assert known(database, account, DateRange(date(2026, 2, 1), TODAY + ONE_DAY)) == answers


def test_a_window_that_begins_later_than_what_is_known_counts_its_own_days(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """Every night's window does; what became of the days before it is none of its business."""
    answers = answered(database, account, ROWS)
    window = DateRange(date(2026, 3, 5), TODAY + ONE_DAY)
    for statement in ("SELECT 1", "DELETE FROM daily_costs WHERE usage_date < '2026-03-05'"):
        query(statement)
        found = known(database, account, window)
        assert found is not None
        assert {day: found.get(day) for day in window} == {day: answers.get(day) for day in window}
    query("DELETE FROM daily_costs WHERE usage_date = '2026-03-05'")
    assert known(database, account, window) is None


def test_a_window_that_has_no_day_in_common_with_what_is_known_is_no_error(
    database: PostgresDatabase, account: Account
) -> None:
    """After a long outage nothing that is known is of use."""
    answered(database, account, ROWS)
    window = DateRange(date(2026, 1, 1), date(2026, 2, 1))
    assert not set(known(database, account, window) or {}) & set(window)


def test_each_account_has_its_own_answer_and_window(database: PostgresDatabase, account: Account) -> None:
    """One new, one with a long history, one with few days, one whose rows were removed: asked at once."""
    new, old, robbed = (add_account(database, number) for number in (2, 3, 4))
    history = DateRange(date(2026, 1, 1), TODAY)
    before = [cost_row(date(2026, 1, 31)), *ROWS]
    expected = {
        account.id: answered(database, account, ROWS),
        old.id: answered(database, old, before, history, key="old"),
    }
    answered(database, robbed, ROWS, key="robbed")
    with database.transaction() as tx:
        replace_window(tx, robbed, [])
        windows = {account.id: WINDOW, new.id: history, old.id: WINDOW, robbed.id: WINDOW}
        assert tx.answers.load(windows) == expected


def test_saving_again_replaces_what_was_known(database: PostgresDatabase, account: Account) -> None:
    """One answer for each account, of the newest window; several are saved at once."""
    neighbour = add_account(database, 2)
    answered(database, account, ROWS)
    run = open_run(database, "second")
    claims = claim(database, run)
    later = DateRange(date(2026, 3, 4), TODAY)
    answers = [make_fetched(later, *ROWS[2:]).answers, make_fetched(WINDOW).answers]
    with database.transaction() as tx:
        endings = [collected(one, answers=each) for one, each in zip(claims, answers, strict=True)]
        tx.claims.finish(endings, now=LATER)
    assert known(database, account, later) == answers[0]
    assert known(database, neighbour) == answers[1]
    with database.connection() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM answers").scalar() == 2


def test_an_answer_whose_collection_was_pruned_is_not_believed(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """It cannot be told any more whether another one came later."""
    answered(database, account, ROWS)
    query("DELETE FROM runs")
    assert known(database, account) is None


def test_an_answer_that_is_undone_was_never_there(database: PostgresDatabase, account: Account) -> None:
    """It commits with the costs, or not at all."""
    answers = answered(database, account, ROWS)
    one = claimed(database, account, "second")

    def fail_half_way() -> None:
        with database.transaction() as tx:
            tx.claims.finish([collected(one, answers=make_fetched(WINDOW).answers)], now=LATER)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert known(database, account) == answers


def test_an_account_that_is_erased_takes_its_answer_along(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """Nothing else points at it."""
    answered(database, account, [])
    query("DELETE FROM runs")
    query("DELETE FROM accounts")
    assert query("SELECT count(*) FROM answers") == [(0,)]


def test_a_kept_day_is_remembered_as_such(database: PostgresDatabase, account: Account) -> None:
    """AWS said nothing of it, and its rows are there."""
    one = claimed(database, account)
    store(database, account, [cost_row(WINDOW.start, "1")])
    answers = {WINDOW.start: DayDigest(bytes(16), 1, is_kept=True)}
    with database.transaction() as tx:
        tx.claims.finish([collected(one, answers=answers)], now=NOW)
    assert known(database, account) == answers
