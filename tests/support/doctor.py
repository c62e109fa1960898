"""What `costbatch doctor` says, check by check."""

from dataclasses import dataclass
from typing import Any

from tests.support.harness import Finished, Harness


@dataclass(frozen=True)
class Examined:
    """What ``costbatch doctor --output json`` said."""

    finished: Finished

    @property
    def status(self) -> str:
        """The whole verdict."""
        return str(self.finished.summary["status"])

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Return one check."""
        checks: list[dict[str, Any]] = self.finished.summary["checks"]
        return next(check for check in checks if check["name"] == name)

    def names(self, status: str) -> list[str]:
        """Return the names of the checks with a status."""
        return [check["name"] for check in self.finished.summary["checks"] if check["status"] == status]


def examine(harness: Harness, *args: str, **environ: str) -> Examined:
    """Run the command for programs."""
    return Examined(harness.run("doctor", "--output", "json", *args, **environ))
