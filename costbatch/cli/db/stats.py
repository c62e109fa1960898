"""``costbatch db stats``."""

import click

from costbatch.application.inspection import DatabaseSizes, MonthSize, TableSize
from costbatch.cli.context import Context, pass_context
from costbatch.cli.db.shared import many, size
from costbatch.cli.lazy import example
from costbatch.cli.output import JSON, output_option, print_json, print_table
from costbatch.domain.periods import utc_day

_TABLE_COLUMNS = ("table", "rows, about", "dead", "data", "indexes", "total", "vacuumed")
_MONTH_COLUMNS = ("month", "rows, about", "size", "bytes per row")


@click.command(epilog=example("costbatch db stats", "costbatch db stats --output json"))
@output_option
@pass_context
def stats(context: Context, output: str) -> None:
    """Show how large the tables and the months of costs are, how they grow, and how large they will be.

    Rows are PostgreSQL's own estimates; nothing large is counted. A role that may only read can run it.
    """
    settings = context.settings()
    sizes = context.wire(settings, context.now).sizes().sizes(utc_day(context.now()))
    if output == JSON:
        print_json(sizes.to_document(keep_months=settings.keep_months))
        return
    print_table(_TABLE_COLUMNS, map(_table_row, sizes.tables), numbers=_TABLE_COLUMNS[1:6])
    click.echo()
    if sizes.months:
        print_table(_MONTH_COLUMNS, map(_month_row, sizes.months), numbers=_MONTH_COLUMNS[1:])
        click.echo()
    for sentence in _sentences(sizes, settings.keep_months):
        click.echo(sentence)


def _table_row(table: TableSize) -> tuple[object, ...]:
    # As psql's \dt+ has it: what TOAST keeps of long values belongs to a table's data.
    parts = (table.table_bytes + table.toast_bytes, table.index_bytes, table.total_bytes)
    vacuumed_on = utc_day(table.vacuumed_at) if table.vacuumed_at else None
    return (table.name, f"{table.rows:,}", f"{table.dead_rows:,}", *map(size, parts), vacuumed_on)


def _month_row(month: MonthSize) -> tuple[object, ...]:
    return (f"{month.month:%Y-%m}", f"{month.rows:,}", size(month.bytes), month.bytes_per_row)


def _sentences(sizes: DatabaseSizes, keep_months: int | None) -> list[str]:
    found = f"The database takes {size(sizes.database_bytes)}, with {many(sizes.accounts, 'account')}"
    rows = sizes.rows_per_account_and_day
    sentences = [f"{found}." if rows is None else f"{found} of {rows:g} rows a day each."]
    growth, projected = sizes.growth, sizes.projected_bytes(keep_months=keep_months)
    if growth is None or projected is None:
        return [*sentences, "How it grows shows once a whole month is stored."]
    kept = "everything" if keep_months is None else many(keep_months, "month")
    others = f"{size(growth.other_bytes)} of it beside the costs"
    return [
        *sentences,
        f"A month adds {many(growth.rows, 'cost row')} and {size(growth.bytes)}, {others}.",
        f"In 12 months it will take about {size(projected)}, with {kept} kept.",
    ]
