"""Asks a Pushgateway whether it is ready, as a push would come to it: same address, credentials and proxy."""

import base64
from http import HTTPStatus
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from costbatch.domain.credentials import Secret
from costbatch.errors import DeliveryError

_READY = "/-/ready"
_REDIRECTS = range(300, 400)


class _StayHere(HTTPRedirectHandler):
    """Follows no redirect: a push does not either, so where it leads says nothing."""

    def redirect_request(self, *_: object) -> None:
        """Return no request; the redirect then is an error like any other."""


class GatewayProbe:
    """Asks one Pushgateway; ``url`` may hold a user and a password."""

    def __init__(self, url: Secret, *, timeout_seconds: float) -> None:
        parts = urlsplit(url.reveal())
        self._address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._path = parts.path.rstrip("/")
        self._credentials = _basic_auth(parts.username, parts.password)
        self._timeout_seconds = timeout_seconds

    @property
    def address(self) -> str:
        """Where it is, without credentials."""
        return self._address

    def check_ready(self) -> None:
        """Ask whether it would take metrics.

        Raises:
            DeliveryError: it would not; the message ends with what to do.

        """
        request = Request(self._address + self._path + _READY)  # noqa: S310 - the setting is checked to be http or https
        if self._credentials:
            request.add_unredirected_header("Authorization", self._credentials)
        try:
            build_opener(_StayHere).open(request, timeout=self._timeout_seconds).close()
        except HTTPError as error:
            error.close()
            raise DeliveryError(f"The Pushgateway at {self._address} {_refusal(error.code)}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise DeliveryError(self._silence(error)) from None

    def _silence(self, error: Exception) -> str:
        reason = error.reason if isinstance(error, URLError) else error
        advice = "Check PUSHGATEWAY_URL, the network policy and that the Pushgateway is up."
        if isinstance(reason, TimeoutError):
            limit = f"{self._timeout_seconds:g} seconds"
            return f"The Pushgateway at {self._address} did not answer within {limit}. {advice}"
        why = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
        return f"The Pushgateway at {self._address} cannot be reached: {why}. {advice}"


def _refusal(status: int) -> str:
    # The words are Python's own: a server's may hold anything.
    known = status in HTTPStatus.__members__.values()
    answer = f"answered {status} {HTTPStatus(status).phrase}" if known else f"answered {status}"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f"{answer}. Check the user and the password in PUSHGATEWAY_URL."
    if status in _REDIRECTS:
        return f"{answer}. Redirects are not followed, so set PUSHGATEWAY_URL to the final address."
    if status == HTTPStatus.NOT_FOUND:
        return f"{answer} for {_READY}. Check that PUSHGATEWAY_URL is a Pushgateway's, with its path prefix."
    return f"{answer}, so it is not ready. See its log, and that of a proxy in front of it."


def _basic_auth(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
