"""Reading AWS's own anomalies over HTTP: pages, exact numbers, and what is refused."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from costbatch.adapters.aws.cost_explorer.anomalies import CostAnomalySource
from costbatch.adapters.aws.credentials import Identities
from costbatch.domain.periods import DateRange
from costbatch.domain.second_opinion import AwsRootCause, Feedback
from costbatch.errors import AccountError, ErrorKind
from costbatch.simulator.world import Anomaly, to_plain

if TYPE_CHECKING:
    from costbatch.simulator.client import SimulatorProcess
    from tests.support.aws import Harness

ONE = "100000000001"
DAYS = DateRange(date(2024, 3, 1), date(2024, 3, 21))
OPERATION = "GetAnomalies"


def source(aws: Harness, **settings: Any) -> CostAnomalySource:
    """Return a source of AWS's anomalies."""
    clients = aws.clients(max_attempts=1, **settings)
    return CostAnomalySource(
        clients=clients, identities=Identities(clients=clients, open_sealed=aws.vault.open)
    )


def plant(simulator: SimulatorProcess, *anomalies: Anomaly) -> None:
    """Give the first account generated cost with these anomalies."""
    plain = [to_plain(each) for each in anomalies]
    simulator.update_account(ONE, rows=None, profile="uniform", services=3, anomalies=plain)


def test_every_page_is_read_and_counted(changed_simulator: SimulatorProcess, aws: Harness) -> None:
    """Four anomalies on pages of three are two requests."""
    spikes = [Anomaly("spike", date(2024, 3, day), 3.0, service="AWS Lambda") for day in (5, 7, 9, 11)]
    plant(changed_simulator, *spikes)
    found = source(aws).fetch_anomalies(aws.simulated_keys(1), DAYS, aws.spend)
    assert sorted(each.start_date for each in found if each.start_date) == [each.start for each in spikes]
    assert aws.requests == changed_simulator.paid(ONE) == 2


def test_what_aws_says_is_read_exactly(simulator: SimulatorProcess, aws: Harness) -> None:
    """Numbers as they are printed; days with a time, or without any; causes with some of their parts."""
    anomalies = [
        {
            "AnomalyId": "a-1",
            "AnomalyStartDate": "2024-03-05T00:00:00Z",
            "DimensionValue": "EC2",
            "RootCauses": [
                {"Service": "EC2", "Region": "eu-west-1", "LinkedAccount": "000000000009"},
                {"UsageType": "X", "Impact": {"Contribution": 0.1}},
            ],
            "AnomalyScore": {"MaxScore": 0.95, "CurrentScore": 0.1},
            "Impact": {"MaxImpact": 7, "TotalImpact": 12.340000000000003, "TotalActualSpend": 1e2},
            "MonitorArn": "arn:aws:ce::1:anomalymonitor/m",
            "Feedback": "PLANNED_ACTIVITY",
        },
        {
            "AnomalyId": "a-2",
            "AnomalyScore": {"MaxScore": 1, "CurrentScore": 0},
            "Impact": {"MaxImpact": 5},
            "MonitorArn": "",
        },
    ]
    body = json.dumps({"Anomalies": anomalies})
    simulator.add_fault(ONE, "body", operation=OPERATION, body=body)
    first, second = source(aws).fetch_anomalies(aws.simulated_keys(1), DAYS, aws.spend)
    assert (first.start_date, first.last_date, first.feedback) == (
        date(2024, 3, 5),
        None,
        Feedback.PLANNED_ACTIVITY,
    )
    amounts = (Decimal("12.340000000000003"), Decimal(100), None)
    assert (first.impact, first.actual, first.expected) == amounts
    assert first.accounts == {"000000000009"}
    assert first.root_causes[1] == AwsRootCause(usage_type="X", impact=Decimal("0.1"))
    assert (second.impact, second.accounts, second.services(())) == (Decimal(5), {ONE}, [])


def test_the_interval_is_given_as_its_first_and_last_day(
    changed_simulator: SimulatorProcess, aws: Harness
) -> None:
    """What ended before it is not in the answer."""
    spikes = [Anomaly("spike", date(2024, 3, 5), 3.0), Anomaly("spike", date(2024, 3, 6), 4.0)]
    plant(changed_simulator, *spikes)
    only = DateRange(date(2024, 3, 6), date(2024, 3, 7))
    found = source(aws).fetch_anomalies(aws.simulated_keys(1), only, aws.spend)
    assert [each.start_date for each in found] == [only.start]


