"""Resource Explorer: its indexes, its one view, and ListResources of everything in that view."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from costbatch.simulator.answers import Answer
from costbatch.simulator.cost_query import json_object
from costbatch.simulator.errors import EXPLORER, AwsError, validation_error
from costbatch.simulator.page_tokens import page_of
from costbatch.simulator.regions import GLOBAL, partition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from costbatch.simulator.cache import PageCache
    from costbatch.simulator.inventory import Inventory
    from costbatch.simulator.world import Account, Explorer, Resource

# Made once: `json.dumps` with separators makes an encoder for every call.
_encode = json.JSONEncoder(separators=(",", ":")).encode
AGGREGATOR, LOCAL = "AGGREGATOR", "LOCAL"
MOST_INDEXES, MOST_VIEWS, MOST_RESOURCES = 100, 50, 1000
DEFAULT_RESOURCES = 100
# The types of resources whose ARN has nothing but their name.
TYPE_OF_SERVICE = {"s3": "bucket", "sns": "topic", "sqs": "queue"}


class ResourceExplorer:
    """Answers about the resources of one world."""

    def __init__(self, *, inventory: Inventory, page_size: int, cache: PageCache) -> None:
        """Answer in pages of at most this many items."""
        self._inventory = inventory
        self._page_size = page_size
        self._cache = cache

    def answer(
        self, operation: str, account: Account, body: bytes, today: date, *, region: str, ignores_token: bool
    ) -> Answer:
        """Answer one operation in a region."""
        request = json_object(body)
        if ignores_token:
            request.pop("NextToken", None)
        match operation:
            case "ListIndexes":
                return self._list_indexes(account, request)
            case "GetIndex":
                return _get_index(account, region)
            case "ListViews":
                views = [_view_arn(account)] if _explores_from(account, region) else []
                return self._page(account, request, views, "Views", most=MOST_VIEWS)
            case "GetView":
                return _get_view(account, region, request)
            case "ListResources":
                return self._list_resources(account, request, today, region=region)
        raise AwsError("UnknownOperationException", f"Unknown operation {operation}.", status=404)

    def _list_indexes(self, account: Account, request: dict[str, Any]) -> Answer:
        if request.get("Regions"):
            raise validation_error("Regions is not supported here.")
        kind = request.get("Type")
        indexes = [
            {"Region": region, "Arn": _index_arn(account, region), "Type": _index_type(account, region)}
            for region in _indexed_regions(account)
            if kind in (None, _index_type(account, region))
        ]
        return self._page(account, request, indexes, "Indexes", most=MOST_INDEXES)

    def _list_resources(
        self, account: Account, request: dict[str, Any], today: date, *, region: str
    ) -> Answer:
        if (request.get("Filters") or {}).get("FilterString"):
            raise validation_error("Filters is not supported here.")
        explorer = _explores_from(account, region)
        if explorer is None or request.get("ViewArn") not in (None, _view_arn(account)):
            # AWS does not say whether the view exists.
            raise AwsError("UnauthorizedException", "Unauthorized", status=401)
        items = self._cache.get((EXPLORER, account, today), lambda: self._render(account, explorer, today))
        page, token = self._part(account, request, items, most=MOST_RESOURCES, usual=DEFAULT_RESOURCES)
        end = json.dumps({"ViewArn": _view_arn(account), **({"NextToken": token} if token else {})})
        return Answer(body=b'{"Resources":[%b],%b' % (b",".join(page), end[1:].encode()))

    def _render(self, account: Account, explorer: Explorer, today: date) -> tuple[bytes, ...]:
        is_wanted = _filter(explorer.view_filter)
        indexed = {*_indexed_regions(account), GLOBAL}
        found = (
            resource
            for region, resources in sorted(self._inventory.estate(account, today).items())
            if region in indexed
            for resource in resources
        )
        return tuple(
            _item(account, resource, today, has_tags=explorer.includes_tags)
            for resource in found
            if is_wanted(resource)
        )

    def _page(
        self, account: Account, request: dict[str, Any], items: Sequence[Any], name: str, *, most: int
    ) -> Answer:
        page, token = self._part(account, request, items, most=most, usual=most)
        return Answer(body=json.dumps({name: page, **({"NextToken": token} if token else {})}).encode())

    def _part(
        self, account: Account, request: dict[str, Any], items: Sequence[Any], *, most: int, usual: int
    ) -> tuple[Sequence[Any], str | None]:
        size = request.get("MaxResults", usual)
        if not isinstance(size, int) or not 1 <= size <= most:
            raise validation_error(f"MaxResults must be between 1 and {most}.")
        return page_of(
            items,
            request.get("NextToken"),
            size=min(size, self._page_size),
            question=f"{size}",
            owner=account.account_id,
            refuse=validation_error,
        )


def _indexed_regions(account: Account) -> list[str]:
    """Return the regions with an index, the aggregator's first."""
    explorer = account.explorer
    if explorer is None:
        return []
    others = account.regions if explorer.replicating_from is None else explorer.replicating_from
    return [explorer.region, *(region for region in others if region != explorer.region)]


