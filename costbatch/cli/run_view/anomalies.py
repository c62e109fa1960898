"""Open anomalies with the cost that leads up to them, drawn as a line of blocks."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.text import Text

from costbatch.cli.run_view.page import Page, amount, money
from costbatch.domain.anomalies import Anomaly
from costbatch.domain.detection import Severity
from costbatch.domain.reports import AnomalyView, RunReport

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.:-=+*#"

_TREND_DAYS = 30
_NAME_WIDTH = 60
_MOST_SERVICES = 2
_STYLES = {Severity.HIGH: "bold red", Severity.MEDIUM: "bold yellow", Severity.LOW: "bold cyan"}


def sparkline(values: Sequence[Decimal | None], *, levels: str = BLOCKS) -> str:
    """Draw one character per value, from zero (or the lowest, when that is below) to the highest.

    It starts at zero so that twice the cost looks twice as high. None is a gap.
    """
    known = [value for value in values if value is not None]
    low, high = min([Decimal(0), *known]), max([Decimal(0), *known])
    steps = (len(levels) - 1) / (high - low) if high > low else Decimal(0)
    return "".join(" " if value is None else levels[round((value - low) * steps)] for value in values)


def render_anomalies(report: RunReport, page: Page) -> None:
    """Print the open anomalies, in the report's order: the severest first."""
    views = report.open_anomalies
    if not views:
        return
    table = page.table()
    table.add_column("Severity", no_wrap=True)
    table.add_column("Open anomalies", overflow="fold", min_width=_TREND_DAYS, max_width=_NAME_WIDTH)
    table.add_column("Expected\nActual", justify="right", no_wrap=True)
    table.add_column("Impact\nDeviation", justify="right", no_wrap=True)
    if page.is_wide:
        table.add_column("Trend", no_wrap=True)
    for place, view in enumerate(views):
        if place:
            table.add_row()
        table.add_row(*_row(view, page))
    page.show(table)
    if (total := report.headline["anomalies"]["open"]) > len(views):
        page.blank()
        page.line(f"{total - len(views):,} more are open, less severe or with a smaller impact.", "dim")


def _row(view: AnomalyView, page: Page) -> Iterable[RenderableType]:
    anomaly = view.anomaly
    style = _STYLES[anomaly.severity]
    yield Text(anomaly.severity.value + ("\nnew" if view.is_new else ""), style)
    trend = Group(_trend(view, page), Text(_dates(anomaly)))
    what = Group(*_description(view, page))
    yield what if page.is_wide else Group(what, trend)
    yield "\n".join(amount(value, anomaly.currency) for value in (anomaly.expected, anomaly.actual))
    yield Text(f"{money(anomaly.impact, anomaly.currency, sign=True)}\n{_deviation(anomaly)}", style)
    if page.is_wide:
        yield trend


def _description(view: AnomalyView, page: Page) -> Iterable[Text]:
    anomaly = view.anomaly
    yield page.text(f"{view.aws_account_id} {view.account_name}", "bold")
    yield page.text(anomaly.service or "total")
    for moved in anomaly.explanation[:_MOST_SERVICES]:
        yield page.text(f"{amount(moved.impact, anomaly.currency, sign=True)} {moved.service}", "dim")


def _deviation(anomaly: Anomaly) -> str:
    ratio = anomaly.deviation_ratio
    return "new cost" if ratio is None else f"{ratio * 100:+,.0f} %"


def _dates(anomaly: Anomaly) -> str:
    if anomaly.start_date == anomaly.last_date:
        return str(anomaly.start_date)
    return f"{anomaly.start_date} to {anomaly.last_date}"


def _trend(view: AnomalyView, page: Page) -> RenderableType:
    """Return the last days as blocks, the anomaly's coloured, or marked in a line below."""
    if not view.trend:
        return Text()
    anomaly, last = view.anomaly, view.trend[-1].usage_date
    amounts = {total.usage_date: total.amount for total in view.trend}
    days = [last - timedelta(days=n) for n in reversed(range(_TREND_DAYS))]
    departs = [anomaly.start_date <= day <= anomaly.last_date for day in days]
    levels = ASCII_LEVELS if page.is_ascii else BLOCKS
    drawn = sparkline([amounts.get(day) for day in days], levels=levels)
    if not page.has_colors:
        return Text(f"{drawn}\n{''.join('^' if is_odd else ' ' for is_odd in departs)}")
    styles = (_STYLES[anomaly.severity] if is_odd else "dim" for is_odd in departs)
    return Text.assemble(*zip(drawn, styles, strict=True))
