"""GetResources of the Resource Groups Tagging API: what is or was tagged in one region."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from costbatch.simulator.answers import Answer
from costbatch.simulator.cost_query import json_object
from costbatch.simulator.errors import TAGGING, AuthProblem, AwsError
from costbatch.simulator.page_tokens import page_of
from costbatch.simulator.regions import GLOBAL, home_of, partition_of

if TYPE_CHECKING:
    from datetime import date

    from costbatch.simulator.cache import PageCache
    from costbatch.simulator.inventory import Inventory
    from costbatch.simulator.world import Account, Resource

DEFAULT_PER_PAGE, MOST_PER_PAGE = 50, 100
# Made once: `json.dumps` with separators makes an encoder for every call.
_encode = json.JSONEncoder(separators=(",", ":")).encode
NOT_SUPPORTED = (
    "TagFilters",
    "ResourceTypeFilters",
    "ResourceARNList",
    "TagsPerPage",
    "IncludeComplianceDetails",
    "ExcludeCompliantResources",
)


class Tagging:
    """Answers about the resources of one world."""

    def __init__(self, *, inventory: Inventory, page_size: int, cache: PageCache) -> None:
        """Answer in pages of at most this many resources."""
        self._inventory = inventory
        self._page_size = page_size
        self._cache = cache

    def answer(
        self, account: Account, body: bytes, today: date, *, region: str, ignores_token: bool = False
    ) -> Answer:
        """Answer GetResources with one page; the first when the token is to be ignored."""
        request = json_object(body)
        if used := [name for name in NOT_SUPPORTED if request.get(name)]:
            raise _invalid(f"{used[0]} is not supported here.")
        size = request.get("ResourcesPerPage", DEFAULT_PER_PAGE)
        if not isinstance(size, int) or not 1 <= size <= MOST_PER_PAGE:
            raise _invalid(f"ResourcesPerPage must be between 1 and {MOST_PER_PAGE}.")
        items = self._cache.get(
            (TAGGING, account, region, today), lambda: self._render(account, region, today)
        )
        page, token = page_of(
            items,
            None if ignores_token else request.get("PaginationToken"),
            size=min(size, self._page_size),
            question=f"{size}",
            owner=f"{account.account_id}/{region}",
            refuse=_invalid,
        )
        # AWS writes an empty token on the last page.
        content = b'{"PaginationToken":%b,"ResourceTagMappingList":[%b]}'
        return Answer(body=content % (json.dumps(token or "").encode(), b",".join(page)))

    def _render(self, account: Account, region: str, today: date) -> tuple[bytes, ...]:
        estate = self._inventory.estate(account, today)
        found = [*estate.get(region, ())]
        if region == home_of(partition_of(region)):
            found += estate.get(GLOBAL, ())
        return tuple(_item(resource) for resource in found if resource.tags or resource.was_tagged)


def _item(resource: Resource) -> bytes:
    tags: list[Any] = [{"Key": key, "Value": value} for key, value in resource.tags]
    return _encode({"ResourceARN": resource.arn, "Tags": tags}).encode()


def _invalid(message: str) -> AwsError:
    return AuthProblem.INVALID.error(TAGGING, message)
