"""Hooks into botocore's events: each attempt is signed for its caller, rate limited, counted and observed.

botocore alone decides what is retried, and after which pause.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.client import BaseClient
from botocore.credentials import Credentials
from botocore.retries.standard import RetryEventAdapter, ThrottlingErrorDetector

from costbatch.adapters.aws.errors import is_unsent
from costbatch.adapters.aws.rate_limiter import LimitedRequest, RateLimiter
from costbatch.application.ports import Spend
from costbatch.domain.credentials import AccessKeys
from costbatch.errors import AccountError, ErrorKind

OK = 200

# botocore keeps a context per request; this member of it lasts from one attempt to the next.
_LIMITED = "costbatch-limited-request"


@dataclass(slots=True)
class Caller:
    """Whose requests a thread makes. ``spend`` counts the attempts, if AWS charges for them.

    ``first_outcome`` is how the first attempt ended if it was made already, as the request ``limited``:
    botocore continues from there.
    """

    keys: AccessKeys
    limited: LimitedRequest | None = None
    spend: Spend | None = None
    first_outcome: AWSResponse | Exception | None = None


_current_caller: ContextVar[Caller | None] = ContextVar("current caller", default=None)


@contextmanager
def calling_as(caller: Caller) -> Iterator[None]:
    """Make every request of this thread inside on behalf of this caller."""
    token = _current_caller.set(caller)
    try:
        yield
    finally:
        _current_caller.reset(token)


def credentials_of(keys: AccessKeys) -> Credentials:
    """Return the keys as botocore takes them."""
    token = keys.session_token
    return Credentials(
        keys.access_key_id.reveal(), keys.secret_access_key.reveal(), token.reveal() if token else None
    )


class AttemptHooks:
    """The hooks of one client and its rate limiter; ``max_attempts`` includes the first one."""

    def __init__(self, limiter: RateLimiter, max_attempts: int) -> None:
        self._limiter, self._max_attempts = limiter, max_attempts
        self._detector = ThrottlingErrorDetector(RetryEventAdapter())

    def register(self, client: BaseClient) -> None:
        """Take part in every attempt of the client."""
        events: Any = client.meta.events  # its stubs forbid handlers to return anything
        events.register("before-sign", self._before_sign)
        events.register("before-send", _before_send)
        events.register("needs-retry", self._after_attempt)

    def _before_sign(self, request: AWSRequest, **_: object) -> None:
        """Wait for the rate limiter, then sign: a signature expires within minutes."""
        caller = _current_caller.get()
        if caller is None:
            problem = "A request to AWS was about to be made without an account."
            raise AccountError(ErrorKind.INTERNAL, problem)
        limited = request.context.setdefault(_LIMITED, caller.limited or LimitedRequest(caller.keys))
        if caller.first_outcome is None:
            self._limiter.wait(limited)
        request.context.setdefault("signing", {})["request_credentials"] = credentials_of(caller.keys)

    def _after_attempt(self, **event: Any) -> None:  # noqa: ANN401 - as botocore's events are
        limited, response = event["request_dict"]["context"].get(_LIMITED), event["response"]
        caller = _current_caller.get()
        if caller is not None and caller.spend is not None:
            ended = response[0].status_code if response else event["caught_exception"]
            if ended == OK:
                caller.spend.charged()
            elif not isinstance(ended, Exception) or is_unsent(ended):
                caller.spend.not_charged()
        if limited is None or response is None:
            return
        if response[0].status_code == OK:
            self._limiter.succeeded(limited)
        elif self._detector.is_throttling_error(**event):
            self._limiter.throttled(limited, is_last=event["attempts"] >= self._max_attempts)


def _before_send(**_: object) -> AWSResponse | None:
    """Return the outcome of an attempt that was made already; None: botocore sends the request."""
    caller = _current_caller.get()
    if caller is None:
        return None
    outcome, caller.first_outcome = caller.first_outcome, None
    if outcome is None and caller.spend is not None:
        caller.spend()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
