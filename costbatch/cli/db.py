"""The commands that make and check the database schema."""

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import output_option, tell
from costbatch.errors import ConfigError


@click.group(epilog=example("costbatch db upgrade", "costbatch db check"))
def db() -> None:
    """Create and upgrade the database schema.

    DATABASE_URL says which database; its role must own the tables.
    """


@db.command(epilog=example("costbatch db upgrade"))
@output_option
@pass_context
def upgrade(context: Context, output: str) -> None:
    """Bring the schema to what this version needs.

    Safe to repeat and to run from several places: they take turns. It happens whole or not at all.
    """
    before, after = context.wiring().schema().upgrade()
    sentence = (
        f"The schema is at {after} already."
        if before == after
        else f"Upgraded the schema from {before or 'nothing'} to {after}."
    )
    tell(sentence, {"from": before, "to": after}, output)


@db.command(epilog=example("costbatch db current --output json"))
@output_option
@pass_context
def current(context: Context, output: str) -> None:
    """Say which revision the database is at, and which one this version needs."""
    schema = context.wiring().schema()
    found, needed = schema.current(), schema.needed
    sentence = f"The database is at {found or 'no revision'}; this version needs {needed}."
    tell(sentence, {"current": found, "needed": needed}, output)


@db.command(epilog=example("costbatch db check"))
@output_option
@pass_context
def check(context: Context, output: str) -> None:
    """Check that the schema is what this version needs, to the last column and comment.

    Exits with 2 where it is not.
    """
    schema = context.wiring().schema()
    differences = schema.differences()
    if differences:
        raise ConfigError(
            "The schema differs from what this version declares: somebody changed it by hand, "
            "or `costbatch db upgrade` is due.",
            *differences,
        )
    tell(f"The schema is at {schema.needed} and as declared.", {"differences": []}, output)
