"""Scenarios: twelve accounts, the database before a run, and what an undisturbed run makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.simulator.client import SimulatorProcess
from costbatch.simulator.world import Account, Anomaly, Fault, Role
from tests.chaos.contents import contents
from tests.support.harness import TODAY, Harness, bill, make_account, steady, wait_for

RUN_KEY = "chaos"
CONCURRENCY = 3
# Rows of one page: the largest accounts take three.
_PAGE_SIZE = 150
_LATENCY_SECONDS = 0.08
# Its keys assume the role of another account.
_HUB_ID = "100000000005"
# Two weeks and a month's end before: other anomalies, other failures, and a month without its partition.
_EARLIER = date(2025, 2, 27)

ENVIRON = {
    "COSTBATCH_CONCURRENCY": str(CONCURRENCY),
    # Longer than any wait in these tests: who waits for a lease of a dead process here fails.
    "COSTBATCH_LEASE_SECONDS": "90",
    "COSTBATCH_RETRY_PAUSE_SECONDS": "0.1",
    "COSTBATCH_ANOMALY_SETTLE_DAYS": "1",
}


@dataclass(frozen=True)
class Scenario:
    """Where a trial starts and must end. ``paid``: by account, what the run pays for undisturbed."""

    name: str
    duration_seconds: float
    expected: Mapping[str, Any]
    paid: Mapping[str, int]

    def set_up(self, aws: SimulatorProcess, database_url: str) -> Harness:
        """Return a harness on a copy of the scenario's database, with the world as it is before the run."""
        return _set_up(aws, database_url, self.name)


def make_scenario(name: str, aws: SimulatorProcess, postgres: EmbeddedPostgres, template: str) -> Scenario:
    """Prepare the database, and run once undisturbed on a copy of it."""
    harness = _set_up(aws, postgres.create_database(f"scenario_{name}", template=template), name)
    if name == "grown":
        harness.sleep_until(_EARLIER)
        _troubles_of_earlier(aws, harness)
        assert harness.collect("--run-key", "earlier", **ENVIRON).status == 0
    harness.disconnect()
    undisturbed = postgres.create_database(f"undisturbed_{name}", template=f"scenario_{name}")
    harness = _set_up(aws, undisturbed, name)
    process = harness.start("collect", "--run-key", RUN_KEY, **ENVIRON)
    began = harness.now()
    assert wait_for(process).status == 0
    return Scenario(
        name=name,
        duration_seconds=(harness.now() - began).total_seconds(),
        expected=contents(harness, RUN_KEY),
        paid=paid_by_account(aws),
    )


def paid_by_account(aws: SimulatorProcess) -> dict[str, int]:
    """Return how many pages AWS would have charged for, by account."""
    accounts: dict[str, dict[str, int]] = aws.requests()["accounts"]
    return {account_id: int(counts["paid"]) for account_id, counts in accounts.items()}


def _set_up(aws: SimulatorProcess, database_url: str, name: str) -> Harness:
    harness, accounts = Harness(aws, database_url), _accounts()
    # Both detectors are disturbed; the one that remembers, on a database in which it has something to.
    harness.environ["COSTBATCH_DETECTOR"] = "adaptive" if name == "grown" else "deviation"
    if not harness.rows("SELECT 1 FROM accounts"):
        for account in accounts:
            harness.register(account, base=_HUB_ID if account.roles else None)
    harness.open(*accounts, page_size=_PAGE_SIZE, latency_seconds=_LATENCY_SECONDS)
    return harness


def _troubles_of_earlier(aws: SimulatorProcess, harness: Harness) -> None:
    """Break an account that works today, and another one that fails today for another reason."""
    aws.set_latency(0)
    aws.add_fault(harness.ids[0], "invalid_token", operation="*")
    aws.clear_faults(harness.ids[9])
    aws.add_fault(harness.ids[9], "access_denied")


def _accounts() -> list[Account]:
    spiked = [
        replace(row, unblended=row.unblended * 9) if row.date == TODAY - timedelta(days=2) else row
        for row in steady("30.10")
    ]
    fallen = (*steady("77.7", until=TODAY - timedelta(days=20)), *steady("11.1", days=20))
    role = Role("Reader", external_id="chaos-external-id", trusted_account_ids=(_HUB_ID,))
    return [
        make_account(1, rows=tuple(spiked)),
        make_account(2, rows=fallen),
        make_account(3, rows=(bill(TODAY - timedelta(days=5), "-9.0E-10", record_type="Credit"),)),
        make_account(4, services=6, profile="steady", start=date(2024, 9, 1)),
        make_account(5, services=3, profile="weekday"),
        make_account(6, profile="steady", anomalies=(Anomaly("spike", TODAY - timedelta(days=1), 6.0),)),
        make_account(7, anomalies=(Anomaly("level_shift", TODAY - timedelta(days=17), 3.0),)),
        make_account(8, currency="EUR", profile="credits", services=4),
        make_account(9, anomalies=(Anomaly("drop", TODAY - timedelta(days=8), 0.0),), services=1),
        make_account(10, faults=(Fault("not_enabled"),)),
        make_account(11, faults=(Fault("limit_exceeded", times=2),)),
        make_account(12, roles=(role,), start=TODAY - timedelta(days=9)),
    ]
