"""``costbatch arrival``: how much of a day's cost has arrived when."""

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import CSV, JSON, accounts_option, example, export_option, services_option
from costbatch.cli.output import print_csv, print_json, print_table
from costbatch.domain.arrival import HOURS
from costbatch.domain.periods import utc_day

_TITLES = ("account", "service", "currency", "days", *(f"after {hours} h" for hours in HOURS))
_CSV_TITLES = (
    *("aws_account_id", "service", "currency", "days"),
    *(f"percent_after_{hours}_h" for hours in HOURS),
)


@click.command(epilog=example("costbatch arrival", "costbatch arrival --account 123456789012 --output csv"))
@accounts_option
@services_option
@export_option
@pass_context
def arrival(
    context: Context, /, *, aws_account_ids: tuple[str, ...], services: tuple[str, ...], output: str
) -> None:
    """Show how much of a day's final cost had arrived 24, 48 and 72 hours after its end.

    By account and service: the median of up to 60 settled days. A day counts only if it was collected on that
    morning. A service with fewer than 10 such days is left out.
    """
    ledger = context.bootstrap().ledger()
    curves = ledger.arrivals(utc_day(context.now()), aws_account_ids, services)
    rows = [
        (account, service, currency, curve.days, *curve.percent)
        for (account, service, currency), curve in curves.items()
    ]
    if output == JSON:
        print_json(
            [
                {"aws_account_id": account, "service": service, **curve.to_document()}
                for (account, service, _), curve in curves.items()
            ]
        )
    elif output == CSV:
        print_csv(_CSV_TITLES, rows)
    elif rows:
        shown = [
            (
                account,
                service or "total",
                currency,
                curve.days,
                *(None if percent is None else f"{percent} %" for percent in curve.percent),
            )
            for (account, service, currency), curve in curves.items()
        ]
        print_table(_TITLES, shown, numbers=_TITLES[3:], names=("service",))
    elif services and ledger.arrivals(utc_day(context.now()), aws_account_ids):
        click.echo(
            f"Not enough data for {', '.join(services)}; run `costbatch arrival` without --service to list "
            "the services that have enough."
        )
    else:
        click.echo("Not enough data yet: 10 settled days that were collected the morning after are needed.")
