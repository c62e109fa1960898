"""What is asked of the stored resources, and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from costbatch.domain.periods import instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFilter:
    """Which resources are asked for: those that satisfy every condition that is given.

    aws_account_ids: none: every account that was not removed.
    services, types: as ARNs name them, types also as "ec2:instance". tags: (key, value), where None is any
    value. lacking: tag keys of which a resource lacks one at least. new_since: first seen on this UTC day or
    later. gone_since: gone since this day or later; without it, only what is there.
    """

    aws_account_ids: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    tags: tuple[tuple[str, str | None], ...] = ()
    lacking: tuple[str, ...] = ()
    new_since: date | None = None
    gone_since: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResource:
    """One resource as it is stored. last_seen_at: of one that is there, when its region was last read."""

    aws_account_id: str
    arn: str
    service: str
    type: str
    region: str
    name: str
    tags: Mapping[str, str]
    first_seen_at: datetime
    last_seen_at: datetime | None
    gone_since: datetime | None

    def to_document(self) -> dict[str, Any]:
        """Return the resource as JSON has it."""
        return {
            "aws_account_id": self.aws_account_id,
            "arn": self.arn,
            "service": self.service,
            "type": self.type,
            "region": self.region,
            "name": self.name,
            "tags": dict(self.tags),
            "first_seen_at": instant(self.first_seen_at),
            "last_seen_at": instant(self.last_seen_at) if self.last_seen_at else None,
            "gone_since": instant(self.gone_since) if self.gone_since else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeCount:
    """How many resources of a type there are. lacking: how many of them lack a required tag, by tag."""

    service: str
    type: str
    resources: int
    untagged: int
    lacking: Mapping[str, int]

    def to_document(self) -> dict[str, Any]:
        """Return the numbers as JSON has them."""
        return {
            "service": self.service,
            "type": self.type,
            "resources": self.resources,
            "untagged": self.untagged,
            "lacking": dict(self.lacking),
        }
