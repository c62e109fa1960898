"""Limits the rate of requests once AWS throttles; until then it counts nothing and delays no request.

Each set of credentials has a limit of its own, so that a throttled account slows down only itself. If many
are throttled within seconds, the limit is the payer's or the endpoint's, and applies to all.
"""

import secrets
from collections.abc import Callable, Hashable
from hashlib import blake2b
from math import inf
from threading import Lock
from time import monotonic, sleep

from botocore.retries.throttling import CubicCalculator

from costbatch.domain.credentials import AccessKeys
from costbatch.logs import get_logger

# Throttled responses further apart than this are unrelated.
_WINDOW_SECONDS = 10.0
# A rate measured over less time than this is unreliable.
_SHORTEST_MEASURE_SECONDS = 0.5
# If no request succeeds for longer than this, the rate is not the reason.
_LONGEST_SILENCE_SECONDS = 2.0
# A limit is set, and lowered, only if throttled callers are at least this share of the requests that
# succeeded: retries take care of fewer.
_SHARE_TO_SET, _SHARE_TO_LOWER = 0.1, 0.05
_CALLERS_TO_LOWER = 4
# Two, because the rate of success is measured from the first one on.
_REQUESTS_TO_LIMIT_ONE = 2
# More than a dozen: that many accounts may be throttled permanently without slowing down the others.
_CALLERS_TO_LIMIT_ALL = 16
_SLOWEST_PER_SECOND = 0.5
# A waiting request looks again this often, because the rate may have risen.
_LONGEST_SLEEP_SECONDS = 0.5
_SHORTEST_SLEEP_SECONDS = 0.001
# A rate is logged again when it has changed by this factor.
_LOG_FACTOR = 2.0
# Of this process: a fingerprint of credentials is of no use elsewhere.
_SALT = secrets.token_bytes(16)

log = get_logger(__name__)


class PacedQueue:
    """A queue that advances at a rate, first come, first served. It reads no clock: ``now`` is in seconds.

    Positions are numbers, not times: when the rate rises, requests that already wait advance faster, and a
    request that does not use its position delays no other.
    """

    def __init__(self, per_second: float, now: float) -> None:
        self.per_second = per_second
        self._advanced_at = now
        self._front = 0.0
        self._next = 0.0

    def join(self, now: float) -> float:
        """Return the position of a request that arrives now."""
        self._advance(now)
        position = max(self._next, self._front)
        self._next = position + 1
        return position

    def seconds_left(self, position: float, now: float) -> float:
        """Return how long a position waits at the present rate; 0 or less once it may be sent."""
        self._advance(now)
        return (position - self._front) / self.per_second

    def change(self, per_second: float, now: float) -> None:
        """Advance at another rate from now on."""
        self._advance(now)
        self.per_second = per_second

    def _advance(self, now: float) -> None:
        self._front += (now - self._advanced_at) * self.per_second
        self._advanced_at = now


class LearnedRate:
    """What throttled responses say about one limit of AWS; ``queue`` is None while no limit is known.

    A limit is set when ``callers_needed`` different callers were throttled within seconds, and they are no
    small share of the requests that succeeded meanwhile; with ``needs_success`` they do not count while no
    request succeeds for seconds.
    The rate then is a little below the rate of success, and rises with time: slowly near the rate of the
    last throttling, faster beyond it (CUBIC, as in botocore's adaptive retries).
    """

    def __init__(self, *, callers_needed: int, needs_success: bool = False) -> None:
        self.queue: PacedQueue | None = None
        self._callers_needed, self._needs_success = callers_needed, needs_success
        self._cubic = CubicCalculator(starting_max_rate=0, start_time=0)
        self._wanted_per_second = 0.0
        self._slowed_at = self._throttled_at = -inf
        self._open_window(self._throttled_at)

    def is_idle(self, now: float) -> bool:
        """Whether the last throttling is so long ago that it is unrelated to the next one."""
        return now - self._throttled_at > _WINDOW_SECONDS

    def throttled(self, caller: Hashable | None, *, sent_at: float, now: float) -> bool:
        """Count a throttled response, and its caller if there is one; return whether the rate fell."""
        self._throttled_at = now
        if sent_at < self._slowed_at:
            return False  # sent before the rate last fell
        if now - self._began > _WINDOW_SECONDS:
            self._open_window(now)
        self._refused += 1
        if caller is not None:
            self._callers.add(caller)
        if now - self._began < _SHORTEST_MEASURE_SECONDS or not self._is_limit():
            return False
        self._slow_down(now)
        return True

    def succeeded(self, now: float) -> bool:
        """Count a good response; return whether the limit was lifted because it is no longer reached."""
        if self._needs_success and not self._succeeded and now - self._began > _LONGEST_SILENCE_SECONDS:
            self._open_window(now)
        self._succeeded += 1
        if self.queue is None:
            return False
        per_second: float = self._cubic.success_received(now)
        if per_second >= self._wanted_per_second:
            self.queue, self._wanted_per_second = None, 0.0
            return True
        self.queue.change(max(per_second, _SLOWEST_PER_SECOND), now)
        return False

    def _open_window(self, now: float) -> None:
        self._began = now
        self._succeeded = self._refused = 0
        self._callers = set[Hashable]()

    def _is_limit(self) -> bool:
        needed, share = self._callers_needed, _SHARE_TO_SET
        if self.queue is not None:
            needed, share = min(needed, _CALLERS_TO_LOWER), _SHARE_TO_LOWER
        count = len(self._callers)
        is_enough = count >= needed and count >= share * self._succeeded
        return is_enough and (self._succeeded > 0 or not self._needs_success)

    def _slow_down(self, now: float) -> None:
        seconds = now - self._began
        reached = max(self._succeeded / seconds, _SLOWEST_PER_SECOND)
        wanted = (self._succeeded + self._refused) / seconds
        self._wanted_per_second = max(self._wanted_per_second, wanted)
        if self.queue is None:
            self.queue = PacedQueue(reached, now)
        per_second = self._cubic.error_received(min(reached, self.queue.per_second), now)
        self.queue.change(max(per_second, _SLOWEST_PER_SECOND), now)
        self._slowed_at = now
        self._open_window(now)


