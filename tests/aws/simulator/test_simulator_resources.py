"""Regions, the tagging API and Resource Explorer answer as botocore's models say, day after day."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from costbatch.simulator import inventory
from costbatch.simulator.faults import PAGE_TOKENS
from costbatch.simulator.regions import DEFAULT_REGIONS, GOVCLOUD_REGIONS, OPT_IN_REGIONS
from costbatch.simulator.world import Account, Burst, Explorer, Resource, to_plain
from tests.aws.simulator.conftest import TODAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.aws.simulator.conftest import Lab

SESSION = botocore.session.get_session()
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ListRegions": ("account", "list_regions", {}),
    "GetResources": ("resourcegroupstaggingapi", "get_resources", {}),
    "ListIndexes": ("resource-explorer-2", "list_indexes", {}),
    "GetIndex": ("resource-explorer-2", "get_index", {}),
    "ListViews": ("resource-explorer-2", "list_views", {}),
    "ListResources": ("resource-explorer-2", "list_resources", {}),
    "DescribeRegions": ("ec2", "describe_regions", {}),
}


def members(service: str, operation: str) -> set[str]:
    """Name the members of an operation's output."""
    shape: Any = SESSION.get_service_model(service).operation_model(operation).output_shape
    return set(shape.members)


def call(lab: Lab, account: Account, operation: str, **changes: Any) -> Any:
    """Call an operation in us-east-1."""
    service, method, arguments = CALLS[operation]
    return getattr(lab.aws(service, account), method)(**arguments, **changes)


