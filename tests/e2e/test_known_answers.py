"""A night compares with the database only the days that AWS tells differently, and ends where all would."""

from datetime import date

import pytest

from costbatch.simulator.world import Account, CostRow
from tests.bills import billed, stored
from tests.stage import ONE_DAY, TODAY, Finished, Row, Stage, bill, make_account, steady
from tests.twins import costs

DAY = TODAY - 9 * ONE_DAY
YESTERDAY = TODAY - ONE_DAY
LAMBDA = "AWS Lambda"
# Ten dollars on every day, also of the mornings to come; AWS shows only what is over.
LONG = steady("10.00", until=TODAY + 30 * ONE_DAY, days=90)
EDIT = "UPDATE daily_costs SET unblended = 1234 WHERE usage_date = %s"


def restated(day_amounts: dict[int, str], among: tuple[CostRow, ...] = LONG) -> tuple[CostRow, ...]:
    """Return a bill with other amounts on some days; 0 is the day before today's."""
    amounts = {YESTERDAY - n * ONE_DAY: amount for n, amount in day_amounts.items()}
    others = (row for row in among if row.date not in amounts)
    return (*others, *(bill(day, amount) for day, amount in amounts.items()))


def changes(run: Finished, aws_account_id: str) -> dict[str, int]:
    """Return how many rows a run wrote of an account."""
    rows: dict[str, int] = run.account(aws_account_id)["rows"]
    return {name: count for name, count in rows.items() if name != "fetched" and count}


def collect(stage: Stage, *args: str) -> Finished:
    """Collect, and expect it to be well."""
    run = stage.collect(*args)
    assert set(run.outcomes.values()) == {"collected"}
    return run


def places(stage: Stage) -> dict[tuple[date, str, str], str]:
    """Return where each row lies and which transaction wrote it, by its key."""
    rows = stage.rows(
        "SELECT usage_date, service, record_type, xmin::text || ctid::text AS at FROM daily_costs"
    )
    return {(row["usage_date"], row["service"], row["record_type"]): row["at"] for row in rows}


def anew(twin: Stage, stage: Stage, *accounts: Account) -> list[Row]:
    """Return what a database holds that is collected from nothing on the stage's day."""
    for account in accounts:
        twin.register(account)
    twin.sleep_until(stage.today)
    collect(twin)
    return costs(twin)


def test_a_second_run_on_a_day_writes_nothing_and_counts_what_it_read(stage: Stage) -> None:
    """The record says how many rows AWS had, though not one of them was compared."""
    stage.open(make_account(1), make_account(2, services=5), page_size=1000)
    collect(stage)
    before = places(stage)
    run = collect(stage)
    for number, rows in enumerate((70, 175)):
        assert changes(run, stage.ids[number]) == {}
        assert run.account(stage.ids[number])["rows"]["fetched"] == rows
    assert places(stage) == before
    assert run.summary["run"]["rows"]["fetched"] == 245
    last = "SELECT rows_fetched, rows_inserted, rows_updated, rows_deleted FROM collections ORDER BY id DESC"
    assert [*stage.rows(f"{last} LIMIT 1")[0].values()] == [175, 0, 0, 0]


