"""The plan of a dry run: what a run would read, and what AWS would charge for it."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from costbatch.domain.accounts import Account
from costbatch.domain.causes import MOST_CAUSE_PAGES
from costbatch.domain.costs import REQUEST_PRICE_USD
from costbatch.domain.money import Limit
from costbatch.domain.periods import DateRange


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCollection:
    """One account, the days to read, and the estimated number of paid requests.

    is_least: whether it may as well be several times as many: nothing is known of so many days.
    """

    account: Account
    window: DateRange
    api_requests: int
    is_least: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCauses:
    """What root causes may add: a request for each large anomaly, open ones and those that the run finds.

    If the response is long, up to ``MOST_CAUSE_PAGES``.
    minimum: the smallest difference that counts. open_anomalies: how many there are before the run.
    requests_left: how many requests the cap leaves for all of them; None: there is no cap.
    """

    minimum: Limit
    open_anomalies: int
    requests_left: int | None = None

    @property
    def api_requests(self) -> int:
        """The requests for the anomalies that are open."""
        return self._capped(self.open_anomalies)

    @property
    def most_api_requests(self) -> int:
        """The same, if all responses are long."""
        return self._capped(self.open_anomalies * MOST_CAUSE_PAGES)

    @property
    def api_cost_usd(self) -> Decimal:
        """What AWS would charge for them."""
        return self.api_requests * REQUEST_PRICE_USD

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "minimum": str(self.minimum),
            "open_anomalies": self.open_anomalies,
            "api": {
                "requests": self.api_requests,
                "cost_usd": str(self.api_cost_usd),
                "most_requests": self.most_api_requests,
            },
            "requests_left": self.requests_left,
        }

    def _capped(self, requests: int) -> int:
        return requests if self.requests_left is None else min(requests, self.requests_left)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionPlan:
    """Every account that a run on ``today`` would collect, if the cap left enough.

    is_backfill: whether certain days were asked for, which the next night need not read. resumes: the key of
    the run that it resumes. requests_left: how many requests the cap leaves; None: there is no cap.
    root_causes: None: they are not asked for.
    """

    today: date
    collections: tuple[PlannedCollection, ...]
    is_backfill: bool = False
    resumes: str | None = None
    requests_left: int | None = None
    root_causes: PlannedCauses | None = None

    @property
    def needed_requests(self) -> int:
        """The estimated number of requests that all accounts need."""
        return sum(planned.api_requests for planned in self.collections)

    @property
    def is_least(self) -> bool:
        """Whether they may need more than that, because so many days of an account were never read."""
        return any(planned.is_least for planned in self.collections)

    @property
    def api_requests(self) -> int:
        """The same, as far as the cap leaves them: what the run would pay."""
        needed, left = self.needed_requests, self.requests_left
        return needed if left is None else min(needed, left)

    @property
    def api_cost_usd(self) -> Decimal:
        """What AWS would charge for them."""
        return self.api_requests * REQUEST_PRICE_USD

    def to_document(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "today": self.today.isoformat(),
            "resumes": self.resumes,
            "api": {"requests": self.api_requests, "cost_usd": str(self.api_cost_usd)},
            "requests_left": self.requests_left,
            "is_least": self.is_least,
            "accounts": [
                {
                    "aws_account_id": planned.account.aws_account_id,
                    "name": planned.account.name,
                    "window": planned.window.to_document(),
                    "api": {"requests": planned.api_requests},
                    "is_least": planned.is_least,
                }
                for planned in self.collections
            ],
            **({"root_causes": self.root_causes.to_document()} if self.root_causes else {}),
        }
