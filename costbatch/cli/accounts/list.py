"""``costbatch accounts list``."""

import click

from costbatch.cli.accounts.shared import account_document
from costbatch.cli.context import Context, pass_context
from costbatch.cli.lazy import example
from costbatch.cli.output import JSON, output_option, print_json, print_table
from costbatch.domain.accounts import Account, AccountStatus, Progress

_COLUMNS = ("account", "name", "status", "access", "collected to", "failing since", "why")


@click.command("list", epilog=example("costbatch accounts list", "costbatch accounts list --status paused"))
@click.option(
    "--status",
    "statuses",
    type=click.Choice([status.value for status in AccountStatus]),
    multiple=True,
    help="Only accounts with this status; may be given more than once. By default all but the removed.",
)
@output_option
@pass_context
def list_accounts(context: Context, statuses: tuple[str, ...], output: str) -> None:
    """List the accounts, how they are reached and whether they are collected."""
    wanted = [AccountStatus(status) for status in statuses]
    found = context.bootstrap().accounts().list_accounts(wanted)
    if output == JSON:
        print_json([account_document(account, progress) for account, progress in found])
    elif found:
        print_table(_COLUMNS, [_row(account, progress) for account, progress in found], names=("name",))
    else:
        click.echo("There are no such accounts; `costbatch accounts add` registers one.")


def _row(account: Account, progress: Progress) -> tuple[object, ...]:
    return (
        account.aws_account_id,
        account.name,
        account.status,
        account.access,
        progress.covered.last if progress.covered else None,
        progress.failing.since if progress.failing else None,
        progress.failing.kind if progress.failing else None,
    )
