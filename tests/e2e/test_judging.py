"""Judging and restatement, end to end: replay one after the other with the bill that AWS shows on each."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from costbatch.domain.messages import message_of
from costbatch.simulator.world import CostRow
from tests.support.harness import ONE_DAY, TODAY, Harness, Prepare, Row, bill, make_account, steady

# Nights of one account: test_detect.py and its like have them in memory.
pytestmark = pytest.mark.slow

DAY = TODAY - ONE_DAY
LAMBDA = "AWS Lambda"
LONG = 120

Told = dict[int, list[str]]


def at(
    day: date,
    amount: str,
    *,
    among: Iterable[CostRow] = steady("10.00", until=TODAY + LONG * ONE_DAY, days=180),
) -> tuple[CostRow, ...]:
    """Return ten dollars on every day, with another amount on one."""
    return (*(row for row in among if row.date != day), bill(day, amount))


def replay(
    harness: Harness, bills: dict[int, tuple[CostRow, ...]], *, count: int = 7, **environ: str
) -> Told:
    """Collect on so many replay; from the n-th on AWS shows ``bills[n]``; return what was told."""
    told: Told = {}
    for n in range(count):
        harness.sleep_until(TODAY + n * ONE_DAY)
        if n in bills:
            harness.aws.set_rows(harness.ids[0], bills[n])
        run = harness.collect(**environ)
        assert run.status == 0
        types = [line["cloudevent"]["type"] for line in run.logs("event")]
        if found := [name for name in types if name.startswith("anomaly.")]:
            told[n] = found
    return told


def anomalies(harness: Harness) -> list[Row]:
    """Return the anomalies, oldest first."""
    return harness.rows("SELECT * FROM anomalies ORDER BY start_date, detected_at")


def newest_event(harness: Harness) -> Row:
    """Return the newest anomaly event."""
    found: Row = harness.value(
        "SELECT cloudevent FROM events WHERE type LIKE 'anomaly.%' ORDER BY sequence DESC LIMIT 1"
    )
    return found


def last_event(harness: Harness) -> Row:
    """Return what the newest anomaly event says."""
    anomaly: Row = newest_event(harness)["data"]["anomaly"]
    return anomaly


def collected(harness: Harness) -> None:
    """Collect an account until the day before yesterday."""
    harness.open(make_account(1, rows=steady("10.00")))
    harness.sleep_until(TODAY - ONE_DAY)
    assert harness.collect().status == 0


@pytest.fixture
def one(prepare: Prepare) -> Harness:
    """Return a harness with an account that has been collected until the day before yesterday."""
    return prepare(collected)


def test_a_spike_is_detected_updated_and_resolved(one: Harness) -> None:
    """Told the morning after, again when the day has its whole cost, and once more when it is over."""
    told = replay(one, {0: at(DAY, "60.00"), 1: at(DAY, "90.00")})
    assert told == {0: ["anomaly.detected"], 1: ["anomaly.updated"], 5: ["anomaly.resolved"]}
    (anomaly,) = anomalies(one)
    assert (anomaly["start_date"], anomaly["last_date"], anomaly["revision"]) == (DAY, DAY, 3)
    assert (anomaly["state"], anomaly["resolution"]) == ("resolved", "ended")
    assert (str(anomaly["expected"]), str(anomaly["actual"])) == ("10.0000000000", "90")


def test_a_drop_waits_until_its_day_has_settled(one: Harness) -> None:
    """What is missing in the morning may still come: a drop is told two days later."""
    assert replay(one, {0: at(DAY, "2.00")}) == {2: ["anomaly.detected"], 5: ["anomaly.resolved"]}
    (anomaly,) = anomalies(one)
    assert (anomaly["direction"], anomaly["start_date"]) == ("drop", DAY)


def test_a_late_day_is_no_drop(one: Harness) -> None:
    """A day that is empty at first and whole a day later is never told."""
    assert replay(one, {0: at(DAY, "0.10"), 1: at(DAY, "10.00")}) == {}
    assert anomalies(one) == []


def test_a_day_without_any_rows_is_a_drop_to_zero(one: Harness) -> None:
    """Days without cost count as 0, once they have settled."""
    rows = tuple(row for row in at(DAY, "0") if row.date != DAY)
    assert replay(one, {0: rows}, count=4) == {2: ["anomaly.detected"]}
    assert (last_event(one)["actual"], last_event(one)["impact"]) == ("0.00", "-10.00")


def test_a_level_shift_is_one_anomaly(one: Harness) -> None:
    """Thirty dollars instead of ten from one day on: one anomaly until the baseline has caught up."""
    shifted = tuple(bill(row.date, "30.00" if row.date >= DAY else "10.00") for row in at(DAY, "10.00"))
    told = replay(one, {0: shifted}, count=20)
    assert told == {
        0: ["anomaly.detected"],
        **{n: ["anomaly.updated"] for n in range(1, 15)},
        19: ["anomaly.resolved"],
    }
    (anomaly,) = anomalies(one)
    assert (anomaly["start_date"], anomaly["last_date"]) == (DAY, DAY + 14 * ONE_DAY)
    message = message_of([newest_event(one)])
    assert "Resolved: The cost stays at its new level, which is expected now." in message.text


def test_what_is_restated_away_is_resolved(one: Harness) -> None:
    """AWS corrects the day: the anomaly is resolved as restated, and not told again."""
    told = replay(one, {0: at(DAY, "90.00"), 2: at(DAY, "10.00")})
    assert told == {0: ["anomaly.detected"], 2: ["anomaly.resolved"]}
    assert [row["resolution"] for row in anomalies(one)] == ["restated"]


def test_an_old_day_that_is_restated_is_judged_again(one: Harness) -> None:
    """A correction three weeks later is found, because the window is read again: one story, not two."""
    told = replay(one, {0: at(DAY - timedelta(days=20), "90.00")}, count=3)
    assert sum(map(len, told.values())) >= 1
    (anomaly,) = anomalies(one)
    assert (anomaly["start_date"], anomaly["state"]) == (DAY - timedelta(days=20), "resolved")


def test_a_spike_during_an_outage_is_found_by_the_next_run(one: Harness) -> None:
    """Nights without a run lose no anomaly."""
    one.sleep_until(TODAY + 4 * ONE_DAY)
    one.aws.set_rows(one.ids[0], at(TODAY + ONE_DAY, "90.00"))
    run = one.collect()
    assert run.summary["events"]["written"] == {"anomaly.detected": 1, "run.completed": 1}
    assert last_event(one)["start_date"] == (TODAY + ONE_DAY).isoformat()


def test_a_second_run_on_the_same_morning_tells_nothing(one: Harness) -> None:
    """Judging the same days again finds the same, and tells it no second time."""
    assert replay(one, {0: at(DAY, "90.00")}, count=1) == {0: ["anomaly.detected"]}
    assert replay(one, {}, count=1) == {}


def test_an_anomaly_is_shown_with_what_it_takes_to_judge_it(one: Harness) -> None:
    """Expected, actual, difference, percentage, services and a trend of thirty days."""
    rows = (*at(DAY, "12.00"), bill(DAY, "78.00", service=LAMBDA))
    assert replay(one, {0: rows}, count=1) == {0: ["anomaly.detected"]}
    run = one.collect()
    (shown,) = run.summary["open_anomalies"]
    assert (shown["expected"], shown["actual"], shown["impact"]) == ("10.00", "90.00", "80.00")
    assert (shown["deviation_percent"], shown["severity"], shown["direction"]) == ("800.0", "low", "spike")
    moved = [(part["service"], part["expected"], part["actual"]) for part in shown["explanation"]]
    assert moved[0] == (LAMBDA, "0.00", "78.00")
    assert (len(shown["trend"]), shown["trend"][-1]["date"]) == (30, DAY.isoformat())
    table = one.run("collect").stdout
    assert all(text in table for text in ("+80.00 USD", "+800 %", "10.00", "90.00", LAMBDA))


@pytest.mark.parametrize("record_type", ["Credit", "Refund", "Tax"])
def test_credits_refunds_and_tax_are_left_out(one: Harness, record_type: str) -> None:
    """They are stored as billed and never compared, unless a setting says so."""
    amount = "500.00" if record_type == "Tax" else "-500.00"
    rows = (*at(DAY, "10.00"), bill(DAY, amount, record_type=record_type))
    assert replay(one, {0: rows}, count=4) == {}
    assert one.value("SELECT unblended FROM daily_costs WHERE record_type = %s", record_type) is not None
    one.rows("UPDATE daily_costs SET unblended = 1 WHERE record_type = %s", record_type)
    told = replay(one, {}, count=4, COSTBATCH_ANOMALY_EXCLUDED_RECORD_TYPES="none")
    assert [name for names in told.values() for name in names][:1] == ["anomaly.detected"]


def test_services_are_judged_by_setting_only(one: Harness) -> None:
    """A service that triples within a steady total is told where per-service judging is on."""
    steady_rows = at(DAY, "10.00")
    lambda_rows = tuple(bill(row.date, "2.00", service=LAMBDA) for row in steady_rows if row.date != DAY)
    rows = (*steady_rows, *lambda_rows, bill(DAY, "6.00", service=LAMBDA))
    assert replay(one, {0: rows}, count=1) == {}
    told = replay(one, {}, count=2, COSTBATCH_ANOMALY_PER_SERVICE="true")
    assert sum(names.count("anomaly.detected") for names in told.values()) == 1
    assert [(row["service"], row["direction"]) for row in anomalies(one)] == [(LAMBDA, "spike")]


@pytest.mark.parametrize(
    ("amount", "environ", "is_told"),
    [
        ("15.00", {}, False),
        ("15.01", {}, True),
        ("13.00", {"COSTBATCH_ANOMALY_THRESHOLD": "20%"}, True),
        ("90.00", {"COSTBATCH_ANOMALY_FLOOR": "100"}, False),
        ("90.00", {"COSTBATCH_ANOMALY_COST_BASIS": "amortized"}, True),
        (
            "90.00",
            {"COSTBATCH_ANOMALY_BASELINE_DAYS": "200", "COSTBATCH_ANOMALY_MINIMUM_HISTORY_DAYS": "100"},
            False,
        ),
    ],
)
def test_the_rule_is_the_missions_and_can_be_set(
    one: Harness,
    amount: str,
    environ: dict[str, str],
    is_told: bool,  # noqa: FBT001 - an expectation
) -> None:
    """More than half off the mean of thirty days is an anomaly; threshold, floor and history are settings."""
    told = replay(one, {0: at(DAY, amount)}, count=1, **environ)
    assert told == ({0: ["anomaly.detected"]} if is_told else {})


def test_the_cost_basis_decides_what_is_compared(one: Harness) -> None:
    """A fee that is paid at once deviates unblended, and does not amortized."""
    fee: dict[str, Any] = {"amortized": 0, "net_amortized": 0}
    rows = (*at(DAY, "10.00"), bill(DAY, "300.00", service="Amazon RDS", record_type="RIFee", **fee))
    assert replay(one, {0: rows}, count=1, COSTBATCH_ANOMALY_COST_BASIS="net_amortized") == {}
    assert replay(one, {}, count=1) == {0: ["anomaly.detected"]}


def test_a_young_account_is_not_judged(harness: Harness) -> None:
    """Fewer than seven days of history are no baseline."""
    harness.open(make_account(1, rows=at(DAY, "90.00", among=steady("10.00", days=7))))
    assert harness.collect().summary["events"]["written"] == {"run.completed": 1}
    harness.open(make_account(2, rows=at(DAY, "90.00", among=steady("10.00", days=8))))
    assert harness.collect().summary["events"]["written"]["anomaly.detected"] == 1


def test_what_a_first_collection_finds_long_over_is_not_told(harness: Harness) -> None:
    """Three old spikes of the history are in the table as resolved, and in nobody's inbox."""
    rows = steady("10.00")
    for days in (45, 30, 15):
        rows = at(TODAY - timedelta(days=days), "90.00", among=rows)
    harness.open(make_account(1, rows=rows))
    assert harness.collect().summary["events"]["written"] == {"run.completed": 1}
    assert [row["state"] for row in anomalies(harness)] == ["resolved"] * 3


def test_a_currency_that_changes_begins_a_new_history(one: Harness) -> None:
    """Yen and dollars have no mean: a change of currency is no spike, on no morning."""
    rows = tuple(
        bill(row.date, "1500" if row.date >= DAY else "10.00", unit="JPY" if row.date >= DAY else "USD")
        for row in at(DAY, "10.00")
    )
    assert replay(one, {0: rows}) == {}


def test_one_accounts_anomaly_is_not_anothers(one: Harness) -> None:
    """Each account is compared with itself."""
    one.aws.replace_world(one.aws.current_world())
    other = make_account(2, rows=at(DAY, "900.00", among=steady("900.00")))
    one.aws.set_rows(one.ids[0], at(DAY, "90.00"))
    first = one.aws.account(one.ids[0])
    one.open(first, other)
    one.sleep_until(TODAY)
    run = one.collect()
    assert [each["aws_account_id"] for each in run.summary["open_anomalies"]] == ["100000000001"]
