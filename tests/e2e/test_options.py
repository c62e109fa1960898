"""The options of `collect`: which days, which accounts, at which price, and how it is told."""

import json
from datetime import date, timedelta

import pytest

from costbatch.domain.periods import DateRange
from costbatch.simulator.world import Fault
from tests.support.bills import billed, stored
from tests.support.harness import ONE_DAY, TODAY, Harness, make_account, wait_for

IDS = [f"10000000000{n}" for n in range(1, 7)]
YESTERDAY = TODAY - ONE_DAY


def windows(harness: Harness, *args: str) -> dict[str, tuple[str, str]]:
    """Collect with these options and return the days that were read, by account."""
    run = harness.collect(*args)
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
def test_the_days_are_those_asked_for(harness: Harness, args: list[str], start: str, end: str) -> None:
    """--date reads one day, --from and --to every day between them, --from alone up to yesterday."""
    account = make_account(1, start=date(2024, 1, 1))
    harness.open(account)
    assert windows(harness, *args) == {IDS[0]: (start, end)}
    days = DateRange(date.fromisoformat(start), date.fromisoformat(end))
    assert stored(harness, IDS[0]) == billed(account, days, read_on=TODAY)


def test_a_backfill_tells_no_old_news_and_leaves_the_window_alone(harness: Harness) -> None:
    """Reading an old month again neither moves what is known as collected nor alerts anybody."""
    harness.open(make_account(1))
    harness.collect()
    before = harness.rows("SELECT covered_start, covered_end_exclusive FROM account_progress")
    run = harness.collect("--from", "2025-02-01", "--to", "2025-02-10")
    assert run.summary["run"]["cost_date"] == "2025-02-10"
    assert run.summary["events"]["written"] == {"run.completed": 1}
    assert harness.rows("SELECT covered_start, covered_end_exclusive FROM account_progress") == before


def test_accounts_can_be_picked(harness: Harness) -> None:
    """--account may be repeated, with the console's dashes, twice the same; the others are not touched."""
    harness.open(*(make_account(n) for n in range(1, 5)))
    picked = windows(harness, "--account", IDS[2], "--account", "1000-0000-0001", "--account", IDS[2])
    assert sorted(picked) == [IDS[0], IDS[2]]
    assert set(harness.aws.requests()["accounts"]) == {IDS[0], IDS[2]}


@pytest.mark.parametrize("concurrency", ["1", "6"])
def test_concurrency_bounds_how_many_are_fetched_at_a_time(harness: Harness, concurrency: str) -> None:
    """One after the other or all together: the option changes the time, never the outcome."""
    harness.open(*(make_account(n, faults=(Fault("latency", seconds=0.2),)) for n in range(1, 7)))
    run = harness.collect("--concurrency", concurrency)
    assert run.outcomes == dict.fromkeys(IDS, "collected")
    longest = max(each["duration_seconds"] for each in run.summary["accounts"])
    total = run.summary["run"]["duration_seconds"]
    assert total >= 6 * 0.2 if concurrency == "1" else longest >= 0.2
    assert harness.value("SELECT count(*) FROM daily_costs") == 6 * 120


def test_a_run_key_joins_a_run(harness: Harness) -> None:
    """The option, and the setting below it, name the run; without either every call is its own."""
    harness.open(make_account(1))
    keys = [
        harness.collect("--run-key", "given", COSTBATCH_RUN_KEY="set").summary["run"]["key"],
        harness.collect(COSTBATCH_RUN_KEY="set").summary["run"]["key"],
        harness.collect(COSTBATCH_RUN_KEY="set").summary["run"]["key"],
    ]
    assert keys == ["given", "set", "set"]
    assert harness.value("SELECT count(*) FROM runs") == 2
    assert harness.collect().summary["run"]["key"] != harness.collect().summary["run"]["key"]


def test_a_dry_run_says_what_and_how_much_and_calls_nothing(harness: Harness) -> None:
    """Accounts, windows, requests and dollars, as table and JSON; no request to AWS, no row written."""
    harness.open(make_account(1), make_account(2, services=9), page_size=100)
    harness.collect()
    harness.sleep_until(TODAY + ONE_DAY)
    harness.aws.reset_requests()
    before = harness.contents()
    plan = harness.collect("--dry-run")
    assert plan.status == 0
    assert [each["window"] for each in plan.summary["accounts"]] == [
        {"start": "2025-02-06", "end_exclusive": "2025-03-13"}
    ] * 2
    table = harness.run("collect", "--dry-run").stdout
    requests = plan.summary["api"]["requests"]
    assert table.startswith(f"Dry run: would collect 2 accounts in {requests} requests (0.0{requests} USD).")
    assert harness.contents() == before
    assert harness.aws.requests()["total"]["requests"] == 0


