"""Pictures (SVG) of daily cost: with the alarms of detectors, or with one anomaly and what was expected."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from html import escape
from itertools import groupby
from textwrap import wrap

from costbatch.application.anomalies import ShownAnomaly
from costbatch.cli.views.anomaly import title_of
from costbatch.domain.backtest import AccountReplay, Alarm
from costbatch.domain.detection import ZERO, DetectorName, JudgedDay
from costbatch.domain.excerpt import printable
from costbatch.domain.money import amount, decimals_of, money
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.errors import ConfigError

_WIDTH, _LEFT, _RIGHT, _TOP = 960, 90, 20, 80
_PLOT_HEIGHT, _ROW_HEIGHT, _PANEL_GAP = 200, 22, 60
# The scale has so many steps, or up to twice as many, of 1, 2 or 5 times a power of ten.
_LEAST_STEPS = 3
_LABEL_WIDTH = 84
_NARROWEST_MARK = 3.0
_LINE_HEIGHT, _LINE_CHARACTERS, _TITLE_CHARACTERS = 18, 130, 80
# Enough days before the first morning to see what was usual.
_LEAD = timedelta(days=30)
# Longer pictures have a label for each month, shorter ones for each Monday.
_MOST_WEEKS = 13
_COLORS = {DetectorName.DEVIATION: "#c2410c", DetectorName.ADAPTIVE: "#1d4ed8"}
_GRID, _LINE, _BAND, _EXPECTED, _ANOMALY = "#e5e7eb", "#111827", "#bfdbfe", "#1d4ed8", "#dc2626"
_STYLE = "font-family: system-ui, sans-serif; font-size: 12px; fill: #374151"


def plot_alarms(account: AccountReplay, detectors: Sequence[DetectorName]) -> str:
    """Return a picture: for each currency the daily cost, and below it a row for each detector."""
    days = DateRange(account.mornings.start - _LEAD, account.mornings.end_exclusive)
    shown = {
        currency: {day: cost for day, cost in totals.items() if day in days}
        for currency, totals in sorted(account.totals.items())
    }
    rows_height = _ROW_HEIGHT * len(detectors)
    panel_height = _PLOT_HEIGHT + rows_height + _PANEL_GAP
    # To the last day that was seen: if the cost has stopped, its line continues at zero.
    seen = [account.mornings.last, *(alarm.last + ONE_DAY for alarm in account.alarms)]
    panels = [
        _Panel(
            currency=currency,
            days=DateRange(min(totals), max(max(totals) + ONE_DAY, *seen)),
            scale=_Scale.over(totals.values(), currency),
            top=_TOP + place * panel_height,
            rows_height=rows_height,
        )
        for place, (currency, totals) in enumerate(each for each in shown.items() if each[1])
    ]
    lines = []
    for panel in panels:
        alarms = [alarm for alarm in account.alarms if alarm.currency == panel.currency]
        lines += [*panel.grid(), *_alarm_rows(panel, detectors, alarms), panel.line(shown[panel.currency])]
    mornings = f"{account.mornings.start} to {account.mornings.last}"
    subtitle = f"Daily cost, and what was raised on the mornings of {mornings}"
    height = _TOP + len(panels) * panel_height
    return _picture(f"{account.aws_account_id} {account.name}", [subtitle], lines, height)


def plot_anomaly(shown: ShownAnomaly) -> str:
    """Return a picture: the daily cost, the band that was expected, and the anomaly's days.

    Raises:
        ConfigError: none of the days around the anomaly are stored.

    """
    found, trend = shown.answered, shown.trend
    if not trend:
        raise ConfigError("The days around this anomaly are not stored any more; there is nothing to draw.")
    actual = {each.usage_date: each.actual for each in trend}
    # Below zero, and below all costs, the band says nothing.
    bottom = min(ZERO, *actual.values())
    judged = {each.usage_date: each.judged for each in trend if each.judged}
    edges = [edge for day in judged.values() for edge in (max(day.lower, bottom), day.upper)]
    words = wrap(found.anomaly.words, _LINE_CHARACTERS)
    panel = _Panel(
        currency=found.anomaly.currency,
        days=DateRange(trend[0].usage_date, trend[-1].usage_date + ONE_DAY),
        scale=_Scale.over([*actual.values(), *edges], found.anomaly.currency),
        top=_TOP + _LINE_HEIGHT * (len(words) + 1),
    )
    anomalous = [each for each in trend if found.anomaly.includes(each)]
    lines = [*panel.grid()]
    if anomalous:
        days = DateRange(anomalous[0].usage_date, anomalous[-1].usage_date + ONE_DAY)
        x, width = panel.span(days)
        lines.append(
            f'<rect x="{x:.1f}" width="{width:.1f}" y="{panel.top}" height="{_PLOT_HEIGHT}"'
            f' fill="{_ANOMALY}" opacity="0.10"/>'
        )
    for run in _runs(judged.values()):
        lines += panel.band(run, bottom)
    lines.append(panel.line(actual))
    lines += [
        f'<circle cx="{panel.center(each.usage_date):.1f}" cy="{panel.y(each.actual):.1f}" r="3"'
        f' fill="{_ANOMALY}"><title>{each.usage_date}: {money(each.actual, panel.currency)}</title></circle>'
        for each in anomalous
    ]
    lines += _legend(panel.top - 34)
    return _picture(title_of(found), words, lines, panel.top + _PLOT_HEIGHT + _PANEL_GAP // 2)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Round amounts from ``low`` to ``high``, a step apart."""

    low: Decimal
    high: Decimal
    step: Decimal

    @classmethod
    def over(cls, amounts: Iterable[Decimal], currency: str) -> "_Scale":
        """Return a scale that holds zero and all amounts."""
        known = [ZERO, *amounts]
        low, high = min(known), max(known)
        high = high if high > low else low + 1
        widest = (high - low) / _LEAST_STEPS
        unit = Decimal(1).scaleb(widest.adjusted())
        # Labels have no more decimals.
        least = Decimal(1).scaleb(-decimals_of(currency))
        step = max(least, *(factor * unit for factor in (1, 2, 5) if factor * unit <= widest))
        return cls(
            (low / step).to_integral_value(ROUND_FLOOR) * step,
            (high / step).to_integral_value(ROUND_CEILING) * step,
            step,
        )

    def ticks(self) -> Iterator[Decimal]:
        value = self.low
        while value <= self.high:
            yield value
            value += self.step


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """The plot of one currency. top: its upper edge. rows_height: of what is drawn below it."""

    currency: str
    days: DateRange
    scale: _Scale
    top: int
    rows_height: int = 0

    def grid(self) -> Iterator[str]:
        """Yield the lines and labels of the amounts and days."""
        for value in self.scale.ticks():
            y = self.y(value)
            yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>'
            yield _label(_LEFT - 8, y + 4, amount(value, self.currency))
        yield _label(_LEFT - 8, self.top - 12, self.currency)
        bottom, free = self.top + _PLOT_HEIGHT + self.rows_height, 0.0
        by_month = len(self.days) > _MOST_WEEKS * 7
        for day in self.days:
            x = self.x(day)
            is_marked = day == self.days.start or (day.day == 1 if by_month else day.weekday() == 0)
            if is_marked and free <= x <= _WIDTH - _LABEL_WIDTH + _RIGHT:
                yield f'<path d="M{x:.1f} {self.top}V{bottom}" stroke="{_GRID}"/>'
                yield f'<text x="{x:.1f}" y="{bottom + 18}">{day}</text>'
                free = x + _LABEL_WIDTH

    def line(self, costs: Mapping[date, Decimal]) -> str:
        """Return the line of the cost; a day without cost is zero."""
        points = " ".join(f"{self.center(day):.1f},{self.y(costs.get(day, ZERO)):.1f}" for day in self.days)
        return f'<polyline points="{points}" fill="none" stroke="{_LINE}" stroke-width="1.2"/>'

    def band(self, run: Sequence[JudgedDay], bottom: Decimal) -> Iterator[str]:
        """Yield the band of consecutive days, not below ``bottom``, and what was expected in it."""
        upper = self._steps((each.usage_date, each.upper) for each in run)
        lower = self._steps((each.usage_date, max(each.lower, bottom)) for each in run)
        outline = " ".join([*upper, *reversed(lower)])
        yield f'<polygon points="{outline}" fill="{_BAND}" opacity="0.6"/>'
        expected = " ".join(self._steps((each.usage_date, each.expected) for each in run))
        yield f'<polyline points="{expected}" fill="none" stroke="{_EXPECTED}" stroke-dasharray="4 3"/>'

    def span(self, days: DateRange) -> tuple[float, float]:
        """Return where days begin, and how wide they are."""
        x = self.x(days.start)
        return x, max(self.x(days.end_exclusive) - x, _NARROWEST_MARK)

    def x(self, day: date) -> float:
        """Return where a day begins."""
        return _LEFT + (day - self.days.start).days * (_WIDTH - _LEFT - _RIGHT) / len(self.days)

    def center(self, day: date) -> float:
        """Return the middle of a day."""
        return (self.x(day) + self.x(day + ONE_DAY)) / 2

    def y(self, value: Decimal) -> float:
        """Return the height of an amount."""
        low, high = self.scale.low, self.scale.high
        return self.top + float((high - value) / (high - low)) * _PLOT_HEIGHT

    def _steps(self, amounts: Iterable[tuple[date, Decimal]]) -> list[str]:
        return [
            f"{x:.1f},{self.y(value):.1f}"
            for day, value in amounts
            for x in (self.x(day), self.x(day + ONE_DAY))
        ]


