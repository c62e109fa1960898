"""Events, as CloudEvents 1.0: their data, and the ids by which receivers drop repeats."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from costbatch.domain.accounts import Account, Failing
from costbatch.domain.anomalies import Anomaly, AnomalyChange, ChangeKind, Trend
from costbatch.domain.answers import Answer, Standing
from costbatch.domain.causes import RootCause
from costbatch.domain.costs import DayTotal
from costbatch.domain.first_charges import FirstCharge
from costbatch.domain.incidents import Incident
from costbatch.domain.money import to_cents
from costbatch.domain.periods import instant
from costbatch.errors import ErrorKind

# An event's id is derived from its content, so that a receiver can drop a repeat.
_NAMESPACE = UUID("0d7f3a52-9d0e-4c55-8a53-2f6f5a1c9b10")
_SOURCE = "/costbatch"
_DATA_VERSION = 1
# In bytes of JSON. SNS, and costbatch itself, take events of up to 256 KiB.
_ROOM_FOR_MEMBERS = 200 * 1024


class EventType(StrEnum):
    """Every type of event; the value is the CloudEvents ``type``."""

    ANOMALY_DETECTED = "anomaly.detected"
    ANOMALY_UPDATED = "anomaly.updated"
    ANOMALY_RESOLVED = "anomaly.resolved"
    ANOMALY_REMINDER = "anomaly.reminder"
    ANOMALY_ANSWERED = "anomaly.answered"
    ANOMALY_EXPLAINED = "anomaly.explained"
    INCIDENT_DETECTED = "incident.detected"
    SERVICE_FIRST_CHARGED = "service.first_charged"
    DORMANT_ACCOUNT_CHARGED = "account.dormant_charged"
    ACCOUNT_FAILED = "account.failed"
    ACCOUNT_RECOVERED = "account.recovered"
    REGION_FIRST_USED = "region.first_used"
    SERVICE_FIRST_USED = "service.first_used"
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_STOPPED = "run.stopped"
    SINK_TEST = "sink.test"


_OF_CHANGE = {
    ChangeKind.DETECTED: EventType.ANOMALY_DETECTED,
    ChangeKind.UPDATED: EventType.ANOMALY_UPDATED,
    ChangeKind.RESOLVED: EventType.ANOMALY_RESOLVED,
}
_OF_STATUS = {"failed": EventType.RUN_FAILED, "stopped": EventType.RUN_STOPPED}
# How a run ended; `run_ended` makes them.
RUN_ENDINGS = (EventType.RUN_COMPLETED, EventType.RUN_FAILED, EventType.RUN_STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. ``data`` is plain JSON: amounts are strings, days and instants ISO 8601."""

    id: UUID
    type: EventType
    subject: str
    occurred_at: datetime
    data: Mapping[str, Any]

    def to_cloudevent(self) -> dict[str, Any]:
        """Return the CloudEvents 1.0 JSON envelope."""
        return {
            "specversion": "1.0",
            "id": str(self.id),
            "source": _SOURCE,
            "type": self.type.value,
            "subject": self.subject,
            "time": instant(self.occurred_at),
            "datacontenttype": "application/json",
            "data": dict(self.data),
        }


def _event(type_: EventType, subject: str, once_per: str, now: datetime, data: Mapping[str, Any]) -> Event:
    """Return an event; events of one type with the same ``once_per`` have the same id."""
    identity = uuid5(_NAMESPACE, f"{type_}/{once_per}")
    return Event(
        id=identity, type=type_, subject=subject, occurred_at=now, data={"version": _DATA_VERSION, **data}
    )


def anomaly_event(
    change: AnomalyChange, account: Account, trend: Trend, *, run_id: UUID | None, now: datetime
) -> Event:
    """Return the event of an anomaly that was detected, updated or resolved; by no run: with its account."""
    anomaly = change.anomaly
    return _event(
        _OF_CHANGE[change.kind],
        _subject(anomaly, account),
        f"{anomaly.id}/{anomaly.revision}",
        now,
        _about(anomaly, account, trend, run_id),
    )


