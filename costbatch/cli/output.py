"""What commands print: JSON for programs, sentences and tables for people.

On a terminal, ids, numbers and dates in a table stay whole at any width; a pipe gets tabs.
"""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from shutil import get_terminal_size
from typing import Any, TextIO
from uuid import UUID

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from costbatch.cli.options import JSON
from costbatch.domain.credentials import Secret
from costbatch.domain.excerpt import printable
from costbatch.domain.periods import instant

# Wide enough for any row: piped output must not be folded to a terminal's width.
_PIPED_WIDTH = 200
_NO_VALUE = "-"
# How a text begins that a spreadsheet would compute.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_WIDE_GAP, _NARROW_GAP = 2, 1
_INDENT = "  "
# A shorter name could not be distinguished from others, and a narrower sentence could not be read.
_SHORTEST_NAME, _NARROWEST_TEXT = 16, 16
# A narrower screen gets the lines of this one, and folds them.
_NARROWEST_TABLE = 20


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise the error, which has its own exit status; rich would exit with status 1."""
        raise BrokenPipeError


def standard_output() -> Console:
    """Return the console on standard output, for results."""
    return _console(sys.stdout)


def standard_error() -> Console:
    """Return the console on standard error, for progress."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    is_terminal = stream.isatty()
    console = _Console(
        file=stream,
        force_terminal=is_terminal,
        color_system="auto" if is_terminal else None,
        width=None if is_terminal else _PIPED_WIDTH,
        highlight=False,
    )
    if not console.width:
        # COLUMNS=0 says that the width is unknown; rich would print nothing.
        console.width = get_terminal_size().columns
    return console


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def print_json(document: object) -> None:
    """Print a document as JSON, with a newline at its end."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=_plain))


def print_csv(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a header and rows as CSV; a quote stands before a text that a spreadsheet would compute."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)


def _csv_cell(value: object) -> object:
    match value:
        case None:
            return ""
        case str():
            return csv_text(value)
        case bool():
            return str(value).lower()
        case int():
            return value
        case _:
            return _plain(value)


def csv_text(text: str) -> str:
    """Return a text for a cell of a CSV, with a quote before what a spreadsheet would compute."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def print_result(sentence: str, document: object, output: str) -> None:
    """Print the document if the output is JSON, else the sentence."""
    if output == JSON:
        print_json(document)
    else:
        click.echo(sentence)


def print_last_line(sentence: str) -> None:
    """Print a sentence on standard error, as the last line of a log that holds both streams."""
    sys.stdout.flush()
    click.echo(sentence, err=True)


def _plain(value: object) -> Any:  # noqa: ANN401 - json.dumps asks for it
    """Return a value as JSON has it; amounts stay exact as strings."""
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime():
            return instant(value.replace(microsecond=0))
        case date():
            return value.isoformat()
        case UUID() | Secret():
            return str(value)
        case frozenset() | set():
            return sorted(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON")


def print_table(
    titles: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[str] = (),
    names: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> None:
    """Print a table on a terminal; to a pipe, one record a line with tabs between the values.

    numbers: the columns to align to the right.
    names: the columns that a terminal may show shortened, with an ellipsis.
    texts: the columns that may take several lines of a terminal.
    """
    records = [[_cell(value) for value in row] for row in rows]
    if not is_terminal():
        for record in (titles, *records):
            click.echo("\t".join(record))
        return
    columns = [
        Column(
            title=title,
            cells=[record[place] for record in records],
            is_number=title in numbers,
            is_name=title in names,
            is_text=title in texts,
        )
        for place, title in enumerate(titles)
    ]
    show_table(columns, standard_output())


def _cell(value: object) -> str:
    """Return a value as a cell's text."""
    if value is None:
        return _NO_VALUE
    return printable(str(_plain(value) if isinstance(value, datetime) else value))


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
        """The width of the widest entry, in cells of the screen."""
        return max(map(cell_len, (self.title, *self.cells)))

    @property
    def least_width(self) -> int:
        """The narrowest that the column can be."""
        if self.is_name or self.is_text:
            least = _SHORTEST_NAME if self.is_name else _NARROWEST_TEXT
            return min(self.width, max(cell_len(self.title), least))
        return self.width


def show_table(columns: Sequence[Column], console: Console) -> None:
    """Print the table; columns without room follow below their row, with their titles."""
    beside = list(columns)
    below: list[Column] = []
    width = max(console.width, _NARROWEST_TABLE)
    needed = sum(column.least_width + _NARROW_GAP for column in beside) - _NARROW_GAP
    while len(beside) > 1 and needed > width:
        below.insert(0, beside.pop())
        needed -= below[0].least_width + _NARROW_GAP
    gap, widths = _layout(beside, width)
    rule = ("-" if console.options.ascii_only else "\N{BOX DRAWINGS LIGHT HORIZONTAL}") * (
        sum(widths) + gap * (len(widths) - 1)
    )
    _print_row([column.title for column in beside], beside, widths, gap, console, style="bold")
    _print(Text(rule), console)
    for place in range(len(columns[0].cells)):
        _print_row([column.cells[place] for column in beside], beside, widths, gap, console)
        known = [
            f"{each.title}: {each.cells[place]}" for each in below if each.cells[place] not in {"", _NO_VALUE}
        ]
        for line in _packed(known, width - len(_INDENT)):
            for part in _folded(line, width - len(_INDENT), console):
                _print(Text(_INDENT + part, "dim"), console)


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
    """Return the parts on as few lines as possible, none of them broken."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(f"{lines[-1]}, {part}") <= width:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return lines


def _print(line: Text, console: Console) -> None:
    console.print(line, no_wrap=True, overflow="ignore", crop=False)
