"""The wording of anomalies: their changes, the answers to them, and incidents of several accounts."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from statistics import mean, median
from typing import Any

from costbatch.domain.answers import AnswerKind, Standing
from costbatch.domain.events import EventType
from costbatch.domain.links import CloudEvent
from costbatch.domain.money import amount, money
from costbatch.domain.notice import (
    MOST_PARTS,
    ROWS_IN_A_DIGEST,
    Chart,
    Command,
    Importance,
    Line,
    Notice,
    Outside,
    Words,
    account_words,
)
from costbatch.domain.plural import many

# As many characters of an anomaly's id as every command accepts.
_SHORT_ID = 8
ANOMALY_WORDS = {
    EventType.ANOMALY_DETECTED.value: "Cost {direction}",
    EventType.ANOMALY_UPDATED.value: "Cost {direction}, update",
    EventType.ANOMALY_RESOLVED.value: "Cost {direction}, resolved",
    EventType.ANOMALY_REMINDER.value: "Cost {direction}, still open",
    EventType.ANOMALY_EXPLAINED.value: "Cost {direction}, root cause",
}
IMPORTANCE_OF_SEVERITY = {
    "low": Importance.INFO,
    "medium": Importance.WARNING,
    "high": Importance.FAILURE,
}
_RESOLUTIONS = {
    "ended": "These days are not unusual any more: the cost went back, or its new level is expected now.",
    "restated": (
        "These days are not anomalous any more: AWS corrected their cost, the rule was changed, or later days"
        " explain them."
    ),
    "merged": "It is part of an earlier anomaly now.",
    "removed": "Its account was removed.",
}
DIGEST_COMMANDS = (
    Command(meaning="List them", text="costbatch anomalies list"),
    Command(meaning="Not an anomaly", text='costbatch anomalies dismiss ID --reason "…"'),
    Command(meaning="Mark as expected", text='costbatch anomalies expect ID --as-of-now --reason "…"'),
)


def of_anomaly(event: CloudEvent) -> Notice:
    """Return the notice of an anomaly: whose cost, what changed, since when, why, and how to answer."""
    type_, data = event["type"], event["data"]
    anomaly, currency = data["anomaly"], data["anomaly"]["currency"]
    is_resolved = type_ == EventType.ANOMALY_RESOLVED
    importance = Importance.SUCCESS if is_resolved else IMPORTANCE_OF_SEVERITY[anomaly["severity"]]
    what = ANOMALY_WORDS[type_].format(direction=anomaly["direction"])
    lines = _facts(data)
    if anomaly["explanation"]:
        services = tuple(_contribution(each, each["service"], currency) for each in anomaly["explanation"])
        lines.append(Line(label="Services", rows=services, in_digest=ROWS_IN_A_DIGEST))
    if "root_cause" in data:
        found = data["root_cause"]
        label = f"Root cause, {found['date']} against {found['ordinary_date']}"
        causes = tuple(
            _contribution(each, f"{each['region']} {each['usage_type']}", currency)
            for each in found["causes"]
        )
        lines.append(Line(label=label, rows=causes, in_digest=ROWS_IN_A_DIGEST))
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
        usual, changed = median(before), mean(during)
        halfway, now = (usual + changed) / 2, abs(median(after))
        if max(after) < halfway and abs(usual) / 2 <= now <= 2 * abs(usual):
            return "The cost is normal again."
        if min(after) > halfway and abs(changed) / 2 <= now <= 2 * abs(changed):
            return "The cost stays at its new level, which is expected now."
    return _RESOLUTIONS[anomaly["resolution"]]


def of_answer(event: CloudEvent) -> Notice:
    """Return the notice of an answer to an anomaly: who gave it, why, and what follows from it."""
    data = event["data"]
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
            effect, importance = "Every change is reported.", IMPORTANCE_OF_SEVERITY[anomaly["severity"]]
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
        Line(label="Account", rows=(account_words(data),)),
        Line(label="What", rows=((Outside(anomaly["service"]) if anomaly["service"] else "total cost",),)),
        Line(label="Cost", rows=(_from_to(anomaly, currency),), in_digest=1),
        Line(label="Change", rows=((_change(anomaly),),)),
        Line(label="Since", rows=((since,),), in_digest=1),
    ]


def _id_line(anomaly: Mapping[str, Any]) -> Line:
    return Line(label="ID", rows=((anomaly["id"],),), in_digest=1)


def _whose(data: Mapping[str, Any]) -> Words:
    service = data["anomaly"]["service"]
    return (*((Outside(service), " in ") if service else ()), *account_words(data), ", ")


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


def of_incident(event: CloudEvent) -> Notice:
    """Return the notice of anomalies that began on one day in one service of several accounts."""
    incident = event["data"]["incident"]
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
            Line(
                label="Accounts", rows=rows, in_digest=MOST_PARTS, more=incident["accounts"] - len(rows)
            ).cut(MOST_PARTS),
        ),
        commands=DIGEST_COMMANDS,
    )
