"""``costbatch discover`` as its users see it: what exists in every account, against the local AWS."""

import pytest

from costbatch.simulator.world import Resource
from tests.support.doctor import examine
from tests.support.harness import ONE_DAY, TODAY, Harness, make_account, wait_for
from tests.support.waiting import until

IRELAND, VIRGINIA = "eu-west-1", "us-east-1"
REGIONS = (VIRGINIA, IRELAND)


def instance(number: int, name: str, region: str = IRELAND, **tags: str) -> Resource:
    """Return an instance of an account."""
    arn = f"arn:aws:ec2:{region}:{100_000_000_000 + number}:instance/{name}"
    return Resource(arn, region, tuple(tags.items()))


@pytest.fixture
def estate(harness: Harness) -> Harness:
    """Open two accounts: one with a tagged instance in each region, one with forty resources."""
    inventory = (instance(1, "i-1", Team="web"), instance(1, "i-2", VIRGINIA, Team="data"))
    harness.open(make_account(1, regions=REGIONS, inventory=inventory), make_account(2, regions=REGIONS))
    return harness


def test_a_night_discovers_every_account(estate: Harness) -> None:
    """The summary, the table and the record tell the same; nothing is paid."""
    run = estate.run("discover", "--output", "json")
    assert (run.status, run.outcomes) == (0, dict.fromkeys(estate.ids, "discovered"))
    first = run.account(estate.ids[0])["discovery"]
    assert first["resources"] == {"found": 2, "inserted": 2, "updated": 0, "returned": 0, "gone": 0}
    assert (first["source"], first["regions_read"], first["failed_regions"]) == ("tagging", 2, [])
    assert run.summary["run"]["resources"]["found"] == estate.value("SELECT count(*) FROM resources")
    assert estate.value("SELECT sum(api_requests) FROM run_items") == 0
    again = estate.run("discover")
    assert "DISCOVERED 2 accounts" in again.stdout
    assert "(0 new, 0 changed, 0 back, 0 gone)" in again.stdout


def test_a_cap_on_api_cost_holds_no_account_back(harness: Harness) -> None:
    """Discovery pays nothing: a cap for the other job changes neither its outcome nor its time."""
    harness.open(*(make_account(number, regions=REGIONS) for number in range(1, 5)), latency_seconds=0.1)
    run = harness.run("discover", "--output", "json", COSTBATCH_MAX_API_COST_USD="0.01")
    assert set(run.outcomes.values()) == {"discovered"}
    took = [each["duration_seconds"] for each in run.summary["accounts"]]
    assert run.summary["run"]["duration_seconds"] < sum(took)


def test_a_region_that_is_down_fails_alone(estate: Harness) -> None:
    """The account is discovered without it, loudly, and nothing of it is gone."""
    estate.run("discover")
    estate.aws.update_account(estate.ids[0], inventory=[])
    estate.aws.add_fault(estate.ids[0], "http_500", operation="GetResources", region=IRELAND)
    run = estate.run("discover", "--output", "json")
    account = run.account(estate.ids[0])
    assert (run.status, account["state"]) == (0, "partial")
    assert [each["region"] for each in account["discovery"]["failed_regions"]] == [IRELAND]
    assert estate.rows(
        "SELECT name, gone_since IS NULL AS there FROM resources"
        " WHERE account_id = (SELECT min(id) FROM accounts) ORDER BY name"
    ) == [{"name": "i-1", "there": True}, {"name": "i-2", "there": False}]
    assert run.logs("regions_failed")[0]["regions"] == [IRELAND]


def test_a_list_of_regions_that_is_denied_later_is_no_smaller_account(estate: Harness) -> None:
    """Regions that were read before and that the setting does not name have failed."""
    estate.environ["COSTBATCH_REGIONS"] = VIRGINIA
    one = estate.ids[0]
    estate.run("discover")
    for operation in ("ListRegions", "DescribeRegions"):
        estate.aws.add_fault(one, "access_denied", operation=operation)
    run = estate.run("discover", "--output", "json")
    account = run.account(one)
    assert (run.status, account["state"]) == (0, "partial")
    assert [(each["region"], each["kind"]) for each in account["discovery"]["failed_regions"]] == [
        (IRELAND, "access_denied")
    ]
    assert "lists its" not in examine(estate)["discovery access"]["found"]


