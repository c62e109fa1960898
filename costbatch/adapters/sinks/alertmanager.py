"""Turns events into alerts of an Alertmanager: an anomaly fires until it is resolved.

To an Alertmanager another set of labels is another alert. The severity and the labels of the account, by
which alerts are routed, may change while one fires: so the Alertmanager is asked with which labels it fires,
and what fires with old ones is resolved in the same request.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Self, cast
from urllib.parse import urlencode

from typing_extensions import override

from costbatch.adapters.sinks.base import CloudEvent, ConfiguredSink, Context
from costbatch.adapters.sinks.http import HttpClient
from costbatch.config.sinks import AlertmanagerOptions, SinkConfig
from costbatch.domain.anomalies import AnomalyState
from costbatch.domain.answers import Standing
from costbatch.domain.event_kinds import KINDS
from costbatch.domain.events import RUN_ENDINGS, EventType
from costbatch.domain.periods import instant
from costbatch.errors import DeliveryError

_PATH = "/api/v2/alerts"
# Events with one alert fire and end the same one; a type of a later release is told once.
_ALERTS = {type_: kind.alert for type_, kind in KINDS.items()}
_ENDS = frozenset(type_ for type_, kind in KINDS.items() if kind.ends)
# What is told once, such as the first use of a region; it fires for its time.
_OTHER = "CostbatchEvent"
# These few select an alert and perhaps some others.
_SELECTED_BY = ("alertname", "aws_account_id", "job", "anomaly_id", "subject")
_ACCOUNT_LABEL = "label_"
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
        (event,) = cloudevents
        # How a restricted run ended says nothing of the night, and the next night would not end its alert.
        if event["type"] in RUN_ENDINGS and event["data"]["run"]["is_restricted"]:
            return "A restricted run is no night, so nothing was sent."
        began, alert = monotonic(), self._alert(event)
        over = [{**alert, "labels": labels, "endsAt": event["time"]} for labels in self._outdated(alert)]
        answered = self._client.post_json([*over, alert], path=_PATH, spent_seconds=monotonic() - began)
        return f"The Alertmanager at {self._client.address} answered {answered}."

    def _outdated(self, alert: _Alert) -> list[Mapping[str, str]]:
        """Return the other labels with which the same alert fires; what is told once has none."""
        labels: Mapping[str, str] = alert["labels"]
        if labels["alertname"] == _OTHER:
            return []
        wanted = [f"{name}={json.dumps(labels[name])}" for name in _SELECTED_BY if name in labels]
        try:
            found = self._client.get_list(path=f"{_PATH}?{urlencode({'filter': wanted}, doseq=True)}")
        except DeliveryError:
            # To fire matters more than to end what fires with old labels, which ends after its time.
            return []
        firing: list[Mapping[str, str]] = [each.get("labels", {}) for each in found]
        return [each for each in firing if each != labels and _identity(each) == _identity(labels)]

    def _alert(self, event: CloudEvent) -> _Alert:
        type_, data = event["type"], event["data"]
        anomaly: Mapping[str, Any] = data.get("anomaly", {})
        # What was only acknowledged still costs: it fires until it is over.
        is_silent = type_ == EventType.ANOMALY_ANSWERED and data["standing"] == Standing.SILENT
        # AWS may still correct the days of what is over, and no other event would end its alert again.
        is_past = anomaly.get("state") == AnomalyState.RESOLVED
        is_over = type_ in _ENDS or is_silent or is_past
        message, at = self.message([event]), datetime.fromisoformat(event["time"])
        alert: _Alert = {
            "labels": labels_of(event),
            "annotations": {"summary": message.title, "description": message.text},
            # The first day of the anomaly, as far as its alert is the same one.
            "startsAt": f"{anomaly['start_date']}T00:00:00Z" if anomaly else instant(at),
            "endsAt": instant(at if is_over else at + self._firing),
        }
        if message.link:
            alert["generatorURL"] = message.link
        return alert


def _identity(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that never change while an alert fires; the others are there to route it by."""
    return {
        name: value
        for name, value in labels.items()
        if name != "severity" and not name.startswith(_ACCOUNT_LABEL)
    }


def labels_of(event: CloudEvent) -> dict[str, str]:
    """Return what tells an alert from all others, and what routes it; not the amounts, which change."""
    type_, data = event["type"], event["data"]
    account: Mapping[str, Any] = data.get("account", {})
    aws_account_id = account.get("aws_account_id", "")
    job = data["run"]["job"] if "run" in data else data.get("job", "")
    alert = _ALERTS.get(type_)
    labels = {"alertname": alert or _OTHER, "aws_account_id": aws_account_id, "job": job}
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
    for key, value in account.get("labels", {}).items():
        labels[_ACCOUNT_LABEL + re.sub(r"[^A-Za-z0-9_]", "_", key)] = value
    # To Alertmanager a label without a value is none.
    return {name: value for name, value in labels.items() if value}
