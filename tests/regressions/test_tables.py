"""Tables: a terminal sees whole ids, names and dates in 80 columns; a pipe gets one record a line."""

import re
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from typing import Any

import pytest
from rich.cells import cell_len

from costbatch.simulator.world import Account, Fault
from tests.support.harness import TODAY, Harness, Prepare, bill, make_account, steady
from tests.support.screen import look

LONG = "n" * 190 + " the end"
WIDE = "東京支社の本番環境" * 6
BOXES = re.compile("[\N{BOX DRAWINGS LIGHT HORIZONTAL}-\N{BOX DRAWINGS DOUBLE VERTICAL AND HORIZONTAL}]")
DAY = TODAY - timedelta(days=1)


def named(number: int, name: str, **changes: Any) -> Account:
    """Return an account of the stand-in with this name."""
    return replace(make_account(number, **changes), name=name)


def crowd(harness: Harness) -> None:
    """Collect accounts with long names, wide characters, failures and large amounts."""
    huge = (*steady("1000000000.00", until=DAY), bill(DAY, "98765432109.87"))
    harness.open(
        named(1, LONG, rows=huge),
        named(2, WIDE, faults=(Fault("not_enabled"),)),
        named(3, "short", rows=tuple(replace(row, unit="JPY") for row in huge)),
        named(4, "e\u0301" * 30, faults=(Fault("invalid_token", operation="*"),)),
    )
    assert harness.collect().status == 0
    harness.run("accounts", "pause", harness.ids[2])


class Crowd:
    """A harness after that night. Each command is printed once for all tests that look at it."""

    def __init__(self, harness: Harness) -> None:
        self.harness, self.ids = harness, harness.ids
        self.look = cache(partial(look, self.harness))

    @cache  # noqa: B019 - it lives as long as the tests of this file
    def piped(self, *command: str) -> str:
        """Return what a command writes to a pipe, whatever width is said."""
        return self.harness.run(*command, COLUMNS="40").stdout


@pytest.fixture(scope="module")
def crowded(prepare_shared: Prepare) -> Crowd:
    """Return the night for tests that read what is printed of it."""
    return Crowd(prepare_shared(crowd))


@pytest.fixture
def own(prepare: Prepare) -> Crowd:
    """Return the same in a database of the test's own."""
    return Crowd(prepare(crowd))


