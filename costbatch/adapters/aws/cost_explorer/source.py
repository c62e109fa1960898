"""Reads an account's daily cost from Cost Explorer, page by page; parse.py reads the pages."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from typing_extensions import override

from costbatch.adapters.aws.clients import AwsClients
from costbatch.adapters.aws.cost_explorer.causes import amounts_of, cause_query
from costbatch.adapters.aws.cost_explorer.in_flight import ResponsesInFlight, Share
from costbatch.adapters.aws.cost_explorer.parse import CostResponse
from costbatch.adapters.aws.cost_explorer.schema import METRICS
from costbatch.adapters.aws.credentials import Identities
from costbatch.adapters.aws.environment import check_environment
from costbatch.adapters.aws.errors import BeforeHistoryError, call_aws
from costbatch.adapters.aws.operations import GET_COST_AND_USAGE
from costbatch.application.ports import Spend
from costbatch.application.sources import CauseSource, CostSource
from costbatch.domain.accounts import Account, AwsNeeds
from costbatch.domain.causes import MOST_CAUSE_PAGES, CauseKey, CauseQuestion
from costbatch.domain.costs import NO_DIGESTS, REQUEST_PRICE_USD, DayDigests, FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.periods import DateRange, month_start
from costbatch.errors import AccountError, ErrorKind, ResponseTooLongError
from costbatch.logs import get_logger

OPERATION = GET_COST_AND_USAGE.name

log = get_logger(__name__)

# Months before the current one that are read if AWS refuses more, at first and after a long time without a
# collection; each takes a request.
_FALLBACK_MONTHS = (12, 6, 3, 1)
_GROUP_BY = [{"Type": "DIMENSION", "Key": "SERVICE"}, {"Type": "DIMENSION", "Key": "RECORD_TYPE"}]


class CostExplorerSource(CostSource, CauseSource):
    """Fetches costs from Cost Explorer."""

    def __init__(self, *, clients: AwsClients, identities: Identities) -> None:
        self._clients = clients
        self._identities = identities
        self._in_flight = ResponsesInFlight()

    def check_environment(self, needs: AwsNeeds) -> None:
        """Check the variables and files that AWS is called with; raises ConfigError."""
        check_environment(self._clients, needs)

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
        keys = self._identities.resolve(access)
        requests = self._clients.requests(GET_COST_AND_USAGE, access.account.partition)
        pages = self._clients.settings.page_limit
        refused: BeforeHistoryError | None = None
        for days in _windows(window, may_be_shorter=may_be_shorter):
            query = _query(access.account, days)
            try:
                with self._in_flight.response() as share:
                    response = CostResponse(days, previous, share)
                    send = partial(requests.send, query, keys, spend)
                    fetched = self._read_pages(send, query, response, share, pages)
            except BeforeHistoryError as error:
                refused = error
                continue
            if fetched is None:
                price = REQUEST_PRICE_USD
                raise _too_long(
                    pages,
                    "Nothing was stored. If the account is that large, raise COSTBATCH_PAGE_LIMIT: each page "
                    f"is a request of ${price}, so {pages * 2} pages cost up to ${pages * 2 * price} in each "
                    "run.",
                )
            if refused is not None:
                log.warning(
                    "history_shortened",
                    aws_account_id=access.account.aws_account_id,
                    first_day=f"{days.start}",
                    reason=f"AWS has no cost of {window.start}: it keeps about 13 months, for some accounts "
                    f"less. This collection begins with {days.start}. If it is the account's first one, a "
                    "lower COSTBATCH_HISTORY_MONTHS requests no more than that.",
                )
            return fetched
        raise refused or _malformed("there is no day to ask for")

    @override
    def fetch_causes(
        self, access: Access, question: CauseQuestion, spend: Spend
    ) -> Mapping[date, Mapping[CauseKey, Decimal]]:
        keys = self._identities.resolve(access)
        requests = self._clients.requests(GET_COST_AND_USAGE, access.account.partition)
        query = cause_query(access.account, question)
        pages = min(MOST_CAUSE_PAGES, self._clients.settings.page_limit)
        with self._in_flight.response() as share:
            response = CostResponse(question.days, NO_DIGESTS, share)
            send = partial(requests.send, query, keys, spend)
            fetched = self._read_pages(send, query, response, share, pages)
        if fetched is not None:
            return amounts_of(fetched, question)
        if pages < MOST_CAUSE_PAGES:
            raise _too_long(
                pages, f"COSTBATCH_PAGE_LIMIT is the limit; for root causes, raise it to {MOST_CAUSE_PAGES}."
            )
        services = "services have" if len(question.services) != 1 else "service has"
        advice = f"The {services} too many usage types to find a root cause; it is not asked for again."
        raise ResponseTooLongError(_too_long(pages).detail, advice)

    def _read_pages(
        self,
        send: Callable[[], bytes | None],
        query: dict[str, Any],
        response: CostResponse,
        share: Share,
        pages: int,
    ) -> FetchedCosts | None:
        """Return what the pages hold; None if there are more than ``pages``."""
        seen = set[str]()
        for page in range(1, pages + 1):
            body = call_aws(OPERATION, send)
            if body is None:
                raise _malformed("the response is neither an error nor HTTP status 200")
            token = response.add_page(body)
            if token is None:
                return response.fetched(page)
            if token in seen:
                raise _malformed(f"page {page} of the response repeats an earlier page token")
            seen.add(token)
            query["NextPageToken"] = token
            share.wait_for_memory()
        return None


def _windows(window: DateRange, *, may_be_shorter: bool) -> Iterator[DateRange]:
    """Yield the window and, if fewer days are better than none, shorter ones in case AWS refuses it."""
    yield window
    if may_be_shorter:
        starts = (month_start(window.last, months_back=months) for months in _FALLBACK_MONTHS)
        yield from (DateRange(start, window.end_exclusive) for start in starts if start > window.start)


def _query(account: Account, window: DateRange) -> dict[str, Any]:
    return {
        # An organization's payer would get the cost of every member account.
        "Filter": {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": [account.aws_account_id]}},
        "TimePeriod": {"Start": window.start.isoformat(), "End": window.end_exclusive.isoformat()},
        "Granularity": "DAILY",
        "GroupBy": _GROUP_BY,
        "Metrics": METRICS,
    }


def _malformed(problem: str, advice: str = "") -> AccountError:
    return AccountError(ErrorKind.MALFORMED_RESPONSE, f"{OPERATION}: {problem}.", advice)


def _too_long(pages: int, advice: str = "") -> AccountError:
    return _malformed(f"the response has more than {pages} pages", advice)
