"""The documents and the program say the same: a name in one of them exists in the other."""

import ast
import json
import pkgutil
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib import import_module
from pathlib import Path
from uuid import UUID

import click
import pytest
import sqlalchemy as sa

import costbatch.domain
from costbatch import __version__
from costbatch.adapters.aws import operations
from costbatch.adapters.aws.operations import DISCOVERY, GET_ANOMALIES, GET_COST_AND_USAGE
from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.partitions import PARTITIONED
from costbatch.adapters.postgres.tables import metadata
from costbatch.adapters.sinks import make_sinks
from costbatch.cli import cli
from costbatch.config import VARIABLES
from costbatch.config.sinks import parse_file
from costbatch.domain.accounts import AccessMethod, Account, AccountStatus
from costbatch.domain.anomalies import Anomaly, AnomalyChange, AnomalyState, ChangeKind, Trend
from costbatch.domain.costs import CostBasis
from costbatch.domain.detection import Contribution, Direction, Severity
from costbatch.domain.event_kinds import KINDS
from costbatch.domain.events import EventType, anomaly_event
from costbatch.domain.expectations import SeriesDay
from costbatch.domain.metrics import Metric
from tests.support.documents import (
    DOCUMENTS,
    EVENT_MEANINGS,
    GENERATORS,
    PAGES,
    ROOT,
    SECRET_TABLES,
    commands,
    generated_parts,
    main,
    regenerated,
)
from tests.support.metrics import METRICS
from tests.support.sinks import SIGNING, make_context

CHART_README = "helm/costbatch/README.md"
# Names in code marks that only other programs have.
FOREIGN_NAMES = {
    "CreateContainerConfigError",
    "DeadlineExceeded",
    "OOMKilled",
    "NUMERIC",
    "VACUUM",
    "dlt",
    "exported_job",
    "exported_namespace",
    "target_session_attrs",
}
SOURCES = {".py", ".yaml", ".json", ".txt", ".tpl"}
MOST_BYTES_OF_README = 10_000
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in (*DOCUMENTS, CHART_README)}

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


def bare(cell: str) -> str:
    """Return a cell's text without its marks of code."""
    return cell.replace("`", "").replace("\\|", "|")


COMMANDS = dict(commands())


def options_of(command: click.Command) -> set[str]:
    """Return every spelling of a command's options."""
    ctx = click.Context(command, help_option_names=["-h", "--help"])
    return {spelling for option in command.get_params(ctx) for spelling in option.opts}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_generated_parts_are_those_of_the_program(name: str) -> None:
    """Scripts, alerts and receivers are written from these tables; after a change, run `make docs`."""
    assert TEXTS[name] == regenerated(TEXTS[name])


def test_each_generated_part_has_one_place() -> None:
    """What the program knows of itself is in the documents, and only once."""
    parts = [part for name in DOCUMENTS for part in generated_parts(TEXTS[name])]
    assert sorted(parts) == sorted(GENERATORS)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("commands", [f"`{name}`" for name in COMMANDS]),
        ("command-reference", [f"\n### {name}\n" for name in COMMANDS][1:]),
        ("variables", [f"| `{one.name}` |" for one in VARIABLES]),
        ("event-types", [f"| `{one.value}` |" for one in EventType]),
        ("schema-tables", [f"[`{name}`]" for name in metadata.tables]),
        (
            "schema-columns",
            [
                f"| `{name}` |"
                for table in metadata.tables.values()
                for name in [column.name for column in table.columns]
            ],
        ),
        ("schema-picture", [f" {name} " for name in metadata.tables]),
    ],
)
def test_a_generated_part_leaves_nothing_out(part: str, names: list[str]) -> None:
    """A generator that skipped a command or a table would agree with itself."""
    text = GENERATORS[part]()
    assert [name for name in names if name not in text] == []


def test_every_event_type_has_its_meaning() -> None:
    """A receiver routes by type, and must know when each one comes."""
    assert set(EVENT_MEANINGS) == set(EventType)


def test_the_events_that_a_log_of_warnings_omits_are_those_of_the_program() -> None:
    """Someone who reads only warnings must know what is not among them."""
    (listed,) = re.findall(
        r"At log level `warning` or `error` the log omits .*\((.+)\)\.", TEXTS["docs/alerts.md"]
    )
    assert set(re.findall(r"`(.+?)`", listed)) == {type_ for type_, kind in KINDS.items() if not kind.warns}


