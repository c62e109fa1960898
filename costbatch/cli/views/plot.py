"""Pictures (SVG) of an account's daily cost, with the alarms of detectors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from html import escape

from costbatch.domain.backtest import AccountReplay, Alarm
from costbatch.domain.detection import ZERO, DetectorName
from costbatch.domain.excerpt import printable
from costbatch.domain.money import amount, money
from costbatch.domain.periods import ONE_DAY, DateRange

_WIDTH, _LEFT, _RIGHT, _TOP = 960, 90, 20, 80
_PLOT_HEIGHT, _ROW_HEIGHT, _PANEL_GAP = 200, 22, 60
_TICKS = 4
_NARROWEST_MARK = 3.0
# Enough days before the first morning to see what was usual.
_LEAD = timedelta(days=30)
_COLORS = {DetectorName.DEVIATION: "#c2410c", DetectorName.ADAPTIVE: "#1d4ed8"}
_GRID, _LINE = "#e5e7eb", "#111827"
_STYLE = "font-family: system-ui, sans-serif; font-size: 12px; fill: #374151"


def plot_alarms(account: AccountReplay, detectors: Sequence[DetectorName]) -> str:
    """Return a picture: for each currency the daily cost, and below it a row for each detector."""
    days = DateRange(account.mornings.start - _LEAD, account.mornings.end_exclusive)
    shown = {
        currency: {day: cost for day, cost in totals.items() if day in days}
        for currency, totals in sorted(account.totals.items())
    }
    panel_height = _PLOT_HEIGHT + _ROW_HEIGHT * len(detectors) + _PANEL_GAP
    panels = [
        _Panel(currency, totals, tuple(detectors), _TOP + place * panel_height)
        for place, (currency, totals) in enumerate(each for each in shown.items() if each[1])
    ]
    height = _TOP + len(panels) * panel_height
    name = _text(f"{account.aws_account_id} {account.name}")
    mornings = f"{account.mornings.start} to {account.mornings.last}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" style="{_STYLE}">',
        f"<title>{name}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="28" style="font-size: 16px; font-weight: 600">{name}</text>',
        f'<text x="{_LEFT}" y="48">Daily cost, and what was raised on the mornings of {mornings}</text>',
    ]
    for panel in panels:
        lines += panel.draw([alarm for alarm in account.alarms if alarm.currency == panel.currency])
    return "\n".join([*lines, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Panel:
    """The cost in one currency. top: the upper edge of the plot."""

    currency: str
    totals: Mapping[date, Decimal]
    detectors: tuple[DetectorName, ...]
    top: int

    @property
    def days(self) -> DateRange:
        return DateRange(min(self.totals), max(self.totals) + ONE_DAY)

    def draw(self, alarms: Sequence[Alarm]) -> Iterator[str]:
        yield from self._scale()
        yield from self._months()
        for row, detector in enumerate(self.detectors):
            center = self.top + _PLOT_HEIGHT + 14 + row * _ROW_HEIGHT
            color = _COLORS[detector]
            yield _label(_LEFT - 8, center + 4, detector.value, color=color)
            for alarm in alarms:
                if alarm.detector is detector and alarm.last in self.days:
                    yield from self._mark(alarm, center, color)
        step = self._x(self.days.start + ONE_DAY) - _LEFT
        points = " ".join(
            f"{self._x(day) + step / 2:.1f},{self._y(self.totals.get(day, ZERO)):.1f}" for day in self.days
        )
        yield f'<polyline points="{points}" fill="none" stroke="{_LINE}" stroke-width="1.2"/>'

    def _scale(self) -> Iterator[str]:
        low, high = self._limits()
        for tick in range(_TICKS + 1):
            value = low + (high - low) * tick / _TICKS
            y = self._y(value)
            yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>'
            yield _label(_LEFT - 8, y + 4, amount(value, self.currency))
        yield _label(_LEFT - 8, self.top - 12, self.currency)

    def _months(self) -> Iterator[str]:
        bottom = self.top + _PLOT_HEIGHT + _ROW_HEIGHT * len(self.detectors)
        for day in self.days:
            if day.day == 1 or day == self.days.start:
                yield f'<path d="M{self._x(day):.1f} {self.top}V{bottom}" stroke="{_GRID}"/>'
                yield f'<text x="{self._x(day):.1f}" y="{bottom + 18}">{day}</text>'

    def _mark(self, alarm: Alarm, center: float, color: str) -> Iterator[str]:
        start = max(alarm.start, self.days.start)
        width = max(self._x(alarm.last + ONE_DAY) - self._x(start), _NARROWEST_MARK)
        place = f'x="{self._x(start):.1f}" width="{width:.1f}" fill="{color}"'
        days = f"{alarm.start} to {alarm.last}"
        impact = money(alarm.impact, self.currency, sign=True)
        about = _text(f"{alarm.service or 'total'}, {days}: {impact}, raised on {alarm.morning}")
        yield f'<rect {place} y="{self.top}" height="{_PLOT_HEIGHT}" opacity="0.12"/>'
        yield f'<rect {place} y="{center - 5}" height="10"><title>{about}</title></rect>'

    def _limits(self) -> tuple[Decimal, Decimal]:
        return min(ZERO, *self.totals.values()), max(Decimal(1), *self.totals.values())

    def _x(self, day: date) -> float:
        return _LEFT + (day - self.days.start).days * (_WIDTH - _LEFT - _RIGHT) / len(self.days)

    def _y(self, value: Decimal) -> float:
        low, high = self._limits()
        return self.top + float((high - value) / (high - low)) * _PLOT_HEIGHT


def _label(x: float, y: float, text: str, *, color: str = "") -> str:
    fill = f' style="fill: {color}"' if color else ""
    return f'<text x="{x}" y="{y:.1f}" text-anchor="end"{fill}>{_text(text)}</text>'


def _text(text: str) -> str:
    """Return a text without control characters, escaped."""
    return escape(printable(text))
