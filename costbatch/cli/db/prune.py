"""``costbatch db prune``."""

import click

from costbatch.application.retention import OldRows, Pruning
from costbatch.cli.context import Context, pass_context
from costbatch.cli.db.shared import many, size
from costbatch.cli.lazy import example
from costbatch.cli.options import Months
from costbatch.cli.output import JSON, output_option, print_json, print_table
from costbatch.config import PREFIX, Settings
from costbatch.domain.periods import utc_day
from costbatch.domain.retention import keep_problem
from costbatch.errors import ConfigError, StorageError

_NOUNS = {
    OldRows.RUN_ITEMS: "run item",
    OldRows.RUNS: "run",
    OldRows.EVENTS: "event",
}


@click.command(
    epilog=example('costbatch db prune --keep "37 months" --dry-run', "costbatch db prune --keep 3years")
)
@click.option(
    "--keep",
    "keep_months",
    type=Months(),
    help=f"How many whole months before the current one stay.  [default: {PREFIX}KEEP_MONTHS]",
)
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
@output_option
@pass_context
def prune(context: Context, /, *, keep_months: int | None, dry_run: bool, output: str) -> None:
    """Drop the months of costs that are older than what is kept, and what belongs to them.

    With a month go the runs, delivered events and anomalies from before it; what is open or undelivered
    stays. Whole months are dropped, which takes an instant each, and old rows go in small batches: runs and
    queries go on meanwhile. It can be stopped anywhere and run again.

    Exits with 1 where somebody's transaction kept a month from being dropped, and 2 where the role may not.
    """
    settings = context.settings()
    months = _months_to_keep(settings, keep_months)
    retention = context.wire(settings, context.now).retention(months)
    today = utc_day(context.now())
    pruning = retention.look(today) if dry_run else retention.prune(today)
    if output == JSON:
        print_json({"dry_run": dry_run, "keep_months": months, **pruning.to_document()})
    else:
        _show(pruning, dry_run=dry_run)
    if pruning.held_up:
        raise StorageError(
            f"{many(len(pruning.held_up), 'month')} could not be dropped, because somebody's transaction "
            "kept daily_costs or accounts locked all the time; run `costbatch db prune` again later."
        )


def _months_to_keep(settings: Settings, given: int | None) -> int:
    if given is None:
        if settings.keep_months is None:
            raise ConfigError(f'Say how much is to stay: --keep "37 months", or set {PREFIX}KEEP_MONTHS.')
        return settings.keep_months
    if problem := keep_problem("--keep", given, policy=settings.window_policy, rule=settings.rule):
        raise ConfigError(problem)
    return given


def _show(pruning: Pruning, *, dry_run: bool) -> None:
    if pruning.is_empty:
        click.echo(f"There is nothing from before {pruning.first_kept}.")
        return
    if pruning.months:
        rows = [(f"{each.month:%Y-%m}", f"{each.rows:,}", size(each.bytes)) for each in pruning.months]
        print_table(("month", "rows, about", "size"), rows, numbers=("rows, about", "size"))
        click.echo()
    taken = size(sum(month.bytes for month in pruning.months))
    verb = "Would drop" if dry_run else "Dropped"
    click.echo(f"{verb} {many(len(pruning.months), 'month')} from before {pruning.first_kept}: {taken}.")
    counts = [many(pruning.rows[kind], noun) for kind, noun in _NOUNS.items()]
    anomalies = pruning.rows[OldRows.ANOMALIES]
    counts.append("1 anomaly" if anomalies == 1 else f"{anomalies:,} anomalies")
    verb = "Would delete" if dry_run else "Deleted"
    click.echo(f"{verb} {', '.join(counts[:-1])} and {counts[-1]}.")
    verb = "would begin" if dry_run else "begin"
    click.echo(f"The stored days of {many(pruning.accounts, 'account')} {verb} on {pruning.first_kept}.")
