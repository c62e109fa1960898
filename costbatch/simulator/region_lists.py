"""ListRegions of the account service and DescribeRegions of EC2: which regions an account has enabled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

from costbatch.simulator.answers import XML_TYPE, Answer
from costbatch.simulator.cost_query import json_object
from costbatch.simulator.errors import ACCOUNT, AuthProblem, AwsError, validation_error
from costbatch.simulator.page_tokens import page_of
from costbatch.simulator.regions import OPT_IN_REGIONS, endpoint_of, partition_of, regions_of

if TYPE_CHECKING:
    from costbatch.simulator.world import Account

MOST_PER_PAGE = 50
STATUSES = ("ENABLED", "ENABLING", "DISABLING", "DISABLED", "ENABLED_BY_DEFAULT")
EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


def list_regions(
    account: Account, body: bytes, *, region: str, page_size: int, ignores_token: bool
) -> Answer:
    """List one page of the regions of the caller's partition, with their status."""
    request = json_object(body)
    if request.get("AccountId") is not None:
        raise AuthProblem.DENIED.error(ACCOUNT, "You can't specify your own or another account here.")
    wanted = request.get("RegionOptStatusContains") or STATUSES
    if not set(wanted) <= set(STATUSES):
        raise validation_error(f"RegionOptStatusContains must be of [{', '.join(STATUSES)}].")
    size = request.get("MaxResults", MOST_PER_PAGE)
    if not isinstance(size, int) or not 1 <= size <= MOST_PER_PAGE:
        raise validation_error(f"MaxResults must be between 1 and {MOST_PER_PAGE}.")
    regions = [
        {"RegionName": name, "RegionOptStatus": status}
        for name in sorted(regions_of(partition_of(region)))
        if (status := _status(account, name)) in wanted
    ]
    page, token = page_of(
        regions,
        None if ignores_token else request.get("NextToken"),
        size=min(size, page_size),
        question=f"{wanted}",
        owner=account.account_id,
        refuse=validation_error,
    )
    return Answer(body=json.dumps({"Regions": page, **({"NextToken": token} if token else {})}).encode())


def describe_regions(account: Account, form: dict[str, str], *, region: str) -> Answer:
    """List the enabled regions of the caller's partition, or with AllRegions all of them."""
    unknown = form.keys() - {"Action", "Version", "AllRegions"}
    if unknown:
        raise AwsError("UnknownParameter", f"The parameter {min(unknown)} is not recognized")
    lists_all = form.get("AllRegions") == "true"
    items = "".join(
        f"<item><regionName>{name}</regionName><regionEndpoint>{endpoint_of('ec2', name)}</regionEndpoint>"
        f"<optInStatus>{_opt_in_status(account, name)}</optInStatus></item>"
        for name in regions_of(partition_of(region))
        if lists_all or name in account.regions
    )
    body = (
        f'<DescribeRegionsResponse xmlns="{EC2_NAMESPACE}"><requestId>{uuid4()}</requestId>'
        f"<regionInfo>{items}</regionInfo></DescribeRegionsResponse>"
    )
    return Answer(body=body.encode(), content_type=XML_TYPE)


def _status(account: Account, region: str) -> str:
    if region not in account.regions:
        return "DISABLED"
    return "ENABLED" if region in OPT_IN_REGIONS else "ENABLED_BY_DEFAULT"


def _opt_in_status(account: Account, region: str) -> str:
    if region not in account.regions:
        return "not-opted-in"
    return "opted-in" if region in OPT_IN_REGIONS else "opt-in-not-required"
