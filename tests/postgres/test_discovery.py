"""Discovery on a real PostgreSQL: what is written, what counts as gone, and what is told."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.inspect import PostgresHealth
from costbatch.adapters.postgres.retention import PostgresRetention
from costbatch.application.retention import OldRows
from costbatch.domain.discovery import DISCOVER, DiscoverOptions
from costbatch.domain.resources import Resource, SourceChoice
from costbatch.domain.runs import RunStatus
from costbatch.errors import AccountError, ErrorKind
from tests.postgres.conftest import Query
from tests.support.database_rows import NOW, add_account
from tests.support.fake_resources import REGIONS, Discovery, bucket, instance

STORED = """
    SELECT name, region, gone_since IS NULL, first_seen_at::date - DATE '2026-03-10',
        last_seen_at::date - DATE '2026-03-10', gone_since::date - DATE '2026-03-10'
    FROM resources ORDER BY arn
"""
EVENTS = "SELECT type, cloudevent ->> 'subject' FROM events WHERE type LIKE '%first_used' ORDER BY sequence"
ONE, TWO = "000000000001", "000000000002"


@pytest.fixture
def discovery(database: PostgresDatabase) -> Discovery:
    """Return the nights of one account."""
    add_account(database)
    return Discovery(database, NOW)


def test_what_exists_is_stored_and_what_is_gone_stays_as_gone(discovery: Discovery, query: Query) -> None:
    """A resource that comes back is the same row, first seen when it was first seen."""
    source = discovery.source
    source.resources = [bucket("a"), instance("b", Team="x")]
    discovery.night()
    assert query(STORED) == [("b", "eu-west-1", True, 1, None, None), ("a", "eu-west-1", True, 1, None, None)]
    source.resources = [bucket("a")]
    discovery.night()
    assert query(STORED)[0] == ("b", "eu-west-1", False, 1, 1, 2)
    discovery.night()
    assert query(STORED)[0] == ("b", "eu-west-1", False, 1, 1, 2)
    source.resources = [bucket("a"), instance("b", Team="y")]
    discovery.night()
    assert query(STORED)[0] == ("b", "eu-west-1", True, 1, None, None)
    assert query("SELECT tags FROM resources WHERE service = 'ec2'") == [({"Team": "y"},)]
    assert query("SELECT rows_inserted, rows_updated, rows_returned, rows_gone FROM discoveries") == [
        (2, 0, 0, 0),
        (0, 0, 0, 1),
        (0, 0, 0, 0),
        (0, 0, 1, 0),
    ]


def test_a_resumed_run_skips_a_named_account_that_was_paused_since(
    discovery: Discovery, query: Query
) -> None:
    """The other one that was named is discovered all the same."""
    add_account(discovery.database, 2)
    request = DiscoverOptions().to_request((ONE, TWO))
    runner = discovery.runner()
    runner.stop.set()
    runner.run("job", request)
    query("UPDATE accounts SET status = 'paused' WHERE aws_account_id = '000000000001'")
    assert discovery.runner().run("job", request).status is RunStatus.COMPLETED
    assert query("SELECT state, skip_reason FROM run_items ORDER BY id") == [
        ("skipped", "not_active"),
        ("succeeded", None),
    ]


def test_an_unchanged_night_writes_its_record_and_when_regions_were_read(
    discovery: Discovery, query: Query
) -> None:
    """No resource's row is touched."""
    discovery.source.resources = [bucket("a"), instance("b")]
    discovery.night()
    before = query("SELECT xmin::text, ctid::text FROM resources")
    discovery.night()
    assert query("SELECT xmin::text, ctid::text FROM resources") == before
    assert query("SELECT DISTINCT read_at FROM discovered_regions") == [(NOW + timedelta(days=2),)]


def test_only_the_row_that_differs_is_written(discovery: Discovery, query: Query) -> None:
    """Its neighbours in the region are compared and left alone."""
    discovery.source.resources = [bucket("a"), bucket("b")]
    discovery.night()
    before = dict[str, str](query("SELECT name, xmin::text FROM resources"))
    discovery.source.resources = [bucket("a", Team="x"), bucket("b")]
    discovery.night()
    after = dict[str, str](query("SELECT name, xmin::text FROM resources"))
    assert (after["a"] != before["a"], after["b"] == before["b"]) == (True, True)


