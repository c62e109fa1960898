"""The discovery job's own words: what a run of it was asked for, and what it did for an account."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from costbatch.domain.resources import SourceChoice
from costbatch.domain.runs import Failure, RunRequest

# The name of the discovery job.
DISCOVER = "discover"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverOptions:
    """What a run of the discovery job was asked for, besides its accounts. source: None: as configured."""

    source: SourceChoice | None = None

    def to_request(self, aws_account_ids: tuple[str, ...] = ()) -> RunRequest:
        """Return the request of a run."""
        options = {"source": self.source.value} if self.source else {}
        return RunRequest(job=DISCOVER, aws_account_ids=aws_account_ids, options=options)

    @classmethod
    def of(cls, request: RunRequest) -> "DiscoverOptions":
        """Return the options of a run's request."""
        source = request.options.get("source")
        return cls(source=SourceChoice(source) if source else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRegion:
    """What is stored of a region of an account.

    read_at: when it was last read completely; None: it was only seen to exist. source: what it was read from.
    digest: of its content, None if that is not what is stored any more. resources: how many are there now.
    is_used: whether it ever had a resource that no other region had shown before. is_listed: whether AWS ever
    listed it; else only a setting named it. is_disabled: whether it was not on the last list that AWS gave,
    and was not read since.
    """

    read_at: datetime | None = None
    source: SourceChoice | None = None
    digest: bytes | None = None
    resources: int = 0
    is_used: bool = False
    is_listed: bool = False
    is_disabled: bool = False


KnownRegions = Mapping[str, KnownRegion]


def last_source(known: KnownRegions) -> SourceChoice | None:
    """Return what an account was read from when a region of it was last read."""
    read = [(region.read_at, region.source) for region in known.values() if region.read_at is not None]
    return max(read, key=lambda each: each[0])[1] if read else None


def choice_for(asked: SourceChoice, last: SourceChoice | None) -> SourceChoice:
    """Return the API to read an account from; last: the one that it was read from.

    One that Resource Explorer has discovered stays with it unless another is asked for: to the tagging API
    every resource that never had a tag would look gone.
    """
    is_kept = asked is SourceChoice.AUTO and last is SourceChoice.EXPLORER
    return SourceChoice.EXPLORER if is_kept else asked


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceChange:
    """How many resources are new, differ, are back after they were gone, and are gone."""

    inserted: int = 0
    updated: int = 0
    returned: int = 0
    gone: int = 0

    @property
    def appeared(self) -> int:
        """How many were not there before, in any region."""
        return self.inserted + self.returned

    def __add__(self, other: "ResourceChange") -> "ResourceChange":
        """Return the sum."""
        return ResourceChange(
            inserted=self.inserted + other.inserted,
            updated=self.updated + other.updated,
            returned=self.returned + other.returned,
            gone=self.gone + other.gone,
        )

    def to_document(self) -> dict[str, int]:
        """Return the numbers as JSON has them."""
        return {
            "inserted": self.inserted,
            "updated": self.updated,
            "returned": self.returned,
            "gone": self.gone,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRecord:
    """What the discovery job did for one account of a run. failed: the regions that could not be read."""

    source: SourceChoice
    regions_read: int
    resources: int
    change: ResourceChange
    failed: Mapping[str, Failure] = field(default_factory=dict)

    @property
    def is_partial(self) -> bool:
        """Whether a region could not be read."""
        return bool(self.failed)

    def to_document(self) -> dict[str, Any]:
        """Return the record as JSON has it."""
        return {
            "source": self.source.value,
            "regions_read": self.regions_read,
            "resources": {"found": self.resources, **self.change.to_document()},
            "failed_regions": [
                {"region": region, "kind": failure.kind.value, "message": failure.message}
                for region, failure in sorted(self.failed.items())
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryCounts:
    """What the discovery job did for all accounts of a run."""

    partial_accounts: int = 0
    regions_read: int = 0
    regions_failed: int = 0
    resources: int = 0
    change: ResourceChange = field(default_factory=ResourceChange)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDiscovery:
    """What is stored of an account: when a region of it was last read, from where, and what is there."""

    discovered_at: datetime
    source: SourceChoice
    regions: int
    resources: int
