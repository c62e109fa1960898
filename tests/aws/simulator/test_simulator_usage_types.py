"""Cost by region and usage type: the same total in parts, and what anomalies add."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from costbatch.simulator.services import COMPUTE
from costbatch.simulator.world import Anomaly, rows_from_plain

if TYPE_CHECKING:
    from costbatch.simulator.world import Account
    from tests.aws.simulator.conftest import Lab

GROUPED = [{"Type": "DIMENSION", "Key": key} for key in ("REGION", "USAGE_TYPE")]
BY_SERVICE = [{"Type": "DIMENSION", "Key": "SERVICE"}]


def sums(answer: dict[str, Any]) -> dict[str, dict[tuple[str, ...], Decimal]]:
    """Return the unblended cost by day and keys."""
    found: dict[str, dict[tuple[str, ...], Decimal]] = defaultdict(dict)
    for day in answer["ResultsByTime"]:
        for group in day["Groups"]:
            amount = Decimal(group["Metrics"]["UnblendedCost"]["Amount"])
            found[day["TimePeriod"]["Start"]][tuple(group["Keys"])] = amount
    return found


def test_parts_add_up_to_the_cost_of_the_day(lab: Lab, account: Account) -> None:
    """To the last digit, with taxes and fees in no region."""
    lab.load(replace(account, profile="committed", services=9))
    period = {"Start": "2026-02-28", "End": "2026-03-05"}
    parts = sums(lab.ask(account, TimePeriod=period, GroupBy=GROUPED))
    whole = sums(lab.ask(account, TimePeriod=period, GroupBy=BY_SERVICE))
    assert {day: sum(of_day.values()) for day, of_day in parts.items()} == {
        day: sum(of_day.values()) for day, of_day in whole.items()
    }
    assert parts["2026-03-01"]["NoRegion", "NoUsageType"] > 0
    assert ("NoRegion", "NoUsageType") not in parts["2026-03-02"]


def test_an_anomaly_adds_usage_of_its_own(lab: Lab, account: Account) -> None:
    """The ordinary usage stays; what is multiplied is one usage type in one region."""
    spike = Anomaly("spike", date(2026, 3, 9), 5.0, service=COMPUTE, region="sa-east-1", usage_type="Crypto")
    lab.load(replace(account, profile="uniform", services=3, anomalies=(spike,)))
    period = {"Start": "2026-03-08", "End": "2026-03-10"}
    days = sums(lab.ask(account, TimePeriod=period, GroupBy=GROUPED))
    before, after = days["2026-03-08"], days["2026-03-09"]
    assert after.keys() - before.keys() == {("sa-east-1", "Crypto")}
    ordinary = sum(before.values())
    assert abs(sum(after.values()) - after["sa-east-1", "Crypto"] - ordinary) < ordinary / 5


def test_given_rows_say_where_they_belong(lab: Lab, account: Account) -> None:
    """A row with a region and a usage type is one part; filters choose parts."""
    rows = [
        {"date": "2026-03-10", "service": "A", "unblended": "3", "region": "eu-west-1", "usage_type": "EU-X"},
        {"date": "2026-03-10", "service": "A", "unblended": "5"},
    ]
    lab.load(replace(account, rows=rows_from_plain(rows)))
    day = sums(lab.ask(account, GroupBy=GROUPED))["2026-03-10"]
    assert day["eu-west-1", "EU-X"] == 3
    assert sum(day.values()) == 8
    only = {"Dimensions": {"Key": "USAGE_TYPE", "Values": ["EU-X"]}}
    assert sums(lab.ask(account, GroupBy=BY_SERVICE, Filter=only))["2026-03-10"] == {("A",): Decimal(3)}