def test_nothing_of_a_failed_region_counts_as_gone(discovery: Discovery, query: Query) -> None:
    """It fails alone: the others are stored, and the account's record is partial."""
    source = discovery.source
    source.resources = [bucket("a"), instance("b", "us-east-1")]
    discovery.night()
    source.down, source.resources = ("us-east-1",), []
    run = discovery.night()
    assert run.status is RunStatus.COMPLETED
    assert query("SELECT name, gone_since IS NULL FROM resources ORDER BY name") == [
        ("a", False),
        ("b", True),
    ]
    assert query("SELECT regions_read, failed_regions FROM discoveries ORDER BY run_item_id")[1] == (
        1,
        [{"region": "us-east-1", "kind": "timeout", "message": "The region did not answer."}],
    )
    with discovery.database.transaction() as tx:
        assert tx.discoveries.counts(run).partial_accounts == 1


def test_a_region_that_is_not_read_because_the_list_is_denied_has_failed(
    discovery: Discovery, query: Query
) -> None:
    """The account may well have it; what is in it is not known any more. Not one that never was read."""
    source = discovery.source
    source.regions, source.down = (*REGIONS, "eu-north-1"), ("eu-north-1",)
    source.resources = [instance("a", "us-east-1"), instance("b")]
    discovery.night()
    source.named, source.down, source.resources = ("us-east-1",), (), [instance("a", "us-east-1")]
    discovery.night()
    failed = "SELECT failed_regions FROM discoveries ORDER BY run_item_id DESC LIMIT 1"
    assert query(failed) == [
        (
            [
                {
                    "region": "eu-west-1",
                    "kind": "access_denied",
                    "message": "The list is denied. Name the region.",
                }
            ],
        )
    ]
    assert query("SELECT count(*) FROM resources WHERE gone_since IS NULL") == [(2,)]
    source.named = REGIONS
    discovery.night()
    assert query(failed) == [([],)]
    source.named, source.regions = (), ("us-east-1",)
    discovery.night()
    assert query(failed) == [([],)]


def test_a_region_that_was_disabled_before_the_list_was_denied_has_not_failed(
    discovery: Discovery, query: Query
) -> None:
    """The last list that AWS gave was without it; what was enabled again, or fails, was on it."""
    source = discovery.source
    source.regions = (*REGIONS, "eu-north-1", "eu-south-1")
    source.resources = [instance("a", "us-east-1"), instance("b"), instance("c", "eu-north-1")]
    discovery.night()
    query("DELETE FROM resources WHERE name = 'c'")  # what is stored of it is not what was read
    source.regions, source.down = REGIONS, ("eu-west-1",)
    discovery.night()
    failed = """
        SELECT ARRAY(SELECT jsonb_path_query(failed_regions, '$[*].region') #>> '{}')
        FROM discoveries ORDER BY run_item_id DESC LIMIT 1
    """
    source.named, source.down = ("us-east-1",), ()
    discovery.night()
    assert query(failed) == [(["eu-west-1"],)]
    source.named, source.regions = (), (*REGIONS, "eu-north-1", "eu-south-1")
    source.down = ("eu-south-1",)
    discovery.night()
    source.named, source.down = ("us-east-1",), ()
    discovery.night()
    assert query(failed) == [(["eu-north-1", "eu-south-1", "eu-west-1"],)]


def unread(discovery: Discovery) -> list[Mapping[str, str]]:
    """Return the regions, by account, that the doctor calls not read for two days."""
    health = PostgresHealth(discovery.database.connection)
    return list(health.unread_regions(DISCOVER, discovery.now - timedelta(days=2)).values())


