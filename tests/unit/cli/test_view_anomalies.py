"""The picture of open anomalies, and names and numbers of any size in it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from rich.cells import cell_len
from rich.console import Console

from costbatch.cli.views.collect import print_run
from costbatch.domain.costs import StoredChange
from costbatch.domain.detection import Contribution, JudgedDay, Reason
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.runs import (
    RunStatus,
)
from costbatch.domain.sparkline import sparkline
from tests.unit.cli.reports import (
    HOSTILE,
    WIDTHS,
    account_id,
    collected,
    failed,
    line_with,
    make_report,
    make_view,
    printed_run,
)


@pytest.mark.parametrize("width", WIDTHS)
def test_an_anomaly_says_who_when_how_much_and_why(width: int) -> None:
    """Everything a person needs is there at every width."""
    parts = tuple(
        Contribution(service, Decimal(1), Decimal(1001)) for service in ("First", "Second", "Third")
    )
    view = replace(make_view(explanation=parts), is_new=True)
    printed = printed_run(make_report([collected()], open_anomalies=(view,)), width)
    assert line_with("+3,567.89 USD", printed).split()[:5] == [
        "high", account_id(1), "account-1", "1,000.00", "+3,567.89",
    ]  # fmt: skip
    assert line_with("+357 %", printed).split()[:3] == ["new", "total", "4,567.89"]
    assert "2025-01-13 to 2025-01-14" in printed
    assert "+1,000.00 First" in printed
    assert "+1,000.00 Second" in printed
    assert "Third" not in printed
    assert "▂" * 28 + "██" in printed


def test_a_cost_that_was_not_expected_has_no_percentage() -> None:
    """Where nothing was expected the deviation is called new cost; one day is one date; yen has no cents."""
    view = make_view(
        expected=Decimal(0),
        actual=Decimal("1234.5"),
        currency="JPY",
        service="Amazon Neptune",
        start_date=date(2025, 1, 14),
    )
    printed = printed_run(make_report([collected()], open_anomalies=(view,)))
    assert "new cost" in printed
    assert "%" not in printed
    assert "Amazon Neptune" in printed
    assert "+1,234 JPY" in printed
    assert " to 2025" not in printed.partition("Severity")[2]


def test_without_colours_the_anomalous_days_are_marked_below() -> None:
    """A pipe shows which days are meant."""
    printed = printed_run(make_report([collected()], open_anomalies=(make_view(),)))
    at = line_with("██", printed).index("██")
    assert line_with("^^", printed).index("^^") == at


def test_an_ordinary_day_of_an_anomaly_is_not_marked() -> None:
    """It lies in its band, between two days that do not."""
    view = make_view(start_date=date(2025, 1, 12))
    day, ordinary = view.trend[-2].usage_date, Decimal(80)
    judged = JudgedDay(day, ordinary, ordinary, ordinary / 2, ordinary * 2, Decimal(0))
    trend = (*view.trend[:-2], SeriesDay(day, ordinary, judged), view.trend[-1])
    printed = printed_run(make_report([collected()], open_anomalies=(replace(view, trend=trend),)))
    at = line_with("██", printed).index("██")
    assert line_with("^", printed).index("^ ^") == at - 1


def test_with_colours_the_anomalous_days_are_coloured() -> None:
    """On a terminal the severity's colour marks them, and no line is spent."""
    stream = StringIO()
    console = Console(file=stream, width=120, force_terminal=True, color_system="standard", _environ={})
    print_run(make_report([collected()], open_anomalies=(make_view(),)), console)
    assert "\x1b[1;31m█\x1b[0m\x1b[1;31m█\x1b[0m" in stream.getvalue()
    assert "^" not in stream.getvalue()


def test_an_anomaly_without_a_trend_is_still_printed() -> None:
    """The numbers stand without the picture."""
    view = replace(make_view(), trend=())
    assert "+3,567.89 USD" in printed_run(make_report([collected()], open_anomalies=(view,)))


def test_anomalies_that_the_report_leaves_out_are_counted() -> None:
    """The report holds the largest; the rest must not look as if there was none."""
    report = make_report(
        [collected()],
        open_anomalies=(make_view(), make_view()),
        anomaly_counts={("open", "low", "USD"): 1_000, ("acknowledged", "low", "USD"): 2},
    )
    assert "1,000 more are open, less severe or with a smaller impact." in printed_run(report)


