"""Finding the resources of accounts over HTTP: regions, both sources, pages and faults."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from costbatch.adapters.aws import hooks
from costbatch.adapters.aws.operations import DISCOVERY
from costbatch.domain.accounts import Partition
from costbatch.domain.resources import GLOBAL, Inventory, SourceChoice
from costbatch.domain.runs import Failure
from costbatch.errors import AccountError, ErrorKind
from costbatch.simulator.faults import KINDS
from costbatch.simulator.world import Resource
from tests.support.aws import account_id, simulated_account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costbatch.adapters.aws.inventory.source import AwsResourceSource
    from costbatch.simulator.client import SimulatorProcess
    from costbatch.simulator.world import Account
    from tests.support.aws import Harness

AUTO, TAGGING, EXPLORER = SourceChoice.AUTO, SourceChoice.TAGGING, SourceChoice.EXPLORER
ONE = account_id(1)
IRELAND, VIRGINIA, CAPE_TOWN, OREGON = "eu-west-1", "us-east-1", "af-south-1", "us-west-2"
REGIONS = (VIRGINIA, IRELAND, CAPE_TOWN, OREGON)


def instance(number: int, region: str = IRELAND, **tags: str) -> Resource:
    """Return an instance."""
    return Resource(f"arn:aws:ec2:{region}:{ONE}:instance/i-{number}", region, tuple(tags.items()))


ESTATE = (
    *(instance(number, Name=f"web-{number}") for number in range(1, 8)),
    instance(8),
    instance(9, VIRGINIA, Owner="data"),
    Resource("arn:aws:s3:::logs", VIRGINIA, (("Owner", "data"),)),
    Resource(f"arn:aws:iam::{ONE}:role/app/deploy", GLOBAL, (("Owner", "ops"),)),
)
TAGGED = {resource.arn: dict(resource.tags) for resource in ESTATE if resource.tags}
EVERYTHING = {resource.arn: dict(resource.tags) for resource in ESTATE}


@pytest.fixture(autouse=True)
def _usual_accounts(simulator: SimulatorProcess) -> Iterator[None]:
    """Leave the accounts as they were found."""
    before = simulator.account(ONE)
    simulator.update_account(
        ONE, regions=REGIONS, inventory=[{"arn": r.arn, "region": r.region, "tags": r.tags} for r in ESTATE]
    )
    yield
    simulator.update_account(
        ONE, regions=before.regions, inventory=None, explorer=None, access_key_id=before.access_key_id
    )


def explored(simulator: SimulatorProcess, **setup: Any) -> None:
    """Give the account Resource Explorer."""
    simulator.update_account(ONE, explorer={"region": IRELAND, **setup})


def exists(simulator: SimulatorProcess, *resources: Resource, **changes: Any) -> None:
    """Let these be all resources of the account."""
    plain = [{"arn": r.arn, "region": r.region, "tags": r.tags} for r in resources]
    simulator.update_account(ONE, inventory=plain, **changes)


_sources: dict[str, AwsResourceSource] = {}


def find(aws: Harness, choice: SourceChoice = AUTO, **settings: Any) -> Inventory:
    """Find the resources of account 1. Sources are kept: making one takes longer than a test."""
    key = f"{settings}"
    source = _sources[key] = _sources.get(key) or aws.resources(**settings)
    return source.find(aws.simulated_keys(1), choice)


def find_explored(simulator: SimulatorProcess, aws: Harness, **settings: Any) -> Inventory:
    """Find them through Resource Explorer."""
    explored(simulator)
    return find(aws, EXPLORER, **settings)


def failure(aws: Harness, choice: SourceChoice = AUTO, **settings: Any) -> AccountError:
    """Return the error that finding them ends with."""
    with pytest.raises(AccountError) as caught:
        find(aws, choice, **settings)
    return caught.value


def tags_of(inventory: Inventory) -> dict[str, dict[str, str]]:
    """Return the tags of everything that was found, by ARN."""
    return {
        resource.arn: resource.tags
        for content in inventory.regions.values()
        for resource in content.resources
    }


def asked(simulator: SimulatorProcess) -> dict[str, int]:
    """Return how often each operation was requested for the account."""
    return dict(simulator.requests()["accounts"][ONE]["requests"])


def test_every_page_of_every_enabled_region_is_read(simulator: SimulatorProcess, aws: Harness) -> None:
    """With pages of three; a region without resources is read too, and what lies in no region is global."""
    found = find(aws)
    assert found.source is TAGGING
    assert tags_of(found) == TAGGED
    assert {region: len(content.resources) for region, content in found.regions.items()} == {
        IRELAND: 7,
        VIRGINIA: 2,
        CAPE_TOWN: 0,
        OREGON: 0,
        GLOBAL: 1,
    }
    assert found.failed == {}
    assert asked(simulator) == {
        "GetCallerIdentity": 1,
        "ListRegions": 2,
        "ListIndexes": 1,
        "GetResources": 3 + 1 + 1 + 1,
    }


def test_a_view_of_the_whole_account_is_used(simulator: SimulatorProcess, aws: Harness) -> None:
    """It also knows what has no tags; each of its regions is read in one list."""
    explored(simulator)
    found = find(aws)
    assert found.source is EXPLORER
    assert tags_of(found) == EVERYTHING
    assert found.regions.keys() == {*REGIONS, GLOBAL}
    assert "GetResources" not in asked(simulator)
    assert tags_of(find(aws, EXPLORER)) == EVERYTHING
    assert tags_of(find(aws, TAGGING)) == TAGGED


@pytest.mark.parametrize(
    ("setup", "sentence"),
    [
        (None, "has no aggregator index in an enabled region"),
        ({"region": "eu-west-3"}, "has no aggregator index in an enabled region"),
        ({"state": "UPDATING"}, "aggregator index in eu-west-1 is not active yet"),
        ({"view_filter": "service:ec2"}, "no view in eu-west-1 that shows all resources"),
        ({"includes_tags": False}, "no view in eu-west-1 that shows all resources"),
        ({"scope": "arn:aws:organizations::1:organization/o-1"}, "no view in eu-west-1 that shows all"),
    ],
)
def test_without_such_a_view_the_tagging_api_is_used(
    simulator: SimulatorProcess, aws: Harness, setup: dict[str, Any] | None, sentence: str
) -> None:
    """Unless Resource Explorer is asked for: then the error says what is missing."""
    if setup is not None:
        explored(simulator, **setup)
    found = find(aws)
    assert found.source is TAGGING
    assert tags_of(found) == TAGGED
    error = failure(aws, EXPLORER)
    assert error.kind is ErrorKind.RESOURCE_EXPLORER_NOT_ENABLED
    assert sentence in error.detail


def test_an_index_that_does_not_cover_every_region_is_used_only_if_asked_for(
    simulator: SimulatorProcess, aws: Harness
) -> None:
    """Then the others fail alone: an account stays with Resource Explorer, also if it enables a region."""
    explored(simulator, replicating_from=[])
    assert tags_of(find(aws)) == TAGGED
    found = find(aws, EXPLORER)
    assert found.regions.keys() == {IRELAND, GLOBAL}
    assert len(found.regions[IRELAND].resources) == 8
    assert len(found.regions[GLOBAL].resources) == 1
    assert {region: failed.kind for region, failed in found.failed.items()} == dict.fromkeys(
        (VIRGINIA, CAPE_TOWN, OREGON), ErrorKind.RESOURCE_EXPLORER_NOT_ENABLED
    )
    assert found.failed[VIRGINIA].message.startswith(
        "Resource Explorer's aggregator index does not cover us-east-1. "
    )


@pytest.mark.parametrize("operation", ["ListIndexes", "GetIndex", "ListViews", "GetView", "ListResources"])
def test_a_denied_explorer_is_none(simulator: SimulatorProcess, aws: Harness, operation: str) -> None:
    """Asked for it, the error names the action that is missing."""
    explored(simulator)
    simulator.add_fault(ONE, "access_denied", operation=operation)
    assert find(aws).source is TAGGING
    error = failure(aws, EXPLORER)
    assert error.kind is ErrorKind.ACCESS_DENIED
    assert f"grant the identity resource-explorer-2:{operation}." in error.advice


@pytest.mark.parametrize("operation", ["ListIndexes", "GetView", "ListResources"])
def test_a_transient_failure_of_explorer_fails_the_account(
    simulator: SimulatorProcess, aws: Harness, operation: str
) -> None:
    """In the tagging API everything without tags would seem to be gone."""
    explored(simulator)
    simulator.add_fault(ONE, "throttling", operation=operation)
    assert failure(aws).kind is ErrorKind.THROTTLED


def test_a_check_asks_the_source_that_would_be_read(simulator: SimulatorProcess, aws: Harness) -> None:
    """One page, of the tagging API only if Resource Explorer is not used; what is denied there matters."""
    simulator.add_fault(ONE, "access_denied", operation="GetResources", times=2)
    source, access = aws.resources(), aws.simulated_keys(1)
    for choice in (AUTO, TAGGING):
        with pytest.raises(AccountError, match="GetResources"):
            source.check(access, choice)
    with pytest.raises(AccountError, match="no aggregator index"):
        source.check(access, EXPLORER)
    explored(simulator)
    before = asked(simulator)["GetResources"]
    for choice in (AUTO, EXPLORER):
        listed = source.check(access, choice)
        assert ({*listed.names}, listed.unlisted) == ({*REGIONS}, None)
    assert (asked(simulator)["GetResources"], asked(simulator)["ListResources"]) == (before, 2)
    assert {*source.check(access, TAGGING).names} == {*REGIONS}


def test_regions_are_asked_of_ec2_if_the_account_service_denies(
    simulator: SimulatorProcess, aws: Harness
) -> None:
    """And the setting counts if both do, and that is said; it names regions of any partition."""
    simulator.add_fault(ONE, "access_denied", operation="ListRegions")
    found = find(aws)
    assert (tags_of(found), found.unlisted) == (TAGGED, None)
    simulator.add_fault(ONE, "access_denied", operation="DescribeRegions")
    setting = (IRELAND, "cn-north-1", "us-gov-west-1")
    for found in (find(aws, regions=setting), find_explored(simulator, aws, regions=setting)):
        assert found.regions.keys() - {GLOBAL} == {IRELAND}
        assert found.unlisted == Failure(
            kind=ErrorKind.ACCESS_DENIED,
            message="AWS denied account:ListRegions and ec2:DescribeRegions, and COSTBATCH_REGIONS does not "
            "name this region. Grant the identity account:ListRegions, or name the region in "
            "COSTBATCH_REGIONS.",
        )
    listed = aws.resources(regions=setting).check(aws.simulated_keys(1), AUTO)
    assert (listed.names, listed.unlisted) == ([IRELAND], found.unlisted)


@pytest.mark.parametrize("regions", [(), ("cn-north-1",)])
def test_without_any_list_of_regions_the_account_fails(
    simulator: SimulatorProcess, aws: Harness, regions: tuple[str, ...]
) -> None:
    """The sentence names what is missing."""
    for operation in ("ListRegions", "DescribeRegions"):
        simulator.add_fault(ONE, "access_denied", operation=operation)
    error = failure(aws, regions=regions)
    assert error.kind is ErrorKind.ACCESS_DENIED
    assert str(error) == (
        "AWS denied account:ListRegions and ec2:DescribeRegions, so that it is not known which regions the "
        "account has enabled. Grant the identity account:ListRegions, or name the regions in "
        "COSTBATCH_REGIONS."
    )


def test_a_list_of_regions_that_fails_otherwise_is_not_replaced(
    simulator: SimulatorProcess, aws: Harness
) -> None:
    """Another list could be shorter; the account is tried again."""
    simulator.add_fault(ONE, "throttling", operation="ListRegions")
    assert failure(aws, regions=(IRELAND,)).kind is ErrorKind.THROTTLED
    assert "DescribeRegions" not in asked(simulator)


@pytest.mark.parametrize(
    "body",
    [
        '{"Regions": []}',
        '{"Regions": [{"RegionName": "host.example/", "RegionOptStatus": "ENABLED"}]}',
        '{"Regions": [{"RegionName": "", "RegionOptStatus": "ENABLED"}]}',
    ],
)
def test_what_is_no_name_of_a_region_is_refused(simulator: SimulatorProcess, aws: Harness, body: str) -> None:
    """It would become part of an address."""
    simulator.add_fault(ONE, "body", body=body, operation="ListRegions")
    error = failure(aws)
    assert (error.kind, error.detail) == (
        ErrorKind.MALFORMED_RESPONSE,
        "ListRegions: the response does not name the account's enabled regions.",
    )


def test_partitions_have_regions_of_their_own(simulator: SimulatorProcess, aws: Harness) -> None:
    """An account of GovCloud is read where it lies."""
    west, east = "us-gov-west-1", "us-gov-east-1"
    arn = f"arn:aws-us-gov:sqs:{east}:{ONE}:jobs"
    role = f"arn:aws-us-gov:iam::{ONE}:role/r"
    exists(
        simulator,
        Resource(arn, east, (("a", "b"),)),
        Resource(role, GLOBAL, (("a", "b"),)),
        regions=[west, east],
    )
    access = aws.simulated_keys(1)
    access = replace(access, account=replace(access.account, partition=Partition.GOVCLOUD))
    for choice, setup in ((TAGGING, None), (EXPLORER, {"region": east})):
        simulator.update_account(ONE, explorer=setup)
        found = aws.resources().find(access, choice)
        assert {name: len(content.resources) for name, content in found.regions.items()} == {
            west: 0,
            east: 1,
            GLOBAL: 1,
        }


REGIONAL_FAULTS = [
    ("throttling", {}, ErrorKind.THROTTLED),
    ("limit_exceeded", {}, ErrorKind.THROTTLED),
    ("access_denied", {}, ErrorKind.ACCESS_DENIED),
    ("not_enabled", {}, ErrorKind.COST_EXPLORER_NOT_ENABLED),
    ("data_unavailable", {}, ErrorKind.DATA_UNAVAILABLE),
    ("bill_expiration", {}, ErrorKind.DATA_UNAVAILABLE),
    ("expired_token", {}, ErrorKind.CREDENTIALS_REJECTED),
    ("invalid_token", {}, ErrorKind.DATA_UNAVAILABLE),
    ("validation", {}, ErrorKind.INTERNAL),
    ("http_500", {}, ErrorKind.TIMEOUT),
    ("http_503", {}, ErrorKind.TIMEOUT),
    ("hang", {"seconds": 2.0}, ErrorKind.TIMEOUT),
    ("latency", {"seconds": 2.0}, ErrorKind.TIMEOUT),
    ("reset", {}, ErrorKind.TIMEOUT),
    ("truncated", {}, ErrorKind.MALFORMED_RESPONSE),
    ("not_json", {}, ErrorKind.MALFORMED_RESPONSE),
    ("missing_fields", {"field": "ResourceTagMappingList"}, ErrorKind.MALFORMED_RESPONSE),
    ("missing_fields", {"field": "ResourceARN"}, ErrorKind.MALFORMED_RESPONSE),
    ("repeat_token", {}, ErrorKind.MALFORMED_RESPONSE),
    ("endless_pages", {}, ErrorKind.MALFORMED_RESPONSE),
    ("body", {"body": "[]"}, ErrorKind.MALFORMED_RESPONSE),
    ("body", {"body": "[" * 100_000}, ErrorKind.MALFORMED_RESPONSE),
    ("body", {"body": "", "status": 204}, ErrorKind.MALFORMED_RESPONSE),
    ("body", {"body": "nginx says no", "status": 403}, ErrorKind.MALFORMED_RESPONSE),
    ("body", {"body": "<html>Bad Gateway</html>", "status": 502}, ErrorKind.TIMEOUT),
    ("body", {"body": '{"__type": "PaginationTokenExpiredException"}', "status": 400}, ErrorKind.INTERNAL),
]


@pytest.mark.parametrize(("fault", "parameters", "kind"), REGIONAL_FAULTS)
def test_a_region_fails_alone(
    simulator: SimulatorProcess, aws: Harness, fault: str, parameters: dict[str, Any], kind: ErrorKind
) -> None:
    """With its kind; nothing is known of its resources, and everything of the others'."""
    simulator.add_fault(ONE, fault, operation="GetResources", region=IRELAND, **parameters)
    found = find(aws, max_attempts=2, read_timeout_seconds=0.4, page_limit=10)
    assert {region: failed.kind for region, failed in found.failed.items()} == {IRELAND: kind}
    assert found.regions.keys() == {*REGIONS, GLOBAL} - {IRELAND}
    assert tags_of(found).keys() == {arn for arn in TAGGED if IRELAND not in arn}