COMMANDS = [
    ("accounts", "list"),
    ("accounts", "show", "100000000001"),
    ("accounts", "show", "100000000002"),
    ("config",),
    ("db", "stats"),
    ("db", "prune", "--keep", "3 months", "--dry-run"),
    ("collect", "--dry-run"),
    ("collect",),
    ("doctor",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_table_fits_a_terminal_of_80_columns(crowded: Crowd, command: tuple[str, ...]) -> None:
    """No line is longer than the screen, and no id, variable, date or number of a table is cut."""
    shown = crowded.look(*command)
    assert shown.strip()
    assert max(map(cell_len, shown.splitlines())) <= 80
    whole = crowded.piped(*command)
    for pattern in (r"\b1000\d{8}\b", r"\bCOSTBATCH_[A-Z_]+", r"\b20\d\d-\d\d-\d\d\b"):
        assert set(re.findall(pattern, whole)) <= set(re.findall(pattern, shown))


# One after the other in one test, which is cheaper than a database for each.
MORE_COMMANDS = [
    ("anomalies", "list", "--state", "all"),
    ("events", "list"),
    ("planned", "list"),
    ("forecast",),
    ("costs", "--from", "2025-03-01"),
    ("discover", "--dry-run"),
    ("resources", "list", "--limit", "5"),
    ("resources", "stats"),
]


def test_the_tables_of_more_commands_fit_too(own: Crowd) -> None:
    """Ids, dates and amounts whole, also of resources and plans that others have named."""
    evil = (("Name", "evil\x1b[31m\x1b]0;owned\x07\u202e" * 3), ("Owner", "x"))
    arn = f"arn:aws:ec2:us-east-1:{own.ids[0]}:instance/{'i' * 150}"
    inventory = [{"arn": arn, "region": "us-east-1", "tags": evil}]
    own.harness.aws.update_account(own.ids[0], regions=["us-east-1"], inventory=inventory)
    assert own.harness.run("discover", "--account", own.ids[0]).status == 0
    plan = ("--from", f"{TODAY}", "--to", "2999-12-31", "--service", "s" * 300, "--reason", "r" * 400)
    assert own.harness.run("planned", "add", "--account", own.ids[0], *plan).status == 0
    for command in MORE_COMMANDS:
        shown, piped = own.look(*command), own.piped(*command)
        assert max(map(cell_len, shown.splitlines())) <= 80, command
        for pattern in (r"\b1000\d{8}\b", r"\b20\d\d-\d\d-\d\d\b", r"\b\d{1,3}(?:,\d{3})+\b"):
            assert set(re.findall(pattern, piped)) <= set(re.findall(pattern, shown)), (command, pattern)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]|\.\.\.|…", piped), command
        assert len({line.count("\t") for line in piped.splitlines() if "\t" in line}) == 1, command


@pytest.mark.parametrize("columns", [40, 80, 300])
def test_the_accounts_are_readable_at_every_width(crowded: Crowd, columns: int) -> None:
    """A name is shortened with an ellipsis; what has no room beside its row stands below it, whole."""
    shown = crowded.look("accounts", "list", columns=columns)
    assert max(map(cell_len, shown.splitlines())) <= columns
    rows = [line for line in shown.splitlines() if line.startswith("1000")]
    assert [line.split()[0] for line in rows] == crowded.ids
    assert ("n…" in shown) == (columns < 300)
    assert "cost_explorer_not_enabled" in shown
    assert "credentials_rejected" in shown
    assert "2025-03-12T06:30" in shown
    assert "the end" in shown or columns < 300


def test_a_name_is_on_one_line_of_a_collections_table(crowded: Crowd) -> None:
    """Ten lines of one name would hide the accounts; the row of an account is one line."""
    for command in (("collect", "--dry-run"), ("collect",)):
        shown = crowded.look(*command)
        assert sum("nnnn" in line for line in shown.splitlines()) <= 3
        (row,) = [line for line in shown.splitlines() if line.startswith(f"{crowded.ids[0]} nnnn")][:1]
        assert "…" in row


def test_large_amounts_stay_whole(crowded: Crowd) -> None:
    """A number that is cut is another number."""
    shown = crowded.look("collect")
    assert "+97,765,432,109.87 USD" in shown
    assert "98,765,432,109.87" in shown


@pytest.mark.parametrize("command", COMMANDS[:-1], ids=" ".join)
def test_a_pipe_gets_one_record_a_line(crowded: Crowd, command: tuple[str, ...]) -> None:
    """Tabs between the values, no boxes, nothing shortened or folded, as many values as titles."""
    piped = crowded.piped(*command)
    assert not BOXES.search(piped)
    assert "…" not in piped
    tables = [part.splitlines() for part in piped.split("\n\n") if "\t" in part]
    assert tables
    for table in tables:
        assert len({line.count("\t") for line in table if "\t" in line}) == 1


def test_the_piped_records_are_whole(crowded: Crowd) -> None:
    """A script takes the values by their places, whatever the names hold."""
    records = [line.split("\t") for line in crowded.piped("accounts", "list").splitlines()]
    titles = "account,name,status,access,collected to,failing since,why,labels"
    assert records[0] == titles.split(",")
    assert records[1] == [crowded.ids[0], LONG, "active", "access_keys", str(DAY), "-", "-", "-"]
    assert records[2][1] == WIDE
    collected = crowded.piped("collect").splitlines()
    assert [crowded.ids[0], LONG, "collected"] in [line.split("\t")[:3] for line in collected]
    anomaly = next(line.split("\t") for line in collected if line.startswith(f"high\topen\t{crowded.ids[0]}"))
    assert anomaly[2:9] == [
        crowded.ids[0], LONG, "total", str(DAY), str(DAY), "1,000,000,000.00", "98,765,432,109.87",
    ]  # fmt: skip


def test_the_sizes_of_large_tables_fit(crowded: Crowd) -> None:
    """Every column that `db stats` has room for is beside the table's name; the others follow below it."""
    shown = crowded.look("db", "stats")
    (head,) = [line for line in shown.splitlines() if line.startswith("table")]
    assert head.split()[-1] == "vacuumed"
    narrow = crowded.look("db", "stats", columns=40)
    assert max(map(cell_len, narrow.splitlines()[:20])) <= 40
    assert "  total: " in narrow or "indexes: " in narrow
