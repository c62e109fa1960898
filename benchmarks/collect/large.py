"""What first collections of large accounts take in memory: it is bounded by rows, not by accounts."""

import time
from dataclasses import replace
from datetime import timedelta

from benchmarks.collect import program
from benchmarks.collect.bench import Bench
from benchmarks.collect.targets import Result
from benchmarks.collect.testbed import Reading
from costbatch.simulator.demo_world import load_world
from costbatch.simulator.world import World

_HISTORY_MONTHS = 13
# From the first of the month 13 months before TODAY's.
_DAYS = 424
# One page of an answer has 2,000 groups; the largest answer needs hundreds.
_ENVIRON = {"COSTBATCH_HISTORY_MONTHS": str(_HISTORY_MONTHS), "COSTBATCH_PAGE_LIMIT": "10000"}


def large(bench: Bench) -> list[Result]:
    """Measure the peak memory of several large first collections at once, and of a very large one."""
    sizes = bench.sizes
    base = _first_collections(bench, 1, _DAYS)
    several = _first_collections(bench, sizes.large_accounts, sizes.large_rows)
    one = _first_collections(bench, 1, sizes.largest_rows)
    return [
        _result("large_several", several, base, sizes.large_accounts * sizes.large_rows),
        _result("large_one", one, base, sizes.largest_rows),
    ]


def _result(name: str, reading: Reading, base: Reading, rows: int) -> Result:
    parts = {
        "peak_mb": reading.memory_bytes / 1e6,
        "small_mb": base.memory_bytes / 1e6,
        "rows": float(rows),
        "client_us_per_row": reading.client_seconds / rows * 1e6,
        "server_us_per_row": reading.server_seconds / rows * 1e6,
        "wall_seconds": reading.wall_seconds,
    }
    return Result(name, reading.memory_bytes / base.memory_bytes, parts)


def _first_collections(bench: Bench, accounts: int, rows: int) -> Reading:
    """Collect accounts for the first time, each with about so many rows."""
    url = bench.testbed.bare_database(f"large-{time.monotonic_ns()}", accounts)
    with bench.testbed.other_aws(_world(accounts, max(1, round(rows / _DAYS)))) as aws:
        environ = {**_ENVIRON, "AWS_ENDPOINT_URL": aws.url}
        return bench.testbed.collect(url, accounts=accounts, environ=environ)


def _world(accounts: int, services: int) -> World:
    """Return accounts that share one history, so that the stand-in renders it once."""
    world = load_world(accounts, services=services, days=_DAYS, today=program.TODAY)
    start = program.TODAY - timedelta(days=_DAYS)
    alike = [replace(each, costs_like="large", daily_cost=5000.0, start=start) for each in world.accounts]
    return replace(world, accounts=tuple(alike))
