"""The benchmark of the whole program still runs: every measurement, on a few accounts, never how fast."""

import json
import os
import subprocess
import sys
from math import isfinite
from pathlib import Path
from typing import Any

import pytest

from benchmarks.collect.report import COMMITTED, load_ratios
from benchmarks.collect.sizes import FULL
from benchmarks.collect.targets import TARGETS, Target

ROOT = Path(__file__).resolve().parents[2]

# Thirty runs of the whole program: half a minute on an idle machine, three times that beside other tests.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """Run everything once; return what was printed and the document."""
    path = tmp_path_factory.mktemp("benchmarks") / "collect.json"
    command = [sys.executable, "-m", "benchmarks.collect", "--small", "--output", str(path)]
    done = subprocess.run(
        command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(path.read_text())


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
