"""Resources of an AWS account: what an ARN says of one, and what was read of an account."""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from sys import intern

from costbatch.domain.excerpt import excerpt
from costbatch.domain.runs import Failure

# Where resources lie that are in no region.
GLOBAL = "global"
_ARN = re.compile(r"arn:[^:]+:([^:]+):([^:]*):[^:]*:(.+)", re.DOTALL)
_BETWEEN = re.compile("[:/]")
# Services whose resources are in no region; of others, such as S3, an ARN only does not name the region.
_GLOBAL_SERVICES = frozenset(
    {
        *("account", "artifact", "budgets", "ce", "cloudfront", "globalaccelerator", "health", "iam"),
        *("networkmanager", "organizations", "route53", "route53domains", "shield", "waf"),
    }
)
# The type of resources whose ARN has nothing but their name.
_TYPE_OF_SERVICE = {"s3": "bucket", "sns": "topic", "sqs": "queue"}
_NO_TYPE = "resource"
# Made once: `json.dumps` with these options makes an encoder for every call.
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
# What PostgreSQL cannot store as text: NUL, and half of a surrogate pair.
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


class SourceChoice(StrEnum):
    """Which API to read from. ``auto``: Resource Explorer if the account has a view, else tagging."""

    AUTO = "auto"
    TAGGING = "tagging"
    EXPLORER = "explorer"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. It is kept small, because an account can have a hundred thousand.

    region: in which it lies, "global" for those of services without regions.
    tags_json: its tags as JSON with sorted keys, so that equal tags are equal texts.
    """

    arn: str
    region: str
    tags_json: str = "{}"

    @classmethod
    def parse(cls, arn: str, tags: Mapping[str, str], *, asked_region: str) -> "Resource":
        """Return the resource that an API named; NUL and half surrogates become U+FFFD.

        asked_region: where it was found; it counts if the ARN names no region.

        Raises:
            ValueError: not an ARN; the message is a whole sentence.

        """
        match = _ARN.fullmatch(arn)
        if match is None:
            raise ValueError(f"{excerpt(arn)} is not an ARN.")
        service, region = match[1], match[2] or asked_region
        tags_json = "{}"
        if tags:
            tags_json = _encode(tags)
            # Looked for in the text, once: hardly any tag has one of these.
            if "\\u0000" in tags_json or (not tags_json.isascii() and _NOT_STORABLE.search(tags_json)):
                tags_json = _encode({_storable(key): _storable(value) for key, value in tags.items()})
        return cls(
            arn=_storable(arn),
            # Interned: it is the same text for thousands of resources.
            region=GLOBAL if not match[2] and service in _GLOBAL_SERVICES else intern(_storable(region)),
            tags_json=tags_json,
        )

    @property
    def service(self) -> str:
        """The service as its ARN names it, such as "ec2"."""
        return self.arn.split(":", 3)[2]

    @property
    def type(self) -> str:
        """The type as its ARN names it, such as "instance"."""
        return self._type_and_id[0]

    @property
    def name(self) -> str:
        """The tag Name, else what the ARN has after the type."""
        return self.tags.get("Name") or self._type_and_id[1]

    @property
    def tags(self) -> dict[str, str]:
        """The tags."""
        tags: dict[str, str] = json.loads(self.tags_json)
        return tags

    @property
    def _type_and_id(self) -> tuple[str, str]:
        service, rest = self.service, self.arn.split(":", 5)[5].lstrip("/")
        parts = _BETWEEN.split(rest, maxsplit=1)
        if len(parts) == 1 or (service in _TYPE_OF_SERVICE and rest[len(parts[0])] == "/"):
            return _TYPE_OF_SERVICE.get(service, _NO_TYPE), rest
        return parts[0], parts[1]


@dataclass(frozen=True)
class RegionContent:
    """Resources of a region of an account, each once, by ARN. is_complete: whether these are all of them."""

    resources: tuple[Resource, ...]
    is_complete: bool = True

    @cached_property
    def digest(self) -> bytes:
        """16 bytes that differ if any resource differs."""
        digest = hashlib.blake2b(digest_size=16)
        for resource in self.resources:
            digest.update(f"{resource.arn}\0{resource.tags_json}\0".encode())
        return digest.digest()


@dataclass(frozen=True, slots=True)
class RegionList:
    """The regions of an account that are to be read.

    unlisted: None if AWS lists them. Else it denies that, the names are those of a setting, and this is why
    another region is not read.
    """

    names: Sequence[str]
    unlisted: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What was read of one account.

    source: the API that was used, never ``auto``. regions: those that were read completely, also without a
    resource, and "global" also if only some of it was seen. failed: the regions that were not read, and why;
    nothing is known of their resources. unlisted: as in the list of regions that was used.
    """

    source: SourceChoice
    regions: Mapping[str, RegionContent]
    failed: Mapping[str, Failure]
    unlisted: Failure | None = None

    @classmethod
    def of(
        cls,
        source: SourceChoice,
        found: Iterable[Resource],
        *,
        read: Collection[str],
        failed: Mapping[str, Failure],
        unlisted: Failure | None = None,
    ) -> "Inventory":
        """Sort what was found by region; what lies in a region that was not read completely is left out.

        read: these regions, and "global" if all that shows its resources was read. If only some of it was,
        what it showed is there, and what it did not may be.
        """
        complete = set(read)
        shown = complete | ({GLOBAL} - failed.keys())
        by_arn: dict[str, Resource] = {}
        for resource in found:
            # If two regions show it, it belongs to the first by name, in whichever order they were read.
            known = by_arn.get(resource.arn)
            if resource.region in shown and (known is None or resource.region < known.region):
                by_arn[resource.arn] = resource
        of_region: dict[str, list[Resource]] = {region: [] for region in sorted(shown)}
        for arn in sorted(by_arn):
            of_region[by_arn[arn].region].append(by_arn[arn])
        regions = {
            region: RegionContent(tuple(resources), is_complete=region in complete)
            for region, resources in of_region.items()
            if resources or region in complete
        }
        return cls(source=source, regions=regions, failed=dict(failed), unlisted=unlisted)


def _storable(text: str) -> str:
    return _NOT_STORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
