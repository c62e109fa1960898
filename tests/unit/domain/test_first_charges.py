"""Cost that is news whatever its size: first charges of services, and dormant accounts that awake."""

from decimal import Decimal

from costbatch.domain.costs import DayTotal
from costbatch.domain.first_charges import FirstCharge, FirstChargePolicy, find_awakenings, find_first_charges
from costbatch.domain.money import Limit
from tests.support.factories import day

POLICY = FirstChargePolicy(floor=Limit(Decimal("0.01"), (("JPY", Decimal(5)),)))


def cost(n: int, amount: str, currency: str = "USD") -> DayTotal:
    """Return what a day cost."""
    return DayTotal(day(n), currency, Decimal(amount))


def test_a_service_is_first_charged_on_its_first_day_with_a_cent() -> None:
    """Known services, tiny amounts and credits are none."""
    totals = {
        "b": [cost(3, "7"), cost(2, "0.01"), cost(1, "0.009")],
        "a": [cost(5, "4", "JPY"), cost(6, "5", "JPY")],
        "known": [cost(1, "9")],
        "credit": [cost(1, "-9")],
        "free": [cost(1, "0")],
    }
    assert find_first_charges(totals, {"known"}, POLICY) == [
        FirstCharge("a", day(6), "JPY", Decimal(5)),
        FirstCharge("b", day(2), "USD", Decimal("0.01")),
    ]


def test_an_account_awakes_on_a_changed_day_after_one_without_cost() -> None:
    """Of each stretch of days with cost only the first one, in each currency."""
    totals = [cost(1, "1"), cost(3, "2"), cost(4, "2"), cost(6, "0.001"), cost(8, "3"), cost(4, "9", "JPY")]
    changed = {day(n) for n in range(3, 8)}
    assert find_awakenings(totals, changed, (), POLICY) == [cost(3, "2"), cost(4, "9", "JPY")]


def test_late_cost_of_earlier_days_is_no_other_awakening() -> None:
    """Also if the day that was told is corrected the same night; a day without cost between makes another."""
    totals = [cost(3, "3"), cost(4, "1"), cost(5, "7"), cost(7, "2"), cost(3, "9", "JPY")]
    changed, told = {day(n) for n in range(3, 8)}, {("USD", day(5)), ("USD", day(8)), ("JPY", day(5))}
    assert find_awakenings(totals, changed, told, POLICY) == [cost(3, "9", "JPY"), cost(7, "2")]