def _alarm_rows(panel: _Panel, detectors: Sequence[DetectorName], alarms: Sequence[Alarm]) -> Iterator[str]:
    """Yield a row for each detector, and a mark in it and over the plot for each of its alarms."""
    for row, detector in enumerate(detectors):
        center, color = panel.top + _PLOT_HEIGHT + 14 + row * _ROW_HEIGHT, _COLORS[detector]
        yield _label(_LEFT - 8, center + 4, detector.value, color=color)
        for alarm in alarms:
            if alarm.detector is not detector or alarm.last not in panel.days:
                continue
            x, width = panel.span(DateRange(max(alarm.start, panel.days.start), alarm.last + ONE_DAY))
            place = f'x="{x:.1f}" width="{width:.1f}" fill="{color}"'
            impact = money(alarm.impact, panel.currency, sign=True)
            days = f"{alarm.start} to {alarm.last}"
            about = _text(f"{alarm.service or 'total'}, {days}: {impact}, raised on {alarm.morning}")
            yield f'<rect {place} y="{panel.top}" height="{_PLOT_HEIGHT}" opacity="0.12"/>'
            yield f'<rect {place} y="{center - 5}" height="10"><title>{about}</title></rect>'


def _runs(days: Iterable[JudgedDay]) -> Iterator[list[JudgedDay]]:
    """Yield the days in runs without a gap."""
    numbered = enumerate(days)
    for _, run in groupby(numbered, key=lambda each: each[1].usage_date.toordinal() - each[0]):
        yield [day for _, day in run]


