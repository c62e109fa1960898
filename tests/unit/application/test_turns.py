"""A standing cap and accounts of several pages: what is paid for is collected, and each has its turn."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Event

from typing_extensions import override

from costbatch.application.ports import Spend
from costbatch.domain.costs import NO_DIGESTS, DayDigests, FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import ItemState, RunStatus, SkipReason
from costbatch.errors import AccountError, ErrorKind
from tests.support.fake_runs import FakeSource
from tests.support.run_harness import POLICY, RunHarness, harness_with

THROTTLED = AccountError(ErrorKind.THROTTLED, "Again.")


@dataclass
class PagedSource(FakeSource):
    """Answers each account in several pages, so slowly that all that have begun take turns."""

    pages: Mapping[int, int] = field(default_factory=dict)
    seconds: float = 0.01

    @override
    def fetch(
        self,
        access: Access,
        window: DateRange,
        spend: Spend,
        previous: DayDigests = NO_DIGESTS,
        *,
        may_be_shorter: bool = False,
    ) -> FetchedCosts:
        for _ in range(self.pages.get(access.account.id, 1) - 1):
            spend()
            Event().wait(self.seconds)
            spend.charged()
        return super().fetch(access, window, spend, previous, may_be_shorter=may_be_shorter)


def capped(most: int, pages: Mapping[int, int], *, concurrency: int = 8) -> RunHarness:
    """Return a harness with accounts of so many pages and a cap."""
    harness = harness_with(*pages)
    harness.source = PagedSource(pages=pages)
    harness.policy = replace(POLICY, most_requests=most, concurrency=concurrency)
    return harness


def spent(harness: RunHarness) -> int:
    """Return what the run has paid."""
    return sum(record.api_requests for record in harness.records.values())


def test_a_cap_is_not_spent_on_accounts_that_it_cannot_end() -> None:
    """Nine first collections of four pages under a cap of ten: two are collected, as one at a time would."""
    harness = capped(10, dict.fromkeys(range(1, 10), 4))
    harness.collect()
    assert harness.states.count("succeeded") == 2
    assert spent(harness) == 10
    left_out = [each for each in harness.records.values() if each.state is ItemState.SKIPPED]
    assert {each.skip_reason for each in left_out} == {SkipReason.API_COST_CAP}
    # Only the one that began last was paid for in vain.
    assert sorted(each.api_requests for each in left_out) == [0] * 6 + [2]


def test_a_cap_that_is_enough_for_a_page_of_each_collects_all() -> None:
    """An ordinary night of nine requests fits a cap of nine, whatever is kept for further pages."""
    harness = capped(9, dict.fromkeys(range(1, 10), 1))
    harness.collect()
    assert harness.states == ["succeeded"] * 9


def test_an_account_of_many_pages_that_began_first_ends_first() -> None:
    """Others that have begun wait for it with their next page when no more is left than it may need."""
    harness = capped(40, dict.fromkeys(range(1, 9), 20))
    harness.collect()
    assert spent(harness) == 40
    assert harness.states.count("succeeded") == 1


def test_one_that_the_cap_can_never_end_leaves_what_waited_for_it_unfailed() -> None:
    """It spends the cap; nobody waits for ever, and all that is left is left out by the cap."""
    harness = capped(10, {1: 50, 2: 9, 3: 1}, concurrency=2)
    harness.collect()
    assert spent(harness) == 10
    assert {each.skip_reason for each in harness.records.values()} == {SkipReason.API_COST_CAP}


def test_an_account_that_fails_gives_up_its_place() -> None:
    """What was kept for it is for those that wait, and for its own next attempt."""
    harness = capped(12, {1: 3, 2: 3, 3: 3})
    harness.source.answers = {1: [THROTTLED, None]}
    harness.collect()
    assert harness.states == ["succeeded"] * 3
    assert spent(harness) == 3 * 3 + 3


def test_a_stop_does_not_wait_for_those_that_wait_for_their_turn() -> None:
    """After the grace they are released with the one that hangs, and the retry does them all."""
    harness = capped(10, {1: 3, 2: 3, 3: 3}, concurrency=2)
    harness.policy = replace(harness.policy, grace=timedelta(0))
    harness.source.gate.clear()
    harness.source.on_fetch = harness.stop.set
    assert harness.collect().status is RunStatus.STOPPED
    assert harness.states == ["pending"] * 3
    harness.source.on_fetch = harness.stop.clear
    harness.source.gate.set()
    harness.stop.clear()
    assert harness.collect().status is RunStatus.COMPLETED
