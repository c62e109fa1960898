"""What the benchmark says at the end: a table to read, and a document to keep and to compare with."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.collect.bench import Bench
from benchmarks.collect.targets import TARGETS, Result

COMMITTED = Path(__file__).resolve().parents[1] / "results" / "collect.json"


def made(bench: Bench) -> dict[str, Any]:
    """Return what was measured with, and how busy the machine was."""
    return {
        "python": platform.python_version(),
        "postgres": bench.testbed.server.version if bench.has_testbed else None,
        "cores": os.cpu_count(),
        "load_average_before": rounded(bench.load_average),
        "concurrency": bench.concurrency,
        "sizes": asdict(bench.sizes),
    }


def to_document(bench: Bench, results: Sequence[Result]) -> dict[str, Any]:
    """Return everything that was measured, as JSON data."""
    return {"made": made(bench), "results": {result.name: _to_plain(result) for result in results}}


def _to_plain(result: Result) -> dict[str, Any]:
    target = TARGETS[result.name]
    return {
        "what": target.what,
        "limit": target.limit,
        "stretch": target.stretch,
        "ratio": None if result.ratio is None else rounded(result.ratio),
        "parts": {name: rounded(value) for name, value in result.parts.items()},
        "skipped": result.skipped,
    }


def rounded(value: float) -> float:
    """Return a figure with the four digits that it can claim."""
    return float(f"{value:.4g}")


def load_ratios(path: Path) -> dict[str, float]:
    """Return the ratios of an earlier document; none where there is no such file."""
    if not path.exists():
        return {}
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return {name: result["ratio"] for name, result in results.items() if result["ratio"] is not None}


def print_table(results: Sequence[Result], before: dict[str, float]) -> None:
    """Print one line per target, and the parts of each below the table."""
    print(f"\n{'':54}{'limit':>8}{'stretch':>9}{'measured':>10}{'before':>8}{'change':>8}")
    for result in results:
        target = TARGETS[result.name]
        line = f"{target.what:54}{target.show(target.limit):>8}{target.show(target.stretch):>9}"
        if result.ratio is None:
            print(f"{line}  skipped: {result.skipped}")
            continue
        line += f"{target.show(result.ratio):>10}"
        earlier = before.get(result.name)
        change = f"{result.ratio / earlier:.2f} x" if earlier else "-"
        print(f"{line}{target.show(earlier):>8}{change:>8}  {target.verdict(result.ratio)}")
    print()
    for result in results:
        parts = ", ".join(f"{name} {value:.4g}" for name, value in result.parts.items())
        print(f"{result.name:16}{parts}")
