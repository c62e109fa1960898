"""The documents, and what in them is generated: every table that the program already knows.

A generated part stands between two comments that name it. ``make docs`` writes each of them anew, and
tests/test_docs.py compares; nothing in them is typed by hand.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from costbatch.adapters.postgres.tables import metadata
from costbatch.cli import cli
from costbatch.cli.exit_status import ExitStatus
from costbatch.config import VARIABLES
from costbatch.domain.deliveries import DeliveryState
from costbatch.domain.events import EventType
from costbatch.errors import ErrorKind
from tests.support.metrics import METRICS

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *PAGES,
    "benchmarks/README.md",
    "benchmarks/comparison.md",
    "benchmarks/growth.md",
)
# What the read-only role of docs/schema.md may not see.
SECRET_TABLES = frozenset({"account_credentials"})

_GENERATED = re.compile(r"<!-- generated: ([a-z-]+) -->\n(.*?)<!-- end of generated -->", re.DOTALL)

# The program only needs the names; a receiver wants to know when each one comes.
EVENT_MEANINGS = {
    EventType.ANOMALY_DETECTED: (
        "An anomaly is found, or found again after it was resolved as `restated` or `merged`."
    ),
    EventType.ANOMALY_UPDATED: (
        "Its days, its severity or its amounts changed; a change below the smallest unit of its currency,"
        " such as a cent, raises no event."
    ),
    EventType.ANOMALY_RESOLVED: "The anomaly is over; `resolution` says why.",
    EventType.ANOMALY_REMINDER: (
        "The anomaly has gone on for another `COSTBATCH_REMIND_DAYS` days without an answer; "
        "only if that is set."
    ),
    EventType.ANOMALY_EXPLAINED: (
        "The regions and usage types behind an anomaly were found, in the run that found it or later; "
        "only if `COSTBATCH_ROOT_CAUSE_MINIMUM` is set."
    ),
    EventType.INCIDENT_DETECTED: (
        "Anomalies of two or more accounts began on the same day, in the same service and direction: "
        "one message with members and a total. It comes again, with the same `incident.id`, if members join."
    ),
    EventType.SERVICE_FIRST_CHARGED: "An account pays for a service that it has never paid for: once.",
    EventType.DORMANT_ACCOUNT_CHARGED: (
        "An account of `COSTBATCH_DORMANT_ACCOUNTS` begins to cost something: once each time."
    ),
    EventType.ANOMALY_ANSWERED: (
        "Someone answered an open anomaly, withdrew the answer, or planned a change that covers it; or AWS "
        "corrected its days, and it is no longer beyond the level of an answer; or it is acknowledged, and "
        "no longer silent, or found again: `standing` says how it stands now, `answer` who said what and why."
    ),
    EventType.ACCOUNT_FAILED: (
        "An account begins to fail in a job, fails for another reason than before, or fails again after it "
        "was removed and added: once, not every night; a backfill does not count."
    ),
    EventType.ACCOUNT_RECOVERED: (
        "An account that failed succeeds again, in the same job; a backfill does not count."
    ),
    EventType.REGION_FIRST_USED: (
        "An account has its first resource in a region that it never used; not at its first discovery, and "
        "not in `COSTBATCH_EXPECTED_REGIONS`."
    ),
    EventType.SERVICE_FIRST_USED: (
        "An account has its first resource of a service that it never used; not at its first discovery."
    ),
    EventType.RUN_COMPLETED: "A run ended with at least one account done, or with nothing to do.",
    EventType.RUN_FAILED: "A run ended with no account done.",
    EventType.RUN_STOPPED: "The deadline passed before every account was done.",
    EventType.SINK_TEST: "`costbatch events test` sends it to one sink; it is not stored.",
}


def commands(command: click.Command = cli, name: str = "costbatch") -> Iterator[tuple[str, click.Command]]:
    """Return every command that is not a group, with its full name."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    ctx = click.Context(command)
    for each in command.list_commands(ctx):
        found = command.get_command(ctx, each)
        assert found is not None
        yield from commands(found, f"{name} {each}")


def command_list() -> str:
    """Return one row for each command, with a link to its part of the reference."""
    return _table(
        ("command", "what it does"),
        ((f"[`{name}`](#{name.replace(' ', '-')})", _paragraphs(command)[0]) for name, command in commands()),
    )


def command_reference() -> str:
    """Return each command's help: how it is called, its options and its example."""
    return "\n".join("\n".join(_help(name, command)) for name, command in commands())


def _help(name: str, command: click.Command) -> Iterator[str]:
    ctx = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(ctx)])
    yield f"### {name}\n"
    yield f"`{usage}`\n"
    for paragraph in _paragraphs(command):
        yield re.sub(r"(?<=[.?!]) (?=[A-Z`])", "\n", paragraph) + "\n"
    # Without --help, whose spelling depends on whether the command has run before: click keeps it.
    records = (each.get_help_record(ctx) for each in command.params if isinstance(each, click.Option))
    options = [(f"`{spelling}`", text.replace("  [", " [")) for spelling, text in filter(None, records)]
    yield _table(("option", "meaning"), options)
    if command.epilog:
        example = command.epilog.partition("Example:\n")[2]
        yield f"```sh\n{inspect.cleandoc(example)}\n```\n"


