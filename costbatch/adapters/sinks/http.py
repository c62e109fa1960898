"""Sends one request to an address of the configuration, as carefully as one that strangers may answer.

The address is checked when the connection is made, on what its name resolves to in that moment. Redirects are
not followed, the answer is read up to a limit, and everything together has one timeout. What the receiver
says never becomes part of an error but for its status: it may quote a secret.
"""

import base64
import json
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from typing_extensions import override

from costbatch.config.proxies import with_scheme
from costbatch.config.sinks import Connection
from costbatch.domain.credentials import Secret
from costbatch.errors import DeliveryError
from costbatch.timeout import within

LARGEST_BODY_BYTES = 256 * 1024
_LARGEST_ANSWER_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = range(300, 400)
_SUCCESS = range(200, 300)
_INFORMATION = range(102, 200)
# These are about the sender or the moment; other refusals are about the very message.
_NOT_OF_THE_MESSAGE = frozenset({401, 402, 403, 404, 405, 407, 408, 410, 421, 425, 426, 429, 451})
_CLIENT_ERRORS = range(400, 500)
# IPv6 addresses that a gateway translates into the IPv4 address in their last 32 bits.
_NAT64 = IPv6Network("64:ff9b::/96")


class _PrivateAddressError(Exception):
    """The name resolves to nothing but addresses inside of a network."""


class _Answer(HTTPResponse):
    """The answer itself, and not the information that may come before it, such as 103 Early Hints."""

    @override
    def begin(self) -> None:
        super().begin()
        # http.client passes over 100 alone. 101 is an answer, a wrong one: no other protocol was asked for.
        while self.status in _INFORMATION:
            # It reads a head only if it has none.
            self.headers = self.msg = None  # type: ignore[assignment] # as http.client begins
            super().begin()


class _Connection(HTTPConnection):
    """Connects to public addresses only, unless told otherwise; through TLS if there is a context."""

    response_class = _Answer

    def __init__(
        self, host: str, port: int, *, seconds: float, context: ssl.SSLContext | None, allow_private: bool
    ) -> None:
        super().__init__(host, port, timeout=seconds)
        # Or the header Host would name the port 443, which some receivers do not know as theirs.
        self.default_port = _PORTS["https" if context else "http"]
        self._context, self._allow_private = context, allow_private
        self.tls_name = host

    @override
    def connect(self) -> None:
        # http.client's own place for what makes the socket; a tunnel is opened after it.
        self._create_connection = self._open
        super().connect()
        if self._context:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.tls_name)

    def _open(self, address: tuple[str, int], timeout: float, _source: object) -> socket.socket:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        allowed = [each for each in found if self._allow_private or is_public(str(each[4][0]))]
        if not allowed:
            raise _PrivateAddressError
        problem: OSError | None = None
        for family, kind, protocol, _, target in allowed:
            opened = socket.socket(family, kind, protocol)
            opened.settimeout(timeout)
            try:
                opened.connect(target)
            except OSError as error:
                opened.close()
                problem = error
            else:
                return opened
        raise problem or OSError("no address")


