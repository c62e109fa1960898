"""Sinks as a file configures them, and the events that they receive in tests."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from costbatch.adapters.aws.topics import Topics
from costbatch.adapters.sinks import make_sinks
from costbatch.adapters.sinks.base import Context
from costbatch.application.outbox import Sink
from costbatch.config.sinks import parse_file
from costbatch.domain.events import Event, EventType, sink_test
from costbatch.domain.links import LinkTemplate

# base64 of 24 bytes.
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNING_NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


def make_sink(options: str, environ: Mapping[str, str] | None = None) -> Sink:
    """Return the sink of the options, which are lines of YAML as they are below its name."""
    lines = "\n".join(f"    {line}" for line in options.strip().splitlines())
    configs, _ = parse_file(f"sinks:\n  it:\n{lines}\n", "sinks.yaml", environ or {})
    (sink,) = make_sinks(configs, make_context())
    return sink


def make_context(link: LinkTemplate | None = None) -> Context:
    """Return what sinks share."""
    return Context(link=link, version="1.0", publish=Topics("1.0").publish)


def anomaly_event(
    number: int = 1, type_: EventType = EventType.ANOMALY_DETECTED, **changes: Any
) -> Mapping[str, Any]:
    """Return the CloudEvent of an anomaly; ``changes`` are of the anomaly, but for the account's."""
    account: dict[str, Any] = {
        "aws_account_id": "100000000001",
        "name": "search",
        "labels": {"team": "payments"},
    }
    account |= changes.pop("account", {})
    anomaly = {
        "id": str(UUID(int=7)),
        "revision": number,
        "service": None,
        "direction": "spike",
        "state": "open",
        "severity": "high",
        "resolution": None,
        "start_date": "2025-03-09",
        "last_date": "2025-03-11",
        "currency": "USD",
        "cost_basis": "unblended",
        "expected": "1583.28",
        "actual": "2801.44",
        "peak": "2801.44",
        "impact": "1218.16",
        "deviation_percent": "76.9",
        "explanation": [{"service": "Amazon EC2", "expected": "484.82", "actual": "951.68"}],
        "newest_date": "2025-03-11",
        "newest_is_complete": True,
        "trend": [
            {"date": "2025-03-10", "amount": "1", "is_anomalous": True},
            {"date": "2025-03-11", "amount": "2", "is_anomalous": True},
        ],
        **changes,
    }
    return Event(
        id=UUID(int=number),
        type=type_,
        subject=account["aws_account_id"],
        occurred_at=datetime(2025, 3, 12, 6, 30, tzinfo=UTC),
        data={"version": 1, "run_id": str(UUID(int=3)), "account": account, "anomaly": anomaly},
    ).to_cloudevent()


def event_of_test() -> Mapping[str, Any]:
    """Return the CloudEvent of a test of a sink."""
    return sink_test("it", now=datetime(2025, 3, 12, tzinfo=UTC)).to_cloudevent()
