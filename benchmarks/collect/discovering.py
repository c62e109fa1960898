"""What a night of discovery writes and holds where little has changed."""

from dataclasses import asdict

from benchmarks.collect.bench import Bench
from benchmarks.collect.targets import Result
from benchmarks.discovery import Figures, measure


def discovery(bench: Bench) -> list[Result]:
    """Measure the WAL of an unchanged night ÷ the first, and the memory of all accounts ÷ a quarter."""
    sizes = bench.sizes
    nights = measure(
        sizes.discovered, regions=17, resources=sizes.resources, large=sizes.large_rows, changed=False
    )
    first, unchanged, quarter = (nights[name] for name in ("first", "unchanged", "unchanged_of_a_quarter"))
    return [
        Result("discovery_wal", unchanged.wal_mb / first.wal_mb, _parts(first=first, unchanged=unchanged)),
        Result(
            "discovery_memory",
            unchanged.peak_mb / quarter.peak_mb,
            _parts(quarter=quarter, unchanged=unchanged, large_account=nights["large_account"]),
        ),
    ]


def _parts(**nights: Figures) -> dict[str, float]:
    return {
        f"{name}_{what}": value for name, night in nights.items() for what, value in asdict(night).items()
    }
