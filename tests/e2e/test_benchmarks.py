"""The benchmark of the whole program still runs: every measurement, on a few accounts, never how fast."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import isfinite
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest

from benchmarks.collect.__main__ import main
from benchmarks.collect.report import COMMITTED, load_ratios
from benchmarks.collect.sizes import FULL
from benchmarks.collect.targets import TARGETS, Target
from benchmarks.pages import comparison, growth
from tests.support.databases import folder_in_memory
from tests.support.machine import unmeasured_children

ROOT = Path(__file__).resolve().parents[2]

# Forty runs of the whole program: half a minute on an idle machine, three times that beside other tests.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def benchmark(folder: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """Run the benchmark on a few accounts; return what was printed and the document."""
    path = folder / "figures.json"
    command = [sys.executable, "-m", "benchmarks.collect", *options, "--small", "--output", str(path)]
    environ = {**os.environ, "TMPDIR": str(folder_in_memory() or gettempdir())}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(path.read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Future[tuple[str, dict[str, Any]]]]]:
    """Measure the targets and the comparison side by side: how long anything takes does not matter here."""
    with unmeasured_children(), ThreadPoolExecutor() as pool:
        yield [
            pool.submit(benchmark, tmp_path_factory.mktemp("benchmarks"), what)
            for what in ("targets", "comparison")
        ]


@pytest.fixture(scope="module")
def small(runs: list[Future[tuple[str, dict[str, Any]]]]) -> tuple[str, dict[str, Any]]:
    """Return what measuring every target once printed, and its document."""
    return runs[0].result()


@pytest.fixture(scope="module")
def compared(runs: list[Future[tuple[str, dict[str, Any]]]]) -> tuple[str, dict[str, Any]]:
    """Return what comparing the ways once printed, and its document."""
    return runs[1].result()


def test_every_target_is_measured_or_says_why_not(small: tuple[str, dict[str, Any]]) -> None:
    """Only dlt is left out of a smoke test: it would have to be installed."""
    results = small[1]["results"]
    assert list(results) == list(TARGETS)
    assert [name for name, result in results.items() if result["ratio"] is None] == ["dlt"]
    assert results["dlt"]["skipped"]
    assert all(isfinite(result["ratio"]) for name, result in results.items() if name != "dlt")


def test_each_ratio_comes_with_its_parts(small: tuple[str, dict[str, Any]]) -> None:
    """Both sides of a ratio are written down, with the sizes and the load that they were taken at."""
    document = small[1]
    assert all(len(result["parts"]) >= 2 for name, result in document["results"].items() if name != "dlt")
    assert set(document["made"]) >= {"python", "postgres", "cores", "load_average_before", "sizes"}


def test_the_table_has_a_line_for_each_target(small: tuple[str, dict[str, Any]]) -> None:
    """The table says of each target what was measured and how that stands."""
    lines = small[0].splitlines()
    assert all(any(line.startswith(target.what) for line in lines) for target in TARGETS.values())


def test_an_ordinary_account_costs_one_request(small: tuple[str, dict[str, Any]]) -> None:
    """Stored keys are proven in the first load, so a later night asks Cost Explorer and nobody else."""
    parts = [result["parts"] for name, result in small[1]["results"].items() if name.startswith("latency")]
    assert [each["requests_per_account"] for each in parts] == [1, 1, 1]


def test_a_process_needs_few_connections_whatever_its_concurrency(small: tuple[str, dict[str, Any]]) -> None:
    """The pool holds two; the transactions of an account are counted too."""
    parts = [result["parts"] for name, result in small[1]["results"].items() if name.startswith("latency")]
    assert all(1 <= each["connections"] <= 2 and each["transactions_per_account"] > 0 for each in parts)


def test_the_page_of_growth_can_be_written_from_what_was_measured(
    small: tuple[str, dict[str, Any]],
) -> None:
    """Every figure that it needs is there, in each of its three columns."""
    page = growth.to_page(small[1])
    assert "| Cost Explorer a month, each by its own request | $300 | $3,000 | $30,000 |" in page


def test_every_way_stores_the_same_rows_for_the_same_requests(
    compared: tuple[str, dict[str, Any]],
) -> None:
    """Three accounts, and two of them: exact to the last digit, with one paid request each."""
    ways = compared[1]["ways"]
    assert [(name, way["accounts"]) for name, way in ways.items()] == [("costbatch", 3), ("plain", 2)]
    assert len({way["shared_total"] for way in ways.values()}) == 1
    for name, way in ways.items():
        assert way["rows"] == way["accounts"] * 30 * 25
        for night in ("first", "unchanged"):
            assert way[night]["requests"] == way["accounts"]
            assert way[night]["dollars"] == f"0.0{way['accounts']}"
            assert f"{name}, {night}" in compared[0]


def test_the_page_of_the_comparison_can_be_written_from_what_was_measured(
    compared: tuple[str, dict[str, Any]],
) -> None:
    """A comparison without dlt says why there is none."""
    page = comparison.to_page(compared[1])
    assert "Every way stored every row" in page
    assert "dlt was left out: dlt is not installed for a smoke test; --dlt-python names one." in page


@pytest.mark.parametrize("option", [["--only", "json"], ["--concurrency", "4"], ["--profile", "nowhere"]])
def test_the_comparison_is_measured_as_a_whole(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Options that make no sense for it are refused before anything starts."""
    with pytest.raises(SystemExit) as ended:
        main(["comparison", *option])
    assert ended.value.code == 2
    assert "The comparison is measured as a whole" in capsys.readouterr().err


def test_the_verdict_follows_the_direction_of_the_target() -> None:
    """Less is better, except where more is."""
    less = Target("a", "", 3.5, 2.2)
    more = Target("b", "", 1.9, 1.97, more_is_better=True)
    assert [less.verdict(value) for value in (2.2, 3.0, 4.0)] == [
        "reaches the stretch",
        "within the limit",
        "misses the limit",
    ]
    assert [more.verdict(value) for value in (2.0, 1.95, 1.5)] == [
        "reaches the stretch",
        "within the limit",
        "misses the limit",
    ]


def test_a_size_can_be_changed_and_a_wrong_one_is_refused() -> None:
    """A size is NAME=NUMBER with a name that there is."""
    assert FULL.with_changes(["many=5000"]).many == 5000
    for wrong in ("many", "none=1", "many=0", "many=x"):
        with pytest.raises(ValueError, match="NAME=NUMBER"):
            FULL.with_changes([wrong])


def test_the_committed_result_can_be_compared_with(tmp_path: Path) -> None:
    """Its names are those of the targets; where there is none, there is nothing to compare with."""
    assert set(load_ratios(COMMITTED)) <= set(TARGETS)
    assert load_ratios(tmp_path / "none.json") == {}