@pytest.mark.parametrize(("region", "shown"), [(VIRGINIA, None), (OREGON, [False]), (IRELAND, [True])])
def test_what_lies_in_no_region_is_incomplete_without_the_regions_that_show_it(
    simulator: SimulatorProcess, aws: Harness, region: str, shown: list[bool] | None
) -> None:
    """What was not seen would seem to be gone. What was seen is kept: a policy may deny one for ever."""
    simulator.add_fault(ONE, "access_denied", operation="GetResources", region=region)
    found = find(aws)
    assert found.failed.keys() == {region}
    content = found.regions.get(GLOBAL)
    assert (content and [content.is_complete]) == shown


def test_a_region_that_was_not_asked_may_show_more(simulator: SimulatorProcess, aws: Harness) -> None:
    """Regions of the setting may lack one of those that show what lies in none: nothing failed."""
    simulator.add_fault(ONE, "access_denied", operation="ListRegions")
    simulator.add_fault(ONE, "access_denied", operation="DescribeRegions")
    found = find(aws, regions=(VIRGINIA, IRELAND))
    assert found.failed == {}
    assert not found.regions[GLOBAL].is_complete
    assert len(found.regions[GLOBAL].resources) == 1


def test_every_fault_kind_of_the_simulator_is_tried() -> None:
    """A new kind must be given its error kind here; these two are not of this API."""
    assert {fault for fault, _, _ in REGIONAL_FAULTS} == KINDS - {"other_currency", "wrong_account"}


