"""The testbed: PostgreSQL, the local AWS, loaded databases, and runs of the program on them."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from benchmarks.collect import program
from benchmarks.collect.processes import Client, clean_environment, move_to_core
from benchmarks.collect.server import Server, execute, open_server
from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.migrations import Schema
from costbatch.adapters.vault import AesGcmVault
from costbatch.domain.accounts import AccessMethod, NewAccount
from costbatch.domain.credentials import AccessKeys, Secret, StoredSecrets
from costbatch.simulator.client import SimulatorProcess
from costbatch.simulator.demo_world import load_world
from costbatch.simulator.world import Account, Anomaly, World

DAYS, SERVICES = 30, 25
ROWS_PER_ACCOUNT = DAYS * SERVICES
_KEY = "5b" * 32
_TEMPLATE = "migrated"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one run cost: client and server apart."""

    client_seconds: float
    server_seconds: float
    wall_seconds: float
    wal_bytes: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Database:
    """A database whose accounts have all been loaded once, and what that cost."""

    url: str
    first_load: Reading


class Testbed:
    """One server and one stand-in; the databases are made when first asked for."""

    def __init__(self, server: Server, folder: Path, *, core: int | None) -> None:
        self.server, self.folder, self._core = server, folder, core
        self._clock = str(time.monotonic())
        self._world = (0, 1.0)
        self._databases: dict[str, Database] = {}
        self._rendered: set[Database] = set()
        database = PostgresDatabase(Secret(server.create_database(_TEMPLATE)))
        Schema(database.connection).upgrade()
        database.close()
        self._aws_exits = contextlib.ExitStack()
        self.aws = self._start_aws()

    def close(self) -> None:
        """End the stand-in."""
        self._aws_exits.close()

    def open_world(self, accounts: int, *, factor: float = 1.0) -> None:
        """Have at least so many accounts, whose last two days cost ``factor`` of the usual."""
        if accounts > self._world[0] or factor != self._world[1]:
            self._world = (max(accounts, self._world[0]), factor)
            self._rendered.clear()
            self._aws_exits.close()
            self.aws = self._start_aws()

    def _start_aws(self) -> SimulatorProcess:
        # Started anew for each world: one of thousands of accounts is too large for a request.
        aws = self._aws_exits.enter_context(SimulatorProcess(_world(*self._world)))
        if self._core is not None:
            move_to_core(self._core, [aws.pid])
        return aws

    @contextlib.contextmanager
    def other_aws(self, world: World) -> Iterator[SimulatorProcess]:
        """Run a stand-in with a world of its own beside the other one."""
        with SimulatorProcess(world) as aws:
            if self._core is not None:
                move_to_core(self._core, [aws.pid])
            yield aws

    def bare_database(self, name: str, accounts: int) -> str:
        """Return the URL of a database in which so many accounts are registered and nothing is loaded."""
        url = self.server.create_database(name, template=_TEMPLATE)
        _register(url, _world(accounts).accounts)
        return url

    def database(self, name: str, accounts: int) -> Database:
        """Return the database of this name, made with so many accounts and loaded with their 30 days."""
        if name not in self._databases:
            self.open_world(accounts)
            url = self.bare_database(name, accounts)
            first = self.collect(url, accounts=accounts)
            # The server runs without autovacuum, so that it works only when it is told to.
            execute(url, "VACUUM ANALYZE")
            self._databases[name] = Database(url, first)
            self._rendered.add(self._databases[name])
        return self._databases[name]

    def warm_up(self, database: Database, accounts: int) -> None:
        """Let the stand-in render the answers of a database's accounts, which it does once in each world."""
        if database not in self._rendered:
            self.collect(database.url, accounts=accounts)
            self._rendered.add(database)

    def collect(
        self,
        url: str,
        *,
        accounts: int,
        concurrency: int | None = None,
        processes: int = 1,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> Reading:
        """Run the program on the first accounts of a database; return what all its processes cost."""
        execute(url, _ACTIVATE.format(accounts=accounts), "VACUUM accounts")
        key = f"run-{time.monotonic_ns()}"
        options = ["--concurrency", str(concurrency)] if concurrency else []
        server, wal = self.server.cpu_seconds(), self.server.wal_bytes()
        began = time.monotonic()
        with contextlib.ExitStack() as exits:
            clients = [
                self._start(exits, url, ["--run-key", key, *options], number, environ)
                for number in range(processes)
            ]
            used = [client.wait() for client in clients]
            wall = time.monotonic() - began
        return Reading(
            client_seconds=sum(each.cpu_seconds for each in used),
            server_seconds=self.server.cpu_seconds() - server,
            wall_seconds=wall,
            wal_bytes=self.server.wal_bytes() - wal,
            memory_bytes=max(int(self._memory(number).read_text()) for number in range(processes)),
        )

    def environment(self, url: str) -> dict[str, str]:
        """Return the configuration of a run: 30 days, and nothing else that is not the default."""
        return clean_environment(
            DATABASE_URL=url,
            ENCRYPTION_KEY=_KEY,
            AWS_ENDPOINT_URL=self.aws.url,
            AWS_EC2_METADATA_DISABLED="true",
            COSTBATCH_WINDOW_DAYS=str(DAYS),
            COSTBATCH_HISTORY_MONTHS="0",
            **{program.CLOCK: self._clock},
        )

    def _start(
        self,
        exits: contextlib.ExitStack,
        url: str,
        options: Sequence[str],
        number: int,
        environ: Mapping[str, str],
    ) -> Client:
        log = exits.enter_context((self.folder / f"client-{number}.log").open("w+b"))
        own = {program.MEMORY: str(self._memory(number))}
        command = [sys.executable, "-m", "benchmarks.collect.program", "collect", *options]
        client = Client(command, environ={**self.environment(url), **own, **environ}, log=log)
        return exits.enter_context(contextlib.closing(client))

    def _memory(self, number: int) -> Path:
        return self.folder / f"memory-{number}"


@contextlib.contextmanager
def open_testbed(server_core: int | None) -> Iterator[Testbed]:
    """Set the testbed up for the time of a ``with`` block; the servers share one core if it is given."""
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        open_server(server_core) as server,
        contextlib.closing(Testbed(server, Path(folder), core=server_core)) as testbed,
    ):
        yield testbed


