"""The arithmetic of sizes: what a month adds, and how large it will be."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from costbatch.application.inspection import DatabaseSizes, Growth, MonthSize, TableSize
from costbatch.domain.periods import month_start

TODAY = date(2025, 6, 20)
MB = 1024 * 1024


def month(months_back: int, rows: int = 3000, size: int = 3 * MB) -> MonthSize:
    """Return a month this many months ago."""
    return MonthSize(month=month_start(TODAY, months_back=months_back), rows=rows, bytes=size)


def table(name: str, total: int) -> TableSize:
    """Return a table of a size."""
    return TableSize(name=name, rows=1, dead_rows=0, table_bytes=total, index_bytes=0, toast_bytes=0)


def sizes(*months: MonthSize, others: int = 0, **fields: Any) -> DatabaseSizes:
    """Return a database with these months of costs, and other tables of a size."""
    costs = sum(each.bytes for each in months)
    defaults = {
        "today": TODAY,
        "database_bytes": costs + others + 10 * MB,
        "tables": (table("daily_costs", costs), table("events", others)),
        "months": months,
        "accounts": 10,
        "first_run_at": datetime(2024, 6, 20, tzinfo=UTC),
    }
    return DatabaseSizes(**{**defaults, **fields})


def test_a_row_takes_its_share_of_the_month() -> None:
    """A month without rows has no such number."""
    assert (month(1, 4, 1000).bytes_per_row, month(1, 0, 16384).bytes_per_row) == (250, None)


def test_a_table_is_all_of_its_parts() -> None:
    """Data, indexes and what is stored out of line."""
    whole = TableSize(name="x", rows=1, dead_rows=0, table_bytes=1, index_bytes=2, toast_bytes=4)
    assert whole.total_bytes == 7


def test_growth_is_the_mean_of_the_last_three_full_months() -> None:
    """Neither the current month, which is not over, nor an older or an empty one."""
    months = [month(5, 9, 9 * MB), month(3, 1000, MB), month(2, 2000, 2 * MB), month(1, 6000, 6 * MB)]
    growing = sizes(*months, month(0, 77, 7 * MB), others=12 * MB)
    assert growing.growth
    assert growing.growth == Growth(rows=3000, cost_bytes=3 * MB, other_bytes=growing.growth.other_bytes)
    assert growing.growth.other_bytes == pytest.approx(MB, rel=0.01)
    assert growing.growth.bytes == 3 * MB + growing.growth.other_bytes
    assert sizes(month(2, 0, 16384), month(1)).full_months == [month(1)]


def test_without_a_full_month_nothing_tells_how_it_grows() -> None:
    """An installation of this month, and one without costs."""
    for young in (sizes(month(0)), sizes(), sizes(month(1, 0, 16384))):
        assert young.growth is None
        assert young.projected_bytes(keep_months=None) is None
        assert young.rows_per_account_and_day is None


@pytest.mark.parametrize("first_run_at", [None, datetime(2025, 6, 19, tzinfo=UTC)])
def test_what_is_not_costs_grows_by_no_more_than_it_is(first_run_at: datetime | None) -> None:
    """Some days of runs say nothing about a month; nothing is divided by zero."""
    growth = sizes(month(1), others=2 * MB, first_run_at=first_run_at).growth
    assert growth is not None
    assert growth.other_bytes == 2 * MB


def test_a_database_that_keeps_everything_grows_by_twelve_months() -> None:
    """What is not ours in it stays as it is."""
    growing = sizes(*(month(n) for n in range(6, 0, -1)), others=12 * MB)
    added = (growing.projected_bytes(keep_months=None) or 0) - growing.database_bytes
    assert added == pytest.approx(12 * (3 + 1) * MB, rel=0.01)


def test_a_database_that_keeps_some_months_stops_growing() -> None:
    """Costs stop at the months kept and the current one, runs and events likewise."""
    growing = sizes(*(month(n) for n in range(6, 0, -1)), others=12 * MB)
    projected = growing.projected_bytes(keep_months=9)
    # Four months of costs more; of runs there are twelve months now and ten then.
    assert projected == pytest.approx(growing.database_bytes + 4 * 3 * MB - 2 * MB, abs=0.1 * MB)


def test_a_database_that_is_to_be_pruned_shrinks() -> None:
    """More months than will be kept."""
    large = sizes(*(month(n) for n in range(40, 0, -1)))
    assert large.projected_bytes(keep_months=3) == large.database_bytes - 36 * 3 * MB


def test_rows_of_an_account_and_day_are_those_of_the_newest_full_month() -> None:
    """Thirty-one days of May, ten accounts."""
    assert sizes(month(2, 1), month(1, 31 * 10 * 12 + 31)).rows_per_account_and_day == 12.1
    assert sizes(month(1), accounts=0).rows_per_account_and_day is None


def test_the_document_has_everything() -> None:
    """A program reads the same numbers."""
    document = sizes(month(1, 3100), others=MB).to_document(keep_months=37)
    assert document["growth_per_month"]["rows"] == 3100
    assert document["projection"]["months"] == 12
    assert document["projection"]["keep_months"] == 37
    assert document["projection"]["database_bytes"] > document["database_bytes"]
    assert document["rows_per_account_and_day"] == 10.0
    assert [each["name"] for each in document["tables"]] == ["daily_costs", "events"]
    assert document["months"][0]["month"] == "2025-05"
    assert sizes().to_document(keep_months=None)["growth_per_month"] is None
