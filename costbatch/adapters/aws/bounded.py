"""Bounds a whole request to AWS: opening the connection, and then everything up to the answer's last byte.

urllib3 counts its timeouts anew for each address that it tries and for each read, so a server that sends a
byte now and then would be listened to for ever. How long a name may take to resolve is the resolver's.
"""

import socket
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from time import monotonic
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.client import BaseClient
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

_AT_ONCE_SECONDS = 0.001


def bound_client(client: BaseClient) -> None:
    """Let the timeouts of a client count for whole requests."""
    # There is no other way to its connections; a test proves that it holds.
    bound_session(client._endpoint.http_session)  # type: ignore[attr-defined] # noqa: SLF001 - see above


def bound_session(http_session: Any) -> None:  # noqa: ANN401 - botocore does not export its type
    """Let the timeouts of botocore's HTTP session count for whole requests, also of those through a proxy."""
    http_session._pool_classes_by_scheme.update(http=_Pool, https=_TlsPool)  # noqa: SLF001 - as in bound_client


class _Bounded:
    """Makes a connection of urllib3 keep to its timeouts as a whole.

    Its ``timeout`` is the one of the connection until the answer is read, as urllib3 has it.
    """

    sock: Any
    timeout: float
    port: int
    socket_options: Any
    _dns_host: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - urllib3's
        super().__init__(*args, **kwargs)
        # Under both names botocore keeps what reads an answer.
        self.response_class: Any = self._response
        self._original_response_cls: Any = self._response
        self._deadline = 0.0
        self._sent_at = 0.0

    def connect(self) -> None:
        """Connect, a proxy's tunnel and TLS included."""
        self._deadline = monotonic() + self.timeout
        super().connect()  # type: ignore[misc] # urllib3's, as below
        self._sent_at = monotonic()

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - urllib3's
        """Send a request."""
        self._sent_at = monotonic()
        if self.sock is not None:
            # The last answer left it with what was over.
            self.sock.settimeout(self.timeout)
        super().request(*args, **kwargs)  # type: ignore[misc]

    def getresponse(self) -> Any:  # noqa: ANN401 - urllib3's
        """Return the answer, whose body is still to be read within the same limit."""
        self._deadline = self._sent_at + self.timeout
        return super().getresponse()  # type: ignore[misc]

    def _response(self, sock: socket.socket, **kwargs: Any) -> HTTPResponse:  # noqa: ANN401 - urllib3's
        return HTTPResponse(_Until(sock, self._deadline), **kwargs)  # type: ignore[arg-type] # it needs no more

    def _new_conn(self) -> socket.socket:
        """Try the addresses one after the other, all of them within the connection's timeout."""
        host, port = self._dns_host.strip("[]"), self.port
        problem = OSError("the name has no address")
        try:
            for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                sock = socket.socket(family, kind, protocol)
                try:
                    for option in self.socket_options or ():
                        sock.setsockopt(*option)
                    sock.settimeout(_left(self._deadline))
                    sock.connect(address)
                    sock.settimeout(_left(self._deadline))
                except OSError as error:
                    sock.close()
                    problem = error
                else:
                    return sock
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(host, self, error) from error  # type: ignore[arg-type] # says what it is
        if isinstance(problem, TimeoutError):
            raise ConnectTimeoutError(self, f"Connection to {host} timed out.") from problem
        raise NewConnectionError(self, f"Failed to establish a new connection: {problem}") from problem  # type: ignore[arg-type] # as above


class _Connection(_Bounded, AWSHTTPConnection):  # type: ignore[misc] # the bases' own signatures differ
    pass


class _TlsConnection(_Bounded, AWSHTTPSConnection):  # type: ignore[misc] # as above
    pass


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Until:
    """A socket as an answer of http.client sees it, which gives nothing after the deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def makefile(self, _: str) -> BufferedReader:
        return BufferedReader(_Reader(self._sock, self._sock.makefile("rb", buffering=0), self._deadline))


class _Reader(RawIOBase):
    """Reads from a socket until the deadline."""

    def __init__(self, sock: socket.socket, raw: Any, deadline: float) -> None:  # noqa: ANN401 - unbuffered, of either kind
        self._sock, self._raw, self._deadline = sock, raw, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - as declared by the base
        self._sock.settimeout(_left(self._deadline))
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return max(left, _AT_ONCE_SECONDS)
