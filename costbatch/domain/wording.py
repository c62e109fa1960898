"""The wording of each type of event, and of a digest of many: fills the notice that ``messages`` formats.

It is made of the event's document alone.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from shlex import quote
from statistics import mean, median
from typing import Any

from costbatch.domain.answers import AnswerKind, Standing
from costbatch.domain.collect_report import WORDS as COLLECT_WORDS
from costbatch.domain.discover_report import WORDS as DISCOVER_WORDS
from costbatch.domain.events import EventType
from costbatch.domain.links import CloudEvent, LinkTemplate
from costbatch.domain.money import amount, money
from costbatch.domain.notice import Chart, Command, Importance, Line, Notice, Outside, Words
from costbatch.domain.plural import many

# A message names the most important accounts and events; the command lists them all.
_MOST_PARTS = 20
_ROWS_IN_A_DIGEST = 2
# As many characters of an anomaly's id as every command accepts.
_SHORT_ID = 8


def notice_of(event: CloudEvent, link: LinkTemplate | None = None) -> Notice:
    """Return the notice of one event."""
    data, type_ = event["data"], event["type"]
    if type_ in _ANOMALY_WORDS:
        found = _of_anomaly(type_, data)
    elif type_ == EventType.ANOMALY_ANSWERED:
        found = _of_answer(data)
    elif type_ == EventType.ACCOUNT_FAILED:
        found = _of_failure(data)
    elif type_ == EventType.ACCOUNT_RECOVERED:
        found = _of_recovery(data)
    elif type_ in {EventType.REGION_FIRST_USED, EventType.SERVICE_FIRST_USED}:
        found = _of_first_use(type_, data)
    elif type_ in {EventType.SERVICE_FIRST_CHARGED, EventType.DORMANT_ACCOUNT_CHARGED}:
        found = _of_charge(type_, data)
    elif type_ == EventType.INCIDENT_DETECTED:
        found = _of_incident(data["incident"])
    elif type_ in {EventType.RUN_COMPLETED, EventType.RUN_FAILED, EventType.RUN_STOPPED}:
        found = _of_run(data["run"])
    elif type_ == EventType.SINK_TEST:
        line = Line(label="Test", rows=((data["test"]["message"],),))
        found = Notice(title=("Test message of costbatch",), importance=Importance.INFO, lines=(line,))
    else:
        # A later release may have left it in the outbox.
        found = Notice(
            title=("Event ", Outside(type_), " of ", Outside(event["subject"])), importance=Importance.INFO
        )
    return replace(found, link=link.fill(event) if link else None)


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

    An anomaly is told once, by its newest event; one that belongs to an incident is told by the incident, and
    by itself only if it has a root cause.
    """
    events = _one_of_each(events)
    members = {
        member["anomaly_id"]
        for event in events
        if event["type"] == EventType.INCIDENT_DETECTED
        for member in event["data"]["incident"]["members"]
    }
    singles = [event for event in events if _subject(event) not in members or "root_cause" in event["data"]]
    parts = []
    for event in sorted(singles, key=_rank):
        notice = notice_of(event, link)
        # A digest shows it without what its title says already.
        lines = tuple(line.cut(line.in_digest) for line in notice.lines if line.in_digest)
        parts.append(replace(notice, lines=lines, commands=()))
    names_anomalies = any(
        event["type"] in _ANOMALY_WORDS or event["type"] == EventType.INCIDENT_DETECTED for event in events
    )
    return Notice(
        title=_digest_title(events),
        importance=max(part.importance for part in parts),
        commands=_DIGEST_COMMANDS if names_anomalies else (),
        parts=tuple(parts[:_MOST_PARTS]),
        rest=max(len(parts) - _MOST_PARTS, 0),
    )


