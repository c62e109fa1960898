"""Rate limits of GetCostAndUsage, per account and for all accounts together.

A limit of N requests per second is a bucket of N tokens (at least one) that fills at that rate: so many
requests may come at once, and what comes faster is answered with LimitExceededException. Such answers take
no token, cost nothing and use up no fault. The other operations have no limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from costbatch.simulator.world import Account


class Bucket:
    """The tokens of one limit."""

    def __init__(self, per_second: float, now: datetime) -> None:
        """Start full."""
        self.per_second = per_second
        self._capacity = self._tokens = max(per_second, 1.0)
        self._filled_at = now

    def has_token(self, now: datetime) -> bool:
        """Whether a request would be accepted now."""
        gained = (now - self._filled_at).total_seconds() * self.per_second
        self._tokens = min(self._tokens + gained, self._capacity)
        self._filled_at = now
        return self._tokens >= 1

    def take(self) -> None:
        """Use a token."""
        self._tokens -= 1


class RateLimits:
    """Every limit of one world."""

    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        """Use this clock; without a rate nothing is limited."""
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def admit(self, account: Account, requests_per_second: float | None) -> bool:
        """Whether a request of an account is accepted; the rate is that of all accounts together."""
        now = self._clock()
        buckets = [
            self._bucket(name, rate, now)
            for name, rate in (("", requests_per_second), (account.account_id, account.requests_per_second))
            if rate is not None
        ]
        if not all(bucket.has_token(now) for bucket in buckets):
            return False
        for bucket in buckets:
            bucket.take()
        return True

    def _bucket(self, name: str, rate: float, now: datetime) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None or bucket.per_second != rate:
            bucket = self._buckets[name] = Bucket(rate, now)
        return bucket