def test_the_tables_with_partitions_are_those_of_the_program() -> None:
    """A query that names a partition fails when its month is dropped."""
    (listed,) = re.findall(r"^- (.+) are partitioned by month\.", TEXTS["docs/schema.md"], re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", listed)) == {*PARTITIONED}


def test_the_picture_of_the_schema_shows_every_foreign_key() -> None:
    """A line of the picture is a foreign key, and every foreign key is a line."""
    drawn = re.findall(r"^ +(\w+) [|}o]+--[|{o]+ (\w+) :", GENERATORS["schema-picture"](), re.MULTILINE)
    keys = [
        (key.column.table.name, table.name)
        for table in metadata.tables.values()
        for key in table.foreign_keys
    ]
    assert sorted(drawn) == sorted(keys)


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    """A reader sees in one look what it is, and finds the rest from there."""
    assert len(TEXTS["README.md"].encode()) <= MOST_BYTES_OF_README
    assert set(PAGES) <= set(_LINK.findall(TEXTS["README.md"]))


_LEVELS = {each: each for each in ("debug", "info", "warning", "error")} | {"exception": "error"}


def logged_events() -> Iterator[tuple[str, str]]:
    """Return each log event of the program with a level that it is written at, as the sources have them."""
    # The sink picks its level by the type of the event.
    yield from (("event", "info"), ("event", "warning"))
    for path in (ROOT / "costbatch").rglob("*.py"):
        if "simulator" in path.parts:
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            names, level = list[ast.expr](), "warning"
            if isinstance(call.func, ast.Attribute) and call.func.attr in _LEVELS:
                if re.match(r"_?log$|get_logger\(", ast.unparse(call.func.value)):
                    names, level = call.args[:1], _LEVELS[call.func.attr]
            elif isinstance(call.func, ast.Name) and call.func.id == "readable":
                names, level = call.args[2:3], "error"
            # What a job's outcome asks the engine to log.
            names += [each.value for each in call.keywords if each.arg == "warnings"]
            texts = (each for name in names for each in _names_in(name))
            yield from ((text, level) for text in texts)


def _names_in(node: ast.expr) -> Iterator[str]:
    """Return the texts of a constant, of both branches of a choice, or of a dictionary's keys."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*_names_in(body), *_names_in(orelse))
        case ast.Dict(keys=keys):
            yield from (text for key in keys if key for text in _names_in(key))


def test_every_log_event_is_in_the_table_with_its_level() -> None:
    """Whoever greps the log at night finds what a line means and whether to act."""
    section = TEXTS["docs/metrics-and-events.md"].partition("\n## Log events\n")[2]
    rows = re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \|", section, re.MULTILINE)
    documented = {(name, level) for name, levels in rows for level in levels.split(", ")}
    assert documented == set(logged_events())


def test_no_document_names_a_variable_that_is_not_there() -> None:
    """A name in the prose is one that the program reads, with _FILE or without."""
    known = {f"{one.name}{suffix}" for one in VARIABLES for suffix in ("", "_FILE")}
    named = {name for text in TEXTS.values() for name in re.findall(r"COSTBATCH_[A-Z_]*[A-Z]\b(?!…)", text)}
    assert named <= known


def test_no_document_names_what_is_gone() -> None:
    """A column, a log event, an error kind: such names in code marks occur in the sources, word for word.

    So do the files of the tests.
    """
    folders = [ROOT / name for name in ("costbatch", "helm", "tests/support")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in SOURCES]
    sources = {word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}
    sources |= {path.stem for path in (ROOT / "tests").rglob("*.py")}
    for name in {*TEXTS} - {"CHANGELOG.md"}:
        spans = _CODE.findall(prose(name))
        named = {word for span in spans for word in re.findall(r"[a-z]+(?:_[a-z]+)+|^`[A-Za-z]\w+`$", span)}
        assert {bare(word) for word in named} - sources - FOREIGN_NAMES == set(), name


def test_every_path_in_a_document_exists() -> None:
    """A reader who is sent to a file finds it."""
    for name in {*TEXTS} - {"CHANGELOG.md"}:
        paths = re.findall(
            r"`((?:costbatch|tests|alembic|helm|docs|benchmarks|\.ci|\.github)/[^` ]*)`", prose(name)
        )
        assert [path for path in paths if not (ROOT / path).exists()] == [], name


def test_every_make_target_that_a_document_names_is_there() -> None:
    """Prose and blocks of code name targets too."""
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name, text in TEXTS.items():
        named = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", text, re.MULTILINE))
        assert named <= targets, name


def test_the_queries_run_on_the_real_schema(database: PostgresDatabase) -> None:
    """An analyst can copy each of them as it is."""
    with database.connection() as connection:
        for block in code_blocks("docs/schema.md", "sql"):
            for statement in filter(str.strip, block.split(";")):
                connection.execute(sa.text(statement))
        can_read = sa.text("SELECT has_table_privilege('costbatch_reader', :table, 'SELECT')")
        readable = {name for name in metadata.tables if connection.scalar(can_read, {"table": name})}
        connection.rollback()
    assert readable == set(metadata.tables) - SECRET_TABLES


def test_the_example_of_an_event_has_the_members_of_a_real_one() -> None:
    """A receiver is written from the example, so nothing may be missing or have another name."""
    (example,) = code_blocks("docs/metrics-and-events.md", "json")
    assert _shape(json.loads(example)) == _shape(_real_event())


@pytest.mark.parametrize("block", code_blocks("docs/alerts.md", "yaml"))
def test_each_file_of_sinks_can_be_pasted(block: str, tmp_path: Path) -> None:
    """As it is, once the files that it refers to are there."""
    folder = "/etc/costbatch/sinks/"
    for name in re.findall(rf"{folder}([\w-]+)", block):
        (tmp_path / name).write_text("json://127.0.0.1/" if name.endswith("-url") else SIGNING)
    sinks, _ = parse_file(block.replace(folder, f"{tmp_path}/"), "sinks.yaml", {})
    assert len(make_sinks(sinks, make_context())) == len(sinks) > 0


def _shape(value: object) -> object:
    """Return the names of a document's members, without its values."""
    if isinstance(value, dict):
        return {name: _shape(member) for name, member in value.items()}
    return [_shape(member) for member in value[:1]] if isinstance(value, list) else None


def _real_event() -> dict[str, object]:
    access = AccessMethod.ACCESS_KEYS
    account = Account(
        id=1,
        aws_account_id="1" * 12,
        name="x",
        status=AccountStatus.ACTIVE,
        access=access,
        labels=(("team", "payments"),),
    )
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
        peak=Decimal(2),
        explanation=(Contribution("x", Decimal(1), Decimal(2)),),
    )
    change = AnomalyChange(ChangeKind.DETECTED, anomaly)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    trend = Trend(newest=date(2026, 1, 1), is_complete=False, days=(SeriesDay(date(2026, 1, 1), Decimal(2)),))
    return anomaly_event(change, account, trend, run_id=UUID(int=2), now=now).to_cloudevent()