def _paragraphs(command: click.Command) -> list[str]:
    return [" ".join(part.split()) for part in inspect.cleandoc(command.help or "").split("\n\n")]


def exit_statuses() -> str:
    """Return each exit status with its sentence."""
    return _table(("status", "meaning"), ((str(int(one)), one.sentence) for one in ExitStatus))


def variables() -> str:
    """Return each variable with its default and its meaning."""
    return _table(
        ("variable", "default", "meaning"),
        ((f"`{one.name}`", f"`{one.default}`" if one.default else "", one.description) for one in VARIABLES),
    )


def metrics() -> str:
    """Return each metric with its labels."""
    return _table(
        ("metric", "labels", "meaning"),
        ((f"`{one.name}`", ", ".join(f"`{each}`" for each in one.labels), one.help) for one in METRICS),
    )


def event_types() -> str:
    """Return each type of event and when it is raised."""
    return _table(("type", "when"), ((f"`{one.value}`", EVENT_MEANINGS[one]) for one in EventType))


def delivery_states() -> str:
    """Return each state of a delivery with its meaning."""
    return _table(("state", "meaning"), ((f"`{one.value}`", one.sentence) for one in DeliveryState))


def error_kinds() -> str:
    """Return each reason why an account can fail, with its advice."""
    return _table(
        ("kind", "retried within the run", "what to do"),
        ((f"`{kind.value}`", "yes" if kind.is_transient else "no", kind.advice) for kind in ErrorKind),
    )


def make_targets() -> str:
    """Return each target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z0-9-]+):.*## (.*)$", makefile, re.MULTILINE)
    return _table(("target", "what it does"), ((f"`make {name}`", about) for name, about in targets))


def schema_tables() -> str:
    """Return each table with its comment and a link to its columns."""
    return _table(
        ("table", "what it holds"),
        ((f"[`{name}`](#{name})", f"{table.comment}.") for name, table in metadata.tables.items()),
    )


def schema_columns() -> str:
    """Return the columns of each table, as the schema comments on them."""
    return "\n".join(
        f"### `{name}`\n\n" + _table(("column", "type", "meaning"), map(_column, table.columns))
        for name, table in metadata.tables.items()
    )


def _column(column: sa.Column[object]) -> tuple[str, str, str]:
    type_ = str(column.type.compile(dialect=postgresql.dialect())).partition(" COLLATE")[0].lower()  # type: ignore[no-untyped-call] # SQLAlchemy's
    return f"`{column.name}`", type_ if column.nullable else f"{type_}, not null", column.comment or ""


def schema_picture() -> str:
    """Return the foreign keys as a diagram; a line is named by the column that refers."""
    lines = [
        f"    {key.column.table.name} {'|o' if key.parent.nullable else '||'}--"
        f"{'o|' if list(table.primary_key) == [key.parent] else 'o{'} {table.name} : {key.parent.name}"
        for table in metadata.tables.values()
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name)
    ]
    drawn = {word for line in lines for word in line.split()}
    lines += [f"    {name} {{\n    }}" for name in metadata.tables if name not in drawn]
    return "\n".join(["```mermaid", "erDiagram", *lines, "```", ""])


def reader_role() -> str:
    """Return the statements that make a role which may read everything but credentials."""
    readable = ", ".join(name for name in metadata.tables if name not in SECRET_TABLES)
    return (
        "```sql\n"
        "CREATE ROLE costbatch_reader LOGIN;\n"
        "GRANT USAGE ON SCHEMA public TO costbatch_reader;\n"
        f"GRANT SELECT ON {readable} TO costbatch_reader;\n"
        "```\n"
    )


GENERATORS: Mapping[str, Callable[[], str]] = {
    "commands": command_list,
    "command-reference": command_reference,
    "exit-statuses": exit_statuses,
    "variables": variables,
    "metrics": metrics,
    "event-types": event_types,
    "delivery-states": delivery_states,
    "error-kinds": error_kinds,
    "make-targets": make_targets,
    "schema-tables": schema_tables,
    "schema-columns": schema_columns,
    "schema-picture": schema_picture,
    "reader-role": reader_role,
}


def generated_parts(text: str) -> list[str]:
    """Return the names of a document's generated parts."""
    return [name for name, _ in _GENERATED.findall(text)]


def regenerated(text: str) -> str:
    """Return a document with its generated parts as they should be."""

    def part(found: re.Match[str]) -> str:
        return f"<!-- generated: {found[1]} -->\n{GENERATORS[found[1]]()}<!-- end of generated -->"

    return _GENERATED.sub(part, text)


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ([cell.replace("|", r"\|") for cell in row] for row in (titles, *rows))
    header, *rest = [f"| {' | '.join(line)} |\n" for line in lines]
    return "".join([header, f"|{'---|' * len(titles)}\n", *rest])


def main() -> None:
    """Write the generated parts of every document anew; all of them are made before one is written."""
    if missing := set(EventType) - EVENT_MEANINGS.keys():
        sys.exit(
            f"EVENT_MEANINGS in tests/support/documents.py lacks {', '.join(sorted(missing))}: "
            "say there when it is raised."
        )
    paths = [ROOT / name for name in DOCUMENTS]
    texts = [regenerated(path.read_text(encoding="utf-8")) for path in paths]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
