"""The parameters of GetCostAndUsage are checked and refused as AWS does."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from costbatch.simulator.world import rows_from_plain

if TYPE_CHECKING:
    from costbatch.simulator.world import Account
    from tests.aws.simulator.conftest import Lab

SERVICE, RECORD_TYPE, LINKED = (
    {"Type": "DIMENSION", "Key": key} for key in ("SERVICE", "RECORD_TYPE", "LINKED_ACCOUNT")
)


def row(day: str, service: str, amount: str, **more: Any) -> dict[str, Any]:
    """Write an explicit cost row."""
    return {"date": day, "service": service, "unblended": amount, **more}


PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"Granularity": None}, "'granularity' failed to satisfy constraint: Member must not be null"),
    ({"Granularity": "WEEKLY"}, "enum value set"),
    ({"TimePeriod": None}, "'timePeriod'"),
    ({"TimePeriod": {"Start": "2026-03-01"}}, "'timePeriod.end'"),
    ({"TimePeriod": {"Start": "01-03-2026", "End": "2026-03-02"}}, "regular expression pattern"),
    ({"TimePeriod": {"Start": "2026-02-30", "End": "2026-03-02"}}, "not a calendar date"),
    ({"TimePeriod": {"Start": "2026-03-01T00:00:00Z", "End": "2026-03-02T00:00:00Z"}}, "yyyy-MM-dd"),
    ({"TimePeriod": {"Start": "2026-03-02", "End": "2026-03-02"}}, "should be before end date"),
    ({"TimePeriod": {"Start": "2025-01-31", "End": "2026-03-02"}}, "historical data beyond 14 months"),
    ({"TimePeriod": {"Start": "2026-03-16", "End": "2026-03-17"}}, "after the current date"),
    (
        {"TimePeriod": {"Start": "2026-03-01", "End": "2026-04-02"}},
        "end date past the beginning of next month",
    ),
    ({"Metrics": None}, "'metrics'"),
    ({"Metrics": []}, "at least one metric"),
    ({"Metrics": ["Cost"]}, "Invalid metric Cost"),
    ({"GroupBy": [SERVICE, RECORD_TYPE, LINKED]}, "at most 2"),
    ({"GroupBy": [SERVICE, SERVICE]}, "same key twice"),
    ({"GroupBy": {"Type": "DIMENSION"}}, "must be a list"),
    ({"GroupBy": [{"Type": "TAG", "Key": "team"}]}, "use DIMENSION"),
    ({"GroupBy": [{"Type": "DIMENSION", "Key": "COLOUR"}]}, "dimension is invalid"),
    ({"Filter": {}}, "exactly one operator"),
    ({"Filter": {"Tags": {"Key": "team", "Values": ["a"]}}}, "Filter by Tags is not supported"),
    ({"Filter": {"And": [{"Dimensions": {"Key": "SERVICE", "Values": ["A"]}}]}}, "at least 2 operands"),
    ({"Filter": {"Dimensions": {"Key": "COLOUR", "Values": ["a"]}}}, "Dimension COLOUR is invalid"),
    ({"Filter": {"Dimensions": {"Key": "SERVICE", "Values": []}}}, "needs Values"),
    (
        {"Filter": {"Dimensions": {"Key": "SERVICE", "Values": ["a"], "MatchOptions": ["CONTAINS"]}}},
        "use EQUALS",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), PARAMETERS, ids=[sentence for _, sentence in PARAMETERS])
def test_a_bad_parameter_is_a_validation_exception(
    lab: Lab, account: Account, ask_for: Any, changes: dict[str, Any], sentence: str
) -> None:
    """Each parameter that AWS refuses is refused with a sentence that names it."""
    raw = lab.send(lab.sign(account, ask_for(**changes)))
    assert (raw.status, raw.json()["__type"]) == (400, "ValidationException")
    assert sentence in raw.json()["Message"]


def test_the_oldest_day_is_the_first_of_the_month_13_months_ago(lab: Lab, account: Account) -> None:
    """Daily history is the current month and 13 before it, over the turn of a year too."""
    assert lab.ask(account, TimePeriod={"Start": "2025-02-01", "End": "2025-02-02"})["ResultsByTime"]
    lab.control.set_today(date(2026, 1, 31))
    assert lab.ask(account, TimePeriod={"Start": "2024-12-01", "End": "2024-12-02"})["ResultsByTime"]
    with pytest.raises(ClientError, match="beyond 14 months"):
        lab.ask(account, TimePeriod={"Start": "2024-11-30", "End": "2024-12-02"})


def test_hourly_cost_is_not_enabled(lab: Lab, account: Account) -> None:
    """HOURLY needs an opt-in that no account has."""
    with pytest.raises(ClientError, match="Hourly data granularity is not enabled"):
        lab.ask(account, Granularity="HOURLY")


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]"])
def test_a_body_that_is_not_a_json_object_is_a_serialization_exception(
    lab: Lab, account: Account, body: bytes
) -> None:
    """What cannot be decoded is SerializationException."""
    assert lab.send(lab.sign(account, body)).json()["__type"] == "SerializationException"


@pytest.mark.parametrize(
    "target", ["AWSInsightsIndexService.GetTags", "Unheard.Of", "AWSOrganizationsV20161128.CloseAccount"]
)
def test_another_operation_is_unknown(lab: Lab, account: Account, target: str) -> None:
    """Operations that are not offered are UnknownOperationException."""
    lab.load(account, management_account_id=account.account_id)
    service = "organizations" if "Organizations" in target else "ce"
    raw = lab.send(lab.sign(account, {}, target=target, service=service))
    assert raw.json()["__type"] == "UnknownOperationException"


def leaf(key: str, *values: str) -> dict[str, Any]:
    """Write a filter on a dimension."""
    return {"Dimensions": {"Key": key, "Values": list(values)}}


@pytest.mark.parametrize(
    ("expression", "amount"),
    [
        (leaf("SERVICE", "A"), "3"),
        (leaf("SERVICE", "A", "B"), "7"),
        ({"Not": leaf("RECORD_TYPE", "Tax")}, "5"),
        ({"And": [leaf("SERVICE", "A"), {"Not": leaf("RECORD_TYPE", "Tax")}]}, "1"),
        ({"Or": [leaf("SERVICE", "B"), leaf("RECORD_TYPE", "Tax")]}, "6"),
        (leaf("LINKED_ACCOUNT", "222222222222"), "0"),
        (leaf("REGION", "us-east-1"), "5"),
    ],
)
def test_filters_choose_rows(lab: Lab, account: Account, expression: dict[str, Any], amount: str) -> None:
    """Dimensions, And, Or and Not choose rows before they are added up."""
    rows = [
        row("2026-03-10", "A", "1"),
        row("2026-03-10", "A", "2", record_type="Tax"),
        row("2026-03-10", "B", "4"),
    ]
    lab.load(replace(account, rows=rows_from_plain(rows)))
    day = lab.ask(account, GroupBy=None, Filter=expression)["ResultsByTime"][0]
    assert day["Total"]["UnblendedCost"]["Amount"] == amount


@pytest.fixture(name="organization")
def organization_fixture(lab: Lab, account: Account, other: Account) -> None:
    """Let the first account pay for itself and for the other, which is billed in euros."""
    own = rows_from_plain([row("2026-03-10", "A", "1")])
    of_member = rows_from_plain([row("2026-03-10", "A", "10"), row("2026-03-10", "B", "4")])
    lab.load(
        replace(account, rows=own),
        replace(other, rows=of_member, currency="EUR"),
        management_account_id=account.account_id,
    )


@pytest.mark.usefixtures("organization")
@pytest.mark.parametrize(
    ("expression", "amount"),
    [
        (None, "15"),
        (leaf("LINKED_ACCOUNT", "111111111111"), "1"),
        (leaf("LINKED_ACCOUNT", "222222222222"), "14"),
        (leaf("LINKED_ACCOUNT", "111111111111", "222222222222"), "15"),
        ({"And": [leaf("LINKED_ACCOUNT", "111111111111"), leaf("SERVICE", "A")]}, "1"),
        (leaf("REGION", "us-east-1", "eu-west-1"), "15"),
    ],
)
def test_a_payer_sees_the_cost_of_its_organization(
    lab: Lab, account: Account, expression: dict[str, Any] | None, amount: str
) -> None:
    """Only a filter narrows it to one account's own."""
    day = lab.ask(account, GroupBy=None, Filter=expression)["ResultsByTime"][0]
    assert day["Total"]["UnblendedCost"]["Amount"] == amount


