"""A fake Pushgateway that keeps what is pushed, or delays its responses."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


@dataclass
class Gateway:
    """``asked`` is set by the first push. Pushes are answered once ``open`` is set."""

    url: str = ""
    pushed: list[str] = field(default_factory=list)
    asked: Event = field(default_factory=Event)
    open: Event = field(default_factory=Event)

    @property
    def text(self) -> str:
        """Everything that was pushed."""
        return "\n".join(self.pushed)


@contextmanager
def serve_gateway() -> Iterator[Gateway]:
    """Serve a gateway from a thread for the time of a ``with`` block."""
    gateway = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            gateway.pushed.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            gateway.asked.set()
            gateway.open.wait(30)
            self.send_response(202)
            self.end_headers()

        do_POST = do_PUT  # noqa: N815 - the server looks for this name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield gateway
    finally:
        gateway.open.set()
        server.shutdown()
        thread.join()
        server.server_close()
