"""What commands print: tables and sentences for people, JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import click

from costbatch.domain.credentials import Secret

F = TypeVar("F", bound=Callable[..., object])

TABLE, JSON = "table", "json"


def output_option(command: F) -> F:
    """Add ``--output table|json`` to a command, as its argument ``output``."""
    return click.option(
        "--output",
        type=click.Choice([TABLE, JSON]),
        default=TABLE,
        show_default=True,
        help="Print for people (table) or for programs (json).",
    )(command)


def print_json(document: object) -> None:
    """Print a document as JSON, with a newline at its end."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=_plain))


def say_last(sentence: str) -> None:
    """Print a sentence on standard error, as the last line of a log that holds both streams."""
    sys.stdout.flush()
    # A log that nobody reads must not change how the command ends.
    with suppress(OSError):
        click.echo(sentence, err=True)


def print_table(
    titles: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[str] = (),
    names: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> None:
    """Print a table on a terminal; elsewhere print one record a line, with tabs between the values.

    numbers: the columns to align to the right.
    names: the columns that a terminal may show shortened, with an ellipsis.
    texts: the columns that may take several lines of a terminal.
    """
    records = [[_cell(value) for value in row] for row in rows]
    if not is_terminal():
        for record in (titles, *records):
            click.echo("\t".join(record))
        return
    # Imported here: programs, which read JSON or tabs, do not need it.
    from costbatch.cli.table import Column, show_table  # noqa: PLC0415 - see above
    from costbatch.cli.terminal import standard_output  # noqa: PLC0415 - see above

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


def is_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def tell(sentence: str, document: object, output: str) -> None:
    """Print the sentence for people, or the document for programs."""
    if output == JSON:
        print_json(document)
    else:
        click.echo(sentence)


def many(number: int, noun: str) -> str:
    """Return "1 account" or "1,234 accounts"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str) -> str:
    """Return a text with whatever could steer a terminal replaced."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _cell(value: object) -> str:
    """Return a value as a cell's text."""
    return printable("-" if value is None else str(_plain(value) if isinstance(value, datetime) else value))


def _plain(value: object) -> Any:  # noqa: ANN401 - json.dumps asks for it
    """Return a value as JSON has it; amounts stay exact as strings."""
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case UUID() | Secret():
            return str(value)
        case frozenset() | set():
            return sorted(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON")
