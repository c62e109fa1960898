"""What every AnswerStore does."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from costbatch.application.ports import Database
from costbatch.domain.anomalies import AnomalyState, Resolution
from costbatch.domain.answers import Answer, AnswerKind
from costbatch.domain.detection import Direction
from tests.support.database_rows import LATER, NOW, add_account, open_run
from tests.support.factories import make_anomaly


class TestAnswerStore:
    """The answers to anomalies."""

    @pytest.fixture(autouse=True)
    def _accounts(self, database: Database) -> None:
        self.first, self.second = (add_account(database, number).id for number in (1, 2))

    def answer(self, **fields: Any) -> Answer:
        """Return a dismissal."""
        answer = Answer(
            kind=AnswerKind.DISMISSED,
            account_id=self.first,
            service="Amazon S3",
            currency="EUR",
            direction=Direction.DROP,
            level=Decimal("123456789012345.123456789012345"),
            anomaly_id=UUID(int=5),
            reason="a “fee” 'quoted'; --",
            author="älice",
            created_at=NOW,
        )
        return replace(answer, **fields)

    def plan(self, **fields: Any) -> Answer:
        """Return a planned change."""
        plan = Answer(
            kind=AnswerKind.PLANNED,
            account_id=self.second,
            start_date=date(2026, 3, 1),
            end_date=date(2026, 3, 31),
            reason="",
            author="bob",
            created_at=NOW,
        )
        return replace(plan, **fields)

    def test_without_answers_there_is_nothing_to_load(self, database: Database) -> None:
        """Nothing is absent, not empty."""
        with database.transaction() as tx:
            assert tx.answers.load() == {}
            assert tx.answers.load([self.first]) == {}

    def test_an_answer_reads_back_exactly_with_its_id(self, database: Database) -> None:
        """Every field, every digit; a planned change has no series."""
        with database.transaction() as tx:
            added = [tx.answers.add(self.answer()), tx.answers.add(self.plan())]
        assert len({each.id for each in added} - {None}) == 2
        assert [replace(each, id=None) for each in added] == [self.answer(), self.plan()]
        with database.transaction() as tx:
            assert tx.answers.load() == {self.first: [added[0]], self.second: [added[1]]}
            assert tx.answers.load([self.second]) == {self.second: [added[1]]}
            assert tx.answers.load([]) == {}

    def test_several_answers_of_an_account_come_in_their_order(self, database: Database) -> None:
        """The oldest first, however they are dated."""
        with database.transaction() as tx:
            added = [tx.answers.add(self.answer(created_at=at)) for at in (LATER, NOW)]
            assert tx.answers.load() == {self.first: added}

    def test_a_withdrawn_answer_no_longer_counts(self, database: Database) -> None:
        """Others stay; withdrawing again, or nothing, changes nothing."""
        with database.transaction() as tx:
            gone, kept = tx.answers.add(self.answer()), tx.answers.add(self.answer(service=None))
            tx.answers.withdraw([gone], author="bob", reason="wrong", now=LATER)
            tx.answers.withdraw([gone], author="eve", reason="again", now=LATER)
            tx.answers.withdraw([], author="eve", reason="", now=LATER)
            assert tx.answers.load() == {self.first: [kept]}

    def test_every_answer_is_told_with_when_it_was_withdrawn(self, database: Database) -> None:
        """In their order, of the accounts that are asked for."""
        with database.transaction() as tx:
            gone, kept, other = (tx.answers.add(each) for each in (self.answer(), self.answer(), self.plan()))
            tx.answers.withdraw([gone], author="bob", reason="wrong", now=LATER)
            assert tx.answers.given([self.first]) == {self.first: [replace(gone, withdrawn_at=LATER), kept]}
            assert tx.answers.given([self.second]) == {self.second: [other]}
            assert tx.answers.given([]) == {}

    @pytest.mark.parametrize(
        ("resolution", "is_gone"),
        [
            (None, False),
            (Resolution.ENDED, False),
            (Resolution.RESTATED, True),
            (Resolution.MERGED, True),
            (Resolution.REMOVED, False),
        ],
    )
    def test_an_answer_says_whether_its_anomaly_is_gone(
        self, database: Database, resolution: Resolution | None, *, is_gone: bool
    ) -> None:
        """One that was restated or merged is; one that ended is not, nor is one that is not stored."""
        run, state = open_run(database), AnomalyState.RESOLVED if resolution else AnomalyState.OPEN
        anomaly = make_anomaly(account_id=self.first, state=state, resolution=resolution)
        with database.transaction() as tx:
            tx.anomalies.save(anomaly, run_id=run.id, now=NOW)
            tx.answers.add(self.answer(anomaly_id=anomaly.id))
            tx.answers.add(self.answer(anomaly_id=UUID(int=6)))
            found = tx.answers.load([self.first])[self.first]
        assert [each.anomaly_is_gone for each in found] == [is_gone, False]
