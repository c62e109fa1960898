"""The ports of the checks, besides those of the use cases, and the facts that they return."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from costbatch.application.inspection import Rights
from costbatch.domain.accounts import AwsNeeds, Partition
from costbatch.domain.credentials import SealedCredentials
from costbatch.domain.deliveries import Backlog
from costbatch.domain.runs import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A database server. ``version_number`` is 160004 for 16.4, ``version`` its text.

    encoding: of the database, by PostgreSQL's name. is_pooled: whether a connection pooler is in between.
    """

    version_number: int
    version: str
    encoding: str
    is_pooled: bool
    connect_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """The revision of the database (None: no tables yet), and the one that this version needs.

    is_known: whether this version knows the current revision; if not, it is from a newer version.
    """

    current: str | None
    needed: str
    is_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedOfAccount:
    """An account's credentials as they are stored."""

    aws_account_id: str
    sealed: SealedCredentials


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestRun:
    """The newest run over all accounts; ``accounts`` counts its accounts by state.

    left_out: the accounts, by row, that the cap on API cost left out.
    """

    key: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    accounts: Mapping[str, int] = field(default_factory=dict)
    left_out: Collection[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkHealth:
    """How a sink does. ``oldest_at`` and ``last_error``: of the oldest event that waits for it."""

    sink: str
    backlog: Backlog = field(default=Backlog())
    last_success_at: datetime | None = None
    oldest_at: datetime | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address of AWS and how it responded. ``problem`` is empty if it did.

    proxy: the proxy in between, without its credentials; empty if there is none.
    http_status: any status is fine: the request is not signed, so AWS refuses it.
    seconds_ahead: of this machine's clock, compared with the Date header; None without one.
    """

    address: str
    is_encrypted: bool
    proxy: str = ""
    http_status: int = 0
    seconds_ahead: float | None = None
    problem: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The owner of credentials, as STS reports it."""

    aws_account_id: str
    arn: str


class DatabaseHealth(Protocol):
    """Inspects the database without changing it. Every method may raise StorageError."""

    def server(self) -> Server:
        """Connect, and describe the server."""

    def clock(self) -> datetime:
        """Return the time of the server's clock."""

    def schema(self) -> SchemaVersion:
        """Return the revision of the schema."""

    def rights(self) -> Rights:
        """Return the privileges that a run needs and the role lacks."""

    def sealed_credentials(self) -> Sequence[SealedOfAccount] | None:
        """Return all stored credentials by account; None if the role may not read them."""

    def newest_run(self, job: str, *, any_options: bool = False) -> NewestRun | None:
        """Return the newest run over all accounts without options, such as other days, or with any."""

    def unread_regions(self, job: str, since: datetime) -> Mapping[int, Mapping[str, str]]:
        """Return, by account row, the regions that failed in the job's newest run and were not read since.

        Each with its kind of failure. The run is one over all accounts that has ended. A region that was
        never read is among them if it failed before ``since``, too.
        """

    def sinks(self) -> Sequence[SinkHealth]:
        """Return every sink that events were ever written for, by name."""


class Gateway(Protocol):
    """The Pushgateway."""

    @property
    def address(self) -> str:
        """Its URL, without credentials."""

    def check_ready(self) -> None:
        """Check that it accepts metrics.

        Raises:
            DeliveryError: it does not; the message ends with the advice.

        """


class AwsProbe(Protocol):
    """Checks AWS with requests that cost nothing."""

    def check_environment(self, needs: AwsNeeds, *, discovers: bool) -> None:
        """Check the variables and files for calling AWS, without calling it; discovers: for discovery too.

        Raises:
            ConfigError: a variable or a file is invalid.

        """

    def endpoints(self, partition: Partition) -> Sequence[Endpoint]:
        """Return how each address responds that a collection in the partition needs."""

    def pod(self, partition: Partition) -> Caller:
        """Return the owner of the pod's own credentials.

        Raises:
            AccountError: the pod has none, or AWS refuses them.

        """
