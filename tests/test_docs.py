"""The documents and the program say the same: whatever one of them names, the other one has."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import click
import pytest
import sqlalchemy as sa

from costbatch import __version__
from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.tables import metadata
from costbatch.adapters.pushgateway import METRICS
from costbatch.cli import cli
from costbatch.cli.exit_status import ExitStatus
from costbatch.config import VARIABLES
from costbatch.domain.accounts import AccessMethod, Account, AccountStatus
from costbatch.domain.anomalies import Anomaly, AnomalyChange, AnomalyState, ChangeKind
from costbatch.domain.costs import CostBasis
from costbatch.domain.detection import Contribution, Direction, Severity
from costbatch.domain.events import EventType, anomaly_event
from costbatch.errors import ErrorKind

ROOT = Path(__file__).resolve().parents[1]
README, CONTRIBUTING, CHANGELOG = "README.md", "CONTRIBUTING.md", "CHANGELOG.md"
OURS = (
    README,
    CONTRIBUTING,
    CHANGELOG,
    "benchmarks/README.md",
    "benchmarks/comparison.md",
    "benchmarks/growth.md",
)
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in OURS}

# Everything that a document links to outside of this repository, and this machine itself.
HOSTS = {"keepachangelog.com", "semver.org", "127.0.0.1"}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def code_blocks(document: str, language: str) -> list[str]:
    """Return a document's blocks of code in one language."""
    return [body for tag, body in _FENCE.findall(TEXTS[document]) if tag == language]


def prose(document: str) -> str:
    """Return a document without its blocks of code."""
    return _FENCE.sub("", TEXTS[document])


def section(title: str) -> str:
    """Return the README's text below a heading, up to the next heading of its level."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", prose(README), re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no section {title!r}"
    return found.group(1)


def rows(title: str, first_column: str) -> list[list[str]]:
    """Return the cells of the table in a section whose first column has this name."""
    found = re.search(rf"^\| {first_column} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", section(title), re.MULTILINE)
    assert found, f"the section {title!r} has no table of {first_column!r}"
    lines = found.group(1).splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def bare(cell: str) -> str:
    """Return a cell's text without its marks of code."""
    return cell.replace("`", "").replace("\\|", "|")


def column(title: str, first_column: str) -> list[str]:
    """Return the first column of a table, without its marks of code."""
    return [bare(row[0]) for row in rows(title, first_column)]


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Return every command that is not a group, by what a person types."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    ctx = click.Context(command)
    for each in command.list_commands(ctx):
        found = command.get_command(ctx, each)
        assert found is not None
        yield from commands(found, f"{name} {each}")


COMMANDS = dict(commands(cli, "costbatch"))


def options_of(command: click.Command) -> set[str]:
    """Return every spelling of a command's options."""
    ctx = click.Context(command, help_option_names=["-h", "--help"])
    return {spelling for option in command.get_params(ctx) for spelling in option.opts}


def test_the_commands_are_those_of_the_program() -> None:
    """Each command and subcommand has one line, and no line is left of one that went."""
    assert column("Commands", "command") == sorted(COMMANDS)


def test_the_options_of_collect_are_those_of_the_program() -> None:
    """Each option has one line by its long name, and none is left of one that went."""
    documented = [option.split()[0] for option in column("Commands", "option")]
    options = {option for option in options_of(COMMANDS["costbatch collect"]) if option.startswith("--")}
    assert sorted(documented) == sorted(options - {"--help"})


def test_the_exit_statuses_are_those_of_the_program() -> None:
    """Scripts are written from this table, so number and sentence are the program's own."""
    documented = [(int(row[0]), bare(row[1])) for row in rows("Exit statuses", "status")]
    assert documented == [(int(status), bare(status.sentence)) for status in ExitStatus]


def test_the_variables_are_those_of_the_program_with_their_defaults() -> None:
    """Name, default and meaning of each variable are those that the program works with."""
    documented = [tuple(map(bare, row)) for row in rows("Configuration", "variable")]
    assert documented == [(one.name, one.default or "", one.description) for one in VARIABLES]


def test_no_document_names_a_variable_that_is_not_there() -> None:
    """A name in the prose is one that the program reads, with _FILE or without."""
    known = {f"{one.name}{suffix}" for one in VARIABLES for suffix in ("", "_FILE")}
    named = {name for text in TEXTS.values() for name in re.findall(r"COSTBATCH_[A-Z_]*[A-Z]\b(?!…)", text)}
    assert named <= known


