"""A console on which names are safe to print, and the format of days and durations."""

from collections.abc import Iterable, Sequence

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from costbatch.cli.output import Column, show_table
from costbatch.domain.excerpt import printable
from costbatch.domain.periods import DateRange

# Longer lines are hard to read, even on a wide screen.
TEXT_WIDTH = 100
_NAME = "Name"
_NAME_WIDTH = range(8, 48)
_ACCOUNT_ID_WIDTH = 12
# On a narrower screen columns would vanish, so lines are longer than the screen.
_NARROWEST = 80
# From this width on, columns have a wide gap.
_ROOMY = 100
# From this width on, an anomaly's trend is beside its numbers and not under its name.
_WIDE = 110

_MINUTE, _HOUR = 60, 3600


class Page:
    """Prints text as text: no markup in names, no control characters, nothing that cannot be encoded."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.is_ascii = console.options.ascii_only
        self.has_colors = console.color_system is not None and not console.no_color
        self.is_wide = console.width >= _WIDE
        # A pipe gets one record a line.
        self.is_piped = not console.is_terminal

    def text(self, value: str, style: str = "") -> Text:
        """Return the value with unprintable characters replaced."""
        encoding = self.console.encoding
        return Text(printable(value).encode(encoding, "replace").decode(encoding), style)

    def name(self, value: str, style: str = "") -> Text:
        """Return a name on one line, with an ellipsis if it is too long."""
        text = self.text(value, style)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text

    def line(self, value: str, style: str = "", *, indent: int = 0) -> None:
        """Print a paragraph; long lines are folded, and nothing is cut."""
        paragraph = Padding(self.text(value, style), (0, 0, 0, indent), expand=False)
        self.console.print(paragraph, width=min(self.console.width, TEXT_WIDTH), overflow="fold")

    def blank(self) -> None:
        """Print an empty line."""
        self.console.print()

    def table(self) -> Table:
        """Return an empty table; on a narrow screen its columns are closer together."""
        gap = (0, 1) if self.console.width >= _ROOMY else (0, 0)
        return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=gap, collapse_padding=True)

    def account_table(self) -> Table:
        """Return a table whose first two columns name the account."""
        table = self.table()
        table.add_column("Account", no_wrap=True, min_width=_ACCOUNT_ID_WIDTH)
        table.add_column(_NAME, min_width=_NAME_WIDTH.start, max_width=_NAME_WIDTH.stop)
        return table

    def show(self, table: Table) -> None:
        """Print a table, with an empty line before it; to a pipe, tabs between the values of a row.

        Names are shortened; ids and numbers never are, because a cut number is another number. Columns
        without room are printed below their row.
        """
        titles = [_plain(column.header) for column in table.columns]
        if self.is_piped:
            self.records(titles, zip(*(map(_plain, column.cells) for column in table.columns), strict=True))
            return
        for column in table.columns:
            if column.no_wrap:
                cells = (column.header, *column.cells)
                column.min_width = max(self.console.measure(cell).maximum for cell in cells)
        self.blank()
        gap = 2 if self.console.width >= _ROOMY else 1
        needed = sum((column.min_width or 1) + gap for column in table.columns) - gap
        if needed > max(self.console.width, _NARROWEST):
            columns = [
                Column(
                    title=title,
                    cells=[_plain(cell) for cell in column.cells],
                    is_number=column.justify == "right",
                    is_name=title == _NAME,
                    is_text=title != _NAME and not column.no_wrap,
                )
                for title, column in zip(titles, table.columns, strict=True)
            ]
            show_table(columns, self.console)
            return
        if self.console.width < _NARROWEST:
            table.width = _NARROWEST
        self.console.print(table, crop=False)

    def records(self, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print one record a line, with an empty line before them and tabs between their values."""
        self.blank()
        # Empty rows only separate rows on a screen.
        for record in filter(any, (titles, *rows)):
            click.echo("\t".join(record), file=self.console.file)


def _plain(cell: RenderableType) -> str:
    """Return a cell's text on one line."""
    parts = map(_plain, cell.renderables) if isinstance(cell, Group) else str(cell).split("\n")
    return " ".join(part for part in parts if part)


def days_text(days: DateRange) -> str:
    """Return "2026-01-31" or "2026-01-01 to 2026-01-31"."""
    return str(days.start) if len(days) == 1 else f"{days.start} to {days.last}"


def duration(seconds: float) -> str:
    """Return "12.3 s", "3 min 05 s" or "2 h 00 min"."""
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"
