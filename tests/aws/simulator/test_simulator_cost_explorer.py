"""GetCostAndUsage is what botocore's service model says, and checks its parameters as AWS does."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from costbatch.simulator.world import CurrencyChange

if TYPE_CHECKING:
    from costbatch.simulator.world import Account
    from tests.aws.simulator.conftest import Lab

SERVICE, RECORD_TYPE, LINKED = (
    {"Type": "DIMENSION", "Key": key} for key in ("SERVICE", "RECORD_TYPE", "LINKED_ACCOUNT")
)
MODEL = botocore.session.get_session().get_service_model("ce")


def row(day: str, service: str, amount: str, **more: Any) -> dict[str, Any]:
    """Write an explicit cost row."""
    return {"date": day, "service": service, "unblended": amount, **more}


def validate(shape: Any, value: Any, where: str = "") -> None:
    """Compare an answer with the model: no unknown member, every required one, every type and pattern."""
    if shape.type_name == "structure":
        assert set(value) <= set(shape.members), where
        assert set(shape.required_members) <= set(value), where
        for name, item in value.items():
            validate(shape.members[name], item, f"{where}.{name}")
    elif shape.type_name == "list":
        for item in value:
            validate(shape.member, item, f"{where}[]")
    elif shape.type_name == "map":
        for item in value.values():
            validate(shape.value, item, f"{where}{{}}")
    else:
        assert isinstance(value, {"string": str, "boolean": bool}[shape.type_name]), where
        pattern = shape.metadata.get("pattern")
        assert pattern is None or re.fullmatch(pattern, str(value)), where
        assert not getattr(shape, "enum", []) or value in shape.enum, where


@pytest.mark.parametrize(
    "group_by",
    [[], [SERVICE], [RECORD_TYPE], [SERVICE, RECORD_TYPE], [SERVICE, LINKED], [LINKED]],
    ids=lambda keys: "+".join(key["Key"] for key in keys) or "none",
)
@pytest.mark.parametrize("granularity", ["DAILY", "MONTHLY"])
def test_every_answer_fits_the_service_model(
    lab: Lab, account: Account, ask_for: Any, group_by: list[dict[str, str]], granularity: str
) -> None:
    """The raw JSON has no member and no type that botocore's output shape does not know."""
    asked = ask_for(GroupBy=group_by, Granularity=granularity)
    raw = lab.send(lab.sign(account, asked))
    assert raw.status == 200
    validate(MODEL.operation_model("GetCostAndUsage").output_shape, raw.json())


def test_grouped_days_have_groups_and_an_empty_total(lab: Lab, account: Account) -> None:
    """With GroupBy, Total is {} and every group has its keys and every metric with amount and unit."""
    answer = lab.ask(account)
    assert answer["GroupDefinitions"] == [SERVICE, RECORD_TYPE]
    days = answer["ResultsByTime"]
    assert [day["TimePeriod"]["Start"] for day in days] == [f"2026-03-{n}" for n in (10, 11, 12, 13)]
    assert all(day["Total"] == {} for day in days)
    group = days[0]["Groups"][0]
    assert group["Keys"] == ["Amazon Elastic Compute Cloud - Compute", "Usage"]
    assert {name: value["Unit"] for name, value in group["Metrics"].items()} == {
        "UnblendedCost": "USD",
        "AmortizedCost": "USD",
        "NetUnblendedCost": "USD",
        "NetAmortizedCost": "USD",
        "UsageQuantity": "N/A",
    }


def test_ungrouped_days_have_a_total_and_no_groups(lab: Lab, account: Account) -> None:
    """Without GroupBy, Total is the exact sum of the groups."""
    total = lab.ask(account, GroupBy=None)["ResultsByTime"][0]
    groups = lab.ask(account)["ResultsByTime"][0]["Groups"]
    assert total["Groups"] == []
    assert Decimal(total["Total"]["UnblendedCost"]["Amount"]) == sum(
        Decimal(group["Metrics"]["UnblendedCost"]["Amount"]) for group in groups
    )


def test_explicit_rows_are_answered_exactly(lab: Lab, account: Account) -> None:
    """Rows replace the generator to the last digit, with their own currency."""
    lab.control.set_rows(
        account.account_id,
        [
            row("2026-03-11", "A", "0.12345678901234567890123456789012345", net_unblended="9.0E-10"),
            row("2026-03-12", "B", "-3.50", record_type="Credit", usage="7", unit="EUR"),
        ],
    )
    _, eleventh, twelfth, thirteenth = lab.ask(account)["ResultsByTime"]
    (first,), (second,) = eleventh["Groups"], twelfth["Groups"]
    assert first["Metrics"]["UnblendedCost"]["Amount"] == "0.12345678901234567890123456789012345"
    assert first["Metrics"]["NetUnblendedCost"]["Amount"] == "9.0E-10"
    assert first["Metrics"]["NetAmortizedCost"] == first["Metrics"]["AmortizedCost"]
    assert second["Keys"] == ["B", "Credit"]
    assert second["Metrics"]["UnblendedCost"] == {"Amount": "-3.5", "Unit": "EUR"}
    assert second["Metrics"]["UsageQuantity"] == {"Amount": "7", "Unit": "N/A"}
    assert thirteenth["Groups"] == []


