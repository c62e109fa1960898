"""Turns events into alerts of an Alertmanager: an anomaly fires until it is resolved.

An alert is known by its labels, so these never change while it fires but for the severity, by which alerts
are routed: if that changes, the alert with the old one is resolved in the same request.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self, cast

from typing_extensions import override

from costbatch.adapters.sinks.base import CloudEvent, ConfiguredSink, Context
from costbatch.adapters.sinks.http import HttpClient
from costbatch.config.sinks import AlertmanagerOptions, SinkConfig
from costbatch.domain.answers import Standing
from costbatch.domain.detection import Severity
from costbatch.domain.events import EventType
from costbatch.domain.periods import instant

_PATH = "/api/v2/alerts"
# Events of one name fire and end the same alert.
_NAMES = {
    EventType.ANOMALY_DETECTED: "CostbatchAnomaly",
    EventType.ANOMALY_UPDATED: "CostbatchAnomaly",
    EventType.ANOMALY_RESOLVED: "CostbatchAnomaly",
    EventType.ANOMALY_REMINDER: "CostbatchAnomaly",
    EventType.ANOMALY_ANSWERED: "CostbatchAnomaly",
    EventType.ANOMALY_EXPLAINED: "CostbatchAnomaly",
    EventType.ACCOUNT_FAILED: "CostbatchAccountFailed",
    EventType.ACCOUNT_RECOVERED: "CostbatchAccountFailed",
    EventType.RUN_FAILED: "CostbatchRunFailed",
    EventType.RUN_COMPLETED: "CostbatchRunFailed",
    EventType.SINK_TEST: "CostbatchTest",
}
# These events end an alert; every other event starts or continues it.
_ENDS = frozenset(
    {
        EventType.ANOMALY_RESOLVED,
        EventType.ACCOUNT_RECOVERED,
        EventType.RUN_COMPLETED,
        EventType.SINK_TEST,
    }
)
# What is told once, such as the first use of a region; it fires for its time.
_OTHER = "CostbatchEvent"
_Alert = dict[str, Any]


class AlertmanagerSink(ConfiguredSink):
    """Posts to one Alertmanager."""

    def __init__(self, config: SinkConfig, context: Context, options: AlertmanagerOptions) -> None:
        super().__init__(config, context)
        self._firing = timedelta(days=options.firing_days)
        self._client = HttpClient(
            url=options.url,
            what="The Alertmanager",
            connection=options.connection,
            token=options.token,
            version=context.version,
        )

    @classmethod
    @override
    def build(cls, config: SinkConfig, context: Context) -> Self:
        return cls(config, context, cast("AlertmanagerOptions", config.options))

    @override
    def deliver(self, cloudevents: Sequence[CloudEvent]) -> str:
        alerts = [alert for event in cloudevents for alert in self._alerts(event)]
        if not alerts:
            return "A run of some accounts ends no alert, so nothing was sent."
        answered = self._client.post_json(alerts, path=_PATH)
        return f"The Alertmanager at {self._client.address} answered {answered}."

    def _alerts(self, event: CloudEvent) -> list[_Alert]:
        type_ = EventType(event["type"])
        # That some accounts were done says nothing of the night that failed for all.
        if type_ is EventType.RUN_COMPLETED and event["data"]["run"]["is_restricted"]:
            return []
        name, is_over = _NAMES.get(type_, _OTHER), _is_over(type_, event["data"])
        message, at = self.message([event]), datetime.fromisoformat(event["time"])
        anomaly: Mapping[str, Any] = event["data"].get("anomaly", {})
        alert: _Alert = {
            "labels": {
                "alertname": name,
                **_labels(type_, event["data"]),
            },
            "annotations": {"summary": message.title, "description": message.text},
            # The first day of the anomaly, as far as its alert is the same one.
            "startsAt": f"{anomaly['start_date']}T00:00:00Z" if anomaly else instant(at),
            "endsAt": instant(at if is_over else at + self._firing),
        }
        if message.link:
            alert["generatorURL"] = message.link
        return [alert, *(_of_other_severities(alert, at) if type_ in _MAY_CHANGE_SEVERITY else ())]


_MAY_CHANGE_SEVERITY = frozenset(
    {
        EventType.ANOMALY_UPDATED,
        EventType.ANOMALY_REMINDER,
        EventType.ANOMALY_ANSWERED,
        EventType.ANOMALY_RESOLVED,
    }
)


def _is_over(type_: EventType, data: Mapping[str, Any]) -> bool:
    # What was only acknowledged still costs: it fires until it is over.
    return type_ in _ENDS or (type_ is EventType.ANOMALY_ANSWERED and data["standing"] == Standing.SILENT)


def _of_other_severities(alert: _Alert, at: datetime) -> list[_Alert]:
    others = [severity.value for severity in Severity if severity.value != alert["labels"]["severity"]]
    return [
        {**alert, "labels": {**alert["labels"], "severity": severity}, "endsAt": instant(at)}
        for severity in others
    ]


def _labels(type_: EventType, data: Mapping[str, Any]) -> dict[str, str]:
    """Return what tells an alert from all others; not the revision and the amounts, which change."""
    account: Mapping[str, Any] = data.get("account", {})
    job = data["run"]["job"] if "run" in data else data.get("job", "")
    labels = {"aws_account_id": account.get("aws_account_id", ""), "job": job}
    if "anomaly" in data:
        anomaly: Mapping[str, Any] = data["anomaly"]
        labels |= {name: anomaly[name] for name in ("service", "direction", "currency", "severity")}
        labels["anomaly_id"] = anomaly["id"]
    elif type_ not in _NAMES:
        # By these, one of what is told once is another alert than the next.
        about: Mapping[str, Any] = data.get("charge") or data.get("incident") or data
        names = ("region", "service", "direction", "currency", "start_date")
        labels |= {"event": type_.value, **{name: about[name] for name in names if name in about}}
    for key, value in account.get("labels", {}).items():
        labels["label_" + re.sub(r"[^A-Za-z0-9_]", "_", key)] = value
    # To Alertmanager a label without a value is none.
    return {name: value for name, value in labels.items() if value}
