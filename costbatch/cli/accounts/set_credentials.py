"""``costbatch accounts set-credentials``."""

import click

from costbatch.cli.accounts.secrets import (
    ask_for_secrets,
    no_verify_option,
    read_secrets,
    secrets_file_option,
)
from costbatch.cli.accounts.shared import account_argument, account_document
from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import output_option, tell


@click.command(
    "set-credentials",
    epilog=example(
        "costbatch accounts set-credentials 123456789012",
        "costbatch accounts set-credentials 123456789012 --secrets-file - < credentials.json",
    ),
)
@account_argument
@secrets_file_option
@no_verify_option
@output_option
@pass_context
def set_credentials(
    context: Context, aws_account_id: str, secrets_file: str | None, output: str, *, no_verify: bool
) -> None:
    """Replace an account's credentials; the old ones are erased.

    Without --secrets-file they are asked for and not shown. They are never taken from the
    command line, where other users of the machine could see them. AWS says first whose they are,
    which costs nothing; credentials of another account are refused.
    """
    accounts = context.bootstrap().accounts(verify=not no_verify)
    access = accounts.show(aws_account_id).account.access
    secrets = read_secrets(secrets_file) if secrets_file else ask_for_secrets(context, access)
    account = accounts.set_credentials(aws_account_id, secrets)
    tell(f"The credentials of account {account} are replaced.", account_document(account), output)
