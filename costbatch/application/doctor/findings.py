"""What is asked of an examination, and the verdict of each check and of all together."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidRequest:
    """The wish for one real request; ``aws_account_id`` None: the first active account's."""

    aws_account_id: str | None = None


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
