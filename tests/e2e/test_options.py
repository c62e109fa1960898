"""The options of `collect`: which days, which accounts, at which price, and how it is told."""

import json
from datetime import date, timedelta

import pytest

from costbatch.domain.periods import DateRange
from costbatch.simulator.world import Fault
from tests.bills import billed, stored
from tests.stage import ONE_DAY, TODAY, Stage, make_account, wait_for

IDS = [f"10000000000{n}" for n in range(1, 7)]
YESTERDAY = TODAY - ONE_DAY


def windows(stage: Stage, *args: str) -> dict[str, tuple[str, str]]:
    """Collect with these options and return the days that were read, by account."""
    run = stage.collect(*args)
    assert run.status == 0
    return {
        each["aws_account_id"]: (each["window"]["start"], each["window"]["end_exclusive"])
        for each in run.summary["accounts"]
    }


@pytest.mark.parametrize(
    ("args", "start", "end"),
    [
        (["--date", "2025-03-01"], "2025-03-01", "2025-03-02"),
        (["--from", "2025-02-01", "--to", "2025-02-28"], "2025-02-01", "2025-03-01"),
        (["--from", "2025-02-01"], "2025-02-01", "2025-03-12"),
        (["--from", "2025-03-11", "--to", "2025-03-11"], "2025-03-11", "2025-03-12"),
        (["--from", "2024-02-01", "--to", "2024-02-29"], "2024-02-01", "2024-03-01"),
    ],
)
def test_the_days_are_those_asked_for(stage: Stage, args: list[str], start: str, end: str) -> None:
    """--date reads one day, --from and --to every day between them, --from alone up to yesterday."""
    account = make_account(1, start=date(2024, 1, 1))
    stage.open(account)
    assert windows(stage, *args) == {IDS[0]: (start, end)}
    days = DateRange(date.fromisoformat(start), date.fromisoformat(end))
    assert stored(stage, IDS[0]) == billed(account, days, read_on=TODAY)


def test_a_backfill_tells_no_old_news_and_leaves_the_window_alone(stage: Stage) -> None:
    """Reading an old month again neither moves what is known as collected nor alerts anybody."""
    stage.open(make_account(1))
    stage.collect()
    before = stage.rows("SELECT collected_start, collected_end_exclusive FROM accounts")
    run = stage.collect("--from", "2025-02-01", "--to", "2025-02-10")
    assert run.summary["run"]["cost_date"] == "2025-02-10"
    assert run.summary["events"]["written"] == {"run.completed": 1}
    assert stage.rows("SELECT collected_start, collected_end_exclusive FROM accounts") == before


def test_accounts_can_be_picked(stage: Stage) -> None:
    """--account may be repeated, with the console's dashes, twice the same; the others are not touched."""
    stage.open(*(make_account(n) for n in range(1, 5)))
    picked = windows(stage, "--account", IDS[2], "--account", "1000-0000-0001", "--account", IDS[2])
    assert sorted(picked) == [IDS[0], IDS[2]]
    assert set(stage.aws.requests()["accounts"]) == {IDS[0], IDS[2]}


@pytest.mark.parametrize("concurrency", ["1", "6"])
def test_concurrency_bounds_how_many_are_fetched_at_a_time(stage: Stage, concurrency: str) -> None:
    """One after the other or all together: the option changes the time, never the outcome."""
    stage.open(*(make_account(n, faults=(Fault("latency", seconds=0.2),)) for n in range(1, 7)))
    run = stage.collect("--concurrency", concurrency)
    assert run.outcomes == dict.fromkeys(IDS, "collected")
    longest = max(each["duration_seconds"] for each in run.summary["accounts"])
    total = run.summary["run"]["duration_seconds"]
    assert total >= 6 * 0.2 if concurrency == "1" else longest >= 0.2
    assert stage.value("SELECT count(*) FROM daily_costs") == 6 * 120


def test_a_run_key_joins_a_run(stage: Stage) -> None:
    """The option, and the setting below it, name the run; without either every call is its own."""
    stage.open(make_account(1))
    keys = [
        stage.collect("--run-key", "given", COSTBATCH_RUN_KEY="set").summary["run"]["key"],
        stage.collect(COSTBATCH_RUN_KEY="set").summary["run"]["key"],
        stage.collect(COSTBATCH_RUN_KEY="set").summary["run"]["key"],
    ]
    assert keys == ["given", "set", "set"]
    assert stage.value("SELECT count(*) FROM runs") == 2
    assert stage.collect().summary["run"]["key"] != stage.collect().summary["run"]["key"]


