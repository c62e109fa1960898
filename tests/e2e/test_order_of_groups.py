"""AWS promises no order of the groups of a day: nights in two orders store, learn and tell the same."""

from datetime import timedelta

import pytest

from costbatch.simulator.world import Anomaly
from tests.support.harness import EC2, ONE_DAY, TODAY, Harness, Row, bill, make_account
from tests.support.second_database import costs, judged

NIGHTS = 3
TABLES = (
    "SELECT account_id, currency, newest_date, snapshot, mornings FROM detector_memories ORDER BY 1, 2",
    "SELECT * FROM daily_expectations ORDER BY account_id, currency, service, usage_date",
    "SELECT anomaly_id, usage_date, causes, problem FROM anomaly_causes ORDER BY 1",
    "SELECT * FROM first_charges ORDER BY account_id, service",
)


def contents(harness: Harness) -> list[list[Row]]:
    """Return what follows from the costs, and is not about when and by which run."""
    return [harness.rows(select) for select in TABLES]


@pytest.mark.parametrize("detector", ["deviation", "adaptive"])
def test_nights_in_two_orders_end_the_same(harness: Harness, second: Harness, detector: str) -> None:
    """Services that cost the same, two currencies, days over two pages, late data and an anomaly."""
    start = TODAY - timedelta(days=75)
    shift = Anomaly("level_shift", TODAY + ONE_DAY, 2.5, service=EC2)
    alike = tuple(
        bill(TODAY + day * ONE_DAY, "50" if day == 1 else "0.1", service=f"Service {place}", unit=unit)
        for day in range(-40, NIGHTS)
        for place in range(6)
        for unit in ("EUR", "USD")
    )
    accounts = [
        make_account(1, profile="steady", services=12, start=start, daily_cost=900.0, anomalies=(shift,)),
        make_account(2, profile="late", services=6, start=start),
        make_account(3, rows=alike),
    ]
    harness.open(*accounts)
    for account in accounts:
        second.register(account)
    environ = {"COSTBATCH_DETECTOR": detector, "COSTBATCH_ROOT_CAUSE_MINIMUM": "10"}
    for night in range(NIGHTS):
        for each, order in ((harness, 2 * night), (second, 2 * night + 1)):
            each.sleep_until(TODAY + night * ONE_DAY)
            each.open(*accounts, page_size=100, group_order=order)
            run = each.collect(**environ)
            assert run.status == 0, run.stderr
        assert costs(harness) == costs(second)
        assert judged(harness) == judged(second)
        assert contents(harness) == contents(second)
    assert {row["account_id"] for row in judged(harness)[0]} >= {1}
