"""A zero needs no currency: Cost Explorer gives it "N/A", an empty unit, or none at all."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from costbatch.adapters.aws.cost_explorer.parse import CostResponse
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.errors import AccountError
from tests.support.cost_answers import parse_costs
from tests.support.factories import CostRow

WINDOW = DateRange(date(2024, 2, 28), date(2024, 3, 2))
FIRST, SECOND, THIRD = WINDOW
COSTS = ("UnblendedCost", "AmortizedCost", "NetUnblendedCost", "NetAmortizedCost")
ABSENT = ("no unit",)

Group = dict[str, Any]


def group(service: str, amount: str = "1.5", unit: object = "USD", **others: tuple[str, object]) -> Group:
    """Return a group; every cost is the same but for ``others``, as amount and unit by name."""
    costs = {name: others.get(name, (amount, unit)) for name in COSTS}
    metrics = {
        name: {"Amount": text} | ({} if of is ABSENT else {"Unit": of}) for name, (text, of) in costs.items()
    }
    return {
        "Keys": [service, "Usage"],
        "Metrics": {**metrics, "UsageQuantity": {"Amount": "7", "Unit": "N/A"}},
    }


def page(groups: dict[date, list[Group]], *, token: str | None = None) -> bytes:
    """Return a page with the days of the window, or with those that have groups if it is not the last one."""
    results = [
        {
            "TimePeriod": {"Start": str(day), "End": str(day + ONE_DAY)},
            "Total": {},
            "Groups": groups.get(day, []),
            "Estimated": False,
        }
        for day in WINDOW
        if token is None or day in groups
    ]
    following = {"NextPageToken": token} if token else {}
    return json.dumps({"ResultsByTime": results, **following}).encode()


def parse(*groups: Group) -> list[CostRow]:
    """Return the rows of an answer with these groups on its first day."""
    return list(parse_costs([page({FIRST: [*groups]})], WINDOW))


def in_short(rows: list[CostRow]) -> list[tuple[str, str, str]]:
    """Return each row as its service, currency and amount."""
    return sorted((row.service, row.currency, str(row.unblended)) for row in rows)


def problem(*groups: Group) -> str:
    """Return with what an answer is refused."""
    with pytest.raises(AccountError) as caught:
        parse(*groups)
    return caught.value.detail


@pytest.mark.parametrize("unit", ["N/A", "", None, ABSENT, "n/a", " ", "usd"], ids=repr)
@pytest.mark.parametrize("amount", ["0", "0.0000000000", "-0", "0E-10"])
def test_a_zero_takes_the_currency_of_its_day(amount: str, unit: object) -> None:
    """It is stored with its usage; the rows beside it are as they were."""
    rows = parse(group("A", unit="EUR"), group("B", amount, unit), group("C", "2", "EUR"))
    assert [(row.service, row.currency) for row in rows] == [("A", "EUR"), ("C", "EUR"), ("B", "EUR")]
    assert rows[-1].unblended == 0
    assert rows[-1].usage_quantity == 7


def test_the_commonest_currency_of_the_day_is_taken() -> None:
    """Of equally many the last by name, whatever their order."""
    euros, dollars, zero = group("A", unit="EUR"), group("B"), group("Z", "0", "N/A")
    assert ("Z", "EUR", "0") in in_short(parse(zero, euros, dollars, group("C", unit="EUR")))
    assert ("Z", "USD", "0") in in_short(parse(zero, euros, dollars))
    assert ("Z", "USD", "0") in in_short(parse(dollars, zero, euros))


def test_without_other_rows_on_the_day_the_answers_currency_is_taken() -> None:
    """Also that of a later day, and of a later page."""
    zero = group("Z", "0", "N/A")
    pages = [page({FIRST: [zero]}, token="more"), page({SECOND: [], THIRD: [group("A", unit="EUR")]})]
    days = json.loads(pages[1])
    days["ResultsByTime"] = days["ResultsByTime"][1:]
    rows = list(parse_costs([pages[0], json.dumps(days).encode()], WINDOW))
    assert in_short(rows) == [("A", "EUR", "1.5"), ("Z", "EUR", "0")]


def test_without_any_currency_nothing_is_stored() -> None:
    """An account that costs nothing has no rows."""
    assert parse(group("Y", "0", ""), group("Z", "0", "N/A")) == []


@pytest.mark.parametrize("first", [True, False])
def test_a_zero_beside_a_row_of_its_service_and_type_is_left_out(*, first: bool) -> None:
    """It adds nothing to it, whichever comes first, and repeats nothing."""
    zero, euros = group("A", "0", "N/A"), group("A", unit="EUR")
    assert in_short(parse(*([zero, euros] if first else [euros, zero]))) == [("A", "EUR", "1.5")]
    assert in_short(parse(zero, zero, group("B"))) == [("A", "USD", "0"), ("B", "USD", "1.5")]


def test_zeros_of_a_group_take_the_currency_of_its_other_amounts() -> None:
    """A credit can make the net amounts zero: one group, one row."""
    for unit in ("N/A", "", None, ABSENT, "USD"):
        net = dict.fromkeys(("NetUnblendedCost", "NetAmortizedCost"), ("0", unit))
        (row,) = parse(group("A", "3", "EUR", **net))
        assert (row.currency, row.unblended, row.net_unblended) == ("EUR", Decimal(3), Decimal(0))
    (row,) = parse(group("A", "0", "N/A", AmortizedCost=("4", "EUR")))
    assert (row.currency, row.unblended, row.amortized) == ("EUR", Decimal(0), Decimal(4))


def test_a_zero_that_names_a_currency_keeps_it() -> None:
    """It needs none, but it may have one, in any of its amounts."""
    assert in_short(parse(group("A", "0", "EUR"), group("B"))) == [("A", "EUR", "0"), ("B", "USD", "1.5")]
    (row,) = parse(group("A", "0", "N/A", AmortizedCost=("0", "JPY")))
    assert row.currency == "JPY"


@pytest.mark.parametrize("unit", ["N/A", "", "usd"])
@pytest.mark.parametrize("amount", ["1", "-0.01", "1E-18"])
def test_any_other_amount_needs_a_currency(amount: str, unit: str) -> None:
    """However small; the place is named."""
    assert f"Groups[1].Metrics.UnblendedCost.Unit is {json.dumps(unit)}" in problem(
        group("A"), group("B", amount, unit)
    )


def test_amounts_of_one_group_in_two_currencies_are_refused() -> None:
    """Only zeros may differ; the sentence names the amount that it was compared with."""
    wrong = group("A", "0", "N/A", AmortizedCost=("3", "USD"), NetAmortizedCost=("2", "EUR"))
    assert 'NetAmortizedCost.Unit is "EUR", although AmortizedCost is in USD' in problem(wrong)


@pytest.mark.parametrize("unit", [1, [], {}, True])
def test_a_unit_that_is_no_text_is_refused(unit: object) -> None:
    """Also that of a zero."""
    assert "Metrics.UnblendedCost.Unit is" in problem(group("A", "0", unit))


def test_a_service_and_type_in_two_currencies_are_two_rows_and_in_one_a_repetition() -> None:
    """On one page, and if a page ends between them."""
    euros, dollars = group("A", unit="EUR"), group("A")
    assert in_short(parse(euros, dollars)) == [("A", "EUR", "1.5"), ("A", "USD", "1.5")]
    assert "Groups[2].Keys repeats" in problem(euros, dollars, group("A", "2", "EUR"))
    first = page({FIRST: [euros]}, token="more")
    assert in_short(list(parse_costs([first, page({FIRST: [dollars]})], WINDOW))) == [
        ("A", "EUR", "1.5"),
        ("A", "USD", "1.5"),
    ]
    with pytest.raises(AccountError, match="repeats"):
        parse_costs([first, page({FIRST: [euros]})], WINDOW)


def test_the_count_of_a_day_is_that_of_its_rows() -> None:
    """With the zeros that took a currency, and without those that are left out."""
    answer = CostResponse(WINDOW)
    zeros = [group("A", "0", "N/A"), group("Z", "0", "N/A")]
    answer.add_page(page({FIRST: [group("A"), *zeros], SECOND: [group("A", "0", "")]}))
    fetched = answer.fetched(1)
    assert [fetched.digests[day].rows for day in WINDOW] == [2, 1, 0]
    assert fetched.rows == len(fetched.costs)
    assert sum(amount for part in fetched.costs.parts for amount in part.unblended) == Decimal("1.5")