@pytest.mark.parametrize("options", [None, DiscoverOptions(source=SourceChoice.TAGGING)])
def test_a_region_that_fails_for_days_is_named_to_the_doctor(
    discovery: Discovery, options: DiscoverOptions | None
) -> None:
    """Not one of last night, and not one that the account has disabled, which is not read any more either."""
    discovery.source.regions = (*REGIONS, "eu-north-1")
    discovery.night(options)
    discovery.source.regions, discovery.source.down = REGIONS, ("eu-west-1",)
    for _ in range(2):
        discovery.night(options)
        assert unread(discovery) == []
    discovery.night(options)
    assert unread(discovery) == [{"eu-west-1": "timeout"}]
    discovery.source.down = ()
    discovery.night(options)
    assert unread(discovery) == []


@pytest.mark.parametrize("nights_before", [0, 5])
def test_a_region_that_was_never_read_fails_from_its_first_failure_on(
    discovery: Discovery, nights_before: int
) -> None:
    """It may be the account's first night, or the region may have been enabled long after it."""
    for _ in range(nights_before):
        discovery.night()
    discovery.source.regions, discovery.source.down = (*REGIONS, "eu-north-1"), ("eu-north-1",)
    for _ in range(3):
        discovery.night()
        assert unread(discovery) == []
    discovery.night()
    assert unread(discovery) == [{"eu-north-1": "timeout"}]


def test_a_region_that_is_no_longer_enabled_keeps_its_resources(discovery: Discovery, query: Query) -> None:
    """AWS does not delete them: they were last seen when the region was last read."""
    discovery.source.resources = [instance("b", "us-east-1")]
    discovery.night()
    discovery.source.regions, discovery.source.resources = ("eu-west-1",), []
    discovery.night()
    assert query("SELECT gone_since FROM resources") == [(None,)]
    read = dict[str, datetime](query("SELECT region, read_at FROM discovered_regions"))
    assert read["eu-west-1"] - read["us-east-1"] == timedelta(days=1)


def test_the_first_use_of_a_region_and_a_service_is_told_once(discovery: Discovery, query: Query) -> None:
    """Not at the first discovery, and not again after everything there is gone."""
    source = discovery.source
    source.resources = [bucket("a")]
    discovery.night()
    assert query(EVENTS) == []
    source.resources = [bucket("a"), instance("miner", "us-east-1"), instance("other", "us-east-1")]
    discovery.night()
    told = [("region.first_used", f"{ONE}/us-east-1"), ("service.first_used", f"{ONE}/ec2")]
    assert query(EVENTS) == told
    (data,) = query("SELECT cloudevent -> 'data' FROM events WHERE type = 'region.first_used'")[0]
    assert (data["region"], data["resources"], data["services"]) == ("us-east-1", 2, {"ec2": 2})
    source.resources = [bucket("a")]
    discovery.night()
    source.resources = [bucket("a"), instance("again", "us-east-1"), bucket("new")]
    discovery.night()
    assert query(EVENTS) == told


def test_a_service_that_was_used_before_its_resources_were_pruned_is_no_news(
    discovery: Discovery, query: Query
) -> None:
    """Pruning deletes resources that are long gone; what was ever used stays known."""
    source = discovery.source
    source.resources = [bucket("a"), instance("b")]
    discovery.night()
    source.resources = [bucket("a")]
    discovery.night()
    tomorrow = discovery.now.date() + timedelta(days=1)
    records = PostgresRetention(discovery.database.connection)
    assert records.delete_old(OldRows.RESOURCES, tomorrow, most=10) == {OldRows.RESOURCES: 1}
    source.resources = [bucket("a"), instance("c")]
    discovery.night()
    assert query("SELECT name FROM resources ORDER BY name") == [("a",), ("c",)]
    assert query(EVENTS) == []


def test_a_region_that_was_just_enabled_is_told(discovery: Discovery, query: Query) -> None:
    """It is what someone with a stolen key does first."""
    discovery.source.resources = [bucket("a")]
    discovery.night()
    discovery.source.regions += ("me-south-1",)
    discovery.source.resources = [bucket("a"), bucket("b", "me-south-1")]
    discovery.night()
    assert query(EVENTS) == [("region.first_used", f"{ONE}/me-south-1")]


