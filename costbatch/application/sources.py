"""What is asked of AWS about costs: a part of the ports."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Protocol

from costbatch.application.ports import Spend
from costbatch.domain.causes import CauseKey, CauseQuestion
from costbatch.domain.costs import NO_DIGESTS, DayDigests, FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.periods import DateRange
from costbatch.domain.second_opinion import AwsAnomaly


class CostSource(Protocol):
    """Where costs come from. Called from many threads; never touches the database."""

    def fetch(
        self,
        access: Access,
        window: DateRange,
        spend: Spend,
        previous: DayDigests = NO_DIGESTS,
        *,
        may_be_shorter: bool = False,
    ) -> FetchedCosts:
        """Return everything reported of the account in the window: all pages, or an error.

        ``previous``: the stored digests of the last response. ``spend`` hears of each paid request.
        may_be_shorter: the account was never collected, or not for long; the source may give fewer days if it
        has no more.

        Raises:
            AccountError: with the kind of failure.
            BudgetSpent: raised by ``spend``.

        """


class CauseSource(Protocol):
    """Where root causes come from. Never touches the database."""

    def fetch_causes(
        self, access: Access, question: CauseQuestion, spend: Spend
    ) -> Mapping[date, Mapping[CauseKey, Decimal]]:
        """Return what each region and usage type cost on each day of the question.

        Raises:
            AccountError: with the kind of failure.
            ResponseTooLongError: there is more than is ever read.
            BudgetSpent: raised by ``spend``.

        """


class AwsAnomalySource(Protocol):
    """Where the anomalies come from that AWS itself detects. Never touches the database."""

    def fetch_anomalies(self, access: Access, days: DateRange, spend: Spend) -> list[AwsAnomaly]:
        """Return those that ended on the days, or go on; all pages, or an error.

        Raises:
            AccountError: with the kind of failure.
            BudgetSpent: raised by ``spend``.

        """
