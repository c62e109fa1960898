"""The outputs that README.md shows are those of a run; ``make docs`` writes them anew."""

import os
import re
from datetime import date
from pathlib import Path

import pytest

from costbatch.simulator.demo_world import demo_world
from tests.support.harness import Harness
from tests.support.screen import look

README = Path(__file__).resolve().parents[2] / "README.md"
TODAY = date(2026, 11, 23)
SAMPLES = {
    "collect": ("collect", "--run-key", "nightly-2026-11-23"),
    "accounts list": ("accounts", "list"),
}
# One that is alone, one of each kind of anomaly, another currency, and one that fails.
ACCOUNTS = ("platform-hub", "checkout", "search", "mobile-backend", "berlin-subsidiary", "revoked-keys")
_SAMPLE = r"<!-- sample: {} -->\n```text\n(.*?)```\n<!-- end of sample -->"
# How long it took, and the instant since when an account fails, differ from run to run.
_TIME = re.compile(r"\b\d+\.\d\b(?!\d)|T\d\d:\d\d:\d\dZ")


@pytest.fixture
def samples(harness: Harness) -> dict[str, str]:
    """Return what each command shows on a terminal of 80 columns, with some accounts of the demo."""
    harness.sleep_until(TODAY)
    world = demo_world(TODAY)
    harness.open(*(account for account in world.accounts if account.name in ACCOUNTS))
    return {
        name: "".join(f"{line.rstrip()}\n" for line in [f"$ costbatch {name}", *shown.splitlines()])
        for name, command in SAMPLES.items()
        for shown in [look(harness, *command)]
    }


def timeless(text: str) -> str:
    """Return a text without what differs from run to run: times and the spaces that make room for them."""
    return " ".join(_TIME.sub("…", text).split())


def test_the_samples_in_the_readme_are_those_of_a_run(samples: dict[str, str]) -> None:
    """A reader sees what the program prints now, to the last amount; run `make docs` after a change."""
    text = README.read_text(encoding="utf-8")
    for name, shown in samples.items():
        found = re.search(_SAMPLE.format(name), text, re.DOTALL)
        assert found, f"README.md has no sample of {name!r}"
        if os.environ.get("UPDATE_SAMPLES") and timeless(found[1]) != timeless(shown):
            text = text[: found.start(1)] + shown + text[found.end(1) :]
            README.write_text(text, encoding="utf-8")
            continue
        assert timeless(found[1]) == timeless(shown), f"run `make docs`: {name!r} has changed"


def test_every_sample_of_an_output_is_generated() -> None:
    """A block of text that begins with a prompt is a sample, and none is written by hand."""
    text = README.read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n\$ ", text, re.MULTILINE)
    assert len(shown) == len(SAMPLES) == text.count("<!-- sample: ")
