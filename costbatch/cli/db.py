"""``costbatch db``: create and upgrade the schema, drop old months, and show sizes."""

import click

from costbatch.application.inspection import DatabaseSizes
from costbatch.application.retention import OldRows, Pruning
from costbatch.cli.context import Context, pass_context
from costbatch.cli.options import JSON, Months, example, output_option
from costbatch.cli.output import print_json, print_result, print_table, standard_output
from costbatch.config import PREFIX
from costbatch.domain.periods import utc_day
from costbatch.domain.plural import many
from costbatch.errors import ConfigError, StorageError

# What one and several old rows of a kind are called.
NOUNS = {
    OldRows.RUN_ITEMS: ("run item", "run items"),
    OldRows.RUNS: ("run", "runs"),
    OldRows.EVENTS: ("event", "events"),
    OldRows.RESOURCES: ("gone resource", "gone resources"),
    OldRows.COST_VERSIONS: ("cost version", "cost versions"),
    OldRows.ANOMALIES: ("anomaly", "anomalies"),
}
_TABLE_COLUMNS = ("table", "rows, about", "dead", "data", "indexes", "total", "vacuumed")
_MONTH_COLUMNS = ("month", "rows, about", "size", "bytes per row")
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_STEP = 1024


@click.group(epilog=example("costbatch db upgrade", "costbatch db stats"))
def db() -> None:
    """Create and upgrade the schema, drop old months, and show sizes.

    DATABASE_URL names the database. For `upgrade` and `prune` its role must own the tables.
    """


@db.command(short_help="Create or upgrade the schema.", epilog=example("costbatch db upgrade"))
@output_option
@pass_context
def upgrade(context: Context, output: str) -> None:
    """Create the schema, or upgrade it to the revision that this version needs.

    Safe to repeat and to run in parallel: the processes take turns. An upgrade succeeds whole or not at all.
    """
    before, after = context.bootstrap().schema().upgrade()
    sentence = (
        f"Schema is up to date ({after})."
        if before == after
        else f"Upgraded the schema from {before or 'nothing'} to {after}."
    )
    print_result(sentence, {"from": before, "to": after}, output)


@db.command(
    short_help="Show the schema's revision and the needed one.",
    epilog=example("costbatch db current --output json"),
)
@output_option
@pass_context
def current(context: Context, output: str) -> None:
    """Show which revision the database has, and which one this version needs."""
    schema = context.bootstrap().schema()
    found, needed = schema.current(), schema.needed
    sentence = f"The database is at {found or 'no revision'}; this version needs {needed}."
    print_result(sentence, {"current": found, "needed": needed}, output)


@db.command(short_help="Compare the schema with what is needed.", epilog=example("costbatch db check"))
@output_option
@pass_context
def check(context: Context, output: str) -> None:
    """Compare the schema with what this version needs, including every column and comment.

    Exits with 2 if it differs, if there are no tables yet, or if `costbatch db upgrade` is due.
    """
    schema = context.bootstrap().schema()
    differences = schema.differences()
    if differences:
        raise ConfigError(
            "The schema differs from what this version declares: it was changed by hand.",
            *differences,
        )
    print_result(f"The schema is at {schema.needed} and as declared.", {"differences": []}, output)


@db.command(
    short_help="Drop months and records past retention.",
    epilog=example('costbatch db prune --keep "37 months" --dry-run', "costbatch db prune --keep 3years"),
)
@click.option(
    "--keep",
    "keep_months",
    type=Months(),
    help=f"Whole months to keep before the current one.  [default: {PREFIX}KEEP_MONTHS]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be dropped; change nothing.")
@output_option
@pass_context
def prune(context: Context, /, *, keep_months: int | None, dry_run: bool, output: str) -> None:
    """Drop the months of costs that are past retention, and the records that belong to them.

    These records are runs, events without a pending delivery or an open anomaly, resolved anomalies, gone
    resources and those of removed accounts, from before the first month that is kept. Months are dropped
    whole and instantly, other rows in small batches, so runs and queries are not blocked. It can be
    interrupted and run again.

    Exits with 1 if a lock of another transaction kept a month from being dropped, and 2 if the role may not
    drop it.
    """
    settings = context.settings()
    months = settings.keep_months if keep_months is None else keep_months
    if months is None:
        raise ConfigError(
            f'How much to keep is not set: pass --keep "37 months", or set {PREFIX}KEEP_MONTHS.'
        )
    if keep_months is not None and (problem := settings.keep_problem("--keep", months)):
        raise ConfigError(problem)
    retention = context.wire(settings, context.now).retention(months)
    today = utc_day(context.now())
    pruning = retention.look(today) if dry_run else retention.prune(today)
    if output == JSON:
        print_json({"dry_run": dry_run, "keep_months": months, **pruning.to_document()})
    else:
        _print_pruning(pruning, dry_run=dry_run)
    if pruning.held_up:
        raise StorageError(
            f"{many(len(pruning.held_up), 'month')} could not be dropped, because another transaction "
            "held a lock; run `costbatch db prune` again later."
        )


