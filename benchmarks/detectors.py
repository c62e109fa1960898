"""Measures nights of both detectors: python -m benchmarks.detectors [--accounts N] [--nights N]."""

import argparse
from collections.abc import Iterator, Sequence
from datetime import timedelta
from statistics import mean, median

from benchmarks.collect import program
from benchmarks.collect.processes import clients_on_their_core
from benchmarks.collect.server import execute, rows
from benchmarks.collect.testbed import SERVICES, Reading, Testbed, open_testbed
from costbatch.simulator.demo_world import load_world

_HEAD = "| detector | | client CPU ms | server CPU ms | WAL kB | peak memory MB |\n|---|---|---|---|---|---|"
_BYTES = """
SELECT pg_total_relation_size('detector_memories'),
    (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('daily_expectations')),
    (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('daily_costs'))
"""


def main(words: Sequence[str] | None = None) -> None:
    """Print what a first collection and a night take of each detector, per account."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--nights", type=int, default=8)
    parser.add_argument("--days", type=int, default=365, help="days of history at the first collection")
    arguments = parser.parse_args(words)
    print(_HEAD)
    with clients_on_their_core() as core, open_testbed(core) as testbed:
        for line in _measure(testbed, arguments.accounts, arguments.nights, arguments.days):
            print(line, flush=True)


def _measure(testbed: Testbed, accounts: int, nights: int, days: int) -> Iterator[str]:
    world = load_world(accounts, services=SERVICES, days=days, today=program.TODAY)
    with testbed.other_aws(world) as aws:
        for detector in ("deviation", "adaptive"):
            url = testbed.bare_database(detector, accounts)
            found = []
            for night in range(nights + 1):
                aws.set_today(program.TODAY + timedelta(days=night))
                environ = {
                    "AWS_ENDPOINT_URL": aws.url,
                    "COSTBATCH_DETECTOR": detector,
                    "COSTBATCH_HISTORY_MONTHS": "13",
                    "COSTBATCH_WINDOW_DAYS": "35",
                    program.DAYS_LATER: str(night),
                }
                found.append(testbed.collect(url, accounts=accounts, environ=environ))
                execute(url, "VACUUM ANALYZE")
            yield _line(detector, "first collection", found[:1], accounts)
            # The first night after a bulk load is not like the others.
            yield _line(detector, "a night", found[2:], accounts)
            sizes = (float(size) / accounts / 1000 for size in rows(url, _BYTES)[0])
            names = ("memory", "expectations", "costs")
            stored = ", ".join(f"{name} {size:.0f} kB" for name, size in zip(names, sizes, strict=True))
            yield f"| {detector} | stored: {stored} | | | | |"


def _line(detector: str, what: str, readings: Sequence[Reading], accounts: int) -> str:
    client, server, wal = (
        # The mean: a snapshot is due on some nights only.
        mean(getattr(each, name) for each in readings) / accounts
        for name in ("client_seconds", "server_seconds", "wal_bytes")
    )
    memory = median(each.memory_bytes for each in readings) / 1e6
    cpu = f"{1000 * client:.2f} | {1000 * server:.2f}"
    return f"| {detector} | {what} | {cpu} | {wal / 1000:.1f} | {memory:.0f} |"


if __name__ == "__main__":
    main()
