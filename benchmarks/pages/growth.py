"""benchmarks/growth.md: what one account costs, and what 1,000, 10,000 and 100,000 of them cost."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from benchmarks.collect.testbed import DAYS, SERVICES
from benchmarks.pages.arithmetic import Growth, PerAccount, capacity, dollars_of_a_month, most_within
from benchmarks.pages.markdown import dollars, duration, fill, number, size, table
from costbatch.config import VARIABLES
from costbatch.simulator.world import DEFAULT_PAGE_SIZE

ACCOUNTS = (1_000, 10_000, 100_000)
WINDOW_SECONDS = 30 * 60
# PostgreSQL's own default.
MAX_CONNECTIONS = 100

Parts = dict[str, dict[str, float]]
Sizes = dict[str, int]


def to_page(document: dict[str, Any]) -> str:
    """Return the page, from the document that `make bench` writes."""
    parts: Parts = {name: result["parts"] for name, result in document["results"].items()}
    sizes: Sizes = document["made"]["sizes"]
    each = per_account(parts, sizes)
    growths = [Growth(accounts, each, WINDOW_SECONDS) for accounts in ACCOUNTS]
    made = document["made"]
    return fill(
        "growth",
        python=made["python"],
        postgres=made["postgres"],
        cores=made["cores"],
        load=number(made["load_average_before"]),
        many_accounts=_many_accounts(growths, parts, sizes),
        **_one_account(parts, sizes, each),
        **_limits(parts, sizes, growths[-1]),
    )


def per_account(parts: Parts, sizes: Sizes) -> PerAccount:
    """Return the costs of one account from the parts of the ratios."""
    waiting, history = _waiting(parts), parts["history"]
    return PerAccount(
        services=SERVICES,
        days=DAYS,
        requests=waiting["requests_per_account"],
        client_seconds=parts["json"]["client_changed_ms"] / 1000,
        server_seconds=history["changed_server_ms"] / 1000,
        wall_seconds=waiting["wall_seconds"] / waiting["accounts"],
        row_bytes=history["table_bytes_per_row"] + history["index_bytes_per_row"],
        record_bytes=history["collection_bytes"],
        # Both nights also write their records, which one night writes once.
        wal_bytes=history["changed_wal_bytes"] + history["new_day_wal_bytes"] - _unchanged_wal(parts, sizes),
        transactions=waiting["transactions_per_account"],
    )


def default_concurrency() -> int:
    """Return how many accounts a pod fetches at the same time where nothing else is said."""
    (default,) = (one.default for one in VARIABLES if one.name == "COSTBATCH_CONCURRENCY")
    return int(str(default))


def _waiting(parts: Parts) -> dict[str, float]:
    return parts[f"latency_{default_concurrency()}"]


def _first_wal(parts: Parts, sizes: Sizes) -> float:
    return parts["wal_unchanged"]["first_mb"] * 1e6 / sizes["written"]


def _unchanged_wal(parts: Parts, sizes: Sizes) -> float:
    return _first_wal(parts, sizes) * parts["wal_unchanged"]["ratio_after_checkpoint"]


def _one_account(parts: Parts, sizes: Sizes, each: PerAccount) -> dict[str, object]:
    history = parts["history"]
    return {
        "services": each.services,
        "days": each.days,
        "groups": each.groups,
        "client_unchanged": duration(parts["json"]["client_ms"] / 1000),
        "client_changed": duration(each.client_seconds),
        "server_unchanged": duration(parts["execute_values"]["server_ms"] / 1000),
        "server_changed": duration(each.server_seconds),
        "latency": duration(sizes["latency_ms"] / 1000),
        "concurrency": default_concurrency(),
        "wall": duration(each.wall_seconds),
        "requests": number(each.requests),
        "transactions": number(each.transactions),
        "wal_first": size(_first_wal(parts, sizes)),
        "wal_unchanged": size(_unchanged_wal(parts, sizes)),
        "wal_changed": size(history["changed_wal_bytes"]),
        "wal_new_day": size(history["new_day_wal_bytes"]),
        "wal": size(each.wal_bytes),
        "stored": number(history["rows"]),
        "table_row": size(history["table_bytes_per_row"]),
        "index_row": size(history["index_bytes_per_row"]),
        "record": size(each.record_bytes),
        "year": size(each.bytes_of_a_year),
    }


def _many_accounts(growths: list[Growth], parts: Parts, sizes: Sizes) -> str:
    connections = _waiting(parts)["connections"]
    lines: dict[str, Callable[[Growth], str]] = {
        "Cost Explorer a month, each by its own request": lambda one: _a_month(one.own_requests),
        "Cost Explorer a month, asking the payer": lambda one: _a_month(_payer_requests(one)),
        "database, growth in a year": lambda one: size(one.bytes_of_a_year),
        "WAL of a night": lambda one: size(one.wal_bytes),
        "CPU of all pods in a night": lambda one: duration(one.client_seconds),
        "CPU of PostgreSQL in a night": lambda one: duration(one.server_seconds),
        "wall with one pod": lambda one: duration(one.seconds_of_one_pod),
        "**pods for a window of 30 minutes**": lambda one: f"**{one.pods}**",
        "connections to PostgreSQL": lambda one: number(one.pods * connections),
    }
    head = (
        f"{sizes['latency_ms']} ms latency, concurrency {default_concurrency()}",
        *(f"{one.accounts:,}" for one in growths),
    )
    return table(head, [(name, *map(show, growths)) for name, show in lines.items()])


def _limits(parts: Parts, sizes: Sizes, most: Growth) -> dict[str, object]:
    each, memory, sharing = most.each, parts["memory"], parts["sharing"]
    latency = sizes["latency_ms"] / 1000
    return {
        "pod_accounts": f"{capacity(each, WINDOW_SECONDS):,}",
        "pod_bound": f"{most_within(WINDOW_SECONDS, latency) * default_concurrency():,}",
        "sharing": number(sharing["one_seconds"] / sharing["two_seconds"]),
        "client_accounts": f"{most_within(WINDOW_SECONDS, each.client_seconds):,}",
        "few": f"{sizes['few']:,}",
        "many": f"{sizes['many']:,}",
        "memory_few": size(memory["few_mb"] * 1e6),
        "memory_many": size(memory["many_mb"] * 1e6),
        "large_accounts": sizes["large_accounts"],
        "large_rows": f"{sizes['large_rows']:,}",
        "largest_rows": f"{sizes['largest_rows']:,}",
        "large_several": size(parts["large_several"]["peak_mb"] * 1e6),
        "large_one": size(parts["large_one"]["peak_mb"] * 1e6),
        "server_accounts": f"{most_within(WINDOW_SECONDS, each.server_seconds):,}",
        "most": f"{most.accounts:,}",
        "wal_many": size(most.wal_bytes),
        "connections": number(_waiting(parts)["connections"]),
        "max_connections": MAX_CONNECTIONS,
        "transactions_many": number(most.transactions_per_second),
        "dollars_each": dollars(dollars_of_a_month(1)),
        "page": f"{DEFAULT_PAGE_SIZE:,}",
        "page_share": number(each.groups / DEFAULT_PAGE_SIZE),
        "payer_time": duration(_payer_requests(most) * latency),
    }


def _payer_requests(growth: Growth) -> int:
    return growth.payer_requests(DEFAULT_PAGE_SIZE)


def _a_month(requests: int) -> str:
    return dollars(Decimal(dollars_of_a_month(requests)))
