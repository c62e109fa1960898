"""The command line: one command per file, which parses, calls, prints and exits."""

import click

from costbatch import __version__
from costbatch.cli.context import Context
from costbatch.cli.exit_status import errors_to_exit_statuses
from costbatch.cli.first_process import end_on_sigterm
from costbatch.cli.garbage import calm_garbage_collector
from costbatch.cli.lazy import LazyCommand, LazyGroup, example
from costbatch.cli.streams import prepare_streams

COMMANDS = {
    "accounts": LazyCommand("costbatch.cli.accounts:accounts", "Register AWS accounts and manage them."),
    "collect": LazyCommand("costbatch.cli.collect:collect", "Collect the cost of every active account."),
    "config": LazyCommand("costbatch.cli.config:config", "Show the effective settings, and check them."),
    "db": LazyCommand("costbatch.cli.db:db", "Make, prune and measure the database."),
    "demo": LazyCommand("costbatch.cli.demo:demo", "Show it all at work, on a local AWS and PostgreSQL."),
    "doctor": LazyCommand("costbatch.cli.doctor:doctor", "Examine the installation that it runs in."),
    "keys": LazyCommand("costbatch.cli.keys:keys", "Make the key that seals stored credentials."),
}


class RootGroup(LazyGroup):
    """The root of all commands: whatever error leaves one ends in an exit status here."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with errors_to_exit_statuses(ctx):
            return super().invoke(ctx)


@click.group(
    cls=RootGroup,
    lazy=COMMANDS,
    epilog=example("costbatch accounts add 123456789012 --name production", "costbatch collect"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="%(prog)s %(version)s", prog_name="costbatch")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Collect the daily cost of every AWS account into PostgreSQL, and flag anomalies.

    Settings come from the environment; `costbatch config` shows them.
    """
    ctx.ensure_object(Context)


def main(context: Context | None = None) -> None:
    """Run the command line: the entry point. A benchmark has a context with a clock of its own."""
    end_on_sigterm()
    calm_garbage_collector()
    prepare_streams()
    cli(prog_name="costbatch", obj=context)
