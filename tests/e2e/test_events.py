"""Events: what is told, how often, in which form, and that the log sink tells it."""

import json
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from costbatch.simulator.world import Fault
from tests.support.harness import ONE_DAY, TODAY, Finished, Harness, Row, make_account

ONE = "100000000001"


def told(run: Finished) -> list[str]:
    """Return the types of the events that the log sink wrote, oldest first."""
    return [line["cloudevent"]["type"] for line in run.logs("event")]


def nights(harness: Harness, count: int) -> list[Finished]:
    """Collect on so many replay, beginning with the harness's day."""
    runs = []
    first = harness.today
    for n in range(count):
        harness.sleep_until(first + timedelta(days=n))
        runs.append(harness.collect())
    return runs


def test_a_failing_account_is_told_once_and_not_nightly(harness: Harness) -> None:
    """account.failed comes with the first failing night; the next ones tell only that the run ended."""
    harness.open(make_account(1, faults=(Fault("access_denied"),)), make_account(2))
    first, *others = nights(harness, 4)
    assert told(first) == ["account.failed", "run.completed"]
    assert [told(run) for run in others] == [["run.completed"]] * 3


def test_an_account_that_fails_for_another_reason_is_told_again(harness: Harness) -> None:
    """A new kind of failure needs another remedy, so it is another alert; the beginning stays."""
    harness.open(
        make_account(1, faults=(Fault("access_denied", times=1), Fault("not_enabled"))), make_account(2)
    )
    first, second = nights(harness, 2)
    assert (told(first)[0], told(second)[0]) == ("account.failed", "account.failed")
    assert second.logs("event")[0]["cloudevent"]["data"]["error"]["kind"] == "cost_explorer_not_enabled"
    (failing,) = harness.rows(
        "SELECT failing_since, failing_kind FROM account_progress JOIN accounts ON accounts.id = account_id"
        " WHERE aws_account_id = %s",
        ONE,
    )
    assert (failing["failing_since"].date(), failing["failing_kind"]) == (TODAY, "cost_explorer_not_enabled")


def test_an_account_that_recovers_is_told_once(harness: Harness) -> None:
    """account.recovered says since when it failed and why; the next night tells nothing of it."""
    harness.open(make_account(1, faults=(Fault("access_denied", times=2),)), make_account(2))
    *_, recovered, after = nights(harness, 4)
    assert (told(recovered), told(after)) == (["account.recovered", "run.completed"], ["run.completed"])
    failed = recovered.logs("event")[0]["cloudevent"]["data"]["failed"]
    assert (failed["kind"], failed["since"][:10]) == ("access_denied", TODAY.isoformat())
    listed = json.loads(harness.run("accounts", "show", ONE, "--output", "json").stdout)
    assert (listed["failing_since"], listed["failing_kind"]) == (None, None)


def test_an_account_that_fails_again_after_recovering_is_told_again(harness: Harness) -> None:
    """A second outage is a second alert."""
    harness.open(make_account(1, faults=(Fault("access_denied", times=1),)))
    first, second = nights(harness, 2)
    harness.aws.add_fault(ONE, "access_denied")
    harness.sleep_until(TODAY + 2 * ONE_DAY)
    assert (told(first)[0], told(second)[0], told(harness.collect())[0]) == (
        "account.failed",
        "account.recovered",
        "account.failed",
    )


def test_a_total_failure_is_run_failed(harness: Harness) -> None:
    """run.failed carries the counts and the kinds; a retry that succeeds tells run.completed."""
    harness.open(make_account(1, faults=(Fault("not_enabled", times=1),)))
    failed = harness.collect("--run-key", "job")
    assert (failed.status, told(failed)) == (1, ["account.failed", "run.failed"])
    run = failed.logs("event")[1]["cloudevent"]["data"]["run"]
    assert (run["accounts"]["failed"], run["failures"]) == (1, {"cost_explorer_not_enabled": 1})
    assert told(harness.collect("--run-key", "job")) == ["account.recovered", "run.completed"]


def test_a_retry_that_changes_nothing_tells_nothing(harness: Harness) -> None:
    """The same run key once more, with the same end, repeats neither the failure nor the run."""
    harness.open(make_account(1, faults=(Fault("not_enabled"),)))
    harness.collect("--run-key", "job")
    before = harness.rows("SELECT id FROM events ORDER BY id")
    again = harness.collect("--run-key", "job")
    assert (again.status, told(again)) == (1, [])
    assert harness.rows("SELECT id FROM events ORDER BY id") == before


def test_every_event_is_a_cloudevent(harness: Harness) -> None:
    """The envelope is CloudEvents 1.0 in JSON, the same in the outbox and in the log."""
    harness.open(make_account(1, faults=(Fault("access_denied", times=1),)), make_account(2))
    runs = nights(harness, 2)
    logged = [line["cloudevent"] for run in runs for line in run.logs("event")]
    stored = [row["cloudevent"] for row in harness.rows("SELECT cloudevent FROM events ORDER BY sequence")]
    assert logged == stored
    for event in stored:
        assert_cloudevent(event)
    assert len({event["id"] for event in stored}) == len(stored) == 4


def assert_cloudevent(event: Row) -> None:
    """Check the members that CloudEvents 1.0 asks for, and ours."""
    names = {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"}
    assert set(event) == names
    assert (event["specversion"], event["source"]) == ("1.0", "/costbatch")
    assert event["datacontenttype"] == "application/json"
    assert str(UUID(event["id"])) == event["id"]
    assert datetime.fromisoformat(event["time"]).utcoffset() == timedelta(0)
    assert event["data"]["version"] == 1


def test_every_event_is_delivered_and_marked(harness: Harness) -> None:
    """Each event has one way to the sink, taken once, and the summary says that none is left."""
    harness.open(make_account(1, faults=(Fault("access_denied"),)), make_account(2))
    run = harness.collect()
    ways = harness.rows("SELECT sink, attempts, delivered_at FROM deliveries")
    assert [(way["sink"], way["attempts"]) for way in ways] == [("log", 1)] * 2
    assert all(way["delivered_at"] is not None for way in ways)
    assert run.summary["events"] == {
        "written": {"account.failed": 1, "run.completed": 1},
        "pending": 0,
        "dead": 0,
    }


def test_what_was_not_delivered_goes_out_with_the_next_run(harness: Harness) -> None:
    """An event whose delivery was lost is told by the next run, oldest first, and once."""
    harness.open(make_account(1))
    harness.collect("--run-key", "one")
    harness.rows("UPDATE deliveries SET state = 'pending', delivered_at = NULL, attempts = 0")
    second = harness.collect("--run-key", "two")
    assert [line["cloudevent"]["subject"] for line in second.logs("event")] == ["one", "two"]


@pytest.mark.parametrize(("level", "types"), [("info", 2), ("warning", 1), ("error", 1)])
def test_the_log_level_holds_for_events_too(harness: Harness, level: str, types: int) -> None:
    """What only informs is left out above info; what warns never is, because it counts as delivered."""
    harness.open(make_account(1, faults=(Fault("access_denied"),)), make_account(2))
    run = harness.collect(COSTBATCH_LOG_LEVEL=level)
    assert len(told(run)) == types
    assert run.summary["events"]["pending"] == 0
