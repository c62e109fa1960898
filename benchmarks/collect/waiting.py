"""How close the wall time comes to what latency and concurrency allow, and what a second process adds."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from benchmarks.collect.bench import Bench, median
from benchmarks.collect.processes import clients_on_every_core
from benchmarks.collect.targets import Result

_CONCURRENCY = (8, 32, 64)
_SHARED_CONCURRENCY = 32


def at_latency(bench: Bench) -> list[Result]:
    """Measure the wall time of a whole run, its start-up included, against ⌈N/c⌉ times the latency.

    Each run has as many accounts as make its bound the same, and no more than there are; the parts also
    say what it is with as many as the least concurrency has.
    """
    fewest = _accounts(bench, _CONCURRENCY[0])
    with _latency(bench, _accounts(bench, _CONCURRENCY[-1])):
        return [_waited(bench, concurrency, fewest) for concurrency in _CONCURRENCY]


def _accounts(bench: Bench, concurrency: int) -> int:
    return min(bench.sizes.waits * concurrency, bench.sizes.many)


def _waited(bench: Bench, concurrency: int, fewest: int) -> Result:
    accounts, latency = _accounts(bench, concurrency), bench.sizes.latency_ms / 1000
    testbed, database, rounds = bench.testbed, bench.many(accounts), bench.sizes.rounds
    testbed.aws.reset_requests()
    transactions, connections = testbed.server.traffic(database.url)
    walls = [
        testbed.collect(database.url, accounts=accounts, concurrency=concurrency).wall_seconds
        for _ in range(rounds)
    ]
    transactions_after, connections_after = testbed.server.traffic(database.url)
    asked = testbed.aws.requests()["total"]["requests"]
    wall, bound = median(walls), ceil(accounts / concurrency) * latency
    parts = {
        "accounts": float(accounts),
        "wall_seconds": wall,
        "bound_seconds": bound,
        "requests_per_account": asked / accounts / rounds,
        "transactions_per_account": (transactions_after - transactions) / accounts / rounds,
        # Without the one by which the benchmark chose the accounts of the run.
        "connections": (connections_after - connections) / rounds - 1,
    }
    if accounts != fewest:
        alone = median(
            testbed.collect(database.url, accounts=fewest, concurrency=concurrency).wall_seconds
            for _ in range(rounds)
        )
        parts[f"ratio_of_{fewest}_accounts"] = alone / (ceil(fewest / concurrency) * latency)
    return Result(f"latency_{concurrency}", wall / bound, parts)


def two_processes(bench: Bench) -> list[Result]:
    """Measure how much sooner two processes end that share one run.

    On every core, because each pod has one of its own.
    """
    accounts = _accounts(bench, _SHARED_CONCURRENCY)
    with _latency(bench, accounts), clients_on_every_core([bench.testbed.aws.pid]):
        walls = {
            processes: median(
                bench.testbed.collect(
                    bench.many(accounts).url,
                    accounts=accounts,
                    concurrency=_SHARED_CONCURRENCY,
                    processes=processes,
                ).wall_seconds
                for _ in range(bench.sizes.rounds)
            )
            for processes in (1, 2)
        }
    parts = {"accounts": float(accounts), "one_seconds": walls[1], "two_seconds": walls[2]}
    return [Result("sharing", walls[1] / walls[2], parts)]


@contextmanager
def _latency(bench: Bench, accounts: int) -> Iterator[None]:
    """Let every answer take its time, once the stand-in has rendered the answers of the accounts."""
    database = bench.many(accounts)
    bench.testbed.open_world(accounts)
    bench.testbed.warm_up(database, accounts)
    bench.testbed.aws.set_latency(bench.sizes.latency_ms / 1000)
    try:
        yield
    finally:
        bench.testbed.aws.set_latency(0)