def tagged(lab: Lab, account: Account, region: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    """Read every page of a region's resources."""
    paginator = lab.aws("resourcegroupstaggingapi", account, region_name=region).get_paginator(
        "get_resources"
    )
    for page in paginator.paginate(**arguments):
        yield from page["ResourceTagMappingList"]


def arns(lab: Lab, account: Account, region: str, **arguments: Any) -> list[str]:
    """Read the ARNs of a region's resources."""
    return [item["ResourceARN"] for item in tagged(lab, account, region, **arguments)]


@pytest.fixture(name="explored")
def explored_fixture(lab: Lab, account: Account) -> Account:
    """Give the account Resource Explorer."""
    explored = replace(account, resources=120, explorer=Explorer("us-east-1"))
    lab.load(explored)
    return explored


def codes(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    """Read the code and the status of a ClientError."""
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("operation", CALLS)
def test_an_answer_has_only_members_of_the_model(lab: Lab, explored: Account, operation: str) -> None:
    """And at least one of them."""
    answer = set(call(lab, explored, operation)) - {"ResponseMetadata"}
    assert set() < answer <= members(CALLS[operation][0], operation)


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(
    ("kind", "ec2", "others"),
    [
        ("access_denied", ("UnauthorizedOperation", 403), {"AccessDeniedException"}),
        ("invalid_token", ("AuthFailure", 401), {"UnrecognizedClientException"}),
        (
            "throttling",
            ("RequestLimitExceeded", 503),
            {"ThrottledException", "ThrottlingException", "TooManyRequestsException"},
        ),
        ("http_500", ("InternalFailure", 500), {"InternalFailure"}),
    ],
)
def test_each_protocol_has_its_own_errors(
    lab: Lab, explored: Account, operation: str, kind: str, ec2: tuple[str, int], others: set[str]
) -> None:
    """JSON names the error in the body, REST in a header, EC2 in XML."""
    lab.control.add_fault(explored.account_id, kind, operation=operation)
    with pytest.raises(ClientError) as caught:
        call(lab, explored, operation)
    if operation == "DescribeRegions":
        assert codes(caught) == ec2
    else:
        assert codes(caught)[0] in others
    assert caught.value.response["Error"]["Message"]


def test_a_denial_names_the_action_as_iam_does(lab: Lab, account: Account) -> None:
    """The tagging API signs as "tagging" and its actions begin with "tag"."""
    lab.control.add_fault(account.account_id, "access_denied", operation="GetResources")
    with pytest.raises(ClientError, match=r"not authorized to perform: tag:GetResources"):
        call(lab, account, "GetResources")


def test_a_fault_can_be_of_one_region(lab: Lab, account: Account) -> None:
    """The others are well."""
    lab.control.add_fault(account.account_id, "http_500", operation="GetResources", region="eu-west-1")
    assert arns(lab, account, "us-east-1")
    with pytest.raises(ClientError, match="InternalFailure"):
        arns(lab, account, "eu-west-1")


def test_regions_have_their_status(lab: Lab, account: Account) -> None:
    """Enabled, enabled by default, and disabled; pages of at most 50."""
    lab.load(replace(account, regions=("us-east-1", "af-south-1")), page_size=7)
    found: dict[str, set[str]] = {}
    for page in lab.aws("account", account).get_paginator("list_regions").paginate(MaxResults=50):
        assert len(page["Regions"]) <= 7
        for region in page["Regions"]:
            found.setdefault(region["RegionOptStatus"], set()).add(region["RegionName"])
    assert found["ENABLED"] == {"af-south-1"}
    assert found["ENABLED_BY_DEFAULT"] == {"us-east-1"}
    assert len(found["DISABLED"]) == len(DEFAULT_REGIONS) + len(OPT_IN_REGIONS) - 2
    only = lab.aws("account", account).list_regions(RegionOptStatusContains=["ENABLED"])
    assert [region["RegionName"] for region in only["Regions"]] == ["af-south-1"]


def test_ec2_lists_the_enabled_regions(lab: Lab, account: Account) -> None:
    """Or all of them, on request; each with its address."""
    lab.load(replace(account, regions=("us-east-1", "af-south-1")))
    ec2 = lab.aws("ec2", account)
    enabled = {item["RegionName"]: item for item in ec2.describe_regions()["Regions"]}
    assert enabled.keys() == {"us-east-1", "af-south-1"}
    assert enabled["af-south-1"]["OptInStatus"] == "opted-in"
    assert enabled["us-east-1"]["Endpoint"] == "ec2.us-east-1.amazonaws.com"
    every = ec2.describe_regions(AllRegions=True)["Regions"]
    assert len(every) == len(DEFAULT_REGIONS) + len(OPT_IN_REGIONS)
    with pytest.raises(ClientError, match="UnknownParameter"):
        ec2.describe_regions(RegionNames=["us-east-1"])


def test_partitions_have_regions_of_their_own(lab: Lab, account: Account) -> None:
    """The region of the signature says which partition is asked."""
    lab.load(replace(account, regions=GOVCLOUD_REGIONS, resources=30))
    client = lab.aws("account", account, region_name="us-gov-west-1")
    assert {region["RegionName"] for region in client.list_regions()["Regions"]} == set(GOVCLOUD_REGIONS)
    found = arns(lab, account, "us-gov-west-1")
    assert found
    assert all(arn.startswith("arn:aws-us-gov:") for arn in found)


@pytest.mark.parametrize("service", ["resourcegroupstaggingapi", "resource-explorer-2", "ec2"])
def test_a_region_that_is_not_enabled_knows_no_keys(lab: Lab, account: Account, service: str) -> None:
    """AWS does not say that the region is disabled."""
    call_of = {"resourcegroupstaggingapi": "get_resources", "ec2": "describe_regions"}
    client = lab.aws(service, account, region_name="af-south-1")
    with pytest.raises(ClientError) as caught:
        getattr(client, call_of.get(service, "list_indexes"))()
    assert codes(caught)[0] in {"UnrecognizedClientException", "AuthFailure"}


def test_a_region_lists_what_is_or_was_tagged_there(lab: Lab, account: Account) -> None:
    """What belongs to no region is listed in us-east-1, and what never had a tag is not."""
    tags = (("Name", "web"), ("note", "a\x1b[31m\tb\x00c"))
    lab.load(
        replace(
            account,
            inventory=(
                Resource("arn:aws:ec2:eu-west-1:1:instance/i-1", "eu-west-1", tags),
                Resource("arn:aws:ec2:eu-west-1:1:instance/i-2", "eu-west-1", was_tagged=True),
                Resource("arn:aws:ec2:eu-west-1:1:instance/i-3", "eu-west-1"),
                Resource("arn:aws:iam::1:role/r", "global", (("a", "b"),)),
            ),
        )
    )
    in_ireland = {item["ResourceARN"]: item["Tags"] for item in tagged(lab, account, "eu-west-1")}
    assert in_ireland == {
        "arn:aws:ec2:eu-west-1:1:instance/i-1": [{"Key": key, "Value": value} for key, value in tags],
        "arn:aws:ec2:eu-west-1:1:instance/i-2": [],
    }
    assert arns(lab, account, "us-east-1") == ["arn:aws:iam::1:role/r"]
    assert arns(lab, account, "eu-west-2") == []


def test_resources_come_on_pages(lab: Lab, account: Account) -> None:
    """Of as many as are asked for, at most 100; the last page has an empty token."""
    lab.load(replace(account, resources=700, regions=("us-east-1",)))
    paginator = lab.aws("resourcegroupstaggingapi", account).get_paginator("get_resources")
    pages = list(paginator.paginate(ResourcesPerPage=100))
    assert len(pages) > 3
    assert {len(page["ResourceTagMappingList"]) for page in pages[:-1]} == {100}
    assert pages[-1]["PaginationToken"] == ""
    found = arns(lab, account, "us-east-1")
    assert len(found) == len(set(found)) == sum(len(page["ResourceTagMappingList"]) for page in pages)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"ResourcesPerPage": 101}, "ResourcesPerPage must be between 1 and 100"),
        ({"PaginationToken": "never issued"}, "pagination token is invalid"),
        ({"TagFilters": [{"Key": "Name"}]}, "TagFilters is not supported here"),
    ],
)
def test_wrong_parameters_of_tagging_are_refused(
    lab: Lab, account: Account, arguments: dict[str, Any], sentence: str
) -> None:
    """With the code of the model."""
    with pytest.raises(ClientError, match=sentence) as caught:
        call(lab, account, "GetResources", **arguments)
    assert type(caught.value).__name__ == "InvalidParameterException"


