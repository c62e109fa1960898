"""``costbatch db current``."""

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import output_option, tell


@click.command(epilog=example("costbatch db current --output json"))
@output_option
@pass_context
def current(context: Context, output: str) -> None:
    """Say which revision the database is at, and which one this version needs."""
    schema = context.bootstrap().schema()
    found, needed = schema.current(), schema.needed
    sentence = f"The database is at {found or 'no revision'}; this version needs {needed}."
    tell(sentence, {"current": found, "needed": needed}, output)
