"""Replay one after the other, once with what is known of the last one and once without: no difference."""

import random
from collections.abc import Iterable
from datetime import date, timedelta

import pytest

from costbatch.simulator.world import CostRow
from tests.support.harness import ONE_DAY, TODAY, Harness, Row, bill, make_account, steady
from tests.support.second_database import costs, judged

pytestmark = pytest.mark.slow

YESTERDAY = TODAY - ONE_DAY
SERVICES = ("AWS Lambda", "Amazon EC2", "Amazon S3")

# By day, service and record type.
Bill = dict[tuple[date, str, str], str]


def rows_of(amounts: Bill) -> list[CostRow]:
    """Return the rows of a bill, in the order in which days and services came."""
    return [
        bill(day, amount, service=service, record_type=record_type)
        for (day, service, record_type), amount in amounts.items()
    ]


def sleep_until(day: date, *harnesses: Harness) -> None:
    """Make it a morning on every harness."""
    for each in harnesses:
        each.sleep_until(day)


def summed_up(harness: Harness) -> list[Row]:
    """Return what is known of each account, and how each of its collections ended, run by run.

    Not in the order of their turns: two runs of one morning end at one moment of a clock that is set back.
    """
    progress = "SELECT account_id, covered_start, covered_end_exclusive, failing_kind FROM account_progress"
    collections = (
        "SELECT account_id, state, window_start, window_end_exclusive, attempts, api_requests,"
        " rows_fetched, rows_inserted, rows_updated, rows_deleted, error_kind FROM run_items"
        " LEFT JOIN cost_collections ON run_item_id = run_items.id JOIN runs ON runs.id = run_id"
    )
    return harness.rows(f"{progress} ORDER BY account_id") + harness.rows(
        f"{collections} ORDER BY sequence, account_id"
    )


@pytest.mark.parametrize(
    "environ", [{}, {"COSTBATCH_ANOMALY_PER_SERVICE": "true"}], ids=["total", "services"]
)
def test_anomalies_are_judged_the_same_whatever_is_known(
    harness: Harness, second: Harness, environ: dict[str, str]
) -> None:
    """Found, updated, restated and ended on the same replay, with the same amounts and explanations."""
    plain = steady("10.00", until=TODAY + 30 * ONE_DAY, days=90)
    plain = (*plain, *(bill(row.date, "1.00", service=SERVICES[0]) for row in plain))
    harness.open(make_account(1))
    second.register(make_account(1))
    # By morning: other amounts of some days, counted from the first morning's yesterday; None: no cost.
    restated: dict[int, dict[int, str | None]] = {
        0: {0: "60.00", -25: "50.00"},
        1: {0: None, -25: "50.00"},
        2: {0: None, -12: "40.00"},
        4: {3: "33.00", -12: "40.00"},
        5: {3: "44.00", -12: "40.00"},
    }
    for n in range(6):
        sleep_until(TODAY + n * ONE_DAY, harness, second)
        if n in restated:
            others = {YESTERDAY + late * ONE_DAY: amount for late, amount in restated[n].items()}
            rows = [bill(day, amount) for day, amount in others.items() if amount]
            harness.aws.set_rows(harness.ids[0], [*(row for row in plain if row.date not in others), *rows])
        second.rows("TRUNCATE day_digests")
        assert harness.collect(**environ).status == second.collect(**environ).status == 0
        assert judged(harness) == judged(second)
    anomalies, told = judged(harness)
    assert {row["resolution"] for row in anomalies} >= {"ended", "restated"}
    assert {row["type"] for row in told} == {"anomaly.detected", "anomaly.updated", "anomaly.resolved"}


@pytest.mark.parametrize("seed", [1, 2])
def test_mornings_of_any_kind_end_the_same_whatever_is_known(
    harness: Harness, second: Harness, seed: int
) -> None:
    """Restated, vanished and late rows, days split over pages, skipped nights, failures and backfills."""
    dice = random.Random(seed)
    accounts = [make_account(1), make_account(2, profile="late", services=3), make_account(3, services=1)]
    harness.open(*accounts, page_size=dice.choice([7, 40, 2000]))
    for account in accounts:
        second.register(account)
    amounts: Bill = {}
    first = TODAY - 50 * ONE_DAY
    today = TODAY
    known: set[object] = set()
    for _ in range(8):
        _change(amounts, first, today, dice)
        first = today
        harness.aws.set_rows(harness.ids[0], rows_of(amounts))
        sleep_until(today, harness, second)
        second.rows("TRUNCATE day_digests")
        known.update(each["account_id"] for each in harness.rows("SELECT account_id FROM day_digests"))
        if dice.random() < 0.2:
            # Once for each of the two.
            harness.aws.add_fault(dice.choice(harness.ids), "access_denied", times=2)
        arguments = _arguments(today, dice)
        assert harness.collect(*arguments).outcomes == second.collect(*arguments).outcomes
        assert costs(harness) == costs(second)
        assert summed_up(harness) == summed_up(second)
        assert judged(harness) == judged(second)
        today += dice.choice([0, 1, 1, 1, 2, 5]) * ONE_DAY
    # A backfill takes them away, and the last morning may be one.
    assert known == {1, 2, 3}


def _change(amounts: Bill, first: date, today: date, dice: random.Random) -> None:
    """Add the days that are new, and restate, take back and add some rows of the last forty."""
    for day in _days(first, today):
        for service in dice.sample(SERVICES, dice.randint(0, 3)):
            amounts[day, service, "Usage"] = str(dice.randint(1, 20))
    recent = [key for key in amounts if key[0] >= today - 40 * ONE_DAY]
    for key in dice.sample(recent, min(len(recent), dice.choice([0, 1, 2, 5]))):
        del amounts[key]
        if dice.random() < 0.7:
            # It comes last among the services of its day from now on.
            amounts[key] = f"{dice.choice([2, 10, 90])}.{dice.randint(0, 3)}"
    if dice.random() < 0.5:
        amounts[today - dice.randint(1, 40) * ONE_DAY, SERVICES[0], "Tax"] = "0.5"
    if dice.random() < 0.2:
        vanished = today - dice.randint(1, 30) * ONE_DAY
        for key in [key for key in amounts if key[0] == vanished]:
            del amounts[key]


def _days(first: date, end_exclusive: date) -> Iterable[date]:
    return (first + timedelta(days=n) for n in range((end_exclusive - first).days))


def _arguments(today: date, dice: random.Random) -> list[str]:
    """Return what is asked for: mostly an ordinary night, at times a backfill."""
    if dice.random() < 0.8:
        return []
    last = today - dice.randint(1, 40) * ONE_DAY
    return ["--from", (last - dice.randint(0, 20) * ONE_DAY).isoformat(), "--to", last.isoformat()]
