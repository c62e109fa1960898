"""What stays flat with the number of accounts: the memory of a run, and the CPU for each account."""

from functools import cache

from benchmarks.collect.bench import Bench, median
from benchmarks.collect.targets import Result
from benchmarks.collect.testbed import Reading


def memory(bench: Bench) -> list[Result]:
    """Measure the peak memory of the client."""
    few, many = (
        median(found[accounts].memory_bytes for found in _rounds(bench))
        for accounts in (bench.sizes.few, bench.sizes.many)
    )
    return [Result("memory", many / few, {"few_mb": few / 1e6, "many_mb": many / 1e6})]


def growth(bench: Bench) -> list[Result]:
    """Measure the CPU per account, client and server, without what a run costs that has no accounts."""
    sizes = bench.sizes
    rounds = [
        [(_cpu(found[accounts]) - _cpu(found[0])) / accounts for accounts in (sizes.some, sizes.many)]
        for found in _rounds(bench)
    ]
    some, many = (median(seconds[place] for seconds in rounds) for place in range(2))
    parts = {"some_ms": some * 1000, "many_ms": many * 1000}
    return [Result("growth", median(late / early for early, late in rounds), parts)]


@cache
def _rounds(bench: Bench) -> list[dict[int, Reading]]:
    """Run on different numbers of accounts of one database; return what each run cost, by round."""
    sizes = bench.sizes
    database = bench.many()
    return [
        {accounts: bench.collect(database, accounts) for accounts in (0, sizes.few, sizes.some, sizes.many)}
        for _ in range(sizes.rounds)
    ]


def _cpu(reading: Reading) -> float:
    return reading.client_seconds + reading.server_seconds
