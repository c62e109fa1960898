"""Root causes: what is asked, paid, stored and told, and what happens if AWS does not answer."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any
from unittest import mock

import pytest

from costbatch.adapters.postgres.causes import PostgresCauses
from costbatch.application.anomalies import Anomalies, Remark
from costbatch.application.collect import root_causes
from costbatch.application.collect.root_causes import RootCauses
from costbatch.application.jobs.retry import in_transaction
from costbatch.application.ports import Database, Transaction
from costbatch.domain.causes import MOST_CAUSE_PAGES
from costbatch.domain.runs import Run
from costbatch.simulator.world import Anomaly
from tests.support.harness import EC2, ONE_DAY, TODAY, Finished, Harness, bill, make_account, steady

DAY = TODAY - ONE_DAY
ONE, TWO = "100000000001", "100000000002"
MINIMUM = "COSTBATCH_ROOT_CAUSE_MINIMUM"
USED = {"region": "us-east-1", "usage_type": "BoxUsage:m5.xlarge"}
BURST = {"region": "sa-east-1", "usage_type": "SAE1-BoxUsage:p4d.24xlarge"}

SPIKED, SPIKED_TOO = (
    make_account(
        number,
        rows=(
            *(bill(each.date, "10.00", **USED) for each in steady("10", until=TODAY + 6 * ONE_DAY)),
            bill(DAY, "90.00", **BURST),
            bill(DAY, "7.00", record_type="Tax"),
        ),
    )
    for number in (1, 2)
)


@pytest.fixture
def spiked(harness: Harness) -> Harness:
    """Return a harness with an account that costs 10 dollars a day, and yesterday 90 more in Brazil."""
    harness.open(SPIKED)
    harness.environ[MINIMUM] = "50"
    return harness


def told(run: Finished) -> list[str]:
    """Return the types of the events about anomalies that were told."""
    types = [line["cloudevent"]["type"] for line in run.logs("event")]
    return [name for name in types if name.startswith("anomaly.")]


def shown(harness: Harness) -> Mapping[str, Any]:
    """Return the one anomaly as a program gets it."""
    (row,) = harness.rows("SELECT id::text FROM anomalies")
    document: dict[str, Any] = json.loads(
        harness.run("anomalies", "show", row["id"], "--output", "json").stdout
    )
    return document


def test_a_large_anomaly_is_explained_by_one_more_request(spiked: Harness) -> None:
    """Told with its causes, counted with the run, shown to people and programs, and asked for once."""
    run = spiked.collect()
    assert told(run) == ["anomaly.detected", "anomaly.explained"]
    assert spiked.aws.paid(ONE) == run.summary["run"]["api"]["requests"] == 2
    assert spiked.value("SELECT api_requests FROM run_items") == 2
    (ended,) = (line["cloudevent"] for line in run.logs("event") if "run" in line["cloudevent"]["data"])
    assert ended["data"]["run"]["api"] == {"requests": 1, "cost_usd": "0.01"}
    cause = {**BURST, "expected": "0.00", "actual": "90.00"}
    found = {"date": str(DAY), "ordinary_date": str(DAY - 7 * ONE_DAY), "causes": [cause]}
    explained = run.logs("event")[-1]["cloudevent"]["data"]
    assert explained["root_cause"] == shown(spiked)["root_cause"] == found
    newest = {"date": str(DAY), "amount": "100.00", "is_anomalous": True}
    assert explained["anomaly"]["trend"][-1] == newest
    table = spiked.run("anomalies", "show", explained["anomaly"]["id"]).stdout
    assert f"root cause\ton {DAY}, against {DAY - 7 * ONE_DAY}:\n" in table
    assert "\t+90.00 USD sa-east-1 SAE1-BoxUsage:p4d.24xlarge (0.00 to 90.00)\n" in table
    spiked.sleep_until(TODAY + ONE_DAY)
    assert "anomaly.explained" not in told(spiked.collect())
    assert spiked.aws.paid(ONE) == 3


@pytest.mark.parametrize("minimum", ["", "90.01", "EUR=1,USD=91"])
def test_a_small_anomaly_costs_nothing_more(spiked: Harness, minimum: str) -> None:
    """Without the setting no root cause is asked for, and below it, by currency, neither."""
    spiked.environ[MINIMUM] = minimum
    assert told(spiked.collect()) == ["anomaly.detected"]
    assert spiked.aws.paid(ONE) == 1
    assert shown(spiked)["root_cause"] is None


def test_what_has_an_answer_is_not_asked_for(spiked: Harness) -> None:
    """Of an anomaly that was dismissed nobody wants to know more."""
    assert told(spiked.collect(**{MINIMUM: ""})) == ["anomaly.detected"]
    spiked.run("anomalies", "dismiss", shown(spiked)["id"], "--reason", "test", "--author", "alice")
    assert spiked.collect("--dry-run").summary["root_causes"]["open_anomalies"] == 0
    spiked.collect()
    assert spiked.aws.paid(ONE) == 2
    spiked.run("anomalies", "reopen", shown(spiked)["id"], "--author", "alice")
    assert told(spiked.collect()) == ["anomaly.explained"]


def test_the_cap_counts_root_causes(spiked: Harness) -> None:
    """No money is left for it: the account is collected, a log line says so, and the next night asks."""
    run = spiked.collect("--max-api-cost", "0.01")
    assert (run.status, run.outcomes) == (0, {ONE: "collected"})
    assert told(run) == ["anomaly.detected"]
    assert [line["aws_account_id"] for line in run.logs("api_cost_cap_reached")] == [ONE]
    assert [line["anomalies"] for line in run.logs("root_causes_left_out")] == [1]
    assert told(spiked.collect("--max-api-cost", "0.02")) == ["anomaly.explained"]
    assert spiked.aws.paid(ONE) == 3


def test_what_the_cap_cuts_short_is_asked_for_again(spiked: Harness) -> None:
    """The page is paid and counted, but no attempt: a night with a higher cap finds the root cause."""
    spiked.collect(**{MINIMUM: ""})
    spiked.open(SPIKED, page_size=5)
    paid = spiked.aws.paid(ONE)
    spiked.collect(**{MINIMUM: ""})
    pages = spiked.aws.paid(ONE) - paid
    for night in range(1, 4):
        spiked.sleep_until(TODAY + night * ONE_DAY)
        paid = spiked.aws.paid(ONE)
        run = spiked.collect("--max-api-cost", f"{(pages + 1) / 100:.2f}")
        assert spiked.aws.paid(ONE) - paid == run.summary["run"]["api"]["requests"] == pages + 1
        assert [line["aws_account_id"] for line in run.logs("api_cost_cap_reached")] == [ONE]
        assert [line["anomalies"] for line in run.logs("root_causes_left_out")] == [1]
        assert spiked.value("SELECT attempts FROM anomaly_causes") == 0
    spiked.sleep_until(TODAY + 4 * ONE_DAY)
    assert "anomaly.explained" in told(spiked.collect("--max-api-cost", "1.00"))


def test_what_the_cap_cuts_short_night_after_night_is_given_up(spiked: Harness) -> None:
    """The log says so once, and from then on nothing more is paid for it."""
    spiked.collect(**{MINIMUM: ""})
    spiked.open(SPIKED, page_size=5)
    paid = spiked.aws.paid(ONE)
    spiked.collect(**{MINIMUM: ""})
    pages = spiked.aws.paid(ONE) - paid
    given_up, bought = [], []
    for night in range(1, 7):
        spiked.sleep_until(TODAY + night * ONE_DAY)
        run = spiked.collect("--max-api-cost", f"{(pages + 1) / 100:.2f}")
        given_up.append([line["reason"] for line in run.logs("root_cause_not_found")])
        bought.append(run.summary["run"]["api"]["requests"] - pages)
    reason = "The cap on paid requests cut the response short on 4 nights; it is not asked for again."
    assert given_up == [[], [], [], [reason], [], []]
    assert bought == [1, 1, 1, 1, 0, 0]


def test_runs_of_one_day_cut_a_response_short_once(spiked: Harness) -> None:
    """An afternoon of runs by hand gives no root cause up: only nights count."""
    spiked.collect(**{MINIMUM: ""})
    spiked.open(SPIKED, page_size=5)
    paid = spiked.aws.paid(ONE)
    spiked.collect(**{MINIMUM: ""})
    cap = f"{(spiked.aws.paid(ONE) - paid + 1) / 100:.2f}"
    given_up = []
    for night in range(1, 5):
        for hour in (13, 15, 17, 19, 21) if night == 1 else (13,):
            spiked.wake_at(datetime.combine(TODAY + night * ONE_DAY, time(hour), UTC))
            run = spiked.collect("--max-api-cost", cap)
            given_up.append(len(run.logs("root_cause_not_found")))
    assert given_up == [0, 0, 0, 0, 0, 0, 0, 1]


def test_what_the_cap_cuts_short_is_asked_for_after_all_others(spiked: Harness) -> None:
    """The largest has a long response: what the cap leaves is not spent on it alone, night after night."""
    long = tuple(
        bill(
            each.date, "300.00" if each.date == DAY else "10.00", region="us-east-1", usage_type=f"Usage:{n}"
        )
        for each in steady("10", until=TODAY + 3 * ONE_DAY)
        for n in range(10)
    )
    spiked.open(replace(SPIKED, rows=long), SPIKED_TOO)
    spiked.collect(**{MINIMUM: ""})
    spiked.open(replace(SPIKED, rows=long), SPIKED_TOO, page_size=20)
    reading = spiked.collect(**{MINIMUM: ""}).summary["run"]["api"]["requests"]
    cap = f"{(reading + 2) / 100:.2f}"
    run = spiked.collect("--max-api-cost", cap)
    assert [line["aws_account_id"] for line in run.logs("api_cost_cap_reached")] == [ONE]
    assert [line["anomalies"] for line in run.logs("root_causes_left_out")] == [2]
    spiked.sleep_until(TODAY + ONE_DAY)
    run = spiked.collect("--max-api-cost", cap)
    assert [line["aws_account_id"] for line in run.logs("root_cause_found")] == [TWO]
    assert [line["aws_account_id"] for line in run.logs("api_cost_cap_reached")] == [ONE]
    assert [line["anomalies"] for line in run.logs("root_causes_left_out")] == [1]
    assert run.summary["run"]["api"]["requests"] == reading + 2


def test_an_account_that_is_resumed_after_a_run_began_waits_for_the_next_run(spiked: Harness) -> None:
    """The run has no item of it that could count its requests, so that the cap would not hold."""
    spiked.open(SPIKED, SPIKED_TOO)
    spiked.collect(**{MINIMUM: ""})
    spiked.run("accounts", "pause", TWO)
    paid = spiked.aws.paid(TWO)
    find = RootCauses.find

    def find_after_a_resume(self: RootCauses, run: Run) -> None:
        spiked.rows("UPDATE accounts SET status = 'active'")
        find(self, run)

    with mock.patch.object(RootCauses, "find", find_after_a_resume):
        run = spiked.collect()
    assert [line["aws_account_id"] for line in run.logs("root_cause_found")] == [ONE]
    assert spiked.aws.paid(TWO) == paid
    run = spiked.collect()
    assert [line["aws_account_id"] for line in run.logs("root_cause_found")] == [TWO]
    assert run.summary["run"]["api"]["requests"] == 3


def test_a_root_cause_of_a_later_night_is_no_page_less_of_the_first_collection(harness: Harness) -> None:
    """A dry run of many days goes by the pages of the history, and by no request that came after them."""
    harness.open(SPIKED, page_size=50)
    harness.collect()
    history = harness.aws.paid(ONE)
    assert history > 1
    harness.sleep_until(TODAY + ONE_DAY)
    asked = harness.collect(**{MINIMUM: "50"})
    assert (asked.summary["run"]["api"]["requests"], len(asked.logs("root_cause_found"))) == (2, 1)
    plan = harness.collect("--dry-run", "--from", "2024-02-01").summary
    assert (plan["api"]["requests"], plan["is_least"]) == (history, False)


def test_a_dry_run_says_what_root_causes_may_add(spiked: Harness) -> None:
    """For open anomalies that were not asked about and have no answer, as far as the cap goes."""
    spiked.collect(**{MINIMUM: ""})
    assert "root_causes" not in spiked.collect("--dry-run", **{MINIMUM: ""}).summary
    assert "Root causes" not in spiked.run("collect", "--dry-run", **{MINIMUM: ""}).stdout
    paid = spiked.aws.paid(ONE)

    def planned(*options: str, minimum: str = "50") -> dict[str, Any]:
        run = spiked.collect("--dry-run", *options, **{MINIMUM: minimum})
        assert run.summary["api"] == {"requests": 1, "cost_usd": "0.01"}
        found: dict[str, Any] = run.summary["root_causes"]
        return found

    one, none = ({"requests": n, "cost_usd": f"0.0{n}", "most_requests": 5 * n} for n in (1, 0))
    assert planned() == {"minimum": "50", "open_anomalies": 1, "api": one, "requests_left": None}
    assert planned(minimum="1,USD=91")["open_anomalies"] == 0
    capped = planned("--max-api-cost", "0.01")
    assert (capped["open_anomalies"], capped["api"], capped["requests_left"]) == (1, none, 0)
    assert planned("--max-api-cost", "0.03")["requests_left"] == 2
    spiked.collect("--run-key", "night", **{MINIMUM: ""})
    paid += 1
    resumed = spiked.collect("--dry-run", "--run-key", "night", "--max-api-cost", "0.03").summary
    assert (resumed["api"]["requests"], resumed["root_causes"]["requests_left"]) == (0, 2)
    said = spiked.run("collect", "--dry-run", "--run-key", "night").stdout
    assert "Nothing to collect: run night" in said
    assert "may add 1 request (0.01 USD) for open anomalies" in " ".join(said.split())
    table = spiked.run("collect", "--dry-run", "--max-api-cost", "0.03").stdout
    assert " ".join(table.split()).startswith(
        "Dry run: would collect 1 account in 1 request (0.01 USD). "
        "Root causes (COSTBATCH_ROOT_CAUSE_MINIMUM is 50) may add 1 request (0.01 USD) for open anomalies, "
        "and 1 request (0.01 USD) for each that the run finds; each may take up to 5 if the response is "
        "long: at most 2 (0.02 USD) for open ones. "
        "The cap on API cost leaves 2 requests for them. "
    )
    assert spiked.aws.paid(ONE) == paid
    spiked.collect()
    assert spiked.aws.paid(ONE) == paid + 2
    assert planned()["open_anomalies"] == 0


def test_a_failed_request_is_repeated_once_on_another_night(spiked: Harness) -> None:
    """The run ends as it has; a retry on the same morning asks nothing."""
    spiked.collect(**{MINIMUM: ""})
    # The cost request of the account is answered, and what follows it is throttled.
    spiked.aws.add_fault(ONE, "latency", times=1, seconds=0.0)
    spiked.aws.add_fault(ONE, "limit_exceeded", times=1)
    run = spiked.collect()
    assert (run.status, run.outcomes, told(run)) == (0, {ONE: "collected"}, [])
    (line,) = run.logs("root_cause_not_found")
    assert "AWS throttled the requests" in line["reason"]
    assert shown(spiked)["root_cause"] is None
    assert told(spiked.collect()) == []
    assert spiked.value("SELECT attempts FROM anomaly_causes") == 1
    assert spiked.value("SELECT problem FROM anomaly_causes") == line["reason"]
    spiked.sleep_until(TODAY + ONE_DAY)
    assert "anomaly.explained" in told(spiked.collect())
    assert spiked.value("SELECT attempts FROM anomaly_causes WHERE problem IS NULL") == 2


def test_a_response_that_is_too_long_is_not_paid_twice(spiked: Harness) -> None:
    """It would be as long another night; the reason names no setting that cannot help."""
    spiked.collect(**{MINIMUM: ""})
    spiked.open(SPIKED, page_size=1)
    run = spiked.collect()
    (line,) = run.logs("root_cause_not_found")
    assert line["reason"] == (
        "GetCostAndUsage: the response has more than 5 pages. "
        "The service has too many usage types to find a root cause; it is not asked for again."
    )
    reading = spiked.value("SELECT rows_fetched FROM cost_collections ORDER BY run_item_id DESC LIMIT 1")
    assert spiked.aws.paid(ONE) == reading + MOST_CAUSE_PAGES
    spiked.open(SPIKED)
    spiked.sleep_until(TODAY + ONE_DAY)
    assert "anomaly.explained" not in told(spiked.collect())
    assert spiked.aws.paid(ONE) == 1


def test_a_kill_between_the_answer_and_its_storage_asks_once_more(spiked: Harness) -> None:
    """What was claimed and not stored is asked for again, and never a third time."""
    with mock.patch.object(PostgresCauses, "save", side_effect=KeyboardInterrupt):
        spiked.collect("--run-key", "k")
    assert spiked.value("SELECT count(*) FROM anomaly_causes WHERE usage_date IS NULL") == 1
    paid = spiked.aws.paid(ONE)
    spiked.collect("--run-key", "k")
    assert spiked.aws.paid(ONE) == paid
    spiked.sleep_until(TODAY + ONE_DAY)
    with mock.patch.object(PostgresCauses, "save", side_effect=KeyboardInterrupt):
        spiked.collect()
    assert spiked.aws.paid(ONE) == paid + 2
    spiked.sleep_until(TODAY + 2 * ONE_DAY)
    spiked.collect()
    assert spiked.aws.paid(ONE) == paid + 3


@pytest.mark.parametrize("meanwhile", ["resolved", "dismissed"])
def test_what_has_ended_while_aws_was_asked_is_not_told(spiked: Harness, meanwhile: str) -> None:
    """An Alertmanager would fire it again; what was found is stored."""
    ask = RootCauses._ask

    def answer_slowly(self: RootCauses, each: Any, *args: Any) -> Any:
        if meanwhile == "resolved":
            spiked.rows("UPDATE anomalies SET state = 'resolved', resolution = 'ended'")
        else:
            anomalies = Anomalies(
                database=self.database, rule_of=self.policy.rule_of, routes=self.routes, now=self.clock
            )
            anomalies.dismiss(str(each.anomaly.id), Remark(author="alice", reason="fee"))
        return ask(self, each, *args)

    with mock.patch.object(RootCauses, "_ask", answer_slowly):
        run = spiked.collect()
    assert "anomaly.explained" not in told(run)
    assert run.summary["run"]["api"]["requests"] == 2
    assert shown(spiked)["root_cause"]["causes"][0]["region"] == BURST["region"]


def test_requests_count_once_if_the_answer_to_a_commit_is_lost(spiked: Harness) -> None:
    """What is stored is done again by then."""

    def done_twice(database: Database, action: Callable[[Transaction], Any], **more: Any) -> Any:
        if action.__name__ == "save":
            in_transaction(database, action)
        return in_transaction(database, action, **more)

    with mock.patch.object(root_causes, "in_transaction", done_twice):
        run = spiked.collect()
    assert told(run) == ["anomaly.detected", "anomaly.explained"]
    assert spiked.aws.paid(ONE) == run.summary["run"]["api"]["requests"] == 2


def test_no_root_cause_is_asked_for_after_the_deadline(spiked: Harness) -> None:
    """The alerts of all other anomalies wait for it."""
    find = RootCauses.find

    def find_late(self: RootCauses, run: Run) -> None:
        self.stopping.began -= 60
        find(self, run)

    with mock.patch.object(RootCauses, "find", find_late):
        run = spiked.collect("--deadline", "60")
    assert (run.status, told(run)) == (0, ["anomaly.detected"])
    assert [line["anomalies"] for line in run.logs("root_causes_left_out")] == [1]
    assert told(spiked.collect()) == ["anomaly.explained"]


def test_the_root_cause_of_a_planted_anomaly_is_what_was_planted(harness: Harness) -> None:
    """Generated cost, several services: the usage that the anomaly multiplies, and nothing else."""
    spike = Anomaly("spike", DAY, 9.0, service=EC2, region="eu-west-1")
    plain = make_account(1, daily_cost=400.0, services=6)
    harness.open(replace(plain, anomalies=(spike,)))
    run = harness.collect(COSTBATCH_ROOT_CAUSE_MINIMUM="10", COSTBATCH_ANOMALY_PER_SERVICE="true")
    explained = [
        line["cloudevent"]["data"]
        for line in run.logs("event")
        if line["cloudevent"]["type"] == "anomaly.explained"
    ]
    assert {each["anomaly"]["service"] for each in explained} == {None, EC2}
    for each in explained:
        largest = each["root_cause"]["causes"][0]
        assert (largest["region"], largest["usage_type"]) == ("eu-west-1", "EUW1-BoxUsage:p4d.24xlarge")
        assert datetime.fromisoformat(each["root_cause"]["date"]).date() == DAY
