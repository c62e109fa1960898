"""What Grafana does with a dashboard: its schema, its variables and the macros of its SQL data sources."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from costbatch.domain.periods import instant


def unknown_members(document: dict[str, Any]) -> list[str]:
    """Return the places in a dashboard that Grafana's schema does not know, or reads otherwise."""
    register_default_plugins()
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    return list(_differences(document, known, ""))


def _differences(value: object, known: object, path: str) -> Iterator[str]:
    if isinstance(value, dict) and isinstance(known, dict):
        for name, member in value.items():
            if name in known:
                yield from _differences(member, known[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(value, list) and isinstance(known, list) and len(value) == len(known):
        for place, (item, other) in enumerate(zip(value, known, strict=True)):
            yield from _differences(item, other, f"{path}[{place}]")
    elif value != known:
        yield path


def interpolated(query: str, variables: Mapping[str, Sequence[str]], start: datetime, end: datetime) -> str:
    """Return a query of a PostgreSQL panel as Grafana sends it, with these values chosen."""
    first, last = (f"'{instant(moment.replace(microsecond=0))}'" for moment in (start, end))
    query = re.sub(r"\$__timeFilter\((.+?)\)", rf"\1 BETWEEN {first} AND {last}", query)
    for name, values in variables.items():
        quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
        query = query.replace(f"${{{name}:sqlstring}}", quoted).replace(f"${{{name}:raw}}", ",".join(values))
    assert "$" not in query, f"Something is left to be replaced: {query}"
    return query
