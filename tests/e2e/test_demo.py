"""`costbatch demo`: what a new user sees first."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from costbatch.cli import cli
from tests.support.machine import unmeasured_children


def _demo(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "costbatch", "demo", "--folder", str(folder)]
    return subprocess.run(
        command, env={**os.environ, "COLUMNS": "120"}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[subprocess.CompletedProcess[str]]:
    """Run the demonstration twice on the same folder."""
    folder = tmp_path_factory.mktemp("demo")
    with unmeasured_children():
        return [_demo(folder), _demo(folder)]


def _anomalies(demo: subprocess.CompletedProcess[str]) -> tuple[int, int]:
    """Return how many anomalies are open, and how many the run has detected."""
    found = re.search(r"(\d+) open \((\d+) detected", demo.stdout)
    assert found, demo.stdout
    return int(found[1]), int(found[2])


def test_the_demo_shows_every_kind_of_account(shown: list[subprocess.CompletedProcess[str]]) -> None:
    """Collected accounts, the two that fail and why, another currency, and the anomalies with their trend."""
    first = shown[0]
    assert first.returncode == 0, first.stderr
    assert "Registered 27 accounts; 0 were there already." in first.stdout
    for expected in ("25 collected, 2 failed", "credentials_rejected", "cost_explorer_not_enabled"):
        assert expected in first.stdout
    for account in ("checkout", "throttled", "tokyo-subsidiary", "startup-credits", "partner-by-role"):
        assert account in first.stdout
    assert "PARTIAL: 1 of 27 accounts NOT DISCOVERED" in first.stdout
    # The four that are made to show; on some days the rule takes other accounts' weekends for some too.
    opened, detected = _anomalies(first)
    assert opened == detected >= 4
    assert "█" in first.stdout


def test_a_second_demo_goes_on_with_the_same_data(shown: list[subprocess.CompletedProcess[str]]) -> None:
    """It registers nothing anew, writes no row that has not changed, and finds no anomaly twice."""
    second = shown[1]
    assert second.returncode == 0, second.stderr
    assert "Registered 0 accounts; 27 were there already." in second.stdout
    assert _anomalies(second) == (_anomalies(shown[0])[0], 0)


def test_a_demo_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A production image has no stand-in: one sentence, status 2."""
    monkeypatch.setattr("costbatch.cli.demo.find_spec", lambda _: None)
    result = CliRunner().invoke(cli, ["demo"])
    assert result.exit_code == 2
    assert "install costbatch[demo]" in result.stderr