_ANOMALY_WORDS = {
    EventType.ANOMALY_DETECTED.value: "Cost {direction}",
    EventType.ANOMALY_UPDATED.value: "Cost {direction}, update",
    EventType.ANOMALY_RESOLVED.value: "Cost {direction}, resolved",
    EventType.ANOMALY_REMINDER.value: "Cost {direction}, still open",
    EventType.ANOMALY_EXPLAINED.value: "Cost {direction}, root cause",
}
# What a digest's title counts, and the order of its parts.
_COUNTED = {
    "Incidents": ((EventType.INCIDENT_DETECTED.value, "detected"),),
    "Cost anomalies": (
        (EventType.ANOMALY_DETECTED.value, "detected"),
        (EventType.ANOMALY_UPDATED.value, "updated"),
        (EventType.ANOMALY_REMINDER.value, "still open"),
        (EventType.ANOMALY_EXPLAINED.value, "explained"),
        (EventType.ANOMALY_RESOLVED.value, "resolved"),
    ),
    "Accounts": (
        (EventType.ACCOUNT_FAILED.value, "failed"),
        (EventType.ACCOUNT_RECOVERED.value, "recovered"),
    ),
    "First uses": (
        (EventType.REGION_FIRST_USED.value, "of a region"),
        (EventType.SERVICE_FIRST_USED.value, "of a service"),
    ),
    "First charges": (
        (EventType.SERVICE_FIRST_CHARGED.value, "of a service"),
        (EventType.DORMANT_ACCOUNT_CHARGED.value, "of a dormant account"),
    ),
    "Runs": (
        (EventType.RUN_FAILED.value, "failed"),
        (EventType.RUN_STOPPED.value, "stopped"),
        (EventType.RUN_COMPLETED.value, "completed"),
    ),
}
_ORDER = [type_ for counted in _COUNTED.values() for type_, _ in counted]
_IMPORTANCE_OF_SEVERITY = {
    "low": Importance.INFO,
    "medium": Importance.WARNING,
    "high": Importance.FAILURE,
}
_IMPORTANCE_OF_RUN = {"completed": Importance.SUCCESS, "failed": Importance.FAILURE}
_RESOLUTIONS = {
    "ended": "These days are not unusual any more: the cost went back, or its new level is expected now.",
    "restated": "These days are not anomalous any more: AWS corrected their cost, or the rule was changed.",
    "merged": "It is part of an earlier anomaly now.",
    "removed": "Its account was removed.",
}
_JOBS = {words.name: words for words in (COLLECT_WORDS, DISCOVER_WORDS)}
_DIGEST_COMMANDS = (
    Command(meaning="List them", text="costbatch anomalies list"),
    Command(meaning="Not an anomaly", text='costbatch anomalies dismiss ID --reason "…"'),
    Command(meaning="Mark as expected", text='costbatch anomalies expect ID --as-of-now --reason "…"'),
)


def _of_anomaly(type_: str, data: Mapping[str, Any]) -> Notice:
    anomaly, currency = data["anomaly"], data["anomaly"]["currency"]
    is_resolved = type_ == EventType.ANOMALY_RESOLVED
    importance = Importance.SUCCESS if is_resolved else _IMPORTANCE_OF_SEVERITY[anomaly["severity"]]
    what = _ANOMALY_WORDS[type_].format(direction=anomaly["direction"])
    lines = _facts(data)
    if anomaly["explanation"]:
        services = tuple(_contribution(each, each["service"], currency) for each in anomaly["explanation"])
        lines.append(Line(label="Services", rows=services, in_digest=_ROWS_IN_A_DIGEST))
    if "root_cause" in data:
        found = data["root_cause"]
        label = f"Root cause, {found['date']} against {found['ordinary_date']}"
        causes = tuple(
            _contribution(each, f"{each['region']} {each['usage_type']}", currency)
            for each in found["causes"]
        )
        lines.append(Line(label=label, rows=causes, in_digest=_ROWS_IN_A_DIGEST))
    newest = anomaly["newest_date"]
    completeness = "complete" if anomaly["newest_is_complete"] else "not complete yet, more cost may arrive"
    lines.append(Line(label="Newest day", rows=((f"{newest}, {completeness}",),)))
    if anomaly["resolution"]:
        lines.append(Line(label="Resolved", rows=((_resolution(anomaly),),), in_digest=1))
    lines.append(_id_line(anomaly))
    return Notice(
        title=(f"[{anomaly['severity']}] {what}: ", *_whose(data), _change(anomaly)),
        importance=importance,
        lines=tuple(lines),
        chart=_chart(anomaly),
        commands=_commands(anomaly["id"], is_resolved=is_resolved),
    )


