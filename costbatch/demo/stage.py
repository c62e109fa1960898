"""Sets the stage and plays the day's work on it: the same commands that a person would type."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from rich.console import Console

from costbatch.config import Settings
from costbatch.demo.postgres import embedded_postgres
from costbatch.demo.register import register_accounts
from costbatch.simulator.client import SimulatorProcess
from costbatch.simulator.demo_world import demo_world

# Long enough to see the accounts come in.
_LATENCY_SECONDS = 0.25


class Demo:
    """The demonstration, with everything that it keeps in one folder."""

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console

    def play(self, today: date) -> int:
        """Start the stage, do the day's work on it, and end it; return the exit status of ``collect``."""
        world = demo_world(today)
        self._say("Starting PostgreSQL (embedded) and AWS (a local stand-in) …")
        with (
            embedded_postgres(self._folder / "postgres") as postgres,
            SimulatorProcess(world, arguments=["--latency", str(_LATENCY_SECONDS)]) as aws,
        ):
            environ = self._environment(postgres.create_database("costbatch"), aws.url)
            self._run(environ, "db", "upgrade")
            self._say(register_accounts(world.accounts, Settings.from_environment(environ)))
            return self._run(environ, "collect")

    def _environment(self, database_url: str, aws_url: str) -> dict[str, str]:
        """Return the configuration: what a Kubernetes Secret and ConfigMap would hold."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "COSTBATCH_", "PUSHGATEWAY_"))
        }
        return inherited | {
            "DATABASE_URL": database_url,
            "ENCRYPTION_KEY": self._key(),
            "AWS_ENDPOINT_URL": aws_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            # The stand-in is on this machine, whatever proxy leads out of it.
            "NO_PROXY": "127.0.0.1",
            "COSTBATCH_RETRY_PAUSE_SECONDS": "1",
            "COSTBATCH_LOG_LEVEL": "error",
        }

    def _key(self) -> str:
        """Return the key that seals the demonstration's credentials, the same at every call."""
        path = self._folder / "encryption-key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32))
        return path.read_text()

    def _run(self, environ: Mapping[str, str], *arguments: str) -> int:
        self._say(f"$ costbatch {' '.join(arguments)}")
        command = [sys.executable, "-m", "costbatch", *arguments]
        # Ctrl-C is for the command, which ends in order; subprocess would kill it a moment later.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            # Nothing here comes from outside: the interpreter, this package and two fixed commands.
            return subprocess.run(command, env=environ, check=False).returncode  # noqa: S603
        finally:
            signal.signal(signal.SIGINT, before)

    def _say(self, sentence: str) -> None:
        self._console.print(sentence, style="bold", markup=False)
