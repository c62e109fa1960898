"""``costbatch accounts resume``."""

import click

from costbatch.cli.accounts.shared import account_argument, account_document
from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import output_option, tell


@click.command(epilog=example("costbatch accounts resume 123456789012"))
@account_argument
@output_option
@pass_context
def resume(context: Context, aws_account_id: str, output: str) -> None:
    """Collect a paused account again, with the days that were missed."""
    account = context.bootstrap().accounts().resume(aws_account_id)
    tell(
        f"Account {account} is active; the next run collects it with the days that were missed.",
        account_document(account),
        output,
    )
