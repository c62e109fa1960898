"""The cap on API cost."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from costbatch.application.budget import ApiBudget, Meter
from costbatch.errors import BudgetSpent


def spend_all(meter: Meter) -> bool:
    """Spend until nothing is left; return whether the cap was what stopped it."""
    try:
        for _ in range(10_000):
            meter()
    except BudgetSpent:
        return True
    return False


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
        budget.spend()
    assert [*spent, budget.is_spent] == [False, False, True]
    with pytest.raises(BudgetSpent, match="cap on API cost is reached"):
        budget.spend()


def test_a_cap_of_nothing_allows_nothing() -> None:
    """Zero is a cap, not the absence of one."""
    assert ApiBudget(0).is_spent


def test_what_the_run_has_spent_before_counts() -> None:
    """A retry of the same run goes on with the same cap."""
    budget = ApiBudget(3, spent=2)
    budget.spend()
    with pytest.raises(BudgetSpent):
        budget.spend()
    assert ApiBudget(3, spent=5).is_spent


def test_a_meter_counts_what_it_was_allowed() -> None:
    """A refused request was not made and is not paid."""
    budget = ApiBudget(3)
    first, second = Meter(budget), Meter(budget)
    first()
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
