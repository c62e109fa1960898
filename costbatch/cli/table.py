"""A table on a terminal: ids, names, numbers and dates stay whole, whatever the width of the screen."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

NOTHING = "-"

_WIDE_GAP, _NARROW_GAP = 2, 1
_INDENT = "  "
# A name shorter than this could not be told from others, and a sentence narrower than this not be read.
_SHORTEST_NAME, _NARROWEST_TEXT = 16, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column with its cells; without ``is_name`` and ``is_text`` they are never cut.

    is_name: may end in an ellipsis. is_text: may take several lines.
    """

    title: str
    cells: Sequence[str]
    is_number: bool = False
    is_name: bool = False
    is_text: bool = False

    @property
    def width(self) -> int:
        """How many cells of the screen the widest entry takes."""
        return max(map(cell_len, (self.title, *self.cells)))

    @property
    def least_width(self) -> int:
        """The narrowest that the column can be."""
        if self.is_name or self.is_text:
            least = _SHORTEST_NAME if self.is_name else _NARROWEST_TEXT
            return min(self.width, max(cell_len(self.title), least))
        return self.width


def show_table(columns: Sequence[Column], console: Console) -> None:
    """Print the table; columns for which there is no room follow below their row, with their titles."""
    beside = list(columns)
    below: list[Column] = []
    while len(beside) > 1 and _least_width(beside) > console.width:
        below.insert(0, beside.pop())
    gap, widths = _layout(beside, console.width)
    rule = ("-" if console.options.ascii_only else "\N{BOX DRAWINGS LIGHT HORIZONTAL}") * (
        sum(widths) + gap * (len(widths) - 1)
    )
    _print_row([column.title for column in beside], beside, widths, gap, console, style="bold")
    _print(Text(rule), console)
    for place in range(len(columns[0].cells)):
        _print_row([column.cells[place] for column in beside], beside, widths, gap, console)
        known = [
            f"{each.title}: {each.cells[place]}" for each in below if each.cells[place] not in {"", NOTHING}
        ]
        for line in _packed(known, console.width - len(_INDENT)):
            for part in _folded(line, console.width - len(_INDENT), console):
                _print(Text(_INDENT + part, "dim"), console)


def _least_width(columns: Sequence[Column]) -> int:
    return sum(column.least_width for column in columns) + _NARROW_GAP * (len(columns) - 1)


def _layout(columns: Sequence[Column], width: int) -> tuple[int, list[int]]:
    """Return the gap between the columns and their widths."""
    widths = [column.width for column in columns]
    for gap in (_WIDE_GAP, _NARROW_GAP):
        if sum(widths) + gap * (len(widths) - 1) <= width:
            return gap, widths
    excess = sum(widths) + _NARROW_GAP * (len(widths) - 1) - width
    while excess > 0:
        spare = [taken - column.least_width for taken, column in zip(widths, columns, strict=True)]
        if not any(spare):
            break
        widths[spare.index(max(spare))] -= 1
        excess -= 1
    return _NARROW_GAP, widths


def _print_row(
    cells: Sequence[str],
    columns: Sequence[Column],
    widths: Sequence[int],
    gap: int,
    console: Console,
    style: str = "",
) -> None:
    """Print one row, on as many lines as its longest text takes."""
    stacks = [
        _folded(cell, width, console) if column.is_text else [_shortened(cell, width, console)]
        for cell, column, width in zip(cells, columns, widths, strict=True)
    ]
    for line in range(max(map(len, stacks))):
        parts = []
        for stack, column, width in zip(stacks, columns, widths, strict=True):
            part = stack[line] if line < len(stack) else ""
            space = " " * (width - cell_len(part))
            parts.append(space + part if column.is_number else part + space)
        _print(Text((" " * gap).join(parts).rstrip(), style), console)


def _shortened(cell: str, width: int, console: Console) -> str:
    if cell_len(cell) <= width:
        return cell
    mark = "..." if console.options.ascii_only else "\N{HORIZONTAL ELLIPSIS}"
    return set_cell_size(cell, width - cell_len(mark)) + mark


def _folded(cell: str, width: int, console: Console) -> list[str]:
    """Return a text on several lines, broken between its words if they fit."""
    return [line.plain.rstrip() for line in Text(cell).wrap(console, width, overflow="fold")] or [""]


def _packed(parts: Sequence[str], width: int) -> list[str]:
    """Return the parts on as few lines as hold each of them whole."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(f"{lines[-1]}, {part}") <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines


def _print(line: Text, console: Console) -> None:
    console.print(line, no_wrap=True, overflow="ignore", crop=False)
