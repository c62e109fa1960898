"""Reads what exists in an account: its enabled regions, then the resources of each with their tags."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from typing_extensions import override

from costbatch.adapters.aws.clients import HOME_REGIONS, AwsClients, signing_as
from costbatch.adapters.aws.credentials import Identities
from costbatch.adapters.aws.environment import check_environment
from costbatch.adapters.aws.errors import CredentialsExpiredError, call_aws
from costbatch.adapters.aws.inventory.explorer import NoViewError, explore, peek
from costbatch.adapters.aws.inventory.pages import Reading, RegionPage, TaggedPage, resource_of
from costbatch.adapters.aws.operations import (
    DESCRIBE_REGIONS,
    DISCOVERY_SERVICES,
    EC2,
    GET_RESOURCES,
    LIST_REGIONS,
    LIST_RESOURCES,
    Operation,
)
from costbatch.adapters.aws.pages import Reader, malformed
from costbatch.application.discover.ports import ResourceSource
from costbatch.domain.accounts import AwsNeeds, Partition
from costbatch.domain.credentials import Access
from costbatch.domain.resources import GLOBAL, Inventory, RegionList, Resource, SourceChoice
from costbatch.domain.runs import Failure
from costbatch.errors import AccountError, ErrorKind
from costbatch.logs import get_logger

log = get_logger(__name__)
T = TypeVar("T")

_ENABLED = ["ENABLED", "ENABLED_BY_DEFAULT"]
_MOST_PER_PAGE, _MOST_REGIONS_PER_PAGE = 100, 50
# 500,000 resources of a region, or 5 million of Resource Explorer's. Nothing is charged for a page.
_PAGE_LIMIT = 5_000
# If this many regions time out before one answers, do not ask the others: each would take minutes.
_UNREACHABLE_REGIONS = 3
_DISABLED = (
    "AWS accepts the credentials in other regions, but not in this one: it is probably being disabled for "
    "the account, or was only just enabled. The next run tries again."
)
# Where the tagging API shows what lies in no region: IAM's in the first, Global Accelerator's in the second.
# Of the other partitions that is not documented, so any of their regions may.
_SHOW_GLOBAL = {
    Partition.AWS: {"us-east-1", "us-west-2"},
    Partition.CHINA: {"cn-north-1", "cn-northwest-1"},
    Partition.GOVCLOUD: {"us-gov-west-1", "us-gov-east-1"},
}
_PREFIXES = {Partition.CHINA: "cn-", Partition.GOVCLOUD: "us-gov-"}
_is_region = re.compile(r"[a-z]{2,8}(-[a-z]{2,20}){1,3}-[0-9]{1,2}").fullmatch


class AwsResourceSource(ResourceSource):
    """Finds resources through Resource Explorer or the tagging API.

    regions: those to read if AWS denies the list of the enabled ones. page_limit: pages of one list at most.
    """

    def __init__(
        self,
        *,
        clients: AwsClients,
        identities: Identities,
        regions: Sequence[str] = (),
        page_limit: int = _PAGE_LIMIT,
    ) -> None:
        self._clients = clients
        self._identities = identities
        self._regions = regions
        self._page_limit = page_limit

    def check_environment(self, needs: AwsNeeds) -> None:
        """Check the variables and files that AWS is called with; raises ConfigError."""
        check_environment(self._clients, needs, DISCOVERY_SERVICES)

    @override
    def find(self, access: Access, choice: SourceChoice) -> Inventory:
        reader = self._reader(access)
        regions = self._regions_to_read(reader)
        if (reading := _ask_explorer(explore, reader, access, regions.names, choice)) is not None:
            return _inventory(SourceChoice.EXPLORER, LIST_RESOURCES, reading, regions)
        reading = _read_tagged(reader, regions.names)
        return _inventory(SourceChoice.TAGGING, GET_RESOURCES, reading, regions)

    @override
    def check(self, access: Access, choice: SourceChoice) -> RegionList:
        reader = self._reader(access)
        regions = self._regions_to_read(reader)
        if _ask_explorer(peek, reader, access, regions.names, choice) is None:
            next(iter(reader.pages(TaggedPage, GET_RESOURCES, {"ResourcesPerPage": 1}, regions.names[0])))
        return regions

    def _reader(self, access: Access) -> Reader:
        keys = self._identities.resolve(access)
        return Reader(self._clients, keys, access.account.partition, self._page_limit)

    def _regions_to_read(self, reader: Reader) -> RegionList:
        """Return the enabled regions: as the account service or EC2 lists them, else those of the setting."""
        regions, unlisted = _listed_regions(reader), None
        if not regions:
            regions = [region for region in self._regions if _partition_of(region) is reader.partition]
            unlisted = _failure(_denied_list("and COSTBATCH_REGIONS does not name this region", "the region"))
        if not regions:
            raise _denied_list("so that it is not known which regions the account has enabled", "the regions")
        # The first one is the likeliest to be up, and that no policy forbids.
        return RegionList(
            sorted(regions, key=lambda region: region != HOME_REGIONS[reader.partition]), unlisted
        )


def _ask_explorer(
    ask: Callable[..., T], reader: Reader, access: Access, regions: Sequence[str], choice: SourceChoice
) -> T | None:
    """Return what Resource Explorer says; None if the tagging API is to be read instead."""
    if choice is SourceChoice.TAGGING:
        return None
    aws_account_id = access.account.aws_account_id
    try:
        return ask(reader, aws_account_id, regions, covers_all=choice is SourceChoice.AUTO)
    except AccountError as error:
        is_absent = isinstance(error, NoViewError) or error.kind is ErrorKind.ACCESS_DENIED
        # A transient failure fails the account: in the tagging API, resources that never had a tag would
        # seem to be gone.
        if choice is SourceChoice.EXPLORER or not is_absent:
            raise
        log.debug("resource_explorer_not_used", aws_account_id=aws_account_id, reason=error.detail)
    return None


def _listed_regions(reader: Reader) -> Sequence[str]:
    """Return the enabled regions as AWS lists them; none if it denies both lists."""
    for list_regions in (_list_by_account, _list_by_ec2):
        try:
            return list_regions(reader)
        except AccountError as error:
            if error.kind is not ErrorKind.ACCESS_DENIED:
                raise
    return ()


def _denied_list(problem: str, missing: str) -> AccountError:
    return AccountError(
        ErrorKind.ACCESS_DENIED,
        f"AWS denied {LIST_REGIONS.iam_action} and {DESCRIBE_REGIONS.iam_action}, {problem}.",
        f"Grant the identity {LIST_REGIONS.iam_action}, or name {missing} in COSTBATCH_REGIONS.",
    )


def _list_by_account(reader: Reader) -> Sequence[str]:
    query = {"RegionOptStatusContains": _ENABLED, "MaxResults": _MOST_REGIONS_PER_PAGE}
    pages = reader.pages(RegionPage, LIST_REGIONS, query)
    return _checked(LIST_REGIONS, [region.name for page in pages for region in page.regions])


def _list_by_ec2(reader: Reader) -> Sequence[str]:
    client = reader.clients.get(EC2, reader.partition)
    with signing_as(reader.keys):
        response: dict[str, Any] = call_aws(DESCRIBE_REGIONS.name, client.describe_regions)
    return _checked(DESCRIBE_REGIONS, [region.get("RegionName") for region in response.get("Regions", ())])


def _checked(operation: Operation, regions: Sequence[str | None]) -> Sequence[str]:
    """Return the names of regions: they become parts of addresses, so that they must look like names."""
    names = [region for region in regions if region and _is_region(region)]
    if not names or len(names) < len(regions):
        raise malformed(operation, "the response does not name the account's enabled regions")
    return list(dict.fromkeys(names))


def _partition_of(region: str) -> Partition:
    return next((each for each, prefix in _PREFIXES.items() if region.startswith(prefix)), Partition.AWS)


def _read_tagged(reader: Reader, regions: Sequence[str]) -> Reading:
    """Read what the tagging API lists in each region."""
    found: list[Resource] = []
    read: list[str] = []
    failed: dict[str, AccountError] = {}
    for region in regions:
        try:
            for page in reader.pages(TaggedPage, GET_RESOURCES, {"ResourcesPerPage": _MOST_PER_PAGE}, region):
                found += (resource_of(GET_RESOURCES, each.arn, each.tags, region) for each in page.resources)
        except AccountError as error:
            failed[region] = error
        else:
            read.append(region)
        unanswered = sum(each.kind is ErrorKind.TIMEOUT for each in failed.values())
        if unanswered == _UNREACHABLE_REGIONS == len(failed) and not read:
            break
    if _SHOW_GLOBAL[reader.partition] <= set(read):
        read.append(GLOBAL)
    return Reading(found, read, failed)


def _inventory(
    source: SourceChoice, operation: Operation, reading: Reading, regions: RegionList
) -> Inventory:
    if not set(reading.read) - {GLOBAL}:
        # Transient if the failure of one region is.
        region, error = max(reading.failed.items(), key=lambda item: item[1].kind.is_transient)
        detail = f"No region of the account could be read; the error in {region}: {error.detail}"
        if all(each.kind is ErrorKind.ACCESS_DENIED for each in reading.failed.values()):
            detail = f"AWS denied {operation.iam_action} in every region of the account."
        raise AccountError(error.kind, detail, error.advice)
    failures = {region: _failure(error) for region, error in reading.failed.items()}
    return Inventory.of(source, reading.found, read=reading.read, failed=failures, unlisted=regions.unlisted)


def _failure(error: AccountError) -> Failure:
    if error.kind is ErrorKind.CREDENTIALS_REJECTED and not isinstance(error, CredentialsExpiredError):
        # They are good in other regions.
        disabled = AccountError(ErrorKind.DATA_UNAVAILABLE, error.detail, _DISABLED)
        return Failure(kind=disabled.kind, message=str(disabled))
    return Failure(kind=error.kind, message=str(error))
