"""``costbatch collect``: the nightly run, or a dry run of it."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from uuid import uuid4

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.exit_status import ExitStatus
from costbatch.cli.options import JSON, Dollars, RunKey, Seconds, example, output_option
from costbatch.cli.output import print_json, print_last_line, standard_error, standard_output
from costbatch.cli.process import StopSignals
from costbatch.cli.views.progress import QuietProgress, TerminalProgress, make_progress
from costbatch.cli.views.run import closing_sentence, print_plan, print_run, resume_command
from costbatch.config import FailOn, Settings
from costbatch.domain.accounts import parse_account_id
from costbatch.domain.collection import CollectOptions
from costbatch.domain.periods import ONE_DAY, DateRange, utc_day
from costbatch.domain.runs import RunRequest, RunStatus
from costbatch.errors import ConfigError, CostbatchError
from costbatch.logs import get_logger, withheld_warnings

log = get_logger(__name__)

# The log events whose content the summary or the closing sentence repeats.
_IN_SUMMARY = frozenset(
    {
        "account_failed",
        "claims_released",
        "api_cost_cap_reached",
        "deadline_reached",
        "event",
        "events_not_delivered",
        "stopping",
    }
)
_DAY = click.DateTime(formats=["%Y-%m-%d"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """The command line, as click has converted it."""

    day: datetime | None
    first: datetime | None
    last: datetime | None
    accounts: tuple[str, ...]
    concurrency: int | None
    run_key: str | None
    fail_on: str | None
    accept_vanished: bool
    max_api_cost: Decimal | None
    deadline: float | None
    verbose: bool
    dry_run: bool
    output: str

    def request(self, now: datetime) -> RunRequest:
        """Return what the run is asked to do.

        Raises:
            ConfigError: options that contradict each other, or an invalid account id.

        """
        try:
            ids = tuple(sorted({parse_account_id(account) for account in self.accounts}))
        except ValueError as error:
            raise ConfigError(str(error)) from None
        if self.accept_vanished and not ids:
            raise ConfigError(
                "--accept-vanished needs --account: name the account whose stored days may vanish."
            )
        options = CollectOptions(days=self._days(now), accept_vanished=self.accept_vanished)
        return options.to_request(ids)

    def _days(self, now: datetime) -> DateRange | None:
        if self.day and (self.first or self.last):
            raise ConfigError("--date is for one day, --from and --to are for several: use one or the other.")
        if self.last and not self.first:
            raise ConfigError("--to needs --from, the first day to read.")
        first = self.day or self.first
        if first is None:
            return None
        given = self.day or self.last
        last = given.date() if given else utc_day(now) - ONE_DAY
        if last < first.date():
            raise ConfigError(f"--to {last} is before --from {first.date()}.")
        if last == date.max:
            raise ConfigError(f"{last} is not over yet; give days before {utc_day(now)} (today, UTC).")
        return DateRange(first.date(), last + ONE_DAY)

    def override(self, settings: Settings) -> Settings:
        """Return the settings, replaced by those of the command line."""
        return replace(
            settings,
            concurrency=self.concurrency or settings.concurrency,
            run_key=self.run_key or settings.run_key,
            fail_on=FailOn(self.fail_on) if self.fail_on else settings.fail_on,
            max_api_cost_usd=self.max_api_cost or settings.max_api_cost_usd,
            deadline_seconds=self.deadline or settings.deadline_seconds,
        )


@click.command(
    epilog=example(
        "costbatch collect",
        "costbatch collect --from 2026-01-01 --to 2026-01-31 --account 123456789012",
        "costbatch collect --dry-run --output json",
    )
)
@click.option("--date", "day", type=_DAY, metavar="DAY", help="Read this one UTC day again, as YYYY-MM-DD.")
@click.option("--from", "first", type=_DAY, metavar="DAY", help="Backfill from this UTC day.")
@click.option(
    "--to", "last", type=_DAY, metavar="DAY", help="Last day of the backfill.  [default: yesterday]"
)
@click.option(
    "--account", "accounts", multiple=True, metavar="ID", help="Collect only this account; may be repeated."
)
@click.option(
    "--accept-vanished",
    is_flag=True,
    help="Accept a response that removes most stored days of the account; needs --account.",
)
@click.option("--concurrency", type=click.IntRange(1, 256), help="Accounts to fetch at the same time.")
@click.option("--run-key", type=RunKey(), help="Join or start the run with this key.  [default: a new run]")
@click.option(
    "--fail-on",
    type=click.Choice([each.value for each in FailOn]),
    help="Exit non-zero if no account was collected (total) or if any failed (partial).",
)
@click.option(
    "--max-api-cost",
    type=Dollars(),
    help="Stop making requests at this cost; parallel pods may exceed it by their requests in flight.",
)
@click.option(
    "--deadline",
    type=Seconds("0", "604800", above=True),
    metavar="SECONDS",
    help="Stop starting accounts after this many seconds; resume with the same --run-key.",
)
@click.option("--verbose", "-v", is_flag=True, help="Also show the log on a terminal.")
@click.option("--dry-run", is_flag=True, help="Show what would be read and its cost; make no requests.")
@output_option
@pass_context
@click.pass_context
def collect(ctx: click.Context, context: Context, /, **options: object) -> None:
    """Collect the cost of every active account, store it, and flag anomalies.

    Reads again the days of each account that may still change: by default the last 35, all of last month
    while it is open, and every day that was missed. For a new account, reads its history.

    Ctrl-C lets the accounts in flight finish and prints the command to continue; a second one stops at once.

    Exits with 0 if all or some accounts were collected or there were none, 1 if no account was collected or
    the database was lost, 2 on wrong usage, 3 if some accounts failed and --fail-on is partial, 130 if
    stopped by Ctrl-C, and 143 if stopped by SIGTERM or the deadline.
    """
    asked = _Options(**options)  # type: ignore[arg-type] # click has converted each by its declaration
    settings = asked.override(context.settings(verbose=asked.verbose))
    request = asked.request(context.now())
    if settings.key_weakness:
        log.warning("encryption_key_is_weak", reason=settings.key_weakness)
    bootstrap = context.wire(settings, context.now)
    if asked.dry_run:
        plan = bootstrap.plan(request)
        if asked.output == JSON:
            print_json(plan.to_document())
        else:
            print_plan(plan, standard_output())
        return
    key = settings.run_key or str(uuid4())
    progress, resume = make_progress(standard_error()), resume_command(key, request)

    def acknowledge(signal_name: str) -> None:
        log.warning("stopping", signal=signal_name)
        progress.print(
            f"Stopping: accounts in flight have {settings.grace_seconds:g} s to finish. "
            f"Press Ctrl-C again to stop at once.\nTo continue: {resume}"
        )

    with StopSignals(acknowledge=acknowledge) as signals:
        nightly = bootstrap.nightly(stop=signals.stop, display=progress, every_account=asked.output == JSON)
        signals.give_up = lambda: _stop_at_once(progress, partial(nightly.give_up, key), resume)
        report = nightly.run(key, request)
    status = _exit_status(report.run.status, settings.fail_on, signals.received)
    if asked.output == JSON:
        print_json(report.to_document())
    else:
        print_run(report, standard_output(), is_last=not status)
    _print_withheld_warnings(progress)
    if status:
        # `kubectl describe` shows the end of a failed pod's log, where a closing brace says nothing.
        print_last_line(closing_sentence(report))
    ctx.exit(status)


def _print_withheld_warnings(progress: TerminalProgress | QuietProgress) -> None:
    """Name the warnings that neither the terminal nor the summary has shown."""
    events = {event: n for event, n in sorted(withheld_warnings().items()) if event not in _IN_SUMMARY}
    if events:
        counts = ", ".join(f"{number:,} {event}" for event, number in events.items())
        progress.print(f"Warnings that are not shown: {counts}. Run with -v to see the log.")


def _stop_at_once(
    progress: TerminalProgress | QuietProgress, give_up: Callable[[], None], resume: str
) -> None:
    """Restore the terminal and record the stop: the process was asked twice to exit."""
    progress.end()
    try:
        give_up()
    except CostbatchError:
        consequence = "the database did not respond; its accounts stay claimed until their lease expires"
    else:
        consequence = "requests in flight were abandoned"
    print_last_line(f"STOPPED at once: {consequence}. To continue: {resume}")


def _exit_status(status: RunStatus, fail_on: FailOn, stopped_by: int | None) -> int:
    match status:
        case RunStatus.FAILED:
            return ExitStatus.TOTAL_FAILURE
        case RunStatus.STOPPED | RunStatus.RUNNING:
            return 128 + (stopped_by or signal.SIGTERM)
        case RunStatus.PARTIAL if fail_on is FailOn.PARTIAL:
            return ExitStatus.PARTIAL_FAILURE
        case _:
            return ExitStatus.OK
