"""What stays flat: memory and CPU per account with the number of accounts, and CPU with the years stored."""

from datetime import timedelta
from functools import cache
from math import ceil

from benchmarks.collect import program
from benchmarks.collect.bench import Bench, median
from benchmarks.collect.server import execute, rows
from benchmarks.collect.stage import DAYS, ROWS_PER_ACCOUNT, Database, Reading
from benchmarks.collect.targets import Result
from costbatch.adapters.db import PostgresDatabase
from costbatch.domain.credentials import Secret
from costbatch.domain.periods import DateRange

_MANY = "many"
# Thirteen times 30 days are what one account's first collection may read.
_COPIES = 13


def memory(bench: Bench) -> list[Result]:
    """Measure the peak memory of the client."""
    few, many = (
        median(found[accounts].memory_bytes for found in _rounds(bench))
        for accounts in (bench.sizes.few, bench.sizes.many)
    )
    return [Result("memory", many / few, {"few_mb": few / 1e6, "many_mb": many / 1e6})]


def growth(bench: Bench) -> list[Result]:
    """Measure the CPU per account, client and server, without what a run costs that has no accounts."""
    some, many = (
        median((_cpu(found[accounts]) - _cpu(found[0])) / accounts for found in _rounds(bench))
        for accounts in (bench.sizes.some, bench.sizes.many)
    )
    return [Result("growth", many / some, {"some_ms": some * 1000, "many_ms": many * 1000})]


@cache
def _rounds(bench: Bench) -> list[dict[int, Reading]]:
    """Run on different numbers of accounts of one database; return what each run cost, by round."""
    sizes = bench.sizes
    database = bench.stage.database(_MANY, sizes.many)
    return [
        {accounts: bench.collect(database, accounts) for accounts in (0, sizes.few, sizes.some, sizes.many)}
        for _ in range(sizes.rounds)
    ]


def history(bench: Bench) -> list[Result]:
    """Measure the CPU of a run on a database with years of days, against one with the 30 days only."""
    sizes = bench.sizes
    accounts = max(sizes.large, ceil(sizes.history_rows / (ROWS_PER_ACCOUNT * _COPIES)))
    empty = bench.stage.database("without-history", accounts)
    full = bench.stage.database("with-history", accounts)
    added = _add_history(full, sizes.history_rows)
    readings: dict[Database, list[Reading]] = {empty: [], full: []}
    for _ in range(sizes.rounds):
        for database, found in readings.items():
            found.append(bench.collect(database, sizes.large))
    without, with_history = (median(map(_cpu, found)) for found in readings.values())
    parts = {"without_seconds": without, "with_seconds": with_history, "rows": float(added)}
    return [Result("history", with_history / without, parts)]


def _add_history(database: Database, wanted: int) -> int:
    """Repeat the stored days before themselves until there are as many rows as wanted."""
    stored = int(rows(database.url, "SELECT count(*) FROM daily_costs")[0][0])
    copies = min(_COPIES - 1, max(1, round(wanted / stored) - 1))
    start = program.TODAY - timedelta(days=DAYS * (copies + 1))
    store = PostgresDatabase(Secret(database.url))
    with store.transaction() as tx:
        tx.costs.prepare_months(DateRange(start, program.TODAY))
    store.close()
    found = rows(
        database.url,
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'daily_costs' "
        "ORDER BY ordinal_position",
    )
    columns = [name for (name,) in found]
    shifted = [f"usage_date - {DAYS} * copy" if name == "usage_date" else name for name in columns]
    first = program.TODAY - timedelta(days=DAYS)
    execute(
        database.url,
        # The oldest days lie first in the table, as if every night had been collected.
        f"INSERT INTO daily_costs ({', '.join(columns)}) SELECT {', '.join(shifted)} "
        f"FROM generate_series({copies}, 1, -1) AS copy CROSS JOIN LATERAL "
        f"(SELECT * FROM daily_costs WHERE usage_date >= '{first}' OFFSET 0) AS stored",
        "VACUUM ANALYZE",
        "CHECKPOINT",
    )
    return stored * (copies + 1)


def _cpu(reading: Reading) -> float:
    return reading.client_seconds + reading.server_seconds
