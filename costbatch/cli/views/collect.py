"""What ``collect`` prints: the plan of a dry run; or how a run ended, its accounts, costs and anomalies."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from costbatch.cli.views.anomalies import print_anomalies
from costbatch.cli.views.page import TEXT_WIDTH, Page, days_text, duration
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
from costbatch.domain.causes import MOST_CAUSE_PAGES
from costbatch.domain.collect_report import WORDS, Collection, CollectReport
from costbatch.domain.collection import CollectOptions
from costbatch.domain.compared_costs import Change, ComparedCost, CostSummary
from costbatch.domain.costs import REQUEST_PRICE_USD
from costbatch.domain.money import amount, money
from costbatch.domain.plans import CollectionPlan, PlannedCauses
from costbatch.domain.plural import many
from costbatch.domain.runs import ItemRecord, ItemState, RunRequest, SkipReason

_KEPT_SENTENCE = (
    "AWS no longer reports the first days of the window, as happens when an account joins an organization. "
    "Their stored costs were kept; to remove them, run "
    "`costbatch collect --account ID --accept-vanished`."
)
# The next night begins with the account, but does not read the days of a backfill.
_CAPPED_BACKFILL = (
    "The run reached its cap on API cost; to read these days, repeat the command with --account."
)


def print_plan(plan: CollectionPlan, console: Console) -> None:
    """Print what a run would collect and what AWS would charge for it."""
    page = Page(console)
    if not plan.collections:
        page.line(nothing_planned(WORDS, plan.resumes))
        if plan.resumes and plan.root_causes is not None:
            page.line(_root_causes(plan.root_causes))
        return
    accounts, needed = many(len(plan.collections), "account"), plan.needed_requests
    least = "at least " if plan.is_least else ""
    planned = f"Dry run: would collect {accounts} in {least}{_requests(needed)}"
    if plan.api_requests == needed:
        page.line(f"{planned}.", "bold")
    else:
        page.line(f"{planned}, but the cap on API cost leaves {_requests(plan.api_requests)}.", "bold")
        later = ", and are the first of the next run."
        if plan.is_backfill:
            later = "; to read these days of them, repeat the command with --account."
        page.line(f"The accounts that it leaves out are skipped{later}")
    if plan.root_causes is not None:
        page.line(_root_causes(plan.root_causes))
    page.line("No requests were made and nothing was written.", "dim")
    table = page.account_table()
    table.add_column("First day", no_wrap=True)
    table.add_column("Last day", no_wrap=True)
    table.add_column("Days", justify="right", no_wrap=True)
    table.add_column("Requests", justify="right", no_wrap=True)
    for each in plan.collections:
        table.add_row(
            each.account.aws_account_id,
            page.name(each.account.name),
            str(each.window.start),
            str(each.window.last),
            f"{len(each.window):,}",
            f"{each.api_requests:,}",
        )
    page.show(table)


def _requests(number: int) -> str:
    return f"{many(number, 'request')} ({money(number * REQUEST_PRICE_USD, 'USD')})"


def _root_causes(planned: PlannedCauses) -> str:
    most, most_price = planned.most_api_requests, money(planned.most_api_requests * REQUEST_PRICE_USD, "USD")
    sentence = (
        f"Root causes (COSTBATCH_ROOT_CAUSE_MINIMUM is {planned.minimum}) may add "
        f"{_requests(planned.api_requests)} for open anomalies, and {_requests(1)} for each that the run "
        f"finds; each may take up to {MOST_CAUSE_PAGES} if the response is long: at most {most} "
        f"({most_price}) for open ones."
    )
    if planned.requests_left is None:
        return sentence
    return f"{sentence} The cap on API cost leaves {many(planned.requests_left, 'request')} for them."


def print_run(report: CollectReport, console: Console, *, is_last: bool = True) -> None:
    """Print what a run did. is_last: whether no closing sentence is printed after it."""
    page = Page(console)
    page.line(f" {headline(report)} ", STATUS_STYLES[report.run.status])
    read = report.collected.days_read
    days = f"Read {days_text(read)}" if read else "No days were read"
    page.line(f"{days}, run {report.run.key}, took {duration(report.duration_seconds)}", "dim")
    print_accounts(
        report,
        page,
        texts=("Outcome",),
        numbers=("Days", "Rows\nfetched", "Rows\nwritten", "API\ncalls", "API\nUSD"),
        rows=[(each.item, _values(each)) for each in report.collections],
    )
    print_problems(_problems(report), page)
    if report.cost_summary and report.cost_summary.costs:
        _print_costs(report.cost_summary, page)
    _print_totals(report, page)
    print_anomalies(report, page)
    if is_last:
        print_end(report, page)


def collect_command(key: str, request: RunRequest, options: Sequence[str] = ()) -> str:
    """Return the command that continues a stopped run, with the same days and accounts.

    options: those that the run's request does not hold.
    """
    words, asked = [], CollectOptions.of(request)
    if (days := asked.days) is not None:
        one_day = ["--date", str(days.start)]
        words += one_day if len(days) == 1 else ["--from", str(days.start), "--to", str(days.last)]
    if asked.since is not None:
        words += ["--from", str(asked.since)]
    if asked.accept_vanished:
        words.append("--accept-vanished")
    return resume_command(key, request, [*words, *options])


def _values(collection: Collection) -> Iterator[str | Text]:
    item, record = collection.item, collection.record
    yield Text(collection.state, STATE_STYLES[item.state])
    if record is None:
        yield from ("-", "-", "-")
    else:
        change = record.change
        yield f"{len(record.window):,}"
        yield f"{record.rows_fetched:,}"
        yield f"{change.inserted + change.updated + change.deleted:,}"
    yield f"{item.api_requests:,}"
    yield amount(collection.api_cost_usd, "USD")


def _problems(report: CollectReport) -> Iterator[tuple[str, str, ItemRecord]]:
    is_backfill = CollectOptions.of(report.run.request).is_backfill
    for collection in report.collections:
        if problem := problem_of(collection.item):
            label, sentence = problem
            if is_backfill and _is_capped(collection.item):
                sentence = _CAPPED_BACKFILL
            yield label, sentence, collection.item
        elif collection.record and collection.record.days_kept:
            yield "warning: stored days kept", _KEPT_SENTENCE, collection.item


def _is_capped(item: ItemRecord) -> bool:
    return item.state is ItemState.SKIPPED and item.skip_reason is SkipReason.API_COST_CAP


def _print_costs(summary: CostSummary, page: Page) -> None:
    """Print the cost by account, the largest first, and in total in each currency, beside earlier days."""
    excluded = ", ".join(sorted(summary.rule.excluded_record_types))
    basis = summary.rule.cost_basis.value.replace("_", " ")
    incomplete = f", INCOMPLETE: {summary.incompleteness}" if summary.is_incomplete else ""
    page.blank()
    page.line(f"Cost of {days_text(summary.days)}{incomplete}", "bold")
    page.line(basis + (f", without {excluded}" if excluded else ""), "dim")
    table = page.account_table()
    table.add_column("Cost", justify="right", no_wrap=True)
    is_compared = summary.day_before is not None
    if is_compared:
        for since in (summary.day_before, summary.week_before):
            table.add_column(f"Change from\n{since}", justify="right", no_wrap=True)
    totals = {total.currency: total for total in summary.totals}
    for place, cost in enumerate(summary.costs):
        table.add_row(*_cost_row(cost, page, is_compared=is_compared))
        is_last = [each.currency for each in summary.costs[place + 1 : place + 2]] != [cost.currency]
        if is_last:
            total = totals[cost.currency]
            table.add_row(*_cost_row(total, page, is_compared=is_compared, style="bold"), end_section=True)
    page.show(table)


def _cost_row(cost: ComparedCost, page: Page, *, is_compared: bool, style: str = "") -> Iterable[Text]:
    if cost.aws_account_id:
        yield page.text(cost.aws_account_id, style)
        yield page.text(cost.name, style)
    else:
        yield Text(f"Total {cost.currency}" if style else f"Others {cost.currency}", style)
        yield Text(many(cost.accounts, "account"), style)
    yield Text(money(cost.amount, cost.currency), style)
    if is_compared:
        yield Text(_change(cost.from_day_before, cost.currency), style)
        yield Text(_change(cost.from_week_before, cost.currency), style)


def _change(change: Change | None, currency: str) -> str:
    """Return "+12.30 (+4 %)"; a dash if the earlier day is not stored."""
    if change is None:
        return "-"
    difference = amount(change.difference, currency, sign=bool(change.difference))
    if change.ratio is None:
        return f"{difference} (new)" if change.difference else difference
    return f"{difference} ({change.ratio * 100:+z,.0f} %)"


def _print_totals(report: CollectReport, page: Page) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold", max_width=TEXT_WIDTH)
    summary = report.summary
    rows, found = summary["rows"], summary["anomalies"]
    changes = f"{rows['inserted']:,} new, {rows['updated']:,} restated, {rows['deleted']:,} deleted"
    written = rows["inserted"] + rows["updated"] + rows["deleted"]
    grid.add_row("Accounts", ", ".join(outcomes(report)) or "none")
    grid.add_row("Rows", f"{rows['fetched']:,} fetched, {written:,} written ({changes})")
    # Without a response it is unknown whether AWS charges.
    most = "at most " if report.counts.unanswered else ""
    requests = many(report.counts.api_requests, "request")
    grid.add_row("API", f"{most}{requests}, {money(report.api_cost_usd, 'USD')}")
    grid.add_row("Time", duration(report.duration_seconds))
    changes = f"{found['detected']:,} detected, {found['updated']:,} updated, {found['resolved']:,} resolved"
    grid.add_row("Anomalies", f"{found['open']:,} open ({changes})")
    if report.events_pending:
        grid.add_row("Events", f"{report.events_pending:,} not delivered yet")
    page.blank()
    page.console.print(grid)