def _print_pruning(pruning: Pruning, *, dry_run: bool) -> None:
    if pruning.is_empty:
        click.echo(f"There is nothing to drop from before {pruning.first_kept}.")
        return
    if pruning.months:
        rows = [(f"{each.month:%Y-%m}", f"{each.rows:,}", size(each.bytes)) for each in pruning.months]
        print_table(("month", "rows, about", "size"), rows, numbers=("rows, about", "size"))
        click.echo()
    dropped = size(sum(month.bytes for month in pruning.months))
    verb = "Would drop" if dry_run else "Dropped"
    click.echo(f"{verb} {many(len(pruning.months), 'month')} from before {pruning.first_kept}: {dropped}.")
    counts = [f"{pruning.rows[kind]:,} {nouns[pruning.rows[kind] != 1]}" for kind, nouns in NOUNS.items()]
    verb = "Would delete" if dry_run else "Deleted"
    # On a terminal it may take more than one line.
    standard_output().print(f"{verb} {', '.join(counts[:-1])} and {counts[-1]}.", markup=False)
    verb = "would begin" if dry_run else "begin"
    click.echo(f"The stored days of {many(pruning.accounts, 'account')} {verb} on {pruning.first_kept}.")


@db.command(
    short_help="Show sizes, growth and a forecast.",
    epilog=example("costbatch db stats", "costbatch db stats --output json"),
)
@output_option
@pass_context
def stats(context: Context, output: str) -> None:
    """Show the size of each table and month of costs, their growth, and the size in 12 months.

    Row counts are PostgreSQL's estimates; no large table is scanned. A read-only role suffices.
    """
    settings = context.settings()
    sizes = context.wire(settings, context.now).sizes().sizes(utc_day(context.now()))
    if output == JSON:
        print_json(sizes.to_document(keep_months=settings.keep_months))
        return
    tables = [
        (
            each.name,
            f"{each.rows:,}",
            f"{each.dead_rows:,}",
            # As in psql's \dt+: long values in TOAST belong to a table's data.
            size(each.table_bytes + each.toast_bytes),
            size(each.index_bytes),
            size(each.total_bytes),
            utc_day(each.vacuumed_at) if each.vacuumed_at else None,
        )
        for each in sizes.tables
    ]
    print_table(_TABLE_COLUMNS, tables, numbers=_TABLE_COLUMNS[1:6])
    click.echo()
    if sizes.months:
        months = [
            (f"{each.month:%Y-%m}", f"{each.rows:,}", size(each.bytes), each.bytes_per_row)
            for each in sizes.months
        ]
        print_table(_MONTH_COLUMNS, months, numbers=_MONTH_COLUMNS[1:])
        click.echo()
    for sentence in _size_sentences(sizes, settings.keep_months):
        click.echo(sentence)


def _size_sentences(sizes: DatabaseSizes, keep_months: int | None) -> list[str]:
    found = f"The database takes {size(sizes.database_bytes)}, with {many(sizes.accounts, 'account')}"
    rows = sizes.rows_per_account_and_day
    sentences = [f"{found}." if rows is None else f"{found} of {rows:g} rows a day each."]
    growth, projected = sizes.growth, sizes.projected_bytes(keep_months=keep_months)
    if growth is None or projected is None:
        return [*sentences, "Growth estimates need one full month of data."]
    kept = "everything" if keep_months is None else many(keep_months, "month")
    others = f"{size(growth.other_bytes)} of that outside daily_costs"
    return [
        *sentences,
        f"A month adds {many(growth.rows, 'cost row')} and {size(growth.bytes)}, {others}.",
        f"In 12 months it will take about {size(projected)}, with {kept} kept.",
    ]


def size(number: int) -> str:
    """Return a number of bytes as "12.3 MB", in PostgreSQL's units of 1,024."""
    value, unit = float(number), 0
    while abs(value) >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{value:,.1f} {_UNITS[unit]}" if unit else f"{number:,} {_UNITS[0]}"
