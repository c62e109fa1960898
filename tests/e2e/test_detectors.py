"""Both detectors over the same planted anomalies, end to end: what each finds, tells and stores."""

from datetime import timedelta
from decimal import Decimal

import pytest

from costbatch.simulator.world import Account, Anomaly
from tests.support.harness import ONE_DAY, TODAY, Harness, Row, make_account

FIRST = TODAY + ONE_DAY
EC2 = "Amazon Elastic Compute Cloud - Compute"

FOUND = """
SELECT right(aws_account_id, 1)::int AS account, service, direction, reason
FROM anomalies JOIN accounts ON accounts.id = account_id
WHERE start_date = '2025-03-13' ORDER BY account
"""
TABLES = {
    "anomalies": "id",
    "daily_expectations": "account_id, usage_date, service",
    "detector_memories": "account_id",
    "first_charges": "account_id, service",
    "events": "sequence",
}


def planted(number: int, *anomalies: Anomaly) -> Account:
    """Return an account of three steady services, with anomalies."""
    start = TODAY - timedelta(days=75)
    return make_account(
        number, profile="steady", services=3, start=start, daily_cost=900.0, anomalies=anomalies
    )


@pytest.fixture
def world(harness: Harness) -> Harness:
    """Return accounts with an anomaly of each kind that begins after the first collection."""
    harness.open(
        planted(1, Anomaly("spike", FIRST, 4.0, service=EC2)),
        planted(2, Anomaly("level_shift", FIRST, 2.5, service=EC2)),
        planted(3, Anomaly("drop", FIRST, 0.0, service=EC2, days=4)),
        planted(4, Anomaly("runaway", FIRST, 1.4, service=EC2, days=6)),
        planted(5, Anomaly("level_shift", FIRST, 2.0)),
        planted(6),
    )
    return harness


def nights(harness: Harness, *days: int, **environ: str) -> None:
    """Collect on some mornings."""
    for day in days:
        harness.sleep_until(TODAY + day * ONE_DAY)
        run = harness.collect(**environ)
        assert run.status == 0, run.stderr


def contents(harness: Harness) -> dict[str, list[Row]]:
    """Return what a night writes of anomalies, without its own events."""
    rows = {table: harness.rows(f"SELECT * FROM {table} ORDER BY {order}") for table, order in TABLES.items()}
    rows["events"] = [row for row in rows["events"] if not row["type"].startswith("run.")]
    return rows


def raised(harness: Harness) -> dict[str, tuple[str, ...]]:
    """Return the anomalies that the nights told, as they are now, with the morning of each."""
    rows = harness.rows(
        "SELECT * FROM anomalies WHERE id::text IN ("
        "SELECT cloudevent #>> '{data,anomaly,id}' FROM events WHERE type = 'anomaly.detected')"
    )
    return {
        f"{row['id']}": (
            row["service"],
            f"{row['detected_at'].date()}",
            f"{row['start_date']}",
            f"{row['last_date']}",
            f"{row['actual'] - row['expected']:.2f}",
        )
        for row in rows
    }


def replayed(harness: Harness) -> dict[str, tuple[str, ...]]:
    """Return the same of what a backtest of the adaptive detector raises."""
    run = harness.run("backtest", "--detector", "adaptive", "--output", "json")
    assert run.status == 0, run.stderr
    return {
        alarm["anomaly_id"]: (
            alarm["service"],
            alarm["morning"],
            alarm["first_day"],
            alarm["last_day"],
            f"{Decimal(alarm['impact']):.2f}",
        )
        for alarm in run.summary["alarms"]
    }


