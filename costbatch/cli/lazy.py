"""Groups of commands that are imported when they are used, so that the start costs next to nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click
from click.exceptions import NoSuchCommand


def example(*lines: str) -> str:
    r"""Return the end of a help text: lines to type, which click's mark ``\b`` keeps as they are."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command lives, as ``module:attribute``, and its line in the group's help."""

    path: str
    short_help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.path.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A group that knows its commands' names and short helps without importing them."""

    def __init__(self, *args: Any, lazy: Mapping[str, LazyCommand], **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the commands, in alphabetical order."""
        return sorted(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import and return a command."""
        return self.lazy[cmd_name].load() if cmd_name in self.lazy else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; of a misspelt one say which it may be.

        Raises:
            NoSuchCommand: with the names that are close to it.

        """
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            name, message = error.command_name.lower(), error.message
            raise NoSuchCommand(name, message, possibilities=self.lazy, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.lazy[name].short_help) for name in self.list_commands(ctx)])
