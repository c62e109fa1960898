"""The promises of the design, each kept by the whole program; late data, judging and faults have more."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

from costbatch.domain.periods import DateRange
from costbatch.simulator.world import Fault
from tests.support.bills import billed, stored
from tests.support.harness import ONE_DAY, TODAY, Harness, bill, make_account, steady

HISTORY = DateRange(date(2024, 2, 1), TODAY)


def test_promise_1_the_numbers_equal_the_bill(harness: Harness) -> None:
    """Promise 1: every stored amount of every cost basis is the bill's own, to the last digit."""
    profiles = ("committed", "credits", "noisy", "late")
    start = TODAY - timedelta(days=80)
    accounts = [
        make_account(n, profile=profile, services=9, start=start, currency=currency)
        for n, (profile, currency) in enumerate(zip(profiles, ("USD", "EUR", "JPY", "USD"), strict=True), 1)
    ]
    harness.open(*accounts, page_size=150)
    assert harness.collect().status == 0
    for account in accounts:
        bill_of_aws = billed(account, HISTORY, read_on=TODAY)
        assert len({record_type for _, _, record_type in bill_of_aws}) > 1
        assert stored(harness, account.account_id) == bill_of_aws


def test_promise_1_amounts_keep_every_digit(harness: Harness) -> None:
    """Promise 1: exponents, fifteen digits, negatives and zeros are stored as they are printed."""
    texts = ("-9.0E-10", "123456789012345.123456789012345", "-0.000000000000001", "0")
    rows = tuple(bill(TODAY - ONE_DAY, text, service=f"Service {n}") for n, text in enumerate(texts))
    account = make_account(1, rows=rows)
    harness.open(account)
    assert harness.collect().status == 0
    assert stored(harness, account.account_id) == billed(account, HISTORY, read_on=TODAY)
    total = harness.value("SELECT sum(unblended) FROM daily_costs")
    assert total == Decimal("123456789012345.123456788112344")


def test_promise_1_a_failed_call_is_never_a_zero(harness: Harness) -> None:
    """Promise 1: an account that cannot be read keeps its numbers, and no day of it becomes a zero."""
    harness.open(make_account(1))
    harness.collect()
    before = stored(harness, harness.ids[0])
    harness.sleep_until(TODAY + ONE_DAY)
    harness.aws.add_fault(harness.ids[0], "http_500")
    assert harness.collect().status == 1
    assert stored(harness, harness.ids[0]) == before


def test_promise_2_yesterday_is_the_utc_day_before_the_start(harness: Harness) -> None:
    """Promise 2: at nine in the evening in New York it is tomorrow in UTC, and today is the day to read."""
    harness.open(make_account(1))
    harness.wake_at(datetime(2025, 3, 20, 21, 0, tzinfo=timezone(timedelta(hours=-4))))
    run = harness.collect(TZ="America/New_York")
    assert run.summary["run"]["cost_date"] == "2025-03-20"
    assert run.account(harness.ids[0])["window"]["end_exclusive"] == "2025-03-21"


def test_promise_2_a_run_keeps_the_day_of_its_start(harness: Harness) -> None:
    """Promise 2: a retry after midnight reads the same days as the pod that began before it."""
    harness.open(make_account(1, faults=(Fault("not_enabled", times=1),)), make_account(2))
    harness.wake_at(datetime(2025, 3, 20, 23, 59, 50, tzinfo=UTC))
    assert harness.collect("--run-key", "k").outcomes[harness.ids[0]] == "cost_explorer_not_enabled"
    harness.wake_at(datetime(2025, 3, 21, 0, 0, 10, tzinfo=UTC))
    run = harness.collect("--run-key", "k")
    assert [each["window"]["end_exclusive"] for each in run.summary["accounts"]] == ["2025-03-20"] * 2
    assert run.summary["run"]["cost_date"] == "2025-03-19"


def test_promise_2_a_retry_in_a_new_month_asks_for_what_aws_still_has(harness: Harness) -> None:
    """Promise 2: the history of the run's day begins a month too early once midnight begins a new one."""
    harness.open(make_account(1, faults=(Fault("not_enabled", times=1),)))
    harness.wake_at(datetime(2025, 3, 31, 23, 59, 50, tzinfo=UTC))
    assert harness.collect("--run-key", "k").status == 1
    harness.wake_at(datetime(2025, 4, 1, 0, 0, 10, tzinfo=UTC))
    run = harness.collect("--run-key", "k")
    assert run.outcomes == {harness.ids[0]: "collected"}
    assert run.account(harness.ids[0])["window"] == {"start": "2024-03-01", "end_exclusive": "2025-03-31"}


def test_promise_4_an_account_is_atomic(harness: Harness) -> None:
    """Promise 4: where its anomaly cannot be written, none of its rows, events or days are either."""
    rows = (*steady("10.00", until=TODAY - ONE_DAY), bill(TODAY - ONE_DAY, "90.00"))
    harness.open(make_account(1, rows=rows), make_account(2))
    harness.rows("ALTER TABLE anomalies ADD CONSTRAINT broken CHECK (false)")
    run = harness.collect()
    assert run.outcomes == {harness.ids[0]: "internal", harness.ids[1]: "collected"}
    assert stored(harness, harness.ids[0]) == {}
    assert (
        harness.value(
            "SELECT covered_start FROM account_progress JOIN accounts ON accounts.id = account_id"
            " WHERE aws_account_id = %s",
            harness.ids[0],
        )
        is None
    )
    harness.rows("ALTER TABLE anomalies DROP CONSTRAINT broken")
    again = harness.collect()
    assert again.outcomes == dict.fromkeys(harness.ids, "collected")
    assert len(stored(harness, harness.ids[0])) == len(rows)
    assert again.summary["events"]["written"] == {
        "account.recovered": 1,
        "anomaly.detected": 1,
        "run.completed": 1,
    }


