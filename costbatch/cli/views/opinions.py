"""Who found which anomalies: both, only AWS, or only costbatch."""

import click

from costbatch.application.second_opinion import OpinionReport
from costbatch.cli.output import print_table
from costbatch.cli.views.anomaly import short_id
from costbatch.domain.excerpt import printable
from costbatch.domain.money import money
from costbatch.domain.plural import many
from costbatch.domain.second_opinion import AWS_KEEPS, Compared, NotKnown, Opinion

_TITLES = (
    *("found by", "account", "service", "first day", "last day", "impact", "impact by AWS"),
    *("feedback", "id", "id of AWS"),
)
_FOUND_BY = {Opinion.BOTH: "both", Opinion.ONLY_AWS: "only AWS", Opinion.ONLY_WE: "only costbatch"}
_DOLLARS = "USD"


def print_opinions(report: OpinionReport) -> None:
    """Print what was imported, the comparison, and the accounts that could not be read."""
    saved, requests = report.saved, many(report.requests, "request")
    if report.asked:
        click.echo(
            f"Read {report.read:,} of {many(report.accounts, 'account')} by {requests} "
            f"(at most ${report.cost_usd}): {saved.added:,} of AWS's anomalies are new, "
            f"{saved.updated:,} changed, {saved.unchanged:,} are as they were."
        )
    else:
        click.echo(
            f"AWS was not asked, because it has anomalies of the last {AWS_KEEPS.days} days only; "
            "compared is what was imported before."
        )
    for account, problem in report.failures.items():
        click.echo(printable(f"Account {account} was not read: {problem}"), err=True)
    counts = ", ".join(f"{name} {report.count(each):,}" for each, name in _FOUND_BY.items())
    click.echo(f"From {report.days.start} to {report.days.last}: {counts}.")
    _print_not_known(report.not_known)
    if report.compared:
        click.echo()
        rows = [_row(each) for each in report.compared]
        print_table(_TITLES, rows, numbers=("impact", "impact by AWS"), names=("service", "id of AWS"))


def _print_not_known(not_known: NotKnown) -> None:
    if not_known.accounts:
        click.echo(f"What only costbatch found is not known of {many(not_known.accounts, 'account')}.")
    for edge, side in ((not_known.asked_from, "before"), (not_known.asked_to, "after")):
        if edge:
            click.echo(
                f"AWS was not asked about all days {side} {edge.day} of {many(edge.accounts, 'account')}; "
                "what only costbatch found on the others is not known."
            )
    if not_known.anomalies:
        click.echo(f"Left out because of that: {not_known.anomalies:,} of costbatch's anomalies.")


def _row(compared: Compared) -> tuple[object, ...]:
    theirs, (first, last) = compared.theirs, compared.days
    ours = [money(each.impact, each.currency, sign=True) for each in compared.ours]
    return (
        _FOUND_BY[compared.opinion],
        compared.aws_account_id,
        compared.service or "total",
        first,
        last or "goes on",
        ", ".join(ours) or None,
        money(theirs.impact, _DOLLARS, sign=True) if theirs else None,
        theirs.feedback if theirs else None,
        ", ".join(short_id(each) for each in compared.ours) or None,
        theirs.id if theirs else None,
    )
