"""``costbatch db check``."""

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import output_option, tell
from costbatch.errors import ConfigError


@click.command(epilog=example("costbatch db check"))
@output_option
@pass_context
def check(context: Context, output: str) -> None:
    """Check that the schema is what this version needs, to the last column and comment.

    Exits with 2 if it is not, also if there are no tables yet or `costbatch db upgrade` is due.
    """
    schema = context.bootstrap().schema()
    differences = schema.differences()
    if differences:
        raise ConfigError(
            "The schema differs from what this version declares: it was changed by hand.",
            *differences,
        )
    tell(f"The schema is at {schema.needed} and as declared.", {"differences": []}, output)
