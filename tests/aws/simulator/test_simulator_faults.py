"""Every scripted fault is what a real boto3 client would see."""

from __future__ import annotations

import time
from dataclasses import replace
from http.client import IncompleteRead
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from costbatch.simulator.client import ControlError
from costbatch.simulator.faults import KINDS
from costbatch.simulator.world import Fault

if TYPE_CHECKING:
    from costbatch.simulator.world import Account
    from tests.aws.simulator.conftest import Lab

COST_ERRORS = [
    ("limit_exceeded", "LimitExceededException", 400),
    ("throttling", "ThrottlingException", 400),
    ("access_denied", "AccessDeniedException", 400),
    ("not_enabled", "AccessDeniedException", 400),
    ("data_unavailable", "DataUnavailableException", 400),
    ("bill_expiration", "BillExpirationException", 400),
    ("expired_token", "ExpiredTokenException", 400),
    ("invalid_token", "UnrecognizedClientException", 400),
    ("validation", "ValidationException", 400),
    ("http_500", "InternalFailure", 500),
    ("http_503", "ServiceUnavailable", 503),
]
IDENTITY_ERRORS = [
    ("throttling", "Throttling", 400),
    ("access_denied", "AccessDenied", 403),
    ("expired_token", "ExpiredToken", 403),
    ("invalid_token", "InvalidClientTokenId", 403),
    ("validation", "ValidationError", 400),
    ("http_500", "InternalFailure", 500),
    ("http_503", "ServiceUnavailable", 503),
]
MODELLED = {"limit_exceeded", "data_unavailable", "bill_expiration"}


