"""Reading cost by region and usage type over HTTP: what is asked, counted and refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from costbatch.domain.causes import question_of
from costbatch.domain.costs import CostBasis
from costbatch.errors import AccountError, ErrorKind, ResponseTooLongError
from costbatch.simulator.world import rows_from_plain
from tests.support.factories import make_anomaly

if TYPE_CHECKING:
    from costbatch.simulator.client import SimulatorProcess
    from tests.support.aws import Harness

ONE = "100000000001"
DAY, ORDINARY = date(2024, 3, 12), date(2024, 3, 5)
PLACE = {"region": "eu-west-1", "usage_type": "EUW1-BoxUsage"}
ROWS = [
    {"date": "2024-03-12", "service": "A", "unblended": "90", "net_unblended": "80", **PLACE},
    {"date": "2024-03-12", "service": "A", "unblended": "5", "record_type": "Tax"},
    {"date": "2024-03-12", "service": "B", "unblended": "7", **PLACE},
    {"date": "2024-03-12", "service": "A", "unblended": "3", "unit": "EUR", **PLACE},
    {"date": "2024-03-05", "service": "A", "unblended": "10", **PLACE},
]
QUESTION = question_of(make_anomaly(service="A", start_date=DAY, last_date=DAY), frozenset({"Tax"}))


@pytest.fixture
def billed(changed_simulator: SimulatorProcess) -> SimulatorProcess:
    """Return AWS with some rows of the first account."""
    changed_simulator.set_rows(ONE, rows_from_plain(ROWS))
    return changed_simulator


def test_one_request_brings_both_days(billed: SimulatorProcess, aws: Harness) -> None:
    """Of the service, without the excluded record types, in one currency and cost basis."""
    access = aws.simulated_keys(1)
    key = ("eu-west-1", "EUW1-BoxUsage")
    found = aws.source().fetch_causes(access, QUESTION, aws.spend)
    assert found == {ORDINARY: {key: Decimal(10)}, DAY: {key: Decimal(90)}}
    assert aws.requests == billed.paid(ONE) == 1
    net = replace(QUESTION, cost_basis=CostBasis.NET_UNBLENDED, services=())
    assert aws.source().fetch_causes(access, net, aws.spend)[DAY] == {key: Decimal(87)}
    euros = replace(QUESTION, currency="EUR")
    assert aws.source().fetch_causes(access, euros, aws.spend) == {DAY: {key: Decimal(3)}}
    everything = replace(QUESTION, excluded_record_types=frozenset(), services=())
    assert aws.source().fetch_causes(access, everything, aws.spend)[DAY]["NoRegion", "NoUsageType"] == 5


@pytest.mark.parametrize("services", [("A",), ()], ids=["one service", "all services"])
def test_the_causes_of_a_payer_are_its_own(
    billed: SimulatorProcess, aws: Harness, services: tuple[str, ...]
) -> None:
    """AWS gives a management account the cost of its whole organization."""
    world = billed.current_world()
    payer, member = world.accounts[:2]
    accounts = (payer, replace(member, rows=payer.rows))
    billed.replace_world(replace(world, accounts=accounts, management_account_id=ONE))
    question = replace(QUESTION, services=services, excluded_record_types=frozenset())
    found = aws.source().fetch_causes(aws.simulated_keys(1), question, aws.spend)
    assert found[ORDINARY] == {("eu-west-1", "EUW1-BoxUsage"): Decimal(10)}


@pytest.mark.parametrize(
    ("fault", "kind", "problem"),
    [
        ("limit_exceeded", ErrorKind.THROTTLED, "LimitExceededException"),
        ("access_denied", ErrorKind.ACCESS_DENIED, "AccessDeniedException"),
        ("endless_pages", ErrorKind.MALFORMED_RESPONSE, "more than 5 pages"),
        ("repeat_token", ErrorKind.MALFORMED_RESPONSE, "repeats an earlier page token"),
        ("missing_fields", ErrorKind.MALFORMED_RESPONSE, "ResultsByTime is absent"),
    ],
)
def test_what_aws_refuses_is_an_error_of_the_account(
    billed: SimulatorProcess, aws: Harness, fault: str, kind: ErrorKind, problem: str
) -> None:
    """And a response without an end is given up after five pages."""
    if "page" in fault or "token" in fault:
        # The same page again repeats its rows, which is refused by itself.
        billed.set_rows(ONE, [])
    billed.add_fault(ONE, fault)
    with pytest.raises(AccountError, match=problem) as caught:
        aws.source(max_attempts=1).fetch_causes(aws.simulated_keys(1), QUESTION, aws.spend)
    assert caught.value.kind is kind
    assert aws.requests <= 5


@pytest.mark.parametrize(("limit", "helps"), [(4, True), (5, False), (200, False)])
def test_the_page_limit_is_named_only_if_it_is_what_limits(
    billed: SimulatorProcess, aws: Harness, *, limit: int, helps: bool
) -> None:
    """Beyond five pages no root cause is looked for, on no other night either."""
    billed.set_rows(ONE, [])
    billed.add_fault(ONE, "endless_pages")
    with pytest.raises(AccountError, match=f"more than {min(limit, 5)} pages") as caught:
        aws.source(page_limit=limit).fetch_causes(aws.simulated_keys(1), QUESTION, aws.spend)
    assert ("COSTBATCH_PAGE_LIMIT" in caught.value.advice) is helps
    assert isinstance(caught.value, ResponseTooLongError) is not helps