def test_the_adaptive_detector_finds_each_kind_in_its_service(world: Harness) -> None:
    """Each is one anomaly; a movement of the whole account is none; alike accounts are one incident.

    A backtest raises what the nights raised, id for id.
    """
    nights(world, *range(9), COSTBATCH_DETECTOR="adaptive")
    assert [(row["account"], row["service"], row["direction"]) for row in world.rows(FOUND)] == [
        (1, EC2, "spike"),
        (2, EC2, "spike"),
        (3, EC2, "drop"),
        (4, EC2, "spike"),
    ]
    incidents = world.rows("SELECT cloudevent FROM events WHERE type = 'incident.detected' ORDER BY sequence")
    last = incidents[-1]["cloudevent"]["data"]["incident"]
    assert {row["cloudevent"]["data"]["incident"]["id"] for row in incidents} == {last["id"]}
    assert (last["service"], last["start_date"], last["accounts"]) == (EC2, f"{FIRST}", 3)
    assert {member["name"] for member in last["members"]} == {"account-1", "account-2", "account-4"}

    run = world.collect(COSTBATCH_DETECTOR="adaptive")
    shown = {each["aws_account_id"]: each for each in run.summary["open_anomalies"]}
    words = shown[world.ids[1]]["words"]
    assert words.startswith("Cost ")
    assert "from the level of the last week for each weekday. Confidence: 0." in words
    before = contents(world)
    assert world.collect(COSTBATCH_DETECTOR="adaptive").status == 0
    assert contents(world) == before
    assert replayed(world) == raised(world)
    assert contents(world) == before
    # What was learned is learned again from the costs as they are restated by now: the same anomalies.
    world.rows("DELETE FROM detector_memories")
    assert world.collect(COSTBATCH_DETECTOR="adaptive").status == 0
    after = contents(world)
    same = ("id", "start_date", "last_date", "state", "reason")
    assert [[row[name] for name in same] for row in after["anomalies"]] == [
        [row[name] for name in same] for row in before["anomalies"]
    ]
    assert {row["type"] for row in after["events"][len(before["events"]) :]} <= {"anomaly.updated"}
    assert len(after["detector_memories"]) == 6
    # An answered drop counts from the morning on that found it, when its first day was complete.
    (drop,) = (row for row in after["anomalies"] if row["direction"] == "drop")
    answer(world, "anomalies", "acknowledge", f"{drop['id']}", "--reason", "outage")
    for morning, answered in ((drop["detected_at"].date(), 1), (drop["detected_at"].date() + ONE_DAY, 0)):
        only = ("--detector", "adaptive", "--account", world.ids[2], "--from", f"{morning}")
        scores = world.run("backtest", *only, "--output", "json").summary
        assert (scores["answered"], len(scores["alarms"])) == (answered, answered)


@pytest.mark.slow
def test_a_backtest_uses_each_answer_from_its_day_on_as_the_nights_did(harness: Harness) -> None:
    """An expected level, a plan that is outlasted, and a dismissal that was withdrawn: id for id the same."""
    jump = Anomaly("level_shift", FIRST, 2.5, service=EC2)
    harness.open(planted(1, jump), planted(2, jump), planted(3, jump))
    days = ("--from", f"{FIRST}", "--to", f"{FIRST + 3 * ONE_DAY}")
    answer(harness, "planned", "add", "--account", harness.ids[1], *days, "--reason", "migration")
    nights(harness, *range(4), COSTBATCH_DETECTOR="adaptive")
    first, third = raised_by_account(harness)
    assert (first["account"], third["account"]) == (1, 3)
    answer(harness, "anomalies", "expect", first["id"], "--as-of-now", "--reason", "second region")
    answer(harness, "anomalies", "dismiss", third["id"], "--reason", "no")
    nights(harness, 4, 5, COSTBATCH_DETECTOR="adaptive")
    answer(harness, "anomalies", "reopen", third["id"], "--reason", "yes")
    nights(harness, 6, 7, 8, COSTBATCH_DETECTOR="adaptive")
    spans = [(row["account"], row["start"], row["days"]) for row in raised_by_account(harness)]
    # The days before an answer stay; the plan ends on the fourth day; what is dismissed no more goes on.
    assert spans == [(1, f"{FIRST}", 2), (2, f"{FIRST + 4 * ONE_DAY}", 3), (3, f"{FIRST}", 5)]
    assert replayed(harness) == raised(harness)
    scores = harness.run("backtest", "--output", "json").summary
    assert (scores["answered"], scores["answered_real"]) == (1, 1)
    assert scores["detectors"]["adaptive"]["precision"] == scores["detectors"]["adaptive"]["recall"] == "1.00"
    assert "\nAnswered anomalies: 1 real, 0 dismissed.\n" in harness.run("backtest").stdout
    expected = harness.value(
        "SELECT expected FROM daily_expectations JOIN accounts ON id = account_id WHERE service = "
        f"'{EC2}' AND usage_date = '{FIRST + 3 * ONE_DAY}' AND aws_account_id = '{harness.ids[0]}'"
    )
    assert expected > 2 * harness.value(
        "SELECT expected FROM daily_expectations JOIN accounts ON id = account_id WHERE service = "
        f"'{EC2}' AND usage_date = '{FIRST + 3 * ONE_DAY}' AND aws_account_id = '{harness.ids[1]}'"
    )