def test_a_dry_run_says_what_the_cap_allows(harness: Harness) -> None:
    """What the run would pay, not what it would need; of a run that it would resume, what is left."""
    harness.open(*(make_account(number) for number in range(1, 6)))
    needed = ("--dry-run", "--max-api-cost", "0.05")
    plan = harness.collect(*needed).summary
    assert (plan["api"], plan["requests_left"]) == ({"requests": 5, "cost_usd": "0.05"}, 5)
    assert "cap" not in harness.run("collect", *needed).stdout
    capped = ("--max-api-cost", "0.029", "--run-key", "night")
    plan = harness.collect("--dry-run", *capped).summary
    assert (plan["api"], plan["requests_left"]) == ({"requests": 2, "cost_usd": "0.02"}, 2)
    assert [each["api"]["requests"] for each in plan["accounts"]] == [1] * 5
    said = harness.run("collect", "--dry-run", *capped).stdout
    assert " ".join(said.split()).startswith(
        "Dry run: would collect 5 accounts in at least 5 requests (0.05 USD), but the cap on API cost leaves "
        "2 requests (0.02 USD). The accounts that it leaves out are skipped, and are the first of the "
        "next run. "
    )
    harness.collect(*capped)
    assert harness.aws.paid() == 2
    plan = harness.collect("--dry-run", *capped).summary
    assert (plan["api"], plan["requests_left"]) == ({"requests": 0, "cost_usd": "0.00"}, 0)
    assert harness.collect("--dry-run").summary["requests_left"] is None


@pytest.mark.parametrize("option", ["--date", "--from"])
def test_a_capped_backfill_is_to_be_repeated(harness: Harness, option: str) -> None:
    """The next night begins with the accounts that it left out, but does not read its days."""
    harness.open(make_account(1), make_account(2))
    command = ("collect", "--max-api-cost", "0.01", option, "2025-03-01")
    planned, done = (harness.run(*command, *more).stdout for more in (("--dry-run",), ()))
    assert "are skipped; to read these days of them, repeat the command with --account." in " ".join(
        planned.split()
    )
    assert (
        "The run reached its cap on API cost; to read these days, repeat the command with --account."
    ) in " ".join(done.split())
    assert "next run" not in planned + done


def test_a_dry_run_of_a_first_night_and_of_a_backfill(harness: Harness) -> None:
    """A new account's history and a backfill are planned as they would be read."""
    harness.open(make_account(1))
    assert harness.collect("--dry-run").summary["accounts"][0]["window"]["start"] == "2024-02-01"
    planned = harness.collect("--dry-run", "--date", "2025-03-01").summary
    assert planned["accounts"][0]["window"] == {"start": "2025-03-01", "end_exclusive": "2025-03-02"}
    assert planned["api"] == {"requests": 1, "cost_usd": "0.01"}


def test_a_dry_run_of_many_days_goes_by_the_first_collection(harness: Harness) -> None:
    """After a night of one page it promises the pages of the history, not one; before any, the least."""
    harness.open(make_account(1), page_size=100)
    first = harness.collect("--dry-run").summary
    assert (first["api"]["requests"], first["is_least"]) == (1, True)
    assert "in at least 1 request " in harness.run("collect", "--dry-run").stdout
    harness.collect()
    paid = harness.aws.paid()
    assert paid > 1
    harness.sleep_until(TODAY + ONE_DAY)
    assert harness.collect().summary["run"]["api"]["requests"] == 1
    plan = harness.collect("--dry-run", "--from", "2024-03-01").summary
    assert (plan["api"]["requests"], plan["is_least"], plan["accounts"][0]["is_least"]) == (
        paid,
        False,
        False,
    )


def test_a_dry_run_after_midnight_plans_the_days_of_the_run_that_it_would_resume(harness: Harness) -> None:
    """With the run's key up to the day before its start; with another key up to yesterday."""
    harness.open(make_account(1, faults=(Fault("access_denied", times=1),)))
    backfill = ("--from", "2025-03-01", "--run-key", "backfill")
    assert harness.collect(*backfill).outcomes == {IDS[0]: "access_denied"}
    harness.sleep_until(TODAY + ONE_DAY)
    other = harness.collect("--dry-run", *backfill[:2], "--run-key", "other").summary
    assert other["accounts"][0]["window"]["end_exclusive"] == str(TODAY + ONE_DAY)
    planned = harness.collect("--dry-run", *backfill).summary["accounts"][0]["window"]
    assert planned == {"start": "2025-03-01", "end_exclusive": str(TODAY)}
    assert harness.collect(*backfill).summary["accounts"][0]["window"] == planned


