"""What an examination of an installation finds: the facts it looks at, and its verdict on each of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from costbatch.domain.credentials import SealedCredentials
from costbatch.domain.runs import RunStatus


class Mark(StrEnum):
    """The verdict of one check, and of all. ``skipped``: it could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, in whole sentences, one a line; ``advice`` says what to do where it is not ok.

    is_configuration: trying again cannot help, somebody must change a setting or run a command.
    """

    mark: Mark
    found: str
    advice: str = ""
    is_configuration: bool = False


def ok(found: str) -> Finding:
    """Return that all is well."""
    return Finding(Mark.OK, found)


def warning(found: str, advice: str) -> Finding:
    """Return that it works, yet somebody should look at it."""
    return Finding(Mark.WARNING, found, advice)


def failure(found: str, advice: str, *, is_configuration: bool = False) -> Finding:
    """Return that it does not work."""
    return Finding(Mark.FAILURE, found, advice, is_configuration)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's finding, and how long it took."""

    name: str
    finding: Finding
    seconds: float

    def to_document(self) -> dict[str, Any]:
        """Return the result, JSON-ready."""
        return {
            "name": self.name,
            "status": self.finding.mark.value,
            "found": self.finding.found,
            "advice": self.finding.advice or None,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Examination:
    """Every check's result, in the order in which they were made."""

    results: tuple[CheckResult, ...]

    def count(self, mark: Mark) -> int:
        """Return how many checks ended with a mark."""
        return sum(result.finding.mark is mark for result in self.results)

    @property
    def status(self) -> Mark:
        """The worst of all marks; what was skipped has its reason in a failure."""
        return next((mark for mark in (Mark.FAILURE, Mark.WARNING) if self.count(mark)), Mark.OK)

    @property
    def is_configuration(self) -> bool:
        """Whether trying again is of no use before somebody changes something."""
        return any(result.finding.is_configuration for result in self.results)

    def to_document(self) -> dict[str, Any]:
        """Return the whole examination, JSON-ready."""
        return {
            "checks": [result.to_document() for result in self.results],
            "status": self.status.value,
        }


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
class Rights:
    """What the database's role may not do. ``missing`` names each as it would be granted."""

    role: str
    missing: tuple[str, ...]
    is_read_only: bool = False


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