def test_a_dry_run_says_what_and_how_much_and_calls_nothing(stage: Stage) -> None:
    """Accounts, windows, requests and dollars, as table and JSON; no request to AWS, no row written."""
    stage.open(make_account(1), make_account(2, services=9), page_size=100)
    stage.collect()
    stage.sleep_until(TODAY + ONE_DAY)
    stage.aws.reset_requests()
    before = stage.contents()
    plan = stage.collect("--dry-run")
    assert plan.status == 0
    assert [each["window"] for each in plan.summary["accounts"]] == [
        {"start": "2025-02-06", "end_exclusive": "2025-03-13"}
    ] * 2
    table = stage.run("collect", "--dry-run").stdout
    requests = plan.summary["api"]["requests"]
    assert f"A run would read 2 accounts: {requests} requests, 0.0{requests} USD." in " ".join(table.split())
    assert stage.contents() == before
    assert stage.aws.requests()["total"]["requests"] == 0


def test_a_dry_run_of_a_first_night_and_of_a_backfill(stage: Stage) -> None:
    """A new account's history and a backfill are planned as they would be read."""
    stage.open(make_account(1))
    assert stage.collect("--dry-run").summary["accounts"][0]["window"]["start"] == "2024-02-01"
    planned = stage.collect("--dry-run", "--date", "2025-03-01").summary
    assert planned["accounts"][0]["window"] == {"start": "2025-03-01", "end_exclusive": "2025-03-02"}
    assert planned["api"] == {"requests": 1, "cost_usd": "0.01"}


def test_a_dry_run_without_accounts(stage: Stage) -> None:
    """There is nothing to plan, which is no failure."""
    assert stage.run("collect", "--dry-run").stdout.startswith("Nothing to collect: no account is active.")


def test_the_cap_on_api_cost_stops_the_run_and_says_so(stage: Stage) -> None:
    """Not one request more than the cap buys; the rest is skipped, said, and collected the next time."""
    stage.open(*(make_account(n) for n in range(1, 7)))
    run = stage.collect("--max-api-cost", "0.04", "--concurrency", "3")
    assert (run.status, stage.aws.paid()) == (0, 4)
    states = list(run.outcomes.values())
    assert (states.count("collected"), states.count("skipped")) == (4, 2)
    skipped = [each for each in run.summary["accounts"] if each["state"] == "skipped"]
    assert {each["skip_reason"] for each in skipped} == {"api_cost_cap"}
    assert run.summary["run"]["status"] == "partial"
    assert run.logs("api_cost_cap_reached")
    assert stage.collect().outcomes == dict.fromkeys(IDS, "collected")


def test_the_cap_is_said_in_the_table_and_can_fail_the_run(stage: Stage) -> None:
    """A person reads why accounts are missing; --fail-on partial makes it 3."""
    stage.open(make_account(1), make_account(2))
    run = stage.run("collect", "--max-api-cost", "$0.01", "--fail-on", "partial")
    assert run.status == 3
    printed = " ".join(run.stdout.split())
    assert "skipped: api_cost_cap (1 account)" in printed
    assert "The run's cap on API cost was reached; the next run collects them." in printed


def test_the_cap_holds_within_the_pages_of_one_account(stage: Stage) -> None:
    """An answer that is longer than the money is not stored in part."""
    stage.open(make_account(1, services=5), page_size=50)
    run = stage.collect("--max-api-cost", "0.03")
    assert run.outcomes == {IDS[0]: "skipped"}
    assert (stage.aws.paid(), run.account(IDS[0])["api"]["requests"]) == (3, 3)
    assert stored(stage, IDS[0]) == {}
    assert [line["accounts_skipped"] for line in run.logs("api_cost_cap_reached")] == [1]


def test_the_cap_is_of_the_run_and_not_of_the_process(stage: Stage) -> None:
    """A retry with the same run key does not get the money anew."""
    stage.open(*(make_account(n) for n in range(1, 5)))
    args = ("--run-key", "job", "--max-api-cost", "0.02")
    stage.collect(*args)
    run = stage.collect(*args)
    assert stage.aws.paid() == 2
    assert run.summary["run"]["api"] == {"requests": 2, "cost_usd": "0.02"}
    assert list(run.outcomes.values()).count("skipped") == 2


