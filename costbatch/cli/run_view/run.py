"""What ``collect`` shows at its end: the verdict, the accounts, what went wrong, totals, open anomalies."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from costbatch.cli.output import many
from costbatch.cli.run_view.anomalies import render_anomalies
from costbatch.cli.run_view.costs import render_costs
from costbatch.cli.run_view.page import TEXT_WIDTH, Page, amount, days_text, duration, money
from costbatch.cli.verdict import closing_sentence, verdict
from costbatch.domain.reports import Collection, RunReport
from costbatch.domain.runs import ItemState, RunStatus, SkipReason

_STATE_STYLES = {
    ItemState.SUCCEEDED: "green",
    ItemState.FAILED: "bold red",
    ItemState.SKIPPED: "yellow",
    ItemState.PENDING: "yellow",
    ItemState.RUNNING: "yellow",
}
_VERDICT_STYLES = {
    RunStatus.COMPLETED: "bold green",
    RunStatus.PARTIAL: "bold black on yellow",
    RunStatus.FAILED: "bold white on red",
    RunStatus.STOPPED: "bold black on yellow",
    RunStatus.RUNNING: "bold yellow",
}
_SKIP_SENTENCES = {
    SkipReason.API_COST_CAP: "The run's cap on API cost was reached; the next run collects them.",
    SkipReason.NOT_ACTIVE: "Paused or removed since the run began.",
}
_KEPT_SENTENCE = (
    "AWS no longer reports the first days of the window, as for an account that joined an organization; "
    "what is stored of them was kept. If their cost is really gone, remove it with "
    "`costbatch collect --account ID --accept-vanished`."
)


def render_run(report: RunReport, console: Console, *, is_last: bool = True) -> None:
    """Print what a run did. is_last: whether nothing follows that says how it ended."""
    page = Page(console)
    _say(verdict(report), report, page)
    took = duration(report.duration_seconds)
    read = report.collected.days_read
    days = f"Read {days_text(read)}" if read else "No days were read"
    page.line(f"{days}, run {report.run.key}, took {took}", "dim")
    _accounts(report, page)
    _problems(report.collections, page)
    render_costs(report.cost_summary, page)
    _totals(report, page)
    render_anomalies(report, page)
    if is_last and report.run.status is not RunStatus.COMPLETED:
        # Where the eye rests when all is printed, what is wrong stands once more.
        page.blank()
        _say(closing_sentence(report), report, page)


def _say(sentence: str, report: RunReport, page: Page) -> None:
    page.line(f" {sentence} ", _VERDICT_STYLES[report.run.status])


def _accounts(report: RunReport, page: Page) -> None:
    if report.collections:
        table = page.account_table()
        table.add_column("Outcome", no_wrap=True)
        for name in ("Days", "Rows\nfetched", "Rows\nwritten", "API\ncalls", "API\nUSD", "Time\n(s)"):
            table.add_column(name, justify="right", no_wrap=True)
        for collection in report.collections:
            table.add_row(*_account_row(collection, page))
        page.show(table)
    if hidden := report.counts.count() - len(report.collections):
        page.blank()
        page.line(f"{many(hidden, 'account')} collected and not listed.", "green")


def _account_row(collection: Collection, page: Page) -> Iterator[str | Text]:
    item, record = collection.item, collection.record
    yield item.aws_account_id
    yield page.name(item.name)
    yield Text(collection.state, _STATE_STYLES[item.state])
    if record is None:
        yield from ("-", "-", "-")
    else:
        change = record.change
        yield f"{len(record.window):,}"
        yield f"{record.rows_fetched:,}"
        yield f"{change.inserted + change.updated + change.deleted:,}"
    yield f"{item.api_requests:,}"
    yield amount(collection.api_cost_usd, "USD")
    yield "-" if item.duration_seconds is None else f"{item.duration_seconds:,.1f}"


def _problems(collections: Sequence[Collection], page: Page) -> None:
    """Print why accounts were not collected, or not whole: each reason once, with its accounts."""
    unsorted = ((*_reason(one), one.item.aws_account_id, one.item.name) for one in collections)
    explained = sorted(reason for reason in unsorted if reason[0])
    for (label, sentence), group in groupby(explained, key=lambda reason: reason[:2]):
        accounts = [f"{aws_account_id} {name}" for _, _, aws_account_id, name in group]
        style = "bold red" if label.startswith("failed") else "bold yellow"
        page.blank()
        page.line(f"{label} ({many(len(accounts), 'account')})", style)
        page.line(", ".join(accounts), indent=2)
        page.line(sentence, indent=2)


def _reason(collection: Collection) -> tuple[str, str]:
    """Return a label and a sentence, or two empty texts where there is nothing to explain."""
    item = collection.item
    if item.failure and item.state is ItemState.FAILED:
        return f"failed: {item.failure.kind.value}", item.failure.message
    if collection.record and collection.record.days_kept:
        return "warning: stored days kept", _KEPT_SENTENCE
    if item.skip_reason and item.state is ItemState.SKIPPED:
        return f"skipped: {item.skip_reason.value}", _SKIP_SENTENCES[item.skip_reason]
    return "", ""


def _totals(report: RunReport, page: Page) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold", max_width=TEXT_WIDTH)
    for label, value in _total_lines(report):
        grid.add_row(label, value)
    page.blank()
    page.console.print(grid)


def _total_lines(report: RunReport) -> Iterable[tuple[str, str]]:
    summary = report.summary
    rows, found = summary["rows"], summary["anomalies"]
    outcomes = (f"{n:,} {outcome}" for outcome, n in summary["accounts"].items() if outcome != "total" and n)
    changes = f"{rows['inserted']:,} new, {rows['updated']:,} restated, {rows['deleted']:,} deleted"
    written = rows["inserted"] + rows["updated"] + rows["deleted"]
    yield "Accounts", ", ".join(outcomes) or "none"
    yield "Rows", f"{rows['fetched']:,} fetched, {written:,} written ({changes})"
    # Without an answer it cannot be known whether AWS charges.
    most = "at most " if report.counts.unanswered else ""
    requests = many(report.counts.api_requests, "request")
    yield "API", f"{most}{requests}, {money(report.api_cost_usd, 'USD')}"
    yield "Time", duration(report.duration_seconds)
    changes = f"{found['detected']:,} detected, {found['updated']:,} updated, {found['resolved']:,} resolved"
    yield "Anomalies", f"{found['open']:,} open ({changes})"
    if report.events_pending:
        yield "Events", f"{report.events_pending:,} still to be delivered"
