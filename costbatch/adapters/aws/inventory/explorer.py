"""Reads the resources of an account from Resource Explorer, if it has a view of all of them."""

from collections.abc import Sequence

from costbatch.adapters.aws.inventory.pages import (
    ExploredPage,
    IndexPage,
    IndexState,
    Reading,
    ViewAnswer,
    ViewPage,
    resource_of,
)
from costbatch.adapters.aws.operations import GET_INDEX, GET_VIEW, LIST_INDEXES, LIST_RESOURCES, LIST_VIEWS
from costbatch.adapters.aws.pages import Reader
from costbatch.domain.resources import GLOBAL, Resource
from costbatch.errors import AccountError, ErrorKind

_TAGS = "tags"
_MOST_PER_PAGE = 1000


class NoViewError(AccountError):
    """The account has no view of all resources in all enabled regions; the detail says what is missing."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorKind.RESOURCE_EXPLORER_NOT_ENABLED, detail)


def explore(reader: Reader, aws_account_id: str, enabled: Sequence[str], *, covers_all: bool) -> Reading:
    """Read every resource, with and without tags.

    covers_all: whether a view that does not cover every enabled region counts as none.

    Raises:
        NoViewError: the account has no view of all its resources.
        AccountError: AWS refused a request, did not answer, or not as documented.

    """
    region, view, missing = _find_view(reader, aws_account_id, enabled, covers_all=covers_all)
    failed: dict[str, AccountError] = {
        each: NoViewError(f"Resource Explorer's aggregator index does not cover {each}.") for each in missing
    }
    found: list[Resource] = []
    known = {*enabled, GLOBAL} - failed.keys()
    query = {"ViewArn": view, "MaxResults": _MOST_PER_PAGE}
    for page in reader.pages(ExploredPage, LIST_RESOURCES, query, region):
        for each in page.resources:
            # What others share with the account is theirs.
            if each.owner == aws_account_id and each.region in known:
                tags = [prop.data for prop in each.properties if prop.name == _TAGS]
                try:
                    found.append(resource_of(LIST_RESOURCES, each.arn, tags[0] if tags else [], each.region))
                except AccountError as error:
                    failed.setdefault(each.region, error)
    return Reading(found, [each for each in (*enabled, GLOBAL) if each not in failed], failed)


def peek(reader: Reader, aws_account_id: str, enabled: Sequence[str], *, covers_all: bool) -> int:
    """Ask for the first resource only, as ``explore`` asks for all; return how many came."""
    region, view, _ = _find_view(reader, aws_account_id, enabled, covers_all=covers_all)
    page = next(iter(reader.pages(ExploredPage, LIST_RESOURCES, {"ViewArn": view, "MaxResults": 1}, region)))
    return len(page.resources)


def _find_view(
    reader: Reader, aws_account_id: str, enabled: Sequence[str], *, covers_all: bool
) -> tuple[str, str, list[str]]:
    """Return the region of the aggregator index, its view, and the regions that it does not cover."""
    region, covered = _aggregator(reader, enabled)
    missing = [each for each in enabled if each not in covered]
    if missing and covers_all:
        raise NoViewError(
            f"Resource Explorer's aggregator index in {region} does not cover {', '.join(missing)}."
        )
    return region, _whole_view(reader, aws_account_id, region), missing


def _aggregator(reader: Reader, enabled: Sequence[str]) -> tuple[str, set[str]]:
    """Return the region of the aggregator index, and the regions that it covers."""
    indexes = reader.pages(IndexPage, LIST_INDEXES, {"Type": "AGGREGATOR"})
    aggregators = [index.region for page in indexes for index in page.indexes]
    region = next((each for each in aggregators if each in enabled), None)
    if region is None:
        raise NoViewError("Resource Explorer has no aggregator index in an enabled region of the account.")
    index = reader.read(IndexState, GET_INDEX, {}, region)
    if index.state != "ACTIVE":
        raise NoViewError(f"Resource Explorer's aggregator index in {region} is not active yet.")
    return region, {region, *index.replicating_from}


def _whole_view(reader: Reader, aws_account_id: str, region: str) -> str:
    """Return the ARN of a view that leaves nothing out of what the aggregator index covers."""
    for page in reader.pages(ViewPage, LIST_VIEWS, {}, region):
        for arn in page.views:
            view = reader.read(ViewAnswer, GET_VIEW, {"ViewArn": arn}, region).view
            is_whole = view.scope.endswith(f":iam::{aws_account_id}:root")
            is_unfiltered = view.filter is None or not view.filter.text.strip()
            if is_whole and is_unfiltered and any(each.name == _TAGS for each in view.properties):
                return arn
    raise NoViewError(
        f"Resource Explorer has no view in {region} that shows all resources of the account with their tags."
    )
