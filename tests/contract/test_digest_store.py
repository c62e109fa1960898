"""What every DigestStore does."""

from datetime import date

import pytest

from costbatch.application.ports import Database
from costbatch.domain.accounts import Account
from costbatch.domain.costs import DayDigest, DayDigests
from costbatch.domain.periods import DateRange
from tests.support.database_rows import (
    TODAY,
    WINDOW,
    add_account,
    claim,
    collect,
    cost_row,
    open_run,
    prepare_months,
    replace_window,
    save_collected,
    store,
)
from tests.support.factories import CostRow, make_fetched

ROWS = [cost_row(3), cost_row(3, record_type="Tax"), cost_row(5), cost_row(9)]


class TestDigestStore:
    """Digests of what AWS last answered for each day."""

    @pytest.fixture(autouse=True)
    def _accounts(self, database: Database) -> None:
        prepare_months(database)
        self.account, self.neighbour = (add_account(database, number) for number in (1, 2))

    def test_an_account_without_digests_is_absent(self, database: Database) -> None:
        """So is one that was collected without any."""
        assert load(database, self.account) is None
        (item, _) = claim(database, open_run(database))
        collect(database, item)
        assert load(database, self.account) is None

    def test_the_digests_of_a_collection_are_loaded(self, database: Database) -> None:
        """Every day of the window with its number of rows, days without cost too."""
        digests = collect_rows(database, self.account, ROWS)
        assert [digests[date(2026, 3, day)].rows for day in (2, 3, 5, 9)] == [0, 2, 1, 1]
        assert load(database, self.account) == digests

    def test_digests_of_no_rows_at_all_are_loaded(self, database: Database) -> None:
        """There are no rows, and none were answered."""
        assert load(database, self.account) is None
        digests = collect_rows(database, self.account, [])
        assert load(database, self.account) == digests

    def test_a_kept_day_is_loaded_as_such(self, database: Database) -> None:
        """AWS reported nothing for it, and its rows are there."""
        item, _ = claim(database, open_run(database))
        store(database, self.account, [cost_row(WINDOW.start, "1")])
        digests = {WINDOW.start: DayDigest(bytes(16), 1, is_kept=True)}
        collect(database, item, digests=digests)
        assert load(database, self.account) == digests

    def test_a_collection_without_digests_deletes_them(self, database: Database) -> None:
        """A backfill has stored something else; other accounts keep theirs."""
        collect_rows(database, self.account, ROWS)
        of_neighbour = collect_rows(database, self.neighbour, [], key="neighbour")
        own = open_run(database, "backfill", aws_account_ids=(self.account.aws_account_id,))
        collect(database, *claim(database, own))
        assert load(database, self.account) is None
        assert load(database, self.neighbour) == of_neighbour

    def test_newer_digests_replace_older_ones(self, database: Database) -> None:
        """An account has those of its newest window; several accounts are saved at once."""
        collect_rows(database, self.account, ROWS)
        items = sorted(claim(database, open_run(database, "second")), key=lambda item: item.account.id)
        later = DateRange(date(2026, 3, 4), TODAY)
        digests = [make_fetched(later, *ROWS[2:]).digests, make_fetched(WINDOW).digests]
        with database.transaction() as tx:
            for item in items:
                save_collected(tx, item)
            tx.digests.replace(
                {item.account.id: (item.id, each) for item, each in zip(items, digests, strict=True)}
            )
        assert load(database, self.account, later) == digests[0]
        assert load(database, self.neighbour) == digests[1]

    def test_only_the_accounts_asked_for_are_loaded(self, database: Database) -> None:
        """Each with its own window, all at once."""
        expected = {
            self.account.id: collect_rows(database, self.account, ROWS),
            self.neighbour.id: collect_rows(database, self.neighbour, [cost_row(4)], key="neighbour"),
        }
        history = DateRange(date(2026, 1, 1), TODAY)
        with database.transaction() as tx:
            assert tx.digests.load({self.account.id: WINDOW, self.neighbour.id: history}) == expected
        assert load(database, self.neighbour) == expected[self.neighbour.id]

    def test_digests_that_are_undone_were_never_there(self, database: Database) -> None:
        """They commit with the costs, or not at all."""
        digests = collect_rows(database, self.account, ROWS)
        item, _ = claim(database, open_run(database, "second"))

        def fail_half_way() -> None:
            with database.transaction() as tx:
                save_collected(tx, item, digests=make_fetched(WINDOW).digests)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_half_way()
        assert load(database, self.account) == digests


def collect_rows(
    database: Database, account: Account, rows: list[CostRow], *, key: str = "nightly"
) -> DayDigests:
    """Collect an account as a run does, all in one transaction; return the digests of its days."""
    run = open_run(database, key, aws_account_ids=(account.aws_account_id,))
    (item,) = claim(database, run)
    digests = make_fetched(WINDOW, *rows).digests
    with database.transaction() as tx:
        tx.items.lock([item])
        replace_window(tx, account, rows)
        save_collected(tx, item, digests=digests)
    return digests


def load(database: Database, account: Account, window: DateRange = WINDOW) -> DayDigests | None:
    """Return the digests of an account's window, if there are any."""
    with database.transaction() as tx:
        return tx.digests.load({account.id: window}).get(account.id)
