"""Reads an account's daily cost from Cost Explorer, page by page. What the pages hold is parse.py's."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from costbatch.adapters.aws.clients import AwsClients
from costbatch.adapters.aws.cost_explorer.in_flight import AnswersInFlight, Share
from costbatch.adapters.aws.cost_explorer.parse import CostAnswer
from costbatch.adapters.aws.cost_explorer.schema import METRICS
from costbatch.adapters.aws.credentials import Identities
from costbatch.adapters.aws.environment import check_environment
from costbatch.adapters.aws.errors import BeforeHistoryError, answer_of
from costbatch.application.ports import Spend
from costbatch.domain.accounts import Account, AwsNeeds
from costbatch.domain.costs import NO_DIGESTS, REQUEST_PRICE_USD, DayDigests, FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.periods import DateRange, month_start
from costbatch.errors import AccountError, ErrorKind
from costbatch.logs import get_logger

OPERATION = "GetCostAndUsage"

log = get_logger(__name__)

# How many months before the current one a first collection reads if AWS refuses more: a request for each.
_FALLBACK_MONTHS = (12, 6, 3, 1)
_GROUP_BY = [{"Type": "DIMENSION", "Key": "SERVICE"}, {"Type": "DIMENSION", "Key": "RECORD_TYPE"}]


class CostExplorerSource:
    """Fetches costs from AWS; safe to share between threads."""

    def __init__(self, *, clients: AwsClients, identities: Identities) -> None:
        self._clients = clients
        self._identities = identities
        self._in_flight = AnswersInFlight()

    def check_environment(self, needs: AwsNeeds) -> None:
        """Examine what the process was given to call AWS with; raises ConfigError."""
        check_environment(self._clients, needs)

    def fetch(
        self,
        access: Access,
        window: DateRange,
        spend: Spend,
        known: DayDigests = NO_DIGESTS,
        *,
        is_first: bool = False,
    ) -> FetchedCosts:
        """Return everything reported of the account in the window: all pages, or an error.

        ``known`` is what was answered the last time, as it is stored. ``spend`` hears of each attempt at a
        page, also of those that botocore repeats.

        An account that was never collected may get fewer days than the window has: those that AWS gives.

        Raises:
            AccountError: with the kind of failure.
            BudgetSpent: raised by ``spend``.

        """
        keys = self._identities.resolve(access)
        costs = self._clients.costs(access.account.partition)
        refused: BeforeHistoryError | None = None
        for asked in _windows(window, is_first=is_first):
            question = _question(access.account, asked)
            try:
                with self._in_flight.answer() as share:
                    answer = CostAnswer(asked, known, share)
                    fetched = self._read_pages(
                        partial(costs.ask, keys, question, spend), question, answer, share
                    )
            except BeforeHistoryError as error:
                refused = error
                continue
            if refused is not None:
                log.warning("history_shortened", **_shortening(access.account, window, asked))
            return fetched
        raise refused or _malformed("there is no day to ask for")

    def _read_pages(
        self, ask: Callable[[], bytes | None], question: dict[str, Any], answer: CostAnswer, share: Share
    ) -> FetchedCosts:
        seen = set[str]()
        for page in range(1, self._clients.settings.page_limit + 1):
            token = answer.add_page(_body(ask))
            if token is None:
                return answer.fetched(page)
            if token in seen:
                raise _malformed(f"page {page} of the answer repeats an earlier page token")
            seen.add(token)
            question["NextPageToken"] = token
            share.go_on()
        raise _too_long(self._clients.settings.page_limit)


def _windows(window: DateRange, *, is_first: bool) -> Iterator[DateRange]:
    """Return the window and, for an account that was never collected, shorter ones to fall back on."""
    yield window
    if is_first:
        starts = (month_start(window.last, months_back=months) for months in _FALLBACK_MONTHS)
        yield from (DateRange(start, window.end_exclusive) for start in starts if start > window.start)


def _shortening(account: Account, window: DateRange, given: DateRange) -> dict[str, str]:
    return {
        "aws_account_id": account.aws_account_id,
        "first_day": f"{given.start}",
        "reason": (
            f"AWS does not give the cost of {window.start}: it keeps about 13 months, of some accounts less. "
            f"This first collection begins with {given.start}; lower COSTBATCH_HISTORY_MONTHS to ask for no "
            "more than that at once."
        ),
    }


def _question(account: Account, window: DateRange) -> dict[str, Any]:
    return {
        # The payer of an organization is shown everybody's cost; each account's own is what it is billed.
        "Filter": {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": [account.aws_account_id]}},
        "TimePeriod": {"Start": window.start.isoformat(), "End": window.end_exclusive.isoformat()},
        "Granularity": "DAILY",
        "GroupBy": _GROUP_BY,
        "Metrics": METRICS,
    }


def _body(ask: Callable[[], bytes | None]) -> bytes:
    body = answer_of(OPERATION, ask)
    if body is None:
        raise _malformed("the answer is neither an error nor HTTP status 200")
    return body


def _malformed(problem: str) -> AccountError:
    return AccountError(ErrorKind.MALFORMED_RESPONSE, f"{OPERATION}: {problem}.")


def _too_long(pages: int) -> AccountError:
    twice, price = pages * 2, REQUEST_PRICE_USD
    return AccountError(
        ErrorKind.MALFORMED_RESPONSE,
        f"{OPERATION}: the answer has more than {pages} pages.",
        "Nothing was stored. If the account is that large, raise COSTBATCH_PAGE_LIMIT: each page is a "
        f"request of ${price}, so {twice} pages cost up to ${twice * price} in each run.",
    )
