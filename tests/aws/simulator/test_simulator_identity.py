"""STS and Organizations answer as botocore's models say, and temporary credentials live and die."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from costbatch.simulator import identities
from costbatch.simulator.demo_world import make_account
from costbatch.simulator.simulation import utc_now
from costbatch.simulator.world import Role

if TYPE_CHECKING:
    from costbatch.simulator.world import Account
    from tests.aws.simulator.conftest import Lab

ROLE_ARN = "arn:aws:iam::222222222222:role/Reader"
SESSION = botocore.session.get_session()


@pytest.fixture(name="trusting")
def trusting_fixture(lab: Lab, account: Account, other: Account) -> Account:
    """Let the first account assume a role of the second, with an external id."""
    role = Role("Reader", external_id="secret-id", trusted_account_ids=(account.account_id,))
    trusting = replace(other, roles=(role, Role("Open")))
    lab.load(account, trusting)
    return trusting


def assume(lab: Lab, account: Account, **changes: Any) -> Any:
    """Assume the role as it wants to be assumed."""
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    usual = {"RoleArn": ROLE_ARN, "RoleSessionName": "test-session", "ExternalId": "secret-id"}
    return lab.aws("sts", account, config=config).assume_role(**{**usual, **changes})


def session_client(lab: Lab, service: str, answer: Any) -> Any:
    """Open a client with temporary credentials."""
    credentials = answer["Credentials"]
    return lab.session.client(
        service,
        endpoint_url=lab.url,
        region_name="us-east-1",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def members(service: str, operation: str) -> set[str]:
    """Name the members of an operation's output."""
    shape: Any = SESSION.get_service_model(service).operation_model(operation).output_shape
    return set(shape.members)


def test_the_caller_is_the_owner_of_the_key(lab: Lab, account: Account) -> None:
    """GetCallerIdentity gives every member of the model."""
    answer = lab.aws("sts", account).get_caller_identity()
    assert set(answer) - {"ResponseMetadata"} == members("sts", "GetCallerIdentity")
    assert answer["Account"] == "111111111111"
    assert answer["Arn"] == "arn:aws:iam::111111111111:user/costbatch"
    assert answer["ResponseMetadata"]["RequestId"]


def test_an_assumed_role_acts_for_its_own_account(
    lab: Lab, account: Account, trusting: Account, ask_for: Any
) -> None:
    """Temporary credentials identify as the role and read the role's account."""
    answer = assume(lab, account)
    assert set(answer) - {"ResponseMetadata"} <= members("sts", "AssumeRole")
    assert answer["AssumedRoleUser"]["Arn"].endswith(":assumed-role/Reader/test-session")
    remaining = answer["Credentials"]["Expiration"] - utc_now()
    assert timedelta(minutes=59) < remaining <= timedelta(hours=1)
    sts, ce = session_client(lab, "sts", answer), session_client(lab, "ce", answer)
    assert sts.get_caller_identity()["Account"] == trusting.account_id
    question = ask_for(GroupBy=None)
    expected = lab.ask(trusting, GroupBy=None)["ResultsByTime"]
    assert ce.get_cost_and_usage(**question)["ResultsByTime"] == expected
    sts.close()
    ce.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"ExternalId": "wrong-id"},
        {"RoleArn": "arn:aws:iam::222222222222:role/Missing"},
        {"RoleArn": "arn:aws:iam::333333333333:role/Reader"},
    ],
)
def test_a_role_that_does_not_admit_the_caller_is_denied(
    lab: Lab, account: Account, trusting: Account, changes: dict[str, str]
) -> None:
    """A wrong external id, a missing role and a missing account look the same."""
    with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole") as caught:
        assume(lab, account, **changes)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_role_does_not_admit_accounts_that_it_does_not_trust(lab: Lab, trusting: Account) -> None:
    """The trust policy names the callers; "*" admits any, and no external id is needed where none is set."""
    with pytest.raises(ClientError, match="AccessDenied"):
        assume(lab, trusting)
    assert assume(lab, trusting, RoleArn="arn:aws:iam::222222222222:role/a/path/Open")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"DurationSeconds": 899}, "greater than or equal to 900"),
        ({"DurationSeconds": 43201}, "less than or equal to 43200"),
        ({"RoleArn": "arn:aws:s3:::a-bucket-of-mine"}, "is invalid"),
        ({"RoleSessionName": "a b"}, "roleSessionName"),
    ],
)
def test_bad_parameters_of_assume_role_are_validation_errors(
    lab: Lab, account: Account, trusting: Account, changes: dict[str, Any], sentence: str
) -> None:
    """The model's limits are checked."""
    with pytest.raises(ClientError, match=sentence) as caught:
        assume(lab, account, **changes)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_a_missing_parameter_of_assume_role_is_named(lab: Lab, account: Account) -> None:
    """What botocore would not let through is refused too."""
    client = lab.aws("sts", account)
    client.meta.events.register("before-call.sts.AssumeRole", drop_role_arn)
    with pytest.raises(ClientError, match="'roleArn' failed to satisfy constraint"):
        client.assume_role(RoleArn=ROLE_ARN, RoleSessionName="test-session")


