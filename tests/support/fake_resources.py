"""A source of resources that a test fills, and runs of the discovery job with it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from typing_extensions import override

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.application.discover.job import Discovered, DiscoverJob, DiscoverTask
from costbatch.application.discover.ports import ResourceSource
from costbatch.application.jobs.policy import RunPolicy
from costbatch.application.jobs.runner import Runner
from costbatch.domain.credentials import Access
from costbatch.domain.discovery import DiscoverOptions
from costbatch.domain.resources import GLOBAL, Inventory, RegionList, Resource, SourceChoice
from costbatch.domain.routing import Route
from costbatch.domain.runs import Failure, Run
from costbatch.errors import AccountError, ErrorKind
from tests.support.fake_runs import FakeDisplay

REGIONS = ("eu-west-1", "us-east-1")
DOWN = Failure(kind=ErrorKind.TIMEOUT, message="The region did not answer.")
UNLISTED = Failure(kind=ErrorKind.ACCESS_DENIED, message="The list is denied. Name the region.")


def instance(name: str, region: str = "eu-west-1", **tags: str) -> Resource:
    """Return an EC2 instance."""
    return Resource.parse(f"arn:aws:ec2:{region}:1:instance/{name}", tags, asked_region=region)


def bucket(name: str, region: str = "eu-west-1", **tags: str) -> Resource:
    """Return an S3 bucket, whose ARN names no region."""
    return Resource.parse(f"arn:aws:s3:::{name}", tags, asked_region=region)


@dataclass
class FakeResourceSource(ResourceSource):
    """Answers every account alike.

    regions: those that are enabled. named: AWS denies the list of these, so that only those named are read.
    down: the regions that fail. hides_global: whether more may lie in no region than is shown.
    error: with which each account fails. asked: the choices, one by one. checked: accounts, by row.
    """

    resources: list[Resource] = field(default_factory=list)
    regions: tuple[str, ...] = REGIONS
    named: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    hides_global: bool = False
    has_view: bool = False
    error: AccountError | None = None
    asked: list[SourceChoice] = field(default_factory=list)
    checked: list[int] = field(default_factory=list)

    @override
    def check(self, access: Access, choice: SourceChoice) -> RegionList:
        self.asked.append(choice)
        self.checked.append(access.account.id)
        if self.error:
            raise self.error
        return self._list

    @property
    def _list(self) -> RegionList:
        return RegionList(self.named, UNLISTED) if self.named else RegionList(self.regions)

    @override
    def find(self, access: Access, choice: SourceChoice) -> Inventory:
        self.asked.append(choice)
        if self.error:
            raise self.error
        if choice is SourceChoice.EXPLORER and not self.has_view:
            raise AccountError(ErrorKind.RESOURCE_EXPLORER_NOT_ENABLED, "There is no view.")
        # What is in no region is shown in one.
        is_hidden = self.hides_global or "us-east-1" in self.down
        regions = self._list.names if is_hidden else (*self._list.names, GLOBAL)
        explores = self.has_view and choice is not SourceChoice.TAGGING
        return Inventory.of(
            SourceChoice.EXPLORER if explores else SourceChoice.TAGGING,
            [
                each
                for each in self.resources
                if explores or (each.tags and "us-east-1" not in self.down) or each.service != "iam"
            ],
            read=[region for region in regions if region not in self.down],
            failed=dict.fromkeys(self.down, DOWN),
            unlisted=self._list.unlisted,
        )


@dataclass
class Discovery:
    """The nights of the discovery job on a real database; each night is a day later."""

    database: PostgresDatabase
    now: datetime
    source: FakeResourceSource = field(default_factory=FakeResourceSource)
    expected_regions: Iterable[str] = ()
    nights: int = 0

    def night(self, options: DiscoverOptions | None = None, *, key: str = "") -> Run:
        """Discover every account."""
        self.nights += 1
        self.now += timedelta(days=1)
        return self.runner().run(key or f"night-{self.nights}", (options or DiscoverOptions()).to_request())

    def runner(self) -> Runner[DiscoverTask, Discovered]:
        """Return what runs."""
        job = DiscoverJob(
            source=self.source,
            choice=SourceChoice.AUTO,
            expected_regions=frozenset(self.expected_regions),
        )
        policy = RunPolicy(
            concurrency=2,
            lease=timedelta(minutes=5),
            retry_pause=timedelta(0),
            grace=timedelta(seconds=25),
            routes=(Route("log"),),
            version="1",
        )
        return Runner(
            job=job,
            database=self.database,
            clock=lambda: self.now,
            policy=policy,
            display=FakeDisplay(),
            worker="this",
            is_gone=lambda worker: worker == "dead",
        )
