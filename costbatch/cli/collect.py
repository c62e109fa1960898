"""``costbatch collect``: the nightly run of the cost job, or a dry run of it."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import click
from typing_extensions import override

from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import Day, Dollars, days_between, example
from costbatch.cli.running import JobCommand, RunOptions, run_job, run_options
from costbatch.cli.views.collect import collect_command, print_plan, print_run
from costbatch.domain.collect_report import WORDS
from costbatch.domain.collection import CollectOptions
from costbatch.domain.runs import RunRequest
from costbatch.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options(RunOptions):
    """The command line, as click has converted it."""

    day: date | None
    first: date | None
    last: date | None
    accept_vanished: bool
    max_api_cost: Decimal | None

    @override
    def repeated(self) -> tuple[str, ...]:
        capped = ("--max-api-cost", str(self.max_api_cost)) if self.max_api_cost else ()
        return (*capped, *RunOptions.repeated(self))

    def request(self) -> RunRequest:
        """Return what the run is asked to do.

        Raises:
            ConfigError: options that contradict each other, or an invalid account id.

        """
        ids = self.aws_account_ids
        if self.accept_vanished and not ids:
            raise ConfigError(
                "--accept-vanished needs --account: name the account whose stored days may vanish."
            )
        if self.day and (self.first or self.last):
            raise ConfigError("--date is for one day, --from and --to are for several: use one or the other.")
        if self.last and not self.first:
            raise ConfigError("--to needs --from, the first day to read.")
        first, last = self.day or self.first, self.day or self.last
        days = days_between(first, last) if first and last else None
        since = self.first if days is None else None
        return CollectOptions(days=days, since=since, accept_vanished=self.accept_vanished).to_request(ids)


@click.command(
    epilog=example(
        "costbatch collect",
        "costbatch collect --from 2026-01-01 --to 2026-01-31 --account 123456789012",
        "costbatch collect --dry-run --output json",
    )
)
@click.option("--date", "day", type=Day(), metavar="DAY", help="Read this one UTC day again, as YYYY-MM-DD.")
@click.option("--from", "first", type=Day(), metavar="DAY", help="Backfill from this UTC day.")
@click.option(
    "--to",
    "last",
    type=Day(),
    metavar="DAY",
    help="Last day of the backfill.  [default: the day before the run's start]",
)
@click.option(
    "--accept-vanished",
    is_flag=True,
    help="Accept a response that removes most stored days of the account; needs --account.",
)
@click.option(
    "--max-api-cost",
    type=Dollars(),
    help="Stop making requests at this cost; parallel pods may exceed it by their requests in flight.",
)
@run_options(WORDS, dry_run="Show what would be read and its cost; make no requests.")
@pass_context
@click.pass_context
def collect(ctx: click.Context, context: Context, /, **options: object) -> None:
    """Collect the cost of every active account, store it, and flag anomalies.

    Reads again the days of each account that may still change: by default the last 35, all of last month
    while it is open, and every day that was missed. For a new account, reads its history.

    Press Ctrl-C to stop in order: the accounts in flight finish, and the command to continue is printed.
    Press it again to stop at once.

    Exits with 0 if all or some accounts were collected, or if there were none. Exits with 1 if no account was
    collected or the database was lost, 2 on wrong usage, and 3 if some accounts failed and --fail-on is
    partial. Exits with 130 if stopped by Ctrl-C, and 143 if stopped by SIGTERM or the deadline.
    """
    asked = _Options(**options)  # type: ignore[arg-type] # click has converted each by its declaration
    settings = asked.override(context.settings(verbose=asked.verbose))
    settings = replace(settings, max_api_cost_usd=asked.max_api_cost or settings.max_api_cost_usd)
    bootstrap = context.wire(settings, context.now)
    job = JobCommand(
        words=WORDS,
        plan=bootstrap.plan_collect,
        print_plan=print_plan,
        nightly=bootstrap.collect,
        print_report=print_run,
        resume=collect_command,
    )
    run_job(ctx, asked, settings, asked.request(), job)
