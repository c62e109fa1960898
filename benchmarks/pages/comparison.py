"""benchmarks/comparison.md: the same accounts by costbatch, by a plain script and by dlt."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from benchmarks.pages.growth import default_concurrency
from benchmarks.pages.markdown import dollars, duration, fill, number, table
from costbatch.domain.costs import REQUEST_PRICE_USD

NAMES = {
    "costbatch": "costbatch",
    "plain": "the plain script",
    "dlt_rows": "dlt by default, loading only",
    "dlt_arrow": "dlt by Arrow, loading only",
}
_WITH_FETCHING = {
    "dlt_rows": "dlt by default, with plain fetching",
    "dlt_arrow": "dlt by Arrow, with plain fetching",
}
_HEAD = (
    "",
    "client CPU s",
    "server CPU s",
    "CPU, times costbatch",
    "wall s",
    "peak memory MB",
    "WAL MB",
    "requests",
    "dollars",
)

Figures = Mapping[str, Any]


def to_page(document: dict[str, Any]) -> str:
    """Return the page, from the document that `make bench-compare` writes."""
    made = document["made"]
    return fill(
        "comparison",
        python=made["python"],
        postgres=made["postgres"],
        dlt_version=f"dlt {made['dlt']}, " if made["dlt"] else "",
        cores=made["cores"],
        load=number(made["load_average_before"]),
        accounts=f"{document['accounts']:,}",
        days=document["days"],
        services=document["services"],
        rows=f"{_rows(document):,}",
        stored=_stored(document),
        serial=f"{document['ways']['plain']['accounts']:,}",
        factor=number(document["accounts"] / document["ways"]["plain"]["accounts"]),
        first=_night(document, "first"),
        unchanged=_night(document, "unchanged"),
        latency=f"{document['latency_ms']} ms",
        waiting=_at_latency(document),
        concurrency=default_concurrency(),
        dlt=_dlt(document),
        price=dollars(REQUEST_PRICE_USD),
    )


def with_fetching(night: Figures, document: dict[str, Any]) -> dict[str, Any]:
    """Return a night of loading alone with what the plain script's fetching of the accounts would add."""
    accounts, fetching = document["accounts"], document["fetching"]
    return {
        **night,
        "client_seconds": night["client_seconds"] + accounts * fetching["client_seconds_per_account"],
        "wall_seconds": night["wall_seconds"] + accounts * fetching["wall_seconds_per_account"],
        "requests": accounts,
        "dollars": str(accounts * REQUEST_PRICE_USD),
    }


def of_all_accounts(way: Figures, night: str, accounts: int) -> dict[str, Any]:
    """Return a way's night for all accounts, where it collected a part of them; memory does not grow."""
    factor, figures = accounts / way["accounts"], way[night]
    grown = ("client_seconds", "server_seconds", "wall_seconds", "wal_mb")
    requests = round(figures["requests"] * factor)
    return {
        **figures,
        **{name: figures[name] * factor for name in grown},
        "requests": requests,
        "dollars": str(requests * REQUEST_PRICE_USD),
    }


def _rows(document: dict[str, Any]) -> int:
    return int(document["accounts"] * document["days"] * document["services"])


def _stored(document: dict[str, Any]) -> str:
    """Return whether every way stored every row with its exact amounts."""
    ways, rows_each = document["ways"].items(), document["days"] * document["services"]
    totals = {way["shared_total"] for _, way in ways}
    if len(totals) == 1 and all(way["rows"] == way["accounts"] * rows_each for _, way in ways):
        return "Every way stored every row, with the same total to the last digit."
    told = [f"{NAMES[name]} {way['rows']:,} rows with {way['shared_total']}" for name, way in ways]
    shared = document["ways"]["plain"]["accounts"]
    return f"They did not store the same rows, or total of {shared:,} accounts: {'; '.join(told)}."


def _nights(document: dict[str, Any], night: str) -> dict[str, dict[str, Any]]:
    """Return every line of a night, by what it is called."""
    figures = {
        name: of_all_accounts(way, night, document["accounts"]) for name, way in document["ways"].items()
    }
    fetched = {
        name: with_fetching(figures[way], document) for way, name in _WITH_FETCHING.items() if way in figures
    }
    return {NAMES[name]: one for name, one in figures.items()} | fetched


def _night(document: dict[str, Any], night: str) -> str:
    nights = _nights(document, night)
    ours = nights[NAMES["costbatch"]]
    return table(_HEAD, [(name, *_cells(figures, ours)) for name, figures in nights.items()])


def _cells(figures: Figures, ours: Figures) -> list[str]:
    return [
        number(figures["client_seconds"]),
        number(figures["server_seconds"]),
        number(_cpu(figures) / _cpu(ours)),
        number(figures["wall_seconds"]),
        number(figures["memory_mb"]),
        number(figures["wal_mb"]),
        f"{figures['requests']:,}" if figures["requests"] else "-",
        dollars(Decimal(figures["dollars"])) if figures["requests"] else "-",
    ]


def _cpu(figures: Figures) -> float:
    return float(figures["client_seconds"] + figures["server_seconds"])


def _at_latency(document: dict[str, Any]) -> str:
    waiting = document["accounts"] * document["latency_ms"] / 1000
    ours = document["ways"]["costbatch"]["wall_seconds_at_latency"]
    walls = {NAMES["costbatch"]: ours}
    walls |= {
        f"{name}, computed": figures["wall_seconds"] + waiting
        for name, figures in _nights(document, "unchanged").items()
        if name in (NAMES["plain"], *_WITH_FETCHING.values())
    }
    rows = [(name, duration(wall), number(wall / ours)) for name, wall in walls.items()]
    return table(("", "wall", "times costbatch"), rows)


def _dlt(document: dict[str, Any]) -> str:
    if document["skipped"]:
        return f"dlt was left out: {document['skipped']}"
    fetching = document["fetching"]
    cpu = duration(fetching["client_seconds_per_account"])
    return fill("dlt", fetching=cpu, fetched=fetching["accounts"]).strip()
