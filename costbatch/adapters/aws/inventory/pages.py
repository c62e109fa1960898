"""The responses of discovery: typed as documented, and read page by page until the last."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from costbatch.adapters.aws.clients import AwsClients
from costbatch.adapters.aws.errors import call_aws
from costbatch.adapters.aws.operations import GET_RESOURCES, Operation
from costbatch.domain import strict_json
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys
from costbatch.domain.resources import Resource
from costbatch.errors import AccountError, ErrorKind


class Page(msgspec.Struct, gc=False):
    """One response; without a token it is the last one."""

    token: str | None = msgspec.field(default=None, name="NextToken")


class Region(msgspec.Struct, gc=False):
    """A region of the account service, and whether it is enabled."""

    name: str = msgspec.field(name="RegionName")
    status: str = msgspec.field(name="RegionOptStatus")


class RegionPage(Page, kw_only=True):
    """Some of the regions."""

    regions: list[Region] = msgspec.field(name="Regions")


class Tag(msgspec.Struct, gc=False):
    """A tag; its value may be null."""

    key: str = msgspec.field(name="Key")
    value: str | None = msgspec.field(default=None, name="Value")


class TaggedResource(msgspec.Struct, gc=False):
    """A resource of the tagging API."""

    arn: str = msgspec.field(name="ResourceARN")
    tags: list[Tag] = msgspec.field(name="Tags")


class TaggedPage(msgspec.Struct, gc=False, kw_only=True):
    """Some of the resources that have or had tags. The token of the last page is empty."""

    token: str | None = msgspec.field(default=None, name="PaginationToken")
    resources: list[TaggedResource] = msgspec.field(name="ResourceTagMappingList")


class Index(msgspec.Struct, gc=False):
    """An index of Resource Explorer in a list."""

    region: str = msgspec.field(name="Region")


class IndexPage(Page, kw_only=True):
    """Some of the indexes."""

    indexes: list[Index] = msgspec.field(name="Indexes")


class IndexState(Page, kw_only=True):
    """The index of one region, and the regions that it covers besides."""

    state: str = msgspec.field(name="State")
    replicating_from: list[str] = msgspec.field(default_factory=list, name="ReplicatingFrom")


class ViewPage(Page, kw_only=True):
    """Some of the ARNs of views."""

    views: list[str] = msgspec.field(name="Views")


class Filter(msgspec.Struct, gc=False):
    """What a view leaves out."""

    text: str = msgspec.field(default="", name="FilterString")


class Property(msgspec.Struct, gc=False):
    """A property that a view includes, or that a resource has; only tags are read."""

    name: str = msgspec.field(name="Name")
    data: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"[]"), name="Data")


class View(msgspec.Struct, gc=False):
    """What a view shows: nothing outside of its scope, and not what its filter leaves out."""

    scope: str = msgspec.field(name="Scope")
    filter: Filter | None = msgspec.field(default=None, name="Filters")
    properties: list[Property] = msgspec.field(default_factory=list, name="IncludedProperties")


class ViewAnswer(Page, kw_only=True):
    """One view."""

    view: View = msgspec.field(name="View")


class ExploredResource(msgspec.Struct, gc=False):
    """A resource of Resource Explorer."""

    arn: str = msgspec.field(name="Arn")
    owner: str = msgspec.field(name="OwningAccountId")
    region: str = msgspec.field(name="Region")
    properties: list[Property] = msgspec.field(default_factory=list, name="Properties")


class ExploredPage(Page, kw_only=True):
    """Some of the resources of a view."""

    resources: list[ExploredResource] = msgspec.field(name="Resources")


P = TypeVar("P", bound=Page | TaggedPage)
# What may stand between the name of a member and its colon, or begins a text.
_SPACED = (b'" ', b'"\t', b'"\r', b'"\n')
_read_tags = msgspec.json.Decoder(list[Tag]).decode
# A hostile body may be nested deeper than any stack.
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found, where everything was read ("global" too), and the errors of the regions that failed."""

    found: list[Resource]
    read: list[str]
    failed: dict[str, AccountError]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads responses of one account with its credentials."""

    clients: AwsClients
    keys: AccessKeys
    partition: Partition
    page_limit: int

    def read(
        self, kind: type[P], operation: Operation, query: dict[str, Any], region: str | None = None
    ) -> P:
        """Return one response.

        Raises:
            AccountError: AWS refused the request, did not answer, or not as documented.

        """
        requests = self.clients.requests(operation, self.partition, region)
        body = call_aws(operation.name, lambda: requests.send(query, self.keys))
        if body is None:
            raise malformed(operation, "the response is neither an error nor HTTP status 200")
        try:
            page = msgspec.json.decode(body, type=kind)
            # msgspec takes the last of repeated members; parsing the text again takes five times as long.
            if not _has_members_once(body, page):
                strict_json.loads(body)
        except _UNREADABLE as error:
            problem = f"the response is not as documented ({error})"
        else:
            return page
        raise malformed(operation, problem)

    def pages(
        self, kind: type[P], operation: Operation, query: dict[str, Any], region: str | None = None
    ) -> Iterator[P]:
        """Yield every page of a response; raises as ``read``, and if the pages do not end."""
        token_name = "PaginationToken" if operation is GET_RESOURCES else "NextToken"
        seen = set[str]()
        for number in range(1, self.page_limit + 1):
            page = self.read(kind, operation, query, region)
            yield page
            if not page.token:
                return
            if page.token in seen:
                raise malformed(operation, f"page {number} of the response repeats an earlier page token")
            seen.add(page.token)
            query = {**query, token_name: page.token}
        raise malformed(operation, f"the response has more than {self.page_limit:,} pages")


def _has_members_once(body: bytes, page: Page | TaggedPage) -> bool:
    """Whether a page has no member that is not its own, and so none twice; false if that is not known.

    Of the pages only those of tagged resources come by the thousand.
    """
    if not isinstance(page, TaggedPage) or any(space in body for space in _SPACED):
        return False
    own = 1 + (page.token is not None) + sum(2 + 2 * len(each.tags) for each in page.resources)
    return body.count(b'":') == own


def resource_of(operation: Operation, arn: str, tags: list[Tag] | msgspec.Raw, region: str) -> Resource:
    """Return a resource of a page; ``region`` is where it was found.

    Raises:
        AccountError: its ARN or its tags cannot be read.

    """
    try:
        pairs = _read_tags(tags) if isinstance(tags, msgspec.Raw) else tags
        return Resource.parse(arn, {tag.key: tag.value or "" for tag in pairs}, asked_region=region)
    except msgspec.MsgspecError as error:
        problem = f"the tags of a resource are not as documented ({error})"
    except ValueError as error:
        problem = f"{error}".rstrip(".")
    raise malformed(operation, problem)


def malformed(operation: Operation, problem: str) -> AccountError:
    """Return the error about a response that is not as documented."""
    return AccountError(ErrorKind.MALFORMED_RESPONSE, f"{operation.name}: {problem}.")
