"""Renders cost rows as Cost Explorer's JSON: amounts as AWS prints them, groups, totals and pages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

    from costbatch.simulator.world import CostRow

SMALLEST_PLAIN = Decimal("1E-7")
ZERO = Decimal(0)
UNITLESS = "N/A"
UNITLESS_METRICS = frozenset({"UsageQuantity", "NormalizedUsageAmount"})
METRICS: dict[str, Callable[[CostRow], Decimal]] = {
    "AmortizedCost": lambda row: row.amortized,
    "BlendedCost": lambda row: row.unblended,
    "NetAmortizedCost": lambda row: row.net_amortized,
    "NetUnblendedCost": lambda row: row.net_unblended,
    "NormalizedUsageAmount": lambda row: row.usage,
    "UnblendedCost": lambda row: row.unblended,
    "UsageQuantity": lambda row: row.usage,
}
# Sums of explicit rows keep every digit; the default 28 digits would round the longest amounts.
_EXACT = Context(prec=100)

Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Period:
    """One element of ResultsByTime: its half-open days, whether AWS may still change it, and its rows."""

    start: date
    end_exclusive: date
    estimated: bool
    rows: Sequence[CostRow]


@dataclass(frozen=True, slots=True)
class Layout:
    """How an answer is written: its metrics, the keys of a row (null: ungrouped), the rest of each page."""

    metrics: tuple[str, ...]
    group_of: Callable[[CostRow], Keys] | None
    currency_of: Callable[[CostRow], str]
    default_currency: str
    head: str
    page_size: int
    group_order: int
    token: Callable[[int], str]


def amount_text(amount: Decimal) -> str:
    """Print an amount as AWS does: plain digits, and an exponent when it is very small ("9.0E-10")."""
    if not amount:
        return "0"
    if -SMALLEST_PLAIN < amount < SMALLEST_PLAIN:
        sign, digits, _ = amount.as_tuple()
        shown = "".join(map(str, digits)).rstrip("0")
        return f"{'-' if sign else ''}{shown[0]}.{shown[1:] or '0'}E{amount.adjusted()}"
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def render_pages(periods: Iterable[Period], layout: Layout) -> tuple[bytes, ...]:
    """Write the whole answer as pages of at most `page_size` groups; a period may be split over two pages."""
    results_of_pages = list(_paged(periods, layout))
    pages = []
    for number, results in enumerate(results_of_pages, 1):
        next_page = "" if number == len(results_of_pages) else f'"NextPageToken":"{layout.token(number)}",'
        pages.append(f'{{{next_page}{layout.head}"ResultsByTime":[{",".join(results)}]}}'.encode())
    return tuple(pages)


def _paged(periods: Iterable[Period], layout: Layout) -> Iterator[list[str]]:
    results: list[str] = []
    room = layout.page_size
    for period in periods:
        if layout.group_of is None:
            zeros = ((name, ZERO, layout.default_currency) for name in layout.metrics)
            total = _metrics(period.rows, layout) if period.rows else _metrics_text(zeros)
            results.append(_result(period, total=total, groups=()))
            continue
        groups = _groups(period.rows, layout)
        if layout.group_order:
            groups.sort(key=lambda group: crc32(f"{layout.group_order} {period.start} {group}".encode()))
        while len(groups) > room:
            if room:
                results.append(_result(period, total="{}", groups=groups[:room]))
            yield results
            groups, results, room = groups[room:], [], layout.page_size
        results.append(_result(period, total="{}", groups=groups))
        room -= len(groups)
    yield results


def _result(period: Period, *, total: str, groups: Sequence[str]) -> str:
    estimated = "true" if period.estimated else "false"
    return (
        f'{{"TimePeriod":{{"Start":"{period.start}","End":"{period.end_exclusive}"}},"Total":{total},'
        f'"Groups":[{",".join(groups)}],"Estimated":{estimated}}}'
    )


def _groups(rows: Iterable[CostRow], layout: Layout) -> list[str]:
    assert layout.group_of is not None  # noqa: S101 - the caller asks only for grouped answers
    grouped: dict[tuple[Keys, str], list[CostRow]] = {}
    for row in rows:
        # Several currencies of one group are several groups.
        grouped.setdefault((layout.group_of(row), layout.currency_of(row)), []).append(row)
    return [
        f'{{"Keys":[{_keys_text(keys)}],"Metrics":{_metrics(members, layout)}}}'
        for (keys, _), members in grouped.items()
    ]


def _metrics(rows: Sequence[CostRow], layout: Layout) -> str:
    currency = layout.currency_of(rows[0])
    return _metrics_text((name, _sum(rows, METRICS[name]), currency) for name in layout.metrics)


def _metrics_text(values: Iterable[tuple[str, Decimal, str]]) -> str:
    parts = [
        f'"{name}":{{"Amount":"{amount_text(amount)}",'
        f'"Unit":"{UNITLESS if name in UNITLESS_METRICS else currency}"}}'
        for name, amount, currency in values
    ]
    return f"{{{','.join(parts)}}}"


def _sum(rows: Sequence[CostRow], metric: Callable[[CostRow], Decimal]) -> Decimal:
    total = metric(rows[0])
    for row in rows[1:]:
        total = _EXACT.add(total, metric(row))
    return total


@lru_cache(maxsize=4096)
def _keys_text(keys: Keys) -> str:
    return ",".join(json.dumps(key) for key in keys)
