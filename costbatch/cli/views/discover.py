"""What ``discover`` prints: the plan of a dry run; or how a run ended, its accounts and what changed."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from costbatch.cli.views.page import TEXT_WIDTH, Page, duration
from costbatch.cli.views.run import (
    STATE_STYLES,
    STATUS_STYLES,
    headline,
    nothing_planned,
    outcomes,
    print_accounts,
    print_end,
    print_problems,
    problem_of,
    resume_command,
)
from costbatch.domain.discover_report import WORDS, DiscoverReport, Discovery, DiscoveryPlan
from costbatch.domain.discovery import DiscoverOptions
from costbatch.domain.plural import many
from costbatch.domain.runs import ItemRecord, RunRequest


def print_plan(plan: DiscoveryPlan, console: Console) -> None:
    """Print which accounts a run would discover."""
    page = Page(console)
    if not plan.discoveries:
        page.line(nothing_planned(WORDS, plan.resumes))
        return
    page.line(f"Dry run: would discover {many(len(plan.discoveries), 'account')}.", "bold")
    page.line("No requests were made and nothing was written.", "dim")
    table = page.account_table()
    table.add_column("Source", no_wrap=True)
    table.add_column("Last discovered", no_wrap=True)
    table.add_column("Resources", justify="right", no_wrap=True)
    for planned in plan.discoveries:
        stored = planned.stored
        table.add_row(
            planned.account.aws_account_id,
            page.name(planned.account.name),
            planned.choice.value,
            f"{stored.discovered_at:%Y-%m-%d %H:%M}" if stored else "never",
            f"{stored.resources:,}" if stored else "-",
        )
    page.show(table)


def print_run(report: DiscoverReport, console: Console, *, is_last: bool = True) -> None:
    """Print what a run did. is_last: whether no closing sentence is printed after it."""
    page = Page(console)
    page.line(f" {headline(report)} ", STATUS_STYLES[report.run.status])
    page.line(f"Run {report.run.key}, took {duration(report.duration_seconds)}", "dim")
    print_accounts(
        report,
        page,
        texts=("Outcome", "Source"),
        numbers=("Regions", "Resources", "New", "Changed", "Gone"),
        rows=[(each.item, _values(each)) for each in report.discoveries],
    )
    print_problems(_problems(report.discoveries), page)
    _print_totals(report, page)
    if is_last:
        print_end(report, page)


def discover_command(key: str, request: RunRequest, options: Sequence[str] = ()) -> str:
    """Return the command that continues a stopped run; options: those that every job's command has."""
    source = DiscoverOptions.of(request).source
    return resume_command(key, request, [*(["--source", source.value] if source else []), *options])


def _values(discovery: Discovery) -> Iterator[str | Text]:
    item, record = discovery.item, discovery.record
    is_partial = record is not None and record.is_partial
    yield Text(discovery.state, "yellow" if is_partial else STATE_STYLES[item.state])
    if record is None:
        yield from ("-", "-", "-", "-", "-", "-")
    else:
        change, regions = record.change, record.regions_read + len(record.failed)
        yield record.source.value
        yield f"{record.regions_read:,} of {regions:,}" if is_partial else f"{regions:,}"
        yield f"{record.resources:,}"
        yield f"{change.inserted + change.returned:,}"
        yield f"{change.updated:,}"
        yield f"{change.gone:,}"


def _problems(discoveries: Sequence[Discovery]) -> Iterator[tuple[str, str, ItemRecord]]:
    for discovery in discoveries:
        if problem := problem_of(discovery.item):
            yield *problem, discovery.item
        for region, failure in sorted(discovery.record.failed.items()) if discovery.record else ():
            yield f"warning: {region} not read: {failure.kind.value}", failure.message, discovery.item


def _print_totals(report: DiscoverReport, page: Page) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold", max_width=TEXT_WIDTH)
    counts = report.discovered
    ended = outcomes(report)
    if counts.partial_accounts:
        ended.append(f"{counts.partial_accounts:,} of them without all regions")
    change = counts.change
    failed = f", {counts.regions_failed:,} failed" if counts.regions_failed else ""
    grid.add_row("Accounts", ", ".join(ended) or "none")
    grid.add_row("Regions", f"{counts.regions_read:,} read{failed}")
    grid.add_row(
        "Resources",
        f"{counts.resources:,} found ({change.inserted:,} new, {change.updated:,} changed, "
        f"{change.returned:,} back, {change.gone:,} gone)",
    )
    grid.add_row("Time", duration(report.duration_seconds))
    first = {name: report.event_counts.get(f"{name}.first_used", 0) for name in ("region", "service")}
    if any(first.values()):
        uses = " and ".join(many(number, name) for name, number in first.items() if number)
        grid.add_row(
            "First use", f"of {uses}: see the events {' and '.join(f'{n}.first_used' for n in first)}"
        )
    if report.events_pending:
        grid.add_row("Events", f"{report.events_pending:,} not delivered yet")
    page.blank()
    page.console.print(grid)
