"""Turns events into alerts of an Alertmanager: an anomaly fires until it is resolved.

To an Alertmanager another set of labels is another alert. The severity and the labels of the account, by
which alerts are routed, may change while one fires: so the Alertmanager is asked with which labels it fires,
and what fires with old ones is resolved in the same request.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Self, cast
from urllib.parse import urlencode

from typing_extensions import override

from costbatch.adapters.sinks.alerts import (
    OTHER_ALERT,
    identity_of,
    is_of_restricted_run,
    is_over,
    labels_of,
)
from costbatch.adapters.sinks.base import CloudEvent, ConfiguredSink, Context
from costbatch.adapters.sinks.http import HttpClient
from costbatch.config.sinks import AlertmanagerOptions, SinkConfig
from costbatch.domain.periods import instant
from costbatch.errors import DeliveryError

_PATH = "/api/v2/alerts"
# These few select an alert and perhaps some others.
_SELECTED_BY = ("alertname", "aws_account_id", "job", "anomaly_id", "subject")
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
        if is_of_restricted_run(event):
            return "A restricted run is no night, so nothing was sent."
        began, alert = monotonic(), self._alert(event)
        over = [{**alert, "labels": labels, "endsAt": event["time"]} for labels in self._outdated(alert)]
        answered = self._client.post_json([*over, alert], path=_PATH, spent_seconds=monotonic() - began)
        return f"The Alertmanager at {self._client.address} answered {answered}."

    def _outdated(self, alert: _Alert) -> list[Mapping[str, str]]:
        """Return the other labels with which the same alert fires; what is told once has none."""
        labels: Mapping[str, str] = alert["labels"]
        if labels["alertname"] == OTHER_ALERT:
            return []
        wanted = [f"{name}={json.dumps(labels[name])}" for name in _SELECTED_BY if name in labels]
        try:
            found = self._client.get_list(path=f"{_PATH}?{urlencode({'filter': wanted}, doseq=True)}")
        except DeliveryError:
            # To fire matters more than to end what fires with old labels, which ends after its time.
            return []
        firing: list[Mapping[str, str]] = [each.get("labels", {}) for each in found]
        return [each for each in firing if each != labels and identity_of(each) == identity_of(labels)]

    def _alert(self, event: CloudEvent) -> _Alert:
        anomaly: Mapping[str, Any] = event["data"].get("anomaly", {})
        message, at = self.message([event]), datetime.fromisoformat(event["time"])
        alert: _Alert = {
            "labels": labels_of(event),
            "annotations": {"summary": message.title, "description": message.text},
            # The first day of the anomaly, as far as its alert is the same one.
            "startsAt": f"{anomaly['start_date']}T00:00:00Z" if anomaly else instant(at),
            "endsAt": instant(at if is_over(event) else at + self._firing),
        }
        if message.link:
            alert["generatorURL"] = message.link
        return alert