def test_promise_5_one_broken_account_changes_no_other(harness: Harness) -> None:
    """Promise 5: beside throttled, broken, slow and rejected accounts the rows are those of a run without."""
    healthy = [make_account(n, profile="noisy") for n in (1, 2)]
    faults = ("limit_exceeded", "not_json", "invalid_token", "reset", "endless_pages")
    broken = [make_account(10 + n, faults=(Fault(kind),)) for n, kind in enumerate(faults)]
    slow = make_account(20, faults=(Fault("latency", seconds=1.0),))
    harness.open(healthy[0], *broken, slow, healthy[1])
    run = harness.collect(COSTBATCH_PAGE_LIMIT="5")
    assert run.status == 0
    for account in (*healthy, slow):
        assert run.outcomes[account.account_id] == "collected"
        assert stored(harness, account.account_id) == billed(account, HISTORY, read_on=TODAY)
    for account in broken:
        assert run.account(account.account_id)["state"] == "failed"
        assert stored(harness, account.account_id) == {}


def test_promise_6_every_request_is_counted(harness: Harness) -> None:
    """Promise 6: the summary's requests are those that AWS charges, at a cent each, and not refused ones."""
    harness.open(
        make_account(1),
        make_account(2, services=8),
        make_account(3, faults=(Fault("http_500", times=1),)),
        make_account(4, faults=(Fault("not_enabled"),)),
        page_size=100,
    )
    run = harness.collect()
    ledger = harness.aws.requests()["accounts"]
    asked = {each: ledger[each]["requests"]["GetCostAndUsage"] for each in harness.ids}
    assert asked == {harness.ids[0]: 2, harness.ids[1]: 5, harness.ids[2]: 3, harness.ids[3]: 1}
    paid = {each: harness.aws.paid(each) for each in harness.ids}
    assert paid == {harness.ids[0]: 2, harness.ids[1]: 5, harness.ids[2]: 2, harness.ids[3]: 0}
    assert {each: run.account(each)["api"]["requests"] for each in harness.ids} == paid
    total = sum(paid.values())
    assert run.summary["run"]["api"] == {"requests": total, "cost_usd": str(Decimal(total) / 100)}


def test_promise_6_a_retry_of_a_run_pays_nothing_twice(harness: Harness) -> None:
    """Promise 6: the same run key again asks AWS about what failed and nothing else."""
    harness.open(make_account(1), make_account(2, faults=(Fault("not_enabled", times=1),)), make_account(3))
    assert harness.collect("--run-key", "job-1", "--fail-on", "partial").status == 3
    harness.aws.reset_requests()
    assert harness.collect("--run-key", "job-1", "--fail-on", "partial").status == 0
    assert set(harness.aws.requests()["accounts"]) == {harness.ids[1]}
    harness.aws.reset_requests()
    assert harness.collect("--run-key", "job-1").status == 0
    assert harness.aws.requests()["total"]["requests"] == 0


def test_promise_7_alerts_are_written_once_and_delivered(harness: Harness) -> None:
    """Promise 7: an anomaly is one event with its delivery; a rerun and a second run write no other."""
    rows = (*steady("10.00", until=TODAY - ONE_DAY), bill(TODAY - ONE_DAY, "90.00"))
    harness.open(make_account(1, rows=rows))
    shown = [
        line["cloudevent"]["id"]
        for args in (["--run-key", "a"], ["--run-key", "a"], ["--run-key", "b"])
        for line in harness.collect(*args).logs("event")
        if line["cloudevent"]["type"] == "anomaly.detected"
    ]
    found = harness.rows(
        "SELECT id::text, attempts, delivered_at FROM events JOIN deliveries ON event_id = id "
        "WHERE type = 'anomaly.detected'"
    )
    assert [row["id"] for row in found] == shown
    assert len(shown) == 1
    assert found[0]["attempts"] == 1
    assert found[0]["delivered_at"] is not None


def test_promise_9_everything_tells_the_same_story(harness: Harness) -> None:
    """Promise 9: exit status, summary, run record, run event and log agree."""
    harness.open(make_account(1), make_account(2, faults=(Fault("access_denied"),)))
    run = harness.collect("--fail-on", "partial", "--run-key", "job-9")
    summary = run.summary["run"]
    record = harness.rows("SELECT * FROM runs")[0]
    event = harness.value("SELECT cloudevent FROM events WHERE type = 'run.completed'")
    assert run.status == 3
    assert (summary["status"], summary["failures"]) == ("partial", {"access_denied": 1})
    assert (record["run_key"], record["status"], str(record["id"])) == ("job-9", "partial", summary["id"])
    assert event["data"]["run"] == {**summary, "anomalies": event["data"]["run"]["anomalies"]}
    (ended,) = run.logs("run_ended")
    assert {name: ended[name] for name in summary["accounts"]} == summary["accounts"]
    assert {(line["run_key"], line["run_id"]) for line in run.logs()} == {("job-9", summary["id"])}
    outcomes = harness.rows("SELECT state, error_kind, error_message FROM run_items ORDER BY id")
    for row, account in zip(outcomes, run.summary["accounts"], strict=True):
        told = account["error"] or {"kind": None, "message": None}
        assert row == {
            "state": "succeeded" if account["state"] == "collected" else account["state"],
            "error_kind": told["kind"],
            "error_message": told["message"],
        }
    assert json.dumps(summary) in json.dumps(run.summary)