def test_the_metrics_are_those_of_the_program() -> None:
    """Dashboards are written from this table: name, labels and meaning are the program's own."""
    documented = [tuple(map(bare, row)) for row in rows("Metrics", "metric")]
    assert documented == [(one.name, ", ".join(one.labels), one.help) for one in METRICS]


def test_the_event_types_are_those_of_the_program() -> None:
    """A receiver routes by type."""
    assert column("Events", "type") == [one.value for one in EventType]


def test_the_error_kinds_are_those_of_the_program_with_their_advice() -> None:
    """What to do is said once, in the program, and repeated here to the letter."""
    documented = [tuple(map(bare, row)) for row in rows("Errors of an account", "kind")]
    retried = {True: "yes", False: "no"}
    expected = [(kind.value, retried[kind.is_transient], bare(kind.advice)) for kind in ErrorKind]
    assert documented == expected


def test_the_targets_are_those_of_the_makefile() -> None:
    """The door to the project has no hidden and no dead handle."""
    targets = re.findall(r"^([a-z0-9-]+):.*## (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    documented = [tuple(map(bare, row)) for row in rows("Development", "target")]
    assert documented == [(f"make {name}", bare(about)) for name, about in targets]


def test_every_make_target_that_a_document_names_is_there() -> None:
    """Not only the table: prose and blocks of code name targets too."""
    targets = {name.removeprefix("make ") for name in column("Development", "target")}
    for name, text in TEXTS.items():
        named = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", text, re.MULTILINE))
        assert named <= targets, name


def test_the_tables_are_those_of_the_schema() -> None:
    """Each table has one line, and the columns that it names are there."""
    documented = {bare(row[0]): bare(row[2]).split(", ") for row in rows("Tables", "table")}
    assert set(documented) == set(metadata.tables)
    for table, columns in documented.items():
        assert set(columns) <= set(metadata.tables[table].columns.keys()), table


def test_the_picture_of_the_schema_shows_every_foreign_key() -> None:
    """A line of the picture is a foreign key, and every foreign key is a line."""
    (picture,) = [block for block in code_blocks(README, "mermaid") if block.startswith("erDiagram")]
    drawn = re.findall(r"^ +(\w+) [|}o]+--[|{o]+ (\w+) :", picture, re.MULTILINE)
    keys = [
        (key.column.table.name, table.name)
        for table in metadata.tables.values()
        for key in table.foreign_keys
    ]
    assert sorted(drawn) == sorted(keys)


def test_the_queries_run_on_the_real_schema(database: PostgresDatabase) -> None:
    """An analyst can copy each of them as it is."""
    with database.connection() as connection:
        for block in code_blocks(README, "sql"):
            for statement in filter(str.strip, block.split(";")):
                connection.execute(sa.text(statement))
        can_read = sa.text("SELECT has_table_privilege('costbatch_reader', :table, 'SELECT')")
        readable = {name for name in metadata.tables if connection.scalar(can_read, {"table": name})}
        connection.rollback()
    assert readable == set(metadata.tables) - {"account_credentials"}


def test_the_example_of_an_event_has_the_members_of_a_real_one() -> None:
    """A receiver is written from the example, so nothing may be missing or have another name."""
    (example,) = [block for block in code_blocks(README, "json") if "specversion" in block]
    assert _shape(json.loads(example)) == _shape(_real_event())


def _shape(value: object) -> object:
    """Return the names of a document's members, without its values."""
    if isinstance(value, dict):
        return {name: _shape(member) for name, member in value.items()}
    return [_shape(member) for member in value[:1]] if isinstance(value, list) else None


def _real_event() -> dict[str, object]:
    access = AccessMethod.ACCESS_KEYS
    account = Account(id=1, aws_account_id="1" * 12, name="x", status=AccountStatus.ACTIVE, access=access)
    anomaly = Anomaly(
        id=UUID(int=1),
        account_id=1,
        service=None,
        direction=Direction.SPIKE,
        state=AnomalyState.OPEN,
        severity=Severity.LOW,
        start_date=date(2026, 1, 1),
        last_date=date(2026, 1, 1),
        currency="USD",
        cost_basis=CostBasis.UNBLENDED,
        expected=Decimal(1),
        actual=Decimal(2),
        explanation=(Contribution("x", Decimal(1), Decimal(2)),),
    )
    change = AnomalyChange(ChangeKind.DETECTED, anomaly)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return anomaly_event(change, account, run_id=UUID(int=2), now=now).to_cloudevent()


def test_every_block_of_json_is_json() -> None:
    """Policies are copied into consoles that do not forgive a comma."""
    for block in code_blocks(README, "json"):
        json.loads(block)


def shell_lines() -> Iterator[str]:
    """Return every line of shell in the documents, continued ones as one."""
    for document in OURS:
        for block in code_blocks(document, "sh"):
            yield from (line for line in block.replace("\\\n", " ").splitlines() if line.strip())


def costbatch_calls() -> Iterator[list[str]]:
    """Return the arguments of every call of costbatch in the blocks of shell, without redirections."""
    for line in shell_lines():
        words = shlex.split(re.split(r" [<>|] ", line)[0], comments=True)
        names = [index for index, word in enumerate(words) if Path(word).name == "costbatch"]
        # A path such as /opt/costbatch is an argument of something else.
        if names and not any(word in {"pip", "python3", "export"} for word in words[: names[0]]):
            yield words[names[0] + 1 :]


def parse_call(arguments: list[str]) -> click.Context:
    """Let click parse a call down to its last subcommand, without running anything."""
    ctx = cli.make_context("costbatch", list(arguments))
    while isinstance(ctx.command, click.Group):
        rest = [*ctx._protected_args, *ctx.args]
        name, command, rest = ctx.command.resolve_command(ctx, rest)
        assert command is not None
        ctx = command.make_context(name, rest, parent=ctx)
    return ctx


@pytest.mark.parametrize("arguments", list(costbatch_calls()), ids=" ".join)
def test_every_call_of_costbatch_in_a_block_of_shell_is_valid(arguments: list[str]) -> None:
    """A line to copy is one that the command line takes."""
    assert parse_call(arguments).command in COMMANDS.values()


def test_a_call_that_is_not_valid_is_noticed() -> None:
    """The check above is one: click refuses unknown commands and options."""
    for arguments in (["colect"], ["collect", "--dry"], ["accounts", "add", "12"], ["accounts", "frob"]):
        with pytest.raises(click.UsageError):
            parse_call(arguments)


def test_every_command_in_the_prose_is_there_with_its_options() -> None:
    """A mention of a command may leave arguments out, but not invent any."""
    for name in OURS:
        for span in _CODE.findall(prose(name)):
            words = bare(span).split()
            if words[0] != "costbatch":
                continue
            known = [command for command in COMMANDS if " ".join(words).startswith(command)]
            groups = [command for command in COMMANDS if command.startswith(" ".join(words))]
            assert known or groups, f"{name}: {span}"
            options = {word for word in words if word.startswith("-")}
            assert not known or options <= options_of(COMMANDS[known[0]]), f"{name}: {span}"


def test_every_option_in_the_prose_is_one_of_some_command() -> None:
    """An option that is named alone belongs to a command that is there."""
    known = {option for command in COMMANDS.values() for option in options_of(command)}
    for name in OURS:
        spans = [bare(span).split()[0] for span in _CODE.findall(prose(name))]
        assert {word for word in spans if word.startswith("--")} <= known, name


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    """Files and headings that are linked are there; other hosts are few and known."""
    for name in OURS:
        for target in _LINK.findall(prose(name)):
            if "://" in target:
                assert re.sub(r"^https://([^/]+)/.*$", r"\1", target) in HOSTS, f"{name}: {target}"
                continue
            path, _, anchor = target.partition("#")
            document = ROOT / name if not path else (ROOT / name).parent / path
            assert document.exists(), f"{name}: {target}"
            assert not anchor or anchor in anchors(document), f"{name}: {target}"


def test_no_address_of_another_host_stands_in_a_document() -> None:
    """Where packages come from is each machine's own affair; so are its paths."""
    for name, text in TEXTS.items():
        assert set(re.findall(r"https?://([\w.-]+)", text)) <= HOSTS, name
        assert not re.search(r"index-url|/home/|/root/|/tmp/|/work/", text), name


def test_the_changelog_begins_with_this_version_or_what_is_unreleased() -> None:
    """A release has its heading, and what comes after the last one has a place."""
    first = re.findall(r"^## \[(.+?)\]", TEXTS[CHANGELOG], re.MULTILINE)[0]
    assert first in {"Unreleased", __version__}


def test_the_licence_is_the_one_that_the_package_declares() -> None:
    """The full text, not a mention of it."""
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_markdown_has_one_sentence_per_line() -> None:
    """A change to a sentence is a change to one line; items of lists and tables are lines of their own."""
    for name in OURS:
        lines = [line for line in prose(name).splitlines() if not line.startswith(("|", "- ", "  "))]
        crowded = [line for line in lines if re.search(r"[a-z)`][.!?] +[A-Z]", line)]
        assert not crowded, name
