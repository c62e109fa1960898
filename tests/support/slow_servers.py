"""Slow servers: one that sends a byte at a time, and a database that takes time to wake up."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import sleep

DRIP_SECONDS = 0.1
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def dripping(*, headers: bool) -> Iterator[str]:
    """Serve HTTP whose headers, or whose body, come a byte at a time and never end; give its URL."""

    def drip(client: socket.socket, over: Event) -> None:
        client.recv(65_536)
        client.sendall(b"HTTP/1.1 200 OK\r\nX: " if headers else _HEAD)
        while not over.wait(DRIP_SECONDS):
            client.sendall(b"x")

    with _serving(drip) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def relay(path: str, *, wakes_after_seconds: float) -> Iterator[int]:
    """Serve a TCP port that takes connections at once and passes each on to a Unix socket later."""

    def pass_on(client: socket.socket, over: Event) -> None:
        if over.wait(wakes_after_seconds):
            return
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(path)
            Thread(target=_copy, args=[server, client], daemon=True).start()
            _copy(client, server)

    with _serving(pass_on) as port:
        yield port


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def _serving(talk: Callable[[socket.socket, Event], None]) -> Iterator[int]:
    over = Event()

    def handle(client: socket.socket) -> None:
        with client, suppress(OSError):
            talk(client, over)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                Thread(target=handle, args=[client], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=accept, args=[listener], daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            sleep(DRIP_SECONDS)
