"""Write benchmarks/comparison.md and benchmarks/growth.md: `python -m benchmarks.pages`.

Both follow from the figures in benchmarks/results alone; a test holds the committed pages to them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.pages import comparison, growth

FOLDER = Path(__file__).resolve().parents[1]
RESULTS = FOLDER / "results"


@dataclass(frozen=True, slots=True)
class Page:
    """A page, the figures that it follows from, and the target of make that measures them."""

    name: str
    figures: str
    target: str
    write: Callable[[dict[str, Any]], str]

    def text(self, results: Path = RESULTS) -> str:
        """Return what the page has to say; where there are no figures, that there are none."""
        path = results / self.figures
        if path.exists():
            return self.write(json.loads(path.read_text(encoding="utf-8")))
        return f"# {self.name}\n\nThere are no figures yet: `make {self.target}` measures them.\n"


PAGES = (
    Page("comparison.md", "comparison.json", "bench-compare", comparison.to_page),
    Page("growth.md", "collect.json", "bench", growth.to_page),
)


def main() -> None:
    """Write every page."""
    for page in PAGES:
        (FOLDER / page.name).write_text(page.text(), encoding="utf-8")


if __name__ == "__main__":
    main()
