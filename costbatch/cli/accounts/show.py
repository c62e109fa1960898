"""``costbatch accounts show``."""

import click

from costbatch.application.accounts import AccountDetails
from costbatch.cli.accounts.shared import account_argument, account_document, advice_for
from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import JSON, output_option, print_json, print_table


@click.command(epilog=example("costbatch accounts show 123456789012"))
@account_argument
@output_option
@pass_context
def show(context: Context, aws_account_id: str, output: str) -> None:
    """Show one account: how it is reached, what is collected, and why it fails. Never secrets."""
    details = context.bootstrap().accounts().show(aws_account_id)
    document = _document(details)
    if output == JSON:
        print_json(document)
        return
    rows = [(name.replace("_", " "), value) for name, value in document.items()]
    aws_account_id = details.account.aws_account_id
    print_table(("account", aws_account_id), rows[1:], texts=(aws_account_id,))


def _document(details: AccountDetails) -> dict[str, object]:
    failing = details.progress.failing
    return {
        **account_document(details.account, details.progress),
        "failing_advice": advice_for(failing.kind) if failing else None,
        "base_account": details.base.aws_account_id if details.base else None,
        "credentials_key_id": details.key_id,
        "credentials": _tell_credentials(details),
    }


def _tell_credentials(details: AccountDetails) -> str:
    if details.is_withheld:
        return "not visible to this database role"
    if details.key_id is None:
        return "none stored"
    if details.opens is None:
        return "not checked, because ENCRYPTION_KEY is not set"
    return "open with ENCRYPTION_KEY" if details.opens else "do not open with ENCRYPTION_KEY"
