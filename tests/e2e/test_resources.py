"""``costbatch resources``: filters, numbers by type, and exports that are safe to open."""

import csv
import json
from io import StringIO

import pytest

from costbatch.simulator.world import Resource
from tests.support.harness import ONE_DAY, TODAY, Harness, make_account

ONE = "100000000001"
REGIONS = ("us-east-1", "eu-west-1")


def instance(name: str, region: str = "eu-west-1", **tags: str) -> Resource:
    """Return an instance."""
    return Resource(f"arn:aws:ec2:{region}:{ONE}:instance/{name}", region, tuple(tags.items()))


WEB = instance("i-1", Owner="web", Name="=cmd|' /C calc'!A0")
DATA = instance("i-2", "us-east-1", Owner="data", Stage="prod")
BUCKET = Resource("arn:aws:s3:::logs", "eu-west-1", (("Stage", "\t-1"),))


@pytest.fixture
def estate(harness: Harness) -> Harness:
    """Discover three resources; a day later one of them is gone."""
    harness.open(
        make_account(1, regions=REGIONS, inventory=(WEB, DATA, BUCKET)), make_account(2, resources=0)
    )
    assert harness.run("discover").status == 0
    harness.sleep_until(TODAY + ONE_DAY)
    left = [{"arn": each.arn, "region": each.region, "tags": each.tags} for each in (WEB, BUCKET)]
    harness.aws.update_account(ONE, inventory=left)
    assert harness.run("discover").status == 0
    return harness


def found(estate: Harness, *options: str) -> list[str]:
    """Return the ends of the ARNs that a list finds."""
    run = estate.run("resources", "list", "--output", "json", *options)
    assert run.status == 0, run.stderr
    return [each["arn"].split(":")[-1] for each in json.loads(run.stdout)]


def test_every_filter_narrows_the_list(estate: Harness) -> None:
    """Those of one kind widen it, those of several kinds narrow it; days are UTC days."""
    assert found(estate) == ["instance/i-1", "logs"]
    assert found(estate, "--service", "s3") == ["logs"]
    assert found(estate, "--service", "s3", "--service", "ec2") == ["instance/i-1", "logs"]
    assert found(estate, "--type", "ec2:instance") == found(estate, "--type", "instance") == ["instance/i-1"]
    assert found(estate, "--region", "us-east-1") == []
    assert found(estate, "--tag", "Owner") == found(estate, "--tag", "Owner=web") == ["instance/i-1"]
    assert found(estate, "--tag", "Owner=data") == []
    assert found(estate, "--missing-tag", "Owner") == ["logs"]
    assert found(estate, "--missing-tag", "Owner", "--missing-tag", "Stage") == ["instance/i-1", "logs"]
    assert found(estate, "--gone-since", f"{TODAY + ONE_DAY}") == ["instance/i-2"]
    assert found(estate, "--gone-since", f"{TODAY + 2 * ONE_DAY}") == []
    assert found(estate, "--new-since", f"{TODAY}") == ["instance/i-1", "logs"]
    assert found(estate, "--new-since", f"{TODAY + ONE_DAY}") == []
    assert found(estate, "--account", "100000000002") == []


def test_a_list_says_when_and_what_it_leaves_out(estate: Harness) -> None:
    """Of what is there the last sight is the last reading of its region, of what is gone the one before."""
    (gone,) = json.loads(
        estate.run("resources", "list", "--output", "json", "--gone-since", f"{TODAY}").stdout
    )
    assert [gone[name][:10] for name in ("first_seen_at", "last_seen_at", "gone_since")] == [
        f"{TODAY}",
        f"{TODAY}",
        f"{TODAY + ONE_DAY}",
    ]
    there = json.loads(estate.run("resources", "list", "--output", "json").stdout)
    assert {each["last_seen_at"][:10] for each in there} == {f"{TODAY + ONE_DAY}"}
    table = estate.run("resources", "list", "--limit", "1").stdout
    assert "1 more resource: use filters" in table
    listed = estate.run("resources", "list", "--limit", "1", "--output", "json")
    assert (json.loads(listed.stdout), listed.stderr) == (
        there[:1],
        "1 more resource: use filters, --limit or `costbatch resources export`.\n",
    )
    assert estate.run("resources", "list", "--region", "mars").stdout == "No resources found.\n"


def test_stats_count_types_and_missing_tags(estate: Harness) -> None:
    """The tags are those of a setting."""
    tags = {"COSTBATCH_REQUIRED_TAGS": "Owner,Stage"}
    document = json.loads(estate.run("resources", "stats", "--output", "json", **tags).stdout)
    assert (document["resources"], document["lacking"]) == (2, {"Owner": 1, "Stage": 1})
    assert {each["type"]: each["lacking"] for each in document["types"]} == {
        "instance": {"Owner": 0, "Stage": 1},
        "bucket": {"Owner": 1, "Stage": 0},
    }
    table = estate.run("resources", "stats", **tags).stdout
    assert table.splitlines()[0].split("\t") == [
        "service",
        "type",
        "resources",
        "untagged",
        "no Owner",
        "no Stage",
    ]
    assert table.splitlines()[-1] == "2 resources of 2 types."


def test_an_export_is_safe_to_open_in_a_spreadsheet(estate: Harness) -> None:
    """What looks like a formula begins with an apostrophe; JSON has it as it is."""
    rows = list(csv.DictReader(StringIO(estate.run("resources", "export").stdout)))
    assert [row["name"] for row in rows] == ["'=cmd|' /C calc'!A0", "logs"]
    assert json.loads(rows[1]["tags"]) == {"Stage": "\t-1"}
    lines = estate.run("resources", "export", "--format", "json").stdout.splitlines()
    assert json.loads(lines[0])["name"] == "=cmd|' /C calc'!A0"


def test_a_tag_without_a_key_is_wrong_usage(estate: Harness) -> None:
    """One sentence that shows how it is written."""
    run = estate.run("resources", "list", "--tag", "=web")
    assert (run.status, run.sentences) == (2, ["--tag needs a key, as in --tag Owner or --tag Owner=web."])


def test_what_was_there_in_a_removed_account_is_left_out(estate: Harness) -> None:
    """No run reads it any more, so nobody knows whether it is there; `--account` shows what was known."""
    assert estate.run("accounts", "remove", ONE, "--yes").status == 0
    assert found(estate) == found(estate, "--gone-since", f"{TODAY}") == []
    assert estate.run("resources", "stats").stdout.splitlines()[-1] == "No resources found."
    assert len(found(estate, "--account", ONE)) == 2