def test_every_block_of_json_is_json() -> None:
    """Policies are copied into consoles that do not forgive a comma."""
    for name in DOCUMENTS:
        for block in code_blocks(name, "json"):
            json.loads(block)


def shell_lines() -> Iterator[str]:
    """Return every line of shell in the documents, continued ones as one."""
    for document in DOCUMENTS:
        for block in code_blocks(document, "sh"):
            yield from (line for line in block.replace("\\\n", " ").splitlines() if line.strip())


def costbatch_calls() -> Iterator[list[str]]:
    """Return the arguments of every call of costbatch in the blocks of shell, without redirections."""
    for line in shell_lines():
        words = shlex.split(re.split(r" [<>|] ", line)[0], comments=True)
        names = [index for index, word in enumerate(words) if Path(word).name == "costbatch"]
        # A path such as /opt/costbatch or the name of a release is an argument of something else.
        if names and not any(
            word in {"pip", "python3", "export", "helm", "patch"} for word in words[: names[0]]
        ):
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


def test_what_comes_before_the_installation_needs_no_program_on_the_path() -> None:
    """`make demo` leaves it in `.venv`; the chart is installed from anywhere, where an error makes no key."""
    for name in {*TEXTS} - {"docs/commands.md"}:
        assert not re.findall(r"(?<!\.venv/bin/)costbatch demo\b", TEXTS[name]), name
        assert "$(costbatch" not in TEXTS[name], name


def test_a_call_that_is_not_valid_is_noticed() -> None:
    """The check above is one: click refuses unknown commands and options."""
    for arguments in (["colect"], ["collect", "--dry"], ["accounts", "add", "12"], ["accounts", "frob"]):
        with pytest.raises(click.UsageError):
            parse_call(arguments)


