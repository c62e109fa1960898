"""What every job's command does: options, the run with its signals, the report, the exit status."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import Any, Generic, Protocol, TypeVar
from uuid import uuid4

import click
from rich.console import Console

from costbatch.cli.exit_status import ExitStatus
from costbatch.cli.options import JSON, RunKey, Seconds, output_option
from costbatch.cli.output import print_json, print_last_line, standard_error, standard_output
from costbatch.cli.process import RECORD_SECONDS, StopSignals
from costbatch.cli.views.progress import QuietProgress, TerminalProgress, make_progress
from costbatch.cli.views.run import closing_sentence
from costbatch.config import FailOn, Settings
from costbatch.domain.accounts import parse_account_id
from costbatch.domain.reports import JobWords, RunReport
from costbatch.domain.runs import RunRequest, RunStatus
from costbatch.errors import ConfigError, CostbatchError
from costbatch.logs import get_logger, withheld_warnings
from costbatch.timeout import within

F = TypeVar("F", bound=Callable[..., object])
P = TypeVar("P", bound=RunReport)
P_co = TypeVar("P_co", bound=RunReport, covariant=True)
P_contra = TypeVar("P_contra", bound=RunReport, contravariant=True)
Q = TypeVar("Q", bound="Plan")
log = get_logger(__name__)

# The log events whose content the summary or the closing sentence repeats.
_IN_SUMMARY = frozenset(
    {
        "account_failed",
        "claims_released",
        "api_cost_cap_reached",
        "deadline_reached",
        "events_not_delivered",
        "stopping",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options that every job's command has, as click has converted them."""

    accounts: tuple[str, ...]
    concurrency: int | None
    run_key: str | None
    fail_on: str | None
    deadline: float | None
    verbose: bool
    dry_run: bool
    output: str

    @property
    def aws_account_ids(self) -> tuple[str, ...]:
        """The accounts that were asked for, each once.

        Raises:
            ConfigError: one is no account id.

        """
        try:
            return tuple(sorted({parse_account_id(account) for account in self.accounts}))
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def repeated(self) -> tuple[str, ...]:
        """Return the options that continuing the run takes besides what its request holds."""
        return ("--fail-on", self.fail_on) if self.fail_on else ()

    def override(self, settings: Settings) -> Settings:
        """Return the settings, replaced by those of the command line."""
        return replace(
            settings,
            concurrency=self.concurrency or settings.concurrency,
            run_key=self.run_key or settings.run_key,
            fail_on=FailOn(self.fail_on) if self.fail_on else settings.fail_on,
            deadline_seconds=self.deadline or settings.deadline_seconds,
        )


def run_options(words: JobWords, *, dry_run: str) -> Callable[[F], F]:
    """Return a decorator that adds the options of every job; dry_run: the help of ``--dry-run``."""
    options = (
        click.option(
            "--account",
            "accounts",
            multiple=True,
            metavar="ID",
            help=f"{words.name.capitalize()} only this account; may be repeated.",
        ),
        click.option(
            "--concurrency", type=click.IntRange(1, 256), help="Accounts to fetch at the same time."
        ),
        click.option(
            "--run-key", type=RunKey(), help="Join or start the run with this key.  [default: a new run]"
        ),
        click.option(
            "--fail-on",
            type=click.Choice([each.value for each in FailOn]),
            help=f"Exit non-zero if no account was {words.done} (total) or if any failed (partial).",
        ),
        click.option(
            "--deadline",
            type=Seconds("0", "604800", above=True),
            metavar="SECONDS",
            help="Start no more accounts after this many seconds from the start of the run; if a process "
            "resumes the run later than that, from the start of that process. To resume, use the same "
            "--run-key.",
        ),
        click.option("--verbose", "-v", is_flag=True, help="Also show the log on a terminal."),
        click.option("--dry-run", is_flag=True, help=dry_run),
        output_option,
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


class Plan(Protocol):
    """What a dry run shows."""

    def to_document(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""


class Night(Protocol[P_co]):
    """A night of a job, as ``bootstrap`` builds it."""

    def run(self, key: str, request: RunRequest) -> P_co:
        """Do the night's work."""

    def give_up(self, key: str) -> None:
        """Record that the run is stopped."""


class MakeNight(Protocol[P_co]):
    """Returns a night, told when to stop, where to show progress, and whether its report lists everything."""

    def __call__(
        self, *, stop: Event, display: TerminalProgress | QuietProgress, every_account: bool
    ) -> Night[P_co]:
        """Return the night."""


class PrintReport(Protocol[P_contra]):
    """Prints a report; is_last: whether nothing is printed after it."""

    def __call__(self, report: P_contra, console: Console, /, *, is_last: bool) -> None:
        """Print it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCommand(Generic[P, Q]):
    """What a job's command has of its own.

    plan: returns what a dry run shows. resume: returns the command that continues a run, with these options.
    """

    words: JobWords
    plan: Callable[[RunRequest], Q]
    print_plan: Callable[[Q, Console], None]
    nightly: MakeNight[P]
    print_report: PrintReport[P]
    resume: Callable[[str, RunRequest, Sequence[str]], str]


def run_job(
    ctx: click.Context, options: RunOptions, settings: Settings, request: RunRequest, job: JobCommand[P, Q]
) -> None:
    """Show the plan of a dry run; or run the job, print its report, and exit with its status."""
    if settings.key_weakness:
        log.warning("encryption_key_is_weak", reason=settings.key_weakness)
    as_json = options.output == JSON
    if options.dry_run:
        plan = job.plan(request)
        if as_json:
            print_json(plan.to_document())
        else:
            job.print_plan(plan, standard_output())
        return
    key = settings.run_key or str(uuid4())
    progress = make_progress(standard_error(), job.words)
    resume = job.resume(key, request, options.repeated())

    def acknowledge(signal_name: str) -> None:
        log.warning("stopping", signal=signal_name)
        progress.print(
            f"Stopping: accounts in flight have {settings.grace_seconds:g} s to finish. "
            f"Press Ctrl-C again to stop at once.\nTo continue: {resume}"
        )

    with StopSignals(acknowledge=acknowledge) as signals:
        nightly = job.nightly(stop=signals.stop, display=progress, every_account=as_json)
        signals.give_up = lambda: _stop_at_once(progress, partial(nightly.give_up, key), resume)
        report = nightly.run(key, request)
    status = _exit_status(report.run.status, settings.fail_on, signals.received)
    if as_json:
        print_json(report.to_document())
    else:
        job.print_report(report, standard_output(), is_last=not status)
    _print_withheld_warnings(progress)
    if status:
        # `kubectl describe` shows the end of a failed pod's log, where a closing brace says nothing.
        print_last_line(closing_sentence(report, resume))
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
        within(RECORD_SECONDS, give_up)
    except (CostbatchError, TimeoutError):
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
