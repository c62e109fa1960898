"""The command that does the day's work: collect, store, judge, tell."""

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
from costbatch.cli.lazy import example
from costbatch.cli.options import Dollars, RunKey, Seconds
from costbatch.cli.output import JSON, output_option, print_json, say_last
from costbatch.cli.progress import QuietProgress, TerminalProgress, make_progress
from costbatch.cli.stop_signals import StopSignals
from costbatch.cli.terminal import standard_error, standard_output
from costbatch.cli.verdict import closing_sentence, resume_command
from costbatch.config import FailOn, Settings
from costbatch.domain.accounts import parse_account_id
from costbatch.domain.collection import CollectOptions
from costbatch.domain.periods import ONE_DAY, DateRange, utc_day
from costbatch.domain.plans import CollectionPlan
from costbatch.domain.reports import RunReport
from costbatch.domain.runs import RunRequest, RunStatus
from costbatch.errors import ConfigError, CostbatchError
from costbatch.logs import get_logger, withheld_warnings

_TOLD_BY_SUMMARY = frozenset(
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
    """What the command line asked for, as click has converted it."""

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
            ConfigError: options that contradict each other, or an id that is none.

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
            raise ConfigError("--date asks for one day, --from and --to for several: use one or the other.")
        if self.last and not self.first:
            raise ConfigError("--to needs --from: the first day to read.")
        first = self.day or self.first
        if first is None:
            return None
        given = self.day or self.last
        last = given.date() if given else utc_day(now) - ONE_DAY
        if last < first.date():
            raise ConfigError(f"--to {last} lies before --from {first.date()}.")
        if last == date.max:
            raise ConfigError(f"{last} is not over yet; ask for days before {utc_day(now)} (today, UTC).")
        return DateRange(first.date(), last + ONE_DAY)

    def override(self, settings: Settings) -> Settings:
        """Return the settings with what the command line says instead."""
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
@click.option("--from", "first", type=_DAY, metavar="DAY", help="Read from this UTC day on (a backfill).")
@click.option("--to", "last", type=_DAY, metavar="DAY", help="The backfill's last day.  [default: yesterday]")
@click.option(
    "--account", "accounts", multiple=True, metavar="ID", help="Only this account; may be repeated."
)
@click.option(
    "--accept-vanished",
    is_flag=True,
    help="Accept an answer that removes most stored days of the account; needs --account.",
)
@click.option("--concurrency", type=click.IntRange(1, 256), help="Accounts fetched at the same time.")
@click.option(
    "--run-key", type=RunKey(), help="Join the run with this key, or start it.  [default: a new run]"
)
@click.option(
    "--fail-on", type=click.Choice([each.value for each in FailOn]), help="What exits with a failure."
)
@click.option(
    "--max-api-cost",
    type=Dollars(),
    help="Stop paying for requests at this amount; several processes of one run pass it by what they have "
    "in hand.",
)
@click.option(
    "--deadline",
    type=Seconds("0", "604800", above=True),
    metavar="SECONDS",
    help="Begin no account after so many seconds; the run is stopped, and its key goes on.",
)
@click.option("--verbose", "-v", is_flag=True, help="Also show the log on a terminal.")
@click.option("--dry-run", is_flag=True, help="Say what would be read and what it would cost; pay nothing.")
@output_option
@pass_context
@click.pass_context
def collect(ctx: click.Context, context: Context, /, **options: object) -> None:
    """Collect the cost of every active account, store it, and flag anomalies.

    Each account's days that may still change are read again: the last 35 by default, all of last month while
    it is open, and every day that was missed. A new account's history is read whole.

    Ctrl-C lets the accounts in flight finish and says how to continue; a second one stops at once.

    Exits with 0 when any account was collected or there was none to collect, 1 when none was collected or the
    database was lost, 2 on wrong usage, 3 when some accounts failed and --fail-on is partial, 130 when it was
    stopped by Ctrl-C, and 143 when it was stopped by SIGTERM or its deadline.
    """
    asked = _Options(**options)  # type: ignore[arg-type] # click has converted each by its declaration
    settings = asked.override(context.settings(verbose=asked.verbose))
    request = asked.request(context.now())
    if settings.key_weakness:
        get_logger(__name__).warning("encryption_key_is_weak", reason=settings.key_weakness)
    bootstrap = context.wire(settings, context.now)
    if asked.dry_run:
        _show_plan(bootstrap.plan(request), asked.output)
        return
    key = settings.run_key or str(uuid4())
    progress, again = make_progress(standard_error()), resume_command(key, request)
    acknowledged = (
        f"Stopping: accounts in flight have {settings.grace_seconds:g} s to finish. "
        "Press Ctrl-C again to stop at once.\n"
        f"To continue: {again}"
    )
    with StopSignals(acknowledge=lambda: progress.say(acknowledged)) as signals:
        nightly = bootstrap.nightly(stop=signals.stop, display=progress, every_account=asked.output == JSON)
        signals.give_up = lambda: _leave_at_once(progress, partial(nightly.give_up, key), again)
        report = nightly.run(key, request)
    status = _exit_status(report.run.status, settings.fail_on, signals.received)
    _show_run(report, asked.output, is_last=not status)
    _tell_withheld_warnings(progress)
    if status:
        # `kubectl describe` shows the end of a failed pod's log, and a closing brace says nothing.
        say_last(closing_sentence(report))
    ctx.exit(status)


def _show_plan(plan: CollectionPlan, output: str) -> None:
    if output == JSON:
        print_json(plan.to_document())
        return
    from costbatch.cli.run_view import render_plan  # noqa: PLC0415 - programs do not pay for tables

    render_plan(plan, standard_output())


def _show_run(report: RunReport, output: str, *, is_last: bool) -> None:
    if output == JSON:
        print_json(report.to_document())
        return
    from costbatch.cli.run_view import render_run  # noqa: PLC0415 - programs do not pay for tables

    render_run(report, standard_output(), is_last=is_last)


def _tell_withheld_warnings(progress: TerminalProgress | QuietProgress) -> None:
    """Name the warnings that a terminal did not show and the summary does not tell."""
    events = {event: n for event, n in sorted(withheld_warnings().items()) if event not in _TOLD_BY_SUMMARY}
    if events:
        counts = ", ".join(f"{number:,} {event}" for event, number in events.items())
        progress.say(f"Warnings that are not shown: {counts}. Run with -v to see the log.")


def _leave_at_once(
    progress: TerminalProgress | QuietProgress, give_up: Callable[[], None], again: str
) -> None:
    """Leave the terminal as it was and the run's record true: the process was asked twice to end."""
    progress.end()
    try:
        give_up()
    except CostbatchError:
        left = "the database did not respond; its accounts stay claimed until their lease expires"
    else:
        left = "requests in flight were abandoned"
    say_last(f"STOPPED at once: {left}. To continue: {again}")


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
