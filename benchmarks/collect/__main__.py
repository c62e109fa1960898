"""Measure the whole program against its targets.

Run from the repository's root: `python -m benchmarks.collect --output FILE`. It starts an embedded
PostgreSQL and a stand-in for AWS, needs about 20 GB of disk at the full sizes, and removes everything again.
Trust the ratios, not the milliseconds: both sides of each are measured side by side on the same machine.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.collect import (
    comparison,
    discovering,
    dlt_rows,
    growing,
    history,
    large,
    per_account,
    profiling,
    program,
    starting,
    waiting,
    writing,
)
from benchmarks.collect.bench import Bench
from benchmarks.collect.report import COMMITTED, load_ratios, print_table, to_document
from benchmarks.collect.sizes import FULL, SMOKE
from benchmarks.collect.targets import Result

MEASURES: dict[str, Callable[[Bench], list[Result]]] = {
    "json": per_account.against_json,
    "plain": per_account.against_plain_way,
    "execute_values": per_account.against_execute_values,
    "latency": waiting.at_latency,
    "memory": growing.memory,
    "large": large.large,
    "wal": writing.wal,
    "history": history.history,
    "growth": growing.growth,
    "help": starting.help_text,
    "sharing": waiting.two_processes,
    "dlt": dlt_rows.against_dlt,
    "discovery": discovering.discovery,
}

_TARGETS, _COMPARISON = "targets", "comparison"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for, print it, and write it down where that was asked for."""
    options = _parse(arguments)
    try:
        sizes = (SMOKE if options.small else FULL).with_changes(options.size)
    except ValueError as error:
        sys.exit(str(error))
    before = load_ratios(options.compare)
    bench = Bench(
        sizes, concurrency=options.concurrency, dlt_python=options.dlt_python, is_smoke=options.small
    )
    if bench.load_average > 1:
        print(f"The load average is {bench.load_average:.1f}: wall times will be too long.", file=sys.stderr)
    with bench:
        if options.profile:
            _profile(bench, options.profile)
            return
        if options.what == _COMPARISON:
            document = comparison.compare(bench)
            comparison.print_nights(document)
            _write(document, options.output)
        else:
            results: list[Result] = []
            for name in options.only or list(MEASURES):
                began = time.monotonic()
                results += MEASURES[name](bench)
                # After each: all of them take more than an hour, and may be interrupted.
                _write(to_document(bench, results), options.output)
                print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            print_table(results, before)
    if options.output:
        print(f"The figures are in {options.output}.", file=sys.stderr)


def _write(document: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _profile(bench: Bench, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    accounts = bench.sizes.large
    url = bench.steady().url
    environ = {program.PROFILE: str(folder.resolve())}
    bench.testbed.collect(url, accounts=accounts, concurrency=bench.concurrency, environ=environ)
    profiling.show(folder, accounts)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.what == _COMPARISON and (options.only or options.profile or options.concurrency):
        parser.error("The comparison is measured as a whole, with defaults: it takes sizes and files only.")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=(_TARGETS, _COMPARISON),
        default=_TARGETS,
        help="the ratios that are promised (default), or whole nights beside a plain script and dlt",
    )
    parser.add_argument("--only", nargs="+", choices=MEASURES, metavar="NAME", help=", ".join(MEASURES))
    parser.add_argument("--small", action="store_true", help="sizes for a smoke test of seconds")
    parser.add_argument(
        "--size", action="append", default=[], metavar="NAME=NUMBER", help="change a size (sizes.py has all)"
    )
    parser.add_argument(
        "--concurrency", type=int, help="of the runs without latency (default: the program's)"
    )
    parser.add_argument("--output", type=Path, help="write the result to this JSON file")
    parser.add_argument(
        "--compare", type=Path, default=COMMITTED, help="an earlier result (default: the committed one)"
    )
    parser.add_argument(
        "--profile", type=Path, metavar="FOLDER", help="only profile a run, and keep the profiles here"
    )
    parser.add_argument(
        "--dlt-python", type=Path, help="a Python that has dlt (default: one is made for the time being)"
    )
    return parser


if __name__ == "__main__":
    main()
