"""``costbatch anomalies import-aws``: what AWS found, kept, and compared with what we found."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from costbatch.simulator.world import Anomaly, Fault
from tests.support.harness import EC2, ONE_DAY, TODAY, Harness, Prepare, make_account

ONE, TWO = "100000000001", "100000000002"
SPIKE = Anomaly("spike", TODAY - 3 * ONE_DAY, 5.0, service=EC2, feedback="YES")
SMALL = Anomaly("spike", TODAY - 20 * ONE_DAY, 1.3, service=EC2)
MISSED = Anomaly("spike", TODAY - 3 * ONE_DAY, 4.0, aws_misses=True)


def collected(harness: Harness) -> None:
    """Collect two accounts with three planted anomalies."""
    one = replace(make_account(1), anomalies=(SPIKE, SMALL))
    harness.open(one, replace(make_account(2), anomalies=(MISSED,)))
    assert harness.collect().status == 0


@pytest.fixture
def harness_of_two(prepare: Prepare) -> Harness:
    """Return a harness with two collected accounts and three planted anomalies."""
    return prepare(collected)


def imported(harness: Harness, *options: str) -> Mapping[str, Any]:
    """Return what an import says to a program."""
    run = harness.run("anomalies", "import-aws", "--output", "json", *options)
    assert run.status == 0, run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def test_both_only_aws_and_only_we(harness_of_two: Harness) -> None:
    """Each of the three kinds, with the root causes and the feedback; priced; twice is the same."""
    found = imported(harness_of_two)
    assert found["counts"] == {"both": 1, "only_aws": 1, "only_we": 1}
    assert [(each["opinion"], each["aws_account_id"]) for each in found["anomalies"]] == [
        ("both", ONE),
        ("only AWS", ONE),
        ("only we", TWO),
    ]
    both = found["anomalies"][0]
    assert (both["service"], both["start_date"], both["aws"]["feedback"]) == (EC2, str(SPIKE.start), "YES")
    assert both["aws"]["root_causes"][0]["usage_type"] == "BoxUsage:p4d.24xlarge"
    assert float(both["aws"]["impact_usd"]) == pytest.approx(float(both["anomalies"][0]["impact"]), rel=0.1)
    assert (found["api_requests"], found["api_cost_usd"]) == (2, "0.02")
    assert harness_of_two.aws.paid() == 2
    assert found["imported"] == {"added": 2, "updated": 0, "unchanged": 0}
    assert imported(harness_of_two)["imported"] == {"added": 0, "updated": 0, "unchanged": 2}
    printed = harness_of_two.run("anomalies", "import-aws", "--account", ONE, "--account", ONE).stdout
    assert printed.startswith(
        "Read 1 of 1 account by 1 request (at most $0.01): 0 of AWS's anomalies are new"
    )
    assert "both 1, only AWS 1, only costbatch 0." in printed
    assert f"both\t{ONE}\t{EC2}\t{SPIKE.start}\t{SPIKE.start}\t+" in printed


def test_what_lies_beside_the_days_is_read_and_compared(harness_of_two: Harness) -> None:
    """AWS's anomaly ended two days before ours began, and before the first day that is asked for."""
    before = str(SPIKE.start - 2 * ONE_DAY)
    theirs = {"kind": "spike", "start": before, "factor": 3, "service": EC2, "feedback": None}
    harness_of_two.aws.update_account(ONE, anomalies=[theirs])
    found = imported(harness_of_two, "--from", str(SPIKE.start))
    assert [(each["opinion"], each["aws_account_id"]) for each in found["anomalies"]] == [
        ("both", ONE),
        ("only we", TWO),
    ]
    assert found["anomalies"][0]["start_date"] == before


