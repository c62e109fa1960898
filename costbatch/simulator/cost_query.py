"""The parameters of GetCostAndUsage: parsed, checked as AWS does, and refused with its messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from json import JSONDecodeError, loads
from typing import Any

from costbatch.simulator.cost_filter import DIMENSIONS, Expression, parse_filter
from costbatch.simulator.errors import AwsError, validation_error
from costbatch.simulator.rendering import METRICS

DAILY, MONTHLY, HOURLY = "DAILY", "MONTHLY", "HOURLY"
HISTORY_MONTHS = 13
MOST_GROUPINGS = 2
MONTHS_OF_YEAR = 12
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


@dataclass(frozen=True, slots=True)
class CostQuery:
    """A valid query, without its page token: half-open usage dates, metrics and grouping."""

    start: date
    end_exclusive: date
    granularity: str
    metrics: tuple[str, ...]
    group_by: tuple[str, ...]
    filter: Expression | None


@dataclass(frozen=True, slots=True)
class CostRequest:
    """A query and the page that it asks for."""

    query: CostQuery
    page_token: str | None


# Under load all accounts send the same query except for their ids: it is checked once.
@lru_cache(maxsize=65536)
def parse_request(body: bytes, today: date) -> CostRequest:
    """Parse a request body."""
    data = json_object(body)
    granularity = _granularity(data)
    period = data.get("TimePeriod")
    if not isinstance(period, dict):
        raise _null("timePeriod")
    start, end = _day(period, "Start", granularity), _day(period, "End", granularity)
    _check_period(start, end, today)
    query = CostQuery(
        start=start,
        end_exclusive=end,
        granularity=granularity,
        metrics=_metrics(data.get("Metrics")),
        group_by=_group_by(data.get("GroupBy") or []),
        filter=parse_filter(data["Filter"]) if data.get("Filter") is not None else None,
    )
    return CostRequest(query=query, page_token=data.get("NextPageToken"))


def json_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON 1.1 request body."""
    try:
        data = loads(body or b"{}")
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise AwsError("SerializationException", "The request body is not valid JSON.") from error
    if not isinstance(data, dict):
        raise AwsError("SerializationException", "The request body must be a JSON object.")
    return data


def history_start(today: date) -> date:
    """Return the first usage date that Cost Explorer still keeps."""
    months = today.year * MONTHS_OF_YEAR + today.month - 1 - HISTORY_MONTHS
    return date(months // MONTHS_OF_YEAR, months % MONTHS_OF_YEAR + 1, 1)


def next_month(day: date) -> date:
    """Return the first day of the next month."""
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _granularity(data: dict[str, Any]) -> str:
    value = data.get("Granularity")
    if value is None:
        raise _null("granularity")
    if value == HOURLY:
        raise AwsError("AccessDeniedException", "Hourly data granularity is not enabled for this account.")
    if value not in (DAILY, MONTHLY):
        raise validation_error(
            f"1 validation error detected: Value '{value}' at 'granularity' failed to satisfy constraint: "
            "Member must satisfy enum value set: [DAILY, HOURLY, MONTHLY]"
        )
    return str(value)


def _day(period: dict[str, Any], name: str, granularity: str) -> date:
    value = period.get(name)
    if value is None:
        raise _null(f"timePeriod.{name.lower()}")
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        raise validation_error(f"{granularity} granularity needs {name} in the form yyyy-MM-dd.")
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise validation_error(
            f"1 validation error detected: Value '{value}' at 'timePeriod.{name.lower()}' failed to satisfy "
            r"constraint: Member must satisfy regular expression pattern: "
            r"(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}:\d{2}Z)?"
        )
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise validation_error(f"{name} date {value} is not a calendar date.") from None


def _check_period(start: date, end: date, today: date) -> None:
    if start >= end:
        raise validation_error("Start date (and hour) should be before end date (and hour)")
    if start < history_start(today):
        raise validation_error("You haven't enabled historical data beyond 14 months")
    if start > today:
        raise validation_error(f"Start date {start} cannot be after the current date {today}.")
    if end > next_month(today):
        raise validation_error("end date past the beginning of next month")


def _metrics(value: object) -> tuple[str, ...]:
    if value is None:
        raise _null("metrics")
    if not isinstance(value, list) or not value:
        raise validation_error("Metrics must name at least one metric.")
    unknown = [name for name in value if name not in METRICS]
    if unknown:
        raise validation_error(f"Invalid metric {unknown[0]}; valid metrics are {', '.join(METRICS)}.")
    return tuple(dict.fromkeys(value))


def _group_by(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise validation_error("GroupBy must be a list.")
    if len(value) > MOST_GROUPINGS:
        raise validation_error(f"GroupBy has {len(value)} members; at most {MOST_GROUPINGS} are allowed.")
    keys = []
    for item in value:
        kind, key = (item.get("Type"), item.get("Key")) if isinstance(item, dict) else (None, None)
        if kind != "DIMENSION":
            raise validation_error(f"GroupBy type {kind!r} is not supported here; use DIMENSION.")
        if key not in DIMENSIONS:
            raise validation_error(
                f"Group Definition dimension is invalid. Valid values are {sorted(DIMENSIONS)}"
            )
        keys.append(str(key))
    if len(set(keys)) != len(keys):
        raise validation_error("GroupBy must not name the same key twice.")
    return tuple(keys)


def _null(name: str) -> AwsError:
    return validation_error(
        f"1 validation error detected: Value null at '{name}' failed to satisfy constraint: "
        "Member must not be null"
    )