def anomaly_reminder(
    anomaly: Anomaly, account: Account, trend: Trend, *, number: int, run_id: UUID, now: datetime
) -> Event:
    """Return the event that reminds of an anomaly for the n-th time; each night repeats its id."""
    return _event(
        EventType.ANOMALY_REMINDER,
        _subject(anomaly, account),
        f"{anomaly.id}/{number}",
        now,
        {**_about(anomaly, account, trend, run_id), "reminder": number},
    )


def anomaly_answered(
    anomaly: Anomaly,
    account: Account,
    answers: tuple[Answer | None, Answer | None],
    *,
    standing: Standing,
    now: datetime,
    withdrawn: tuple[str, str] = ("", ""),
) -> Event:
    """Return the event of an anomaly for which another answer counts than before.

    answers: the one that counted, and the one that counts; None without one. withdrawn: the author of the
    change and the reason, which are told if no answer counts any more.
    """
    before, after = answers
    author, reason = withdrawn
    none = {"id": None, "kind": "reopened", "level": None, "start_date": None, "end_date": None}
    return _event(
        EventType.ANOMALY_ANSWERED,
        _subject(anomaly, account),
        # An answer is given and withdrawn once, and counts again only for another revision.
        f"{anomaly.id}/{anomaly.revision}/{before and before.id}/{after and after.id}",
        now,
        {
            "account": _account_data(account),
            "anomaly": anomaly_data(anomaly),
            "standing": standing.value,
            "answer": answer_data(after)
            if after
            else {**none, "reason": reason, "author": author, "created_at": instant(now)},
        },
    )


def anomaly_explained(
    anomaly: Anomaly, account: Account, trend: Trend, found: RootCause, *, run_id: UUID, now: datetime
) -> Event:
    """Return the event of an anomaly whose root cause was found: once for each anomaly."""
    return _event(
        EventType.ANOMALY_EXPLAINED,
        _subject(anomaly, account),
        f"{anomaly.id}",
        now,
        {**_about(anomaly, account, trend, run_id), "root_cause": root_cause_data(found, anomaly.currency)},
    )


def service_first_charged(charge: FirstCharge, account: Account, *, run_id: UUID, now: datetime) -> Event:
    """Return the event of a service that an account has never paid for before."""
    return _event(
        EventType.SERVICE_FIRST_CHARGED,
        f"{account.aws_account_id}/{charge.service}",
        f"{account.aws_account_id}/{charge.service}",
        now,
        {
            "run_id": str(run_id),
            "account": _account_data(account),
            "charge": {"service": charge.service, **_day_data(charge)},
        },
    )


def dormant_account_charged(day: DayTotal, account: Account, *, run_id: UUID, now: datetime) -> Event:
    """Return the event of an account that is expected to cost nothing and begins to cost something."""
    return _event(
        EventType.DORMANT_ACCOUNT_CHARGED,
        account.aws_account_id,
        f"{account.aws_account_id}/{day.currency}/{day.usage_date}",
        now,
        {"run_id": str(run_id), "account": _account_data(account), "charge": _day_data(day)},
    )


def incident_detected(incident: Incident, *, run_id: UUID, now: datetime) -> Event:
    """Return the event of anomalies with one cause; with another member it is another event."""
    members = incident.members
    return _event(
        EventType.INCIDENT_DETECTED,
        incident.service,
        f"{incident.id}/{','.join(sorted(str(each.anomaly_id) for each in members))}",
        now,
        {
            "run_id": str(run_id),
            "incident": {
                "id": str(incident.id),
                "service": incident.service,
                "direction": incident.direction.value,
                "start_date": incident.start_date.isoformat(),
                "currency": incident.currency,
                "accounts": len(members),
                "expected": cents(incident.expected, incident.currency),
                "actual": cents(incident.actual, incident.currency),
                "impact": cents(incident.impact, incident.currency),
                "members": _members_data(incident),
            },
        },
    )


