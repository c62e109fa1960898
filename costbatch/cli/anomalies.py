"""``costbatch anomalies``: list anomalies, and answer them."""

from datetime import date
from pathlib import Path

import click

from costbatch.application.anomalies import AnsweredAnomaly, Remark
from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import (
    JSON,
    AccountId,
    Day,
    Text,
    accounts_option,
    days_between,
    example,
    output_option,
)
from costbatch.cli.output import print_json, print_result, print_table
from costbatch.cli.remarks import answering, author_option, reason_option
from costbatch.cli.views.anomaly import change_text, print_anomaly, short_id
from costbatch.cli.views.opinions import print_opinions
from costbatch.cli.views.plot import plot_anomaly
from costbatch.config.files import writing
from costbatch.domain.anomalies import AnomalyFilter, AnomalyState
from costbatch.domain.answers import Standing
from costbatch.domain.detection import Severity
from costbatch.domain.excerpt import printable
from costbatch.domain.money import amount, is_currency, money
from costbatch.domain.periods import ONE_DAY, utc_day
from costbatch.domain.second_opinion import AWS_KEEPS
from costbatch.errors import ConfigError

_ALL = "all"
_COLUMNS = (
    *("id", "standing", "severity", "account", "name", "impact", "change"),
    *("service", "first day", "last day", "expected", "actual"),
)
_NUMBERS = ("expected", "actual", "impact", "change")
# The standings that anomalies have in each state.
_STANDINGS = {
    AnomalyState.OPEN: set(Standing) - {Standing.RESOLVED},
    AnomalyState.RESOLVED: {Standing.RESOLVED},
}
_id_argument = click.argument("anomaly_id", metavar="ID")


@click.group(
    epilog=example("costbatch anomalies list", 'costbatch anomalies dismiss 5e5909ac --reason "load test"')
)
def anomalies() -> None:
    """List anomalies, and answer them.

    An answer belongs to the series of the anomaly: the same account, service, currency and direction, at the
    same level of daily cost. What goes beyond that level is reported. ID is the id of an anomaly, or its
    first 8 characters or more.
    """


@anomalies.command(
    "list",
    short_help="List anomalies.",
    epilog=example(
        "costbatch anomalies list",
        "costbatch anomalies list --account 123456789012 --state all --since 2026-11-01",
        "costbatch anomalies list --state silent --output json",
    ),
)
@click.option(
    "--account", "accounts", type=AccountId(), multiple=True, help="Only of this account; may be repeated."
)
@click.option(
    "--state",
    "states",
    type=click.Choice([*(each.value for each in Standing), _ALL]),
    multiple=True,
    help="Only anomalies in this state; may be repeated.  [default: open and acknowledged]",
)
@click.option(
    "--severity",
    "severities",
    type=click.Choice([each.value for each in Severity]),
    multiple=True,
    help="Only those of this severity; may be repeated.",
)
@click.option(
    "--currency",
    "currencies",
    metavar="CODE",
    multiple=True,
    help="Only those in this currency, such as USD; may be repeated.",
)
@click.option("--since", type=Day(), help="Only those with an anomalous day on or after this one.")
@output_option
@pass_context
def list_anomalies(context: Context, /, since: date | None, output: str, **filters: tuple[str, ...]) -> None:
    """List anomalies, the most severe first, with their state.

    open: it is reported. acknowledged: being worked on. silent: it was dismissed, is expected, or belongs to
    a planned change. resolved: it is over.
    """
    wanted = filters["states"] or (Standing.OPEN.value, Standing.ACKNOWLEDGED.value)
    standings = set(Standing) if _ALL in wanted else {Standing(state) for state in wanted}
    currencies = [currency.upper() for currency in filters["currencies"]]
    if not all(map(is_currency, currencies)):
        raise ConfigError("--currency must be a code of three letters, such as USD.")
    found = (
        context.bootstrap()
        .anomalies()
        .list_anomalies(
            AnomalyFilter(
                states=[state for state, possible in _STANDINGS.items() if possible & standings],
                severities=[Severity(severity) for severity in filters["severities"]],
                aws_account_ids=filters["accounts"],
                currencies=currencies,
                since=since,
            ),
            standings,
        )
    )
    if output == JSON:
        print_json([each.to_document() for each in found])
    elif found:
        print_table(_COLUMNS, [_row(each) for each in found], numbers=_NUMBERS, names=("name", "service"))
    else:
        click.echo("No anomalies found.")


def _row(found: AnsweredAnomaly) -> tuple[object, ...]:
    anomaly = found.anomaly
    return (
        short_id(anomaly),
        found.standing,
        anomaly.severity,
        found.account.aws_account_id,
        found.account.name,
        money(anomaly.impact, anomaly.currency, sign=True),
        change_text(anomaly),
        anomaly.service or "total",
        anomaly.start_date,
        anomaly.last_date,
        amount(anomaly.expected, anomaly.currency),
        amount(anomaly.actual, anomaly.currency),
    )


