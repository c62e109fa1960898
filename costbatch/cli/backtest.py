"""``costbatch backtest``: what each detector would have raised on past mornings."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import JSON, Day, Text, accounts_option, example, output_option
from costbatch.cli.output import print_json, print_table
from costbatch.cli.views.plot import plot_alarms
from costbatch.config.files import writing
from costbatch.domain.backtest import Alarm, BacktestReport
from costbatch.domain.detection import DetectorName
from costbatch.domain.money import money
from costbatch.domain.plural import many

_BOTH = "both"
_MOST_LISTED = 20
_SCORE_TITLES = (
    "detector",
    "alarms",
    "per account and month",
    "impact",
    "found alone",
    "precision",
    "recall",
)
_ALARM_TITLES = ("morning", "account", "service", "first day", "last day", "impact")


@click.command(
    epilog=example(
        "costbatch backtest",
        "costbatch backtest --from 2026-01-01 --account 123456789012 --plot pictures",
        "costbatch backtest --detector adaptive --output json",
    )
)
@click.option(
    "--detector",
    type=click.Choice([*(each.value for each in DetectorName), _BOTH]),
    default=_BOTH,
    show_default=True,
    help="Which detector to replay.",
)
@click.option("--from", "since", type=Day(), help="Count alarms from this morning on.  [default: the first]")
@accounts_option
@click.option(
    "--plot",
    "folder",
    type=Text(),
    metavar="DIR",
    help="Write a picture (SVG) of each account into this folder.",
)
@output_option
@pass_context
def backtest(
    context: Context,
    /,
    *,
    detector: str,
    since: date | None,
    aws_account_ids: tuple[str, ...],
    folder: str | None,
    output: str,
) -> None:
    """Replay past nights, each with the costs that were known that morning, and show what would be raised.

    Uses the current settings. The history that first collections read is not counted, because no morning saw
    it. With the detector and the settings of the nights, the replay raises the same anomalies as they did,
    with the same ids. Nothing is written to the database.
    """
    detectors = tuple(DetectorName) if detector == _BOTH else (DetectorName(detector),)
    report = context.bootstrap().backtest().run(detectors, since=since, aws_account_ids=aws_account_ids)
    pictures = []
    if folder:
        with writing("folder", Path(folder)):
            Path(folder).mkdir(parents=True, exist_ok=True)
            for account in report.accounts:
                picture = Path(folder) / f"{account.aws_account_id}.svg"
                picture.write_text(plot_alarms(account, report.detectors), encoding="utf-8")
                pictures.append(picture)
    if output == JSON:
        print_json({**report.to_document(), "pictures": [str(path) for path in pictures]})
        return
    if not report.accounts:
        when = f"from {since} on" if since else "yet"
        last = ", the second of them no earlier than that" if since else ""
        click.echo(f"No mornings to replay {when}: an account must have been collected on two days{last}.")
        return
    _print_report(report)
    if folder:
        click.echo(f"\n{many(len(pictures), 'picture')} written to {folder}.")


def _print_report(report: BacktestReport) -> None:
    accounts, mornings = many(len(report.accounts), "account"), many(report.mornings, "morning")
    click.echo(f"Replayed {mornings} of {accounts}.\n")
    scores = {each: report.score(each) for each in report.detectors}
    rows = [
        (
            each.value,
            f"{score.alarms:,}",
            None if score.per_account_month is None else f"{score.per_account_month:.2f}",
            ", ".join(money(amount, currency) for currency, amount in score.impact.items()) or None,
            f"{len(score.only):,}" if len(scores) > 1 else None,
            None if score.precision is None else f"{score.precision:.2f}",
            None if score.recall is None else f"{score.recall:.2f}",
        )
        for each, score in scores.items()
    ]
    print_table(_SCORE_TITLES, rows, numbers=_SCORE_TITLES[1:])
    if report.answered:
        real = sum(each.is_real for each in report.answered)
        click.echo(f"\nAnswered anomalies: {real:,} real, {len(report.answered) - real:,} dismissed.")
    else:
        click.echo("\nAnswer anomalies to see precision and recall: `costbatch anomalies list`.")
    for each, score in scores.items():
        listed = score.only if len(scores) > 1 else report.alarms
        if listed:
            largest = sorted(listed, key=lambda alarm: (alarm.currency, -abs(alarm.impact)))[:_MOST_LISTED]
            alone = "alone " if len(scores) > 1 else ""
            click.echo(f"\nRaised by {each.value} {alone}({len(largest):,} of {len(listed):,}):\n")
            _print_alarms(largest)


def _print_alarms(alarms: Sequence[Alarm]) -> None:
    rows = [
        (
            alarm.morning,
            alarm.aws_account_id,
            alarm.service or "total",
            alarm.start,
            alarm.last,
            money(alarm.impact, alarm.currency, sign=True),
        )
        for alarm in alarms
    ]
    print_table(_ALARM_TITLES, rows, numbers=("impact",), names=("service",))
