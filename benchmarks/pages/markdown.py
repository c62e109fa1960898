"""Figures and tables as Markdown, and the templates that they are filled into."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

FOLDER = Path(__file__).parent


def fill(template: str, **values: object) -> str:
    """Return a template of this folder with its values in their places."""
    return (FOLDER / f"{template}.template.md").read_text(encoding="utf-8").format_map(values)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, its first column to the left and the others to the right."""
    lines = [head, ["---", *["---:" for _ in head[1:]]], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Return a figure with two or three digits that count, and all of them where it is large."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"


def dollars(value: Decimal) -> str:
    """Return an amount, with its cents where it has any."""
    return f"${value:,.0f}" if value == value.to_integral_value() else f"${value:,.2f}"


def size(value: float) -> str:
    """Return bytes in the unit that reads best, counted in thousands."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{number(value)} {unit}"
        value /= 1000
    return f"{number(value)} TB"


def duration(seconds: float) -> str:
    """Return a time in the unit that reads best."""
    if seconds < 1:
        return f"{number(seconds * 1000)} ms"
    if seconds < 120:
        return f"{number(seconds)} s"
    return f"{number(seconds / 60)} min" if seconds < 7200 else f"{number(seconds / 3600)} h"
