"""What ``collect --dry-run`` shows: every account, the days to read, and the price."""

from rich.console import Console

from costbatch.cli.output import many
from costbatch.cli.run_view.page import Page, money
from costbatch.domain.plans import CollectionPlan


def render_plan(plan: CollectionPlan, console: Console) -> None:
    """Print what a run would collect and what AWS would charge for it."""
    page = Page(console)
    if not plan.collections:
        page.line("Nothing to collect: no account is active.")
        return
    requests, price = many(plan.api_requests, "request"), money(plan.api_cost_usd, "USD")
    page.line(f"A run would read {many(len(plan.collections), 'account')}: {requests}, {price}.", "bold")
    page.line("Nothing was fetched, stored or paid.", "dim")
    _accounts(plan, page)


def _accounts(plan: CollectionPlan, page: Page) -> None:
    table = page.account_table()
    table.add_column("First day", no_wrap=True)
    table.add_column("Last day", no_wrap=True)
    table.add_column("Days", justify="right", no_wrap=True)
    table.add_column("Requests", justify="right", no_wrap=True)
    for planned in plan.collections:
        table.add_row(
            planned.account.aws_account_id,
            page.name(planned.account.name),
            str(planned.window.start),
            str(planned.window.last),
            f"{len(planned.window):,}",
            f"{planned.api_requests:,}",
        )
    page.show(table)