def _members_data(incident: Incident) -> list[dict[str, str]]:
    """Return the largest members, as many as receivers take in one message."""
    named: list[dict[str, str]] = []
    room = _ROOM_FOR_MEMBERS
    for each in incident.members:
        member = {
            "aws_account_id": each.aws_account_id,
            "name": each.name,
            "anomaly_id": str(each.anomaly_id),
            "impact": cents(each.impact, incident.currency),
        }
        room -= len(json.dumps(member, ensure_ascii=False).encode()) + 1
        if room < 0:
            break
        named.append(member)
    return named


def account_failed(
    account: Account, kind: ErrorKind, message: str, *, job: str, run_id: UUID, now: datetime
) -> Event:
    """Return the event of an account that begins to fail in a job, or fails for a new reason."""
    data = {"run_id": str(run_id), "job": job, "account": _account_data(account)}
    error = {"kind": kind.value, "message": message}
    return _event(
        EventType.ACCOUNT_FAILED,
        account.aws_account_id,
        f"{run_id}/{account.id}/{kind}",
        now,
        {**data, "error": error},
    )


def account_recovered(account: Account, failing: Failing, *, job: str, run_id: UUID, now: datetime) -> Event:
    """Return the event of an account that has stopped failing in a job."""
    data = {"run_id": str(run_id), "job": job, "account": _account_data(account)}
    failed = {"since": instant(failing.since), "kind": failing.kind}
    return _event(
        EventType.ACCOUNT_RECOVERED,
        account.aws_account_id,
        f"{run_id}/{account.id}",
        now,
        {**data, "failed": failed},
    )


def region_first_used(
    account: Account, region: str, services: Mapping[str, int], *, run_id: UUID, now: datetime
) -> Event:
    """Return the event of an account's first resources in a region; services: how many of each."""
    return _event(
        EventType.REGION_FIRST_USED,
        f"{account.aws_account_id}/{region}",
        f"{account.id}/{region}",
        now,
        {
            "run_id": str(run_id),
            "account": _account_data(account),
            "region": region,
            "resources": sum(services.values()),
            "services": dict(sorted(services.items())),
        },
    )


def service_first_used(
    account: Account, service: str, regions: Mapping[str, int], *, run_id: UUID, now: datetime
) -> Event:
    """Return the event of an account's first resources of a service; regions: how many in each."""
    return _event(
        EventType.SERVICE_FIRST_USED,
        f"{account.aws_account_id}/{service}",
        f"{account.id}/{service}",
        now,
        {
            "run_id": str(run_id),
            "account": _account_data(account),
            "service": service,
            "resources": sum(regions.values()),
            "regions": dict(sorted(regions.items())),
        },
    )


def run_ended(
    summary: Mapping[str, Any], *, run_id: UUID, run_key: str, now: datetime, reported: Sequence[str] = ()
) -> Event:
    """Return the event of a run that ended or was stopped; a retry with the same status repeats its id.

    reported: the statuses of the run's earlier events, oldest first. If another one was reported since, it is
    a new event: it ends the alert that the run was stopped.
    """
    status = summary["status"]
    type_ = _OF_STATUS.get(status, EventType.RUN_COMPLETED)
    earlier = reported[:-1] if reported and reported[-1] == status else reported
    number = f"/{len(earlier)}" if status in earlier else ""
    return _event(type_, run_key, f"{run_id}/{status}{number}", now, {"run": dict(summary)})


def sink_test(sink: str, *, now: datetime) -> Event:
    """Return the event of a test: it goes to one sink, and is not stored."""
    text = "This is a test. If you can read it, the way from costbatch to here works; there is nothing to do."
    return _event(EventType.SINK_TEST, sink, f"{sink}/{instant(now)}", now, {"test": {"message": text}})


