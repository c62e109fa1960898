"""Filters of sinks: which events pass, and the sentence about those that do not."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from costbatch.domain.detection import Direction, Severity
from costbatch.domain.events import Event, EventType
from costbatch.domain.money import Limit
from costbatch.domain.routing import Filter
from tests.support.factories import NOW

ANOMALY: dict[str, Any] = {
    "service": None,
    "direction": "spike",
    "severity": "medium",
    "currency": "EUR",
    "impact": "-120.00",
    "deviation_percent": "-60.0",
    "explanation": [{"service": "Amazon EC2", "expected": "1", "actual": "2"}],
}
ACCOUNT = {"aws_account_id": "1" * 12, "name": "one", "labels": {"team": "payments", "env": "prod"}}
DETECTED = Event(
    id=UUID(int=1),
    type=EventType.ANOMALY_DETECTED,
    subject="1" * 12,
    occurred_at=NOW,
    data={"account": ACCOUNT, "anomaly": ANOMALY},
)
RUN = replace(DETECTED, type=EventType.RUN_COMPLETED, data={"run": {}})
FAILED = replace(DETECTED, type=EventType.ACCOUNT_FAILED, data={"account": ACCOUNT})


def test_without_conditions_everything_passes() -> None:
    """A sink without a filter receives every event."""
    assert [Filter().refusal(event) for event in (DETECTED, RUN, FAILED)] == [None] * 3


@pytest.mark.parametrize(
    "given",
    [
        Filter(types=frozenset({"anomaly.detected", "run.failed"})),
        Filter(accounts=frozenset({"1" * 12})),
        Filter(labels=(("env", "prod"), ("team", "payments"))),
        Filter(services=frozenset({"Amazon EC2"})),
        Filter(direction=Direction.SPIKE),
        Filter(severity=Severity.LOW),
        Filter(severity=Severity.MEDIUM),
        Filter(minimum_impact=Limit(Decimal(1000), (("EUR", Decimal(120)),))),
        Filter(minimum_percent=Decimal(60)),
    ],
)
def test_what_meets_a_condition_passes(given: Filter) -> None:
    """Limits are part of what passes, a drop counts by its size, and a service may only explain."""
    assert given.refusal(DETECTED) is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            Filter(types=frozenset({"run.failed"})),
            "The filter does not include events of type anomaly.detected.",
        ),
        (Filter(accounts=frozenset({"2" * 12})), "The filter does not include this account."),
        (
            Filter(labels=(("team", "search"),)),
            "The filter accepts only accounts with team=search; the account has team=payments.",
        ),
        (
            Filter(labels=(("owner", "me"),)),
            "The filter accepts only accounts with owner=me; the account has no label owner.",
        ),
        (Filter(services=frozenset({"Amazon S3"})), "The filter does not include this service."),
        (Filter(direction=Direction.DROP), "The filter accepts only drops; this is a spike."),
    ],
)
def test_what_is_of_another_kind_does_not_pass(given: Filter, reason: str) -> None:
    """And the sentence says of which."""
    refusal = given.refusal(DETECTED)
    assert refusal is not None
    assert (refusal.reason, refusal.is_of_type) == (reason, bool(given.types))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Filter(severity=Severity.HIGH), "The filter accepts severity high and above; this is medium."),
        (
            Filter(minimum_impact=Limit(Decimal(0), (("EUR", Decimal("120.01")),))),
            "The filter accepts differences from 120.01 EUR; this is 120.00 EUR.",
        ),
        (
            Filter(minimum_impact=Limit(Decimal(500))),
            "The filter accepts differences from 500 EUR; this is 120.00 EUR.",
        ),
        (Filter(minimum_percent=Decimal(61)), "The filter accepts differences from 61 %; this is -60.0 %."),
    ],
)
def test_what_is_too_small_does_not_pass(given: Filter, reason: str) -> None:
    """Each limit for itself."""
    refusal = given.refusal(DETECTED)
    assert refusal is not None
    assert (refusal.reason, refusal.is_of_type) == (reason, False)


def test_without_an_expected_cost_any_percentage_is_reached() -> None:
    """A new service that costs a million has no percentage."""
    new = replace(DETECTED, data={"account": ACCOUNT, "anomaly": {**ANOMALY, "deviation_percent": None}})
    assert Filter(minimum_percent=Decimal(1000)).refusal(new) is None


def test_conditions_on_anomalies_exclude_no_other_event() -> None:
    """An account that fails is news whatever its size; but a team hears of its own accounts only."""
    large = Filter(severity=Severity.HIGH, minimum_impact=Limit(Decimal(9)), services=frozenset({"x"}))
    assert (large.refusal(FAILED), large.refusal(RUN)) == (None, None)
    team = Filter(labels=(("team", "payments"),))
    assert team.refusal(FAILED) is None
    refusal = team.refusal(RUN)
    assert refusal is not None
    assert (
        refusal.reason
        == "The filter accepts only accounts with team=payments; the event is about no account."
    )
