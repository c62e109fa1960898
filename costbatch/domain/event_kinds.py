"""How each type of event is reported: how a digest counts it, which alert it fires or ends, if it warns.

The log, the digests and the Alertmanager read it here, so that a new type is decided in one place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from costbatch.domain.events import EventType

ANOMALY_ALERT, ACCOUNT_ALERT, RUN_ALERT = "CostbatchAnomaly", "CostbatchAccountFailed", "CostbatchRunFailed"


@dataclass(frozen=True, slots=True)
class EventKind:
    """How the events of a type are reported.

    subject, verb: in the title of a digest, as in "Accounts: 2 failed".
    alert: the name of the alert that it fires or ends; None: no event ends it, and it fires for a fixed time.
    warns: whether it needs attention; else it only informs. ends: whether it ends its alert.
    """

    subject: str
    verb: str
    alert: str | None
    warns: bool
    ends: bool = False


# In the order in which a digest shows them.
KINDS: Mapping[str, EventKind] = MappingProxyType(
    {
        EventType.INCIDENT_DETECTED: EventKind("Incidents", "detected", None, warns=True),
        EventType.ANOMALY_DETECTED: EventKind("Cost anomalies", "detected", ANOMALY_ALERT, warns=True),
        EventType.ANOMALY_UPDATED: EventKind("Cost anomalies", "updated", ANOMALY_ALERT, warns=True),
        EventType.ANOMALY_REMINDER: EventKind("Cost anomalies", "still open", ANOMALY_ALERT, warns=True),
        EventType.ANOMALY_EXPLAINED: EventKind("Cost anomalies", "explained", ANOMALY_ALERT, warns=False),
        EventType.ANOMALY_RESOLVED: EventKind(
            "Cost anomalies", "resolved", ANOMALY_ALERT, warns=False, ends=True
        ),
        # What it does to its alert depends on the answer.
        EventType.ANOMALY_ANSWERED: EventKind("Cost anomalies", "answered", ANOMALY_ALERT, warns=False),
        EventType.ACCOUNT_FAILED: EventKind("Accounts", "failed", ACCOUNT_ALERT, warns=True),
        EventType.ACCOUNT_RECOVERED: EventKind(
            "Accounts", "recovered", ACCOUNT_ALERT, warns=False, ends=True
        ),
        EventType.REGION_FIRST_USED: EventKind("First uses", "of a region", None, warns=True),
        EventType.SERVICE_FIRST_USED: EventKind("First uses", "of a service", None, warns=True),
        EventType.SERVICE_FIRST_CHARGED: EventKind("First charges", "of a service", None, warns=True),
        EventType.DORMANT_ACCOUNT_CHARGED: EventKind(
            "First charges", "of a dormant account", None, warns=True
        ),
        EventType.RUN_FAILED: EventKind("Runs", "failed", RUN_ALERT, warns=True),
        EventType.RUN_STOPPED: EventKind("Runs", "stopped", RUN_ALERT, warns=True),
        EventType.RUN_COMPLETED: EventKind("Runs", "completed", RUN_ALERT, warns=False, ends=True),
        EventType.SINK_TEST: EventKind("Tests", "sent", "CostbatchTest", warns=False, ends=True),
    }
)
