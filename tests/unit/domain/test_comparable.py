"""The comparable cost of rows in memory: what the database sums too; tests/postgres compares the two."""

from decimal import Decimal

import pytest

from costbatch.domain.costs import CostBasis, DayTotal
from costbatch.domain.detection import Rule, comparable_service_totals, comparable_totals
from tests.support.factories import by_column, day, days, make_row


def test_days_outside_and_excluded_record_types_do_not_count() -> None:
    """Only the days asked for, only what is compared, in one sum for each day."""
    rows = [
        make_row(day(0), "1"),
        make_row(day(1), "2"),
        make_row(day(1), "3", service="Amazon EC2"),
        make_row(day(1), "-9", record_type="Credit"),
        make_row(day(2), "4"),
    ]
    costs, everything = by_column(rows), Rule(excluded_record_types=frozenset())
    assert comparable_totals(costs, days(1, 2), Rule()) == [DayTotal(day(1), "USD", Decimal(5))]
    assert comparable_totals(costs, days(1, 2), everything) == [DayTotal(day(1), "USD", Decimal(-4))]


@pytest.mark.parametrize(("basis", "amount"), list(zip(CostBasis, ("1", "2", "3", "4"), strict=True)))
def test_each_basis_is_its_own_amount(basis: CostBasis, amount: str) -> None:
    """The four of AWS, in the order in which it names them."""
    one, two, three, four = (Decimal(n) for n in range(1, 5))
    row = make_row(day(0), unblended=one, amortized=two, net_unblended=three, net_amortized=four)
    (total,) = comparable_totals(by_column([row]), days(0, 1), Rule(cost_basis=basis))
    assert total.amount == Decimal(amount)


def test_without_a_discount_the_net_amount_is_the_billed_one() -> None:
    """AWS leaves it out then; that is not a zero."""
    row = make_row(day(0), unblended=Decimal(1), amortized=Decimal(2))._replace(
        net_unblended=None, net_amortized=None
    )
    amounts = {
        basis: comparable_totals(by_column([row]), days(0, 1), Rule(cost_basis=basis))[0].amount
        for basis in (CostBasis.NET_UNBLENDED, CostBasis.NET_AMORTIZED)
    }
    assert amounts == {CostBasis.NET_UNBLENDED: Decimal(1), CostBasis.NET_AMORTIZED: Decimal(2)}


def test_sums_keep_every_digit() -> None:
    """More digits than Python's own context would keep."""
    large, small = "999999999999999999.5", "0." + "0" * 39 + "1"
    rows = [make_row(day(0), large), make_row(day(0), small, service="Amazon EC2")]
    (total,) = comparable_totals(by_column(rows), days(0, 1), Rule())
    assert str(total.amount) == large[:-2] + "." + "5" + "0" * 38 + "1"


def test_currencies_are_never_added_and_services_never_mixed() -> None:
    """A total for each currency of a day, and for each service."""
    rows = [make_row(day(0), "1"), make_row(day(0), "2", service="Amazon EC2", currency="EUR")]
    euros, dollars = DayTotal(day(0), "EUR", Decimal(2)), DayTotal(day(0), "USD", Decimal(1))
    assert sorted(comparable_totals(by_column(rows), days(0, 1), Rule())) == [euros, dollars]
    assert comparable_service_totals(by_column(rows), days(0, 1), Rule()) == {
        "Amazon S3": [dollars],
        "Amazon EC2": [euros],
    }
