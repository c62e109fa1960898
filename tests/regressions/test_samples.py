"""The outputs that the documents show are those of a run; ``make docs`` writes them anew."""

import os
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from costbatch.simulator.demo_world import demo_world
from tests.support.documents import DOCUMENTS, ROOT
from tests.support.harness import Harness
from tests.support.picture import picture, text_and_styles
from tests.support.screen import look_in_color, without_colors

COMMANDS = ROOT / "docs" / "commands.md"
PICTURE = ROOT / "docs" / "summary.svg"
TODAY = date(2026, 11, 23)
SAMPLES = {
    "collect": ("collect", "--run-key", "nightly-2026-11-23"),
    "accounts list": ("accounts", "list"),
}
# One that is alone, one of each kind of anomaly, another currency, and one that fails.
ACCOUNTS = ("platform-hub", "checkout", "search", "mobile-backend", "berlin-subsidiary", "revoked-keys")
_SAMPLE = "<!-- sample: {} -->\n```text\n{}```\n<!-- end of sample -->"
# How long it took, and the instant since when an account fails, differ from run to run.
_TIME = re.compile(r"\b\d+\.\d\b(?!\d)|T\d\d:\d\d:\d\dZ")


@pytest.fixture
def shown(harness: Harness) -> dict[str, str]:
    """Return what each command shows on a colour terminal of 80 columns, with some accounts of the demo."""
    harness.sleep_until(TODAY)
    world = demo_world(TODAY)
    harness.open(*(account for account in world.accounts if account.name in ACCOUNTS))
    return {name: look_in_color(harness, *command) for name, command in SAMPLES.items()}


def timeless(text: str) -> str:
    """Return a text without what differs from run to run: times and the spaces that make room for them."""
    return " ".join(_TIME.sub("…", text).split())


def compare(path: Path, before: str, after: str, reading: Callable[[str], str]) -> None:
    """Check that a document holds what a run showed, or write it anew if asked to."""
    if timeless(reading(before)) == timeless(reading(after)):
        return
    assert os.environ.get("UPDATE_SAMPLES"), f"run `make docs`: {path.name} has changed"
    path.write_text(after, encoding="utf-8")


def test_the_samples_are_those_of_a_run(shown: dict[str, str]) -> None:
    """A reader sees what the program prints now, to the last amount; run `make docs` after a change."""
    before = after = COMMANDS.read_text(encoding="utf-8")
    for name, output in shown.items():
        lines = [f"$ costbatch {name}", *without_colors(output).splitlines()]
        found = re.search(_SAMPLE.format(name, ".*?"), after, re.DOTALL)
        assert found, f"{COMMANDS.name} has no sample of {name!r}"
        sample = _SAMPLE.format(name, "".join(f"{line.rstrip()}\n" for line in lines))
        after = f"{after[: found.start()]}{sample}{after[found.end() :]}"
    compare(COMMANDS, before, after, str)
    drawn = PICTURE.read_text(encoding="utf-8") if PICTURE.exists() else ""
    compare(PICTURE, drawn, picture(shown["collect"], title="costbatch collect"), text_and_styles)


def test_every_sample_of_an_output_is_generated() -> None:
    """A block of text that begins with a prompt is a sample, and none is written by hand."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS]
    prompts = [line for text in texts for line in re.findall(r"^```text\n\$ ", text, re.MULTILINE)]
    assert len(prompts) == len(SAMPLES) == sum(text.count("<!-- sample: ") for text in texts)


def test_the_picture_needs_nothing_from_elsewhere() -> None:
    """It shows itself without the net, and names no host but that of its format."""
    hosts = re.findall(r"https?://([\w.-]+)", PICTURE.read_text(encoding="utf-8"))
    assert set(hosts) == {"www.w3.org"}
