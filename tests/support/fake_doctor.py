"""The parts that `costbatch doctor` checks, in memory and healthy; a test breaks the one that it is about."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from typing_extensions import override

from costbatch.application.doctor.checks import Doctor, Store
from costbatch.application.doctor.findings import CheckResult, Finding, PaidRequest
from costbatch.application.doctor.ports import (
    AwsProbe,
    Caller,
    Endpoint,
    Gateway,
    NewestRun,
    SchemaVersion,
    SealedOfAccount,
    Server,
    SinkHealth,
)
from costbatch.application.inspection import Rights
from costbatch.application.ports import Spend
from costbatch.application.sources import CostSource
from costbatch.domain.accounts import AccessMethod, Account, AccountStatus, AwsNeeds, Partition, Progress
from costbatch.domain.collection import COLLECT
from costbatch.domain.costs import NO_DIGESTS, DayDigests, FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.discovery import DISCOVER, AccountDiscovery
from costbatch.domain.jobs import JOBS
from costbatch.domain.periods import DateRange
from costbatch.domain.reports import JobWords
from costbatch.domain.resources import SourceChoice
from costbatch.domain.runs import RunStatus
from costbatch.errors import CostbatchError, DeliveryError
from tests.support.factories import make_fetched
from tests.support.fake_resources import FakeResourceSource
from tests.support.fakes import FakeAccounts, FakeDatabase, FakeDiscoveries, FakeProgress, FakeVault

NOW = datetime(2025, 3, 12, 6, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TODAY = NOW.date()
POD_ACCOUNT = "9" * 12
SERVER = Server(
    version_number=160_004, version="16.4", encoding="UTF8", is_pooled=False, connect_seconds=0.0123
)
SCHEMA = SchemaVersion(current="r2", needed="r2", is_known=True)
RIGHTS = Rights(role="costbatch", missing=())
LAST_NIGHT = Progress(covered=DateRange(TODAY - 40 * DAY, TODAY))


def make_account(
    number: int, *, access: AccessMethod = AccessMethod.ACCESS_KEYS, **fields: object
) -> Account:
    """Return an active account."""
    usual: dict[str, object] = {
        "name": f"account-{number}",
        "status": AccountStatus.ACTIVE,
        "created_at": NOW - 50 * DAY,
    }
    return Account(id=number, aws_account_id=f"{number:012}", access=access, **{**usual, **fields})  # type: ignore[arg-type] # a test names fields of Account


def make_run(status: RunStatus, *, hours_ago: int = 5, **accounts: int) -> NewestRun:
    """Return a run that took an hour, or still runs."""
    started = NOW - hours_ago * HOUR
    ended = None if status is RunStatus.RUNNING else started + HOUR
    return NewestRun(key="k", status=status, started_at=started, finished_at=ended, accounts=accounts)


@dataclass
class FakeHealth:
    """A database in good health; ``error`` is what every look at it raises.

    with_options: by job, a newer run over all accounts than the others here, with options.
    """

    the_server: Server = SERVER
    the_clock: Callable[[], datetime] = lambda: NOW
    the_schema: SchemaVersion = SCHEMA
    the_rights: Rights = RIGHTS
    credentials: Sequence[SealedOfAccount] = ()
    run: NewestRun | None = field(default_factory=lambda: make_run(RunStatus.COMPLETED, succeeded=2))
    discovery: NewestRun | None = None
    others: Mapping[str, NewestRun] = field(default_factory=dict)
    with_options: Mapping[str, NewestRun] = field(default_factory=dict)
    the_sinks: Sequence[SinkHealth] = ()
    unread: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    error: Exception | None = None

    def server(self) -> Server:
        """Return the server."""
        if self.error:
            raise self.error
        return self.the_server

    def clock(self) -> datetime:
        """Return the time there."""
        return self.the_clock()

    def schema(self) -> SchemaVersion:
        """Return the schema."""
        return self.the_schema

    def rights(self) -> Rights:
        """Return the rights."""
        return self.the_rights

    def sealed_credentials(self) -> Sequence[SealedOfAccount]:
        """Return the credentials."""
        return self.credentials

    def newest_run(self, job: str, *, any_options: bool = False) -> NewestRun | None:
        """Return the run of the job."""
        if any_options and job in self.with_options:
            return self.with_options[job]
        return {COLLECT: self.run, DISCOVER: self.discovery, **self.others}.get(job)

    def unread_regions(self, job: str, since: datetime) -> Mapping[int, Mapping[str, str]]:
        """Return the regions that the discovery could not read."""
        return self.unread if job == DISCOVER else {}

    def sinks(self) -> Sequence[SinkHealth]:
        """Return the sinks."""
        return self.the_sinks


@dataclass
class FakeGateway(Gateway):
    """A Pushgateway; ``problem`` is what it refuses with."""

    problem: str = ""
    address: str = "http://gateway:9091"

    @override
    def check_ready(self) -> None:
        if self.problem:
            raise DeliveryError(self.problem)


@dataclass
class FakeAws(AwsProbe):
    """AWS, which answers; ``changed`` replaces the endpoint of a partition."""

    changed: dict[Partition, Endpoint] = field(default_factory=dict)
    pod_error: CostbatchError | None = None
    environment_error: CostbatchError | None = None
    asked: list[Partition] = field(default_factory=list)
    needs: list[AwsNeeds] = field(default_factory=list)

    @override
    def check_environment(self, needs: AwsNeeds, *, discovers: bool) -> None:
        """Find nothing wrong, or raise what a test sets."""
        self.needs.append(needs)
        if self.environment_error:
            raise self.environment_error

    @override
    def endpoints(self, partition: Partition) -> list[Endpoint]:
        self.asked.append(partition)
        good = [Endpoint(address=f"https://{s}.{partition}", is_encrypted=True) for s in ("sts", "ce")]
        return [self.changed[partition]] if partition in self.changed else good

    @override
    def pod(self, partition: Partition) -> Caller:
        if self.pod_error:
            raise self.pod_error
        return Caller(
            aws_account_id=POD_ACCOUNT, arn=f"arn:{partition}:sts::{POD_ACCOUNT}:assumed-role/pod/x"
        )


@dataclass
class FakeSource(CostSource):
    """Cost Explorer; ``pages`` is how many requests a fetch makes, ``error`` is raised after the first.

    is_refused: AWS charges none of them; None: there is no answer.
    """

    pages: int = 1
    is_refused: bool | None = False
    error: CostbatchError | None = None
    fetched: list[tuple[str, DateRange]] = field(default_factory=list)

    @override
    def fetch(
        self,
        access: Access,
        window: DateRange,
        spend: Spend,
        previous: DayDigests = NO_DIGESTS,
        *,
        may_be_shorter: bool = False,
    ) -> FetchedCosts:
        self.fetched.append((access.account.aws_account_id, window))
        for _ in range(self.pages):
            spend()
            if self.is_refused is not None:
                (spend.not_charged if self.is_refused else spend.charged)()
        if self.error:
            raise self.error
        return make_fetched(window, api_requests=self.pages)


@dataclass
class Ward:
    """Everything that an examination works with; None: it could not be built.

    progress: by account row, of the accounts that were not collected last night. discovered, not_discovered:
    what is stored of their resources, and why they are not discovered. progress_of: of further jobs.
    """

    accounts: Sequence[Account] = (make_account(1), make_account(2))
    progress: Mapping[int, Progress] = field(default_factory=dict)
    problems: Sequence[str] = ()
    is_readable: bool = True
    has_store: bool = True
    health: FakeHealth = field(default_factory=FakeHealth)
    vault: FakeVault | None = field(default_factory=FakeVault)
    gateway: FakeGateway | None = field(default_factory=FakeGateway)
    aws: FakeAws = field(default_factory=FakeAws)
    source: FakeSource = field(default_factory=FakeSource)
    resources: FakeResourceSource = field(default_factory=FakeResourceSource)
    resource_choice: SourceChoice = SourceChoice.AUTO
    discovered: Mapping[int, AccountDiscovery] = field(default_factory=dict)
    not_discovered: Mapping[int, Progress] = field(default_factory=dict)
    progress_of: Mapping[str, Mapping[int, Progress]] = field(default_factory=dict)
    jobs: Sequence[JobWords] = tuple(JOBS.values())
    paid: PaidRequest | None = None
    limit_seconds: float = 5.0

    def examine(self) -> dict[str, CheckResult]:
        """Return every result by the name of its check."""
        rows = {account.id: account for account in self.accounts}
        progress = FakeProgress(
            {**dict.fromkeys(rows, LAST_NIGHT), **self.progress},
            dict(self.not_discovered),
            {job: dict(each) for job, each in self.progress_of.items()},
        )
        database = FakeDatabase(FakeAccounts(rows), progress, FakeDiscoveries(dict(self.discovered)))
        doctor = Doctor(
            problems=self.problems,
            is_readable=self.is_readable,
            store=Store(database=database, health=self.health) if self.has_store else None,
            vault=self.vault,
            gateway=self.gateway,
            aws=self.aws,
            resources=self.resources if self.vault else None,
            resource_choice=self.resource_choice,
            source=self.source if self.vault else None,
            sinks=("log",),
            clock=lambda: NOW,
            paid=self.paid,
            jobs=self.jobs,
            limit_seconds=self.limit_seconds,
        )
        return {result.name: result for result in doctor.examine()}

    def find(self, name: str) -> Finding:
        """Return what one check finds."""
        return self.examine()[name].finding
