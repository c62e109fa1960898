"""Open anomalies, each with a sparkline of the cost that leads up to it."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from costbatch.cli.views.anomaly import change_text
from costbatch.cli.views.page import Page, days_text
from costbatch.domain.anomalies import TREND_DAYS, Anomaly
from costbatch.domain.answers import Standing
from costbatch.domain.collect_report import AnomalyView, CollectReport
from costbatch.domain.detection import Reason, Severity
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.money import amount, money
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.sparkline import ASCII_LEVELS, BLOCKS, sparkline

_NAME_WIDTH = 60
_MOST_SERVICES = 2
_TITLES = (
    "Severity",
    "State",
    "Account",
    "Name",
    "Service",
    "First day",
    "Last day",
    "Expected",
    "Actual",
    "Impact",
    "Deviation",
    "Services",
    "Explanation",
    "Trend",
)
_STYLES = {Severity.HIGH: "bold red", Severity.MEDIUM: "bold yellow", Severity.LOW: "bold cyan"}


def print_anomalies(report: CollectReport, page: Page) -> None:
    """Print the open anomalies in the report's order: the most severe first."""
    views = report.open_anomalies
    if not views:
        return
    if page.is_piped:
        page.records(_TITLES, [_record(view, page) for view in views])
    else:
        table = page.table()
        table.add_column("Severity", no_wrap=True)
        table.add_column("Open anomalies", overflow="fold", min_width=TREND_DAYS, max_width=_NAME_WIDTH)
        table.add_column("Expected\nActual", justify="right", no_wrap=True)
        table.add_column("Impact\nDeviation", justify="right", no_wrap=True)
        if page.is_wide:
            table.add_column("Trend", no_wrap=True)
        for place, view in enumerate(views):
            if place:
                table.add_row()
            table.add_row(*_row(view, page))
        page.show(table)
    total = report.anomalies_that_are(Standing.OPEN) + report.anomalies_that_are(Standing.ACKNOWLEDGED)
    if total > len(views):
        page.blank()
        page.line(f"{total - len(views):,} more are open, less severe or with a smaller impact.", "dim")


def _record(view: AnomalyView, page: Page) -> Sequence[str]:
    """Return an anomaly as the values of one record."""
    anomaly = view.anomaly
    values = (
        anomaly.severity.value,
        _state(view),
        view.aws_account_id,
        view.account_name,
        anomaly.service or "total",
        str(anomaly.start_date),
        str(anomaly.last_date),
        amount(anomaly.expected, anomaly.currency),
        amount(anomaly.actual, anomaly.currency),
        money(anomaly.impact, anomaly.currency, sign=True),
        change_text(anomaly),
        ", ".join(_contributions(anomaly)),
        anomaly.words,
        _blocks(view, page),
    )
    return [page.text(value).plain for value in values]


def _state(view: AnomalyView) -> str:
    return "new" if view.is_new and view.standing is Standing.OPEN else view.standing.value


def _row(view: AnomalyView, page: Page) -> Iterable[RenderableType]:
    anomaly = view.anomaly
    style = _STYLES[anomaly.severity]
    state = _state(view)
    yield Text(anomaly.severity.value + ("" if state == Standing.OPEN else f"\n{state}"), style)
    days = DateRange(anomaly.start_date, anomaly.last_date + ONE_DAY)
    trend = Group(_trend(view, page), Text(days_text(days)))
    # Of the default rule, the columns beside it say everything.
    words = [] if anomaly.reason is Reason.DEVIATION else [page.text(anomaly.words, "dim")]
    what = Group(
        page.name(f"{view.aws_account_id} {view.account_name}", "bold"),
        page.text(anomaly.service or "total"),
        *(page.text(moved, "dim") for moved in _contributions(anomaly)),
        *words,
    )
    yield what if page.is_wide else Group(what, trend)
    yield "\n".join(amount(value, anomaly.currency) for value in (anomaly.expected, anomaly.actual))
    yield Text(f"{money(anomaly.impact, anomaly.currency, sign=True)}\n{change_text(anomaly)}", style)
    if page.is_wide:
        yield trend


def _contributions(anomaly: Anomaly) -> list[str]:
    return [
        f"{amount(moved.impact, anomaly.currency, sign=True)} {moved.service}"
        for moved in anomaly.explanation[:_MOST_SERVICES]
    ]


def _trend(view: AnomalyView, page: Page) -> RenderableType:
    """Return the sparkline, with the anomaly's days coloured, or marked in a line below."""
    anomaly, blocks = view.anomaly, _blocks(view, page)
    is_anomalous = [day is not None and anomaly.includes(day) for day in _trend_days(view)]
    if not page.has_colors:
        return Text(f"{blocks}\n{''.join('^' if is_one else ' ' for is_one in is_anomalous)}")
    styles = (_STYLES[anomaly.severity] if is_one else "dim" for is_one in is_anomalous)
    return Text.assemble(*zip(blocks, styles, strict=True))


def _blocks(view: AnomalyView, page: Page) -> str:
    levels = ASCII_LEVELS if page.is_ascii else BLOCKS
    return sparkline([day.actual if day else None for day in _trend_days(view)], levels=levels)


def _trend_days(view: AnomalyView) -> list[SeriesDay | None]:
    """Return the days of the trend, None for one that is missing; empty without a trend."""
    if not view.trend:
        return []
    days, last = {day.usage_date: day for day in view.trend}, view.trend[-1].usage_date
    return [days.get(last - timedelta(days=n)) for n in reversed(range(TREND_DAYS))]
