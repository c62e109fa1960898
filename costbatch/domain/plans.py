"""The plan of a dry run: what a run would read, and what AWS would charge for it."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from costbatch.domain.accounts import Account
from costbatch.domain.costs import REQUEST_PRICE_USD
from costbatch.domain.periods import DateRange


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCollection:
    """One account, the days to read, and the estimated number of paid requests."""

    account: Account
    window: DateRange
    api_requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPlan:
    """Every account that a run on ``today`` would collect."""

    today: date
    collections: tuple[PlannedCollection, ...]

    @property
    def api_requests(self) -> int:
        """The estimated number of paid requests in all."""
        return sum(planned.api_requests for planned in self.collections)

    @property
    def api_cost_usd(self) -> Decimal:
        """What AWS would charge for them."""
        return self.api_requests * REQUEST_PRICE_USD

    def to_document(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "today": self.today.isoformat(),
            "api": {"requests": self.api_requests, "cost_usd": str(self.api_cost_usd)},
            "accounts": [
                {
                    "aws_account_id": planned.account.aws_account_id,
                    "name": planned.account.name,
                    "window": planned.window.to_document(),
                    "api": {"requests": planned.api_requests},
                }
                for planned in self.collections
            ],
        }