def drop_role_arn(params: dict[str, Any], **_: Any) -> None:
    """Remove a parameter after botocore has checked it."""
    del params["body"]["RoleArn"]


@pytest.mark.parametrize(
    ("action", "code"), [({"Action": "GetSessionToken"}, "InvalidAction"), ({}, "MissingAction")]
)
def test_another_action_is_invalid(lab: Lab, account: Account, action: dict[str, str], code: str) -> None:
    """STS actions that are not offered are refused by name."""
    client = lab.aws("sts", account)
    client.meta.events.register(
        "before-call.sts.GetCallerIdentity", lambda params, **_: params.update(body=action)
    )
    with pytest.raises(ClientError) as caught:
        client.get_caller_identity()
    assert caught.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(("service", "code"), [("sts", "ExpiredToken"), ("ce", "ExpiredTokenException")])
def test_temporary_credentials_expire(
    lab: Lab, account: Account, trusting: Account, ask_for: Any, service: str, code: str
) -> None:
    """After their time each service refuses them with its own code."""
    client = session_client(lab, service, assume(lab, account, DurationSeconds=900))
    assert lab.control.expire_sessions() == 1
    call = client.get_caller_identity if service == "sts" else client.get_cost_and_usage
    with pytest.raises(ClientError) as caught:
        call(**({} if service == "sts" else ask_for()))
    assert caught.value.response["Error"]["Code"] == code
    client.close()


def test_a_wrong_session_token_is_refused(lab: Lab, account: Account, trusting: Account) -> None:
    """Key and secret of a session are worth nothing without its token."""
    answer = assume(lab, account)
    answer["Credentials"]["SessionToken"] = "another"
    client = session_client(lab, "sts", answer)
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client.get_caller_identity()
    client.close()


def test_sessions_do_not_pile_up_without_end(monkeypatch: pytest.MonkeyPatch, account: Account) -> None:
    """The oldest session leaves when there are too many."""
    monkeypatch.setattr(identities, "MOST_SESSIONS", 2)
    known = identities.Identities([account], clock=utc_now)
    opened = [
        known.open_session(account_id=account.account_id, role="r", session="s", seconds=900)
        for _ in range(3)
    ]
    assert [known.owner_of(item.access_key_id) is None for item in opened] == [True, False, False]


@pytest.fixture(name="organization")
def organization_fixture(lab: Lab, account: Account, other: Account) -> list[Account]:
    """Make an organization of 45 accounts that the first one manages."""
    members = [account, other, *(make_account(300000000000 + n, f"member-{n}") for n in range(43))]
    lab.load(*members, management_account_id=account.account_id)
    return members


def test_the_management_account_lists_every_account(
    lab: Lab, account: Account, organization: list[Account]
) -> None:
    """Pages of at most 20 accounts follow one another through boto3's paginator."""
    pages = list(lab.aws("organizations", account).get_paginator("list_accounts").paginate())
    assert [len(page["Accounts"]) for page in pages] == [20, 20, 5]
    listed = [item for page in pages for item in page["Accounts"]]
    assert [item["Id"] for item in listed] == [item.account_id for item in organization]
    shape: Any = SESSION.get_service_model("organizations").shape_for("Account")
    assert all(set(item) <= set(shape.members) for item in listed)
    assert listed[0]["Status"] == "ACTIVE"
    assert listed[0]["JoinedTimestamp"].year == 2020


def test_a_page_may_be_smaller(lab: Lab, account: Account, organization: list[Account]) -> None:
    """MaxResults bounds the page."""
    answer = lab.aws("organizations", account).list_accounts(MaxResults=3)
    assert len(answer["Accounts"]) == 3


@pytest.mark.parametrize(
    "parameters", [{"NextToken": "nonsense"}, {"NextToken": "accounts-45"}, {"MaxResults": 21}]
)
def test_bad_parameters_of_list_accounts_are_invalid_input(
    lab: Lab, account: Account, organization: list[Account], parameters: dict[str, Any]
) -> None:
    """An unknown token and a page that is too large raise the modelled exception."""
    client = lab.aws("organizations", account)
    with pytest.raises(client.exceptions.InvalidInputException):
        client.list_accounts(**parameters)


def test_the_organization_is_described(lab: Lab, account: Account, organization: list[Account]) -> None:
    """DescribeOrganization names the management account, within the model."""
    answer = lab.aws("organizations", account).describe_organization()["Organization"]
    shape: Any = SESSION.get_service_model("organizations").shape_for("Organization")
    assert set(answer) <= set(shape.members)
    assert answer["MasterAccountId"] == account.account_id


def test_members_may_not_list_accounts(lab: Lab, other: Account, organization: list[Account]) -> None:
    """Only the management account sees the organization."""
    client = lab.aws("organizations", other)
    with pytest.raises(client.exceptions.AccessDeniedException):
        client.list_accounts()


def test_an_account_on_its_own_has_no_organization(lab: Lab, account: Account) -> None:
    """Without a management account there is no organization."""
    client = lab.aws("organizations", account)
    with pytest.raises(client.exceptions.AWSOrganizationsNotInUseException):
        client.describe_organization()
