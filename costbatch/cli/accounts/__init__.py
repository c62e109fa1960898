"""``costbatch accounts``: register AWS accounts and manage them; one command per file."""

import click

from costbatch.cli.lazy import LazyCommand, LazyGroup, example

COMMANDS = {
    "add": LazyCommand("costbatch.cli.accounts.add:add", "Register an account."),
    "list": LazyCommand("costbatch.cli.accounts.list:list_accounts", "List the accounts."),
    "pause": LazyCommand("costbatch.cli.accounts.pause:pause", "Stop collecting an account for a while."),
    "remove": LazyCommand(
        "costbatch.cli.accounts.remove:remove", "Erase an account's credentials, keep its history."
    ),
    "resume": LazyCommand("costbatch.cli.accounts.resume:resume", "Collect a paused account again."),
    "set-credentials": LazyCommand(
        "costbatch.cli.accounts.set_credentials:set_credentials", "Replace an account's credentials."
    ),
    "show": LazyCommand("costbatch.cli.accounts.show:show", "Show one account."),
}


@click.group(
    cls=LazyGroup, lazy=COMMANDS, epilog=example("costbatch accounts add 123456789012 --name production")
)
def accounts() -> None:
    """Register AWS accounts and manage them."""