def test_a_region_that_is_disabled_meanwhile_says_so(simulator: SimulatorProcess, aws: Harness) -> None:
    """AWS only says that it does not know the key; elsewhere it does."""
    simulator.add_fault(ONE, "invalid_token", operation="GetResources", region=CAPE_TOWN)
    failed = find(aws).failed[CAPE_TOWN]
    assert failed.message == (
        "AWS answered GetResources with UnrecognizedClientException. AWS accepts the credentials in other "
        "regions, but not in this one: it is probably being disabled for the account, or was only just "
        "enabled. The next run tries again."
    )


def test_credentials_that_expire_meanwhile_say_so(simulator: SimulatorProcess, aws: Harness) -> None:
    """Those of a role do during a long discovery: the region is as enabled as it was."""
    simulator.add_fault(ONE, "expired_token", operation="GetResources", region=CAPE_TOWN)
    failed = find(aws).failed[CAPE_TOWN]
    assert failed.message == (
        "AWS answered GetResources with ExpiredTokenException. The credentials were temporary and have "
        "expired. The next run gets new ones if they are a role's or the pod's; a stored access key must be "
        "a long-lived one."
    )


def test_a_region_that_fails_on_a_later_page_is_not_read(simulator: SimulatorProcess, aws: Harness) -> None:
    """What its first pages had does not count."""
    simulator.add_fault(ONE, "latency", seconds=0, times=1, operation="GetResources", region=IRELAND)
    simulator.add_fault(ONE, "http_500", operation="GetResources", region=IRELAND)
    found = find(aws)
    assert found.failed.keys() == {IRELAND}
    assert IRELAND not in found.regions
    assert asked(simulator)["GetResources"] == len(REGIONS) + 1 + 2


