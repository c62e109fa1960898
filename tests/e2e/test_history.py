"""The history of restatements, end to end: late days, a restatement and a spike, night by night."""

import csv
import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from costbatch.simulator.world import Anomaly
from tests.support.harness import EC2, ONE_DAY, TODAY, Harness, bill, make_account, steady

pytestmark = pytest.mark.slow

NIGHTS, OUTAGE, BACKFILL = 20, 4, 14
SPIKE = TODAY + 8 * ONE_DAY
COSTS = "SELECT * FROM daily_costs ORDER BY account_id, usage_date, service, record_type, currency"


@pytest.fixture
def nights(harness: Harness) -> dict[Any, list[Any]]:
    """Collect two accounts night after night, but for one, and backfill older months after another one.

    Return what was stored after each night.
    """
    late: dict[str, Any] = {
        "profile": "steady",
        "services": 3,
        "start": TODAY - timedelta(days=150),
        "daily_cost": 300.0,
    }
    planted = (
        Anomaly("spike", SPIKE, 4.0),
        Anomaly("drop", SPIKE + 5 * ONE_DAY, 0.1, days=3),
    )
    harness.open(
        make_account(1, **late, anomalies=planted),
        make_account(2, **late, anomalies=(Anomaly("level_shift", SPIKE, 4.0, service=EC2),)),
    )
    stored = {}
    for n in range(NIGHTS):
        harness.sleep_until(TODAY + n * ONE_DAY)
        if n == OUTAGE:
            continue
        assert harness.collect(COSTBATCH_HISTORY_MONTHS="2").status == 0
        if n == BACKFILL:
            assert harness.collect("--from", "2024-12-01", "--to", "2025-01-31").status == 0
        stored[harness.today] = harness.rows(COSTS)
    return stored


def test_the_history_tells_every_night(harness: Harness, nights: dict[Any, list[Any]]) -> None:
    """Each night's table, what changed in it, how days arrive, and the words in the report."""
    for night, rows in nights.items():
        as_of = harness.rows(
            "SELECT * FROM costs_as_of(%s) ORDER BY account_id, usage_date, service, record_type, currency",
            night,
        )
        assert as_of == rows, night
    account, night = harness.ids[0], TODAY + 10 * ONE_DAY
    run = harness.run("costs", "--as-of", f"{night}", "--account", account, "--output", "csv")
    exported = list(csv.DictReader(StringIO(run.stdout)))
    ids = {row["id"] for row in harness.rows("SELECT id FROM accounts WHERE aws_account_id = %s", account)}
    first = night.replace(day=1)
    known = [row for row in nights[night] if row["account_id"] in ids and row["usage_date"] >= first]
    assert [row["unblended"] for row in exported] == [f"{row['unblended']:f}" for row in known]

    run = harness.run(
        "changes", "--since", f"{night}", "--account", account, "--min", "0", "--output", "json"
    )
    changes = json.loads(run.stdout)
    assert {change["night"] for change in changes} >= {f"{night + n * ONE_DAY}" for n in range(NIGHTS - 10)}
    of_night = [change for change in changes if change["night"] == f"{night}"]
    added = [change for change in of_night if change["old"] is None]
    assert {change["usage_date"] for change in added} == {f"{night - ONE_DAY}"}
    restated = [
        change for change in of_night if change["old"] and change["usage_date"] > f"{night - 4 * ONE_DAY}"
    ]
    assert restated
    assert all(float(change["difference"]) > 0 for change in restated)
    printed = harness.run("changes", "--since", f"{night}").stdout
    assert printed.splitlines()[0].startswith("night\taccount\tday\tservice")

    curves = json.loads(harness.run("arrival", "--output", "json").stdout)
    totals = {
        each["aws_account_id"]: each["percent_after_hours"] for each in curves if each["service"] is None
    }
    assert set(totals) == set(harness.ids)
    assert 66 <= float(totals[account]["24"]) <= 92
    assert float(totals[account]["24"]) < float(totals[account]["48"]) <= float(totals[account]["72"])
    assert harness.run("arrival", "--service", "TYPO").stdout == (
        "Not enough data for TYPO; run `costbatch arrival` without --service to list the services that have "
        "enough.\n"
    )
    run = harness.run("forecast", "--output", "json")
    found: list[Any] = json.loads(run.stdout)
    forecasts = {each["aws_account_id"]: each for each in found}
    assert set(forecasts) == {*harness.ids, None}
    total = forecasts[None]
    parts = [forecasts[each] for each in harness.ids]
    assert float(total["month_to_date"]) == pytest.approx(sum(float(each["month_to_date"]) for each in parts))
    assert all(float(each["expected"]) > float(each["month_to_date"]) > 0 for each in [*parts, total])
    assert harness.run("forecast").stdout.splitlines()[-1].startswith("total\t2025-03\tUSD\t")
    printed = harness.run("collect").stdout
    assert "AWS is still adding cost to the last day; about " in " ".join(printed.split())
    assert " % of a day has arrived after 24 hours" in " ".join(printed.split())