def _legend(y: int) -> Iterator[str]:
    swatches = (
        ("cost", f'<path d="M0 -4H22" stroke="{_LINE}" stroke-width="1.2"/>'),
        ("expected", f'<path d="M0 -4H22" stroke="{_EXPECTED}" stroke-dasharray="4 3"/>'),
        ("band in which a day is ordinary", f'<path d="M0 -9h22v10h-22z" fill="{_BAND}" opacity="0.6"/>'),
        ("anomaly", f'<circle cx="11" cy="-4" r="3" fill="{_ANOMALY}"/>'),
    )
    x = _LEFT
    for name, swatch in swatches:
        yield f'<g transform="translate({x} {y})">{swatch}<text x="28">{name}</text></g>'
        x += 58 + 7 * len(name)


def _picture(title: str, subtitles: Sequence[str], lines: Sequence[str], height: int) -> str:
    """Return a whole picture with its title."""
    whole = _text(title)
    short = whole if len(title) <= _TITLE_CHARACTERS else _text(f"{title[: _TITLE_CHARACTERS - 1]}…")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" style="{_STYLE}">',
            f"<title>{whole}</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="{_LEFT}" y="28" style="font-size: 16px; font-weight: 600">{short}</text>',
            *(
                f'<text x="{_LEFT}" y="{48 + place * _LINE_HEIGHT}">{_text(each)}</text>'
                for place, each in enumerate(subtitles)
            ),
            *lines,
            "</svg>",
            "",
        ]
    )


def _label(x: float, y: float, text: str, *, color: str = "") -> str:
    fill = f' style="fill: {color}"' if color else ""
    return f'<text x="{x}" y="{y:.1f}" text-anchor="end"{fill}>{_text(text)}</text>'


def _text(text: str) -> str:
    """Return a text without control characters, escaped."""
    return escape(printable(text))
