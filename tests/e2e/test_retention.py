"""What is kept: pruning by command and by the nightly run, and that the bill is still AWS's afterwards."""

import json
from collections.abc import Iterator
from datetime import date

import psycopg2
import pytest

from costbatch.application import retention
from costbatch.domain.periods import DateRange
from costbatch.simulator.world import Fault
from tests.support.bills import Bill, billed, stored
from tests.support.harness import ONE_DAY, TODAY, Harness, Prepare, Row, make_account, wait_for
from tests.support.waiting import count, until

# What stays of March 2025 and the six months before it.
FIRST_KEPT = date(2024, 9, 1)
OLD = make_account(1, start=date(2023, 6, 1))
YOUNG = make_account(2)


def collected(harness: Harness) -> None:
    """Collect two accounts with all of AWS's history."""
    harness.open(OLD, YOUNG)
    assert harness.collect().status == 0


@pytest.fixture
def grown(prepare: Prepare) -> Harness:
    """Return a harness whose two accounts have been collected with all of AWS's history."""
    return prepare(collected)


def months(harness: Harness) -> list[str]:
    """Return the months that there are partitions of."""
    rows = harness.rows(
        "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'"
        " AND relname LIKE 'daily_costs_%' ORDER BY relname"
    )
    return [row["relname"].removeprefix("daily_costs_") for row in rows]


def bill_since(harness: Harness, first: date) -> Bill:
    """Return what the stand-in has billed the old account from a day on."""
    return billed(OLD, DateRange(first, harness.today), read_on=harness.today)


def test_after_a_pruning_and_a_run_the_bill_is_still_awss(grown: Harness) -> None:
    """Not a cent of what stays is touched, nothing before is read again, and nothing is paid twice."""
    assert stored(grown, OLD.account_id) == bill_since(grown, date(2024, 2, 1))
    run = grown.run("db", "prune", "--keep", "6 months", "--output", "json")
    assert run.status == 0
    assert [each["month"] for each in run.summary["months"]] == [f"2024-{n:02}" for n in range(2, 9)]
    assert (run.summary["first_kept_day"], run.summary["accounts"]) == ("2024-09-01", 2)
    assert stored(grown, OLD.account_id) == bill_since(grown, FIRST_KEPT)
    grown.sleep_until(TODAY + ONE_DAY)
    grown.aws.reset_requests()
    night = grown.collect()
    assert night.account(OLD.account_id)["window"] == {"start": "2025-02-06", "end_exclusive": "2025-03-13"}
    assert grown.aws.paid() == 2
    assert stored(grown, OLD.account_id) == bill_since(grown, FIRST_KEPT)
    assert grown.rows("SELECT DISTINCT covered_start FROM account_progress") == [
        {"covered_start": FIRST_KEPT}
    ]


def test_a_night_prunes_what_is_no_longer_kept(grown: Harness) -> None:
    """The setting does the same at the end of each run, and says so in the log."""
    night = grown.collect(COSTBATCH_KEEP_MONTHS="6")
    assert night.status == 0
    (line,) = night.logs("pruned")
    assert line["months"][0] == "2024-02"
    assert stored(grown, OLD.account_id) == bill_since(grown, FIRST_KEPT)
    grown.sleep_until(date(2025, 4, 2))
    (line,) = grown.collect(COSTBATCH_KEEP_MONTHS="6").logs("pruned")
    assert line["months"][-1] == "2024-09"
    assert stored(grown, OLD.account_id) == bill_since(grown, date(2024, 10, 1))


def test_a_first_collection_reads_what_is_kept(harness: Harness) -> None:
    """No month is paid for that the same night would drop."""
    harness.open(OLD)
    run = harness.collect(COSTBATCH_KEEP_MONTHS="6")
    assert run.account(OLD.account_id)["window"]["start"] == f"{FIRST_KEPT}"
    assert stored(harness, OLD.account_id) == bill_since(harness, FIRST_KEPT)
    assert months(harness)[0] == "2024_09"