_ACTIVATE = """
UPDATE accounts SET status = CASE WHEN place <= {accounts} THEN 'active' ELSE 'paused' END
FROM (SELECT id, row_number() OVER (ORDER BY aws_account_id) AS place FROM accounts) AS numbered
WHERE accounts.id = numbered.id
  AND status <> CASE WHEN place <= {accounts} THEN 'active' ELSE 'paused' END
"""


def _world(accounts: int, factor: float = 1.0) -> World:
    world = load_world(accounts, services=SERVICES, days=DAYS, today=program.TODAY)
    if factor == 1.0:
        return world
    spike = Anomaly("spike", program.TODAY - timedelta(days=2), factor, days=2)
    return replace(world, accounts=tuple(replace(account, anomalies=(spike,)) for account in world.accounts))


def _register(url: str, accounts: Sequence[Account]) -> None:
    """Register accounts through the program's own stores, in one transaction."""
    database, vault, now = PostgresDatabase(Secret(url)), AesGcmVault(bytes.fromhex(_KEY)), datetime.now(UTC)
    with database.transaction() as tx:
        for each in accounts:
            new = NewAccount(aws_account_id=each.account_id, name=each.name, access=AccessMethod.ACCESS_KEYS)
            keys = AccessKeys(
                access_key_id=Secret(each.access_key_id), secret_access_key=Secret(each.secret_access_key)
            )
            sealed = vault.seal(each.account_id, StoredSecrets(access_keys=keys))
            tx.accounts.save_credentials(tx.accounts.add(new, now=now), sealed, now=now)
    database.close()
