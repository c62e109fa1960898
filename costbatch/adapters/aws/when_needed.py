"""Sources that are made when there is an account to work on: botocore is slow to load."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from threading import Lock
from typing import Generic, Protocol, TypeVar

from typing_extensions import override

from costbatch.application.discover.ports import ResourceSource
from costbatch.application.ports import Spend
from costbatch.application.sources import CauseSource, CostSource
from costbatch.domain.accounts import AwsNeeds
from costbatch.domain.causes import CauseKey, CauseQuestion
from costbatch.domain.costs import NO_DIGESTS, DayDigests, FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.periods import DateRange
from costbatch.domain.resources import Inventory, RegionList, SourceChoice


class _Source(Protocol):
    """What every source of AWS has."""

    def check_environment(self, needs: AwsNeeds) -> None:
        """Examine what the process was given to call AWS with."""


class _Costs(_Source, CostSource, CauseSource, Protocol):
    """What reads costs."""


class _Resources(_Source, ResourceSource, Protocol):
    """What reads resources."""


S = TypeVar("S", bound=_Source)


class _WhenNeeded(Generic[S]):
    """A source that is made when there is an account to work on: botocore is slow to load."""

    def __init__(self, make: Callable[[], S]) -> None:
        self._make, self._lock = make, Lock()
        self._source: S | None = None

    def check_environment(self, needs: AwsNeeds) -> None:
        """Examine what the process was given to call AWS with; raises ConfigError."""
        self.made().check_environment(needs)

    def made(self) -> S:
        """Return the source, and make it if it is the first time."""
        with self._lock:
            self._source = self._source or self._make()
            return self._source


class CostsWhenNeeded(_WhenNeeded[_Costs], CostSource, CauseSource):
    """A source of costs and of what is behind them."""

    @override
    def fetch(
        self,
        access: Access,
        window: DateRange,
        spend: Spend,
        previous: DayDigests = NO_DIGESTS,
        *,
        may_be_shorter: bool = False,
    ) -> FetchedCosts:
        return self.made().fetch(access, window, spend, previous, may_be_shorter=may_be_shorter)

    @override
    def fetch_causes(
        self, access: Access, question: CauseQuestion, spend: Spend
    ) -> Mapping[date, Mapping[CauseKey, Decimal]]:
        return self.made().fetch_causes(access, question, spend)


class ResourcesWhenNeeded(_WhenNeeded[_Resources], ResourceSource):
    """A source of resources."""

    @override
    def find(self, access: Access, choice: SourceChoice) -> Inventory:
        return self.made().find(access, choice)

    @override
    def check(self, access: Access, choice: SourceChoice) -> RegionList:
        return self.made().check(access, choice)
