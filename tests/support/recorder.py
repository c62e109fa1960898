"""A web server that records requests and their connections, and answers as told."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

THROTTLED: tuple[int, dict[str, Any]] = (400, {"__type": "LimitExceededException"})
# The connection ends without an answer.
LOST: tuple[int, dict[str, Any]] = (0, {})
GOOD: tuple[int, dict[str, Any]] = (200, {"ResultsByTime": []})


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; ``port`` tells the connections apart."""

    port: int
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Recorder:
    """The answers still to give (then good ones), and the requests so far."""

    url: str = ""
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[str]:
    """Serve on a loopback port, over TLS if there is a certificate; give the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # it would print a traceback
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # Each connection shakes hands in its own thread, where a refusal is nobody's error.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def recording(certificate: Path | None = None) -> Iterator[Recorder]:
    """Serve as a recorder says, over TLS if there is a certificate."""
    recorder = Recorder()
    with serving(_handler(recorder), certificate) as recorder.url:
        yield recorder


def _handler(recorder: Recorder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body in one packet, or each answer waits for the other side's delayed acknowledgement.
        wbufsize = -1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            recorder.asked.append(Asked(self.client_address[1], self.path, headers, body))
            status, answer = recorder.answers.pop(0) if recorder.answers else GOOD
            if not status:
                self.close_connection = True
                return
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