def test_a_restated_day_is_stored_and_nothing_else_is_written(stage: Stage) -> None:
    """The rows of the other days lie where they lay; so do those between two restated days."""
    stage.open(make_account(1, rows=LONG))
    collect(stage)
    before = places(stage)
    stage.aws.set_rows(stage.ids[0], restated({8: "11.00", 20: "9.00"}))
    assert changes(collect(stage), stage.ids[0]) == {"updated": 2}
    after = places(stage)
    assert {key[0] for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == {
        DAY,
        YESTERDAY - 20 * ONE_DAY,
    }
    assert stage.value("SELECT unblended FROM daily_costs WHERE usage_date = %s", DAY) == 11


def test_a_month_that_is_closed_is_stored_as_closed(stage: Stage) -> None:
    """The same amounts, but AWS calls them estimated no more: every day of the month is another text."""
    stage.open(make_account(1))
    stage.sleep_until(date(2025, 4, 6))
    collect(stage)
    stage.sleep_until(date(2025, 4, 7))
    assert changes(collect(stage), stage.ids[0]) == {"inserted": 2, "updated": 62}
    assert stage.value("SELECT min(usage_date) FROM daily_costs WHERE estimated") == date(2025, 4, 1)


def test_the_next_morning_ends_where_a_database_collected_anew_begins(stage: Stage, twin: Stage) -> None:
    """The new day and what changed are written; every row and column is as if all had been read today."""
    gone = bill(DAY, "4.00", service=LAMBDA)
    stage.open(make_account(1, rows=(*LONG, gone)), make_account(2, profile="late", services=6), page_size=50)
    collect(stage)
    stage.sleep_until(TODAY + ONE_DAY)
    late = bill(YESTERDAY - 3 * ONE_DAY, "0.50", record_type="Tax")
    now = [
        make_account(1, rows=(*restated({5: "12.00"}), late)),
        make_account(2, profile="late", services=6),
    ]
    stage.aws.set_rows(stage.ids[0], now[0].rows)
    assert changes(collect(stage), stage.ids[0]) == {"inserted": 2, "updated": 1, "deleted": 1}
    assert costs(stage) == anew(twin, stage, *now)


@pytest.mark.parametrize("which", ["usage_date = %s", "usage_date >= '2025-02-05' AND usage_date <> %s"])
def test_rows_deleted_by_hand_come_back_with_the_next_run(stage: Stage, which: str) -> None:
    """There are fewer than were answered, so that what is known is not believed."""
    stage.open(make_account(1))
    collect(stage)
    before = costs(stage)
    stage.rows(f"DELETE FROM daily_costs WHERE {which}", DAY)
    missing = len(before) - len(costs(stage))
    assert changes(collect(stage), stage.ids[0]) == {"inserted": missing}
    assert costs(stage) == before
    assert changes(collect(stage), stage.ids[0]) == {}


def test_a_row_added_by_hand_goes_with_the_next_run(stage: Stage) -> None:
    """There are more than were answered."""
    stage.open(make_account(1))
    collect(stage)
    before = costs(stage)
    stage.rows(
        "INSERT INTO daily_costs SELECT account_id, usage_date, 'x', 'x', 'USD', 1, 1, 1, 1, 1, false"
        " FROM daily_costs WHERE usage_date = %s LIMIT 1",
        DAY,
    )
    assert changes(collect(stage), stage.ids[0]) == {"deleted": 1}
    assert costs(stage) == before


def test_an_amount_edited_by_hand_is_put_right_by_a_backfill(stage: Stage) -> None:
    """An ordinary night does not look at a day that AWS tells as before; --from and --to compare it anew."""
    stage.open(make_account(1))
    collect(stage)
    before = costs(stage)
    stage.rows(EDIT, DAY)
    assert changes(collect(stage), stage.ids[0]) == {}
    assert costs(stage) != before
    run = collect(stage, "--from", DAY.isoformat(), "--to", DAY.isoformat())
    assert changes(run, stage.ids[0]) == {"updated": 2}
    assert costs(stage) == before


def test_an_edited_day_that_aws_restates_is_stored_as_aws_tells_it(stage: Stage) -> None:
    """It is read, and compared with what is stored, and not with what was."""
    stage.open(make_account(1, rows=LONG))
    collect(stage)
    stage.rows(EDIT, DAY)
    stage.aws.set_rows(stage.ids[0], restated({8: "11.00"}))
    assert changes(collect(stage), stage.ids[0]) == {"updated": 1}
    assert stage.value("SELECT unblended FROM daily_costs WHERE usage_date = %s", DAY) == 11


def test_after_a_backfill_the_next_run_compares_everything(stage: Stage) -> None:
    """It came later than what is known; the run after that one knows again."""
    stage.open(make_account(1))
    collect(stage)
    before = costs(stage)
    stage.rows(EDIT, DAY)
    collect(stage, "--date", YESTERDAY.isoformat())
    assert costs(stage) != before
    assert changes(collect(stage), stage.ids[0]) == {"updated": 2}
    assert costs(stage) == before
    stage.rows(EDIT, DAY)
    assert changes(collect(stage), stage.ids[0]) == {}


def test_what_a_backfill_stored_is_followed_where_aws_returns_to_what_it_said(stage: Stage) -> None:
    """One thing at night, another to the backfill, the first again: its text is known, but not stored."""
    stage.open(make_account(1, rows=LONG))
    collect(stage)
    stage.aws.set_rows(stage.ids[0], restated({8: "55.00"}))
    assert changes(collect(stage, "--date", DAY.isoformat()), stage.ids[0]) == {"updated": 1}
    stage.aws.set_rows(stage.ids[0], LONG)
    assert changes(collect(stage), stage.ids[0]) == {"updated": 1}
    assert stored(stage, stage.ids[0]) == billed(
        make_account(1, rows=LONG), {row.date for row in LONG if row.date < TODAY}, read_on=TODAY
    )


def test_an_account_whose_answer_is_refused_keeps_what_is_known(stage: Stage) -> None:
    """A broken night between two good ones: nothing of it is stored, and the next one goes on from before."""
    stage.open(make_account(1, rows=LONG))
    collect(stage)
    before = stage.rows("SELECT * FROM answers")
    stage.aws.set_rows(stage.ids[0], restated({8: "11.00"}))
    stage.aws.add_fault(stage.ids[0], "missing_fields", times=1, field="Estimated")
    assert stage.collect().outcomes == {stage.ids[0]: "malformed_response"}
    assert stage.rows("SELECT * FROM answers") == before
    assert changes(collect(stage), stage.ids[0]) == {"updated": 1}
