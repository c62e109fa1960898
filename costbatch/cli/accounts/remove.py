"""``costbatch accounts remove``."""

import click

from costbatch.cli.accounts.shared import account_argument, account_document
from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import output_option, tell
from costbatch.errors import ConfigError


@click.command(
    epilog=example("costbatch accounts remove 123456789012", "costbatch accounts remove 123456789012 --yes")
)
@account_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@pass_context
def remove(context: Context, aws_account_id: str, output: str, *, yes: bool) -> None:
    """Erase an account's credentials and stop collecting it; its costs and anomalies stay.

    An account whose credentials assume the roles of others is not removed before they are.
    """
    accounts = context.bootstrap().accounts()
    account = accounts.show(aws_account_id).account
    if not yes:
        if not context.can_ask():
            raise ConfigError("Removing an account asks first, and nobody is there to answer; add --yes.")
        question = f"Erase the credentials of account {account} and stop collecting it?"
        if not click.confirm(question, err=True):
            click.echo("Nothing was changed.", err=True)
            return
    removed = accounts.remove(aws_account_id)
    sentence = f"Account {removed} is removed: its credentials are erased, its history is kept."
    tell(sentence, account_document(removed), output)
