"""Which events go to which sink: a sink's filter, and the sentence that says why it excludes an event."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from costbatch.domain.detection import Direction, Severity
from costbatch.domain.events import Event, EventType
from costbatch.domain.labels import Labels
from costbatch.domain.money import Limit

_SEVERITIES = tuple(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a filter excludes an event. is_of_type: it excludes all events of this type."""

    reason: str
    is_of_type: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What an event must be to go to a sink; what is empty or None excludes nothing.

    types, accounts, services: one of them. labels: the account must have all of them.
    severity, minimum_impact (by currency), minimum_percent: at least so large.
    Conditions on services, size and direction are about anomalies: other events meet them.
    """

    types: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    labels: Labels = ()
    services: frozenset[str] = frozenset()
    direction: Direction | None = None
    severity: Severity | None = None
    minimum_impact: Limit | None = None
    minimum_percent: Decimal | None = None

    def refusal(self, event: Event) -> Refusal | None:
        """Return why the event does not pass; None if it does."""
        account: Mapping[str, Any] = event.data.get("account", {})
        anomaly: Mapping[str, Any] | None = event.data.get("anomaly")
        if self.types and event.type.value not in self.types:
            reason = f"The filter does not include events of type {event.type}."
            return Refusal(reason=reason, is_of_type=True)
        if self.accounts and account.get("aws_account_id") not in self.accounts:
            return Refusal(reason="The filter does not include this account.")
        labels: Mapping[str, str] = account.get("labels", {})
        for key, value in self.labels:
            if labels.get(key) != value:
                has = f"has {key}={labels[key]}" if key in labels else f"has no label {key}"
                who = f"the account {has}" if account else "the event is about no account"
                return Refusal(reason=f"The filter accepts only accounts with {key}={value}; {who}.")
        return self._refusal_of(anomaly) if anomaly else None

    def _refusal_of(self, anomaly: Mapping[str, Any]) -> Refusal | None:
        if self.services:
            explained_by = {part["service"] for part in anomaly["explanation"]}
            if not self.services & {anomaly["service"], *explained_by}:
                return Refusal(reason="The filter does not include this service.")
        if self.direction and anomaly["direction"] != self.direction:
            reason = f"The filter accepts only {self.direction}s; this is a {anomaly['direction']}."
            return Refusal(reason=reason)
        severity = Severity(anomaly["severity"])
        if self.severity and _SEVERITIES.index(severity) < _SEVERITIES.index(self.severity):
            reason = f"The filter accepts severity {self.severity} and above; this is {severity}."
            return Refusal(reason=reason)
        currency, impact = anomaly["currency"], abs(Decimal(anomaly["impact"]))
        if self.minimum_impact and impact < (least := self.minimum_impact.of(currency)):
            reason = f"The filter accepts differences from {least} {currency}; this is {impact} {currency}."
            return Refusal(reason=reason)
        # Without an expected cost there is no percentage: then any is large enough.
        percent = anomaly["deviation_percent"]
        if self.minimum_percent and percent is not None and abs(Decimal(percent)) < self.minimum_percent:
            reason = f"The filter accepts differences from {self.minimum_percent} %; this is {percent} %."
            return Refusal(reason=reason)
        return None


@dataclass(frozen=True, slots=True)
class Route:
    """The way to a sink. It is decided when an event is written, so that a later filter changes no past."""

    sink: str
    filter: Filter = field(default=Filter())


def is_follow_up(event: Event) -> bool:
    """Whether the event is about an anomaly that an earlier event was about, or ends a failure.

    A sink that received an anomaly or a failure also receives its end, if its types include that. The size,
    the services and the labels of the account may have changed: these filters do not apply.
    """
    is_of_anomaly = "anomaly" in event.data and event.type is not EventType.ANOMALY_DETECTED
    return is_of_anomaly or event.type is EventType.ACCOUNT_RECOVERED
