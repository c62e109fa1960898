"""A night compares with the database only the days that AWS tells differently, and ends where all would."""

from datetime import date

import pytest

from costbatch.simulator.world import Account, CostRow
from tests.support.bills import billed, stored
from tests.support.harness import ONE_DAY, TODAY, Finished, Harness, Row, bill, make_account, steady
from tests.support.second_database import costs

DAY = TODAY - 9 * ONE_DAY
YESTERDAY = TODAY - ONE_DAY
LAMBDA = "AWS Lambda"
# Ten dollars on every day, also of the replay to come; AWS shows only what is over.
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


def collect(harness: Harness, *args: str) -> Finished:
    """Collect, and expect it to be well."""
    run = harness.collect(*args)
    assert set(run.outcomes.values()) == {"collected"}
    return run


def places(harness: Harness) -> dict[tuple[date, str, str], str]:
    """Return where each row lies and which transaction wrote it, by its key."""
    rows = harness.rows(
        "SELECT usage_date, service, record_type, xmin::text || ctid::text AS at FROM daily_costs"
    )
    return {(row["usage_date"], row["service"], row["record_type"]): row["at"] for row in rows}


def anew(second: Harness, harness: Harness, *accounts: Account) -> list[Row]:
    """Return what a database holds that is collected from nothing on the harness's day."""
    for account in accounts:
        second.register(account)
    second.sleep_until(harness.today)
    collect(second)
    return costs(second)


def test_a_second_run_on_a_day_writes_nothing_and_counts_what_it_read(harness: Harness) -> None:
    """The record says how many rows AWS had, though not one of them was compared."""
    harness.open(make_account(1), make_account(2, services=5), page_size=1000)
    collect(harness)
    before = places(harness)
    run = collect(harness)
    for number, rows in enumerate((70, 175)):
        assert changes(run, harness.ids[number]) == {}
        assert run.account(harness.ids[number])["rows"]["fetched"] == rows
    assert places(harness) == before
    assert run.summary["run"]["rows"]["fetched"] == 245
    last = (
        "SELECT rows_fetched, rows_inserted, rows_updated, rows_deleted FROM cost_collections"
        " ORDER BY run_item_id DESC"
    )
    assert [*harness.rows(f"{last} LIMIT 1")[0].values()] == [175, 0, 0, 0]