def test_a_throttled_region_is_tried_again(simulator: SimulatorProcess, aws: Harness) -> None:
    """Two refusals are no failure."""
    simulator.add_fault(ONE, "throttling", operation="GetResources", times=2)
    assert tags_of(find(aws)) == TAGGED


def test_a_permission_that_is_missing_everywhere_is_named(simulator: SimulatorProcess, aws: Harness) -> None:
    """As an action that can be granted."""
    simulator.add_fault(ONE, "access_denied", operation="GetResources")
    assert str(failure(aws)) == (
        "AWS denied tag:GetResources in every region of the account. The credentials are valid but lack a "
        "permission; grant the identity tag:GetResources."
    )


def test_a_policy_of_the_organization_is_named(simulator: SimulatorProcess, aws: Harness) -> None:
    """It denies some regions only."""
    denial = "… with an explicit deny in a service control policy"
    simulator.add_fault(ONE, "access_denied", operation="GetResources", region=IRELAND, message=denial)
    failed = find(aws).failed[IRELAND]
    assert failed.kind is ErrorKind.ACCESS_DENIED
    assert "An explicit deny in a service control policy forbids tag:GetResources" in failed.message


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("invalid_token", "invalid_token", "invalid_token"), ErrorKind.CREDENTIALS_REJECTED),
        (("access_denied", "throttling", "access_denied"), ErrorKind.THROTTLED),
        (("access_denied", "access_denied", "not_json"), ErrorKind.MALFORMED_RESPONSE),
    ],
)
def test_an_account_without_a_region_that_was_read_fails(
    simulator: SimulatorProcess, aws: Harness, kinds: tuple[str, ...], expected: ErrorKind
) -> None:
    """With the error of one of them, one that a second attempt may cure before any other."""
    simulator.update_account(ONE, regions=REGIONS[:3])
    for region, kind in zip(sorted(REGIONS[:3]), kinds, strict=True):
        simulator.add_fault(ONE, kind, operation="GetResources", region=region)
    error = failure(aws, max_attempts=1)
    assert error.kind is expected
    assert "No region of the account could be read; the error in" in error.detail
    assert error.__context__ is None