def _resolution(anomaly: Mapping[str, Any]) -> str:
    """Return why an anomaly is over; of one that ended, whether its cost went back, if its trend tells."""
    start, last = anomaly["start_date"], anomaly["last_date"]
    sign = 1 if anomaly["direction"] == "spike" else -1
    days = [(day["date"], sign * Decimal(day["amount"])) for day in anomaly["trend"]]
    before = [amount for day, amount in days if day < start]
    during = [amount for day, amount in days if start <= day <= last]
    # The cost of the newest day may still arrive.
    after = [
        amount
        for day, amount in days
        if day > last and (anomaly["newest_is_complete"] or day != anomaly["newest_date"])
    ]
    if anomaly["resolution"] == "ended" and before and during and after:
        halfway = (median(before) + mean(during)) / 2
        if max(after) < halfway:
            return "The cost is normal again."
        if min(after) > halfway:
            return "The cost stays at its new level, which is expected now."
    return _RESOLUTIONS[anomaly["resolution"]]


def _of_answer(data: Mapping[str, Any]) -> Notice:
    """Return the notice of an answer to an anomaly: who gave it, why, and what follows from it."""
    anomaly, answer, currency = data["anomaly"], data["answer"], data["anomaly"]["currency"]
    level = money(Decimal(answer["level"]), currency) if answer["level"] else ""
    until = f" until {answer['end_date']}" if answer["end_date"] else ""
    importance, undo = Importance.INFO, f"costbatch anomalies reopen {anomaly['id']}"
    match answer["kind"]:
        case AnswerKind.PLANNED:
            effect = f"It is silent from {answer['start_date']}{until}."
            undo = f"costbatch planned remove {answer['id']}"
        case AnswerKind.ACKNOWLEDGED:
            effect = f"No update and no reminder is sent at {level} a day. Its end is reported."
        case AnswerKind.DISMISSED | AnswerKind.EXPECTED:
            effect = f"It is silent at {level} a day{until}."
        case _:
            effect, importance = "Every change is reported.", _IMPORTANCE_OF_SEVERITY[anomaly["severity"]]
    is_open = data["standing"] == Standing.OPEN
    return Notice(
        title=(
            f"[{anomaly['severity']}] Cost {anomaly['direction']}, {answer['kind']}: ",
            *_whose(data),
            _change(anomaly),
        ),
        importance=importance,
        lines=(
            *_facts(data),
            Line(label="Answer", rows=((f"{answer['kind']} by ", Outside(answer["author"])),)),
            *((Line(label="Reason", rows=((Outside(answer["reason"]),),)),) if answer["reason"] else ()),
            Line(label="Effect", rows=((effect,),)),
            _id_line(anomaly),
        ),
        commands=_commands(anomaly["id"], is_resolved=False)
        if is_open
        else (Command(meaning="Withdraw the answer", text=undo),),
    )


def _facts(data: Mapping[str, Any]) -> list[Line]:
    """Return whose cost an anomaly is, how much, and since when."""
    anomaly, currency = data["anomaly"], data["anomaly"]["currency"]
    start, last = anomaly["start_date"], anomaly["last_date"]
    since = f"{start}, one day"
    if last != start:
        days = (date.fromisoformat(last) - date.fromisoformat(start)).days + 1
        furthest = "highest" if anomaly["direction"] == "spike" else "lowest"
        peak = money(Decimal(anomaly["peak"]), currency)
        since = f"{start}, until {last} ({days} days, {furthest} {peak} a day)"
    return [
        Line(label="Account", rows=(_account(data),)),
        Line(label="What", rows=((Outside(anomaly["service"]) if anomaly["service"] else "total cost",),)),
        Line(label="Cost", rows=(_from_to(anomaly, currency),), in_digest=1),
        Line(label="Change", rows=((_change(anomaly),),)),
        Line(label="Since", rows=((since,),), in_digest=1),
    ]


def _id_line(anomaly: Mapping[str, Any]) -> Line:
    return Line(label="ID", rows=((anomaly["id"],),), in_digest=1)


def _whose(data: Mapping[str, Any]) -> Words:
    service = data["anomaly"]["service"]
    return (*((Outside(service), " in ") if service else ()), *_account(data), ", ")


def _account(data: Mapping[str, Any]) -> Words:
    account = data["account"]
    return (Outside(account["name"]), f" ({Outside(account['aws_account_id'])})")


def _from_to(amounts: Mapping[str, Any], currency: str) -> Words:
    expected, actual = (amount(Decimal(amounts[name]), currency) for name in ("expected", "actual"))
    return (f"expected {expected} → actual {actual} {currency}",)


def _change(anomaly: Mapping[str, Any]) -> str:
    percent = anomaly["deviation_percent"]
    ratio = f"{Decimal(percent):+,.1f} %" if percent is not None else "nothing was expected"
    return f"{money(Decimal(anomaly['impact']), anomaly['currency'], sign=True)} ({ratio})"


