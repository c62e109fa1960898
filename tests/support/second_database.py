"""A second database in front of the same AWS, and what must be equal in both."""

from collections.abc import Iterator

import pytest

from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.simulator.client import SimulatorProcess
from tests.support.databases import copied_database
from tests.support.harness import Harness, Row


@pytest.fixture
def second(
    aws: SimulatorProcess, harness: Harness, postgres: EmbeddedPostgres, template: str
) -> Iterator[Harness]:
    """Give a harness with a migrated database of its own, and with the world of the other one."""
    with copied_database(postgres, template) as url:
        yield Harness(aws, url)


def costs(harness: Harness) -> list[Row]:
    """Return every cost row with every column, in the order of their keys."""
    return harness.rows(
        "SELECT aws_account_id, c.* FROM daily_costs c JOIN accounts a ON a.id = c.account_id"
        " ORDER BY aws_account_id, usage_date, service, record_type, currency"
    )


def judged(harness: Harness) -> tuple[list[Row], list[Row]]:
    """Return the anomalies and what was told of each account, without when and by which run."""
    anomalies = harness.rows("SELECT * FROM anomalies ORDER BY id")
    for row in anomalies:
        del row["run_id"], row["detected_at"], row["incident_checked_at"], row["updated_at"]
    told = harness.rows(
        "SELECT type, cloudevent -> 'data' -> 'anomaly' AS anomaly FROM events"
        " WHERE type LIKE 'anomaly.%' ORDER BY account_id, sequence"
    )
    return anomalies, told
