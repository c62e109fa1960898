"""Which alert an event fires or ends, for receivers that keep an alert open until it is resolved."""

import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from costbatch.adapters.sinks.base import ACCOUNT_LABEL, CloudEvent, label_names
from costbatch.domain.anomalies import AnomalyState
from costbatch.domain.answers import Standing
from costbatch.domain.event_kinds import KINDS
from costbatch.domain.events import RUN_ENDINGS, EventType

# What is told once, such as the first use of a region; it fires for its time.
OTHER_ALERT = "CostbatchEvent"
# Events with one alert fire and end the same one; a type of a later release is told once.
_ALERTS = {type_: kind.alert for type_, kind in KINDS.items()}
_ENDS = frozenset(type_ for type_, kind in KINDS.items() if kind.ends)
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_]")
_NAMESPACE = UUID("5c1f6f0e-3f0b-4d0e-9f57-2f1c0a8d6b34")


def is_of_restricted_run(event: CloudEvent) -> bool:
    """Whether an event says how a restricted run ended.

    That says nothing of the night, and the next night would not end its alert.
    """
    return event["type"] in RUN_ENDINGS and bool(event["data"]["run"]["is_restricted"])


def is_over(event: CloudEvent) -> bool:
    """Whether an event ends its alert."""
    type_, data = event["type"], event["data"]
    # What was only acknowledged still costs: it fires until it is over.
    is_silent = type_ == EventType.ANOMALY_ANSWERED and data["standing"] == Standing.SILENT
    # AWS may still correct the days of what is over, and no other event would end its alert again.
    is_past = data.get("anomaly", {}).get("state") == AnomalyState.RESOLVED
    return type_ in _ENDS or is_silent or is_past


def labels_of(event: CloudEvent) -> dict[str, str]:
    """Return what tells an alert from all others, and what routes it; not the amounts, which change."""
    type_, data = event["type"], event["data"]
    account: Mapping[str, Any] = data.get("account", {})
    aws_account_id = account.get("aws_account_id", "")
    job = data["run"]["job"] if "run" in data else data.get("job", "")
    alert = _ALERTS.get(type_)
    labels = {"alertname": alert or OTHER_ALERT, "aws_account_id": aws_account_id, "job": job}
    if "anomaly" in data:
        anomaly: Mapping[str, Any] = data["anomaly"]
        labels |= {name: anomaly[name] for name in ("service", "direction", "currency", "severity")}
        labels["anomaly_id"] = anomaly["id"]
    elif "run" not in data and event["subject"] != aws_account_id:
        # The next run of a job ends the alert of the last one, whose key is its subject.
        labels["subject"] = event["subject"]
    if alert is None:
        # By these, one of what is told once is another alert than the next.
        about: Mapping[str, Any] = data.get("charge") or data.get("incident") or data
        names = ("region", "service", "direction", "currency", "start_date")
        labels |= {"event": type_, **{name: about[name] for name in names if name in about}}
    of_account: Mapping[str, str] = account.get("labels", {})
    labels |= {name: of_account[key] for key, name in label_names(of_account, _FORBIDDEN).items()}
    # To Alertmanager a label without a value is none.
    return {name: value for name, value in labels.items() if value}


def identity_of(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that never change while an alert fires; the others are there to route it by."""
    return {
        name: value
        for name, value in labels.items()
        if name != "severity" and not name.startswith(ACCOUNT_LABEL)
    }


def alert_key(event: CloudEvent) -> str:
    """Return the key of an event's alert: that of what fires it is that of what ends it.

    What is told once has a key of its own, and an incident keeps its key if members join.
    """
    is_once = _ALERTS.get(event["type"]) is None or event["type"] == EventType.SINK_TEST
    if is_once or is_of_restricted_run(event):
        return str(event["data"].get("incident", event)["id"])
    return str(uuid5(_NAMESPACE, json.dumps(identity_of(labels_of(event)), sort_keys=True)))
