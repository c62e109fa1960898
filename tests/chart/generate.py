"""Writes what follows from values.yaml and from the settings: the README's table and parts of the schema.

Run it as `python -m tests.chart.generate` after a change of either; a test holds the files against it.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from costbatch.config import PREFIX, VARIABLES
from costbatch.domain.collection import COLLECT
from costbatch.domain.discovery import DISCOVER
from costbatch.domain.jobs import JOBS
from tests.chart.chart import CHART, alerts

README, SCHEMA, VALUES = CHART / "README.md", CHART / "values.schema.json", CHART / "values.yaml"

_BEGIN, _END = "<!-- values -->\n", "<!-- /values -->"
_MARK = "# -- "
# The chart sets it itself, to the Job's uid.
_OURS = "COSTBATCH_RUN_KEY"


@dataclass(frozen=True, slots=True)
class Value:
    """One documented value: its path, its default and its comment."""

    path: tuple[str, ...]
    default: object
    comment: str

    def row(self) -> str:
        """Return the row of the README's table."""
        default = json.dumps(self.default).replace("|", "\\|")
        return f"| `{'.'.join(self.path)}` | `{default}` | {self.comment} |"


def documented_values() -> Iterator[Value]:
    """Return every value that has a comment, in the order of the file."""
    defaults = yaml.safe_load(VALUES.read_text())
    path: list[str] = []
    comment: list[str] = []
    for line in VALUES.read_text().splitlines():
        text = line.strip()
        if text.startswith(_MARK):
            comment = [text.removeprefix(_MARK)]
        elif text.startswith("#") and comment:
            comment.append(text.removeprefix("#").strip())
        elif match := re.match(r"( *)(\w+):", line):
            path = [*path[: len(match[1]) // 2], match[2]]
            if comment:
                yield Value(tuple(path), _at(defaults, path), " ".join(comment))
            comment = []
        else:
            comment = []


@cache
def _documented_paths() -> set[tuple[str, ...]]:
    return {value.path for value in documented_values()}


def undocumented_values(defaults: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Return every value without a comment of its own or of what it is in."""
    for name, value in defaults.items():
        here = (*path, name)
        if here in _documented_paths():
            continue
        if isinstance(value, dict) and value:
            yield from undocumented_values(value, here)
        else:
            yield ".".join(here)


def readme() -> str:
    """Return the README with its table as it should be."""
    before, _, rest = README.read_text().partition(_BEGIN)
    table = [
        "| value | default | what it is |",
        "|---|---|---|",
        *(value.row() for value in documented_values()),
    ]
    return before + _BEGIN + "\n".join(table) + "\n" + _END + rest.partition(_END)[2]


def add_blocks(document: dict[str, Any], values: Mapping[str, Any], jobs: Iterable[str]) -> None:
    """Let the schema take the block of values of every job as it takes that of discovery.

    Raises:
        SystemExit: the values have no such block, or one that lacks a key: the first job's would be taken.

    """
    for job in jobs:
        if job == COLLECT:
            continue
        if job not in values:
            sys.exit(f"values.yaml has no block `{job}`: write it as that of `{DISCOVER}`.")
        if missing := values[DISCOVER].keys() - values[job].keys():
            names = ", ".join(sorted(missing))
            sys.exit(f"The block `{job}` of values.yaml lacks {names}: write it as that of `{DISCOVER}`.")
        if job not in document["properties"]:
            document["properties"][job] = deepcopy(document["properties"][DISCOVER])
            document["required"].append(job)


def schema() -> str:
    """Return the schema with jobs, settings, alerts, variables and descriptions as they should be."""
    document = json.loads(SCHEMA.read_text())
    add_blocks(document, yaml.safe_load(VALUES.read_text()), JOBS)
    ours = [variable for variable in VARIABLES if variable.name != _OURS]
    document["definitions"]["variable"]["enum"] = [variable.name for variable in ours]
    settings: dict[str, Any] = {}
    for variable in ours:
        if variable.name.startswith(PREFIX):
            default = f" Default: {variable.default}." if variable.default else ""
            settings[variable.name] = {
                "type": ["string", "number", "boolean"],
                "description": variable.description + default,
            }
            settings[f"{variable.name}_FILE"] = {
                "type": "string",
                "description": f"A file with {variable.name}.",
            }
    document["properties"]["settings"]["properties"] = settings
    rule = _property(document, ("monitoring", "prometheusRule", "disabledAlerts"))
    rule["items"]["enum"] = list(alerts())
    for value in documented_values():
        _property(document, value.path)["description"] = value.comment
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _at(values: Any, path: list[str]) -> object:
    for name in path:
        values = values[name]
    return values


def _property(document: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    found = document
    for name in path:
        found = found["properties"][name]
    return found


if __name__ == "__main__":
    # Both are made before one is written.
    made = {README: readme(), SCHEMA: schema()}
    for file, text in made.items():
        file.write_text(text)