def test_a_dry_run_with_the_key_of_a_run_plans_what_it_has_left(harness: Harness) -> None:
    """Neither what is paid for nor what was paused since; the key of another request is refused."""
    harness.open(*(make_account(n) for n in range(1, 5)))
    night = ("--run-key", "night")
    first = harness.collect(*night, "--max-api-cost", "0.03").outcomes
    (left,) = (each for each, outcome in first.items() if outcome == "skipped")
    plan = harness.collect("--dry-run", *night).summary
    assert [each["aws_account_id"] for each in plan["accounts"]] == [left]
    assert plan["api"] == {"requests": 1, "cost_usd": "0.01"}
    assert len(harness.collect("--dry-run", "--run-key", "other").summary["accounts"]) == 4
    refused = [harness.collect(*dry_run, *night, "--account", left) for dry_run in ((), ("--dry-run",))]
    assert [run.status for run in refused] == [2, 2]
    assert refused[0].sentences == refused[1].sentences
    harness.run("accounts", "pause", left)
    assert harness.collect("--dry-run", *night).summary["accounts"] == []
    said = harness.run("collect", "--dry-run", *night).stdout
    assert said == "Nothing to collect: run night has no active accounts left.\n"
    harness.run("accounts", "resume", left)
    assert set(harness.collect(*night).outcomes.values()) == {"collected"}
    assert harness.aws.paid() == 4
    assert harness.collect("--dry-run", *night).summary["accounts"] == []


def test_a_dry_run_without_accounts(harness: Harness) -> None:
    """There is nothing to plan, which is no failure."""
    assert harness.run("collect", "--dry-run").stdout.startswith(
        "Nothing to collect: there are no active accounts."
    )


def test_the_cap_on_api_cost_stops_the_run_and_says_so(harness: Harness) -> None:
    """Not one request more than the cap buys; the rest is skipped, said, and collected the next time."""
    harness.open(*(make_account(n) for n in range(1, 7)))
    run = harness.collect("--max-api-cost", "0.04", "--concurrency", "3")
    assert (run.status, harness.aws.paid()) == (0, 4)
    states = list(run.outcomes.values())
    assert (states.count("collected"), states.count("skipped")) == (4, 2)
    skipped = [each for each in run.summary["accounts"] if each["state"] == "skipped"]
    assert {each["skip_reason"] for each in skipped} == {"api_cost_cap"}
    assert run.summary["run"]["status"] == "partial"
    assert run.logs("api_cost_cap_reached")
    harness.sleep_until(harness.today + ONE_DAY)
    again = harness.collect("--max-api-cost", "0.04", "--concurrency", "3").outcomes
    assert {again[each["aws_account_id"]] for each in skipped} == {"collected"}
    assert harness.collect().outcomes == dict.fromkeys(IDS, "collected")


def test_the_cap_is_said_in_the_table_and_can_fail_the_run(harness: Harness) -> None:
    """A person reads why accounts are missing; --fail-on partial makes it 3."""
    harness.open(make_account(1), make_account(2))
    run = harness.run("collect", "--max-api-cost", "$0.01", "--fail-on", "partial")
    assert run.status == 3
    printed = " ".join(run.stdout.split())
    assert "skipped: api_cost_cap (1 account)" in printed
    assert "The run reached its cap on API cost; the next run collects them." in printed


def test_the_cap_holds_within_the_pages_of_one_account(harness: Harness) -> None:
    """An answer that is longer than the money is not stored in part."""
    harness.open(make_account(1, services=5), page_size=50)
    run = harness.collect("--max-api-cost", "0.03")
    assert run.outcomes == {IDS[0]: "skipped"}
    assert (harness.aws.paid(), run.account(IDS[0])["api"]["requests"]) == (3, 3)
    assert stored(harness, IDS[0]) == {}
    assert [line["accounts_skipped"] for line in run.logs("api_cost_cap_reached")] == [1]


def test_first_collections_under_a_standing_cap_are_collected_night_by_night(harness: Harness) -> None:
    """Eight threads collect as many as one would, and what is paid for in vain is at most one account's."""
    harness.open(*(make_account(n, services=2) for n in range(1, 7)), page_size=30, latency_seconds=0.05)
    collected = list[int]()
    for _ in range(4):
        run = harness.collect("--max-api-cost", "0.10", "--concurrency", "8")
        accounts = run.summary["accounts"]
        collected.append(list(run.outcomes.values()).count("collected"))
        in_vain = [each["api"]["requests"] for each in accounts if each["state"] == "skipped"]
        assert len([requests for requests in in_vain if requests]) <= 1
        harness.sleep_until(harness.today + ONE_DAY)
    assert min(collected) >= 2
    assert harness.value("SELECT count(DISTINCT account_id) FROM daily_costs") == 6


