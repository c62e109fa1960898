"""What the days of a run cost: by account, the largest first, and in total, in each currency."""

from collections.abc import Iterable

from rich.text import Text

from costbatch.cli.output import many
from costbatch.cli.run_view.page import Page, amount, days_text, money
from costbatch.domain.compared_costs import Change, ComparedCost, CostSummary


def render_costs(summary: CostSummary | None, page: Page) -> None:
    """Print the cost of the accounts that were collected, and how it differs from earlier days."""
    if summary is None or not summary.costs:
        return
    excluded = ", ".join(sorted(summary.rule.excluded_record_types))
    basis = summary.rule.cost_basis.value.replace("_", " ")
    incomplete = ", INCOMPLETE: AWS is still adding cost to the last day" if summary.is_incomplete else ""
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
        table.add_row(*_row(cost, page, is_compared=is_compared))
        is_last = [each.currency for each in summary.costs[place + 1 : place + 2]] != [cost.currency]
        if is_last:
            total = totals[cost.currency]
            table.add_row(*_row(total, page, is_compared=is_compared, style="bold"), end_section=True)
    page.show(table)


def _row(cost: ComparedCost, page: Page, *, is_compared: bool, style: str = "") -> Iterable[Text]:
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
