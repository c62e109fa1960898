"""What costbatch adds to each attempt of a botocore client: whose signature, whose turn, and what to learn.

Hooks into botocore's events only; what is retried, and after which pause, stays botocore's decision.
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
from costbatch.adapters.aws.rate_limiter import Limiter, Turn
from costbatch.application.ports import Spend
from costbatch.domain.credentials import AccessKeys
from costbatch.errors import AccountError, ErrorKind

OK = 200

# Where botocore's context of a request keeps its turn from one attempt to the next.
_TURN = "costbatch-turn"


@dataclass(slots=True)
class Caller:
    """On whose behalf a thread calls. ``spend``: what counts the attempts, if AWS charges for them.

    ``outcome`` is how the first attempt ended where somebody else made it already, in its ``turn``: botocore
    goes on from there.
    """

    keys: AccessKeys
    turn: Turn | None = None
    spend: Spend | None = None
    outcome: AWSResponse | Exception | None = None


_bound: ContextVar[Caller | None] = ContextVar("who calls", default=None)


@contextmanager
def calling_as(caller: Caller) -> Iterator[None]:
    """Make every request of this thread inside on behalf of this caller."""
    token = _bound.set(caller)
    try:
        yield
    finally:
        _bound.reset(token)


def credentials_of(keys: AccessKeys) -> Credentials:
    """Return the keys as botocore takes them."""
    token = keys.session_token
    return Credentials(
        keys.access_key_id.reveal(), keys.secret_access_key.reveal(), token.reveal() if token else None
    )


class AttemptHooks:
    """The attempts of one client, held back by its limiter; ``max_attempts`` includes the first one."""

    def __init__(self, limiter: Limiter, max_attempts: int) -> None:
        self._limiter, self._max_attempts = limiter, max_attempts
        self._detector = ThrottlingErrorDetector(RetryEventAdapter())

    def watch(self, client: BaseClient) -> None:
        """Take part in every attempt of the client."""
        events: Any = client.meta.events  # said to take handlers that answer nothing; botocore heeds answers
        events.register("before-sign", self._sign)
        events.register("before-send", _send)
        events.register("needs-retry", self._learn)

    def _sign(self, request: AWSRequest, **_: object) -> None:
        """Wait for the turn, then sign: a signature is only good for minutes."""
        caller = _bound.get()
        if caller is None:
            problem = "A request to AWS was about to be made without an account."
            raise AccountError(ErrorKind.INTERNAL, problem)
        turn = request.context.setdefault(_TURN, caller.turn or Turn(caller.keys))
        if caller.outcome is None:
            self._limiter.wait(turn)
        request.context.setdefault("signing", {})["request_credentials"] = credentials_of(caller.keys)

    def _learn(self, **event: Any) -> None:  # noqa: ANN401 - as botocore's events are
        turn, response = event["request_dict"]["context"].get(_TURN), event["response"]
        caller = _bound.get()
        if caller is not None and caller.spend is not None:
            _settle(caller.spend, response[0].status_code if response else event["caught_exception"])
        if turn is None or response is None:
            return
        if response[0].status_code == OK:
            self._limiter.served(turn)
        elif self._detector.is_throttling_error(**event):
            self._limiter.throttled(turn, is_last=event["attempts"] >= self._max_attempts)


def _send(**_: object) -> AWSResponse | None:
    """Let the outcome of an attempt that was made already stand for this one; None: botocore sends."""
    caller = _bound.get()
    if caller is None:
        return None
    outcome, caller.outcome = caller.outcome, None
    if outcome is None and caller.spend is not None:
        caller.spend()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _settle(spend: Spend, ended: int | Exception) -> None:
    """Say whether AWS charges for an attempt, which ended with a status or an exception."""
    if ended == OK:
        spend.charged()
    elif not isinstance(ended, Exception) or is_unsent(ended):
        spend.not_charged()
