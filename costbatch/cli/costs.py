"""``costbatch costs``: the stored daily costs, now or as they were known on an earlier night."""

from datetime import date

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import CSV, JSON, Day, accounts_option, days_between, example, export_option
from costbatch.cli.output import print_csv, print_json, print_table
from costbatch.domain.ledger import CostValues
from costbatch.domain.money import amount
from costbatch.domain.periods import ONE_DAY, month_start, utc_day

_TITLES = ("account", "day", "service", "type", "currency", "cost", "estimated")


@click.command(
    epilog=example(
        "costbatch costs --from 2026-01-01 --to 2026-01-31 --output csv",
        "costbatch costs --as-of 2026-02-01 --from 2026-01-01 --account 123456789012",
    )
)
@click.option(
    "--as-of", type=Day(), help="Costs as they were after the runs of this UTC day.  [default: now]"
)
@click.option("--from", "first", type=Day(), help="First day.  [default: first of the month of --to]")
@click.option("--to", "last", type=Day(), help="Last day.  [default: the day before --as-of]")
@accounts_option
@export_option
@pass_context
def costs(
    context: Context,
    /,
    *,
    as_of: date | None,
    first: date | None,
    last: date | None,
    aws_account_ids: tuple[str, ...],
    output: str,
) -> None:
    """Export the stored daily costs, row by row; with --as-of, exactly as they were on an earlier night.

    The table shows the unblended cost; JSON and CSV have every amount. If a run is resumed after a later
    night, its changes count as changes of that night, as in `changes`.
    """
    night = as_of or utc_day(context.now())
    last = last or night - ONE_DAY
    days = days_between(first or month_start(last), last)
    found = context.bootstrap().ledger().costs_as_of(night, days, aws_account_ids)
    keys = [
        (each.aws_account_id, each.usage_date, each.service, each.record_type, each.currency)
        for each in found
    ]
    if output in {JSON, CSV}:
        titles = ("aws_account_id", "usage_date", "service", "record_type", "currency", *CostValues._fields)
        rows = [(*key, *each.values) for key, each in zip(keys, found, strict=True)]
        if output == CSV:
            print_csv(titles, rows)
        else:
            print_json([dict(zip(titles, row, strict=True)) for row in rows])
    elif found:
        shown = [
            (*key, amount(each.values.unblended, each.currency), "yes" if each.values.estimated else "no")
            for key, each in zip(keys, found, strict=True)
        ]
        print_table(_TITLES, shown, numbers=("cost",), names=("service",))
    else:
        click.echo("No costs found.")