def test_the_other_regions_are_not_waited_for_if_none_answers(
    simulator: SimulatorProcess, aws: Harness
) -> None:
    """Each would take as long as its attempts: seventeen of them half the night."""
    simulator.update_account(ONE, regions=simulated_account(1).regions)
    simulator.add_fault(ONE, "reset", operation="GetResources")
    error = failure(aws, max_attempts=1)
    assert error.kind is ErrorKind.TIMEOUT
    assert asked(simulator)["GetResources"] == 3


def test_a_resource_that_is_named_twice_is_there_once(simulator: SimulatorProcess, aws: Harness) -> None:
    """Also on different pages."""
    exists(simulator, *(instance(number % 5, Name="x") for number in range(12)), explorer={"region": IRELAND})
    for choice in (TAGGING, EXPLORER):
        assert len(find(aws, choice).regions[IRELAND].resources) == 5


def test_odd_resources_are_kept_as_they_are(simulator: SimulatorProcess, aws: Harness) -> None:
    """A long ARN, control characters, and what only looks like a secret."""
    long = f"arn:aws:servicecatalog:{IRELAND}:{ONE}:application/{'x' * 2000}"
    tags = {"note": "a\x1b[31m\tb\r\n", "": "", "ключ": "значение 😀", "password": "AKIA"}
    exists(simulator, Resource(long, IRELAND, tuple(tags.items())), explorer={"region": IRELAND})
    for choice in (TAGGING, EXPLORER):
        assert tags_of(find(aws, choice)) == {long: tags}


