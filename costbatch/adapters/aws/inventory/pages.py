"""The responses of discovery, typed as documented."""

from dataclasses import dataclass

import msgspec
from typing_extensions import override

from costbatch.adapters.aws.operations import Operation
from costbatch.adapters.aws.pages import Page, malformed
from costbatch.domain.resources import Resource
from costbatch.errors import AccountError


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


class TaggedPage(Page, kw_only=True):
    """Some of the resources that have or had tags. The token of the last page is empty."""

    token: str | None = msgspec.field(default=None, name="PaginationToken")
    resources: list[TaggedResource] = msgspec.field(name="ResourceTagMappingList")

    @override
    def has_members_once(self, body: bytes) -> bool:
        # Of all pages only these come by the thousand.
        if any(space in body for space in _SPACED):
            return False
        own = 1 + (self.token is not None) + sum(2 + 2 * len(each.tags) for each in self.resources)
        return body.count(b'":') == own


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


# What may stand between the name of a member and its colon, or begins a text.
_SPACED = (b'" ', b'"\t', b'"\r', b'"\n')
_read_tags = msgspec.json.Decoder(list[Tag]).decode


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found, where everything was read ("global" too), and the errors of the regions that failed."""

    found: list[Resource]
    read: list[str]
    failed: dict[str, AccountError]


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
