"""The pictures of an anomaly and of a backtest: their geometry, and texts of any size in it."""

import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest

from costbatch.application.anomalies import AnsweredAnomaly, ShownAnomaly
from costbatch.cli.views.plot import plot_alarms, plot_anomaly
from costbatch.domain.answers import Standing
from costbatch.domain.backtest import AccountReplay, Alarm
from costbatch.domain.detection import DetectorName, Direction, JudgedDay, Reason
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.periods import DateRange
from costbatch.errors import ConfigError
from tests.support.factories import make_account
from tests.unit.cli.reports import HOSTILE, make_view

START = date(2025, 1, 13)
SVG = "{http://www.w3.org/2000/svg}"


def shown(
    days: int = 50, *, unjudged: tuple[int, ...] = (), level: str = "100", **about: object
) -> ShownAnomaly:
    """Return an anomaly of two days, three times the cost, 35 days after the first day that is stored."""
    amount = Decimal(level)
    trend = []
    for number in range(days):
        day = START + timedelta(days=number - 35)
        actual = amount * 3 if number in {35, 36} else amount
        reason = Reason.DEVIATION if actual > amount else None
        judged = JudgedDay(day, amount, actual, amount / 2, amount * Decimal("1.5"), Decimal("0.1"), reason)
        trend.append(SeriesDay(day, actual, None if number in unjudged else judged))
    view = make_view(start_date=START, last_date=START + timedelta(days=1), **about)
    answered = AnsweredAnomaly(anomaly=view.anomaly, account=make_account(1), standing=Standing.OPEN, why="")
    return ShownAnomaly(answered=answered, trend=tuple(trend))


def points(element: ET.Element) -> list[tuple[float, float]]:
    """Return the points of a line or an area."""
    pairs = (pair.split(",") for pair in element.attrib["points"].split())
    return [(float(x), float(y)) for x, y in pairs]


def test_the_band_the_cost_and_the_anomaly_are_where_they_belong() -> None:
    """The anomalous days are shaded and dotted; the other days lie in the band, and all of it in the plot."""
    picture = ET.fromstring(plot_anomaly(shown()))
    band = points(next(picture.iter(f"{SVG}polygon")))
    expected, cost = (points(each) for each in picture.iter(f"{SVG}polyline"))
    (shade,) = (each for each in picture.iter(f"{SVG}rect") if each.get("opacity"))
    left = float(shade.attrib["x"])
    right = left + float(shade.attrib["width"])
    dots = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in picture.iter(f"{SVG}circle")]
    dots = [dot for dot in dots if dot[1] > 0]
    assert dots == cost[35:37]
    assert all(left < x < right for x, _ in dots)
    assert not any(left < x < right for x, _ in cost[:35] + cost[37:])
    top, bottom = min(y for _, y in band), max(y for _, y in band)
    assert all(top < y < bottom for _, y in cost[:35] + cost[37:])
    assert all(y < top for _, y in dots)
    assert {y for _, y in expected} == {y for _, y in cost[:35]}
    edge, lowest = float(shade.attrib["y"]), float(shade.attrib["y"]) + float(shade.attrib["height"])
    assert all(edge <= y <= lowest and 90 <= x <= 940 for x, y in [*band, *expected, *cost])


def test_a_cost_that_stops_is_drawn_with_its_alarm() -> None:
    """To the day before the last morning, at zero; the drop is marked below the plot, too."""
    first, stops, last = (START + timedelta(days=number) for number in (0, 30, 40))
    drop = Alarm(
        detector=DetectorName.ADAPTIVE,
        aws_account_id="000000000001",
        service="Amazon EC2",
        currency="USD",
        direction=Direction.DROP,
        morning=stops + timedelta(days=3),
        start=stops,
        last=stops + timedelta(days=4),
        impact=Decimal(-500),
        id=UUID(int=1),
    )
    account = AccountReplay(
        aws_account_id="000000000001",
        name="one",
        mornings=DateRange(first + timedelta(days=1), last + timedelta(days=1)),
        alarms=(drop,),
        totals={"USD": {first + timedelta(days=number): Decimal(100) for number in range(30)}},
    )
    picture = ET.fromstring(plot_alarms(account, [DetectorName.ADAPTIVE]))
    (cost,) = (points(each) for each in picture.iter(f"{SVG}polyline"))
    shade, mark = (each for each in picture.iter(f"{SVG}rect") if each.get("x"))
    assert len(cost) == (last - first).days
    assert {y for _, y in cost[30:]} == {max(y for _, y in cost)}
    for each in (shade, mark):
        left, width = float(each.attrib["x"]), float(each.attrib["width"])
        assert [number for number, (x, _) in enumerate(cost) if left < x < left + width] == [*range(30, 35)]
    assert (mark.findtext(f"{SVG}title") or "").endswith(f"raised on {drop.morning}")


def test_days_that_were_never_judged_have_no_band() -> None:
    """The band is drawn in runs of judged days; the line of the cost has no gap."""
    picture = ET.fromstring(plot_anomaly(shown(unjudged=(0, 10, 11))))
    assert [len(points(each)) for each in picture.iter(f"{SVG}polygon")] == [4 * 9, 4 * 38]
    assert len(points([*picture.iter(f"{SVG}polyline")][-1])) == 50


@pytest.mark.parametrize(
    ("level", "labels"),
    [
        ("100", ["0.00", "100.00", "200.00", "300.00"]),
        ("0.004", ["0.00", "0.01", "0.02"]),
        ("0", ["0.00", "0.20", "0.40", "0.60", "0.80", "1.00"]),
        ("123456789.5", ["0.00", "100,000,000.00", "200,000,000.00", "300,000,000.00", "400,000,000.00"]),
    ],
)
def test_the_scale_has_round_amounts(level: str, labels: list[str]) -> None:
    """Three to six steps of 1, 2 or 5 times a power of ten, and none below a cent."""
    texts = [each.text or "" for each in ET.fromstring(plot_anomaly(shown(level=level))).iter(f"{SVG}text")]
    assert [text for text in texts if re.fullmatch(r"[0-9,]+\.[0-9]{2}", text)] == labels


@pytest.mark.parametrize("days", [37, 50, 120, 400])
def test_labels_of_days_do_not_overlap(days: int) -> None:
    """Each begins where the one before it has ended, and the last one ends within the picture."""
    texts = ET.fromstring(plot_anomaly(shown(days))).iter(f"{SVG}text")
    places = [float(each.attrib["x"]) for each in texts if re.fullmatch(r"[0-9-]{10}", each.text or "")]
    assert len(places) > 3
    assert all(after - before >= 84 for before, after in pairwise(places))
    assert places[-1] <= 960 - 64


def test_texts_from_outside_are_escaped_and_cut() -> None:
    """A name can neither break the picture nor run out of it; the whole of it is the picture's title."""
    name = HOSTILE + "x" * 300
    found = shown(service=name)
    anomaly = replace(found.answered.anomaly, words="many words " * 60)
    found = replace(found, answered=replace(found.answered, anomaly=anomaly))
    picture = ET.fromstring(plot_anomaly(found))
    texts = [each.text or "" for each in picture.iter(f"{SVG}text")]
    assert max(map(len, texts)) <= 130
    assert texts[0].endswith("…")
    assert "x" * 300 in (picture.findtext(f"{SVG}title") or "")


def test_without_days_there_is_nothing_to_draw() -> None:
    """The costs may have been pruned."""
    with pytest.raises(ConfigError, match="are not stored any more"):
        plot_anomaly(replace(shown(), trend=()))