def test_a_region_that_was_just_enabled_and_fails_at_first_is_told_when_it_is_read(
    discovery: Discovery, query: Query
) -> None:
    """It may refuse the credentials for a while; that it failed is no sign that it was there before."""
    source = discovery.source
    source.resources = [bucket("a")]
    discovery.night()
    source.regions += ("me-south-1",)
    source.down = ("me-south-1",)
    for _ in range(2):
        discovery.night()
    source.down = ()
    source.resources += [instance("miner", "me-south-1")]
    discovery.night()
    assert query(EVENTS) == [
        ("region.first_used", f"{ONE}/me-south-1"),
        ("service.first_used", f"{ONE}/ec2"),
    ]


def test_a_region_that_aws_lists_or_the_setting_names_later_is_no_news(
    discovery: Discovery, query: Query
) -> None:
    """While AWS denied the list of regions it could not be seen, also if it fails once more."""
    source = discovery.source
    source.named, source.regions = ("us-east-1",), (*REGIONS, "eu-north-1", "me-south-1")
    source.resources = [bucket("a", "us-east-1"), instance("b"), instance("c", "eu-north-1")]
    discovery.night()
    source.named = ("us-east-1", "eu-north-1")
    discovery.night()
    source.named, source.down = (), ("me-south-1",)
    discovery.night()
    source.down = ()
    source.resources += [instance("d", "me-south-1")]
    discovery.night()
    assert query("SELECT count(*) FROM resources") == [(4,)]
    assert query(EVENTS) == []


def test_a_region_that_was_enabled_while_the_list_was_denied_is_told(
    discovery: Discovery, query: Query
) -> None:
    """AWS has listed the account's regions before, and this was not among them."""
    source = discovery.source
    source.resources = [bucket("a"), bucket("b", "us-east-1")]
    discovery.night()
    source.named, source.regions = REGIONS, (*REGIONS, "me-south-1")
    source.resources += [bucket("c", "me-south-1")]
    discovery.night()
    source.named = ()
    discovery.night()
    assert query(EVENTS) == [("region.first_used", f"{ONE}/me-south-1")]


def test_what_another_region_shows_for_a_night_is_no_first_use_of_it(
    discovery: Discovery, query: Query
) -> None:
    """A bucket that two regions show is stored in the first that is read; the first real use is told."""
    source = discovery.source
    source.resources = [bucket("a"), bucket("a", "us-east-1")]
    discovery.night()
    for source.down in (("eu-west-1",), ()):
        discovery.night()
        assert query(EVENTS) == []
    source.resources += [instance("b", "us-east-1")]
    discovery.night()
    assert query(EVENTS) == [
        ("region.first_used", f"{ONE}/us-east-1"),
        ("service.first_used", f"{ONE}/ec2"),
    ]


def test_what_is_back_in_another_region_is_its_first_use(discovery: Discovery, query: Query) -> None:
    """The bucket was deleted, and its name taken again elsewhere: only its row is old."""
    source = discovery.source
    for source.resources in ([bucket("a"), bucket("b")], [bucket("b")], [bucket("a", "us-east-1")]):
        discovery.night()
    assert query(EVENTS) == [("region.first_used", f"{ONE}/us-east-1")]


def test_expected_regions_are_no_news(discovery: Discovery, query: Query) -> None:
    """A new service in them is."""
    discovery.expected_regions = ("us-east-1",)
    discovery.source.resources = [bucket("a")]
    discovery.night()
    discovery.source.resources = [bucket("a"), instance("b", "us-east-1")]
    discovery.night()
    assert query(EVENTS) == [("service.first_used", f"{ONE}/ec2")]


def test_what_could_not_be_seen_before_is_no_news(discovery: Discovery, query: Query) -> None:
    """A region that failed at the first discovery, and resources that only another API shows."""
    source = discovery.source
    source.resources, source.down = [bucket("a"), instance("b", "us-east-1")], ("us-east-1",)
    discovery.night()
    source.down = ()
    discovery.night()
    source.has_view = True
    source.resources += [Resource.parse("arn:aws:iam::1:role/r", {}, asked_region="us-east-1")]
    discovery.night()
    assert query("SELECT count(*) FROM resources WHERE gone_since IS NULL") == [(3,)]
    assert query(EVENTS) == []


