"""Checks Signature Version 4 by recomputing it. Knows neither accounts nor error formats."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from costbatch.simulator.errors import AuthProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHM = "AWS4-HMAC-SHA256"
TIMESTAMP_FORMAT = "%Y%m%dT%H%M%SZ"
CLOCK_SKEW = timedelta(minutes=5)
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
MISMATCH_MESSAGE = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)
_HEADER = re.compile(
    rf"{ALGORITHM} Credential=([^/\s]+)/(\d{{8}})/([^/\s]+)/([^/\s]+)/aws4_request,"
    r"\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)


class SignatureError(Exception):
    """A request whose signature cannot be accepted, and why."""

    def __init__(self, problem: AuthProblem, message: str) -> None:
        super().__init__(message)
        self.problem = problem
        self.message = message


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The parts of an HTTP request that a signature covers. Header names compare without case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Authorization:
    """The parsed Authorization header."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: str
    signature: str


def parse_authorization(headers: Mapping[str, str]) -> Authorization:
    """Parse the Authorization header."""
    value = headers.get("Authorization")
    if value is None:
        raise SignatureError(AuthProblem.MISSING, "Missing Authentication Token")
    match = _HEADER.fullmatch(value)
    if match is None:
        raise SignatureError(
            AuthProblem.INCOMPLETE,
            "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters.",
        )
    return Authorization(*match.groups())


def verify(request: HttpRequest, authorization: Authorization, *, secret: str, now: datetime) -> None:
    """Raise SignatureError unless the signature is valid."""
    timestamp = request.headers.get("X-Amz-Date")
    if timestamp is None:
        raise SignatureError(
            AuthProblem.INCOMPLETE, "Authorization header requires existence of either a 'X-Amz-Date' header."
        )
    _check_clock(timestamp, authorization, now)
    _check_signed_headers(request.headers, authorization)
    payload_hash = _payload_hash(request)
    canonical = canonical_request(request, authorization.signed_headers, payload_hash)
    expected = signature(canonical, authorization, secret=secret, timestamp=timestamp)
    if not hmac.compare_digest(expected, authorization.signature):
        raise SignatureError(AuthProblem.SIGNATURE, MISMATCH_MESSAGE)


def canonical_request(request: HttpRequest, signed_headers: str, payload_hash: str) -> str:
    """Write the request in the canonical form that is signed."""
    headers = request.headers
    lines = [f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed_headers.split(";")]
    pairs = (pair.partition("=") for pair in request.query.split("&") if pair)
    query = "&".join(sorted(f"{name}={value}" for name, _, value in pairs))
    path = quote(request.path, safe="/~%")
    return f"{request.method}\n{path}\n{query}\n{''.join(lines)}\n{signed_headers}\n{payload_hash}"


def signature(canonical: str, authorization: Authorization, *, secret: str, timestamp: str) -> str:
    """Sign a canonical request."""
    scope = f"{authorization.date}/{authorization.region}/{authorization.service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = signing_key(secret, authorization.date, region=authorization.region, service=authorization.service)
    return hmac.new(key, f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}".encode(), "sha256").hexdigest()


# A derivation takes four HMACs and is valid for a day, a region and a service: it is cached.
@lru_cache(maxsize=65536)
def signing_key(secret: str, date: str, *, region: str, service: str) -> bytes:
    """Derive the key that signs one day's requests to one service of one region."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _check_clock(timestamp: str, authorization: Authorization, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(timestamp, TIMESTAMP_FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        raise SignatureError(
            AuthProblem.INCOMPLETE, f"Date must be in ISO-8601 'basic format'. Got '{timestamp}'."
        ) from error
    if not timestamp.startswith(authorization.date):
        raise SignatureError(
            AuthProblem.SIGNATURE,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{authorization.date}' != '{timestamp[:8]}', from '{timestamp}'.",
        )
    if abs(now - signed_at) > CLOCK_SKEW:
        raise SignatureError(AuthProblem.SIGNATURE, _skew_message(signed_at, now))


def _skew_message(signed_at: datetime, now: datetime) -> str:
    clock = f"{now:{TIMESTAMP_FORMAT}}"
    if signed_at < now:
        limit = now - CLOCK_SKEW
        early = f"{signed_at:{TIMESTAMP_FORMAT}} is now earlier than {limit:{TIMESTAMP_FORMAT}}"
        return f"Signature expired: {early} ({clock} - 5 min.)"
    limit = now + CLOCK_SKEW
    late = f"{signed_at:{TIMESTAMP_FORMAT}} is still later than {limit:{TIMESTAMP_FORMAT}}"
    return f"Signature not yet current: {late} ({clock} + 5 min.)"


def _check_signed_headers(headers: Mapping[str, str], authorization: Authorization) -> None:
    signed = authorization.signed_headers.split(";")
    must_be_signed = ["host", "x-amz-date"]
    if "X-Amz-Security-Token" in headers:
        must_be_signed.append("x-amz-security-token")
    if "X-Amz-Target" in headers:
        must_be_signed.append("x-amz-target")
    for name in must_be_signed:
        if name not in signed:
            raise SignatureError(
                AuthProblem.SIGNATURE, f"'{name}' must be a 'SignedHeader' in the AWS Authorization."
            )


def _payload_hash(request: HttpRequest) -> str:
    claimed = request.headers.get("X-Amz-Content-SHA256")
    if claimed == UNSIGNED_PAYLOAD:
        return UNSIGNED_PAYLOAD
    actual = hashlib.sha256(request.body).hexdigest()
    if claimed is not None and claimed != actual:
        raise SignatureError(AuthProblem.SIGNATURE, MISMATCH_MESSAGE)
    return actual
