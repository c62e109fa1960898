"""Applies timeouts to a whole request to AWS: its connection, then all of it to the response's last byte.

urllib3 restarts its timeouts for each address that it tries and for each read, so a server that sends a byte
now and then would never time out. The resolver limits how long a name takes to resolve.
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


def limit_client(client: BaseClient) -> None:
    """Apply the timeouts of a client to whole requests."""
    # botocore has no public name for its connections; a test proves that this holds.
    limit_session(client._endpoint.http_session)  # type: ignore[attr-defined] # noqa: SLF001 - see above


def limit_session(http_session: Any) -> None:  # noqa: ANN401 - botocore does not export its type
    """Apply the timeouts of botocore's HTTP session to whole requests, through a proxy too."""
    http_session._pool_classes_by_scheme.update(http=_Pool, https=_TlsPool)  # noqa: SLF001 - as in limit_client


class _Limited:
    """A connection of urllib3 whose timeouts apply to the whole.

    Its ``timeout`` is the connection's until the response is read, as in urllib3.
    """

    sock: Any
    timeout: float
    port: int
    socket_options: Any
    _dns_host: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - urllib3's
        super().__init__(*args, **kwargs)
        # botocore keeps the class that reads a response under both names.
        self.response_class: Any = self._response
        self._original_response_cls: Any = self._response
        self._deadline = 0.0
        self._sent_at = 0.0

    def connect(self) -> None:
        """Connect, including a proxy's tunnel and TLS."""
        self._deadline = monotonic() + self.timeout
        super().connect()  # type: ignore[misc] # urllib3's, as below
        self._sent_at = monotonic()

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - urllib3's
        """Send a request."""
        self._sent_at = monotonic()
        if self.sock is not None:
            # The last response left it with the time that remained.
            self.sock.settimeout(self.timeout)
        super().request(*args, **kwargs)  # type: ignore[misc]

    def getresponse(self) -> Any:  # noqa: ANN401 - urllib3's
        """Return the response; its body has to be read within the same limit."""
        self._deadline = self._sent_at + self.timeout
        return super().getresponse()  # type: ignore[misc]

    def _response(self, sock: socket.socket, **kwargs: Any) -> HTTPResponse:  # noqa: ANN401 - urllib3's
        return HTTPResponse(_SocketUntil(sock, self._deadline), **kwargs)  # type: ignore[arg-type] # it needs only makefile

    def _new_conn(self) -> socket.socket:
        """Try the addresses one by one, all within the connection's timeout."""
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


class _Connection(_Limited, AWSHTTPConnection):  # type: ignore[misc] # the bases' own signatures differ
    pass


class _TlsConnection(_Limited, AWSHTTPSConnection):  # type: ignore[misc] # as above
    pass


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _SocketUntil:
    """A socket for http.client's responses that times out at the deadline."""

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
