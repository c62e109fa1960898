"""Promise 3: late data is normal. Replay one after the other, with days that come late and change."""

import re
from datetime import date, timedelta
from typing import Any

import pytest

from costbatch.domain.periods import DateRange
from costbatch.simulator.world import CostRow, Fault
from tests.support.bills import billed, stored
from tests.support.documents import ROOT
from tests.support.harness import EC2, ONE_DAY, TODAY, Finished, Harness, Row, bill, make_account, steady

YESTERDAY = TODAY - ONE_DAY


def changes(run: Finished, aws_account_id: str) -> dict[str, int]:
    """Return how many rows a run wrote of an account."""
    rows: dict[str, int] = run.account(aws_account_id)["rows"]
    return {name: count for name, count in rows.items() if name != "fetched" and count}


def window(run: Finished, aws_account_id: str) -> tuple[str, str]:
    """Return the days that a run read of an account."""
    found: Row = run.account(aws_account_id)["window"]
    return found["start"], found["end_exclusive"]


def morning(harness: Harness, day: date, rows: tuple[CostRow, ...] | None = None, **environ: str) -> Finished:
    """Sleep until a day, let AWS have these rows, and collect."""
    harness.sleep_until(day)
    if rows is not None:
        harness.aws.set_rows(harness.ids[0], rows)
    run = harness.collect(**environ)
    assert run.status == 0
    return run


def test_promise_3_a_first_collection_reads_the_history(harness: Harness) -> None:
    """Thirteen whole months before the current one, in one request; a setting reads less."""
    harness.open(make_account(1), make_account(2))
    run = harness.collect("--account", harness.ids[0])
    assert window(run, harness.ids[0]) == ("2024-02-01", "2025-03-12")
    assert harness.aws.paid() == 1
    run = harness.collect("--account", harness.ids[1], COSTBATCH_HISTORY_MONTHS="1")
    assert window(run, harness.ids[1]) == ("2025-02-01", "2025-03-12")


def test_promise_3_every_run_reads_the_trailing_window_again(harness: Harness) -> None:
    """The next morning reads 35 days in one request, writes the new day only and leaves the rest alone."""
    harness.open(make_account(1))
    harness.collect()
    run = morning(harness, TODAY + ONE_DAY)
    assert window(run, harness.ids[0]) == ("2025-02-06", "2025-03-13")
    assert changes(run, harness.ids[0]) == {"inserted": 2}
    assert harness.aws.paid() == 2


def test_promise_3_an_unchanged_morning_writes_nothing(harness: Harness) -> None:
    """A second run on the same day finds all as it is: not one row is written, not even the same again."""
    harness.open(make_account(1))
    harness.collect()
    versions = "SELECT xmin::text, ctid::text FROM daily_costs ORDER BY ctid"
    before = harness.rows(versions)
    assert changes(harness.collect(), harness.ids[0]) == {}
    assert harness.rows(versions) == before


def test_promise_3_restated_vanished_and_late_rows_are_followed(harness: Harness) -> None:
    """A day that AWS restates is restated, a row that it takes back is deleted, a late one is added."""
    kept = steady("10.00", until=YESTERDAY)
    first = (*kept, bill(YESTERDAY, "4.00"), bill(YESTERDAY, "1.00", service="AWS Lambda"))
    harness.open(make_account(1, rows=first))
    harness.collect()
    late = bill(YESTERDAY, "0.50", record_type="Tax")
    second = (*kept, bill(YESTERDAY, "9.75"), late, bill(TODAY, "10.00"))
    run = morning(harness, TODAY + ONE_DAY, second)
    assert changes(run, harness.ids[0]) == {"inserted": 2, "updated": 1, "deleted": 1}
    account = make_account(1, rows=second)
    assert stored(harness, harness.ids[0]) == billed(
        account, {row.date for row in second}, read_on=harness.today
    )


def test_promise_3_ten_mornings_of_late_data_equal_the_bill(harness: Harness) -> None:
    """Each morning the window is AWS's of that morning, though days settle, change and come late."""
    accounts = [
        make_account(n, profile=profile, services=4) for n, profile in enumerate(("late", "steady"), 1)
    ]
    harness.open(*accounts)
    for n in range(10):
        run = morning(harness, TODAY + n * ONE_DAY)
        for account in accounts:
            days = DateRange(*map(date.fromisoformat, window(run, account.account_id)))
            now = {key: row for key, row in stored(harness, account.account_id).items() if key[0] in days}
            assert now == billed(account, days, read_on=harness.today)
    assert run.account(harness.ids[0])["rows"]["updated"] > 0


def test_promise_3_a_skipped_night_is_read_by_the_next(harness: Harness) -> None:
    """A night that the schedule leaves out, as daylight saving does, is no hole."""
    harness.open(make_account(1))
    harness.collect()
    run = morning(harness, TODAY + 2 * ONE_DAY)
    assert changes(run, harness.ids[0]) == {"inserted": 4}
    assert days_without_cost(harness) == []


def test_promise_3_an_outage_longer_than_the_window_heals(harness: Harness) -> None:
    """After seven weeks the run reads back as far as the first missed one would have, in one request."""
    harness.open(make_account(1))
    harness.collect()
    run = morning(harness, TODAY + timedelta(days=49))
    assert window(run, harness.ids[0]) == ("2025-02-06", "2025-04-30")
    assert days_without_cost(harness) == []
    assert harness.aws.paid() == 2