class LimitedRequest:
    """One request with all its attempts: whose it is, when it was sent last, and its positions in queues."""

    __slots__ = ("_caller", "_keys", "positions", "sent_at")

    def __init__(self, keys: AccessKeys) -> None:
        self._keys = keys
        self._caller = b""
        self.sent_at = 0.0
        self.positions: dict[PacedQueue, float] = {}

    @property
    def caller(self) -> bytes:
        """A fingerprint of the credentials; computed only once there is something to count."""
        if not self._caller:
            key_id = self._keys.access_key_id.reveal().encode()
            self._caller = blake2b(key_id, key=_SALT, digest_size=16).digest()
        return self._caller


class RateLimiter:
    """The limits of one service in one region; safe to share between threads.

    ``max_wait_seconds``: no attempt waits longer; it is then sent, and AWS decides.
    """

    def __init__(
        self,
        service: str,
        region: str,
        *,
        max_wait_seconds: float,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], None] = sleep,
    ) -> None:
        self._name = {"service": service, "region": region}
        self._max_wait_seconds, self._clock, self._sleep = max_wait_seconds, clock, sleep
        self._lock = Lock()
        # If no request succeeds there is no rate to keep to, and the pauses of the retries have to do.
        self._all = LearnedRate(callers_needed=_CALLERS_TO_LIMIT_ALL, needs_success=True)
        # The callers throttled recently, the latest one last.
        self._each: dict[bytes, LearnedRate] = {}
        self._is_unlimited = True
        self._logged_per_second = 0.0

    @property
    def per_second(self) -> float | None:
        """How many requests a second all credentials together may send; None: no limit is known."""
        queue = self._all.queue
        return queue.per_second if queue else None

    def wait(self, request: LimitedRequest) -> None:
        """Return when the next attempt of a request may be sent."""
        now = self._clock()
        end = now + self._max_wait_seconds
        while not self._is_unlimited and now < end:
            left = self.seconds_left(request)
            if left <= _SHORTEST_SLEEP_SECONDS:
                break
            self._sleep(min(left, end - now, _LONGEST_SLEEP_SECONDS))
            now = self._clock()
        request.sent_at = now

    def seconds_left(self, request: LimitedRequest) -> float:
        """Return how long a request has to wait at the present rates; it is queued from here on."""
        with self._lock:
            return self._enqueue(request, self._clock())

    def succeeded(self, request: LimitedRequest) -> None:
        """Learn that AWS answered an attempt."""
        if self._is_unlimited:
            return
        with self._lock:
            now = self._clock()
            own = self._each.get(request.caller)
            if own is not None and own.succeeded(now):
                del self._each[request.caller]
            is_lifted = self._all.succeeded(now)
            self._forget(now)
        if is_lifted:
            self._logged_per_second = 0.0
            log.info("rate_recovered", **self._name)

    def throttled(self, request: LimitedRequest, *, is_last: bool) -> None:
        """Learn that AWS throttled an attempt, the last one of its request or not."""
        with self._lock:
            now = self._clock()
            self._is_unlimited = False
            known = self._each.pop(request.caller, None)
            own = self._each[request.caller] = known or LearnedRate(callers_needed=_REQUESTS_TO_LIMIT_ONE)
            own.throttled(request.sent_at, sent_at=request.sent_at, now=now)
            # A caller that is throttled permanently counts once.
            fell = self._all.throttled(None if known else request.caller, sent_at=request.sent_at, now=now)
            request.positions.clear()
            if not is_last:
                # From here on, not from the end of the retry's pause: it waits for the longer of the two.
                self._enqueue(request, now)
            self._forget(now)
        if fell:
            self._log_limit()

    def _enqueue(self, request: LimitedRequest, now: float) -> float:
        queues = [self._all.queue]
        if self._each:
            own = self._each.get(request.caller)
            queues.append(own.queue if own else None)
        longest = 0.0
        for queue in filter(None, queues):
            if queue not in request.positions:
                request.positions[queue] = queue.join(now)
            longest = max(longest, queue.seconds_left(request.positions[queue], now))
        return longest

    def _forget(self, now: float) -> None:
        while self._each and self._each[oldest := next(iter(self._each))].is_idle(now):
            del self._each[oldest]
        self._is_unlimited = not self._each and self._all.queue is None and self._all.is_idle(now)

    def _log_limit(self) -> None:
        per_second, logged = self.per_second, self._logged_per_second
        if per_second is None or (logged and 1 / _LOG_FACTOR < per_second / logged < _LOG_FACTOR):
            return
        self._logged_per_second = per_second
        log.warning("rate_limited", requests_per_second=round(per_second, 1), **self._name)