def test_a_day_without_cost_totals_zero(lab: Lab, account: Account) -> None:
    """Ungrouped, an empty day has a zero total in the account's currency."""
    lab.control.set_rows(account.account_id, [])
    day = lab.ask(account, GroupBy=None, Metrics=["UnblendedCost"])["ResultsByTime"][0]
    assert day["Total"] == {"UnblendedCost": {"Amount": "0", "Unit": "USD"}}


def test_rows_of_one_key_are_added(lab: Lab, account: Account) -> None:
    """Grouped by less, rows of the same key become one group."""
    rows = [row("2026-03-11", "A", "0.1"), row("2026-03-11", "A", "0.2", record_type="Tax")]
    lab.control.set_rows(account.account_id, rows)
    (group,) = lab.ask(account, GroupBy=[SERVICE])["ResultsByTime"][1]["Groups"]
    assert (group["Keys"], group["Metrics"]["UnblendedCost"]["Amount"]) == (["A"], "0.3")


def test_months_are_added_up_within_the_asked_days(lab: Lab, account: Account) -> None:
    """MONTHLY gives one result per calendar month, clipped to the asked days."""
    rows = [row("2026-01-31", "A", "1"), row("2026-02-01", "A", "2"), row("2026-02-28", "A", "4")]
    lab.control.set_rows(account.account_id, rows)
    answer = lab.ask(
        account, Granularity="MONTHLY", TimePeriod={"Start": "2026-01-15", "End": "2026-03-01"}, GroupBy=None
    )
    months = [
        (*item["TimePeriod"].values(), item["Total"]["UnblendedCost"]["Amount"])
        for item in answer["ResultsByTime"]
    ]
    assert months == [("2026-01-15", "2026-02-01", "1"), ("2026-02-01", "2026-03-01", "6")]


def test_the_account_is_named_when_grouped_by_account(lab: Lab, account: Account) -> None:
    """DimensionValueAttributes carries the account's name."""
    answer = lab.ask(account, GroupBy=[LINKED])
    assert answer["DimensionValueAttributes"] == [
        {"Value": account.account_id, "Attributes": {"description": "first"}}
    ]
    assert answer["ResultsByTime"][0]["Groups"][0]["Keys"] == [account.account_id]


def test_accounts_that_share_cost_are_still_named_each(lab: Lab, account: Account, other: Account) -> None:
    """Shared rendered pages never name another account."""
    twins = [replace(item, costs_like="twin", services=5) for item in (account, other)]
    lab.load(*twins)
    names = [lab.ask(twin, GroupBy=[LINKED])["DimensionValueAttributes"][0]["Value"] for twin in twins]
    assert names == [account.account_id, other.account_id]
    assert lab.ask(twins[0])["ResultsByTime"] == lab.ask(twins[1])["ResultsByTime"]


def test_a_change_of_currency_begins_on_its_day(lab: Lab, account: Account) -> None:
    """Days before the change keep the old unit."""
    lab.load(replace(account, currency_change=CurrencyChange(date(2026, 3, 12), "EUR")))
    units = [day["Total"]["UnblendedCost"]["Unit"] for day in lab.ask(account, GroupBy=None)["ResultsByTime"]]
    assert units == ["USD", "USD", "EUR", "EUR"]


def test_days_of_an_open_month_are_estimated(lab: Lab, account: Account) -> None:
    """A month is closed on the 7th of the next one."""
    period = {"Start": "2026-02-27", "End": "2026-03-02"}

    def estimated() -> list[bool]:
        return [day["Estimated"] for day in lab.ask(account, TimePeriod=period)["ResultsByTime"]]

    lab.control.set_today(date(2026, 3, 6))
    assert estimated() == [True, True, True]
    lab.control.set_today(date(2026, 3, 7))
    assert estimated() == [False, False, True]


def test_days_that_have_not_begun_have_no_groups(lab: Lab, account: Account) -> None:
    """The end may reach the beginning of next month; future days are empty."""
    answer = lab.ask(account, TimePeriod={"Start": "2026-03-15", "End": "2026-04-01"})
    assert [bool(day["Groups"]) for day in answer["ResultsByTime"]] == [True] + [False] * 16
