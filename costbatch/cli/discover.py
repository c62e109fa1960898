"""``costbatch discover``: the nightly run of the discovery job, or a dry run of it."""

from dataclasses import dataclass

import click

from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import example
from costbatch.cli.running import JobCommand, RunOptions, run_job, run_options
from costbatch.cli.views.discover import discover_command, print_plan, print_run
from costbatch.domain.discover_report import WORDS
from costbatch.domain.discovery import DiscoverOptions
from costbatch.domain.resources import SourceChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options(RunOptions):
    """The command line, as click has converted it."""

    source: str | None


@click.command(
    epilog=example(
        "costbatch discover",
        "costbatch discover --account 123456789012 --source tagging",
        "costbatch discover --dry-run --output json",
    )
)
@click.option(
    "--source",
    type=click.Choice([each.value for each in SourceChoice]),
    help="The API to read in this run.  [default: COSTBATCH_RESOURCE_SOURCE]",
)
@run_options(WORDS, dry_run="Show which accounts would be read; make no requests.")
@pass_context
@click.pass_context
def discover(ctx: click.Context, context: Context, /, **options: object) -> None:
    """Discover the resources of every active account, in all its enabled regions, with their tags.

    Reads Resource Explorer if the account has a view of all its regions, else the Resource Groups Tagging
    API, which does not list resources that never had a tag. AWS charges nothing for this.

    If a region fails, the others are still read, and no resource of the failed one counts as gone.

    Press Ctrl-C to stop in order: the accounts in flight finish, and the command to continue is printed.
    Press it again to stop at once.

    Exits with 0 if all or some accounts were discovered, or if there were none. Exits with 1 if no account
    was discovered or the database was lost, 2 on wrong usage, and 3 if some accounts failed and --fail-on is
    partial. Exits with 130 if stopped by Ctrl-C, and 143 if stopped by SIGTERM or the deadline.
    """
    asked = _Options(**options)  # type: ignore[arg-type] # click has converted each by its declaration
    settings = asked.override(context.settings(verbose=asked.verbose))
    bootstrap = context.wire(settings, context.now)
    source = SourceChoice(asked.source) if asked.source else None
    job = JobCommand(
        words=WORDS,
        plan=bootstrap.plan_discover,
        print_plan=print_plan,
        nightly=bootstrap.discover,
        print_report=print_run,
        resume=discover_command,
    )
    run_job(ctx, asked, settings, DiscoverOptions(source=source).to_request(asked.aws_account_ids), job)
