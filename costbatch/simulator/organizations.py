"""Organizations: ListAccounts and DescribeOrganization, for the management account only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from costbatch.simulator.answers import Answer
from costbatch.simulator.cost_query import json_object
from costbatch.simulator.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from costbatch.simulator.world import Account

ORGANIZATION_ID = "o-simulated1"
MOST_PER_PAGE = 20
JOINED_AT = 1577836800.0  # 2020-01-01, as JSON 1.1 writes a timestamp


def check_management(account: Account, management_account_id: str | None) -> None:
    """Refuse callers that may not see the organization."""
    if management_account_id is None:
        raise AwsError(
            "AWSOrganizationsNotInUseException", "Your account is not a member of an organization."
        )
    if account.account_id != management_account_id:
        raise AwsError("AccessDeniedException", "You don't have permissions to access this resource.")


def list_accounts(accounts: Iterable[Account], body: bytes, *, management: Account) -> Answer:
    """List one page of the organization's accounts."""
    request = json_object(body)
    members = list(accounts)
    size = request.get("MaxResults", MOST_PER_PAGE)
    if not isinstance(size, int) or not 1 <= size <= MOST_PER_PAGE:
        raise AwsError("InvalidInputException", f"MaxResults must be between 1 and {MOST_PER_PAGE}.")
    start = _start(request.get("NextToken"), len(members))
    page = [
        {
            "Id": account.account_id,
            "Arn": _arn(account, management),
            "Email": _email(account),
            "Name": account.name,
            "Status": account.status,
            "State": account.status,
            "JoinedMethod": "CREATED",
            "JoinedTimestamp": JOINED_AT,
        }
        for account in members[start : start + size]
    ]
    data: dict[str, Any] = {"Accounts": page}
    if start + size < len(members):
        data["NextToken"] = f"accounts-{start + size}"
    return Answer(body=json.dumps(data).encode())


def describe_organization(management: Account) -> Answer:
    """Describe the organization."""
    organization = {
        "Id": ORGANIZATION_ID,
        "Arn": f"arn:aws:organizations::{management.account_id}:organization/{ORGANIZATION_ID}",
        "FeatureSet": "ALL",
        "MasterAccountArn": _arn(management, management),
        "MasterAccountId": management.account_id,
        "MasterAccountEmail": _email(management),
        "AvailablePolicyTypes": [],
    }
    return Answer(body=json.dumps({"Organization": organization}).encode())


def _arn(account: Account, management: Account) -> str:
    owner = management.account_id
    return f"arn:aws:organizations::{owner}:account/{ORGANIZATION_ID}/{account.account_id}"


def _email(account: Account) -> str:
    return f"aws+{account.account_id}@example.com"


def _start(token: object, count: int) -> int:
    if token is None:
        return 0
    prefix, _, number = str(token).partition("-")
    if prefix != "accounts" or not number.isdecimal() or not 0 < int(number) < count:
        raise AwsError("InvalidInputException", "You provided an invalid NextToken.")
    return int(number)
