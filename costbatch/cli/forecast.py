"""``costbatch forecast``: what the month will cost."""

from dataclasses import fields

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import CSV, JSON, accounts_option, example, export_option
from costbatch.cli.output import print_csv, print_json, print_table
from costbatch.domain.forecast import Forecast
from costbatch.domain.money import amount
from costbatch.domain.periods import utc_day

_CSV_TITLES = [field.name for field in fields(Forecast)]
_TITLES = ("account", "month", "currency", "to date", "expected", "from", "to", "last month")


@click.command(
    epilog=example("costbatch forecast", "costbatch forecast --account 123456789012 --output json")
)
@accounts_option
@export_option
@pass_context
def forecast(context: Context, /, *, aws_account_ids: tuple[str, ...], output: str) -> None:
    """Show the month to date and what the whole month will cost, by account and in total, in each currency.

    The month is that of yesterday. The cost is the one that anomaly detection compares: by default without
    credits, refunds and tax. The range is an 80 % interval, from past forecasts; it is missing until there
    are enough of them. An account needs two weeks of history.
    """
    found = context.bootstrap().forecasts().month(utc_day(context.now()), aws_account_ids)
    documents = [each.to_document() for each in found]
    if output == JSON:
        print_json(documents)
    elif output == CSV:
        print_csv(_CSV_TITLES, [[each[title] for title in _CSV_TITLES] for each in documents])
    elif found:
        rows = [
            (
                each.aws_account_id or "total",
                f"{each.month:%Y-%m}",
                each.currency,
                *(
                    None if value is None else amount(value, each.currency)
                    for value in (each.month_to_date, each.expected, each.lower, each.upper, each.last_month)
                ),
            )
            for each in found
        ]
        print_table(_TITLES, rows, numbers=_TITLES[3:])
    else:
        click.echo("No costs found.")
