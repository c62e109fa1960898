"""What the tests of the commands share: a context with a fixed clock, a given environment and fakes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, cast

import pytest
from click.testing import CliRunner, Result

from costbatch.application.accounts import Accounts
from costbatch.application.outbox import Sink
from costbatch.bootstrap import Bootstrap
from costbatch.cli import cli
from costbatch.cli.context import Context
from costbatch.config import Settings
from tests.support.fakes import FakeDatabase, FakeVault
from tests.support.logs import clean_logs

__all__ = ["clean_logs"]

NOW = datetime(2025, 3, 10, 7, tzinfo=UTC)


@dataclass
class FakeWiring:
    """Use cases on a database in memory."""

    database: FakeDatabase
    now: Callable[[], datetime]
    sealing: FakeVault | None

    def accounts(self, *, verify: bool = False) -> Accounts:
        """Return the use cases of the accounts."""
        return Accounts(database=self.database, vault=self.sealing, now=self.now)

    def sinks(self) -> list[Sink]:
        """Return no sink."""
        return []

    def vault(self) -> FakeVault:
        """Return the vault."""
        return FakeVault()


@dataclass
class Shell:
    """Runs commands as a person does, on a database in memory."""

    database: FakeDatabase = field(default_factory=FakeDatabase)
    environ: dict[str, str] = field(default_factory=dict)
    is_interactive: bool = False
    vault: FakeVault | None = field(default_factory=FakeVault)

    def run(self, *args: str, stdin: str | IO[bytes] | None = None) -> Result:
        """Run one command and return what it printed and how it ended."""
        context = Context(
            environ=self.environ, now=lambda: NOW, wire=self._wire, is_interactive=self.is_interactive
        )
        return CliRunner().invoke(cli, args, obj=context, input=stdin)

    def _wire(self, settings: Settings, now: Callable[[], datetime]) -> Bootstrap:
        return cast("Bootstrap", FakeWiring(self.database, now, self.vault))


@pytest.fixture
def shell() -> Shell:
    """Return a shell with an empty database."""
    return Shell()