def test_an_output_without_unicode_gets_plain_characters() -> None:
    """Where blocks, lines and umlauts cannot be printed there are others, and no error."""
    stream = TextIOWrapper(BytesIO(), encoding="ascii")
    report = make_report([collected(name="Müller")], open_anomalies=(make_view(service="Größe"),))
    print_run(report, Console(file=stream, width=80, force_terminal=True, color_system=None, _environ={}))
    stream.seek(0)
    printed = stream.read()
    assert "M?ller" in printed
    assert "Gr??e" in printed
    assert "." * 28 + "##" in printed


def test_a_pipe_gets_no_control_characters() -> None:
    """No colours, no cursor movements."""
    report = make_report([collected(), failed(2)], RunStatus.PARTIAL, open_anomalies=(make_view(),))
    assert all(letter.isprintable() or letter == "\n" for letter in printed_run(report))


def test_names_are_text_and_nothing_else() -> None:
    """Markup and emoji codes are shown, control and direction characters are replaced."""
    stream = StringIO()
    console = Console(file=stream, width=200, force_terminal=True, color_system=None, _environ={})
    parts = (Contribution(HOSTILE, Decimal(1), Decimal(2)),)
    view = replace(make_view(service=HOSTILE, explanation=parts), account_name=HOSTILE)
    lost = failed(2, name=HOSTILE)
    report = make_report([collected(name=HOSTILE), lost], RunStatus.PARTIAL, open_anomalies=(view,))
    print_run(report, console)
    assert stream.getvalue().count("[red]a[/red]\ufffd[31m\ufffd\ufffd\ufffd:boom:") == 6
    assert "\x1b[31m" not in stream.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_are_shortened_and_services_fold(width: int) -> None:
    """Names of 300 characters stay on one line; ids and numbers are whole, and lines fit the screen."""
    name, service = "Q" * 300, "X" * 300
    parts = (Contribution("Z" * 300, Decimal(1), Decimal(2)),)
    view = replace(make_view(service=service, explanation=parts), account_name=name)
    printed = printed_run(make_report([collected(name=name)], open_anomalies=(view,)), width)
    assert max(map(cell_len, printed.splitlines())) <= width
    assert printed.count("…") == 2
    assert {letter: printed.count(letter) for letter in "XZ"} == {"X": 300, "Z": 300}
    assert line_with("collected ", printed).split()[0] == account_id(1)


@pytest.mark.parametrize("width", [1, 20, 40, 80, 120])
def test_ids_and_numbers_are_whole_on_any_screen(width: int) -> None:
    """A number that is cut is another number, so what has no room beside its row stands below it."""
    huge = collected(
        record={"rows_fetched": 123_456_789, "change": StoredChange(inserted=23_456_789)},
        api_requests=34_567,
        duration_seconds=45_678.9,
    )
    view = make_view(expected=Decimal("123456789012.34"), actual=Decimal("987654321098.76"))
    printed = printed_run(make_report([huge], open_anomalies=(view,)), width)
    for whole in (account_id(1), "23,456,789", "34,567", "345.67", "45,678.9"):
        assert whole in printed
    assert "123,456,789,012.34" in printed
    assert "+864,197,532,086.42 USD" in " ".join(printed.split())
    assert "987,654,321,098.76" in printed


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([5, 5, 5], "███"),
        ([0, 0], "▁▁"),
        ([3], "█"),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([-7, 0, 7], "▁▅█"),
        ([-7, -7], "▁▁"),
        ([7, None, 0], "█ ▁"),
        ([None, None], "  "),
    ],
)
def test_a_sparkline_grows_from_zero(values: Sequence[int | None], drawn: str) -> None:
    """Twice the cost is twice as high; gaps are gaps; below zero the lowest is the ground."""
    amounts = [None if value is None else Decimal(value) for value in values]
    assert sparkline(amounts) == drawn


def test_a_sparkline_can_be_drawn_with_other_characters() -> None:
    """The levels are the caller's, lowest first."""
    assert sparkline([Decimal(0), Decimal("1E-30"), Decimal("2E-30")], levels=".o#") == ".o#"


@pytest.mark.parametrize("width", WIDTHS)
def test_a_learned_expectation_is_explained_in_words(width: int) -> None:
    """Of the default rule, the columns say everything."""
    words = (
        "Cost 9.00 USD on 2025-01-14; expected 1.00 (0.50 to 1.50) from its earlier bursts. Confidence: 0.97."
    )
    learned = make_view(service="Amazon S3", reason=Reason.BURST, words=words)
    printed = printed_run(make_report([collected()], open_anomalies=(learned,)), width)
    assert "Confidence: 0.97." in " ".join(printed.split())
    plain = make_view(service="Amazon S3", words=words)
    assert "Confidence:" not in printed_run(make_report([collected()], open_anomalies=(plain,)), width)
