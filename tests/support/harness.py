"""The harness for tests of the whole program: PostgreSQL, the local AWS, a clock and the command line.

    harness.open(make_account(1), make_account(2, faults=(Fault("not_enabled"),)))
    run = harness.collect("--fail-on", "partial")
    assert run.outcomes == {harness.ids[0]: "collected", harness.ids[1]: "cost_explorer_not_enabled"}
    harness.sleep_until(TODAY + ONE_DAY)  # the clock and AWS's day move together
    process = harness.start("collect", "--run-key", "k")  # in a process of its own, with the harness's clock
    assert wait_for(process).status == 0

A conftest imports the fixtures: ``from tests.support.harness import harness, prepare``.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from select import select
from subprocess import PIPE
from time import monotonic
from typing import Any
from unittest import mock

import psycopg2
import pytest
from click.testing import CliRunner
from psycopg2.extras import RealDictCursor

from costbatch.application.registration import Registration
from costbatch.bootstrap import Bootstrap
from costbatch.cli import cli
from costbatch.cli.context import Context
from costbatch.config import Settings
from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.domain.accounts import AccessMethod
from costbatch.domain.credentials import AccessKeys, Secret, StoredSecrets
from costbatch.simulator import demo_world
from costbatch.simulator.client import SimulatorProcess
from costbatch.simulator.world import Account, CostRow, Role, World
from tests.support.command import NOW, clock_from
from tests.support.databases import copied_database
from tests.support.fork_server import Process, fork_server
from tests.support.in_process import closed_databases
from tests.support.logs import restored_logs
from tests.support.machine import unmeasured_children

# A Wednesday in a month that is closed: the window is the plain 35 days.
TODAY = date(2025, 3, 12)
ONE_DAY = timedelta(days=1)
KEY = "7d1f0c52a9e84b36c3d5f7e1b2a80946e5c1d7f38a2b4096cfd31e7a58b04c92"
EC2 = "Amazon Elastic Compute Cloud - Compute"
_MORNING = time(6, 30, tzinfo=UTC)
_ROOT = Path(__file__).resolve().parents[2]
_NOT_INHERITED = (
    "AWS_",
    "COSTBATCH_",
    "COVERAGE_PROCESS_CONFIG",
    "DATABASE_URL",
    "ENCRYPTION_KEY",
    "PUSHGATEWAY_URL",
)

_numbers = count()

Row = dict[str, Any]


def make_account(number: int, *, rows: tuple[CostRow, ...] | None = None, **changes: Any) -> Account:
    """Return an account of the stand-in: two services, complete at once, 60 days old; vary any field."""
    account = demo_world.make_account(100_000_000_000 + number, f"account-{number}")
    plain = {"profile": "uniform", "services": 2, "start": TODAY - timedelta(days=60)}
    return replace(account, rows=rows, **{**plain, **changes})


def bill(day: date, amount: str, *, service: str = EC2, record_type: str = "Usage", **other: Any) -> CostRow:
    """Return one row of a bill, every cost basis the same amount unless another is given."""
    exact = Decimal(amount)
    bases = dict.fromkeys(("unblended", "amortized", "net_unblended", "net_amortized"), exact)
    return CostRow(date=day, service=service, record_type=record_type, **{**bases, **other})


def steady(amount: str, *, until: date = TODAY, days: int = 60) -> tuple[CostRow, ...]:
    """Return a bill of the same amount on each of the days before ``until``."""
    return tuple(bill(until - timedelta(days=n), amount) for n in range(days, 0, -1))


@dataclass(frozen=True)
class Finished:
    """What a command printed and how it ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> Row:
        """The one JSON document on standard output."""
        document: Row = json.loads(self.stdout)
        return document

    def account(self, aws_account_id: str) -> Row:
        """Return one account of the summary."""
        accounts: list[Row] = self.summary["accounts"]
        return next(each for each in accounts if each["aws_account_id"] == aws_account_id)

    @property
    def outcomes(self) -> dict[str, str]:
        """By account: its state, or its error kind where it failed."""
        return {
            each["aws_account_id"]: each["error"]["kind"] if each["state"] == "failed" else each["state"]
            for each in self.summary["accounts"]
        }

    def logs(self, event: str | None = None) -> list[Row]:
        """Return the log lines on standard error, of one event if it is given."""
        lines = [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]
        return [line for line in lines if event in (None, line["event"])]

    @property
    def sentences(self) -> list[str]:
        """The sentences on standard error that say what is wrong."""
        return [line[7:] for line in self.stderr.splitlines() if line.startswith("Error: ")]