def test_an_override_lets_an_account_be_judged_by_another_detector(harness: Harness) -> None:
    """By its label; in a backtest it sets the limits of each detector, and a mistake is told."""
    jump = Anomaly("level_shift", FIRST, 2.5, service=EC2)
    harness.open(planted(1, jump), planted(2, jump))
    answer(harness, "accounts", "label", harness.ids[1], "team=web")
    mine = "web: {labels: {team: web}, detector: adaptive}"
    nights(harness, *range(4), COSTBATCH_DETECTION_OVERRIDES=mine)
    found = harness.rows(FOUND)
    assert [(row["account"], row["service"], row["reason"]) for row in found] == [
        (1, None, "deviation"),
        (2, EC2, "spike"),
    ]
    silent = "web: {labels: {team: web}, minimum: {other: 100000}}"
    scores = harness.run("backtest", "--output", "json", COSTBATCH_DETECTION_OVERRIDES=silent).summary
    assert {alarm["aws_account_id"] for alarm in scores["alarms"]} == {harness.ids[0]}
    assert {alarm["detector"] for alarm in scores["alarms"]} == {"deviation", "adaptive"}
    wrong = harness.collect(COSTBATCH_DETECTION_OVERRIDES="web:\n  labels: {team: web}\n  minimum: 5")
    assert wrong.status == 2
    assert (
        "COSTBATCH_DETECTION_OVERRIDES, line 3: web.minimum must be a mapping, such as NAME:" in wrong.stderr
    )


def answer(harness: Harness, *command: str) -> None:
    """Let a person answer or plan something."""
    run = harness.run(*command)
    assert run.status == 0, run.stderr


def raised_by_account(harness: Harness) -> list[Row]:
    """Return the anomalies since the planted ones, by account."""
    return harness.rows(
        "SELECT anomalies.id::text AS id, right(aws_account_id, 1)::int AS account,"
        " start_date::text AS start, last_date - start_date + 1 AS days"
        " FROM anomalies JOIN accounts ON accounts.id = account_id"
        f" WHERE start_date >= '{FIRST}' ORDER BY account, start_date"
    )


def test_the_default_rule_finds_what_moves_the_whole_account(world: Harness) -> None:
    """It judges totals only, and stores what it expected of them; a service is told with either."""
    nights(world, 0, 5)
    found = {row["account"]: (row["service"], row["direction"], row["reason"]) for row in world.rows(FOUND)}
    # The slow one is found when it is 50 % off.
    spike, drop = (None, "spike", "deviation"), (None, "drop", "deviation")
    assert found == {1: spike, 2: spike, 3: drop, 5: spike}
    assert world.value("SELECT count(*) FROM detector_memories") == 0
    assert world.value("SELECT count(DISTINCT service) FROM daily_expectations") == 1
    paid = (
        "SELECT count(DISTINCT service) FROM daily_costs WHERE record_type NOT IN ('Credit', 'Refund', 'Tax')"
    )
    assert world.value("SELECT count(DISTINCT service) FROM first_charges") == world.value(paid)