def test_what_aws_forgets_is_kept(harness_of_two: Harness) -> None:
    """After 90 days AWS has none of it; nothing is asked for days that it has forgotten."""
    imported(harness_of_two)
    rows = harness_of_two.rows("SELECT * FROM aws_anomalies ORDER BY id")
    harness_of_two.sleep_until(TODAY + 120 * ONE_DAY)
    harness_of_two.aws.reset_requests()
    days = ("--from", str(TODAY - 30 * ONE_DAY), "--to", str(TODAY))
    found = imported(harness_of_two, *days)
    assert (found["counts"], found["api_requests"]) == ({"both": 1, "only_aws": 1, "only_we": 1}, 0)
    assert (found["accounts_read"], found["accounts_not_compared"]) == (0, 0)
    assert harness_of_two.aws.paid() == 0
    ahead = (
        "--from",
        str(harness_of_two.today + 9 * ONE_DAY),
        "--to",
        str(harness_of_two.today + 9 * ONE_DAY),
    )
    for unknown in (days, ahead):
        printed = harness_of_two.run("anomalies", "import-aws", *unknown).stdout
        assert printed.startswith(
            "AWS was not asked, because it has anomalies of the last 90 days only; "
            "compared is what was imported before.\n"
        )
    long_ago = imported(harness_of_two, "--to", "2020-01-01")
    assert (long_ago["anomalies"], long_ago["accounts_not_compared"]) == ([], 2)
    assert imported(harness_of_two)["counts"]["both"] == 0
    assert harness_of_two.rows("SELECT * FROM aws_anomalies ORDER BY id") == rows


def test_a_service_is_what_the_stored_costs_know(harness_of_two: Harness) -> None:
    """Of an anomaly without root causes, what the monitor watches may be a tag as well."""
    imported(harness_of_two)
    harness_of_two.sleep_until(TODAY + 120 * ONE_DAY)
    days = ("--from", str(TODAY - 30 * ONE_DAY), "--to", str(TODAY), "--account", ONE)
    for value, service in ((EC2, EC2), ("team-a", None)):
        harness_of_two.rows("UPDATE aws_anomalies SET root_causes = '[]', dimension_value = %s", value)
        (only,) = [
            each for each in imported(harness_of_two, *days)["anomalies"] if each["opinion"] == "only AWS"
        ]
        assert (only["service"], only["aws"]["dimension_value"]) == (service, value)


def test_feedback_that_comes_later_is_an_update(harness_of_two: Harness) -> None:
    """And it is not forgotten if AWS no longer says it."""
    imported(harness_of_two)
    later = {"kind": "spike", "start": str(SMALL.start), "factor": 1.3, "service": EC2, "feedback": "NO"}
    harness_of_two.aws.update_account(ONE, anomalies=[later])
    assert imported(harness_of_two)["imported"]["updated"] == 1
    harness_of_two.aws.update_account(ONE, anomalies=[{**later, "feedback": None}])
    assert imported(harness_of_two)["imported"]["updated"] == 0
    feedback = "SELECT feedback FROM aws_anomalies WHERE start_date = %s"
    assert harness_of_two.value(feedback, SMALL.start) == "NO"


def test_a_missing_permission_is_one_sentence(harness_of_two: Harness) -> None:
    """Of one account of two the others are read all the same; of all it is a failure."""
    harness_of_two.aws.add_fault(ONE, "access_denied", operation="GetAnomalies")
    run = harness_of_two.run("anomalies", "import-aws")
    assert run.status == 0
    assert run.stderr.startswith(f"Account {ONE} was not read: AWS answered GetAnomalies with ")
    assert "grant the identity ce:GetAnomalies." in run.stderr
    assert imported(harness_of_two)["failures"].keys() == {ONE}
    run = harness_of_two.run("anomalies", "import-aws", "--account", ONE)
    assert (run.status, run.stdout) == (1, "")
    assert run.sentences[0].endswith(
        "The credentials are valid but lack a permission; grant the identity ce:GetAnomalies."
    )


def test_the_cap_holds(harness_of_two: Harness) -> None:
    """The accounts beyond it are not read, and the output says so."""
    harness_of_two.environ["COSTBATCH_MAX_API_COST_USD"] = "0.01"
    assert imported(harness_of_two)["failures"] == {TWO: "The cap on paid requests is reached."}
    assert harness_of_two.aws.paid() == 1