@pytest.mark.parametrize("choice", [TAGGING, EXPLORER])
@pytest.mark.parametrize("arn", ["i-1", "arn:aws:ec2", "arn:aws:ec2:eu-west-1:1:"])
def test_what_is_no_arn_fails_its_region(
    simulator: SimulatorProcess, aws: Harness, choice: SourceChoice, arn: str
) -> None:
    """With a sentence that shows it; the other regions are read."""
    exists(
        simulator,
        instance(9, VIRGINIA, Owner="data"),
        Resource(arn, IRELAND, (("a", "b"),)),
        explorer={"region": IRELAND},
    )
    found = find(aws, choice)
    assert found.failed[IRELAND].kind is ErrorKind.MALFORMED_RESPONSE
    assert f"'{arn}' is not an ARN." in found.failed[IRELAND].message
    assert tags_of(found).keys() == {instance(9, VIRGINIA).arn}


def test_resources_of_others_are_not_the_accounts(simulator: SimulatorProcess, aws: Harness) -> None:
    """A view also shows what another account shares, or what lies in a region that is not enabled."""
    explored(simulator)
    one = {"Arn": instance(1).arn, "OwningAccountId": ONE, "Region": IRELAND}
    listed = [one, {**one, "OwningAccountId": account_id(2)}, {**one, "Region": "mars-1", "Arn": "x"}]
    simulator.add_fault(ONE, "body", body=json.dumps({"Resources": listed}), operation="ListResources")
    found = find(aws)
    assert tags_of(found) == {instance(1).arn: {}}
    assert found.failed == {}