def anomaly_data(anomaly: Anomaly) -> dict[str, Any]:
    """Return an anomaly as JSON has it, amounts to the cent as strings."""
    ratio, currency = anomaly.deviation_ratio, anomaly.currency
    return {
        "id": str(anomaly.id),
        "revision": anomaly.revision,
        "service": anomaly.service,
        "direction": anomaly.direction.value,
        "state": anomaly.state.value,
        "severity": anomaly.severity.value,
        "resolution": anomaly.resolution.value if anomaly.resolution else None,
        "start_date": anomaly.start_date.isoformat(),
        "last_date": anomaly.last_date.isoformat(),
        "currency": anomaly.currency,
        "cost_basis": anomaly.cost_basis.value,
        "expected": cents(anomaly.expected, currency),
        "actual": cents(anomaly.actual, currency),
        "peak": cents(anomaly.peak, currency),
        "impact": cents(anomaly.impact, currency),
        "deviation_percent": None if ratio is None else f"{ratio * 100:.1f}",
        "lower": cents(anomaly.lower, currency),
        "upper": cents(anomaly.upper, currency),
        "score": f"{anomaly.score:.2f}",
        "reason": anomaly.reason.value,
        "words": anomaly.words,
        "explanation": [
            {
                "service": part.service,
                "expected": cents(part.expected, currency),
                "actual": cents(part.actual, currency),
            }
            for part in anomaly.explanation
        ],
    }


def answer_data(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON has it."""
    return {
        "id": answer.id,
        "kind": answer.kind.value,
        "level": None if answer.level is None else f"{answer.level:f}",
        "start_date": answer.start_date.isoformat() if answer.start_date else None,
        "end_date": answer.end_date.isoformat() if answer.end_date else None,
        "reason": answer.reason,
        "author": answer.author,
        "created_at": instant(answer.created_at),
    }


def root_cause_data(found: RootCause, currency: str) -> dict[str, Any]:
    """Return a root cause as JSON has it, amounts to the cent as strings."""
    return {
        "date": found.usage_date.isoformat(),
        "ordinary_date": found.ordinary_date.isoformat(),
        "causes": [
            {
                "region": cause.region,
                "usage_type": cause.usage_type,
                "expected": cents(cause.expected, currency),
                "actual": cents(cause.actual, currency),
            }
            for cause in found.causes
        ],
    }


def _subject(anomaly: Anomaly, account: Account) -> str:
    return f"{account.aws_account_id}/{anomaly.service}" if anomaly.service else account.aws_account_id


def _about(anomaly: Anomaly, account: Account, trend: Trend, run_id: UUID | None) -> dict[str, Any]:
    return {
        "run_id": str(run_id) if run_id else None,
        "account": _account_data(account),
        "anomaly": {
            **anomaly_data(anomaly),
            "newest_date": trend.newest.isoformat(),
            "newest_is_complete": trend.is_complete,
            "trend": [
                {
                    "date": day.usage_date.isoformat(),
                    "amount": cents(day.actual, anomaly.currency),
                    "is_anomalous": anomaly.includes(day),
                }
                for day in trend.days
            ],
        },
    }


def cents(amount: Decimal, currency: str) -> str:
    """Return an amount to the cent, for display and for events; the database keeps every digit."""
    return format(to_cents(amount, currency), "zf")  # z: no sign on "-0.00"


def _day_data(day: FirstCharge | DayTotal) -> dict[str, str]:
    # In full: the first cent of a service can be less than one.
    return {
        "date": day.usage_date.isoformat(),
        "currency": day.currency,
        "amount": f"{day.amount:f}",
    }


def _account_data(account: Account) -> dict[str, Any]:
    """Return an account as events have it; its labels are those of the moment, and decide where it goes."""
    return {
        "aws_account_id": account.aws_account_id,
        "name": account.name,
        "labels": dict(account.labels),
    }