WRONG = {
    "AnomalyId": "a",
    "AnomalyScore": {"MaxScore": 1, "CurrentScore": 1},
    "Impact": {"MaxImpact": 1},
    "MonitorArn": "m",
}


@pytest.mark.parametrize(
    "change",
    [
        {"AnomalyId": ""},
        {"AnomalyId": "a\u0000b"},
        {"Impact": {"MaxImpact": "many"}},
        {"Impact": {"MaxImpact": 1e300}},
        {"Impact": {}},
        {"AnomalyStartDate": "yesterday"},
        {"AnomalyStartDate": "9999-12-31"},
        {"AnomalyEndDate": "0001-01-01T00:00:00Z"},
        {"Feedback": "MAYBE"},
        {"RootCauses": [{"LinkedAccount": "not an account"}]},
        {"RootCauses": [{"UsageType": "\u0007"}]},
    ],
)
def test_what_is_not_as_documented_is_refused(
    simulator: SimulatorProcess, aws: Harness, change: dict[str, Any]
) -> None:
    """Whole: nothing of such an answer is stored."""
    body = json.dumps({"Anomalies": [WRONG | change]})
    simulator.add_fault(ONE, "body", operation=OPERATION, body=body)
    with pytest.raises(AccountError, match="GetAnomalies: an anomaly is not as documented") as caught:
        source(aws).fetch_anomalies(aws.simulated_keys(1), DAYS, aws.spend)
    assert caught.value.kind is ErrorKind.MALFORMED_RESPONSE


@pytest.mark.parametrize("where", ["page", "anomaly"])
def test_a_repeated_member_is_refused(simulator: SimulatorProcess, aws: Harness, where: str) -> None:
    """The last one must not win."""
    anomaly = json.dumps(WRONG)
    if where == "anomaly":
        anomaly = anomaly.replace("{", '{"MonitorArn": "other", ', 1)
    twice = '"NextPageToken": "a", "NextPageToken": null, ' if where == "page" else ""
    simulator.add_fault(ONE, "body", operation=OPERATION, body=f'{{{twice}"Anomalies": [{anomaly}]}}')
    with pytest.raises(AccountError, match="an object with the same member twice"):
        source(aws).fetch_anomalies(aws.simulated_keys(1), DAYS, aws.spend)


@pytest.mark.parametrize(
    ("fault", "kind", "problem"),
    [
        ("access_denied", ErrorKind.ACCESS_DENIED, "lack a permission; grant the identity ce:GetAnomalies"),
        ("limit_exceeded", ErrorKind.THROTTLED, "LimitExceededException"),
        ("repeat_token", ErrorKind.MALFORMED_RESPONSE, "repeats an earlier page token"),
        ("endless_pages", ErrorKind.MALFORMED_RESPONSE, "has more than 7 pages"),
        ("truncated", ErrorKind.MALFORMED_RESPONSE, "GetAnomalies"),
        ("http_500", ErrorKind.TIMEOUT, "InternalFailure"),
    ],
)
def test_what_aws_refuses_is_an_error_of_the_account(
    simulator: SimulatorProcess, aws: Harness, fault: str, kind: ErrorKind, problem: str
) -> None:
    """With what to do; without the permission that is to grant it."""
    simulator.add_fault(ONE, fault, operation=OPERATION)
    with pytest.raises(AccountError) as caught:
        source(aws, page_limit=7).fetch_anomalies(aws.simulated_keys(1), DAYS, aws.spend)
    assert caught.value.kind is kind
    assert problem in str(caught.value)


@pytest.mark.usefixtures("simulator")
def test_the_simulator_refuses_what_aws_refuses(aws: Harness) -> None:
    """Days before the last ninety."""
    early = DateRange(DAYS.start - timedelta(days=90), DAYS.end_exclusive)
    with pytest.raises(AccountError, match="ValidationException"):
        source(aws).fetch_anomalies(aws.simulated_keys(1), early, aws.spend)
