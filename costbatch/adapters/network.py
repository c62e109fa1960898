"""Checks that a Pushgateway is ready, with the address, credentials and proxy of a push."""

import base64
from http import HTTPStatus
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from typing_extensions import override

from costbatch.application.doctor.ports import Gateway
from costbatch.domain.credentials import Secret
from costbatch.errors import DeliveryError

_READY = "/-/ready"
_REDIRECTS = range(300, 400)


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirects, because a push follows none."""

    @override
    def redirect_request(self, *_: object) -> None:
        """Return no request, so that a redirect is an error like any other."""


class GatewayProbe(Gateway):
    """Checks one Pushgateway; ``url`` may contain a user and a password."""

    def __init__(self, url: Secret, *, timeout_seconds: float) -> None:
        parts = urlsplit(url.reveal())
        self._address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._path = parts.path.rstrip("/")
        self._credentials = _basic_auth(parts.username, parts.password)
        self._timeout_seconds = timeout_seconds

    @property
    @override
    def address(self) -> str:
        return self._address

    @override
    def check_ready(self) -> None:
        request = Request(self._address + self._path + _READY)  # noqa: S310 - the setting is checked to be http or https
        if self._credentials:
            request.add_unredirected_header("Authorization", self._credentials)
        try:
            build_opener(_NoRedirects).open(request, timeout=self._timeout_seconds).close()
        except HTTPError as error:
            error.close()
            raise DeliveryError(f"The Pushgateway at {self._address} {_refusal(error.code)}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise DeliveryError(self._no_answer(error)) from None

    def _no_answer(self, error: Exception) -> str:
        reason = error.reason if isinstance(error, URLError) else error
        advice = "Check PUSHGATEWAY_URL, the network policy and that the Pushgateway is up."
        if isinstance(reason, TimeoutError):
            limit = f"{self._timeout_seconds:g} seconds"
            return f"The Pushgateway at {self._address} did not answer within {limit}. {advice}"
        why = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
        return f"The Pushgateway at {self._address} cannot be reached: {why}. {advice}"


def _refusal(status: int) -> str:
    # Python's own phrase: a server's may contain anything.
    known = status in HTTPStatus.__members__.values()
    answer = f"answered {status} {HTTPStatus(status).phrase}" if known else f"answered {status}"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f"{answer}. Check the user and the password in PUSHGATEWAY_URL."
    if status in _REDIRECTS:
        return f"{answer}. Redirects are not followed, so set PUSHGATEWAY_URL to the final address."
    if status == HTTPStatus.NOT_FOUND:
        return f"{answer} for {_READY}. Check that PUSHGATEWAY_URL is a Pushgateway's, with its path prefix."
    return f"{answer}, so it is not ready. See its log, and the log of a proxy in front of it."


def _basic_auth(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