def test_an_account_without_permission_fails_alone(estate: Harness) -> None:
    """The sentence says which permission is missing; the alert comes once."""
    estate.aws.add_fault(estate.ids[0], "access_denied", operation="GetResources")
    run = estate.run("discover", "--output", "json", "--fail-on", "partial")
    assert (run.status, run.outcomes[estate.ids[0]]) == (3, "access_denied")
    assert "tag:GetResources" in run.account(estate.ids[0])["error"]["message"]


def test_a_dry_run_asks_nobody(estate: Harness) -> None:
    """It says what would be read, and writes nothing."""
    before = estate.contents()
    plan = estate.run("discover", "--dry-run", "--output", "json", "--account", estate.ids[1]).summary
    assert [each["aws_account_id"] for each in plan["accounts"]] == [estate.ids[1]]
    assert "Dry run: would discover 2 accounts." in estate.run("discover", "--dry-run").stdout
    assert estate.contents() == before


def test_a_dry_run_with_the_key_of_a_run_plans_what_it_has_left(estate: Harness) -> None:
    """The account that failed; nothing once it is discovered."""
    estate.aws.add_fault(estate.ids[0], "access_denied", operation="GetResources")
    night = ("discover", "--run-key", "night", "--output", "json")
    estate.run(*night)
    plan = estate.run(*night, "--dry-run").summary
    assert [each["aws_account_id"] for each in plan["accounts"]] == [estate.ids[0]]
    estate.aws.clear_faults(estate.ids[0])
    estate.run(*night)
    said = estate.run(*night[:3], "--dry-run").stdout
    assert said == "Nothing to discover: run night has no active accounts left.\n"
    refused = estate.run(*night, "--dry-run", "--account", estate.ids[1])
    assert refused.status == 2
    assert refused.sentences == estate.run(*night, "--account", estate.ids[1]).sentences


def test_a_killed_process_is_resumed_by_the_next(estate: Harness) -> None:
    """Killed while the second account is read: the first one is not read again, and each has one record."""
    estate.aws.add_fault(estate.ids[1], "latency", seconds=60, operation="GetResources")
    process = estate.start("discover", "--run-key", "job")
    until(lambda: estate.value("SELECT count(*) FROM discoveries") == 1)
    process.kill()
    wait_for(process)
    estate.aws.clear_faults(estate.ids[1])
    before = estate.aws.requests()["accounts"][estate.ids[0]]["requests"]
    run = estate.run("discover", "--run-key", "job", "--output", "json")
    assert (run.status, set(run.outcomes.values())) == (0, {"discovered"})
    assert estate.value("SELECT count(*) FROM discoveries") == 2
    assert estate.aws.requests()["accounts"][estate.ids[0]]["requests"] == before


def test_accounts_show_and_doctor_say_what_is_discovered(estate: Harness) -> None:
    """When, from where, how much; or since when not, and why; and whether AWS allows it now."""
    estate.run("discover")
    estate.aws.add_fault(estate.ids[0], "access_denied", operation="GetResources")
    estate.run("discover", "--account", estate.ids[0])
    shown = estate.run("accounts", "show", estate.ids[0], "--output", "json").summary
    assert shown["discovered_at"].startswith(f"{TODAY}")
    assert (shown["discovered_from"], shown["regions"], shown["resources"]) == ("tagging", 2, 2)
    assert shown["discovery_failing_kind"] == "access_denied"
    found = examine(estate)
    assert "(2 discovered)" in found["last discovery"]["found"]
    assert "access_denied since" in found["discovery"]["found"]
    assert found["discovery access"]["found"].startswith(estate.ids[1])
    assert "lists its 2 enabled regions" in found["discovery access"]["found"]
    estate.aws.add_fault(estate.ids[1], "access_denied", operation="GetResources")
    found = examine(estate)
    assert (found["discovery access"]["status"], found.finished.status) == ("failure", 1)
    assert "tag:GetResources" in f"{found['discovery access']}"


def test_first_use_is_an_event_in_the_log(estate: Harness) -> None:
    """The night after the first one: a region and a service that the account never used."""
    estate.run("discover")
    miner = Resource("arn:aws:sagemaker:us-east-1:100000000001:notebook-instance/x", VIRGINIA, (("a", "b"),))
    plain = {"arn": miner.arn, "region": miner.region, "tags": miner.tags}
    estate.aws.update_account(estate.ids[0], inventory=[plain])
    estate.sleep_until(TODAY + ONE_DAY)
    run = estate.run("discover", "--account", estate.ids[0])
    told = [each["cloudevent"]["type"] for each in run.logs("event")]
    assert "service.first_used" in told