def _index_type(account: Account, region: str) -> str:
    return AGGREGATOR if account.explorer and account.explorer.region == region else LOCAL


def _explores_from(account: Account, region: str) -> Explorer | None:
    """Return the setup if the region has the aggregator index and so the view."""
    return account.explorer if account.explorer and account.explorer.region == region else None


def _get_index(account: Account, region: str) -> Answer:
    indexed = _indexed_regions(account)
    if account.explorer is None or region not in indexed:
        raise AwsError("ResourceNotFoundException", "There is no index in this Region.", status=404)
    index: dict[str, Any] = {
        "Arn": _index_arn(account, region),
        "Type": _index_type(account, region),
        "State": account.explorer.state,
        "CreatedAt": "2024-01-01T00:00:00Z",
        "LastUpdatedAt": "2024-01-01T00:00:00Z",
        "Tags": {},
    }
    if index["Type"] == AGGREGATOR:
        index["ReplicatingFrom"] = indexed[1:]
    else:
        index["ReplicatingTo"] = indexed[:1]
    return Answer(body=json.dumps(index).encode())


def _get_view(account: Account, region: str, request: dict[str, Any]) -> Answer:
    explorer = _explores_from(account, region)
    if explorer is None or request.get("ViewArn") != _view_arn(account):
        raise AwsError("UnauthorizedException", "Unauthorized", status=401)
    partition = partition_of(region)
    view = {
        "ViewArn": _view_arn(account),
        "Owner": account.account_id,
        "Scope": explorer.scope or f"arn:{partition}:iam::{account.account_id}:root",
        "Filters": {"FilterString": explorer.view_filter},
        "IncludedProperties": [{"Name": "tags"}] if explorer.includes_tags else [],
        "LastUpdatedAt": "2024-01-01T00:00:00Z",
    }
    return Answer(body=json.dumps({"View": view, "Tags": {}}).encode())


def _filter(words: str) -> Callable[[Resource], bool]:
    """Return whether a resource passes a view's filter: words such as `service:ec2`, which all must hold."""
    wanted = [word.partition(":") for word in words.split()]

    def passes(resource: Resource) -> bool:
        has = {
            "service": _service_and_type(resource.arn)[0],
            "region": resource.region,
            "resourcetype": ":".join(_service_and_type(resource.arn)),
        }
        return all(has.get(key) == value for key, _, value in wanted)

    return passes


def _item(account: Account, resource: Resource, today: date, *, has_tags: bool) -> bytes:
    reported_at = f"{today}T00:00:00Z"
    service, kind = _service_and_type(resource.arn)
    properties = []
    if has_tags and resource.tags:
        data = [{"Key": key, "Value": value} for key, value in resource.tags]
        properties.append({"Name": "tags", "LastReportedAt": reported_at, "Data": data})
    item = {
        "Arn": resource.arn,
        "OwningAccountId": account.account_id,
        "Region": resource.region,
        "ResourceType": f"{service}:{kind}",
        "Service": service,
        "LastReportedAt": reported_at,
        "Properties": properties,
    }
    return _encode(item).encode()


def _service_and_type(arn: str) -> tuple[str, str]:
    """Return what an ARN says of its resource; a world may also name what is no ARN."""
    parts = [*arn.split(":", 5), *[""] * 6]
    service, rest = parts[2], parts[5]
    return service, TYPE_OF_SERVICE.get(service) or rest.replace("/", ":").partition(":")[0]


def _index_arn(account: Account, region: str) -> str:
    return _arn(account, region, f"index/{_uuid(account, region)}")


def _view_arn(account: Account) -> str:
    region = account.explorer.region if account.explorer else ""
    return _arn(account, region, f"view/everything/{_uuid(account, 'view')}")


def _arn(account: Account, region: str, name: str) -> str:
    return f"arn:{partition_of(region)}:{EXPLORER}:{region}:{account.account_id}:{name}"


def _uuid(account: Account, name: str) -> UUID:
    return UUID(bytes=f"{account.account_id}{name}".encode().ljust(16, b"0")[-16:])