def test_promise_3_a_broken_account_heals_while_the_others_go_on(harness: Harness) -> None:
    """Five nights without one account: it reads what it missed, the others their window."""
    harness.open(make_account(1), make_account(2))
    harness.collect(COSTBATCH_WINDOW_DAYS="3")
    harness.aws.add_fault(harness.ids[0], "access_denied", times=5)
    for n in range(1, 6):
        assert (
            morning(harness, TODAY + n * ONE_DAY, COSTBATCH_WINDOW_DAYS="3").outcomes[harness.ids[1]]
            == "collected"
        )
    run = morning(harness, TODAY + timedelta(days=6), COSTBATCH_WINDOW_DAYS="3")
    assert window(run, harness.ids[0]) == ("2025-03-10", "2025-03-18")
    assert window(run, harness.ids[1]) == ("2025-03-15", "2025-03-18")
    assert days_without_cost(harness) == []


@pytest.mark.parametrize(
    ("day", "close_day", "start"),
    [
        (date(2025, 4, 8), "10", "2025-03-01"),
        (date(2025, 4, 11), "10", "2025-03-07"),
        (date(2025, 4, 8), "5", "2025-03-04"),
        (date(2025, 4, 8), "0", "2025-03-04"),
    ],
)
def test_promise_3_last_month_is_read_whole_while_it_is_open(
    harness: Harness, day: date, close_day: str, start: str
) -> None:
    """Until the closing day of the month the whole last month is read again; a setting moves it."""
    harness.open(make_account(1))
    harness.sleep_until(day - ONE_DAY)
    harness.collect()
    run = morning(harness, day, COSTBATCH_MONTH_CLOSE_DAY=close_day)
    assert window(run, harness.ids[0]) == (start, day.isoformat())


def test_promise_3_history_is_never_asked_for_beyond_aws(harness: Harness) -> None:
    """After a year away the run asks for what AWS still has, and not for what is lost."""
    harness.open(make_account(1))
    harness.collect()
    run = morning(harness, date(2026, 8, 20))
    assert window(run, harness.ids[0]) == ("2025-07-01", "2026-08-20")


def test_promise_3_a_currency_that_changes_is_stored_as_billed(harness: Harness) -> None:
    """Each day keeps the currency that AWS billed it in, before and after the change."""
    change: dict[str, Any] = {"currency_change": {"start": TODAY.isoformat(), "currency": "EUR"}}
    harness.open(make_account(1, services=1))
    harness.collect()
    harness.aws.update_account(harness.ids[0], **change)
    morning(harness, TODAY + ONE_DAY)
    found = harness.rows(
        "SELECT currency, count(*), min(usage_date), max(usage_date) FROM daily_costs GROUP BY 1"
    )
    assert sorted(tuple(row.values()) for row in found) == [
        ("EUR", 1, TODAY, TODAY),
        ("USD", 60, TODAY - timedelta(days=60), YESTERDAY),
    ]


def test_promise_3_a_backfill_reads_the_days_asked_for_and_no_others(harness: Harness) -> None:
    """--from and --to replace the window of every account; the days around them stay as they are."""
    harness.open(make_account(1, faults=(Fault("not_enabled", times=1),)))
    assert harness.collect().status == 1
    run = harness.collect("--from", "2025-02-01", "--to", "2025-02-10")
    assert window(run, harness.ids[0]) == ("2025-02-01", "2025-02-11")
    assert {day for day, _, _ in stored(harness, harness.ids[0])} == set(
        DateRange(date(2025, 2, 1), date(2025, 2, 11))
    )
    run = morning(harness, TODAY + ONE_DAY)
    assert window(run, harness.ids[0])[0] == "2024-02-01"


def days_without_cost(harness: Harness) -> list[Row]:
    """Return (account, day) of the days since the accounts began that have no cost row."""
    return harness.rows(
        "SELECT a.id, day FROM accounts a, generate_series(%s::date, %s::date, '1 day') AS day "
        "WHERE NOT EXISTS (SELECT FROM daily_costs WHERE account_id = a.id AND usage_date = day)",
        TODAY - timedelta(days=60),
        harness.today - ONE_DAY,
    )


def test_the_documents_query_tells_what_nights_changed_of_known_days(harness: Harness) -> None:
    """The largest of each currency: restated, late and vanished rows, but no day that was read first then."""
    (query,) = re.findall(
        r"```sql\n([^`]*JOIN cost_changes[^`]*)```", (ROOT / "docs" / "schema.md").read_text()
    )
    known = YESTERDAY - ONE_DAY
    # More changes in yen than the query shows, each larger than any in dollars.
    services = [f"Service {n:02}" for n in range(60)]

    def rows(dollars: str, yen: str) -> tuple[CostRow, ...]:
        restated = (bill(known, yen, service=service, unit="JPY") for service in services)
        newest = steady("10.00", until=TODAY + 3 * ONE_DAY, days=4)
        return (*steady("10.00", until=known), bill(known, dollars), *restated, *newest)

    harness.open(make_account(1, rows=(*rows("10.00", "5000"), bill(known, "3.00", service="vanished"))))
    assert harness.collect().status == 0
    # One night is missed: the next one reads two days for the first time.
    morning(harness, TODAY + 2 * ONE_DAY, (*rows("12.00", "9000"), bill(YESTERDAY, "7.00", service="late")))
    found = harness.rows(query.replace("current_date", f"DATE '{harness.today}'"))
    differences = [(row["service"], int(row["difference"])) for row in found if row["currency"] == "USD"]
    assert differences == [("late", 7), ("vanished", -3), (EC2, 2)]
    assert [int(row["difference"]) for row in found if row["currency"] == "JPY"] == [4000] * 50
