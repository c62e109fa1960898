"""The command line: one file per command or group, which parses, calls, prints and exits."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
from click.exceptions import NoSuchCommand

from costbatch import __version__
from costbatch.cli.exit_status import errors_to_exit_statuses, output_errors_to_exit_statuses
from costbatch.cli.process import prepare_process

if TYPE_CHECKING:
    from costbatch.cli.context import Context


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is defined, as ``module:attribute``, and its line in the root's help."""

    path: str
    short_help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.path.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


COMMANDS = {
    "accounts": LazyCommand("costbatch.cli.accounts:accounts", "Register and manage AWS accounts."),
    "anomalies": LazyCommand("costbatch.cli.anomalies:anomalies", "List anomalies and answer them."),
    "arrival": LazyCommand("costbatch.cli.arrival:arrival", "Show how late cost data arrives."),
    "backtest": LazyCommand(
        "costbatch.cli.backtest:backtest", "Show what each detector would have raised on past mornings."
    ),
    "changes": LazyCommand("costbatch.cli.changes:changes", "Show what each night changed of the costs."),
    "collect": LazyCommand("costbatch.cli.collect:collect", "Collect the cost of every active account."),
    "config": LazyCommand("costbatch.cli.config:config", "Show and check the effective settings."),
    "costs": LazyCommand(
        "costbatch.cli.costs:costs", "Export daily costs, as they are now or were on an earlier night."
    ),
    "db": LazyCommand("costbatch.cli.db:db", "Manage the database: upgrade, check, prune, stats."),
    "demo": LazyCommand(
        "costbatch.cli.demo:demo", "Run a self-contained demo: simulated AWS, embedded PostgreSQL."
    ),
    "discover": LazyCommand(
        "costbatch.cli.discover:discover", "Discover the resources of every active account."
    ),
    "doctor": LazyCommand("costbatch.cli.doctor:doctor", "Check this installation for problems."),
    "events": LazyCommand("costbatch.cli.events:events", "Show, deliver and replay events; test a sink."),
    "forecast": LazyCommand("costbatch.cli.forecast:forecast", "Forecast what the month will cost."),
    "keys": LazyCommand("costbatch.cli.keys:keys", "Generate the key that encrypts stored credentials."),
    "planned": LazyCommand("costbatch.cli.planned:planned", "Announce changes of cost before they happen."),
    "resources": LazyCommand(
        "costbatch.cli.resources:resources", "List, count and export discovered resources."
    ),
}


class RootGroup(click.Group):
    """The root: imports a command when it is used, and turns its errors into exit statuses."""

    def __init__(self, *args: Any, lazy: Mapping[str, LazyCommand], **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # noqa: ANN401 - click's own
        """Parse the root's options; `--help` and `--version` print here."""
        with output_errors_to_exit_statuses():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with errors_to_exit_statuses(ctx):
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands, in alphabetical order."""
        return sorted(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import and return a command."""
        return self.lazy[cmd_name].load() if cmd_name in self.lazy else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name.

        Raises:
            NoSuchCommand: with the names that are close to a misspelt one.

        """
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            name, message = error.command_name.lower(), error.message
            raise NoSuchCommand(name, message, possibilities=self.lazy, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.lazy[name].short_help) for name in self.list_commands(ctx)])


@click.group(
    cls=RootGroup,
    lazy=COMMANDS,
    epilog="\b\nExample:\n  costbatch accounts add 123456789012 --name production\n  costbatch collect",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="%(prog)s %(version)s", prog_name="costbatch")
def cli() -> None:
    """Collect the daily cost of every AWS account into PostgreSQL, and flag anomalies.

    Settings are environment variables; `costbatch config` shows them.
    """


def main(context: "Context | None" = None) -> None:
    """Run the command line: the entry point. A benchmark passes a context with its own clock."""
    prepare_process()
    cli(prog_name="costbatch", obj=context)