def shown(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    """Read the code and the status of a ClientError."""
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(("kind", "code", "status"), COST_ERRORS)
def test_a_cost_error_has_its_code_and_status(
    lab: Lab, account: Account, kind: str, code: str, status: int
) -> None:
    """Cost Explorer's errors arrive as ClientError, the modelled ones as their own class."""
    lab.control.add_fault(account.account_id, kind, times=1)
    with pytest.raises(ClientError) as caught:
        lab.ask(account)
    assert shown(caught) == (code, status)
    assert caught.value.response["Error"]["Message"]
    assert (type(caught.value).__name__ == code) is (kind in MODELLED)
    assert lab.ask(account)["ResultsByTime"]


@pytest.mark.parametrize(("kind", "code", "status"), IDENTITY_ERRORS)
def test_an_identity_error_has_its_code_and_status(
    lab: Lab, account: Account, kind: str, code: str, status: int
) -> None:
    """STS words the same troubles in its own codes."""
    lab.control.add_fault(account.account_id, kind, operation="GetCallerIdentity")
    with pytest.raises(ClientError) as caught:
        lab.aws("sts", account).get_caller_identity()
    assert shown(caught) == (code, status)


def test_access_denied_names_the_caller_and_not_enabled_says_so(lab: Lab, account: Account) -> None:
    """The sentences are those that people search for."""
    lab.control.add_fault(account.account_id, "access_denied", times=1)
    lab.control.add_fault(account.account_id, "not_enabled", times=1)
    with pytest.raises(ClientError, match="arn:aws:iam::111111111111:user/costbatch is not authorized"):
        lab.ask(account)
    with pytest.raises(ClientError, match="User not enabled for cost explorer access"):
        lab.ask(account)


def test_a_message_can_be_given(lab: Lab, account: Account) -> None:
    """The sentence of an error is a parameter."""
    lab.control.add_fault(account.account_id, "validation", message="A sentence of the test.")
    with pytest.raises(ClientError, match="A sentence of the test"):
        lab.ask(account)


def test_standard_retries_outlast_a_throttled_account(lab: Lab, account: Account) -> None:
    """Two refusals and then the answer: three requests, one of them paid."""
    lab.control.add_fault(account.account_id, "throttling", times=2)
    config = Config(retries={"total_max_attempts": 3, "mode": "standard"})
    client = lab.aws("ce", account, config=config)
    client.meta.events.register("before-send.cost-explorer", lambda **_: None)
    period = {"Start": "2026-03-10", "End": "2026-03-11"}
    client.get_cost_and_usage(TimePeriod=period, Granularity="DAILY", Metrics=["UnblendedCost"])
    counted = lab.control.requests()["accounts"][account.account_id]
    assert counted == {"requests": {"GetCostAndUsage": 3}, "paid": 1}


def test_a_hanging_request_times_out_and_is_not_paid(lab: Lab, account: Account) -> None:
    """Nothing comes back before the client gives up."""
    lab.control.add_fault(account.account_id, "hang", times=1, seconds=30)
    client = lab.aws("ce", account, config=Config(read_timeout=0.2, retries={"total_max_attempts": 1}))
    period = {"Start": "2026-03-10", "End": "2026-03-11"}
    with pytest.raises(ReadTimeoutError):
        client.get_cost_and_usage(TimePeriod=period, Granularity="DAILY", Metrics=["UnblendedCost"])
    assert lab.control.paid(account.account_id) == 0


def test_a_hang_ends_with_the_connection(lab: Lab, account: Account) -> None:
    """After its seconds the connection is closed without an answer."""
    lab.control.add_fault(account.account_id, "hang", times=1, seconds=0.1)
    with pytest.raises(ConnectionClosedError):
        lab.ask(account)


def test_latency_delays_one_answer(lab: Lab, account: Account) -> None:
    """The answer is good but late."""
    lab.control.add_fault(account.account_id, "latency", times=1, seconds=0.3)
    began = time.monotonic()
    assert lab.ask(account)["ResultsByTime"]
    assert time.monotonic() - began >= 0.3


def test_a_reset_closes_the_connection(lab: Lab, account: Account) -> None:
    """No byte comes back, and nothing is paid."""
    lab.control.add_fault(account.account_id, "reset", times=1)
    with pytest.raises(ConnectionClosedError):
        lab.ask(account)
    assert lab.control.paid() == 0


def test_a_truncated_answer_breaks_off(lab: Lab, account: Account, ask_for: Any) -> None:
    """The body is shorter than Content-Length says; botocore does not notice and answers without results."""
    lab.control.add_fault(account.account_id, "truncated", times=2)
    assert list(lab.ask(account)) == ["ResponseMetadata"]
    with pytest.raises(IncompleteRead):
        lab.send(lab.sign(account, ask_for()))


def test_html_in_place_of_json_is_an_answer_without_results(lab: Lab, account: Account) -> None:
    """Botocore swallows a 200 that is not JSON: the caller sees an answer with none of its members."""
    lab.control.add_fault(account.account_id, "not_json", times=1)
    assert list(lab.ask(account)) == ["ResponseMetadata"]


def test_a_literal_body_and_status_are_sent_as_given(lab: Lab, account: Account) -> None:
    """Any answer can be scripted."""
    lab.control.add_fault(account.account_id, "body", times=1, status=418, body='{"__type": "Teapot"}')
    with pytest.raises(ClientError) as caught:
        lab.ask(account)
    assert shown(caught) == ("Teapot", 418)


@pytest.mark.parametrize("field", ["ResultsByTime", "Metrics", "Amount", "Unit", "TimePeriod"])
def test_fields_can_be_missing(lab: Lab, account: Account, ask_for: Any, field: str) -> None:
    """Valid JSON without one of its members, at any depth."""
    assert field.encode() in lab.send(lab.sign(account, ask_for())).body
    lab.control.add_fault(account.account_id, "missing_fields", times=1, field=field)
    raw = lab.send(lab.sign(account, ask_for()))
    assert raw.status == 200
    assert f'"{field}"'.encode() not in raw.body
    assert raw.json()


def test_the_same_token_can_come_back_for_ever(lab: Lab, account: Account) -> None:
    """Every page names the same next page, and each is paid."""
    lab.control.add_fault(account.account_id, "repeat_token")
    first = lab.ask(account)
    second = lab.ask(account, NextPageToken=first["NextPageToken"])
    assert first["NextPageToken"] == second["NextPageToken"]
    assert lab.control.paid(account.account_id) == 2


def test_pages_can_be_endless(lab: Lab, account: Account) -> None:
    """Every page names another next page."""
    lab.control.add_fault(account.account_id, "endless_pages")
    tokens = {lab.ask(account)["NextPageToken"]}
    for _ in range(4):
        tokens.add(lab.ask(account, NextPageToken=next(iter(tokens)))["NextPageToken"])
    assert len(tokens) == 5


def test_another_account_can_answer(lab: Lab, account: Account) -> None:
    """GetCallerIdentity names an account that the credentials should not be of."""
    lab.control.add_fault(account.account_id, "wrong_account", times=1, reported_account_id="333333333333")
    answer = lab.aws("sts", account).get_caller_identity()
    assert answer["Account"] == "333333333333"
    assert answer["Arn"] == "arn:aws:iam::333333333333:user/costbatch"
    assert lab.aws("sts", account).get_caller_identity()["Account"] == account.account_id


@pytest.mark.parametrize("group_by", [None, [{"Type": "DIMENSION", "Key": "SERVICE"}]])
def test_another_currency_can_be_answered(lab: Lab, account: Account, group_by: Any) -> None:
    """Every cost unit changes; the usage stays unitless."""
    lab.control.add_fault(account.account_id, "other_currency", times=1, currency="SEK")
    day = lab.ask(account, GroupBy=group_by)["ResultsByTime"][0]
    metrics = day["Groups"][0]["Metrics"] if group_by else day["Total"]
    assert (metrics["UnblendedCost"]["Unit"], metrics["UsageQuantity"]["Unit"]) == ("SEK", "N/A")


def test_faults_follow_one_another(lab: Lab, account: Account) -> None:
    """A script is used up in order, then the account is well."""
    lab.load(replace(account, faults=(Fault("limit_exceeded", times=1), Fault("http_500", times=1))))
    codes = []
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            lab.ask(account)
        codes.append(shown(caught)[0])
    assert codes == ["LimitExceededException", "InternalFailure"]
    assert lab.ask(account)["ResultsByTime"]


def test_faults_stay_with_their_account_and_operation(lab: Lab, account: Account, other: Account) -> None:
    """Neither another account nor another operation is touched."""
    lab.control.add_fault(account.account_id, "http_500")
    assert lab.ask(other)["ResultsByTime"]
    assert lab.aws("sts", account).get_caller_identity()["Account"] == account.account_id


def test_a_fault_of_every_operation_touches_all(lab: Lab, account: Account) -> None:
    """The operation "*" is any."""
    lab.control.add_fault(account.account_id, "invalid_token", operation="*")
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        lab.ask(account)
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        lab.aws("sts", account).get_caller_identity()


def test_a_fault_of_assume_role_belongs_to_the_roles_account(
    lab: Lab, account: Account, other: Account
) -> None:
    """The account whose role is assumed is the one that is counted and broken."""
    lab.control.add_fault(other.account_id, "throttling", operation="AssumeRole")
    with pytest.raises(ClientError, match="Throttling"):
        lab.aws("sts", account).assume_role(
            RoleArn="arn:aws:iam::222222222222:role/Any", RoleSessionName="test-session"
        )
    assert list(lab.control.requests()["accounts"]) == [other.account_id]


def test_cleared_faults_are_gone(lab: Lab, account: Account, other: Account) -> None:
    """One account's faults, or everybody's, can be cleared."""
    for item in (account, other):
        lab.control.add_fault(item.account_id, "http_500")
    lab.control.clear_faults(account.account_id)
    assert lab.ask(account)["ResultsByTime"]
    with pytest.raises(ClientError):
        lab.ask(other)
    lab.control.clear_faults()
    assert lab.ask(other)["ResultsByTime"]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"kind": "meteor"}, "Unknown kind of fault 'meteor'"),
        ({"kind": "reset", "operation": "GetTags"}, "Unknown operation 'GetTags'"),
        ({"kind": "reset", "times": -1}, "times is a count or null"),
        ({"kind": "reset", "colour": "red"}, "unexpected keyword argument 'colour'"),
    ],
)
def test_an_unknown_fault_is_refused(
    lab: Lab, account: Account, fault: dict[str, Any], sentence: str
) -> None:
    """A mistake in a script is said at once."""
    with pytest.raises(ControlError, match=sentence):
        lab.control.add_fault(account.account_id, **fault)


def test_a_fault_of_no_times_is_none(lab: Lab, account: Account) -> None:
    """Zero times changes nothing."""
    lab.control.add_fault(account.account_id, "http_500", times=0)
    assert lab.ask(account)["ResultsByTime"]


def test_every_kind_of_fault_is_tested_here() -> None:
    """A new kind needs a test of what a client sees."""
    text = Path(__file__).read_text("utf-8")
    assert all(f'"{kind}"' in text for kind in KINDS)