def test_a_token_is_of_one_region(lab: Lab, account: Account) -> None:
    """As AWS's are."""
    lab.load(replace(account, resources=700))
    token = call(lab, account, "GetResources", ResourcesPerPage=1)["PaginationToken"]
    client = lab.aws("resourcegroupstaggingapi", account, region_name="eu-central-1")
    with pytest.raises(ClientError, match="token is invalid"):
        client.get_resources(PaginationToken=token, ResourcesPerPage=1)


def test_resources_come_and_go_with_the_days(lab: Lab, account: Account) -> None:
    """Most stay; some appear, some vanish, some return; the same day is always the same."""
    large = replace(account, resources=300, regions=("us-east-1",), start=TODAY - timedelta(days=200))
    days: list[set[str]] = []
    for age in range(0, 60, 4):
        lab.load(large, today=TODAY - timedelta(days=age))
        days.append(set(arns(lab, large, "us-east-1")))
    lab.load(large)
    assert set(arns(lab, large, "us-east-1")) == days[0]
    newest, oldest = days[0], days[-1]
    assert newest - oldest
    assert oldest - newest
    assert len(newest & oldest) > len(newest) / 2
    ever = set.union(*days)
    returned = [arn for arn in ever if sum(a != b for a, b in _changes(days, arn)) > 1]
    assert returned
    lab.load(large, today=large.start - timedelta(days=1))
    assert arns(lab, large, "us-east-1") == []


def _changes(days: list[set[str]], arn: str) -> Iterator[tuple[bool, bool]]:
    seen = [arn in day for day in days]
    yield from pairwise(seen)


def test_a_burst_is_all_that_a_region_has(lab: Lab, account: Account) -> None:
    """On its days; nothing else of the account is ever there, so that its first use shows."""
    burst = Burst("eu-north-1", TODAY, instances=5, days=2)
    account = replace(account, resources=300, bursts=(burst,))
    counts = []
    for day in range(-1, 3):
        lab.load(account, today=TODAY + timedelta(days=day))
        counts.append(len(arns(lab, account, "eu-north-1")))
    assert counts == [0, 5, 5, 0]
    assert Account.from_plain(to_plain(account)) == account


def test_accounts_have_resources_of_their_own(lab: Lab, account: Account, other: Account) -> None:
    """Of several services, with and without tags, in several regions, named by their account."""
    large = replace(account, resources=500, explorer=Explorer("eu-west-1"))
    lab.load(large, replace(other, explorer=Explorer("us-east-1")))
    mine = _explored(lab, large, "eu-west-1")
    assert len({item["Service"] for item in mine}) > 8
    assert len({item["Region"] for item in mine}) == len(DEFAULT_REGIONS) + 1
    assert {bool(item["Properties"]) for item in mine} == {True, False}
    assert not {item["Arn"] for item in mine} & {item["Arn"] for item in _explored(lab, other, "us-east-1")}


def _explored(lab: Lab, account: Account, region: str, **arguments: Any) -> list[dict[str, Any]]:
    client = lab.aws("resource-explorer-2", account, region_name=region)
    pages = client.get_paginator("list_resources").paginate(**arguments)
    return [item for page in pages for item in page["Resources"]]


def test_explorer_also_knows_what_has_no_tags(lab: Lab, explored: Account) -> None:
    """In every region, with tags as a property."""
    found = {item["Arn"]: item for item in _explored(lab, explored, "us-east-1")}
    listed = {
        item["ResourceARN"]: item for region in explored.regions for item in tagged(lab, explored, region)
    }
    assert listed.keys() < found.keys()
    for arn, item in listed.items():
        properties = {each["Name"]: each["Data"] for each in found[arn]["Properties"]}
        assert properties.get("tags", []) == item["Tags"]
    assert {found[arn]["OwningAccountId"] for arn in found} == {explored.account_id}
    bucket = next(item for arn, item in found.items() if ":s3:" in arn)
    assert (bucket["Service"], bucket["ResourceType"]) == ("s3", "s3:bucket")


