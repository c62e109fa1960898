"""What the port promises of a cost source: Cost Explorer with and without its fast path, and the fake."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import pytest

from costbatch.adapters.aws import clients
from costbatch.adapters.aws.raw_requests import RawRequests
from costbatch.application.ports import Spend
from costbatch.application.sources import CostSource
from costbatch.domain.periods import DateRange
from costbatch.errors import AccountError, BudgetSpent, ErrorKind
from tests.support.aws import Harness, _clean_environment, _no_backoff, aws, simulator, simulator_process
from tests.support.factories import make_access, make_account
from tests.support.fake_runs import FakeSource

if TYPE_CHECKING:
    from costbatch.domain.credentials import Access
    from costbatch.simulator.client import SimulatorProcess

__all__ = ["_clean_environment", "_no_backoff", "aws", "simulator", "simulator_process"]

WINDOW = DateRange(date(2024, 3, 1), date(2024, 3, 4))
GOOD, BROKEN = 1, 2


@dataclass
class Counted(Spend):
    """Counts what is spent, up to a cap."""

    cap: int = 100
    sent: int = 0
    ended: list[str] = field(default_factory=list)

    def __call__(self) -> None:
        """Count a request, or refuse it."""
        if self.sent == self.cap:
            raise BudgetSpent
        self.sent += 1

    def charged(self) -> None:
        """Note it."""
        self.ended.append("charged")

    def not_charged(self) -> None:
        """Note it."""
        self.ended.append("not charged")


@dataclass
class Subject:
    """A source, and two accounts: a good one, and one that AWS denies access to."""

    source: CostSource
    good: Access
    broken: Access


@pytest.fixture(params=["fast", "plain", "fake"])
def subject(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """Return a source with its accounts."""
    if request.param == "fake":
        error = AccountError(ErrorKind.ACCESS_DENIED, "AWS answered GetCostAndUsage with AccessDenied.")
        accounts = [make_access(make_account(row)) for row in (GOOD, BROKEN)]
        return Subject(FakeSource(answers={BROKEN: [error]}), *accounts)
    if request.param == "plain":
        monkeypatch.setattr(
            clients, "FastRequests", lambda client, operation, *_: RawRequests(client, operation)
        )
    harness: Harness = request.getfixturevalue("aws")
    served: SimulatorProcess = request.getfixturevalue("simulator")
    accesses = [harness.simulated_keys(number) for number in (GOOD, BROKEN)]
    served.add_fault(accesses[1].account.aws_account_id, "access_denied")
    return Subject(harness.source(), *accesses)


def test_an_answer_is_complete(subject: Subject) -> None:
    """It has the window that was asked for, a digest of each of its days, and rows of no others."""
    fetched = subject.source.fetch(subject.good, WINDOW, Counted())
    assert fetched.window == WINDOW
    assert list(fetched.digests) == list(WINDOW)
    assert sum(digest.fetched_rows for digest in fetched.digests.values()) == len(fetched.costs)


def test_each_request_is_counted_before_it_is_sent(subject: Subject) -> None:
    """And afterwards AWS has charged it."""
    spend = Counted()
    fetched = subject.source.fetch(subject.good, WINDOW, spend)
    assert spend.sent == fetched.api_requests > 0
    assert spend.ended == ["charged"] * spend.sent


def test_a_spent_budget_ends_the_fetch(subject: Subject) -> None:
    """Nothing is sent any more, and the error is left as it is."""
    spend = Counted(cap=0)
    with pytest.raises(BudgetSpent):
        subject.source.fetch(subject.good, WINDOW, spend)
    assert spend.ended == []


def test_a_failure_is_an_account_error(subject: Subject) -> None:
    """With the kind that the run reports, and nothing is charged."""
    spend = Counted()
    with pytest.raises(AccountError) as caught:
        subject.source.fetch(subject.broken, WINDOW, spend)
    assert caught.value.kind is ErrorKind.ACCESS_DENIED
    assert "charged" not in spend.ended


def test_threads_share_a_source(subject: Subject) -> None:
    """Each gets the answer of its own account, also beside one that fails."""

    def fetch(access: Access) -> int | None:
        try:
            return len(subject.source.fetch(access, WINDOW, Counted()).digests)
        except AccountError:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fetch, [subject.good, subject.broken] * 8)) == [len(WINDOW), None] * 8