def test_a_pruning_by_hand_beside_a_first_collection_costs_nothing(harness: Harness) -> None:
    """It drops the months that the run has made and not filled yet; they are made again."""
    harness.open(make_account(1, start=date(2023, 6, 1), faults=(Fault("latency", seconds=1.5),)))
    process = harness.start("collect", "--output", "json")
    until(lambda: count(harness, "running") == 1)
    pruned = harness.run("db", "prune", "--keep", "6 months", "--output", "json")
    assert pruned.summary["months"][0]["month"] == "2024-02"
    run = wait_for(process)
    assert run.outcomes == {harness.ids[0]: "collected"}
    assert harness.aws.paid() == 1
    assert stored(harness, OLD.account_id) == bill_since(harness, date(2024, 2, 1))


def test_an_account_that_lost_all_its_days_begins_anew(grown: Harness) -> None:
    """One that was paused for long: nothing of it counts as stored, and its next night reads what is kept."""
    grown.run("accounts", "pause", YOUNG.account_id)
    grown.sleep_until(date(2026, 1, 15))
    assert grown.collect(COSTBATCH_KEEP_MONTHS="6").status == 0
    shown = json.loads(grown.run("accounts", "show", YOUNG.account_id, "--output", "json").stdout)
    assert (shown["collected_from"], shown["collected_to"]) == (None, None)
    grown.run("accounts", "resume", YOUNG.account_id)
    run = grown.collect(COSTBATCH_KEEP_MONTHS="6")
    assert run.account(YOUNG.account_id)["window"]["start"] == "2025-07-01"
    days = DateRange(date(2025, 7, 1), grown.today)
    assert stored(grown, YOUNG.account_id) == billed(YOUNG, days, read_on=grown.today)


def test_old_runs_events_and_anomalies_go_with_the_months(grown: Harness) -> None:
    """A year later nothing is left of the first night but what is open or undelivered."""
    grown.collect(COSTBATCH_SINKS="log")
    grown.sleep_until(date(2026, 3, 12))
    grown.collect()
    assert grown.value("SELECT count(*) FROM runs") == 3
    pruned = grown.run("db", "prune", "--keep", "6 months", "--output", "json").summary["rows"]
    assert (pruned["runs"], pruned["run_items"]) == (2, 4)
    assert grown.value("SELECT count(*) FROM runs") == 1
    assert grown.value("SELECT count(*) FROM run_items") == 2
    assert grown.value("SELECT count(*) FROM events WHERE occurred_at < '2025-09-01'") == 0


def test_a_dry_run_of_a_pruning_changes_nothing(grown: Harness) -> None:
    """It shows months, rows and bytes, for people and for programs."""
    before = grown.contents()
    table = grown.run("db", "prune", "--keep", "6 months", "--dry-run")
    document = grown.run("db", "prune", "--keep", "6months", "--dry-run", "--output", "json").summary
    assert grown.contents() == before
    assert "Would drop 7 months from before 2024-09-01: " in table.stdout
    assert [line.split()[0] for line in table.stdout.splitlines() if line.startswith("2024-")] == [
        each["month"] for each in document["months"]
    ]
    assert (document["dry_run"], document["keep_months"], document["accounts"]) == (True, 6, 2)
    pruned = grown.run("db", "prune", "--keep", "6 months")
    assert "Dropped 7 months from before 2024-09-01: " in pruned.stdout
    assert "The stored days of 2 accounts begin on 2024-09-01." in pruned.stdout
    again = grown.run("db", "prune", "--keep", "6 months")
    assert again.stdout == "There is nothing to drop from before 2024-09-01.\n"