def test_an_aggregator_index_has_a_view_and_says_what_it_replicates(lab: Lab, account: Account) -> None:
    """A local index names its aggregator; a region without an index has none, and no view."""
    explorer = Explorer("eu-west-1", replicating_from=("us-east-1",), view_filter="service:ec2")
    explored = replace(account, resources=200, explorer=explorer)
    lab.load(explored)

    def client(region: str) -> Any:
        return lab.aws("resource-explorer-2", explored, region_name=region)

    indexes = client("us-west-2").list_indexes()["Indexes"]
    assert {index["Region"]: index["Type"] for index in indexes} == {
        "eu-west-1": "AGGREGATOR",
        "us-east-1": "LOCAL",
    }
    only = client("us-west-2").list_indexes(Type="AGGREGATOR")["Indexes"]
    assert [index["Region"] for index in only] == ["eu-west-1"]
    index = client("eu-west-1").get_index()
    assert (index["State"], index["ReplicatingFrom"]) == ("ACTIVE", ["us-east-1"])
    assert client("us-east-1").get_index()["ReplicatingTo"] == ["eu-west-1"]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client("us-west-2").get_index()
    (view,) = client("eu-west-1").list_views()["Views"]
    assert client("us-east-1").list_views()["Views"] == []
    shown = client("eu-west-1").get_view(ViewArn=view)["View"]
    assert shown["Filters"]["FilterString"] == "service:ec2"
    assert shown["Scope"] == f"arn:aws:iam::{explored.account_id}:root"
    found = _explored(lab, explored, "eu-west-1", ViewArn=view)
    assert {item["Service"] for item in found} == {"ec2"}
    assert {item["Region"] for item in found} <= {"eu-west-1", "us-east-1"}
    for wrong in ({"ViewArn": "arn:aws:resource-explorer-2:eu-west-1:1:view/other"}, {"ViewArn": view + "x"}):
        with pytest.raises(ClientError, match="UnauthorizedException"):
            client("eu-west-1").list_resources(**wrong)
        with pytest.raises(ClientError, match="UnauthorizedException"):
            client("eu-west-1").get_view(**wrong)


@pytest.mark.parametrize(
    ("operation", "most"), [("ListResources", 1000), ("ListViews", 50), ("ListIndexes", 100)]
)
def test_pages_of_explorer_have_their_limits(lab: Lab, explored: Account, operation: str, most: int) -> None:
    """The most is that of the model."""
    call(lab, explored, operation, MaxResults=most)
    with pytest.raises(ClientError, match=f"between 1 and {most}"):
        call(lab, explored, operation, MaxResults=most + 1)
    with pytest.raises(ClientError, match="token is invalid"):
        call(lab, explored, operation, NextToken="never issued")


@pytest.mark.parametrize("operation", sorted(set(PAGE_TOKENS) - {"GetCostAndUsage", "GetAnomalies"}))
def test_a_token_can_repeat_in_every_paged_operation(lab: Lab, explored: Account, operation: str) -> None:
    """Also if it was never issued."""
    lab.control.add_fault(explored.account_id, "repeat_token", operation=operation)
    member = PAGE_TOKENS[operation]
    first = call(lab, explored, operation)[member]
    assert call(lab, explored, operation, **{member: first})[member] == first


def test_many_resources_are_generated_once_a_day(
    lab: Lab, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for every page: an account can have 100,000."""
    large = replace(account, resources=500)
    lab.load(large)
    count = len(arns(lab, large, "us-east-1", ResourcesPerPage=10))
    monkeypatch.setattr(inventory, "_resource", None)
    assert len(arns(lab, large, "us-east-1", ResourcesPerPage=10)) == count > 100
    assert arns(lab, large, "eu-central-1")


def test_a_world_of_resources_survives_json(lab: Lab, account: Account) -> None:
    """It can be sent to another process, and changed there."""
    resource = Resource("arn:aws:s3:::b", "us-east-1", (("k", "v"),))
    changed = replace(
        account, regions=("us-east-1",), inventory=(resource,), explorer=Explorer("us-east-1", ())
    )
    lab.load(changed)
    assert lab.control.current_world().accounts == (changed,)
    lab.control.update_account(account.account_id, inventory=[], regions=["eu-west-1"])
    assert lab.control.account(account.account_id).inventory == ()
    assert arns(lab, account, "eu-west-1") == []


def test_an_unknown_region_is_refused(account: Account) -> None:
    """With those that are known."""
    with pytest.raises(ValueError, match="Unknown region 'mars-1'; known: us-east-1"):
        Account.from_plain({"account_id": account.account_id, "regions": ["mars-1"]})
