"""What years of stored days change: the CPU of a run, and what an ordinary night writes among them."""

from collections.abc import Sequence
from datetime import timedelta
from math import ceil

from benchmarks.collect import program
from benchmarks.collect.bench import Bench, median
from benchmarks.collect.server import execute, rows
from benchmarks.collect.targets import Result
from benchmarks.collect.testbed import DAYS, ROWS_PER_ACCOUNT, Database, Reading
from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.credentials import Secret
from costbatch.domain.periods import DateRange

# Thirteen times 30 days are what one account's first collection may read.
_PERIODS = 13
_BYTES_OF_ROWS = """
SELECT sum(pg_table_size(relid)) / (SELECT count(*) FROM daily_costs),
    sum(pg_indexes_size(relid)) / (SELECT count(*) FROM daily_costs),
    (pg_total_relation_size('run_items') + pg_total_relation_size('cost_collections'))::numeric
        / (SELECT count(*) FROM run_items)
FROM pg_partition_tree('daily_costs') WHERE isleaf
"""
_FORGET_NEWEST_DAY = f"""
UPDATE day_digests SET days = substr(days, 1, octet_length(days) - 20)
WHERE account_id IN (SELECT id FROM accounts WHERE status = 'active');
DELETE FROM daily_costs WHERE usage_date = '{program.TODAY - timedelta(days=1)}'
AND account_id IN (SELECT id FROM accounts WHERE status = 'active')
"""


def history(bench: Bench) -> list[Result]:
    """Measure the CPU of a run on a database with years of days, against one with the 30 days only."""
    sizes = bench.sizes
    accounts = max(sizes.large, ceil(sizes.history_rows / (ROWS_PER_ACCOUNT * _PERIODS)))
    empty = bench.testbed.database("without-history", accounts)
    full = bench.testbed.database("with-history", accounts)
    _lay_out(empty, periods=1)
    stored = accounts * ROWS_PER_ACCOUNT
    periods = min(_PERIODS, max(2, round(sizes.history_rows / stored)))
    _lay_out(full, periods=periods)
    readings: dict[Database, list[Reading]] = {empty: [], full: []}
    for _ in range(sizes.rounds):
        for database, found in readings.items():
            found.append(bench.collect(database, sizes.large))
    without, with_history = (median(map(_cpu, found)) for found in readings.values())
    parts = {"without_seconds": without, "with_seconds": with_history, "rows": float(stored * periods)}
    parts |= _bytes_of_rows(full) | _nights(bench, full)
    return [Result("history", with_history / without, parts)]


def _lay_out(database: Database, *, periods: int) -> None:
    """Store the 30 days anew, day after day as nights do, and so many periods of them one before the other.

    A first load leaves an account's days close together, on fewer pages than nights would.
    """
    start = program.TODAY - timedelta(days=DAYS * periods)
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
    execute(
        database.url,
        # What is copied has been checked: each row's account is there.
        "SET session_replication_role = replica",
        "CREATE TEMP TABLE stored AS SELECT * FROM daily_costs",
        "TRUNCATE daily_costs",
        *(_copying(columns, days_back=DAYS * period) for period in range(periods - 1, -1, -1)),
        "VACUUM ANALYZE",
        "CHECKPOINT",
    )


def _copying(columns: Sequence[str], *, days_back: int) -> str:
    shifted = [f"usage_date - {days_back}" if name == "usage_date" else name for name in columns]
    return (
        f"INSERT INTO daily_costs ({', '.join(columns)}) SELECT {', '.join(shifted)} FROM stored "
        "ORDER BY usage_date, account_id"
    )


def _bytes_of_rows(database: Database) -> dict[str, float]:
    """Return what a row of costs takes on the disk, table and index apart, and what a collection takes."""
    # Each item is written three times; autovacuum frees the place of the old versions for the next.
    execute(database.url, "VACUUM FULL run_items", "VACUUM FULL cost_collections")
    ((table, index, collection),) = rows(database.url, _BYTES_OF_ROWS)
    return {
        "table_bytes_per_row": float(table),
        "index_bytes_per_row": float(index),
        "collection_bytes": float(collection),
    }


def _nights(bench: Bench, database: Database) -> dict[str, float]:
    """Return what an account costs the server on a night with 2 of 30 days changed, and with a new day.

    Each night comes after a checkpoint, so that each page is logged whole at its first change.
    """
    accounts, changed, new_day = bench.sizes.large, [], []
    for number in range(bench.sizes.rounds):
        bench.testbed.open_world(accounts, factor=1.0 if number % 2 else 1.01)
        changed.append(_night(bench, database))
        execute(database.url, _FORGET_NEWEST_DAY)
        new_day.append(_night(bench, database))
    bench.testbed.open_world(accounts)
    return {
        "changed_wal_bytes": median(each.wal_bytes for each in changed) / accounts,
        "changed_server_ms": median(each.server_seconds for each in changed) * 1000 / accounts,
        "new_day_wal_bytes": median(each.wal_bytes for each in new_day) / accounts,
        "new_day_server_ms": median(each.server_seconds for each in new_day) * 1000 / accounts,
    }


def _night(bench: Bench, database: Database) -> Reading:
    execute(database.url, "VACUUM", "CHECKPOINT")
    return bench.collect(database, bench.sizes.large)


def _cpu(reading: Reading) -> float:
    return reading.client_seconds + reading.server_seconds
