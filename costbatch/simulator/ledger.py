"""Counts requests, and the pages that AWS would charge for."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

# AWS does not say whether the second is charged; it is assumed.
PAID_OPERATIONS = frozenset({"GetCostAndUsage", "GetAnomalies"})
OK = 200


class Ledger:
    """Requests and paid pages, per account."""

    def __init__(self) -> None:
        """Start at zero."""
        self._requests: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._paid: dict[str, int] = defaultdict(int)

    def asked(self, account_id: str, operation: str) -> None:
        """Count a request, with any outcome."""
        self._requests[account_id][operation] += 1

    def answered(self, account_id: str, operation: str, status: int) -> None:
        """Count a page that AWS would charge for: a cost request that succeeded."""
        if operation in PAID_OPERATIONS and status == OK:
            self._paid[account_id] += 1

    def reset(self) -> None:
        """Reset all counts."""
        self._requests.clear()
        self._paid.clear()

    def to_plain(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        accounts = {
            account_id: {"requests": dict(requests), "paid": self._paid.get(account_id, 0)}
            for account_id, requests in self._requests.items()
        }
        requests = sum(sum(counts.values()) for counts in self._requests.values())
        return {"total": {"requests": requests, "paid": sum(self._paid.values())}, "accounts": accounts}
