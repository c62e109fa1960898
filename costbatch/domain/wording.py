"""The wording of each type of event, and of a digest of many: fills the notice that ``messages`` formats.

It is made of the event's document alone.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from costbatch.domain.anomaly_wording import (
    ANOMALY_WORDS,
    DIGEST_COMMANDS,
    IMPORTANCE_OF_SEVERITY,
    of_anomaly,
    of_answer,
    of_incident,
)
from costbatch.domain.event_kinds import KINDS
from costbatch.domain.events import RUN_ENDINGS, EventType
from costbatch.domain.job_wording import of_charge, of_failure, of_first_use, of_recovery, of_run
from costbatch.domain.links import CloudEvent, LinkTemplate
from costbatch.domain.money import money
from costbatch.domain.notice import MOST_PARTS, Importance, Line, Notice, Outside, Words
from costbatch.domain.plural import many


def _of_test(event: CloudEvent) -> Notice:
    line = Line(label="Test", rows=((event["data"]["test"]["message"],),))
    return Notice(title=("Test message of costbatch",), importance=Importance.INFO, lines=(line,))


# Who writes of which type of event.
_WRITERS: Mapping[str, Callable[[CloudEvent], Notice]] = MappingProxyType(
    {
        **dict.fromkeys(ANOMALY_WORDS, of_anomaly),
        EventType.ANOMALY_ANSWERED: of_answer,
        EventType.INCIDENT_DETECTED: of_incident,
        EventType.SERVICE_FIRST_CHARGED: of_charge,
        EventType.DORMANT_ACCOUNT_CHARGED: of_charge,
        EventType.ACCOUNT_FAILED: of_failure,
        EventType.ACCOUNT_RECOVERED: of_recovery,
        EventType.REGION_FIRST_USED: of_first_use,
        EventType.SERVICE_FIRST_USED: of_first_use,
        **dict.fromkeys(RUN_ENDINGS, of_run),
        EventType.SINK_TEST: _of_test,
    }
)
# The order of the parts of a digest.
_ORDER = [*KINDS]


def notice_of(event: CloudEvent, link: LinkTemplate | None = None) -> Notice:
    """Return the notice of one event."""
    # One without words may be of a later release, which has left it in the outbox.
    found = _WRITERS.get(event["type"], _of_unknown)(event)
    return replace(found, link=link.fill(event) if link else None)


def _of_unknown(event: CloudEvent) -> Notice:
    title = ("Event ", Outside(event["type"]), " of ", Outside(event["subject"]))
    return Notice(title=title, importance=Importance.INFO)


def _one_of_each(events: Sequence[CloudEvent]) -> list[CloudEvent]:
    """Return the newest event about each subject; one that has a root cause adds it to what it follows."""
    newest: dict[str, CloudEvent] = {}
    for event in events:
        before = newest.get(_subject(event))
        if before and event["type"] == EventType.ANOMALY_EXPLAINED:
            data = {**before["data"], "root_cause": event["data"]["root_cause"]}
            newest[_subject(event)] = {**before, "data": data}
        else:
            newest[_subject(event)] = event
    return list(newest.values())


def digest_of(events: Sequence[CloudEvent], link: LinkTemplate | None = None) -> Notice:
    """Return the notice of many events of one run together, the most important first.

    An anomaly is shown once, by its newest event. A member of an incident is shown by the incident, and
    separately only if it has a root cause or is over.
    """
    events = _one_of_each(events)
    incidents = [
        event["data"]["incident"] for event in events if event["type"] == EventType.INCIDENT_DETECTED
    ]
    members = {member["anomaly_id"] for incident in incidents for member in incident["members"]}
    counted = _counted(incidents)
    singles = [
        event
        for event in events
        if not (_subject(event) in members or _is_counted(event, counted)) or _is_more_than_member(event)
    ]
    parts = []
    for event in sorted(singles, key=_rank):
        notice = notice_of(event, link)
        # A digest shows it without what its title says already.
        lines = tuple(line.cut(line.in_digest) for line in notice.lines if line.in_digest)
        parts.append(replace(notice, lines=lines, commands=()))
    names_anomalies = any(
        event["type"] in ANOMALY_WORDS or event["type"] == EventType.INCIDENT_DETECTED for event in events
    )
    return Notice(
        title=_digest_title(events),
        importance=max(part.importance for part in parts),
        commands=DIGEST_COMMANDS if names_anomalies else (),
        parts=tuple(parts[:MOST_PARTS]),
        rest=max(len(parts) - MOST_PARTS, 0),
    )


def _counted(incidents: Sequence[Mapping[str, Any]]) -> dict[tuple[str, ...], set[str]]:
    """Return the accounts that an incident names, by cause, if there are too many to name all."""
    return {
        _cause(incident, incident["service"]): {each["aws_account_id"] for each in incident["members"]}
        for incident in incidents
        if incident["accounts"] > len(incident["members"])
    }


def _is_counted(event: CloudEvent, counted: Mapping[tuple[str, ...], set[str]]) -> bool:
    """Whether an anomaly is a member that its incident counts and does not name.

    That of an account that is named is another one.
    """
    if event["type"] not in ANOMALY_WORDS:
        return False
    anomaly = event["data"]["anomaly"]
    explained = anomaly["explanation"] or ({"service": ""},)
    named = counted.get(_cause(anomaly, anomaly["service"] or explained[0]["service"]))
    return named is not None and event["data"]["account"]["aws_account_id"] not in named


def _cause(found: Mapping[str, Any], service: str) -> tuple[str, ...]:
    """Return what the members of an incident have in common."""
    return (service, found["direction"], found["start_date"], found["currency"])


def _is_more_than_member(event: CloudEvent) -> bool:
    """Whether an event about an anomaly says what an incident does not say of its members."""
    return "root_cause" in event["data"] or event["type"] == EventType.ANOMALY_RESOLVED


def _subject(event: CloudEvent) -> str:
    """Return the id of what an event is about: an anomaly, or else the event alone."""
    is_of_anomaly = event["type"] in ANOMALY_WORDS
    return str(event["data"]["anomaly"]["id"] if is_of_anomaly else event["id"])


def _rank(event: CloudEvent) -> tuple[int, int, Decimal]:
    """Return the place of an event in a digest: by its type, then the severest and largest on top."""
    place = _ORDER.index(event["type"]) if event["type"] in _ORDER else len(_ORDER)
    if event["type"] not in ANOMALY_WORDS:
        return (place, 0, Decimal(0))
    anomaly = event["data"]["anomaly"]
    return (place, -IMPORTANCE_OF_SEVERITY[anomaly["severity"]], -abs(Decimal(anomaly["impact"])))


def _digest_title(events: Sequence[CloudEvent]) -> Words:
    counts = Counter(event["type"] for event in events)
    impacts: defaultdict[str, Decimal] = defaultdict(Decimal)
    for event in events:
        if event["type"] in ANOMALY_WORDS and event["type"] != EventType.ANOMALY_RESOLVED:
            anomaly = event["data"]["anomaly"]
            impacts[anomaly["currency"]] += Decimal(anomaly["impact"])
    sums = [money(total, currency, sign=True) for currency, total in sorted(impacts.items())]
    said = []
    for subject in dict.fromkeys(kind.subject for kind in KINDS.values()):
        kinds = {type_: kind.verb for type_, kind in KINDS.items() if kind.subject == subject}
        numbers = [f"{counts[type_]:,} {verb}" for type_, verb in kinds.items() if counts[type_]]
        numbers += sums if subject == "Cost anomalies" else []
        if numbers:
            said.append(f"{subject}: {', '.join(numbers)}")
    unknown = sum(count for type_, count in counts.items() if type_ not in KINDS)
    if unknown:
        said.append(many(unknown, "other event" if said else "event"))
    return (". ".join(said),)
