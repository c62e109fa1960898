"""What the schemas of Kubernetes leave open: enums, cron schedules and time zones."""

import re
from collections.abc import Iterator
from functools import cache
from zoneinfo import available_timezones

from tests.chart.pods import Manifest

_ENUMS = {
    "action": {"FailIndex", "FailJob", "Ignore", "Count"},
    "completionMode": {"Indexed", "NonIndexed"},
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "dnsPolicy": {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"},
    "fsGroupChangePolicy": {"Always", "OnRootMismatch"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "operator": {"DoesNotExist", "Equal", "Exists", "Gt", "In", "Lt", "NotIn"},
    "protocol": {"SCTP", "TCP", "UDP"},
    "restartPolicy": {"Always", "Never", "OnFailure"},
    "terminationMessagePolicy": {"FallbackToLogsOnError", "File"},
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
}
_LISTS = {"policyTypes": {"Egress", "Ingress"}, "drop": {"ALL"}}
_MACROS = {"@annually", "@daily", "@hourly", "@midnight", "@monthly", "@weekly", "@yearly"}
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
# Lowest and highest number of each field, and the names that stand for numbers.
_CRON_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)


def wrong_enums(value: object, path: str = "") -> Iterator[str]:
    """Return a sentence for every enum with a value that Kubernetes does not know."""
    if isinstance(value, list):
        for place, one in enumerate(value):
            yield from wrong_enums(one, f"{path}[{place}]")
    if isinstance(value, dict):
        for name, one in value.items():
            allowed = _ENUMS.get(name)
            if allowed and isinstance(one, str) and one not in allowed:
                yield f"{path}.{name} is {one}."
            if name in _LISTS and not set(one) <= _LISTS[name]:
                yield f"{path}.{name} is {one}."
            yield from wrong_enums(one, f"{path}.{name}")


def wrong_schedule(cron_job: Manifest) -> Iterator[str]:
    """Return a sentence for a schedule or a time zone that Kubernetes would refuse."""
    spec = cron_job["spec"]
    if not is_cron(spec["schedule"]):
        yield f"{spec['schedule']!r} is no schedule."
    if spec["timeZone"] not in _time_zones():
        yield f"{spec['timeZone']!r} is no time zone."


@cache
def _time_zones() -> set[str]:
    return available_timezones()


def is_cron(schedule: str) -> bool:
    """Whether this is a schedule as Kubernetes reads it: five fields, or a name such as @daily."""
    if schedule.startswith("@"):
        return schedule in _MACROS
    fields = schedule.split(" ")
    return len(fields) == len(_CRON_FIELDS) and all(
        all(_is_range(part, *limits) for part in field.split(","))
        for field, limits in zip(fields, _CRON_FIELDS, strict=True)
    )


def _is_range(part: str, lowest: int, highest: int, names: dict[str, int]) -> bool:
    match = re.fullmatch(r"(?P<all>[*?])?(?P<first>\w+)?(-(?P<last>\w+))?(/(?P<step>[1-9]\d*))?", part)
    if match is None or bool(match["all"]) == bool(match["first"]) or (match["all"] and match["last"]):
        return False
    if match["all"]:
        return True
    ends = [str(names.get(end.upper(), end)) for end in (match["first"], match["last"]) if end]
    if not all(end.isdecimal() and lowest <= int(end) <= highest for end in ends):
        return False
    return int(ends[0]) <= int(ends[-1])
