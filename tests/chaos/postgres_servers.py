"""A PostgreSQL of a test's own, which it may stop, and a PgBouncer or a network in front of one."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import psycopg2
from psycopg2.extensions import parse_dsn

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.migrations import Schema
from costbatch.demo.postgres import EmbeddedPostgres, embedded_postgres
from costbatch.domain.credentials import Secret
from tests.support.databases import database_folder, execute
from tests.support.machine import free_port, program
from tests.support.waiting import until

# Debian puts it where only root's PATH leads.
_PLACES = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


class Server:
    """A PostgreSQL of one module's own, so that stopping it disturbs nobody."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self.postgres = postgres

    @property
    def socket_folder(self) -> Path:
        """Where its socket lies."""
        folder: Path = self.postgres._server.get_postmaster_info().socket_dir
        return folder

    @property
    def system_user(self) -> str:
        """The user of this machine that it runs as; nobody else need reach its socket."""
        name: str = self.postgres._server.get_postmaster_info().process.username()
        return name

    def new_database(self, name: str) -> str:
        """Return the URL of a migrated database."""
        url = self.postgres.create_database(name)
        database = PostgresDatabase(Secret(url))
        Schema(database.connection).upgrade()
        database.close()
        return url

    def stop(self, number: signal.Signals) -> None:
        """Stop the server as a signal to its first process does, and wait until it has ended."""
        process = self.postgres._server.get_postmaster_info().process
        os.kill(process.pid, number)
        until(lambda: not process.is_running())

    def restart(self, mode: signal.Signals) -> None:
        """Stop the server and start it again."""
        self.stop(mode)
        self.start()

    def start(self) -> None:
        """Start the server again on the same data and the same socket."""
        self.postgres._server.start()


@contextmanager
def serve_postgres() -> Iterator[Server]:
    """Run a server that a test may stop for the time of a ``with`` block."""
    with database_folder() as folder, embedded_postgres(folder) as postgres:
        # Enough to outlive the end of a process, which is all that befalls it.
        execute(postgres, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield Server(postgres)


@contextmanager
def serve_pgbouncer(server: Server, *, server_connections: int) -> Iterator[str]:
    """Run PgBouncer in transaction mode before a server; yield its URL without a database's name."""
    pgbouncer, port = program("pgbouncer", path=_PLACES), free_port()
    with TemporaryDirectory(prefix="costbatch-pgbouncer-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        settings = folder / "pgbouncer.ini"
        settings.write_text(_settings(pgbouncer, server, port, server_connections))
        # It refuses to run as root.
        user = ["-u", server.system_user] if os.geteuid() == 0 else []
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([pgbouncer, *user, str(settings)], stdout=log, stderr=log)
        url = f"postgresql://postgres@127.0.0.1:{port}"
        try:
            until(lambda: process.poll() is not None or _answers(f"{url}/postgres"))
            assert process.poll() is None, (folder / "log").read_text()
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _settings(pgbouncer: str, server: Server, port: int, server_connections: int) -> str:
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": server_connections,
        # After 15 seconds without its server, as by default, a test has had enough.
        "server_login_retry": 1,
    }
    version = subprocess.run([pgbouncer, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, version.split()[1].split(".")[:2])) >= (1, 21):
        # Before, it knew nothing of prepared statements.
        settings["max_prepared_statements"] = 0
    lines = [f"{name} = {value}" for name, value in settings.items()]
    databases = f"* = host={server.socket_folder} user=postgres"
    return "\n".join(["[databases]", databases, "[pgbouncer]", *lines, ""])


def _answers(url: str) -> bool:
    try:
        psycopg2.connect(url, connect_timeout=5).close()
    except psycopg2.OperationalError:
        return False
    return True


class Network:
    """The way to a database. Once it is cut, the server hears nothing of its clients, not even their end."""

    def __init__(self, url: str, listener: socket.socket) -> None:
        given = parse_dsn(url)
        self._server = f"{given['host']}/.s.PGSQL.5432"
        self._listener = listener
        self._cut = Event()
        self._sockets: list[socket.socket] = []
        options = "sslmode=disable&gssencmode=disable"
        port = listener.getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}/{given['dbname']}?{options}"

    def serve(self) -> None:
        """Connect whoever comes."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            self._sockets += [client, server]
            for one, other in ((client, server), (server, client)):
                Thread(target=self._forward, args=(one, other), daemon=True).start()

    def cut(self) -> None:
        """Let every later byte and every end of a connection get lost."""
        self._cut.set()

    def close(self) -> None:
        """Close the connections, as the server does with one that has been silent for too long."""
        for each in self._sockets:
            # Also if a thread still waits for it.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while (data := source.recv(65536)) and not self._cut.is_set():
                target.sendall(data)
            if not self._cut.is_set():
                target.shutdown(socket.SHUT_WR)


@contextmanager
def network_to(url: str) -> Iterator[Network]:
    """Put a network in front of a database, which a test may cut."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        network = Network(url, listener)
        Thread(target=network.serve, daemon=True).start()
        try:
            yield network
        finally:
            network.close()
