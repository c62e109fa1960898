"""``costbatch changes``: what each night changed of the stored costs."""

from datetime import date
from decimal import Decimal
from typing import Any

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import (
    CSV,
    JSON,
    Amount,
    Day,
    accounts_option,
    example,
    export_option,
    services_option,
)
from costbatch.cli.output import print_csv, print_json, print_table
from costbatch.domain.ledger import ChangeQuery, CostChange, CostValues
from costbatch.domain.money import amount

_TITLES = ("night", "account", "day", "service", "type", "currency", "before", "after", "difference")


@click.command(
    epilog=example(
        "costbatch changes --since 2026-01-31",
        "costbatch changes --since 2026-01-01 --account 123456789012 --min 5 --output csv",
    )
)
@click.option("--since", type=Day(), required=True, help="Show nights from this UTC day on.")
@accounts_option
@services_option
@click.option(
    "--min",
    "least",
    type=Amount(),
    default="0.01",
    show_default=True,
    help="Smallest change of the unblended cost, in any currency; 0 shows every change.",
)
@export_option
@pass_context
def changes(
    context: Context,
    /,
    *,
    since: date,
    aws_account_ids: tuple[str, ...],
    services: tuple[str, ...],
    least: Decimal,
    output: str,
) -> None:
    """Show what each night changed of the stored costs: new, restated and deleted rows.

    The newest night comes first, within a currency the largest change. What the first run stored of an
    account is not listed: there was nothing before it. If that run was a backfill, the history that the
    first night reads after it is listed, as new rows.
    """
    query = ChangeQuery(since=since, aws_account_ids=aws_account_ids, services=services, least=least)
    found = context.bootstrap().ledger().changes(query)
    if output == JSON:
        print_json([_change_document(each) for each in found])
    elif output == CSV:
        amounts = [f"{side}_{name}" for side in ("old", "new") for name in CostValues._fields]
        titles = ("night", "aws_account_id", "usage_date", "service", "record_type", "currency")
        nothing = (None,) * len(CostValues._fields)
        rows = [(*_key(each), *(each.old or nothing), *(each.new or nothing)) for each in found]
        print_csv((*titles, *amounts), rows)
    elif found:
        rows = [
            (
                *_key(each),
                *(
                    None if values is None else amount(values.unblended, each.currency)
                    for values in (each.old, each.new)
                ),
                amount(each.difference, each.currency, sign=True),
            )
            for each in found
        ]
        print_table(_TITLES, rows, numbers=_TITLES[-3:], names=("service",))
    else:
        click.echo("No changes found.")


def _key(change: CostChange) -> tuple[object, ...]:
    return (
        change.night,
        change.aws_account_id,
        change.usage_date,
        change.service,
        change.record_type,
        change.currency,
    )


def _change_document(change: CostChange) -> dict[str, Any]:
    return {
        "night": change.night,
        "run_id": change.run_id,
        "aws_account_id": change.aws_account_id,
        "account_name": change.account_name,
        "usage_date": change.usage_date,
        "service": change.service,
        "record_type": change.record_type,
        "currency": change.currency,
        "old": change.old._asdict() if change.old else None,
        "new": change.new._asdict() if change.new else None,
        "difference": change.difference,
    }
