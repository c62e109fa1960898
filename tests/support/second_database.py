"""A second database in front of the same AWS, and what must be equal in both."""

import pytest
from sqlalchemy.engine import make_url

from costbatch.demo.postgres import EmbeddedPostgres
from costbatch.simulator.client import SimulatorProcess
from tests.support.harness import Harness, Row


@pytest.fixture
def second(
    aws: SimulatorProcess, harness: Harness, postgres: EmbeddedPostgres, template: str, database_url: str
) -> Harness:
    """Return a harness with a migrated database of its own, and with the world of the other one."""
    name = f"{make_url(database_url).database}_second"
    return Harness(aws, postgres.create_database(name, template=template))


def costs(harness: Harness) -> list[Row]:
    """Return every cost row with every column, in the order of their keys."""
    return harness.rows(
        "SELECT aws_account_id, c.* FROM daily_costs c JOIN accounts a ON a.id = c.account_id"
        " ORDER BY aws_account_id, usage_date, service, record_type"
    )


def judged(harness: Harness) -> tuple[list[Row], list[Row]]:
    """Return the anomalies and what was told of each account, without when and by which run."""
    anomalies = harness.rows("SELECT * FROM anomalies ORDER BY id")
    for row in anomalies:
        del row["run_id"], row["detected_at"], row["updated_at"]
    told = harness.rows(
        "SELECT type, cloudevent -> 'data' -> 'anomaly' AS anomaly FROM events"
        " WHERE type LIKE 'anomaly.%' ORDER BY account_id, sequence"
    )
    return anomalies, told