def test_a_restated_day_is_stored_and_nothing_else_is_written(harness: Harness) -> None:
    """The rows of the other days lie where they lay; so do those between two restated days."""
    harness.open(make_account(1, rows=LONG))
    collect(harness)
    before = places(harness)
    harness.aws.set_rows(harness.ids[0], restated({8: "11.00", 20: "9.00"}))
    assert changes(collect(harness), harness.ids[0]) == {"updated": 2}
    after = places(harness)
    assert {key[0] for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == {
        DAY,
        YESTERDAY - 20 * ONE_DAY,
    }
    assert harness.value("SELECT unblended FROM daily_costs WHERE usage_date = %s", DAY) == 11


def test_a_month_that_is_closed_is_stored_as_closed(harness: Harness) -> None:
    """The same amounts, but AWS calls them estimated no more: every day of the month is another text."""
    harness.open(make_account(1))
    harness.sleep_until(date(2025, 4, 6))
    collect(harness)
    harness.sleep_until(date(2025, 4, 7))
    assert changes(collect(harness), harness.ids[0]) == {"inserted": 2, "updated": 62}
    assert harness.value("SELECT min(usage_date) FROM daily_costs WHERE estimated") == date(2025, 4, 1)


def test_the_next_morning_ends_where_a_database_collected_anew_begins(
    harness: Harness, second: Harness
) -> None:
    """The new day and what changed are written; every row and column is as if all had been read today."""
    gone = bill(DAY, "4.00", service=LAMBDA)
    harness.open(
        make_account(1, rows=(*LONG, gone)), make_account(2, profile="late", services=6), page_size=50
    )
    collect(harness)
    harness.sleep_until(TODAY + ONE_DAY)
    late = bill(YESTERDAY - 3 * ONE_DAY, "0.50", record_type="Tax")
    now = [
        make_account(1, rows=(*restated({5: "12.00"}), late)),
        make_account(2, profile="late", services=6),
    ]
    harness.aws.set_rows(harness.ids[0], now[0].rows)
    assert changes(collect(harness), harness.ids[0]) == {"inserted": 2, "updated": 1, "deleted": 1}
    assert costs(harness) == anew(second, harness, *now)


@pytest.mark.parametrize("which", ["usage_date = %s", "usage_date >= '2025-02-05' AND usage_date <> %s"])
def test_rows_deleted_by_hand_come_back_with_the_next_run(harness: Harness, which: str) -> None:
    """There are fewer than were answered, so that what is known is not believed."""
    harness.open(make_account(1))
    collect(harness)
    before = costs(harness)
    harness.rows(f"DELETE FROM daily_costs WHERE {which}", DAY)
    missing = len(before) - len(costs(harness))
    assert changes(collect(harness), harness.ids[0]) == {"inserted": missing}
    assert costs(harness) == before
    assert changes(collect(harness), harness.ids[0]) == {}


def test_a_row_added_by_hand_goes_with_the_next_run(harness: Harness) -> None:
    """There are more than were answered."""
    harness.open(make_account(1))
    collect(harness)
    before = costs(harness)
    harness.rows(
        "INSERT INTO daily_costs SELECT account_id, usage_date, 'x', 'x', 'USD', 1, 1, 1, 1, 1, false"
        " FROM daily_costs WHERE usage_date = %s LIMIT 1",
        DAY,
    )
    assert changes(collect(harness), harness.ids[0]) == {"deleted": 1}
    assert costs(harness) == before


def test_an_amount_edited_by_hand_is_put_right_by_a_backfill(harness: Harness) -> None:
    """An ordinary night does not look at a day that AWS tells as before; --from and --to compare it anew."""
    harness.open(make_account(1))
    collect(harness)
    before = costs(harness)
    harness.rows(EDIT, DAY)
    assert changes(collect(harness), harness.ids[0]) == {}
    assert costs(harness) != before
    run = collect(harness, "--from", DAY.isoformat(), "--to", DAY.isoformat())
    assert changes(run, harness.ids[0]) == {"updated": 2}
    assert costs(harness) == before


def test_an_edited_day_that_aws_restates_is_stored_as_aws_tells_it(harness: Harness) -> None:
    """It is read, and compared with what is stored, and not with what was."""
    harness.open(make_account(1, rows=LONG))
    collect(harness)
    harness.rows(EDIT, DAY)
    harness.aws.set_rows(harness.ids[0], restated({8: "11.00"}))
    assert changes(collect(harness), harness.ids[0]) == {"updated": 1}
    assert harness.value("SELECT unblended FROM daily_costs WHERE usage_date = %s", DAY) == 11


def test_after_a_backfill_the_next_run_compares_everything(harness: Harness) -> None:
    """It came later than what is known; the run after that one knows again."""
    harness.open(make_account(1))
    collect(harness)
    before = costs(harness)
    harness.rows(EDIT, DAY)
    collect(harness, "--date", YESTERDAY.isoformat())
    assert costs(harness) != before
    assert changes(collect(harness), harness.ids[0]) == {"updated": 2}
    assert costs(harness) == before
    harness.rows(EDIT, DAY)
    assert changes(collect(harness), harness.ids[0]) == {}


def test_what_a_backfill_stored_is_followed_where_aws_returns_to_what_it_said(harness: Harness) -> None:
    """One thing at night, another to the backfill, the first again: its text is known, but not stored."""
    harness.open(make_account(1, rows=LONG))
    collect(harness)
    harness.aws.set_rows(harness.ids[0], restated({8: "55.00"}))
    assert changes(collect(harness, "--date", DAY.isoformat()), harness.ids[0]) == {"updated": 1}
    harness.aws.set_rows(harness.ids[0], LONG)
    assert changes(collect(harness), harness.ids[0]) == {"updated": 1}
    assert stored(harness, harness.ids[0]) == billed(
        make_account(1, rows=LONG), {row.date for row in LONG if row.date < TODAY}, read_on=TODAY
    )


def test_an_account_whose_answer_is_refused_keeps_what_is_known(harness: Harness) -> None:
    """A broken night between two good ones: nothing of it is stored, and the next one goes on from before."""
    harness.open(make_account(1, rows=LONG))
    collect(harness)
    before = harness.rows("SELECT * FROM day_digests")
    harness.aws.set_rows(harness.ids[0], restated({8: "11.00"}))
    harness.aws.add_fault(harness.ids[0], "missing_fields", times=1, field="Estimated")
    assert harness.collect().outcomes == {harness.ids[0]: "malformed_response"}
    assert harness.rows("SELECT * FROM day_digests") == before
    assert changes(collect(harness), harness.ids[0]) == {"updated": 1}
