"""What the examination needs from outside, besides the ports of the use cases, and the facts it gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from costbatch.application.inspection import Rights
from costbatch.domain.accounts import AwsNeeds, Partition
from costbatch.domain.credentials import SealedCredentials
from costbatch.domain.runs import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A database server that answered. ``version_number`` is 160004 for 16.4, ``version`` its text.

    encoding: the database's, by PostgreSQL's name for it.
    is_pooled: a connection pooler stands between.
    """

    version_number: int
    version: str
    encoding: str
    is_pooled: bool
    connect_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """The revision that the database is at (None: no tables yet), and the one that this program needs.

    is_known: whether this program knows the current one; if not, a newer program made it.
    """

    current: str | None
    needed: str
    is_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSample:
    """One of the ``number`` credentials that a key has sealed."""

    aws_account_id: str
    sealed: SealedCredentials
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestRun:
    """The newest run over everything in a few numbers; ``accounts`` counts its accounts by state."""

    key: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    accounts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingEvents:
    """Events that a sink has not taken. ``last_error`` is what it said to the oldest of them."""

    sink: str
    number: int
    oldest_at: datetime
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address of AWS and how it answered. ``problem`` is empty where it did.

    proxy: the proxy in between, without its credentials; empty where there is none.
    http_status: any answer counts, because the request is not signed and AWS refuses it.
    seconds_ahead: of this machine's clock, compared with the answer's Date; None if it has none.
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
    """Whose credentials STS says these are."""

    aws_account_id: str
    arn: str


class DatabaseHealth(Protocol):
    """Looks at the database and changes nothing. Every method may raise StorageError."""

    def server(self) -> Server:
        """Connect, and return what answered."""

    def clock(self) -> datetime:
        """Return what time it is there."""

    def schema(self) -> SchemaVersion:
        """Return which schema is there."""

    def rights(self) -> Rights:
        """Return what a run may not do that it must."""

    def sealed_samples(self) -> Sequence[SealedSample] | None:
        """Return one credential of each key that has sealed any; None if our role may not read them."""

    def newest_run(self, job: str) -> NewestRun | None:
        """Return the newest run over all accounts and their ordinary days."""

    def events_before(self, instant: datetime) -> Sequence[WaitingEvents]:
        """Return, by sink, the events from before an instant that it has not taken."""


class Gateway(Protocol):
    """The receiver of metrics."""

    @property
    def address(self) -> str:
        """Where it is, without credentials."""

    def check_ready(self) -> None:
        """Ask whether it would take metrics.

        Raises:
            DeliveryError: it would not; the message ends with what to do.

        """


class AwsProbe(Protocol):
    """Looks at AWS without paying."""

    def check_environment(self, needs: AwsNeeds) -> None:
        """Examine what the process was given to call AWS with, without calling it.

        Raises:
            ConfigError: a variable or a file that cannot be used.

        """

    def endpoints(self, partition: Partition) -> Sequence[Endpoint]:
        """Return how each address that a collection in the partition needs answers."""

    def pod(self, partition: Partition) -> Caller:
        """Return who the pod's own credentials are.

        Raises:
            AccountError: there are none, or AWS refuses them.

        """