def test_every_command_in_the_prose_is_there_with_its_options() -> None:
    """A mention of a command may leave arguments out, but not invent any."""
    for name in DOCUMENTS:
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
    for name in DOCUMENTS:
        spans = [bare(span).split()[0] for span in _CODE.findall(prose(name))]
        assert {word for word in spans if word.startswith("--")} <= known, name


@cache
def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    """Files and headings that are linked are there; other hosts are few and known."""
    for name in TEXTS:
        for target in _LINK.findall(prose(name)):
            if "://" in target:
                assert re.sub(r"^https://([^/]+)/.*$", r"\1", target) in HOSTS, f"{name}: {target}"
                continue
            path, _, anchor = target.partition("#")
            document = ROOT / name if not path else (ROOT / name).parent / path
            assert document.exists(), f"{name}: {target}"
            assert not anchor or anchor in anchors(document), f"{name}: {target}"


def is_for_examples(host: str) -> bool:
    """Whether a host is in the domain that is reserved for documents."""
    return host == "example.com" or host.endswith(".example.com")


def test_no_address_of_another_host_stands_in_a_document() -> None:
    """Where packages come from is each machine's own affair; so are its paths."""
    for name, text in TEXTS.items():
        hosts = {host for host in re.findall(r"https?://([\w.-]+)", text) if not is_for_examples(host)}
        assert hosts <= HOSTS, name
        assert not re.search(r"index-url|/home/|/root/|/tmp/|/work/", text), name


def test_the_changelog_begins_with_this_version_or_what_is_unreleased() -> None:
    """A release has its heading, and what comes after the last one has a place."""
    first = re.findall(r"^## \[(.+?)\]", TEXTS["CHANGELOG.md"], re.MULTILINE)[0]
    assert first in {"Unreleased", __version__}


def test_the_licence_is_the_one_that_the_package_declares() -> None:
    """The full text, not a mention of it."""
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_the_policies_allow_what_is_called_and_no_more() -> None:
    """Each in the order of its document: of the costs, of AWS's own anomalies, and of each further job."""
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "docs/installation.md").read_text(), re.DOTALL)
    policies = [json.loads(block) for block in blocks if '"Statement"' in block]
    # A trust policy is about who may assume a role.
    statements = [each for policy in policies for each in policy["Statement"] if "Principal" not in each]
    collect, opinion, discover, *others = (each["Action"] for each in statements)
    assert collect == GET_COST_AND_USAGE.iam_action
    assert opinion == GET_ANOMALIES.iam_action
    assert sorted(discover) == sorted(operation.iam_action for operation in DISCOVERY)
    allowed = {collect, opinion, *discover, *(action for actions in others for action in actions)}
    called = {each for each in vars(operations).values() if isinstance(each, operations.Operation)}
    # Nobody can be denied it.
    called.remove(operations.GET_CALLER_IDENTITY)
    assert allowed == {each.iam_action for each in called}
    # An account that lacks a permission is told which.
    assert {each.name: each.iam_action for each in called}.items() <= operations.ACTIONS.items()


def test_a_type_of_event_without_a_meaning_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make docs` says so before it writes anything."""
    monkeypatch.delitem(EVENT_MEANINGS, EventType.SINK_TEST)
    monkeypatch.setattr(Path, "write_text", None)
    with pytest.raises(SystemExit, match=r"EVENT_MEANINGS .* lacks sink\.test: say there when"):
        main()


def test_every_metric_is_documented() -> None:
    """The table is made of a list in the tests, which whoever adds a metric to a report may forget."""
    modules = pkgutil.walk_packages(costbatch.domain.__path__, "costbatch.domain.")
    found = [each for module in modules for each in vars(import_module(module.name)).values()]
    assert {each for each in found if isinstance(each, Metric)} == set(METRICS)


def test_no_document_holds_both_sides_of_a_merge() -> None:
    """A conflict that was committed unresolved."""
    for name, text in TEXTS.items():
        assert not re.search(r"^(<<<<<<<|=======$|>>>>>>>)", text, re.MULTILINE), name


def test_markdown_has_one_sentence_per_line() -> None:
    """A change to a sentence is a change to one line; items of lists and tables are lines of their own."""
    item = re.compile(r"\||- |[0-9]\. |  ")
    for name in TEXTS:
        lines = [line for line in prose(name).splitlines() if not item.match(line)]
        crowded = [line for line in lines if re.search(r"[a-z)`][.!?] +[A-Z]", line)]
        assert not crowded, name
