"""``costbatch planned``: announce changes of cost before they happen."""

from datetime import date

import click

from costbatch.application.anomalies import PlannedChange, Remark
from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import JSON, AccountId, Day, Text, days_between, example, output_option
from costbatch.cli.output import print_json, print_result, print_table
from costbatch.cli.remarks import answering, author_option, reason_option
from costbatch.domain.excerpt import printable

_COLUMNS = ("id", "account", "name", "service", "from", "to", "author", "reason")
_ADD = "costbatch planned add --account 123456789012 --from 2026-12-01 --to 2026-12-07"


@click.group(epilog=example(f'{_ADD} --reason "load test"'))
def planned() -> None:
    """Announce changes of cost before they happen.

    Anomalies whose days all lie within a planned change are stored, but not reported.
    """


@planned.command(
    short_help="Announce a change.",
    epilog=example(
        f'{_ADD} --reason "load test"', f"{_ADD} \\", '  --service "Amazon Redshift" --reason migration'
    ),
)
@click.option("--account", type=AccountId(), required=True, help="The account.")
@click.option("--from", "start", type=Day(), required=True, help="The first day.")
@click.option("--to", "end", type=Day(), required=True, help="The last day.")
@click.option(
    "--service",
    type=Text(),
    help="Only this service, as Cost Explorer names it. An anomaly of the account's total is covered if "
    "without this service there would be none.",
)
@reason_option(required=True)
@author_option
@output_option
@pass_context
def add(
    context: Context,
    /,
    account: str,
    start: date,
    end: date,
    service: str | None,
    *,
    output: str,
    **remark: str,
) -> None:
    """Announce that an account, or one of its services, will have unusual cost on these days."""
    days = days_between(start, end)
    with answering(context) as bootstrap:
        use_cases = bootstrap.planned_changes()
        change = use_cases.add(account, days, Remark(**remark), service=service)
        _print_change(change, "is added", output)
        if note := use_cases.note_on(change):
            click.echo(printable(note), err=True)


@planned.command("list", short_help="List the planned changes.", epilog=example("costbatch planned list"))
@output_option
@pass_context
def list_changes(context: Context, output: str) -> None:
    """List the planned changes, past ones too, by first day."""
    found = context.bootstrap().planned_changes().list_changes()
    if output == JSON:
        print_json([change.to_document() for change in found])
    elif found:
        rows = [
            (
                change.plan.id,
                change.account.aws_account_id,
                change.account.name,
                change.plan.service or "all",
                change.plan.start_date,
                change.plan.end_date,
                change.plan.author,
                change.plan.reason,
            )
            for change in found
        ]
        print_table(_COLUMNS, rows, numbers=("id",), names=("name", "service", "author"), texts=("reason",))
    else:
        click.echo("No changes are planned.")


@planned.command(short_help="Remove a planned change.", epilog=example("costbatch planned remove 7"))
@click.argument("plan_id", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@reason_option(required=False)
@author_option
@output_option
@pass_context
def remove(context: Context, /, plan_id: int, output: str, **remark: str) -> None:
    """Remove a planned change: anomalies that it covered are reported with their next change."""
    with answering(context) as bootstrap:
        change = bootstrap.planned_changes().remove(plan_id, Remark(**remark))
        _print_change(change, "is removed", output)


def _print_change(change: PlannedChange, what: str, output: str) -> None:
    plan = change.plan
    of = f" ({plan.service})" if plan.service else ""
    days = f"from {plan.start_date} to {plan.end_date}"
    sentence = f"The planned change {plan.id} of account {change.account}{of} {days} {what}."
    print_result(printable(sentence), change.to_document(), output)