def test_the_history_that_is_read_after_a_backfill_is_listed(harness: Harness) -> None:
    """What the first run stored is not, also if it is a backfill; the help says so."""
    harness.open(make_account(1, rows=tuple(bill(each.date, "10.00") for each in steady("10"))))

    def listed() -> list[str]:
        run = harness.run("changes", "--since", f"{TODAY}", "--output", "json")
        assert all(change["old"] is None for change in json.loads(run.stdout))
        return sorted(change["usage_date"] for change in json.loads(run.stdout))

    start, last = TODAY - 20 * ONE_DAY, TODAY - 10 * ONE_DAY
    assert harness.collect("--from", f"{start}", "--to", f"{last}").status == 0
    assert listed() == []
    assert harness.collect().status == 0
    days = listed()
    assert days
    assert not [day for day in days if f"{start}" <= day <= f"{last}"]
    assert days[0] < f"{start}" < f"{last}" < days[-1]
    assert "If that run was a backfill" in " ".join(harness.run("changes", "--help").stdout.split())


def test_wrong_questions_get_one_sentence(harness: Harness) -> None:
    """An unknown account, an impossible range and a missing option, before anything is printed."""
    for arguments, sentence in (
        (("costs", "--account", "999999999999"), "Account 999999999999 is not registered"),
        (("costs", "--as-of", "yesterday"), "'yesterday' is not a day, such as 2026-12-31"),
        (("changes", "--since", "2025-03-01", "--min", "-1"), "'-1' is not an amount, such as 0.50"),
        (("changes",), "Missing option '--since'"),
    ):
        run = harness.run(*arguments)
        assert (run.status, run.stdout) == (2, "")
        assert sentence in " ".join(run.stderr.split())


def test_a_backtest_raises_what_the_nights_raised(
    harness: Harness, nights: dict[Any, list[Any]], tmp_path: Path
) -> None:
    """Id for id, with the same days and amounts; both detectors side by side; and nothing is written.

    That an account is dormant is no matter: its first cost is no anomaly.
    """
    before = harness.contents()
    assert len(nights) == NIGHTS - 1
    run = harness.run("backtest", "--plot", str(tmp_path), "--output", "json")
    assert run.status == 0, run.stderr
    assert harness.contents() == before
    raised = {
        event["cloudevent"]["data"]["anomaly"]["id"]
        for event in harness.rows("SELECT cloudevent FROM events WHERE type = 'anomaly.detected'")
    }
    assert len(raised) >= 3
    of_deviation = [alarm for alarm in run.summary["alarms"] if alarm["detector"] == "deviation"]
    assert {alarm["anomaly_id"] for alarm in of_deviation} == raised
    stored = {f"{row['id']}": row for row in harness.rows("SELECT * FROM anomalies")}
    for alarm in of_deviation:
        row = stored[alarm["anomaly_id"]]
        assert (alarm["first_day"], alarm["last_day"]) == (f"{row['start_date']}", f"{row['last_date']}")
        assert float(alarm["impact"]) == float(row["actual"] - row["expected"])
        assert alarm["morning"] == f"{row['detected_at'].date()}"
    adaptive = [alarm for alarm in run.summary["alarms"] if alarm["detector"] == "adaptive"]
    assert {alarm["aws_account_id"] for alarm in adaptive} == set(harness.ids)
    scores = run.summary["detectors"]
    assert scores["deviation"]["alarms"] == len(of_deviation)
    assert scores["adaptive"]["alarms"] == len(adaptive)
    pictures = sorted(tmp_path.glob("*.svg"))
    assert [path.stem for path in pictures] == harness.ids
    for path in pictures:
        ET.fromstring(path.read_text())
    assert harness.run("backtest", "--from", "2027-01-01").stdout == (
        "No mornings to replay from 2027-01-01 on: an account must have been collected on two days, "
        "the second of them no earlier than that.\n"
    )
    arguments = ("backtest", "--from", f"{SPIKE + 3 * ONE_DAY}", "--detector", "deviation")
    later = harness.run(*arguments, COSTBATCH_DORMANT_ACCOUNTS=",".join(harness.ids))
    assert "Raised by deviation (" in later.stdout, later.stderr