def _contribution(part: Mapping[str, Any], name: str, currency: str) -> Words:
    """Return how much more or less a part of the cost is than expected."""
    expected, actual = Decimal(part["expected"]), Decimal(part["actual"])
    impact = money(actual - expected, currency, sign=True)
    return (
        f"{impact} ",
        Outside(name),
        f" ({amount(expected, currency)} → {amount(actual, currency)})",
    )


def _chart(anomaly: Mapping[str, Any]) -> Chart | None:
    days = anomaly["trend"]
    if not days:
        return None
    amounts = tuple(Decimal(day["amount"]) for day in days)
    return Chart(
        first=days[0]["date"],
        last=days[-1]["date"],
        amounts=amounts,
        is_anomalous=tuple(day["is_anomalous"] for day in days),
        highest=money(max(amounts), anomaly["currency"]),
    )


def _commands(anomaly_id: str, *, is_resolved: bool) -> tuple[Command, ...]:
    if is_resolved:
        return (Command(meaning="Show it", text=f"costbatch anomalies show {anomaly_id}"),)
    return (
        Command(meaning="Acknowledge", text=f"costbatch anomalies acknowledge {anomaly_id}"),
        Command(meaning="Not an anomaly", text=f'costbatch anomalies dismiss {anomaly_id} --reason "…"'),
        Command(
            meaning="Mark as expected",
            text=f'costbatch anomalies expect {anomaly_id} --as-of-now --reason "…"',
        ),
    )


def _of_failure(data: Mapping[str, Any]) -> Notice:
    error = data["error"]
    return Notice(
        title=("Account cannot be ", *_done(data), ": ", *_account(data), ", ", Outside(error["kind"])),
        importance=Importance.FAILURE,
        lines=(
            Line(label="Account", rows=(_account(data),)),
            Line(label="Why", rows=((Outside(error["message"]),),), in_digest=1),
        ),
        commands=(
            Command(
                meaning="Show the account",
                text=f"costbatch accounts show {Outside(data['account']['aws_account_id'])}",
            ),
        ),
    )


def _of_recovery(data: Mapping[str, Any]) -> Notice:
    failed = data["failed"]
    return Notice(
        title=("Account is ", *_done(data), " again: ", *_account(data)),
        importance=Importance.SUCCESS,
        lines=(
            Line(label="Account", rows=(_account(data),)),
            Line(
                label="Failed since",
                rows=((f"{failed['since'][:10]}, ", Outside(failed["kind"])),),
                in_digest=1,
            ),
        ),
    )


def _done(data: Mapping[str, Any]) -> Words:
    """Return what the job of an event does to an account; the job may be of a later release."""
    words = _JOBS.get(data["job"])
    return (words.done,) if words else ("processed by ", Outside(data["job"]))


def _of_first_use(type_: str, data: Mapping[str, Any]) -> Notice:
    """Return the notice of the first resources of an account in a region, or of a service."""
    what, where = ("region", "services") if type_ == EventType.REGION_FIRST_USED else ("service", "regions")
    rows = tuple((f"{count:,} ", Outside(name)) for name, count in data[where].items())
    return Notice(
        title=(f"First use of the {what} ", Outside(data[what]), " by ", *_account(data)),
        importance=Importance.WARNING,
        lines=(
            Line(label="Account", rows=(_account(data),)),
            Line(label="Resources", rows=((f"{data['resources']:,}",),), in_digest=1),
            Line(label=where.capitalize(), rows=rows, in_digest=_ROWS_IN_A_DIGEST),
        ),
    )


def _of_charge(type_: str, data: Mapping[str, Any]) -> Notice:
    """Return the notice of a service, or of an account, that was expected to cost nothing."""
    charge = data["charge"]
    cost = money(Decimal(charge["amount"]), charge["currency"])
    if type_ == EventType.SERVICE_FIRST_CHARGED:
        title: Words = ("First charge of ", Outside(charge["service"]), " in ", *_account(data), f", {cost}")
    else:
        title = ("Dormant account costs something: ", *_account(data), f", {cost}")
    return Notice(
        title=title,
        importance=Importance.WARNING,
        lines=(
            Line(label="Account", rows=(_account(data),)),
            Line(label="Cost", rows=((f"{cost} on {charge['date']}",),), in_digest=1),
        ),
    )