def test_of_an_account_that_is_not_read_nothing_is_ours_alone(harness_of_two: Harness) -> None:
    """Nobody asked AWS whether it found that, too; the output says of how many accounts."""
    harness_of_two.environ["COSTBATCH_MAX_API_COST_USD"] = "0.01"
    found = imported(harness_of_two)
    assert (found["counts"], found["accounts_not_compared"]) == ({"both": 1, "only_aws": 1, "only_we": 0}, 1)
    harness_of_two.aws.add_fault(TWO, "access_denied", operation="GetAnomalies")
    printed = harness_of_two.run("anomalies", "import-aws", COSTBATCH_MAX_API_COST_USD="0.02").stdout
    assert "both 1, only AWS 1, only costbatch 0." in printed
    assert "What only costbatch found is not known of 1 account." in printed


def test_a_standing_cap_reaches_every_account_in_turn(harness_of_two: Harness) -> None:
    """An import begins with the accounts that were never imported, then with those of the oldest import."""
    harness_of_two.environ["COSTBATCH_MAX_API_COST_USD"] = "0.01"
    unread = []
    for day in range(4):
        harness_of_two.sleep_until(TODAY + day * ONE_DAY)
        unread += imported(harness_of_two)["failures"]
    assert unread == [TWO, ONE, TWO, ONE]


def test_a_standing_cap_reaches_every_account_about_days_in_the_past(harness_of_two: Harness) -> None:
    """Those that were never asked about these days come first, whatever they were asked about since."""
    imported(harness_of_two, "--from", str(TODAY - 5 * ONE_DAY))
    harness_of_two.environ["COSTBATCH_MAX_API_COST_USD"] = "0.01"
    days = ("--from", str(TODAY - 60 * ONE_DAY), "--to", str(TODAY - 40 * ONE_DAY))
    unread = [*imported(harness_of_two, *days)["failures"]]
    harness_of_two.sleep_until(TODAY + ONE_DAY)
    again = imported(harness_of_two, *days)
    assert unread == [TWO]
    assert [*again["failures"]] == [ONE]
    assert (again["accounts_not_compared"], again["not_known"]["asked_from"]) == (0, None)


OLDER = ("--from", str(TODAY - 60 * ONE_DAY), "--to", str(TODAY - 40 * ONE_DAY))
NEWER = ("--from", str(TODAY - 5 * ONE_DAY))


@pytest.mark.parametrize("imports", [(OLDER, NEWER), (NEWER, OLDER)], ids=["newer last", "older last"])
def test_days_apart_are_asked_about_with_those_between(
    harness_of_two: Harness, imports: tuple[tuple[str, ...], ...]
) -> None:
    """So that what an import learns never makes days of an earlier one unknown, whichever are the newer."""
    for days in imports:
        imported(harness_of_two, *days)
    assert harness_of_two.aws.paid() == 4
    starts = {row["start_date"] for row in harness_of_two.rows("SELECT start_date FROM aws_anomalies")}
    assert starts == {SPIKE.start, SMALL.start}
    harness_of_two.aws.add_fault(TWO, "access_denied", operation="GetAnomalies")
    found = imported(harness_of_two, *OLDER[:2])
    nothing = {"accounts": 0, "asked_from": None, "asked_to": None, "anomalies": 0}
    assert (found["failures"].keys(), found["not_known"]) == ({TWO}, nothing)
    assert found["counts"]["only_we"] == 1


def test_days_between_that_aws_has_forgotten_are_not_asked_about(harness_of_two: Harness) -> None:
    """They can never be known: the newer days take the place of the older ones."""
    imported(harness_of_two)
    harness_of_two.sleep_until(TODAY + 95 * ONE_DAY)
    imported(harness_of_two, "--from", str(harness_of_two.today - 5 * ONE_DAY))
    starts = "SELECT DISTINCT covered_start FROM account_progress WHERE job = 'import-aws'"
    assert harness_of_two.value(starts) == harness_of_two.today - 8 * ONE_DAY


