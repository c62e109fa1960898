"""The pages of the benchmark follow from its figures, and their arithmetic is right."""

import json
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.collect.sizes import FULL
from benchmarks.pages.__main__ import FOLDER, PAGES, RESULTS, Page
from benchmarks.pages.arithmetic import Growth, PerAccount, capacity, dollars_of_a_month, most_within
from benchmarks.pages.comparison import of_all_accounts, to_page, with_fetching
from benchmarks.pages.growth import per_account
from benchmarks.pages.markdown import dollars, duration, number, size, table

EACH = PerAccount(
    services=25,
    days=30,
    requests=1.0,
    client_seconds=0.0025,
    server_seconds=0.002,
    wall_seconds=0.04,
    row_bytes=240.0,
    record_bytes=400.0,
    wal_bytes=50_000.0,
    transactions=2.0,
)
HALF_AN_HOUR = 1800.0
# The sizes that a page's figures depend on.
SIZES_OF = {
    "growth.md": set(asdict(FULL)) - {"discovered", "resources"},
    "comparison.md": {"compared", "fetched", "latency_ms", "serial"},
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_committed_page_says_what_its_figures_say(page: Page) -> None:
    """Neither can be changed without the other: `make bench-pages` writes the page anew."""
    assert (FOLDER / page.name).read_text(encoding="utf-8") == page.text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_committed_figures_are_those_of_the_full_sizes(page: Page, tmp_path: Path) -> None:
    """A trial on a few accounts is no result; where there is none yet, the page says so and how to get it."""
    path = RESULTS / page.figures
    if path.exists():
        made, names = json.loads(path.read_text())["made"]["sizes"], SIZES_OF[page.name]
        assert {name: made[name] for name in names} == {name: asdict(FULL)[name] for name in names}
    assert f"`make {page.target}` measures them" in page.text(tmp_path)


def test_a_request_costs_the_same_for_each_account_and_the_payer_pays_for_pages() -> None:
    """Own requests are one an account; the payer's are all groups, page by page, the last one not full."""
    growth = Growth(1_001, EACH, HALF_AN_HOUR)
    assert growth.own_requests == 1_001
    assert dollars_of_a_month(growth.own_requests) == Decimal("300.30")
    assert growth.payer_requests(2_000) == 376
    assert dollars_of_a_month(growth.payer_requests(2_000)) == Decimal("112.80")


def test_an_account_of_several_pages_pays_for_each_of_them() -> None:
    """Pages are requests."""
    assert Growth(10, replace(EACH, requests=2.5), HALF_AN_HOUR).own_requests == 25


def test_a_year_stores_a_row_for_each_service_and_day_and_a_record_for_each_night() -> None:
    """365 days of 25 rows, and 365 records."""
    assert EACH.bytes_of_a_year == 365 * (25 * 240 + 400)
    assert Growth(1_000, EACH, HALF_AN_HOUR).bytes_of_a_year == 2_336_000_000


def test_pods_are_as_many_as_the_window_needs() -> None:
    """One pod waits 40 ms for an account: 45,000 in half an hour, and one account more takes another pod."""
    assert capacity(EACH, HALF_AN_HOUR) == 45_000
    assert [Growth(accounts, EACH, HALF_AN_HOUR).pods for accounts in (1, 45_000, 45_001)] == [1, 1, 2]


def test_a_pod_is_never_faster_than_its_core() -> None:
    """Where waiting costs less than the CPU, the CPU is the limit."""
    busy = replace(EACH, wall_seconds=0.001, client_seconds=0.009)
    assert capacity(busy, HALF_AN_HOUR) == 200_000
    assert Growth(1_000, busy, HALF_AN_HOUR).seconds_of_one_pod == pytest.approx(9.0)


def test_costs_of_a_night_grow_with_the_accounts() -> None:
    """CPU, WAL and transactions are multiplied, and nothing else."""
    growth = Growth(90_000, EACH, HALF_AN_HOUR)
    assert growth.client_seconds == pytest.approx(225)
    assert growth.server_seconds == pytest.approx(180)
    assert growth.wal_bytes == pytest.approx(4.5e9)
    assert growth.transactions_per_second == pytest.approx(100)
    assert most_within(HALF_AN_HOUR, 0.002) == 900_000


def test_an_account_is_read_from_the_parts_of_the_ratios() -> None:
    """Seconds and bytes of one account; a night's records are counted once although two nights wrote them."""
    parts = {
        "json": {"client_ms": 2.0, "client_changed_ms": 2.5},
        "latency_8": {
            "accounts": 1000.0,
            "wall_seconds": 40.0,
            "requests_per_account": 1.0,
            "transactions_per_account": 2.0,
        },
        "wal_unchanged": {"first_mb": 100.0, "ratio_after_checkpoint": 0.02},
        "history": {
            "table_bytes_per_row": 135.0,
            "index_bytes_per_row": 105.0,
            "collection_bytes": 400.0,
            "changed_server_ms": 2.0,
            "changed_wal_bytes": 35_000.0,
            "new_day_wal_bytes": 20_000.0,
        },
    }
    assert per_account(parts, {"written": 400}) == EACH


def night(client: float, server: float, wall: float, requests: int) -> dict[str, Any]:
    """Return one night as the benchmark writes it."""
    return {
        "client_seconds": client,
        "server_seconds": server,
        "wall_seconds": wall,
        "memory_mb": 90.0,
        "wal_mb": 20.0,
        "requests": requests,
        "dollars": str(requests * Decimal("0.01")),
    }


def way(client: float, server: float, wall: float, requests: int, total: str = "12.5") -> dict[str, Any]:
    """Return one way with two equal nights."""
    one = night(client, server, wall, requests)
    return {"accounts": 10, "first": one, "unchanged": one, "rows": 7_500, "shared_total": total}


def compared(**changes: Any) -> dict[str, Any]:
    """Return a comparison of ten accounts."""
    made = {"python": "3", "postgres": "18", "cores": 2, "load_average_before": 0.1, "dlt": "1.31.0"}
    ways = {
        "costbatch": way(1.0, 1.0, 1.5, requests=10) | {"wall_seconds_at_latency": 2.0},
        "plain": way(20.0, 4.0, 30.0, requests=10),
        "dlt_rows": way(3.0, 1.0, 4.0, requests=0),
    }
    fetching = {"accounts": 50, "client_seconds_per_account": 0.5, "wall_seconds_per_account": 0.6}
    document = {
        "made": made,
        "accounts": 10,
        "days": 30,
        "services": 25,
        "latency_ms": 300,
        "ways": ways,
        "fetching": fetching,
        "skipped": "",
    }
    return document | changes


def test_what_only_loads_is_also_shown_with_what_fetching_adds() -> None:
    """CPU, wall, requests and dollars of ten accounts come on top; what the server does stays."""
    document = compared()
    whole = with_fetching(document["ways"]["dlt_rows"]["first"], document)
    assert whole == night(8.0, 1.0, 10.0, requests=10)


def test_a_way_that_collected_a_part_is_shown_for_all_accounts() -> None:
    """A fifth of the accounts costs a fifth; what a process holds at most does not depend on them."""
    fifth = way(4.0, 0.8, 6.0, requests=2) | {"accounts": 2, "rows": 1_500}
    whole = of_all_accounts(fifth, "first", 10)
    assert whole == night(20.0, 4.0, 30.0, requests=10) | {"wal_mb": 100.0}
    page = to_page(compared(ways=compared()["ways"] | {"plain": fifth}))
    assert "| the plain script | 20 | 4 | 12 | 30 | 90 | 100 | 10 | $0.10 |" in page
    assert "It collected 2 of the accounts; what it costs, memory apart, is 5 times that." in page
    assert "Every way stored every row" in page


def test_the_comparison_shows_each_way_and_how_much_it_takes_of_ours() -> None:
    """Loading alone pays for no request; a way that asks one after the other waits for each account."""
    page = to_page(compared())
    assert "| costbatch | 1 | 1 | 1 | 1.5 | 90 | 20 | 10 | $0.10 |" in page
    assert "| the plain script | 20 | 4 | 12 | 30 | 90 | 20 | 10 | $0.10 |" in page
    assert "| dlt by default, loading only | 3 | 1 | 2 | 4 | 90 | 20 | - | - |" in page
    assert "| dlt by default, with plain fetching | 8 | 1 | 4.5 | 10 | 90 | 20 | 10 | $0.10 |" in page
    assert "| the plain script, computed | 33 s | 16.5 |" in page
    assert "Every way stored every row" in page


def test_the_comparison_says_where_a_way_stored_something_else() -> None:
    """A rounded total is not passed over, and neither is a way that was left out."""
    ways = compared()["ways"]
    page = to_page(compared(ways=ways | {"plain": way(20.0, 4.0, 30.0, requests=10, total="12.4")}))
    told = "total of 10 accounts: costbatch 7,500 rows with 12.5; the plain script 7,500 rows with 12.4"
    assert told in page
    without = {name: ways[name] for name in ("costbatch", "plain")}
    assert "dlt was left out: There is none." in to_page(compared(ways=without, skipped="There is none."))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(12_345.6), "12,346"),
        (number(9.876), "9.88"),
        (number(0.04567), "0.046"),
        (dollars(Decimal("1125.00")), "$1,125"),
        (dollars(Decimal("112.50")), "$112.50"),
        (size(999), "999 B"),
        (size(49_000), "49 kB"),
        (size(2.336e12), "2.34 TB"),
        (duration(0.0025), "2.5 ms"),
        (duration(119), "119 s"),
        (duration(600), "10 min"),
        (duration(11_250), "3.12 h"),
        (table(("a", "b"), [("c", "1")]), "| a | b |\n| --- | ---: |\n| c | 1 |"),
    ],
)
def test_figures_are_shown_in_the_unit_that_reads_best(shown: str, expected: str) -> None:
    """A few digits, and the unit with them."""
    assert shown == expected