def test_what_is_in_no_region_may_be_read_later_than_the_rest(discovery: Discovery, query: Query) -> None:
    """Its first reading is no first use, though it is as unknown as a region that was just enabled."""
    role = Resource.parse("arn:aws:iam::1:role/r", {"a": "b"}, asked_region="us-east-1")
    discovery.source.resources, discovery.source.down = [bucket("a"), role], ("us-east-1",)
    discovery.night()
    assert query("SELECT count(*) FROM resources") == [(1,)]
    discovery.source.down = ()
    discovery.night()
    assert (query("SELECT count(*) FROM resources"), query(EVENTS)) == ([(2,)], [])


def test_a_first_use_in_no_region_is_told_though_a_region_that_shows_it_is_denied(
    discovery: Discovery, query: Query
) -> None:
    """The regions that are read were read before: what they did not show then is new."""
    source = discovery.source
    source.hides_global = True
    role, distribution, zone = (
        Resource.parse(f"arn:aws:{each}", {"a": "b"}, asked_region="us-east-1")
        for each in ("iam::1:role/r", "cloudfront::1:distribution/d", "route53:::hostedzone/z")
    )
    source.resources, source.down = [bucket("a"), role], ("us-east-1",)
    discovery.night()
    source.down = ()
    discovery.night()
    assert query(EVENTS) == []
    source.resources.append(distribution)
    discovery.night()
    told = [("service.first_used", f"{ONE}/cloudfront")]
    assert query(EVENTS) == told
    source.resources.append(zone)
    source.hides_global = False
    discovery.night()
    assert query(EVENTS) == told


def test_what_was_seen_in_no_region_is_stored_and_nothing_else_of_it_is_gone(
    discovery: Discovery, query: Query
) -> None:
    """A region that shows the rest may be denied for ever; a complete reading tells what is gone."""
    stored = "SELECT name, tags ->> 'a', gone_since IS NULL FROM resources WHERE region = 'global' ORDER BY 1"

    def tagged(name: str, value: str = "b") -> Resource:
        return Resource.parse(f"arn:aws:iam::1:role/{name}", {"a": value}, asked_region="us-east-1")

    discovery.source.resources, discovery.source.hides_global = [tagged("one")], True
    discovery.night()
    assert query(stored) == [("one", "b", True)]
    assert query("SELECT read_at, resources, is_used FROM discovered_regions WHERE region = 'global'") == [
        (None, 1, True)
    ]
    discovery.source.resources, discovery.source.hides_global = [tagged("one"), tagged("two")], False
    discovery.night()
    complete = query("SELECT read_at FROM discovered_regions WHERE region = 'global'")
    discovery.source.resources, discovery.source.hides_global = [tagged("one", "c")], True
    discovery.night()
    assert query(stored) == [("one", "c", True), ("two", "b", True)]
    assert query("SELECT read_at FROM discovered_regions WHERE region = 'global'") == complete
    discovery.source.hides_global = False
    discovery.night()
    assert query(stored) == [("one", "c", True), ("two", "b", False)]
    assert query(EVENTS) == []


def test_an_account_of_resource_explorer_stays_with_it(discovery: Discovery, query: Query) -> None:
    """Without its view it fails: to the tagging API what never had a tag would look gone.

    A person may ask for that.
    """
    source = discovery.source
    source.has_view = True
    source.resources = [bucket("a", Team="x"), Resource.parse("arn:aws:iam::1:role/r", {}, asked_region="")]
    discovery.night()
    source.has_view = False
    assert discovery.night().status is RunStatus.FAILED
    assert query("SELECT error_kind FROM run_items WHERE state = 'failed'") == [
        (ErrorKind.RESOURCE_EXPLORER_NOT_ENABLED.value,)
    ]
    assert query("SELECT count(*) FROM resources WHERE gone_since IS NULL") == [(2,)]
    discovery.night(DiscoverOptions(source=SourceChoice.TAGGING))
    assert query("SELECT service FROM resources WHERE gone_since IS NOT NULL") == [("iam",)]
    assert source.asked == [SourceChoice.AUTO, SourceChoice.EXPLORER, SourceChoice.TAGGING]


