"""How much WAL a night writes where little has changed."""

from collections.abc import Sequence

from benchmarks.collect.bench import Bench, median
from benchmarks.collect.server import execute
from benchmarks.collect.targets import Result
from benchmarks.collect.testbed import Database


def wal(bench: Bench) -> list[Result]:
    """Measure the WAL of a first load, of a night without changes, and of one with 2 of 30 days changed.

    The ratios are without full-page images, as right after the first load; the parts also say what the
    same nights write after a checkpoint, when each page is logged whole at its first change.
    """
    nights = [_nights(bench, number) for number in range(bench.sizes.rounds)]
    first, unchanged, changed, unchanged_whole, changed_whole = (
        [night[place] for night in nights] for place in range(5)
    )
    return [
        _result("wal_unchanged", first, unchanged, unchanged_whole),
        _result("wal_changed", first, changed, changed_whole),
    ]


def _result(
    name: str, first: Sequence[float], later: Sequence[float], after_checkpoint: Sequence[float]
) -> Result:
    ratio = median(late / whole for late, whole in zip(later, first, strict=True))
    checkpointed = median(late / whole for late, whole in zip(after_checkpoint, first, strict=True))
    parts = {
        "first_mb": median(first) / 1e6,
        "later_mb": median(later) / 1e6,
        "ratio_after_checkpoint": checkpointed,
    }
    return Result(name, ratio, parts)


def _nights(bench: Bench, number: int) -> list[float]:
    accounts = bench.sizes.written
    bench.testbed.open_world(accounts)
    database = bench.testbed.database(f"wal-{number}", accounts)
    unchanged = _night(bench, database)
    bench.testbed.open_world(accounts, factor=1.01)
    changed = _night(bench, database)
    unchanged_whole = _night(bench, database, checkpoint=True)
    bench.testbed.open_world(accounts)
    changed_whole = _night(bench, database, checkpoint=True)
    return [database.first_load.wal_bytes, unchanged, changed, unchanged_whole, changed_whole]


def _night(bench: Bench, database: Database, *, checkpoint: bool = False) -> float:
    accounts = bench.sizes.written
    execute(database.url, "VACUUM ANALYZE", *(["CHECKPOINT"] if checkpoint else []))
    return bench.collect(database, accounts).wal_bytes