@pytest.mark.parametrize("fault", ["not_json", "endless_pages"])
def test_a_paid_request_that_fails_is_a_turn_too(harness_of_two: Harness, fault: str) -> None:
    """Otherwise an account that fails would come first for ever, and spend the cap of all others."""
    harness_of_two.aws.add_fault(ONE, fault, operation="GetAnomalies")
    harness_of_two.environ["COSTBATCH_MAX_API_COST_USD"] = "0.01"
    read = []
    for day in range(4):
        harness_of_two.sleep_until(TODAY + day * ONE_DAY)
        run = harness_of_two.run("anomalies", "import-aws", "--output", "json")
        read.append(json.loads(run.stdout)["accounts_read"] if run.status == 0 else 0)
    assert read == [0, 1, 0, 1]
    assert harness_of_two.aws.paid() == 4
    harness_of_two.aws.clear_faults()
    del harness_of_two.environ["COSTBATCH_MAX_API_COST_USD"]
    assert imported(harness_of_two)["failures"] == {}
    failing = "SELECT count(*) FROM account_progress WHERE job = 'import-aws' AND failing_since IS NOT NULL"
    assert harness_of_two.value(failing) == 0


def test_days_that_aws_has_forgotten_are_not_known(harness_of_two: Harness) -> None:
    """Of these, too, nobody asked AWS; what that leaves out is counted."""
    harness_of_two.sleep_until(SPIKE.start + 95 * ONE_DAY)
    days = ("--from", str(SPIKE.start - 10 * ONE_DAY))
    found = imported(harness_of_two, *days)
    begin = str(harness_of_two.today - 89 * ONE_DAY)
    assert (found["accounts_read"], found["counts"]["only_we"], found["accounts_not_compared"]) == (2, 0, 0)
    assert found["not_known"] == {
        "accounts": 0,
        "asked_from": {"date": begin, "accounts": 2},
        "asked_to": None,
        "anomalies": 2,
    }
    printed = harness_of_two.run("anomalies", "import-aws", *days).stdout
    assert (
        f"AWS was not asked about all days before {begin} of 2 accounts; "
        "what only costbatch found on the others is not known.\n"
        "Left out because of that: 2 of costbatch's anomalies.\n"
    ) in printed
    nothing = {"accounts": 0, "asked_from": None, "asked_to": None, "anomalies": 0}
    assert imported(harness_of_two)["not_known"] == nothing


def test_what_an_earlier_import_asked_counts_of_an_account_that_fails(harness_of_two: Harness) -> None:
    """As in an import in which AWS is not asked at all; the days since then are not known."""
    assert imported(harness_of_two)["counts"]["only_we"] == 1
    harness_of_two.sleep_until(TODAY + ONE_DAY)
    harness_of_two.aws.add_fault(TWO, "access_denied", operation="GetAnomalies")
    found = imported(harness_of_two)
    assert (found["accounts_read"], found["failures"].keys()) == (1, {TWO})
    printed = harness_of_two.run("anomalies", "import-aws").stdout
    assert f"AWS was not asked about all days after {TODAY} of 1 account; what only costbatch" in printed
    assert "Left out" not in printed
    assert (found["counts"]["only_we"], found["accounts_not_compared"]) == (1, 0)
    assert found["not_known"] == {
        "accounts": 0,
        "asked_from": None,
        "asked_to": {"date": str(TODAY), "accounts": 1},
        "anomalies": 0,
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--account", "999999999999"), "999999999999"),
        (("--from", "soon"), "is not a day"),
    ],
)
def test_wrong_questions_get_one_sentence(harness: Harness, options: tuple[str, ...], sentence: str) -> None:
    """Before anything is asked."""
    harness.open(make_account(1))
    run = harness.run("anomalies", "import-aws", *options)
    assert (run.status, run.stdout) == (2, "")
    assert sentence in " ".join(run.stderr.split())
    assert harness.aws.paid() == 0


def test_an_outage_of_one_account_stores_the_others(harness: Harness) -> None:
    """What was read before it stays."""
    broken = Fault("invalid_token", operation="*")
    harness.open(replace(make_account(1), anomalies=(SPIKE,)), make_account(2, faults=(broken,)))
    found = imported(harness)
    assert (found["imported"]["added"], list(found["failures"])) == (1, [TWO])