@pytest.mark.parametrize("data", ['"x"', '[{"Value": "v"}]', "[1]"])
def test_tags_that_cannot_be_read_fail_their_region(
    simulator: SimulatorProcess, aws: Harness, data: str
) -> None:
    """Resource Explorer keeps them in a document without a schema."""
    explored(simulator)
    resource = (
        f'{{"Arn": "{instance(1).arn}", "OwningAccountId": "{ONE}", "Region": "{IRELAND}", '
        f'"Properties": [{{"Name": "tags", "Data": {data}}}]}}'
    )
    simulator.add_fault(ONE, "body", body=f'{{"Resources": [{resource}]}}', operation="ListResources")
    failed = find(aws).failed
    assert failed.keys() == {IRELAND}
    assert "ListResources: the tags of a resource are not as documented" in failed[IRELAND].message


def test_credentials_are_proven_first(simulator: SimulatorProcess, aws: Harness) -> None:
    """One customer's resources are never stored under another."""
    simulator.add_fault(ONE, "wrong_account")
    assert failure(aws).kind is ErrorKind.WRONG_ACCOUNT
    assert asked(simulator) == {"GetCallerIdentity": 1}


def test_a_role_is_assumed(simulator: SimulatorProcess, aws: Harness) -> None:
    """Its session reads the role's account, in every region."""
    found = aws.resources().find(aws.role(ONE, base=aws.simulated_keys(2)), TAGGING)
    assert tags_of(found) == TAGGED


def test_accounts_share_the_clients(simulator: SimulatorProcess, aws: Harness) -> None:
    """At the same time, each with its own credentials: nobody gets another's resources."""
    world = simulator.current_world()
    numbers = range(2, 10)

    def arns(account: Account) -> set[str]:
        ids = {arn.split(":")[4] for arn in found[account.account_id]}
        return ids - {""}

    source: AwsResourceSource = aws.resources()
    with ThreadPoolExecutor(8) as pool:
        inventories = pool.map(lambda number: source.find(aws.simulated_keys(number), TAGGING), numbers)
        found = {account_id(number): tags_of(each) for number, each in zip(numbers, inventories, strict=True)}
    for account in world.accounts[1:9]:
        assert arns(account) == {account.account_id}


def test_nothing_is_signed_outside_of_an_account(simulator: SimulatorProcess, aws: Harness) -> None:
    """The clients have no credentials of their own."""
    source = aws.resources()
    source.find(aws.simulated_keys(1), AUTO)
    assert hooks._current_caller.get() is None


def test_every_operation_has_its_action() -> None:
    """As IAM writes them: the documents are made of these."""
    assert [operation.iam_action for operation in DISCOVERY] == [
        "account:ListRegions",
        "ec2:DescribeRegions",
        "tag:GetResources",
        "resource-explorer-2:ListIndexes",
        "resource-explorer-2:GetIndex",
        "resource-explorer-2:ListViews",
        "resource-explorer-2:GetView",
        "resource-explorer-2:ListResources",
    ]
