"""Holds requests back where AWS throttles; before it did, nothing is counted and nobody waits.

Each set of credentials learns for itself, so that an account in trouble slows down itself alone. When many
are throttled within seconds, the limit is the payer's or the endpoint's, and all slow down.
"""

import secrets
from collections.abc import Callable
from hashlib import blake2b
from threading import Lock
from time import monotonic, sleep

from costbatch.adapters.aws.pace import LearnedRate, Pace
from costbatch.domain.accounts import Partition
from costbatch.domain.credentials import AccessKeys
from costbatch.logs import get_logger

# Two, because how much is served is measured from the first one on.
_WITNESSES_AGAINST_ONE = 2
# More than a dozen: so many accounts may be throttled for ever, and the others go on as before.
_WITNESSES_AGAINST_ALL = 16
# Who waits looks again this often, because the rate may have risen.
_LONGEST_NAP_SECONDS = 0.5
_SHORTEST_NAP_SECONDS = 0.001
# A rate is told again when it has changed by this factor.
_OF_NOTE = 2.0
# Of this process: a fingerprint of credentials is of no use elsewhere.
_SALT = secrets.token_bytes(16)

log = get_logger(__name__)


class Turn:
    """One request with all its attempts: whose it is, when it was sent last, and its places in line."""

    __slots__ = ("_keys", "_owner", "places", "sent_at")

    def __init__(self, keys: AccessKeys) -> None:
        self._keys = keys
        self._owner = b""
        self.sent_at = 0.0
        self.places: dict[Pace, float] = {}

    @property
    def owner(self) -> bytes:
        """A fingerprint of the credentials; taken only where something is learnt about somebody."""
        if not self._owner:
            key_id = self._keys.access_key_id.reveal().encode()
            self._owner = blake2b(key_id, key=_SALT, digest_size=16).digest()
        return self._owner


class Limiter:
    """The limits of one service in one partition; safe to share between threads.

    ``patience_seconds``: no attempt waits longer for its turn; it is then sent, and AWS decides.
    """

    def __init__(
        self,
        service: str,
        partition: Partition,
        *,
        patience_seconds: float,
        clock: Callable[[], float] = monotonic,
        nap: Callable[[float], None] = sleep,
    ) -> None:
        self._name = {"service": service, "partition": partition.value}
        self._patience_seconds, self._clock, self._nap = patience_seconds, clock, nap
        self._lock = Lock()
        # Where nobody is served there is no rate to keep to, and the pauses of the retries have to do.
        self._all = LearnedRate(witnesses=_WITNESSES_AGAINST_ALL, needs_served=True)
        # Those throttled of late, in the order of their last trouble.
        self._each: dict[bytes, LearnedRate] = {}
        self._is_calm = True
        self._told_per_second = 0.0

    @property
    def per_second(self) -> float | None:
        """How many requests a second all credentials together are held to; None: no limit is known."""
        pace = self._all.pace
        return pace.per_second if pace else None

    def wait(self, turn: Turn) -> None:
        """Return when the next attempt of a request may be sent."""
        now = self._clock()
        end = now + self._patience_seconds
        while not self._is_calm and now < end and (left := self.seconds_left(turn)) > _SHORTEST_NAP_SECONDS:
            self._nap(min(left, end - now, _LONGEST_NAP_SECONDS))
            now = self._clock()
        turn.sent_at = now

    def seconds_left(self, turn: Turn) -> float:
        """Return how long a request has to wait as things are; it stands in line from here on."""
        with self._lock:
            return self._stand_in_line(turn, self._clock())

    def served(self, turn: Turn) -> None:
        """Learn that AWS took an attempt."""
        if self._is_calm:
            return
        with self._lock:
            now = self._clock()
            own = self._each.get(turn.owner)
            if own is not None and own.served(now):
                del self._each[turn.owner]
            is_over = self._all.served(now)
            self._forget(now)
        if is_over:
            self._told_per_second = 0.0
            log.info("rate_recovered", **self._name)

    def throttled(self, turn: Turn, *, is_last: bool) -> None:
        """Learn that AWS throttled an attempt, the last one of its request or not."""
        with self._lock:
            now = self._clock()
            self._is_calm = False
            known = self._each.pop(turn.owner, None)
            own = self._each[turn.owner] = known or LearnedRate(witnesses=_WITNESSES_AGAINST_ONE)
            own.throttled(turn.sent_at, sent_at=turn.sent_at, now=now)
            # Who is throttled for ever is a witness once.
            fell = self._all.throttled(None if known else turn.owner, sent_at=turn.sent_at, now=now)
            turn.places.clear()
            if not is_last:
                # From here on, not from the end of the retry's pause: it waits for the longer of the two.
                self._stand_in_line(turn, now)
            self._forget(now)
        if fell:
            self._tell()

    def _stand_in_line(self, turn: Turn, now: float) -> float:
        lines = [self._all.pace]
        if self._each:
            own = self._each.get(turn.owner)
            lines.append(own.pace if own else None)
        longest = 0.0
        for line in filter(None, lines):
            if line not in turn.places:
                turn.places[line] = line.join(now)
            longest = max(longest, line.seconds_left(turn.places[line], now))
        return longest

    def _forget(self, now: float) -> None:
        while self._each and self._each[oldest := next(iter(self._each))].is_idle(now):
            del self._each[oldest]
        self._is_calm = not self._each and self._all.pace is None and self._all.is_idle(now)

    def _tell(self) -> None:
        per_second, told = self.per_second, self._told_per_second
        if per_second is None or (told and 1 / _OF_NOTE < per_second / told < _OF_NOTE):
            return
        self._told_per_second = per_second
        log.warning("rate_limited", requests_per_second=round(per_second, 1), **self._name)
