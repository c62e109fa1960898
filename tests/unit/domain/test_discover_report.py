"""The report of a run of the discovery job: every number that is reported."""

import json
from dataclasses import replace

from costbatch.domain.deliveries import Backlog
from costbatch.domain.discover_report import (
    DISCOVER_METRICS,
    DiscoverReport,
    Discovery,
    DiscoveryPlan,
    PlannedDiscovery,
)
from costbatch.domain.discovery import (
    AccountDiscovery,
    DiscoverOptions,
    DiscoveryCounts,
    DiscoveryRecord,
    KnownRegion,
    ResourceChange,
    choice_for,
    last_source,
)
from costbatch.domain.metrics import RUN_METRICS
from costbatch.domain.resources import SourceChoice
from costbatch.domain.runs import Failure, ItemRecord, ItemState, RunCounts
from costbatch.errors import ErrorKind
from tests.support.factories import NOW, TODAY, make_account, make_run

CHANGE = ResourceChange(inserted=5, updated=4, returned=3, gone=2)
RECORD = DiscoveryRecord(
    source=SourceChoice.TAGGING,
    regions_read=16,
    resources=40,
    change=CHANGE,
    failed={"us-east-1": Failure(kind=ErrorKind.TIMEOUT, message="It did not answer.")},
)
ITEM = ItemRecord(id=1, aws_account_id="000000000001", name="one", state=ItemState.SUCCEEDED, attempts=1)
REPORT = DiscoverReport(
    run=replace(make_run(finished_at=NOW), request=DiscoverOptions().to_request()),
    counts=RunCounts(accounts={ItemState.SUCCEEDED: 1}),
    reported_at=NOW,
    discovered=DiscoveryCounts(
        partial_accounts=1, regions_read=16, regions_failed=1, resources=40, change=CHANGE
    ),
    discoveries=(Discovery(item=ITEM, record=RECORD), Discovery(item=replace(ITEM, state=ItemState.RUNNING))),
    backlog={"log": Backlog(pending=7)},
)


def test_the_summary_has_the_words_and_numbers_of_the_job() -> None:
    """Beside those of every run."""
    summary = REPORT.summary
    assert (summary["job"], summary["accounts"]["discovered"], summary["accounts_partial"]) == (
        "discover",
        1,
        1,
    )
    assert summary["regions"] == {"read": 16, "failed": 1}
    assert summary["resources"] == {"found": 40, "inserted": 5, "updated": 4, "returned": 3, "gone": 2}


def test_the_document_lists_the_accounts() -> None:
    """One without some of its regions is partial, with why; one in work has no record."""
    document = json.loads(json.dumps(REPORT.to_document()))
    first, second = document["accounts"]
    assert (first["state"], second["state"], second["discovery"]) == ("partial", "discovering", None)
    assert first["discovery"]["failed_regions"] == [
        {"region": "us-east-1", "kind": "timeout", "message": "It did not answer."}
    ]
    assert document["events"]["pending"] == 7


def test_every_declared_metric_has_a_sample_and_no_other() -> None:
    """The first four are those of any push."""
    pushed = {sample.metric for sample in (*REPORT.samples(), *REPORT.database_samples())}
    assert pushed == {*RUN_METRICS[4:], *DISCOVER_METRICS}


def test_a_plan_says_what_is_stored_already() -> None:
    """An account that was never discovered has nulls."""
    stored = AccountDiscovery(discovered_at=NOW, source=SourceChoice.EXPLORER, regions=2, resources=9)
    plan = DiscoveryPlan(
        today=TODAY,
        discoveries=tuple(
            PlannedDiscovery(account=make_account(number), choice=SourceChoice.AUTO, stored=each)
            for number, each in ((1, stored), (2, None))
        ),
    )
    assert [each["resources"] for each in plan.to_document()["accounts"]] == [9, None]


def test_only_auto_stays_with_resource_explorer() -> None:
    """Whoever names an API gets it."""
    auto, tagging, explorer = SourceChoice.AUTO, SourceChoice.TAGGING, SourceChoice.EXPLORER
    assert [choice_for(auto, last) for last in (None, tagging, explorer)] == [auto, auto, explorer]
    assert choice_for(tagging, explorer) is tagging
    assert DiscoverOptions.of(DiscoverOptions(source=tagging).to_request()) == DiscoverOptions(source=tagging)


def test_the_last_source_is_that_of_the_region_read_last() -> None:
    """Regions that failed since may have been read from another one."""
    known = {
        "old": KnownRegion(read_at=NOW.replace(year=2020), source=SourceChoice.TAGGING),
        "new": KnownRegion(read_at=NOW, source=SourceChoice.EXPLORER),
        "never": KnownRegion(),
    }
    assert last_source(known) is SourceChoice.EXPLORER
    assert last_source({"never": KnownRegion()}) is None
