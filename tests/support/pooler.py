"""A fake connection pooler in front of PostgreSQL."""

import os
import socket
from collections.abc import Callable, Iterator
from threading import Thread

import pytest


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
