"""``costbatch db upgrade``."""

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import output_option, tell


@click.command(epilog=example("costbatch db upgrade"))
@output_option
@pass_context
def upgrade(context: Context, output: str) -> None:
    """Bring the schema to what this version needs.

    Safe to repeat and to run from several places: they take turns. It happens whole or not at all.
    """
    before, after = context.bootstrap().schema().upgrade()
    sentence = (
        f"The schema is at {after} already."
        if before == after
        else f"Upgraded the schema from {before or 'nothing'} to {after}."
    )
    tell(sentence, {"from": before, "to": after}, output)
