"""Starts the servers and runs a day's commands on them, the same that a person would type."""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console

from costbatch.bootstrap import Bootstrap
from costbatch.config import Settings
from costbatch.config.files import writing
from costbatch.demo.postgres import embedded_postgres
from costbatch.demo.register import register_accounts
from costbatch.errors import ConfigError
from costbatch.simulator.client import SimulatorProcess
from costbatch.simulator.demo_world import demo_world
from costbatch.simulator.world import World

# Long enough to see the accounts come in.
_LATENCY_SECONDS = 0.25


class Demo:
    """The demonstration, with everything that it keeps in one folder."""

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console

    def collect(self, today: date) -> int:
        """Migrate, register the accounts and collect; return the exit status of ``collect``."""
        self._say("Starting PostgreSQL (embedded) and a simulated AWS …")
        with self._servers(today) as (world, environ):
            self._run(environ, "db", "upgrade")
            settings = self._upgraded(environ)
            self._say(register_accounts(world.accounts, settings))
            status = self._run(environ, "collect")
            # The alerts of the run, which go nowhere.
            self._run(environ, "events", "list", "--type", "anomaly.detected", "--limit", "3")
            # All accounts at once: each request of the stand-in takes a moment, and there are many regions.
            self._run(environ, "discover", "--concurrency", "32")
        self._say("Next, try:")
        for command in self._next_commands(world, today):
            self._console.print(f"  {command}", markup=False, soft_wrap=True)
        return status

    def run(self, today: date, arguments: Sequence[str]) -> int:
        """Run one command on the servers, with nothing else on its output; return its exit status."""
        with self._servers(today) as (world, environ):
            register_accounts(world.accounts, self._upgraded(environ))
            return _call(environ, arguments)

    @contextmanager
    def _servers(self, today: date) -> Iterator[tuple[World, dict[str, str]]]:
        """Start PostgreSQL and AWS; give the world and the environment of the commands."""
        world, data = demo_world(today), self._folder / "postgres"
        with writing("folder", self._folder):
            data.mkdir(parents=True, exist_ok=True)
        with (
            embedded_postgres(data) as postgres,
            SimulatorProcess(world, arguments=["--latency", str(_LATENCY_SECONDS)]) as aws,
        ):
            # What a Kubernetes Secret and ConfigMap would hold.
            yield (
                world,
                os.environ
                | {
                    "DATABASE_URL": postgres.create_database("costbatch"),
                    "ENCRYPTION_KEY": self._key(),
                    "AWS_ENDPOINT_URL": aws.url,
                    "AWS_EC2_METADATA_DISABLED": "true",
                    # A broken file of the user's must not end the demonstration.
                    "AWS_CONFIG_FILE": os.devnull,
                    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                    "COSTBATCH_RETRY_PAUSE_SECONDS": "1",
                    "COSTBATCH_LOG_LEVEL": "error",
                    # The log would show each alert as JSON.
                    "COSTBATCH_SINKS": "none",
                    # A cent for each of the largest anomalies.
                    "COSTBATCH_ROOT_CAUSE_MINIMUM": "1000",
                },
            )

    def _upgraded(self, environ: Mapping[str, str]) -> Settings:
        """Upgrade the schema of the data that were kept; return the settings.

        Raises:
            ConfigError: another version made them: the baseline changes until the first release.

        """
        settings = Settings.from_environment(environ)
        schema = Bootstrap(settings=settings, now=lambda: datetime.now(tz=UTC)).schema()
        schema.upgrade()
        if schema.differences():
            raise ConfigError(
                f"Another version of costbatch made the data in {self._folder}; "
                "delete the folder to start again."
            )
        return settings

    def _key(self) -> str:
        """Return the key that encrypts the demonstration's credentials, the same at every call."""
        path = self._folder / "encryption-key"
        # It is empty if the disk was full.
        if not (path.exists() and path.stat().st_size):
            with writing("file", path):
                path.touch(mode=0o600)
                path.write_text(secrets.token_hex(32))
        return path.read_text()

    def _run(self, environ: Mapping[str, str], *arguments: str) -> int:
        self._say(f"$ costbatch {' '.join(arguments)}")
        return _call(environ, arguments)

    def _next_commands(self, world: World, today: date) -> Iterator[str]:
        """Return commands that show more of the same data: an account, its past again, and the database."""
        failing = next(
            account
            for account in world.accounts
            if not account.roles and any(fault.region is None for fault in account.faults)
        )
        anomalous = next(account for account in world.accounts if account.anomalies)
        first, last = today - timedelta(days=7), today - timedelta(days=1)
        program = [*_program(), "demo"]
        if self._folder != Path(".demo").resolve():
            program += ["--folder", str(self._folder)]
        for arguments in (
            ["accounts", "show", failing.account_id],
            ["collect", "--account", anomalous.account_id, "--from", str(first), "--to", str(last)],
            ["anomalies", "import-aws"],
            ["resources", "stats"],
            ["db", "stats"],
        ):
            yield shlex.join([*program, *arguments])

    def _say(self, sentence: str) -> None:
        self._console.print(sentence, style="bold", markup=False)


def _call(environ: Mapping[str, str], arguments: Sequence[str]) -> int:
    command = [sys.executable, "-m", "costbatch", *arguments]
    # Ctrl-C is for the command, which ends in order; subprocess would kill it a moment later.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        # The interpreter and this package; the arguments are the user's own.
        return subprocess.run(command, env=dict(environ), check=False).returncode  # noqa: S603 - see above
    finally:
        signal.signal(signal.SIGINT, before)


def _program() -> list[str]:
    """Return how a person starts costbatch from where the demonstration was started."""
    script = Path(sys.executable).parent / "costbatch"
    if shutil.which("costbatch") == str(script):
        return ["costbatch"]
    if script.exists():
        here = Path.cwd()
        return [str(script.relative_to(here) if script.is_relative_to(here) else script)]
    return [sys.executable, "-m", "costbatch"]