def is_public(text: str) -> bool:
    """Whether an IP address is one of the internet, and not loopback, private, link-local or the like."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast


@dataclass(frozen=True, kw_only=True)
class HttpClient:
    """Sends to one address. what: the receiver, as a sentence names it. version: of this program."""

    url: Secret
    what: str
    connection: Connection = field(default=Connection())
    token: Secret | None = None
    version: str

    @cached_property
    def address(self) -> str:
        """The address without path and query, which may be secret."""
        parts = urlsplit(self.url.reveal())
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def get_list(self, *, path: str) -> list[dict[str, Any]]:
        """Return the list of JSON objects at a path, which is appended to the URL's and may have a query.

        It takes half of the timeout at most, and leaves the other half for the request that it is asked for.

        Raises:
            DeliveryError: there is none, or it is too large.

        """
        _, body = self._exchange("GET", path, {}, spent_seconds=self.connection.timeout_seconds / 2)
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise DeliveryError(f"{self._receiver} did not answer with a list, as it should.")
        return found

    def post_json(self, document: object, *, path: str = "", spent_seconds: float = 0.0) -> str:
        """Send a document; see ``post``."""
        headers = {"Content-Type": "application/json"}
        return self.post(to_json(document), headers, path=path, spent_seconds=spent_seconds)

    def post(
        self, body: bytes, headers: Mapping[str, str], *, path: str = "", spent_seconds: float = 0.0
    ) -> str:
        """Send a body and return the status that answers it, such as "204 No Content".

        path: to append to the URL's. spent_seconds: what a request before it took of the same timeout.

        Raises:
            DeliveryError: it was not accepted.

        """
        if len(body) > LARGEST_BODY_BYTES:
            raise DeliveryError(
                f"The message has {len(body):,} bytes, more than the limit of {LARGEST_BODY_BYTES:,}.",
                is_refused=True,
                is_too_large=True,
            )
        status, _ = self._exchange("POST", path, headers, body, spent_seconds=spent_seconds)
        return _phrase(status)

    def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        spent_seconds: float = 0.0,
    ) -> tuple[int, bytes]:
        """Send a request and return the status and the body of its answer, if that is a success."""
        limit = self.connection.timeout_seconds
        try:
            status, retry_after, answer = within(
                limit - spent_seconds, lambda: self._send(method, path, headers, body)
            )
        except TimeoutError:
            raise DeliveryError(f"{self._receiver} did not answer within {limit:g} seconds.") from None
        except _PrivateAddressError:
            raise DeliveryError(
                f"{self._receiver} has only addresses inside of a network, which are refused; "
                "set allow_private: true if that is meant."
            ) from None
        except (OSError, HTTPException, ValueError) as error:
            raise DeliveryError(f"{self._receiver} {_why_unreachable(error)}") from None
        if status not in _SUCCESS:
            raise self._refusal(status, retry_after)
        return status, answer

    @property
    def _receiver(self) -> str:
        return f"{self.what} at {self.address}"

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Loading the certificates takes longer than a request.
        context = ssl.create_default_context()
        if self.connection.ca_file:
            context.load_verify_locations(self.connection.ca_file)
        return context

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, str | None, bytes]:
        parts, more = urlsplit(self.url.reveal()), urlsplit(path)
        target = (parts.path.rstrip("/") if path else parts.path) + more.path
        query = "&".join(filter(None, (parts.query, more.query)))
        target = (target or "/") + (f"?{query}" if query else "")
        connection, base, of_proxy = self._connection()
        sent = {"User-Agent": f"costbatch/{self.version}", **headers, **of_proxy}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token.reveal()}"
        try:
            connection.connect()
            if connection.sock is not None:
                connection.sock.settimeout(self.connection.timeout_seconds)
            # A receiver may answer before it has read everything, as if that is too large, and close; with
            # TLS, that is an EOF.
            with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                connection.request(method, base + target, body, sent)
            answer = connection.getresponse()
            # Whether what was posted was accepted, the status says alone: the rest may be slow or broken.
            content = answer.read(_LARGEST_ANSWER_BYTES) if method == "GET" else b""
            return answer.status, answer.getheader("Retry-After"), content
        finally:
            connection.close()

    def _connection(self) -> tuple[_Connection, str, Mapping[str, str]]:
        """Return a connection to the receiver or its proxy, what precedes the path, and more headers.

        A plain request to a proxy names the whole URL and has the credentials; else the tunnel has them.
        """
        parts = urlsplit(self.url.reveal())
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        context = self._tls if parts.scheme == "https" else None
        seconds = self.connection.connect_timeout_seconds
        proxy = urlsplit(with_scheme(getproxies().get(parts.scheme, "")))
        if not proxy.hostname or proxy_bypass(host):
            allow_private = self.connection.allow_private
            made = _Connection(host, port, seconds=seconds, context=context, allow_private=allow_private)
            return made, "", {}
        if not self.connection.allow_private and _is_private_literal(host):
            raise _PrivateAddressError
        if proxy.scheme != "http":
            raise DeliveryError(
                f"{self._receiver} is behind a proxy with the scheme {proxy.scheme}, which is not supported; "
                "give the proxy's http:// address."
            )
        # The operator's own; what lies behind it is its to decide.
        made = _Connection(
            proxy.hostname, proxy.port or _PORTS["http"], seconds=seconds, context=context, allow_private=True
        )
        credentials = _proxy_credentials(proxy)
        if context is None:
            return made, self.address, credentials
        made.set_tunnel(host, port, headers=credentials)
        made.tls_name = host
        return made, "", {}

    def _refusal(self, status: int, retry_after: str | None) -> DeliveryError:
        advice = ""
        if status in _REDIRECTS:
            advice = "; redirects are not followed, so give the final address"
        elif status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            advice = "; check its secrets and its token"
        elif status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            advice = ": the message is too large for it"
        return DeliveryError(
            f"{self._receiver} answered {_phrase(status)}{advice}.",
            is_refused=status in _CLIENT_ERRORS and status not in _NOT_OF_THE_MESSAGE,
            is_too_large=status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            retry_after_seconds=parse_retry_after(retry_after, datetime.now(UTC)),
        )


def to_json(document: object) -> bytes:
    """Return a document as the bytes that are signed and sent."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def parse_retry_after(text: str | None, now: datetime) -> int | None:
    """Return the seconds of the header Retry-After, which has seconds or a date; None if it has neither."""
    if not text or len(text) > 40:  # noqa: PLR2004 - longer than any date
        return None
    if text.isascii() and text.isdecimal():
        return min(int(text), 10**9)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0, round((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()))


def _proxy_credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def _is_private_literal(host: str) -> bool:
    try:
        return not is_public(host)
    except ValueError:
        return False


def _phrase(status: int) -> str:
    # Python's own phrase: a receiver's may contain anything.
    is_known = status in HTTPStatus.__members__.values()
    return f"{status} {HTTPStatus(status).phrase}" if is_known else str(status)


# What http.client says of a proxy that opens no tunnel.
_of_tunnel = re.compile(r"Tunnel connection failed: ([0-9]{3})").match


def _why_unreachable(error: Exception) -> str:
    """Return the end of a sentence, in our words: an error's own may quote what the receiver said."""
    match error:
        case ssl.SSLCertVerificationError():
            reason = f"has a certificate that is not trusted: {error.verify_message}; see ca_file."
        case ssl.SSLError():
            reason = "does not speak TLS as it should."
        case socket.gaierror():
            reason = "cannot be reached: its name does not resolve."
        case ConnectionResetError() | BrokenPipeError():
            reason = "closed the connection without an answer."
        case OSError() if error.strerror:
            reason = f"cannot be reached: {error.strerror}."
        case OSError() if refusal := _of_tunnel(str(error)):
            reason = f"is behind a proxy that answered {refusal[1]}; check its address and its password."
        case _:
            reason = "answered something that is not HTTP."
    return reason
