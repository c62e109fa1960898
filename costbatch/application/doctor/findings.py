"""The findings of checks, and their overall status."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

# A nightly job that did nothing for longer than this needs a look.
LONG = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidRequest:
    """A request to call Cost Explorer once; ``aws_account_id`` None: for the first active account."""

    aws_account_id: str | None = None


class Mark(StrEnum):
    """The status of one check, and of all. ``skipped``: it could not be made."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, in whole sentences, one a line; ``advice`` says what to do if it is not ok.

    is_configuration: trying again cannot help; a setting must be changed or a command run.
    """

    mark: Mark
    found: str
    advice: str = ""
    is_configuration: bool = False


def ok(found: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(Mark.OK, found)


def warning(found: str, advice: str) -> Finding:
    """Return a finding that works but needs attention."""
    return Finding(Mark.WARNING, found, advice)


def failure(found: str, advice: str, *, is_configuration: bool = False) -> Finding:
    """Return a finding that does not work."""
    return Finding(Mark.FAILURE, found, advice, is_configuration)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's finding, and how long it took."""

    name: str
    finding: Finding
    seconds: float

    def to_document(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        return {
            "name": self.name,
            "status": self.finding.mark.value,
            "found": self.finding.found,
            "advice": self.finding.advice or None,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Examination:
    """The results of all checks, in their order."""

    results: tuple[CheckResult, ...]

    def count(self, mark: Mark) -> int:
        """Return how many checks ended with a mark."""
        return sum(result.finding.mark is mark for result in self.results)

    @property
    def status(self) -> Mark:
        """The worst of all marks; a skipped check follows a failed one."""
        return next((mark for mark in (Mark.FAILURE, Mark.WARNING) if self.count(mark)), Mark.OK)

    @property
    def is_configuration(self) -> bool:
        """Whether trying again cannot help before something is changed."""
        return any(result.finding.is_configuration for result in self.results)

    def to_document(self) -> dict[str, Any]:
        """Return the whole examination as JSON has it."""
        return {
            "checks": [result.to_document() for result in self.results],
            "status": self.status.value,
        }