class Harness:
    """One database and one world. ``environ`` is the configuration of every command; change it at will."""

    def __init__(self, aws: SimulatorProcess, database_url: str) -> None:
        self.aws = aws
        self.database_url = database_url
        self.ids: list[str] = []
        self._connection: psycopg2.extensions.connection | None = None
        self.environ = {
            "DATABASE_URL": database_url,
            "ENCRYPTION_KEY": KEY,
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "COSTBATCH_RETRY_PAUSE_SECONDS": "0",
            "COSTBATCH_LEASE_SECONDS": "5",
            "COSTBATCH_GRACE_SECONDS": "2",
            "COSTBATCH_AWS_CONNECT_TIMEOUT_SECONDS": "2",
            "COSTBATCH_AWS_READ_TIMEOUT_SECONDS": "10",
            "COSTBATCH_AWS_MAX_ATTEMPTS": "1",
        }
        self._set_clock(datetime.combine(TODAY, _MORNING))

    def sleep_until(self, day: date) -> None:
        """Make it the morning of a day, here and in AWS."""
        self.wake_at(datetime.combine(day, _MORNING))

    def wake_at(self, instant: datetime) -> None:
        """Make it an instant, in whatever time zone it is written.

        Deliveries wait by the database's clock, which cannot be set: their waits become shorter instead.
        """
        passed = instant - self.now()
        if passed > timedelta() and self.value("SELECT to_regclass('deliveries') IS NOT NULL"):
            waits = "retry_at = retry_at - %s, claimed_until = claimed_until - %s"
            self.rows(f"UPDATE deliveries SET {waits} WHERE state = 'pending'", passed, passed)
        self._set_clock(instant)

    def _set_clock(self, instant: datetime) -> None:
        self.today = instant.astimezone(UTC).date()
        self._clock = clock_from(instant, monotonic())
        self.aws.set_today(self.today)

    def now(self) -> datetime:
        """Tell the time of the harness, which ticks."""
        return self._clock()

    def open(self, *accounts: Account, **world: Any) -> None:
        """Replace the world by these accounts and register those that are not registered yet."""
        self.aws.replace_world(World(accounts=accounts, today=self.today, **world))
        self.ids = [account.account_id for account in accounts]
        known = {row["aws_account_id"] for row in self.rows("SELECT aws_account_id FROM accounts")}
        for account in accounts:
            if account.account_id not in known:
                self.register(account)

    def register(self, account: Account, *, base: str | None = None, pod: bool = False) -> None:
        """Register an account: by its keys, by its first role where it has one, or by the pod's identity."""
        role = account.roles[0] if account.roles else None
        access = AccessMethod.POD_IDENTITY if pod else AccessMethod.ACCESS_KEYS
        registration = Registration(
            aws_account_id=account.account_id,
            name=account.name,
            access=AccessMethod.ASSUMED_ROLE if role else access,
            role_arn=f"arn:aws:iam::{account.account_id}:role/{role.name}" if role else None,
            base=base,
        )
        bootstrap = Bootstrap(settings=Settings.from_environment(self.environ), now=self.now)
        with closed_databases():
            bootstrap.accounts().add(registration, StoredSecrets() if pod else _secrets(account, role))

    def run(self, *args: str, stdin: str | None = None, **environ: str) -> Finished:
        """Run a command in this process, with these variables besides the harness's."""
        configuration = {**self.environ, **environ}
        of_aws = {name: value for name, value in configuration.items() if name.startswith("AWS_")}
        with mock.patch.dict(os.environ, of_aws), restored_logs(), closed_databases():
            context = Context(environ=configuration, now=self.now, is_interactive=False)
            result = CliRunner().invoke(cli, args, obj=context, input=stdin)
        return Finished(result.exit_code, result.stdout, result.stderr)

    def collect(self, *args: str, **environ: str) -> Finished:
        """Run ``costbatch collect`` in this process, with a JSON summary."""
        return self.run("collect", "--output", "json", *args, **environ)

    def start(self, *args: str, **environ: str) -> Process:
        """Start a command in a process of its own; it sees the harness's time."""
        return self.start_with(PIPE, *args, **environ)

    def start_with(self, stderr: int, /, *args: str, **environ: str) -> Process:
        """Start a command whose standard error goes where ``subprocess`` is told here."""
        return fork_server().start(args, self.process_environ(**environ), stdout=PIPE, stderr=stderr)

    def start_on(self, terminal: int, *args: str, **environ: str) -> Process:
        """Start a command whose three streams are a terminal that is its own, as a shell does."""
        return fork_server().start_on(terminal, args, self.process_environ(**environ))

    def start_python(self, *args: str, **environ: str) -> subprocess.Popen[str]:
        """Start a command by an interpreter of its own, which has to import the program first."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.command", *args],
            env=self.process_environ(**environ),
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            text=True,
        )

    def process_environ(self, **environ: str) -> dict[str, str]:
        """Return the variables of a process of its own, this configuration and the harness's time in them.

        Its coverage is not measured: it would take half as long again, and few lines are reached only there.
        """
        own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        clock = {NOW: f"{self.now().isoformat()} {monotonic()}", "PYTHONPATH": str(_ROOT)}
        return {**own, **self.environ, **environ, **clock}

    def rows(self, query: str, *parameters: object) -> list[Row]:
        """Return what a query finds, or [] for a statement that finds nothing; it is committed."""
        connection = self._connect()
        with connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(query, parameters or None)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def _connect(self) -> psycopg2.extensions.connection:
        """Return one that stays open, because each would be a process of the server."""
        connection = self._connection
        # A server that was stopped has left a message, and nothing else does.
        if connection is None or connection.closed or select([connection], [], [], 0)[0]:
            self.disconnect()
            self._connection = connection = psycopg2.connect(self.database_url)
        return connection

    def disconnect(self) -> None:
        """Close the connection of ``rows``: a database that anybody is connected to cannot be copied."""
        if self._connection:
            self._connection.close()

    def value(self, query: str, *parameters: object) -> Any:
        """Return the first column of the one row that a query finds."""
        (row,) = self.rows(query, *parameters)
        return next(iter(row.values()))

    def contents(self) -> dict[str, list[str]]:
        """Return every row of every table as text, to tell whether a command changed anything."""
        names = [
            row["relname"]
            for row in self.rows(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                " AND relkind IN ('r', 'p') AND NOT relispartition"
            )
        ]
        found: dict[str, list[str]] = {name: [] for name in names}
        # In one query: there are many tables.
        tables = [f"SELECT '{name}' AS name, t::text AS row FROM \"{name}\" AS t" for name in names]
        for row in self.rows(f"{' UNION ALL '.join(tables)} ORDER BY 1, 2") if tables else ():
            found[row["name"]].append(row["row"])
        return found


def wait_for(process: Process | subprocess.Popen[str], *, timeout_seconds: float = 60) -> Finished:
    """Wait for a process that a harness started, and return what it printed."""
    with process:
        stdout, stderr = process.communicate(timeout=timeout_seconds)
    return Finished(process.wait(), stdout, stderr)


def _secrets(account: Account, role: Role | None) -> StoredSecrets:
    if role:
        return StoredSecrets(external_id=Secret(role.external_id) if role.external_id else None)
    keys = AccessKeys(
        access_key_id=Secret(account.access_key_id), secret_access_key=Secret(account.secret_access_key)
    )
    return StoredSecrets(access_keys=keys)


@pytest.fixture(scope="session")
def aws() -> Iterator[SimulatorProcess]:
    """Run one local AWS for all tests of this process; each test gives it a world of its own."""
    with ExitStack() as exits:
        with unmeasured_children():
            simulator = exits.enter_context(SimulatorProcess(World(accounts=())))
        yield simulator


@pytest.fixture
def harness(aws: SimulatorProcess, database_url: str) -> Harness:
    """Return a harness with a migrated database and an empty world."""
    aws.replace_world(World(accounts=()))
    return Harness(aws, database_url)


SetUp = Callable[[Harness], None]
Prepare = Callable[[SetUp], Harness]


@dataclass(frozen=True)
class _Prepared:
    """A database and a world as a set-up left them."""

    database: str
    world: World
    now: datetime


@cache
def _prepared(set_up: SetUp, aws: SimulatorProcess, server: EmbeddedPostgres, template: str) -> _Prepared:
    name = f"prepared_{next(_numbers)}"
    harness = Harness(aws, server.create_database(name, template=template))
    set_up(harness)
    harness.disconnect()
    return _Prepared(name, aws.current_world(), harness.now())


def _copies(aws: SimulatorProcess, postgres: EmbeddedPostgres, template: str) -> Iterator[Prepare]:
    with ExitStack() as copies:

        def copy(set_up: SetUp) -> Harness:
            prepared = _prepared(set_up, aws, postgres, template)
            harness = Harness(aws, copies.enter_context(copied_database(postgres, prepared.database)))
            harness._set_clock(prepared.now)
            aws.replace_world(prepared.world)
            harness.ids = [account.account_id for account in prepared.world.accounts]
            return harness

        yield copy


@pytest.fixture
def prepare(aws: SimulatorProcess, postgres: EmbeddedPostgres, template: str) -> Iterator[Prepare]:
    """Give the function that returns a harness after a set-up, which is done once: each test gets a copy."""
    yield from _copies(aws, postgres, template)


@pytest.fixture(scope="module")
def prepare_shared(aws: SimulatorProcess, postgres: EmbeddedPostgres, template: str) -> Iterator[Prepare]:
    """Give the same for a copy that the tests of a file share."""
    yield from _copies(aws, postgres, template)