@pytest.mark.usefixtures("organization")
def test_the_accounts_of_a_payers_bill_can_be_told_apart(lab: Lab, account: Account) -> None:
    """By the linked account, each with its name and in its currency."""
    answer = lab.ask(account, GroupBy=[LINKED, SERVICE])
    groups = [
        (*group["Keys"], group["Metrics"]["UnblendedCost"]) for group in answer["ResultsByTime"][0]["Groups"]
    ]
    assert groups == [
        ("111111111111", "A", {"Amount": "1", "Unit": "USD"}),
        ("222222222222", "A", {"Amount": "10", "Unit": "EUR"}),
        ("222222222222", "B", {"Amount": "4", "Unit": "EUR"}),
    ]
    names = {each["Value"]: each["Attributes"]["description"] for each in answer["DimensionValueAttributes"]}
    assert names == {"111111111111": "first", "222222222222": "second"}


@pytest.mark.usefixtures("organization")
def test_a_member_sees_its_own_cost_alone(lab: Lab, other: Account) -> None:
    """With and without a filter; the payer's it cannot ask for."""
    totals = []
    for expression in (None, leaf("LINKED_ACCOUNT", "222222222222"), leaf("LINKED_ACCOUNT", "111111111111")):
        day = lab.ask(other, GroupBy=None, Filter=expression)["ResultsByTime"][0]
        totals.append(day["Total"]["UnblendedCost"]["Amount"])
    assert totals == ["14", "14", "0"]


@pytest.mark.usefixtures("organization")
def test_a_payers_bill_follows_its_members(lab: Lab, account: Account, other: Account) -> None:
    """What is rendered once is rendered anew if a member's cost has changed."""
    before = lab.ask(account, GroupBy=None)["ResultsByTime"][0]["Total"]
    lab.control.set_rows(other.account_id, [row("2026-03-10", "A", "20")])
    after = lab.ask(account, GroupBy=None)["ResultsByTime"][0]["Total"]
    assert [total["UnblendedCost"]["Amount"] for total in (before, after)] == ["15", "21"]