def test_the_cap_is_of_the_run_and_not_of_the_process(harness: Harness) -> None:
    """A retry with the same run key does not get the money anew."""
    harness.open(*(make_account(n) for n in range(1, 5)))
    args = ("--run-key", "job", "--max-api-cost", "0.02")
    harness.collect(*args)
    run = harness.collect(*args)
    assert harness.aws.paid() == 2
    assert run.summary["run"]["api"] == {"requests": 2, "cost_usd": "0.02"}
    assert list(run.outcomes.values()).count("skipped") == 2


def test_processes_that_share_a_run_share_its_cap(harness: Harness) -> None:
    """They pass it by what the others have in hand when they claim, and not by a cap for each."""
    harness.open(*(make_account(n) for n in range(1, 61)), latency_seconds=0.1)
    args = ("--run-key", "job", "--max-api-cost", "0.20", "--concurrency", "2")
    processes = [harness.start("collect", "--output", "json", *args) for _ in range(3)]
    runs = [wait_for(process) for process in processes]
    assert [run.status for run in runs] == [0, 0, 0]
    # Of each of the two others: two accounts in flight, and as many that set off before it looked again.
    assert 20 <= harness.aws.paid() <= 20 + 2 * 4
    outcomes = list(runs[-1].outcomes.values())
    assert outcomes.count("collected") == harness.aws.paid()
    assert outcomes.count("collected") + outcomes.count("skipped") == 60


@pytest.mark.parametrize("args", [[], ["--dry-run"]])
def test_json_is_one_document_on_standard_output(harness: Harness, args: list[str]) -> None:
    """Programs read stdout as one document; every line on stderr is a log line in JSON."""
    harness.open(make_account(1), make_account(2, faults=(Fault("not_enabled"),)))
    run = harness.collect(*args)
    assert json.loads(run.stdout).keys()
    assert all(json.loads(line)["event"] for line in run.stderr.splitlines())
    assert bool(run.stderr) != bool(args)


def test_a_table_is_plain_where_nobody_looks(harness: Harness) -> None:
    """Piped output has no colours, and names every account with its outcome."""
    harness.open(make_account(1), make_account(2, faults=(Fault("not_enabled"),)))
    run = harness.run("collect", "--output", "table")
    assert "\x1b" not in run.stdout + run.stderr
    lines = [line.split() for line in run.stdout.splitlines() if line.startswith("1000")]
    assert [line[:3] for line in lines] == [
        [IDS[0], "account-1", "collected"],
        [IDS[1], "account-2", "failed"],
        [IDS[0], "account-1", "102.08"],
    ]


def test_the_window_is_a_setting(harness: Harness) -> None:
    """COSTBATCH_WINDOW_DAYS is how far an ordinary run looks back."""
    harness.open(make_account(1))
    harness.collect()
    harness.sleep_until(TODAY + ONE_DAY)
    run = harness.collect(COSTBATCH_WINDOW_DAYS="7")
    assert run.account(IDS[0])["window"]["start"] == (harness.today - timedelta(days=7)).isoformat()


def test_a_deadline_leaves_the_rest_to_a_retry(harness: Harness) -> None:
    """What was begun is stored, the run says why it stopped, and nothing is paid twice."""
    harness.open(*(make_account(number, faults=(Fault("latency", seconds=0.6),)) for number in range(1, 7)))
    stopped = harness.collect("--run-key", "night", "--concurrency", "1", "--deadline", "1.5")
    assert stopped.status == 143
    assert (stopped.summary["run"]["status"], stopped.summary["run"]["stopped_by"]) == ("stopped", "deadline")
    done = stopped.summary["run"]["accounts"]["collected"]
    assert 1 <= done < 6
    assert "STOPPED at its deadline" in stopped.stderr
    retry = harness.collect("--run-key", "night")
    assert retry.summary["run"]["accounts"] == {
        "total": 6,
        "collected": 6,
        "failed": 0,
        "skipped": 0,
        "not_active": 0,
        "unfinished": 0,
    }
    assert retry.summary["run"]["stopped_by"] is None
    assert harness.aws.paid() == 6


def test_a_run_with_nothing_to_do_does_not_wait_for_what_it_does_not_need(harness: Harness) -> None:
    """What speaks to AWS takes long to load, and waits for the first account."""
    for accounts, is_loaded in (((), False), ((make_account(1),), True)):
        harness.open(*accounts)
        run = wait_for(harness.start_python("collect", PYTHONPROFILEIMPORTTIME="1"))
        assert run.status == 0
        assert ("| botocore" in run.stderr.replace("  ", "")) == is_loaded
