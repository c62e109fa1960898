"""One anomaly: its facts, and the days around it with what was expected of them."""

from datetime import timedelta

import click

from costbatch.application.anomalies import AnsweredAnomaly, ShownAnomaly
from costbatch.cli.output import print_table, standard_output
from costbatch.cli.views.page import days_text
from costbatch.domain.anomalies import Anomaly
from costbatch.domain.causes import RootCause
from costbatch.domain.detection import Direction
from costbatch.domain.money import amount, money
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.domain.sparkline import ASCII_LEVELS, BLOCKS, sparkline

# A person looks at the days around; --output json and --plot have them all.
_DAYS_AROUND = timedelta(days=3)
_MOST_DAYS, _MOST_BLOCKS = 14, 60
_SHOWN_OF_ID = 8
_DAY_TITLES = ("day", "actual", "expected", "lower", "upper", "score", "anomalous")


def print_anomaly(shown: ShownAnomaly) -> None:
    """Print the facts, and below them the days around the anomaly."""
    anomaly = shown.answered.anomaly
    currency = anomaly.currency
    print_table(("anomaly", str(anomaly.id)), _facts(shown), texts=(str(anomaly.id),))
    near = [
        each
        for each in shown.trend
        if anomaly.start_date - _DAYS_AROUND <= each.usage_date <= anomaly.last_date + _DAYS_AROUND
    ]
    if not near:
        click.echo("\nThe days of this anomaly are not stored any more.")
        return
    rows = [
        (
            each.usage_date,
            amount(each.actual, currency),
            amount(each.judged.expected, currency) if each.judged else None,
            amount(each.judged.lower, currency) if each.judged else None,
            amount(each.judged.upper, currency) if each.judged else None,
            f"{each.judged.score:.2f}" if each.judged else None,
            "yes" if anomaly.includes(each) else "",
        )
        for each in near[-_MOST_DAYS:]
    ]
    click.echo()
    print_table(_DAY_TITLES, rows, numbers=_DAY_TITLES[1:6])
    if len(near) > _MOST_DAYS:
        click.echo(f"\nThe last {_MOST_DAYS} of {len(near):,} days; --output json has them all.")


def short_id(anomaly: Anomaly) -> str:
    """Return the beginning of its id, which every command takes."""
    return str(anomaly.id)[:_SHOWN_OF_ID]


def change_text(anomaly: Anomaly) -> str:
    """Return the difference in percent: "+900 %"."""
    ratio = anomaly.deviation_ratio
    return "new cost" if ratio is None else f"{ratio * 100:+,.0f} %"


def title_of(found: AnsweredAnomaly) -> str:
    """Return what an anomaly is about, on one line."""
    anomaly = found.anomaly
    impact = money(anomaly.impact, anomaly.currency, sign=True)
    return f"{impact} ({change_text(anomaly)}): {anomaly.service or 'total'}, {found.account}"


def _facts(shown: ShownAnomaly) -> list[tuple[str, object]]:
    found = shown.answered
    anomaly, currency = found.anomaly, found.anomaly.currency
    furthest = "highest day" if anomaly.direction is Direction.SPIKE else "lowest day"
    services = [
        f"{money(part.impact, currency, sign=True)} {part.service} "
        f"({amount(part.expected, currency)} to {amount(part.actual, currency)})"
        for part in anomaly.explanation
    ]
    band = f"{amount(anomaly.lower, currency)} to {money(anomaly.upper, currency)}"
    facts: list[tuple[str, object]] = [
        ("standing", found.standing),
        ("why", found.why),
        ("severity", anomaly.severity),
        ("account", found.account),
        ("service", anomaly.service or "total"),
        ("direction", anomaly.direction),
        ("days", days_text(DateRange(anomaly.start_date, anomaly.last_date + ONE_DAY))),
        ("resolution", anomaly.resolution),
        ("expected", f"{money(anomaly.expected, currency)} ({band})"),
        ("actual", money(anomaly.actual, currency)),
        ("impact", f"{money(anomaly.impact, currency, sign=True)} ({change_text(anomaly)})"),
        (furthest, money(anomaly.peak, currency)),
        ("in words", anomaly.words or None),
        *(("explained by", service) for service in services),
        *_root_cause(shown.root_cause, currency),
    ]
    if days := shown.trend[-_MOST_BLOCKS:]:
        levels = ASCII_LEVELS if standard_output().options.ascii_only else BLOCKS
        blocks = sparkline([each.actual for each in days], levels=levels)
        facts.append(("trend", f"{blocks} {days[0].usage_date} to {days[-1].usage_date}"))
    return facts


def _root_cause(found: RootCause | None, currency: str) -> list[tuple[str, object]]:
    if found is None:
        return []
    if not found.causes:
        return [("root cause", f"no difference between {found.usage_date} and {found.ordinary_date}")]
    rows = [
        f"{money(each.impact, currency, sign=True)} {each.region} {each.usage_type} "
        f"({amount(each.expected, currency)} to {amount(each.actual, currency)})"
        for each in found.causes
    ]
    return [
        ("root cause", f"on {found.usage_date}, against {found.ordinary_date}:"),
        *(("", row) for row in rows),
    ]