def test_rows_that_were_changed_by_hand_are_repaired(discovery: Discovery, query: Query) -> None:
    """A digest is believed only while as many rows are there as it was made of."""
    discovery.source.resources = [bucket("a"), bucket("b")]
    discovery.night()
    query("DELETE FROM resources WHERE name = 'a'")
    discovery.night()
    assert query("SELECT count(*) FROM resources") == [(2,)]


def test_an_account_has_no_resources_once_they_were_pruned(discovery: Discovery, query: Query) -> None:
    """What it had is not said of it; if it is added again, the same resources are stored anew."""
    discovery.source.resources = [bucket("a"), instance("b", "us-east-1")]
    discovery.night()
    query("UPDATE accounts SET status = 'removed'")
    query("UPDATE accounts SET updated_at = created_at")

    def number() -> list[int]:
        with discovery.database.transaction() as tx:
            return [each.resources for each in tx.resources.discoveries().values()]

    assert number() == [2]
    records = PostgresRetention(discovery.database.connection)
    assert records.delete_old(OldRows.RESOURCES, discovery.now.date(), most=10) == {OldRows.RESOURCES: 2}
    assert number() == [0]
    query("UPDATE accounts SET status = 'active'")
    discovery.night()
    assert number() == [2]
    assert query("SELECT count(*) FROM resources WHERE gone_since IS NULL") == [(2,)]


def test_long_and_hostile_texts_are_stored_as_they_are(discovery: Discovery, query: Query) -> None:
    r"""An ARN of 5,000 characters, tags with tabs, newlines, backslashes, quotes and \N; NUL is replaced."""
    arn = "arn:aws:ec2:eu-west-1:1:instance/" + "é" * 5_000
    tags = {"a\t\n\r\\N\\.": '"\x1b\x7f\x01', "empty": "", "nul": "x\0y", "\\": "\\\\"}
    discovery.source.resources = [Resource.parse(arn, tags, asked_region="eu-west-1")]
    discovery.night()
    stored = {key: value.replace("\0", "\N{REPLACEMENT CHARACTER}") for key, value in tags.items()}
    assert query("SELECT arn, tags FROM resources") == [(arn, stored)]
    discovery.night()
    assert query("SELECT rows_updated FROM discoveries ORDER BY run_item_id DESC LIMIT 1") == [(0,)]


def test_the_account_of_a_killed_pod_is_taken_over(
    discovery: Discovery, query: Query, database: PostgresDatabase
) -> None:
    """What it had read is lost with it, and read again; nothing is there twice."""
    add_account(database, 2)
    discovery.source.resources = [bucket("a")]
    with database.transaction() as tx:
        run = tx.runs.open("job", DiscoverOptions().to_request(), now=NOW, version="1")
        tx.items.enlist(run)
        tx.items.claim(run, worker="dead", most=1, lease=timedelta(hours=1))
    assert discovery.night(key="job").status is RunStatus.COMPLETED
    assert query("SELECT count(*), count(DISTINCT account_id) FROM resources") == [(2, 2)]
    assert query("SELECT rows_inserted FROM discoveries") == [(1,), (1,)]


def test_an_account_that_fails_is_told_and_recovers(discovery: Discovery, query: Query) -> None:
    """As with costs: once when it begins, once when it ends, and its costs are another matter."""
    discovery.source.error = AccountError(ErrorKind.ACCESS_DENIED, "ListRegions is denied.")
    assert discovery.night().status is RunStatus.FAILED
    discovery.source.error = None
    discovery.night()
    assert query("SELECT type FROM events ORDER BY sequence") == [
        ("account.failed",),
        ("run.failed",),
        ("account.recovered",),
        ("run.completed",),
    ]
    assert query("SELECT job, failing_kind FROM account_progress") == [("discover", None)]
