"""Reads an account's daily cost from Cost Explorer, page by page. What the pages hold is parse.py's."""

from collections.abc import Callable
from typing import Any

from costbatch.adapters.aws.clients import AwsClients
from costbatch.adapters.aws.environment import check_environment
from costbatch.adapters.aws.errors import answer_of
from costbatch.adapters.aws.identity import Identities
from costbatch.adapters.aws.parse import CostAnswer
from costbatch.adapters.aws.wire import METRICS
from costbatch.domain.accounts import Account, AwsNeeds
from costbatch.domain.costs import NOTHING_KNOWN, DayAnswers, FetchedCosts
from costbatch.domain.credentials import Access
from costbatch.domain.periods import DateRange
from costbatch.errors import AccountError, ErrorKind

OPERATION = "GetCostAndUsage"

_GROUP_BY = [{"Type": "DIMENSION", "Key": "SERVICE"}, {"Type": "DIMENSION", "Key": "RECORD_TYPE"}]


class CostExplorerSource:
    """Fetches costs from AWS; safe to share between threads."""

    def __init__(self, *, clients: AwsClients, identities: Identities) -> None:
        self._clients = clients
        self._identities = identities

    def check_environment(self, needs: AwsNeeds) -> None:
        """Examine what the process was given to call AWS with; raises ConfigError."""
        check_environment(self._clients, needs)

    def fetch(
        self,
        access: Access,
        window: DateRange,
        spend: Callable[[], None],
        known: DayAnswers = NOTHING_KNOWN,
    ) -> FetchedCosts:
        """Return everything reported of the account in the window: all pages, or an error.

        ``known`` is what was answered the last time, as it is stored. ``spend`` is called before each paid
        request. Attempts that botocore repeats are one request: AWS does not charge those that fail.

        Raises:
            AccountError: with the kind of failure.
            BudgetSpent: raised by ``spend``.

        """
        keys = self._identities.resolve(access)
        costs = self._clients.costs(access.account.partition)
        question = _question(access.account, window)
        answer = CostAnswer(window, known)
        return self._read_pages(lambda: costs.ask(keys, question), question, answer, spend)

    def _read_pages(
        self,
        ask: Callable[[], bytes | None],
        question: dict[str, Any],
        answer: CostAnswer,
        spend: Callable[[], None],
    ) -> FetchedCosts:
        seen = set[str]()
        for page in range(1, self._clients.settings.page_limit + 1):
            spend()
            token = answer.add_page(_body(ask))
            if token is None:
                return answer.fetched(page)
            if token in seen:
                raise _malformed(f"page {page} of the answer repeats an earlier page token")
            seen.add(token)
            question["NextPageToken"] = token
        raise _malformed(f"the answer has more than {self._clients.settings.page_limit} pages")


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