def test_the_command_takes_what_is_kept_from_the_setting(grown: Harness) -> None:
    """So that both agree; the option wins."""
    of_setting = grown.run("db", "prune", "--dry-run", "--output", "json", COSTBATCH_KEEP_MONTHS="6")
    assert of_setting.summary["first_kept_day"] == "2024-09-01"
    args = ("db", "prune", "--keep", "1 year", "--dry-run", "--output", "json")
    assert grown.run(*args, COSTBATCH_KEEP_MONTHS="6").summary["first_kept_day"] == "2024-03-01"


@pytest.mark.parametrize(
    ("args", "environ", "sentence"),
    [
        (["--keep", "37m"], {}, 'Expected a number of months or years, such as "37 months"'),
        (["--keep", "90 days"], {}, 'Expected a number of months or years, such as "37 months"'),
        (["--keep", ""], {}, 'Expected a number of months or years, such as "37 months"'),
        (["--keep", "2 months"], {}, "--keep must be at least 3 months, because"),
        (["--keep", "4 months"], {"COSTBATCH_WINDOW_DAYS": "120"}, "--keep must be at least 6 months"),
        ([], {}, 'How much to keep is not set: pass --keep "37 months", or set COSTBATCH_KEEP_MONTHS.'),
        ([], {"COSTBATCH_KEEP_MONTHS": "2"}, "COSTBATCH_KEEP_MONTHS must be at least 3 months"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    grown: Harness, args: list[str], environ: dict[str, str], sentence: str
) -> None:
    """Status 2, one sentence, nothing on standard output and nothing changed."""
    before = grown.contents()
    run = grown.run("db", "prune", *args, **environ)
    assert (run.status, run.stdout, len(run.sentences)) == (2, "", 1)
    assert sentence in run.sentences[0]
    assert grown.contents() == before


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_a_backfill_of_what_is_not_kept_is_refused(grown: Harness, dry_run: list[str]) -> None:
    """Neither paid nor planned; the first kept day is."""
    grown.aws.reset_requests()
    run = grown.collect("--from", "2024-08-31", "--to", "2024-09-10", *dry_run, COSTBATCH_KEEP_MONTHS="6")
    assert (run.status, grown.aws.paid()) == (2, 0)
    assert "ask for 2024-09-01 or later." in run.sentences[0]
    run = grown.collect("--from", "2024-09-01", "--to", "2024-09-10", *dry_run, COSTBATCH_KEEP_MONTHS="6")
    assert run.status == 0


@pytest.fixture
def reader_is_busy(grown: Harness, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold a transaction open that has read the costs, as a dump does."""
    monkeypatch.setattr(retention, "_ATTEMPTS", 2)
    connection = psycopg2.connect(grown.database_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM daily_costs")
    yield
    connection.close()


@pytest.mark.usefixtures("reader_is_busy")
def test_a_month_that_somebody_reads_does_not_fail_the_night(grown: Harness) -> None:
    """The run collects and exits as ever, with a warning; the next one drops the months."""
    night = grown.collect(COSTBATCH_KEEP_MONTHS="6")
    assert night.status == 0
    (line,) = night.logs("months_not_dropped")
    assert (line["level"], len(line["months"])) == ("warning", 7)
    assert stored(grown, OLD.account_id) == bill_since(grown, date(2024, 2, 1))


@pytest.mark.usefixtures("reader_is_busy")
def test_a_month_that_somebody_reads_is_said_by_the_command(grown: Harness) -> None:
    """Status 1, because trying again helps; what could be done is done and shown."""
    run = grown.run("db", "prune", "--keep", "6 months", "--output", "json")
    assert run.status == 1
    assert (run.summary["months"], len(run.summary["held_up_months"])) == ([], 7)
    (sentence,) = run.sentences
    assert sentence.startswith("7 months could not be dropped, because another transaction")


@pytest.fixture
def clerk_url(grown: Harness) -> Iterator[str]:
    """Return the URL of a role that may read everything and write nothing."""
    grown.rows("DROP ROLE IF EXISTS e2e_clerk")
    grown.rows("CREATE ROLE e2e_clerk LOGIN")
    tables = (
        "accounts, account_progress, runs, run_items, cost_collections, daily_costs, day_digests,"
        " anomalies, events, deliveries, resources, discovered_regions, discoveries"
    )
    grown.rows(f"GRANT SELECT ON {tables} TO e2e_clerk")
    yield grown.database_url.replace("//postgres:@", "//e2e_clerk@")
    grown.rows("DROP OWNED BY e2e_clerk")
    grown.rows("DROP ROLE e2e_clerk")


def test_a_reader_may_not_prune_and_is_told_what_it_lacks(grown: Harness, clerk_url: str) -> None:
    """One clear sentence, status 2, nothing changed."""
    before = grown.contents()
    run = grown.run("db", "prune", "--keep", "6 months", DATABASE_URL=clerk_url)
    assert (run.status, run.stdout, len(run.sentences)) == (2, "", 1)
    assert run.sentences[0].startswith(
        "The role e2e_clerk cannot prune, because it lacks UPDATE on account_progress"
    )
    assert "ownership of daily_costs_2024_02" in run.sentences[0]
    assert grown.contents() == before


def test_a_night_that_may_not_prune_is_a_night_all_the_same(grown: Harness, clerk_url: str) -> None:
    """Months that another role made cannot be dropped by the batch; that is a warning and no more."""
    costs = (
        *("daily_costs", "cost_versions", "cost_changes"),
        *(
            "cost_collections",
            "day_digests",
            "anomalies",
            "anomaly_answers",
            "anomaly_causes",
            "aws_anomalies",
        ),
        *("daily_expectations", "detector_memories", "first_charges"),
    )
    others = (
        "accounts",
        "account_credentials",
        "account_progress",
        "runs",
        "run_items",
        "events",
        "deliveries",
        "resources",
        "discovered_regions",
        "used_services",
        "discoveries",
    )
    for table in (*costs, *others, "alembic_version"):
        grown.rows(f"ALTER TABLE {table} OWNER TO e2e_clerk")
    grown.rows("GRANT CREATE ON SCHEMA public TO e2e_clerk")
    night = grown.collect(COSTBATCH_KEEP_MONTHS="6", DATABASE_URL=clerk_url)
    assert night.status == 0
    (line,) = night.logs("pruning_failed")
    assert "it lacks ownership of cost_changes_2024_02, " in line["reason"]


def test_sizes_are_shown_to_a_reader(grown: Harness, clerk_url: str) -> None:
    """The same to programs and to people, with no more privileges than docs/schema.md grants."""
    grown.rows("ANALYZE")
    run = grown.run("db", "stats", "--output", "json", DATABASE_URL=clerk_url)
    assert run.status == 0
    tables: dict[str, Row] = {each["name"]: each for each in run.summary["tables"]}
    assert tables["daily_costs"]["rows"] == grown.value("SELECT count(*) FROM daily_costs")
    assert (run.summary["accounts"], run.summary["rows_per_account_and_day"]) == (2, 2.0)
    assert run.summary["months"][-1]["month"] == "2025-03"
    assert run.summary["growth_per_month"]["rows"] > 0
    assert run.summary["projection"]["database_bytes"] > run.summary["database_bytes"]
    text = grown.run("db", "stats", DATABASE_URL=clerk_url).stdout
    lines = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert set(tables) <= set(lines)
    assert {each["month"] for each in run.summary["months"]} <= set(lines)
    assert "The database takes " in text
    assert ", with 2 accounts of 2 rows a day each." in text
    assert "with everything kept." in text
    kept = grown.run("db", "stats", COSTBATCH_KEEP_MONTHS="6").stdout
    assert "with 6 months kept." in kept


def test_sizes_of_a_new_database(harness: Harness) -> None:
    """Nothing is stored, and nothing tells how it grows."""
    assert harness.run("db", "stats").stdout.endswith(
        ", with 0 accounts.\nGrowth estimates need one full month of data.\n"
    )
