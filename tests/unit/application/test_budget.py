"""The cap on paid requests."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from costbatch.application.jobs.budget import ApiBudget, Meter
from costbatch.errors import BudgetSpent


def spend_all(meter: Meter) -> bool:
    """Spend until nothing is left; return whether the cap was what stopped it."""
    try:
        for _ in range(10_000):
            meter()
    except BudgetSpent:
        return True
    return False


def spend(budget: ApiBudget) -> None:
    """Spend one request that AWS charges, for an account that then ends."""
    meter = Meter(budget)
    meter()
    meter.charged()
    meter.close()


def test_without_a_cap_every_request_is_allowed() -> None:
    """The budget only counts."""
    budget = ApiBudget()
    assert not spend_all(Meter(budget))
    assert not budget.is_spent


def test_the_last_cent_may_be_spent_and_no_more() -> None:
    """A cap of two requests allows two."""
    budget = ApiBudget(2)
    spent = []
    for _ in range(2):
        spent.append(budget.is_spent)
        spend(budget)
    assert [*spent, budget.is_spent] == [False, False, True]
    with pytest.raises(BudgetSpent, match="cap on paid requests is reached"):
        spend(budget)


def test_no_more_accounts_are_affordable_than_may_end() -> None:
    """Five requests are kept for each, but one may have what is left; without a cap nothing is too much."""
    budget = ApiBudget(19)
    assert [budget.affordable(accounts) for accounts in (0, 2, 3, 5)] == [0, 2, 3, 3]
    assert [budget.affordable(5, in_hand=in_hand) for in_hand in (1, 2, 3, 4)] == [2, 1, 0, 0]
    budget.learn(16)
    assert [budget.affordable(accounts) for accounts in (0, 2, 5)] == [0, 1, 1]
    assert budget.affordable(5, in_hand=1) == 0
    budget.learn(20)
    assert budget.affordable(5) == 0
    assert ApiBudget().affordable(5, in_hand=5) == 5


def test_a_cap_of_nothing_allows_nothing() -> None:
    """Zero is a cap, not the absence of one."""
    assert ApiBudget(0).is_spent


def test_what_the_run_has_spent_before_counts() -> None:
    """A retry of the same run has the same cap."""
    budget = ApiBudget(3)
    budget.learn(2)
    spend(budget)
    with pytest.raises(BudgetSpent):
        spend(budget)
    budget = ApiBudget(3)
    budget.learn(5)
    assert budget.is_spent


def left(budget: ApiBudget) -> int:
    """Spend what is left; return how much it was."""
    meter = Meter(budget)
    assert spend_all(meter)
    meter.close()
    return meter.requests


def test_what_others_spend_meanwhile_counts_and_what_is_ours_counts_once() -> None:
    """What the run's record does not hold yet of ours comes on top of it."""
    budget = ApiBudget(10)
    for _ in range(4):
        spend(budget)
    budget.record(1)
    # Three of ours are still on their way; of the record one is ours.
    budget.learn(5)
    assert left(budget) == 2


def test_what_is_known_to_be_spent_is_not_forgotten() -> None:
    """Requests for an account that another process took over are not recorded, and are paid."""
    budget = ApiBudget(3)
    spend(budget)
    budget.record(1)
    budget.learn(0)
    assert left(budget) == 2


def test_without_a_cap_nothing_need_be_learnt() -> None:
    """Zero is a cap here too."""
    assert [ApiBudget(most).is_capped for most in (None, 0, 1)] == [False, True, True]


def test_a_meter_counts_what_it_was_allowed() -> None:
    """A refused request was not made and is not paid."""
    budget = ApiBudget(3)
    first, second = Meter(budget), Meter(budget)
    first()
    first.charged()
    first.close()
    assert spend_all(second)
    assert (first.requests, second.requests) == (1, 2)


def test_the_cap_is_exact_under_threads() -> None:
    """Eight threads that spend at once make exactly as many requests as allowed, together."""
    budget, start = ApiBudget(5_000), Barrier(8)
    meters = [Meter(budget) for _ in range(8)]

    def work(meter: Meter) -> bool:
        start.wait(10)
        return spend_all(meter)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, meters))
    assert sum(meter.requests for meter in meters) == 5_000


def test_what_is_not_charged_is_given_back() -> None:
    """A refused request leaves the cap as it was; one without an answer counts, and is counted apart."""
    budget = ApiBudget(2)
    meter = Meter(budget)
    meter()
    meter.not_charged()
    meter()
    meter()
    meter.charged()
    meter.close()
    assert (meter.requests, meter.unanswered) == (2, 1)
    assert budget.is_spent


def test_the_last_request_waits_for_what_may_be_given_back() -> None:
    """An account is not left out for a request in flight that AWS then refuses."""
    budget = ApiBudget(1)
    first, second, started = Meter(budget), Meter(budget), Event()
    first()

    def work() -> int:
        started.set()
        second()
        second.charged()
        return second.requests

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(work)
        started.wait(10)
        assert not waiting.done()
        first.not_charged()
        first.close()
        assert waiting.result(10) == 1
    assert (first.requests, budget.is_spent) == (0, True)


def test_the_last_request_is_refused_once_the_one_in_flight_is_charged() -> None:
    """The thread that waited learns that nothing is left."""
    budget = ApiBudget(1)
    first, second = Meter(budget), Meter(budget)
    first()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second)
        first.charged()
        with pytest.raises(BudgetSpent):
            waiting.result(10)


def test_what_an_earlier_account_may_still_need_is_left_alone() -> None:
    """The one that began later waits with its next page, not for ever: until the earlier one has ended."""
    budget = ApiBudget(12)
    first, second, started = Meter(budget), Meter(budget), Event()
    for meter in (first, second, first):
        meter()
        meter.charged()

    def work() -> int:
        started.set()
        second()
        second.charged()
        return second.requests

    with ThreadPoolExecutor(1) as pool:
        # Nine are left. The first has read two pages, so that it may need eight more: that leaves one.
        assert pool.submit(work).result(10) == 2
        waiting = pool.submit(work)
        started.wait(10)
        for _ in range(3):
            first()
            first.charged()
        assert not waiting.done()
        first.close()
        assert waiting.result(10) == 3


def test_an_account_does_not_begin_with_less_than_it_may_need_while_another_may_need_it() -> None:
    """Its first page would be paid in vain; it begins when it is alone."""
    budget = ApiBudget(9)
    first, second, started = Meter(budget), Meter(budget), Event()
    first()
    first.charged()

    def work() -> None:
        started.set()
        second()
        second.charged()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(work)
        started.wait(10)
        first()
        first.charged()
        assert not waiting.done()
        first.close()
        waiting.result(10)
    assert second.requests == 1
