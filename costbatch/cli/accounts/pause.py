"""``costbatch accounts pause``."""

import click

from costbatch.cli.accounts.shared import account_argument, account_document
from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import output_option, tell


@click.command(epilog=example("costbatch accounts pause 123456789012"))
@account_argument
@output_option
@pass_context
def pause(context: Context, aws_account_id: str, output: str) -> None:
    """Stop collecting an account until it is resumed; what is stored stays."""
    account = context.bootstrap().accounts().pause(aws_account_id)
    tell(
        f"Account {account} is paused; runs leave it out until it is resumed.",
        account_document(account),
        output,
    )