def _of_incident(incident: Mapping[str, Any]) -> Notice:
    """Return the notice of anomalies that began on one day in one service of several accounts."""
    currency = incident["currency"]
    impact = money(Decimal(incident["impact"]), currency, sign=True)
    rows = tuple(
        (
            f"{money(Decimal(member['impact']), currency, sign=True)} ",
            Outside(member["name"]),
            f" ({Outside(member['aws_account_id'])}), ID {member['anomaly_id'][:_SHORT_ID]}",
        )
        for member in incident["members"]
    )
    count = many(incident["accounts"], "account")
    return Notice(
        title=(f"Cost {incident['direction']} in {count}: ", Outside(incident["service"]), f", {impact}"),
        importance=Importance.FAILURE,
        lines=(
            Line(label="Cost", rows=(_from_to(incident, currency),), in_digest=1),
            Line(label="Since", rows=((incident["start_date"],),), in_digest=1),
            Line(label="Accounts", rows=rows, in_digest=_MOST_PARTS).cut(_MOST_PARTS),
        ),
        commands=_DIGEST_COMMANDS,
    )


def _of_run(run: Mapping[str, Any]) -> Notice:
    """Return the notice of the end of a run, of whatever job."""
    accounts, others = run["accounts"], ("failed", "skipped", "not_active", "unfinished")
    (done,) = accounts.keys() - {"total", *others}
    counted = f"{accounts[done]:,} of {many(accounts['total'] - accounts['not_active'], 'account')} {done}"
    rest = [f"{accounts[name]:,} {name.replace('_', ' ')}" for name in others if accounts[name]]
    facts = [("Accounts", ", ".join([counted, *rest]))]
    if run["failures"]:
        kinds = (f"{Outside(kind)}: {count:,}" for kind, count in run["failures"].items())
        facts.append(("Failures", ", ".join(kinds)))
    if "cost_date" in run:
        facts.insert(0, ("Cost of", run["cost_date"]))
    if found := run.get("anomalies"):
        numbers = (f"{found[name]:,} {name}" for name in ("detected", "updated", "resolved", "open"))
        facts.append(("Anomalies", ", ".join(numbers)))
    if found := run.get("resources"):
        facts.append(("Resources", ", ".join(f"{number:,} {name}" for name, number in found.items())))
    if api := run.get("api"):
        facts.append(("API", f"{many(api['requests'], 'request')}, {api['cost_usd']} USD"))
    by = ""
    if reason := run.get("stopped_by"):
        by = f" by its {reason}"
        facts.append(("To resume", f"the same command with --run-key {quote(run['key'])}"))
    return Notice(
        title=(f"Run {run['status']}{by}: {counted}",),
        importance=_IMPORTANCE_OF_RUN.get(run["status"], Importance.WARNING),
        lines=tuple(Line(label=label, rows=((fact,),)) for label, fact in facts),
    )


def _subject(event: CloudEvent) -> str:
    """Return the id of what an event is about: an anomaly, or else the event alone."""
    is_of_anomaly = event["type"] in _ANOMALY_WORDS
    return str(event["data"]["anomaly"]["id"] if is_of_anomaly else event["id"])


def _rank(event: CloudEvent) -> tuple[int, int, Decimal]:
    """Return the place of an event in a digest: by its type, then the severest and largest on top."""
    place = _ORDER.index(event["type"]) if event["type"] in _ORDER else len(_ORDER)
    if event["type"] not in _ANOMALY_WORDS:
        return (place, 0, Decimal(0))
    anomaly = event["data"]["anomaly"]
    return (place, -_IMPORTANCE_OF_SEVERITY[anomaly["severity"]], -abs(Decimal(anomaly["impact"])))


def _digest_title(events: Sequence[CloudEvent]) -> Words:
    counts = Counter(event["type"] for event in events)
    impacts: defaultdict[str, Decimal] = defaultdict(Decimal)
    for event in events:
        if event["type"] in _ANOMALY_WORDS and event["type"] != EventType.ANOMALY_RESOLVED:
            anomaly = event["data"]["anomaly"]
            impacts[anomaly["currency"]] += Decimal(anomaly["impact"])
    sums = [money(total, currency, sign=True) for currency, total in sorted(impacts.items())]
    said = []
    for subject, counted in _COUNTED.items():
        numbers = [f"{counts[type_]:,} {verb}" for type_, verb in counted if counts[type_]]
        numbers += sums if subject == "Cost anomalies" else []
        if numbers:
            said.append(f"{subject}: {', '.join(numbers)}")
    return (". ".join(said) or many(len(events), "event"),)
