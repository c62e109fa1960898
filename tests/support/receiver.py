"""A receiver of events over HTTP or HTTPS, on loopback: keeps what comes, and answers as told."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event
from typing import Any

from tests.support.recorder import Asked, serving


@dataclass(frozen=True)
class Reply:
    """An answer. raw: bytes instead of HTTP. hangs: none at all; resets: the connection ends without one."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes = b""
    hangs: bool = False
    resets: bool = False


@dataclass
class Receiver:
    """The replies still to give, one to each request (then ``reply``), and the requests so far.

    Each GET is answered with ``stored`` unless it hangs, and its target kept in ``read``.
    """

    url: str = ""
    reply: Reply = field(default_factory=Reply)
    replies: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    stored: bytes = b"[]"
    read: list[str] = field(default_factory=list)
    read_hangs: bool = False
    is_over: Event = field(default_factory=Event)

    @property
    def bodies(self) -> list[bytes]:
        """What was sent."""
        return [each.body for each in self.asked]


@contextmanager
def receiving(certificate: Path | None = None) -> Iterator[Receiver]:
    """Receive on a loopback port, over TLS if there is a certificate."""
    receiver = Receiver()
    with serving(_handler(receiver), certificate) as receiver.url:
        try:
            yield receiver
        finally:
            # What hangs may end.
            receiver.is_over.set()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1

        def do_GET(self) -> None:
            receiver.read.append(self.path)
            if receiver.read_hangs:
                receiver.is_over.wait()
            self.send_response(200)
            self.send_header("Content-Length", str(len(receiver.stored)))
            self.end_headers()
            self.wfile.write(receiver.stored)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.asked.append(Asked(self.client_address[1], self.path, headers, body))
            reply = receiver.replies.pop(0) if receiver.replies else receiver.reply
            self.close_connection = True
            if reply.hangs:
                receiver.is_over.wait()
            elif reply.raw:
                self.wfile.write(reply.raw)
            elif not reply.resets:
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
