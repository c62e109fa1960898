"""GetCostAndUsage: returns the page that a checked query asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from costbatch.simulator.answers import Answer
from costbatch.simulator.arrival import is_estimated
from costbatch.simulator.cost_filter import DIMENSIONS, DIVIDING, Expression
from costbatch.simulator.cost_query import MONTHLY, CostQuery, next_month, parse_request
from costbatch.simulator.costs import rows_of_day
from costbatch.simulator.errors import AwsError
from costbatch.simulator.page_tokens import make_token, page_of_token
from costbatch.simulator.rendering import Layout, Period, render_pages
from costbatch.simulator.usage_types import parts_of
from costbatch.simulator.world import to_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from costbatch.simulator.cache import PageCache
    from costbatch.simulator.rendering import Keys
    from costbatch.simulator.world import Account, CostRow

DIGEST_BYTES = 16
LINKED_ACCOUNT = "LINKED_ACCOUNT"
# Fields that no answer depends on: accounts that differ only in these share their rendered pages.
_NOT_COST = frozenset(
    {
        "account_id",
        "name",
        "access_key_id",
        "secret_access_key",
        "roles",
        "faults",
        "status",
        "requests_per_second",
        "resources",
        "inventory",
        "bursts",
        "explorer",
    }
)


class CostExplorer:
    """Answers cost queries about the accounts of one world."""

    def __init__(self, *, seed: int, page_size: int, group_order: int, cache: PageCache) -> None:
        """Answer from this seed in pages of this many groups, in this order."""
        self._seed = seed
        self._page_size = page_size
        self._group_order = group_order
        self._cache = cache
        self._digests: dict[str, tuple[Account, str]] = {}

    def answer(
        self,
        account: Account,
        body: bytes,
        today: date,
        *,
        billed: Iterable[Account],
        ignores_token: bool = False,
    ) -> Answer:
        """Answer GetCostAndUsage with one page; the first when the token is to be ignored.

        `billed` are the accounts whose cost the caller sees: all of the organization that it pays for.
        """
        request = parse_request(body, today)
        query = request.query
        own = Expression("Dimensions", LINKED_ACCOUNT, frozenset({account.account_id}))
        if query.filter == own:
            # It selects all of the account's own; so accounts with the same costs share their rendered pages.
            query, billed = replace(query, filter=None), (account,)
        accounts = tuple(billed)
        question = _question_digest(query)
        owner = account.costs_like or account.account_id
        number = 0
        if request.page_token is not None and not ignores_token:
            number = page_of_token(request.page_token, question=question, owner=owner)
        is_named = LINKED_ACCOUNT in query.group_by or query.filter is not None
        named = tuple((each.account_id, each.name) for each in accounts) if is_named else None
        pages = self._cache.get(
            (tuple(map(self._digest, accounts)), named, question, today),
            lambda: self._render(account, accounts, query, today, question=question, owner=owner),
        )
        if number >= len(pages):
            raise AwsError("InvalidNextTokenException", "The pagination token is past the last page.")
        return Answer(body=pages[number])

    def _render(
        self,
        account: Account,
        billed: tuple[Account, ...],
        query: CostQuery,
        today: date,
        *,
        question: str,
        owner: str,
    ) -> tuple[bytes, ...]:
        layout = Layout(
            metrics=query.metrics,
            group_of=_grouping(account, query.group_by),
            currency_of=lambda row: row.unit or account.currency_on(row.date),
            default_currency=account.currency,
            head=_head(billed, query),
            page_size=self._page_size,
            group_order=self._group_order,
            token=lambda page: make_token(page, question=question, owner=owner),
        )
        periods = []
        for start, end in _spans(query):
            days = (start + timedelta(days=count) for count in range((end - start).days))
            rows = [
                row if each is account else _of_member(each, row)
                for day in days
                for each in billed
                for row in self._rows(each, query, day, today)
                if query.filter is None or query.filter.matches(each, row)
            ]
            periods.append(Period(start, end, is_estimated(end - timedelta(days=1), today), rows))
        return render_pages(periods, layout)

    def _rows(self, account: Account, query: CostQuery, day: date, today: date) -> Iterator[CostRow]:
        """Yield the rows of a day, in parts if the query asks for what divides them."""
        rows = rows_of_day(account, day, seed=self._seed, read_on=today)
        asked = {*query.group_by, *(query.filter.dimensions if query.filter else ())}
        if asked & DIVIDING:
            return (part for row in rows for part in parts_of(account, row))
        return iter(rows)

    def _digest(self, account: Account) -> str:
        known = self._digests.get(account.account_id)
        if known is not None and known[0] is account:
            return known[1]
        settings = {name: value for name, value in to_plain(account).items() if name not in _NOT_COST}
        identity = account.costs_like or account.account_id
        digest = _hash(json.dumps([identity, settings], sort_keys=True))
        self._digests[account.account_id] = (account, digest)
        return digest


def _spans(query: CostQuery) -> Iterator[tuple[date, date]]:
    start = query.start
    while start < query.end_exclusive:
        step = next_month(start) if query.granularity == MONTHLY else start + timedelta(days=1)
        end = min(step, query.end_exclusive)
        yield start, end
        start = end


def _of_member(account: Account, row: CostRow) -> CostRow:
    """Return a row of an account as it stands in its payer's bill."""
    return replace(row, linked_account=account.account_id, unit=row.unit or account.currency_on(row.date))


def _grouping(account: Account, group_by: tuple[str, ...]) -> Callable[[CostRow], Keys] | None:
    if not group_by:
        return None
    if group_by == ("SERVICE", "RECORD_TYPE"):
        return lambda row: (row.service, row.record_type)  # the usual query, without the general case
    dimensions = [DIMENSIONS[key] for key in group_by]
    return lambda row: tuple(dimension(account, row) for dimension in dimensions)


def _head(billed: tuple[Account, ...], query: CostQuery) -> str:
    attributes = []
    if LINKED_ACCOUNT in query.group_by:
        attributes = [{"Value": each.account_id, "Attributes": {"description": each.name}} for each in billed]
    head: dict[str, object] = {"DimensionValueAttributes": attributes}
    if query.group_by:
        head["GroupDefinitions"] = [{"Type": "DIMENSION", "Key": key} for key in query.group_by]
    return json.dumps(head, separators=(",", ":"))[1:-1] + ","


@lru_cache(maxsize=1024)
def _question_digest(query: CostQuery) -> str:
    return _hash(repr(query))


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
