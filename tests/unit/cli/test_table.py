"""The layout of a table: what fits stands beside its row, the rest below it, and only names are shortened."""

from datetime import date
from decimal import Decimal
from io import BytesIO, StringIO, TextIOWrapper
from os import terminal_size

import pytest
from rich.cells import cell_len
from rich.console import Console

from costbatch.cli.output import Column, print_csv, show_table, standard_output
from costbatch.cli.views.page import Page

IDS = Column(title="account", cells=["100000000001", "100000000002"])
NAMES = Column(title="name", cells=["東京" * 20, "short"], is_name=True)
COSTS = Column(title="cost", cells=["12,345,678.90", "1.00"], is_number=True)
WHYS = Column(title="why", cells=["the key was revoked by its owner", "-"], is_text=True)
SINCE = Column(title="since", cells=["2025-03-09T07:00:00Z", "-"])


def shown(*columns: Column, width: int) -> list[str]:
    """Return the lines of a table on a terminal of this width."""
    stream = StringIO()
    show_table(
        columns, Console(file=stream, width=width, force_terminal=True, color_system=None, _environ={})
    )
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", range(20, 140, 3))
def test_nothing_but_a_name_is_cut_at_any_width(width: int) -> None:
    """Lines stay within the screen, and each id, number, instant and word is somewhere."""
    lines = shown(IDS, NAMES, COSTS, WHYS, SINCE, width=width)
    assert max(map(cell_len, lines)) <= max(width, len("  since: 2025-03-09T07:00:00Z"))
    text = " ".join(lines)
    for whole in ("100000000001", "100000000002", "12,345,678.90", "1.00", "short", "revoked"):
        assert whole in text
    assert "2025-03-09T07:00:00Z" in text or width < len("  since: 2025-03-09T07:00:00Z")


@pytest.mark.parametrize("width", range(1, 20))
def test_a_narrower_terminal_gets_the_lines_of_the_narrowest(width: int) -> None:
    """They are longer than such a screen, which folds them: nothing is lost, and no width is an error."""
    columns = (IDS, NAMES, COSTS, WHYS, SINCE)
    assert shown(*columns, width=width) == shown(*columns, width=20)


@pytest.mark.parametrize(("columns", "width"), [("0", 66), ("00", 66), ("40", 40)])
def test_a_width_of_zero_is_none(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that does not know its width says 0, and some shells export that."""
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("os.get_terminal_size", lambda _stream: terminal_size((66, 24)))
    stream = StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", stream)
    assert standard_output().width == width


def test_numbers_are_aligned_to_the_right() -> None:
    """Their last digits stand below each other, and below the title's last letter."""
    head, _, first, second = shown(IDS, COSTS, width=80)
    assert cell_len(head) == cell_len(first) == cell_len(second)


def test_what_has_no_room_stands_below_its_row() -> None:
    """With its title, and only if there is something to say."""
    lines = shown(IDS, NAMES, SINCE, WHYS, width=40)
    assert lines[3:5] == ["  since: 2025-03-09T07:00:00Z", "  why: the key was revoked by its owner"]
    assert lines[5:] == ["100000000002 short"]


def test_a_terminal_without_unicode_gets_dots_and_dashes() -> None:
    """No character that it cannot show."""
    stream = TextIOWrapper(BytesIO(), encoding="ascii")
    names = Column(title="name", cells=["n" * 60], is_name=True)
    ids = Column(title="account", cells=["100000000001"])
    show_table(
        [ids, names], Console(file=stream, width=40, force_terminal=True, color_system=None, _environ={})
    )
    stream.seek(0)
    assert "nnn...\n" in stream.read()


def test_an_empty_row_of_a_table_is_not_a_record() -> None:
    """It separates what a person reads; a program would take it for a record of nothing."""
    stream = StringIO()
    page = Page(Console(file=stream, width=80, _environ={}))
    table = page.account_table()
    table.add_row("100000000001", "first")
    table.add_row()
    table.add_row("100000000002", "second")
    page.show(table)
    assert stream.getvalue() == "\nAccount\tName\n100000000001\tfirst\n100000000002\tsecond\n"


@pytest.mark.parametrize("width", [80, 120])
def test_amounts_without_room_stand_below_their_row(width: int) -> None:
    """A summary's table keeps to the screen however large the amounts are, and shows each of them whole."""
    stream = StringIO()
    page = Page(Console(file=stream, width=width, force_terminal=True, color_system=None, _environ={}))
    table = page.account_table()
    amounts = [f"{place}98,765,432,109,876,543.21 USD" for place in range(4)]
    for title in ("Cost", "Day before", "Week before", "Month before"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_row("100000000001", page.name("n" * 100), *amounts)
    table.add_row()
    table.add_row("100000000002", page.name("second"), "1.00 USD", "-", "-", "-")
    page.show(table)
    printed = stream.getvalue()
    assert max(map(cell_len, printed.splitlines())) <= width
    assert all(amount in printed for amount in amounts)
    assert "Week before: 2" in printed
    assert "Week before: -" not in printed
    assert "Week before: \n" not in printed


def test_csv_holds_no_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    """A spreadsheet computes a text that begins like a formula: a quote stands before it; numbers stay."""
    texts = ["=1+1", "+1", "-1", "@x", "\tx", "plain", 'a "b", c']
    print_csv(["title"], [[text] for text in texts])
    print_csv(["=t"], [[Decimal("-1.50")], [None], [True], [date(2026, 1, 31)], [-3]])
    assert capsys.readouterr().out.splitlines() == [
        *("title", "'=1+1", "'+1", "'-1", "'@x", "'\tx", "plain", '"a ""b"", c"'),
        *("=t", "-1.50", '""', "true", "2026-01-31", "-3"),
    ]
