"""What every CollectionStore does."""

from datetime import date

import pytest

from costbatch.application.ports import Database
from costbatch.domain.collection import CollectionCounts
from costbatch.domain.costs import StoredChange
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import Run
from tests.support.database_rows import WINDOW, add_account, claim, open_run, record

CHANGE = StoredChange(inserted=3, updated=2, deleted=1)
EARLY = DateRange(date(2026, 1, 1), date(2026, 2, 1))


class TestCollectionStore:
    """What the cost job did for each account of a run."""

    @pytest.fixture
    def run(self, database: Database) -> Run:
        """Open a run over two accounts and claim both."""
        for number in (1, 2):
            add_account(database, number)
        run = open_run(database)
        self.first, self.second = (item.id for item in claim(database, run))
        return run

    def test_a_record_reads_back(self, database: Database, run: Run) -> None:
        """Window, rows, change and kept days; which days changed is not kept."""
        saved = record(rows_fetched=7, change=CHANGE, days_kept=2)
        with database.transaction() as tx:
            tx.collections.save({self.first: saved})
        with database.transaction() as tx:
            assert tx.collections.of_run(run) == {self.first: saved}

    def test_saving_again_replaces_a_record(self, database: Database, run: Run) -> None:
        """An item has one record; the others stay."""
        with database.transaction() as tx:
            tx.collections.save({self.first: record(rows_fetched=7), self.second: record()})
            tx.collections.save({self.first: record(rows_fetched=9, window=EARLY)})
            assert tx.collections.of_run(run) == {
                self.first: record(rows_fetched=9, window=EARLY),
                self.second: record(),
            }

    def test_records_with_kept_days_can_be_had_alone(self, database: Database, run: Run) -> None:
        """They are of accounts that need a look, although they succeeded."""
        with database.transaction() as tx:
            tx.collections.save({self.first: record(), self.second: record(days_kept=1)})
            assert tx.collections.of_run(run, kept_only=True) == {self.second: record(days_kept=1)}

    def test_a_run_is_counted(self, database: Database, run: Run) -> None:
        """Rows, changes and kept days are summed; the days read reach from the first to the last."""
        with database.transaction() as tx:
            tx.collections.save(
                {
                    self.first: record(rows_fetched=7, change=CHANGE, window=EARLY),
                    self.second: record(rows_fetched=7, change=CHANGE, days_kept=2),
                }
            )
            counts = tx.collections.counts(run)
        assert counts == CollectionCounts(
            rows_fetched=14,
            change=StoredChange(inserted=6, updated=4, deleted=2),
            days_kept=2,
            days_read=DateRange(EARLY.start, WINDOW.end_exclusive),
        )

    def test_a_run_without_records_has_empty_counts(self, database: Database, run: Run) -> None:
        """There are no days that were read."""
        with database.transaction() as tx:
            assert tx.collections.counts(run) == CollectionCounts()
