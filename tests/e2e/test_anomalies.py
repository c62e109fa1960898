"""Answering anomalies by the commands: what is printed, stored, told and refused."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.harness import ONE_DAY, TODAY, Finished, Harness, Prepare, bill, make_account, steady

DAY = TODAY - ONE_DAY
ONE = "100000000001"


def collected(harness: Harness) -> None:
    """Collect an account that cost 10 dollars a day and 100 yesterday, which is told."""
    rows = [row for row in steady("10.00", until=TODAY + 9 * ONE_DAY) if row.date not in {DAY, TODAY}]
    rows += [bill(DAY, "100.00"), bill(TODAY, "110.00")]
    harness.open(make_account(1, rows=tuple(rows)))
    assert told(harness.collect()) == ["anomaly.detected"]


@pytest.fixture
def spiked(prepare: Prepare) -> Harness:
    """Return a harness with an account that cost 10 dollars a day and 100 yesterday, as was told."""
    return prepare(collected)


def told(run: Finished) -> list[str]:
    """Return the types of the events about anomalies that were told."""
    types = [line["cloudevent"]["type"] for line in run.logs("event")]
    return [name for name in types if name.startswith("anomaly.")]


def listed(harness: Harness, *options: str) -> list[dict[str, Any]]:
    """Return the anomalies as a program gets them."""
    run = harness.run("anomalies", "list", "--output", "json", *options)
    assert run.status == 0
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return found


def test_a_dismissed_anomaly_is_silent_until_it_is_reopened(spiked: Harness) -> None:
    """The commands list, show and answer; the next nights tell nothing, and after reopening everything."""
    (found,) = listed(spiked)
    prefix = found["id"][:8]
    assert (found["standing"], found["peak"], found["answer"]) == ("open", "100.00", None)
    run = spiked.run("anomalies", "dismiss", prefix, "--reason", "load test", "--author", "alice")
    assert run.stdout == (
        f"Anomaly {prefix} of account {ONE} (account-1) is silent. "
        f"It is silent because it was dismissed by alice on {TODAY}: load test. "
        "Spikes of the total are silent at 100.00 USD a day and up to 20 % beyond.\n"
    )
    spiked.sleep_until(TODAY + ONE_DAY)
    second = spiked.collect()
    assert told(second) == []
    numbers = second.summary["run"]["anomalies"]
    assert (numbers["open"], numbers["silent"], second.summary["open_anomalies"]) == (0, 1, [])
    assert listed(spiked) == []
    assert [each["last_date"] for each in listed(spiked, "--state", "silent")] == [str(TODAY)]
    shown = spiked.run("anomalies", "show", prefix).stdout
    assert "It is silent because it was dismissed by alice" in shown
    run = spiked.run("anomalies", "reopen", prefix, "--output", "json")
    assert json.loads(run.stdout)["standing"] == "open"
    spiked.aws.set_rows(spiked.ids[0], steady("10.00", until=TODAY + 9 * ONE_DAY))
    (row,) = spiked.rows("SELECT author, withdrawn_by IS NOT NULL AS withdrawn, level FROM anomaly_answers")
    assert (row["author"], row["withdrawn"], str(row["level"])) == ("alice", True, "100")
    spiked.sleep_until(TODAY + 2 * ONE_DAY)
    assert told(spiked.collect()) == ["anomaly.resolved"]


def test_what_is_open_of_an_account_is_resolved_when_it_is_removed(spiked: Harness) -> None:
    """No run can resolve it later. If the account is added again and it goes on, it opens again."""
    assert spiked.run("accounts", "pause", ONE).status == 0
    assert [each["state"] for each in listed(spiked)] == ["open"]
    assert spiked.run("accounts", "remove", ONE, "--yes").status == 0
    assert listed(spiked) == []
    (found,) = listed(spiked, "--state", "all")
    assert (found["state"], found["resolution"], found["revision"]) == ("resolved", "removed", 2)
    run = spiked.run("events", "list", "--type", "anomaly.resolved", "--output", "json")
    assert [each["cloudevent"]["subject"] for each in json.loads(run.stdout)] == [ONE]
    assert spiked.run("accounts", "remove", ONE, "--yes").status == 2
    spiked.register(make_account(1))
    spiked.sleep_until(TODAY + ONE_DAY)
    assert told(spiked.collect()) == ["anomaly.resolved", "anomaly.updated"]
    assert [each["id"] for each in listed(spiked)] == [found["id"]]


def test_the_level_of_an_answer_has_the_limits_of_its_account(harness: Harness) -> None:
    """Set by its id or by its label: reports, root causes and what is said of them follow it alike."""
    days = [row for row in steady("10.00", until=DAY) if row.date != DAY]
    rows = (*days, bill(DAY, "100.00"), bill(TODAY, "125.00"), bill(TODAY + ONE_DAY, "141.00"))
    harness.open(*(make_account(number, rows=rows) for number in (1, 2, 3)))
    harness.run("accounts", "label", harness.ids[1], "env=sandbox")
    harness.environ["COSTBATCH_DETECTION_OVERRIDES"] = (
        f'one: {{accounts: ["{ONE}"], minimum: {{USD: 40}}}}\n'
        "sandboxes: {labels: {env: sandbox}, minimum: {USD: 40}}"
    )
    assert told(harness.collect()) == ["anomaly.detected"] * 3
    for found in listed(harness):
        harness.run("anomalies", "dismiss", found["id"], "--reason", "load test", "--author", "alice")

    harness.sleep_until(TODAY + ONE_DAY)
    run = harness.collect(COSTBATCH_ROOT_CAUSE_MINIMUM="1")
    (event, _) = (line["cloudevent"] for line in run.logs("event") if "anomaly" in line["cloudevent"]["data"])
    assert told(run) == ["anomaly.detected", "anomaly.explained"]
    assert event["data"]["account"]["aws_account_id"] == harness.ids[2]
    numbers = run.summary["run"]["anomalies"]
    assert (numbers["open"], numbers["silent"]) == (1, 2)
    whys = {each["aws_account_id"]: each["why"] for each in listed(harness, "--state", "all")}
    silent = "Spikes of the total are silent at 100.00 USD a day and less than 40.00 USD beyond."
    assert [whys[each].endswith(silent) for each in harness.ids] == [True, True, False]

    harness.sleep_until(TODAY + 2 * ONE_DAY)
    assert sorted(told(harness.collect())) == ["anomaly.detected", "anomaly.detected", "anomaly.updated"]


def test_an_anomaly_is_shown_with_its_days_and_as_a_picture(spiked: Harness, tmp_path: Path) -> None:
    """What was expected of each day: in words, as a table, as JSON and as SVG."""
    (found,) = listed(spiked)
    picture = tmp_path / "anomaly.svg"
    run = spiked.run("anomalies", "show", found["id"], "--plot", str(picture))
    facts, days = run.stdout.split("\n\n")[:2]
    assert "expected\t10.00 USD (5.00 to 15.00 USD)" in facts
    assert f"in words\tCost 100.00 USD on {DAY}; expected 10.00 (5.00 to 15.00) from the mean" in facts
    assert f"▂█ {DAY - 35 * ONE_DAY} to {DAY}" in facts
    header, *rows = days.splitlines()
    assert header == "day\tactual\texpected\tlower\tupper\tscore\tanomalous"
    assert [row.split("\t")[:5] for row in rows[-2:]] == [
        [str(DAY - ONE_DAY), "10.00", "10.00", "5.00", "15.00"],
        [str(DAY), "100.00", "10.00", "5.00", "15.00"],
    ]
    assert rows[-1].endswith("\tyes")
    assert ET.fromstring(picture.read_text()).tag.endswith("svg")
    document = json.loads(spiked.run("anomalies", "show", found["id"], "--output", "json").stdout)
    assert (len(document["trend"]), document["picture"]) == (36, None)
    assert document["trend"][-1]["actual"] == "100.00"
    run = spiked.run("anomalies", "show", found["id"], "--plot", str(tmp_path / "no" / "a.svg"))
    assert (run.status, run.stdout) == (2, "")
    assert "cannot be written: No such file or directory." in " ".join(run.stderr.split())
    run = spiked.run("anomalies", "show", found["id"], "--plot", str(tmp_path))
    assert "cannot be written: Is a directory." in " ".join(run.stderr.split())
    # It comes from a variable that was never set.
    run = spiked.run("anomalies", "show", found["id"], "--plot", "")
    assert (run.status, run.stdout) == (2, "")
    assert "'' is not one line of text" in " ".join(run.stderr.split())


def test_anomalies_are_listed_for_people_and_for_programs(spiked: Harness) -> None:
    """To a pipe one record a line; each filter leaves out what it does not name."""
    header, record = spiked.run("anomalies", "list").stdout.splitlines()
    assert header.split("\t")[:4] == ["id", "standing", "severity", "account"]
    assert record.split("\t")[1:8] == ["open", "low", ONE, "account-1", "+90.00 USD", "+900 %", "total"]
    matching: tuple[tuple[str, ...], ...] = (
        ("--account", ONE, "--state", "open", "--severity", "low"),
        ("--currency", "usd", "--since", str(DAY), "--state", "all"),
    )
    assert [len(listed(spiked, *options)) for options in matching] == [1, 1]
    for options in (
        ("--state", "resolved"),
        ("--currency", "EUR"),
        ("--since", str(TODAY)),
        ("--severity", "high"),
    ):
        assert listed(spiked, *options) == []
    assert spiked.run("anomalies", "list", "--state", "silent").stdout == "No anomalies found.\n"


def test_an_answer_stands_if_the_database_refuses_its_delivery(spiked: Harness) -> None:
    """Status 0: it is stored, and the next run delivers what waits."""
    spiked.rows(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'not by this role' USING ERRCODE = '42501'; END $$; "
        "CREATE TRIGGER refuse BEFORE UPDATE ON deliveries EXECUTE FUNCTION refuse()"
    )
    (found,) = listed(spiked)
    run = spiked.run("anomalies", "dismiss", found["id"][:8], "--reason", "load test")
    assert (run.status, run.stdout.split(". ")[0][-9:]) == (0, "is silent")
    assert run.stderr.startswith("Stored; not delivered yet, the next run tries again. The database refused")
    assert listed(spiked) == []


def test_what_is_acknowledged_expected_and_planned_is_said(spiked: Harness) -> None:
    """Each command says in a sentence what it did; the summary of the night counts how anomalies stand."""
    (found,) = listed(spiked)
    run = spiked.run("anomalies", "acknowledge", found["id"])
    assert f"Anomaly {found['id'][:8]} of account {ONE} (account-1) is acknowledged." in run.stdout
    spiked.sleep_until(TODAY + ONE_DAY)
    assert told(night := spiked.collect()) == []
    assert [each["standing"] for each in night.summary["open_anomalies"]] == ["acknowledged"]
    until = str(TODAY + timedelta(days=30))
    run = spiked.run("anomalies", "expect", found["id"], "--until", until, "--reason", "sale")
    assert f"It is silent until {until} because it was expected by" in run.stdout
    days = ("--from", str(TODAY), "--to", until)
    run = spiked.run("planned", "add", "--account", ONE, *days, "--reason", "sale", "--service", "Amazon S3")
    assert run.stdout == (
        f"The planned change 3 of account {ONE} (account-1) (Amazon S3) from {TODAY} to {until} is added.\n"
    )
    assert spiked.run("planned", "list").stdout.splitlines()[1].split("\t")[:4] == [
        "3",
        ONE,
        "account-1",
        "Amazon S3",
    ]
    assert run.stderr == (
        'No account has paid for a service named "Amazon S3". '
        "The name must be exactly that of Cost Explorer.\n"
    )
    (plan,) = json.loads(spiked.run("planned", "list", "--output", "json").stdout)
    assert (plan["start_date"], plan["service"]) == (str(TODAY), "Amazon S3")
    assert spiked.run("planned", "remove", "3").stdout.endswith("is removed.\n")
    assert spiked.run("planned", "list").stdout == "No changes are planned.\n"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("anomalies", "show", "deadbeef"), "No anomaly has the id deadbeef"),
        (("anomalies", "dismiss", "deadbeef"), "Missing option '--reason'"),
        (("anomalies", "expect", "deadbeef", "--reason", "x"), "Give one of --until DATE and --as-of-now"),
        (
            ("anomalies", "expect", "deadbeef", "--reason", "x", "--until", "2025-03-01", "--as-of-now"),
            "Give one of --until DATE and --as-of-now",
        ),
        (
            ("anomalies", "expect", "deadbeef", "--reason", "x", "--until", "20250301"),
            "is not a day, such as",
        ),
        (
            ("anomalies", "expect", "deadbeef", "--reason", "x", "--until", "2025-02-30"),
            "is not a day, such as",
        ),
        (("anomalies", "expect", "deadbeef", "--reason", "x", "--until", "2000-01-01"), "is in the past"),
        (("anomalies", "list", "--currency", "dollars"), "--currency must be a code of three letters"),
        (("anomalies", "list", "--account", "100000000009"), "is not registered"),
        (("anomalies", "acknowledge", "deadbeef", "--author", ""), "The author is empty"),
        (("anomalies", "acknowledge", "deadbeef", "--author", " "), "The author is empty"),
        (("anomalies", "dismiss", "deadbeef", "--reason", " "), "is not one line of text"),
        (("planned", "remove", "99"), "There is no planned change 99"),
        (("planned", "remove", "0"), "0 is not in the range"),
    ],
)
def test_bad_input_gets_one_sentence(harness: Harness, command: tuple[str, ...], sentence: str) -> None:
    """Status 2, no traceback, and nothing is stored."""
    run = harness.run(*command)
    assert (run.status, run.stdout) == (2, "")
    assert sentence in run.stderr
    assert "Traceback" not in run.stderr
    assert harness.rows("SELECT 1 FROM anomaly_answers") == []
