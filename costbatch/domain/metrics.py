"""Metrics of a run: what each is called and says, and the ones that every job's run has."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it is pushed. All are gauges: a batch job has no counters."""

    name: str
    labels: tuple[str, ...]
    help: str
    type: str = "gauge"


class Sample(NamedTuple):
    """One value of one metric; ``labels`` are values in the order of the metric's labels."""

    metric: Metric
    value: Decimal | float
    labels: tuple[str, ...] = ()


LAST_SUCCESS = Metric(
    "costbatch_last_success_timestamp_seconds",
    (),
    "When a run over all accounts last succeeded, as seconds since 1970; other runs leave it as it is.",
)
LAST_RUN = Metric("costbatch_last_run_timestamp_seconds", (), "When a run last ended, as seconds since 1970.")
LAST_RUN_SUCCEEDED = Metric(
    "costbatch_last_run_succeeded", (), "Whether the last run succeeded: 1 yes, 0 no."
)
BUILD_INFO = Metric("costbatch_build_info", ("version", "python"), "Always 1; the labels say what runs.")
LAST_REPORT = Metric(
    "costbatch_last_report_timestamp_seconds",
    (),
    "When a run with a report last ended, as seconds since 1970; its other metrics stay until the next one.",
)
DURATION = Metric("costbatch_run_duration_seconds", (), "How long the last run took.")
ACCOUNTS = Metric("costbatch_accounts", ("outcome",), "Accounts of the last run, by how each ended.")
FAILURES = Metric("costbatch_account_failures", ("kind",), "Accounts that failed in the last run, by reason.")
EVENTS_PENDING = Metric(
    "costbatch_events_pending", ("sink",), "Deliveries of events that are still to be made, by sink."
)
EVENTS_DEAD = Metric(
    "costbatch_events_dead",
    ("sink",),
    "Deliveries of events that were given up after too many attempts, by sink; replay or discard them.",
)
RUN_METRICS = (
    LAST_SUCCESS,
    LAST_RUN,
    LAST_RUN_SUCCEEDED,
    BUILD_INFO,
    LAST_REPORT,
    DURATION,
    ACCOUNTS,
    FAILURES,
    EVENTS_PENDING,
    EVENTS_DEAD,
)