@anomalies.command(
    short_help="Show one anomaly, and why it is silent.",
    epilog=example(
        "costbatch anomalies show 5e5909ac", "costbatch anomalies show 5e5909ac --plot anomaly.svg"
    ),
)
@_id_argument
@click.option(
    "--plot",
    "picture",
    type=Text(),
    metavar="FILE",
    help="Write a picture (SVG) of the daily cost and what was expected.",
)
@output_option
@pass_context
def show(context: Context, /, anomaly_id: str, picture: str | None, output: str) -> None:
    """Show an anomaly, the services behind it, its answer, and in one sentence why it is silent or not.

    Also shows its days and those around it, with what was expected of each when it was last judged. A score
    of 0.5 is the edge of the band from lower to upper.
    """
    shown = context.bootstrap().anomalies().show(anomaly_id)
    if picture is not None:
        svg = plot_anomaly(shown)
        with writing("file", Path(picture)):
            Path(picture).write_text(svg, encoding="utf-8")
    if output == JSON:
        print_json({**shown.to_document(), "picture": picture})
        return
    print_anomaly(shown)
    if picture is not None:
        click.echo(f"\nA picture is written to {picture}.")


@anomalies.command(
    short_help="Mark an anomaly as being worked on.",
    epilog=example(
        "costbatch anomalies acknowledge 5e5909ac", "costbatch anomalies acknowledge 5e5909ac --reason OPS-17"
    ),
)
@_id_argument
@reason_option(required=False)
@author_option
@output_option
@pass_context
def acknowledge(context: Context, /, anomaly_id: str, output: str, **remark: str) -> None:
    """Mark an anomaly as being worked on: no reminders, no updates at this level. Its end is reported."""
    with answering(context) as bootstrap:
        _print_answered(bootstrap.anomalies().acknowledge(anomaly_id, Remark(**remark)), output)


@anomalies.command(
    short_help="Dismiss an anomaly.",
    epilog=example('costbatch anomalies dismiss 5e5909ac --reason "monthly fee"'),
)
@_id_argument
@reason_option(required=True)
@author_option
@output_option
@pass_context
def dismiss(context: Context, /, anomaly_id: str, output: str, **remark: str) -> None:
    """Dismiss an anomaly: its series is silent at this level from now on."""
    with answering(context) as bootstrap:
        _print_answered(bootstrap.anomalies().dismiss(anomaly_id, Remark(**remark)), output)


@anomalies.command(
    short_help="Mark an anomaly as expected.",
    epilog=example(
        'costbatch anomalies expect 5e5909ac --until 2026-12-31 --reason "sale"',
        'costbatch anomalies expect 5e5909ac --as-of-now --reason "new region"',
    ),
)
@_id_argument
@click.option("--until", type=Day(), help="The last day on which it is expected.")
@click.option("--as-of-now", is_flag=True, help="Expect this level from now on, without an end.")
@reason_option(required=True)
@author_option
@output_option
@pass_context
def expect(
    context: Context, /, anomaly_id: str, until: date | None, output: str, *, as_of_now: bool, **remark: str
) -> None:
    """Mark an anomaly as expected: its series is silent at this level, until a day or without an end."""
    if (until is None) != as_of_now:
        raise ConfigError("Give one of --until DATE and --as-of-now.")
    with answering(context) as bootstrap:
        _print_answered(bootstrap.anomalies().expect(anomaly_id, Remark(**remark), until=until), output)


@anomalies.command(
    short_help="Withdraw the answers to an anomaly.", epilog=example("costbatch anomalies reopen 5e5909ac")
)
@_id_argument
@reason_option(required=False)
@author_option
@output_option
@pass_context
def reopen(context: Context, /, anomaly_id: str, output: str, **remark: str) -> None:
    """Withdraw every answer to the series of an anomaly: its next change is reported."""
    with answering(context) as bootstrap:
        _print_answered(bootstrap.anomalies().reopen(anomaly_id, Remark(**remark)), output)


def _print_answered(found: AnsweredAnomaly, output: str) -> None:
    of = f"{short_id(found.anomaly)} of account {found.account}"
    print_result(printable(f"Anomaly {of} is {found.standing}. {found.why}"), found.to_document(), output)


@anomalies.command(
    "import-aws",
    short_help="Import the anomalies that AWS detected, and compare.",
    epilog=example(
        "costbatch anomalies import-aws",
        "costbatch anomalies import-aws --account 123456789012 --from 2026-11-01 --output json",
    ),
)
@accounts_option
@click.option("--from", "since", type=Day(), help="The first day.  [default: 89 days before the last]")
@click.option("--to", "until", type=Day(), help="The last day.  [default: today]")
@output_option
@pass_context
def import_aws(
    context: Context,
    /,
    *,
    aws_account_ids: tuple[str, ...],
    since: date | None,
    until: date | None,
    output: str,
) -> None:
    """Import the anomalies that AWS Cost Anomaly Detection found, and show who found what.

    AWS gives those of the last 90 days, with root causes and feedback; costbatch keeps them for ever.
    Each account and page takes one request. AWS may charge $0.01 for it, as for those of `collect`.
    """
    last = until or utc_day(context.now())
    first = since or last - AWS_KEEPS + ONE_DAY
    report = context.bootstrap().second_opinion().run(days_between(first, last), aws_account_ids)
    if output == JSON:
        print_json(report.to_document())
    else:
        print_opinions(report)
