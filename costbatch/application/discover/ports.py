"""What the discovery job needs from outside, besides what every job needs."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from costbatch.domain.credentials import Access
from costbatch.domain.discovery import (
    AccountDiscovery,
    DiscoveryCounts,
    DiscoveryRecord,
    KnownRegion,
    KnownRegions,
    ResourceChange,
)
from costbatch.domain.resource_queries import ResourceFilter, StoredResource, TypeCount
from costbatch.domain.resources import Inventory, RegionContent, RegionList, SourceChoice
from costbatch.domain.runs import Run


class ResourceSource(Protocol):
    """Where resources come from. Called from many threads; never touches the database. Nothing is charged."""

    def find(self, access: Access, choice: SourceChoice) -> Inventory:
        """Return every resource of every enabled region of the account, with its tags.

        A region that fails is in the inventory's ``failed``. One with the choice ``auto`` uses Resource
        Explorer if the account has a view of all its regions, else the tagging API.

        Raises:
            AccountError: no region could be read, the regions are not known, the credentials do not work, or
                ``explorer`` was asked for and the account has no view (resource_explorer_not_enabled).

        """

    def check(self, access: Access, choice: SourceChoice) -> RegionList:
        """Ask for a first resource of the API that ``find`` would read; return the regions that it would.

        Raises:
            AccountError: as ``find`` does.

        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What replacing the content of a region changed.

    new_services: services of new resources in it that the account never used before.
    """

    change: ResourceChange
    new_services: Mapping[str, int]


class ResourceStore(Protocol):
    """The resources, and the regions that they were read from."""

    def load_regions(self, account_ids: Collection[int]) -> dict[int, dict[str, KnownRegion]]:
        """Return what is known of each region, by account row."""

    def replace(
        self, contents: Mapping[int, Mapping[str, RegionContent]], *, now: datetime
    ) -> dict[int, dict[str, Written]]:
        """Make what is stored of these regions equal to their content: write only what differs.

        A resource that is not there any more is gone since now, unless the content is not complete; one that
        is back is the same row.
        """

    def save_regions(self, regions: Mapping[int, KnownRegions]) -> None:
        """Add or replace what is known of regions, by account row."""

    def set_disabled(self, regions: Mapping[int, Mapping[str, bool]]) -> None:
        """Note of known regions, by account row, whether they are disabled."""

    def discoveries(self, account_ids: Collection[int] | None = None) -> dict[int, AccountDiscovery]:
        """Return what is stored of each account that was discovered, by row; of all if none are named."""


class ResourceQueries(Protocol):
    """Looks at the stored resources without changing them. Every method may raise StorageError."""

    def count(self, asked: ResourceFilter) -> int:
        """Return how many resources satisfy the filter."""

    def find(self, asked: ResourceFilter, *, most: int | None = None) -> Iterator[StoredResource]:
        """Yield them, by account, service, type and ARN; only some are in memory at a time."""

    def stats(self, asked: ResourceFilter, required_tags: Sequence[str]) -> list[TypeCount]:
        """Return how many there are of each type, the most first, and how many lack each required tag."""


class DiscoveryStore(Protocol):
    """What the discovery job did for each account of a run."""

    def save(self, records: Mapping[int, DiscoveryRecord]) -> None:
        """Add or replace records, by work item."""

    def of_run(self, run: Run, *, partial_only: bool = False) -> dict[int, DiscoveryRecord]:
        """Return the run's records by work item, all or those of which a region failed."""

    def counts(self, run: Run) -> DiscoveryCounts:
        """Return the run's records as sums."""
