"""What the examination is tried on: PostgreSQL, the local AWS, Pushgateways, and servers that misbehave."""

import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.metrics.conftest import gateway_url
from tests.support.harness import Finished, Harness, aws, harness
from tests.support.machine import free_port, program

__all__ = ["aws", "gateway_url", "harness"]

GATEWAY_PASSWORD = "planted-password"
# bcrypt of that password, as cheap as it may be.
_GATEWAY_USERS = "basic_auth_users:\n  me: $2b$04$abcdefghijklmnopqrstuuaalozgO24BBozvnT9Bl74og5BKuD1Fe\n"


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


@pytest.fixture
def now(harness: Harness) -> datetime:
    """Let the harness have the real time, which is also the database's."""
    instant = datetime.now(tz=UTC)
    harness.wake_at(instant)
    return instant


@dataclass
class Answering:
    """A web server that gives every request the same answer."""

    url: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Serve plain HTTP."""
    with _serving() as found:
        yield found


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a certificate of 127.0.0.1 that nobody trusts yet, with its key behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(tz=UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encodings = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*encodings))
    return path


@pytest.fixture
def answering_over_tls(certificate: Path) -> Iterator[Answering]:
    """Serve HTTPS with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with _serving(context) as found:
        yield found


class _serving:  # noqa: N801 - used as a with statement's function
    """Serve on a loopback port for the time of a block."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if context:
            # Each connection shakes hands in its own thread, where a refusal is nobody's error.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "https" if context else "http"
        self._answer = Answering(url=f"{scheme}://127.0.0.1:{self._server.server_port}")
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # it would print a traceback

    def __enter__(self) -> Answering:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self._answer

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        serving = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = serving._answer
                answer.requests.append((self.path, self.headers.get("Authorization", "")))
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Take connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """Return a port on which nobody listens."""
    return free_port()


@pytest.fixture
def guarded_gateway(tmp_path: Path, closed_port: int) -> Iterator[str]:
    """Run a real Pushgateway that wants a user and a password; return its host and port."""
    gateway = program("prometheus-pushgateway", "pushgateway")
    users = tmp_path / "web.yml"
    users.write_text(_GATEWAY_USERS)
    place = f"127.0.0.1:{closed_port}"
    command = [gateway, f"--web.listen-address={place}", f"--web.config.file={users}", "--persistence.file="]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until(lambda: socket.create_connection(("127.0.0.1", closed_port), 1).close())
            yield place
        finally:
            process.terminate()


def _wait_until(attempt: Callable[[], None]) -> None:
    deadline = datetime.now(tz=UTC) + timedelta(seconds=10)
    while True:
        try:
            return attempt()
        except OSError:
            if datetime.now(tz=UTC) > deadline:
                raise


@pytest.fixture
def pooled_url(database_url: str) -> Iterator[str]:
    """Stand between as a pooler does: the process id that a client is told is not the server's."""
    folder = database_url.partition("?host=")[2]
    name = database_url.partition("@/")[2].partition("?")[0]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=_pool, args=(listener, f"{folder}/.s.PGSQL.5432"), daemon=True).start()
        port = listener.getsockname()[1]
        yield f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable&gssencmode=disable"


_KEY_DATA = b"K\x00\x00\x00\x0c"


def _pool(listener: socket.socket, path: str) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        server = socket.socket(socket.AF_UNIX)
        server.connect(path)
        Thread(target=_forward, args=(client, server, lambda data: data), daemon=True).start()
        Thread(target=_forward, args=(server, client, _with_another_pid), daemon=True).start()


def _with_another_pid(data: bytes) -> bytes:
    at = data.find(_KEY_DATA) + len(_KEY_DATA)
    return data if at < len(_KEY_DATA) else data[:at] + os.urandom(4) + data[at + 4 :]


def _forward(source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with source, target:
        try:
            while data := source.recv(65536):
                target.sendall(change(data))
        except OSError:
            return
