"""What every ProgressStore does."""

from datetime import date

import pytest

from costbatch.application.ports import Database
from costbatch.domain.accounts import Failing, Progress
from costbatch.domain.collection import COLLECT
from costbatch.domain.periods import DateRange
from tests.support.database_rows import NOW, add_account

FAILING = Failing(since=NOW, kind="throttled")
NEAR = Progress(covered=DateRange(date(2026, 1, 1), date(2026, 2, 1)), failing=FAILING)
FAR = Progress(
    covered=DateRange(date(2025, 1, 1), date(2026, 2, 1)),
    backfilled_from=date(2026, 1, 20),
    unknown=frozenset({date(2025, 3, 1), date(2025, 3, 2)}),
)


class TestProgressStore:
    """How far a job got with each account."""

    @pytest.fixture(autouse=True)
    def _accounts(self, database: Database) -> None:
        self.first, self.second = (add_account(database, number).id for number in (1, 2))

    def test_accounts_without_progress_are_absent(self, database: Database) -> None:
        """There is nothing to load before the first run."""
        with database.transaction() as tx:
            assert tx.progress.load(COLLECT) == {}

    def test_progress_of_several_accounts_is_saved_together(self, database: Database) -> None:
        """Each has its own; it can be loaded for all accounts or for some."""
        with database.transaction() as tx:
            tx.progress.save(COLLECT, {self.first: NEAR, self.second: FAR})
        with database.transaction() as tx:
            assert tx.progress.load(COLLECT) == {self.first: NEAR, self.second: FAR}
            assert tx.progress.load(COLLECT, [self.second]) == {self.second: FAR}
            assert tx.progress.load(COLLECT, []) == {}

    def test_saving_again_replaces_everything(self, database: Database) -> None:
        """Covered days and failure can be set and taken back; other accounts keep theirs."""
        with database.transaction() as tx:
            tx.progress.save(COLLECT, {self.first: NEAR, self.second: FAR})
            tx.progress.save(COLLECT, {self.first: Progress()})
            assert tx.progress.load(COLLECT) == {self.first: Progress(), self.second: FAR}

    def test_the_progress_of_every_job_with_an_account(self, database: Database) -> None:
        """By job, also of one that nothing else is known of; other accounts have their own."""
        with database.transaction() as tx:
            assert tx.progress.load_of(self.first) == {}
            tx.progress.save(COLLECT, {self.first: NEAR, self.second: FAR})
            assert tx.progress.load_of(self.first) == {COLLECT: NEAR}