def test_processes_that_share_a_run_share_its_cap(stage: Stage) -> None:
    """They pass it by what the others have in hand when they claim, and not by a cap for each."""
    stage.open(*(make_account(n) for n in range(1, 61)), latency_seconds=0.1)
    args = ("--run-key", "job", "--max-api-cost", "0.20", "--concurrency", "2")
    processes = [stage.start("collect", "--output", "json", *args) for _ in range(3)]
    runs = [wait_for(process) for process in processes]
    assert [run.status for run in runs] == [0, 0, 0]
    # Of each of the two others: two accounts in flight, and as many that set off before it looked again.
    assert 20 <= stage.aws.paid() <= 20 + 2 * 4
    outcomes = list(runs[-1].outcomes.values())
    assert outcomes.count("collected") == stage.aws.paid()
    assert outcomes.count("collected") + outcomes.count("skipped") == 60


@pytest.mark.parametrize("args", [[], ["--dry-run"]])
def test_json_is_one_document_on_standard_output(stage: Stage, args: list[str]) -> None:
    """Programs read stdout as one document; every line on stderr is a log line in JSON."""
    stage.open(make_account(1), make_account(2, faults=(Fault("not_enabled"),)))
    run = stage.collect(*args)
    assert json.loads(run.stdout).keys()
    assert all(json.loads(line)["event"] for line in run.stderr.splitlines())
    assert bool(run.stderr) != bool(args)


def test_a_table_is_plain_where_nobody_looks(stage: Stage) -> None:
    """Piped output has no colours, and names every account with its outcome."""
    stage.open(make_account(1), make_account(2, faults=(Fault("not_enabled"),)))
    run = stage.run("collect", "--output", "table")
    assert "\x1b" not in run.stdout + run.stderr
    lines = [line.split() for line in run.stdout.splitlines() if line.startswith("1000")]
    assert [line[:3] for line in lines] == [
        [IDS[0], "account-1", "collected"],
        [IDS[1], "account-2", "failed"],
        [IDS[0], "account-1", "102.08"],
    ]


def test_the_window_is_a_setting(stage: Stage) -> None:
    """COSTBATCH_WINDOW_DAYS is how far an ordinary run looks back."""
    stage.open(make_account(1))
    stage.collect()
    stage.sleep_until(TODAY + ONE_DAY)
    run = stage.collect(COSTBATCH_WINDOW_DAYS="7")
    assert run.account(IDS[0])["window"]["start"] == (stage.today - timedelta(days=7)).isoformat()


def test_a_deadline_leaves_the_rest_to_a_retry(stage: Stage) -> None:
    """What was begun is stored, the run says why it stopped, and nothing is paid twice."""
    stage.open(*(make_account(number, faults=(Fault("latency", seconds=0.4),)) for number in range(1, 7)))
    stopped = stage.collect("--run-key", "night", "--concurrency", "1", "--deadline", "0.6")
    assert stopped.status == 143
    assert (stopped.summary["run"]["status"], stopped.summary["run"]["stopped_by"]) == ("stopped", "deadline")
    done = stopped.summary["run"]["accounts"]["collected"]
    assert 1 <= done < 6
    assert "STOPPED at its deadline" in stopped.stderr
    retry = stage.collect("--run-key", "night")
    assert retry.summary["run"]["accounts"] == {
        "total": 6,
        "collected": 6,
        "failed": 0,
        "skipped": 0,
        "unfinished": 0,
    }
    assert retry.summary["run"]["stopped_by"] is None
    assert stage.aws.paid() == 6


def test_a_run_with_nothing_to_do_does_not_wait_for_what_it_does_not_need(stage: Stage) -> None:
    """What speaks to AWS and what opens credentials take long to load; both wait for the first account."""
    for accounts, is_loaded in (((), False), ((make_account(1),), True)):
        stage.open(*accounts)
        run = wait_for(stage.start("collect", PYTHONPROFILEIMPORTTIME="1"))
        assert run.status == 0
        loaded = run.stderr.replace("  ", "")
        assert [f"| {library}" in loaded for library in ("botocore", "cryptography")] == [is_loaded] * 2
