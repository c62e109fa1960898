"""Pruning: its order, its retries, and what it leaves for the next one."""

from datetime import date
from threading import Event
from typing import Any

import pytest

from costbatch.application import retention
from costbatch.application.inspection import MonthSize
from costbatch.application.retention import OldRows, Pruning, Retention
from costbatch.errors import ConfigError
from tests.support.fake_records import FEBRUARY, JANUARY, FakeRecords

TODAY, FIRST_KEPT = date(2025, 6, 20), date(2025, 3, 1)
MONTH = MonthSize(month=date(2025, 1, 1), rows=4, bytes=8192)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAUSE_SECONDS", 0)


def keeping_three_months(records: FakeRecords, **fields: Any) -> Retention:
    """Return the pruning that keeps three months."""
    return Retention(records=records, keep_months=3, check_schema=lambda: None, **fields)


def test_the_stored_days_move_before_and_after_the_months_go() -> None:
    """Days called stored are stored at every moment; accounts saved meanwhile are moved afterwards."""
    records = FakeRecords(accounts=3)
    pruning = keeping_three_months(records).prune(TODAY)
    assert records.steps[:4] == ["move 3", "drop January", "drop February", "move 0"]
    assert (pruning.first_kept, pruning.months, pruning.accounts) == (FIRST_KEPT, (JANUARY, FEBRUARY), 3)
    assert (pruning.held_up, records.months) == ((), [])


def test_a_clock_that_is_ahead_of_the_databases_drops_nothing_more() -> None:
    """The earlier of the two days counts: what a pod whose clock is years ahead drops cannot be undone."""
    records = FakeRecords(accounts=2, database_date=date(2025, 5, 7))
    years_ahead = TODAY.replace(year=2029)
    looked = keeping_three_months(records).look(years_ahead)
    pruning = keeping_three_months(records).prune(years_ahead)
    assert (looked.first_kept, pruning.first_kept) == (date(2025, 2, 1), date(2025, 2, 1))
    assert looked.months == pruning.months == (JANUARY,)
    behind = FakeRecords(database_date=date(2029, 1, 1))
    assert keeping_three_months(behind).prune(TODAY).first_kept == FIRST_KEPT


def test_rows_go_in_bounded_batches_until_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is one short transaction; runs count with their items."""
    monkeypatch.setattr(retention, "_BATCH", 10)
    monkeypatch.setattr(retention, "_ACCOUNTS_BATCH", 2)
    records = FakeRecords(months=[], accounts=5, old={OldRows.RUNS: 25, OldRows.EVENTS: 1})
    pruning = keeping_three_months(records).prune(TODAY)
    assert records.steps[:3] == ["move 2", "move 2", "move 1"]
    assert [step for step in records.steps if "runs" in step] == [
        f"delete {number} runs" for number in (10, 10, 5, 0)
    ]
    assert pruning.rows == {
        OldRows.RUN_ITEMS: 50,
        OldRows.RUNS: 25,
        OldRows.EVENTS: 1,
        OldRows.ANOMALIES: 0,
        OldRows.RESOURCES: 0,
        OldRows.COST_VERSIONS: 0,
    }


def test_a_lock_held_by_another_process_is_waited_for() -> None:
    """A few attempts later it is free."""
    records = FakeRecords(accounts=1, held={"drop": 5, "move": 5})
    assert keeping_three_months(records).prune(TODAY).months == (JANUARY, FEBRUARY)


def test_a_month_that_is_never_free_stays_and_the_later_ones_with_it() -> None:
    """There is no gap in what is stored; everything else is pruned, and the next pruning drops them."""
    records = FakeRecords(held={"drop": 10_000}, old={OldRows.EVENTS: 4})
    pruning = keeping_three_months(records).prune(TODAY)
    assert (pruning.months, pruning.held_up) == ((), (JANUARY, FEBRUARY))
    assert pruning.rows[OldRows.EVENTS] == 4
    records.held = {}
    assert keeping_three_months(records).prune(TODAY).months == (JANUARY, FEBRUARY)


def test_no_month_goes_while_an_account_counts_on_it() -> None:
    """An account whose row is locked all the time keeps its days."""
    records = FakeRecords(accounts=1, held={"move": 10_000})
    pruning = keeping_three_months(records).prune(TODAY)
    assert (pruning.months, pruning.held_up, pruning.accounts) == ((), (JANUARY, FEBRUARY), 0)


def test_a_role_without_the_rights_does_nothing_at_all() -> None:
    """One sentence names everything that it lacks."""
    records = FakeRecords(missing=("DELETE on runs", "ownership of daily_costs_2025_01"))
    with pytest.raises(ConfigError) as refused:
        keeping_three_months(records).prune(TODAY)
    assert str(refused.value) == (
        "The role reader cannot prune, because it lacks DELETE on runs, ownership of daily_costs_2025_01; "
        "set DATABASE_URL to the role that owns the tables."
    )
    assert records.steps == []


def test_a_schema_that_does_not_fit_is_left_alone() -> None:
    """Neither looked at nor touched."""

    def refuse() -> None:
        raise ConfigError("A newer schema.")

    records = FakeRecords()
    strict = Retention(records=records, keep_months=3, check_schema=refuse)
    for action in (strict.look, strict.prune):
        with pytest.raises(ConfigError, match="A newer schema"):
            action(TODAY)
    assert records.steps == []


def test_a_look_changes_nothing() -> None:
    """It returns what a pruning would delete."""
    records = FakeRecords(accounts=2, old={OldRows.ANOMALIES: 7})
    found = keeping_three_months(records).look(TODAY)
    assert (found.first_kept, found.months, found.accounts) == (FIRST_KEPT, (JANUARY, FEBRUARY), 2)
    assert found.rows[OldRows.ANOMALIES] == 7
    assert records.steps == []


def test_a_process_that_is_to_end_stops_between_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is for the next pruning."""
    monkeypatch.setattr(retention, "_BATCH", 10)
    stop = Event()
    records = FakeRecords(old={OldRows.RUNS: 25})
    records.after_each = lambda: stop.set() if "drop January" in records.steps else None
    pruning = keeping_three_months(records, stop=stop).prune(TODAY)
    assert (pruning.months, pruning.held_up) == ((JANUARY,), (FEBRUARY,))
    assert records.steps[-1] == "drop January"
    assert records.old[OldRows.RUNS] == 25


@pytest.mark.parametrize(
    ("pruning", "is_empty"),
    [
        (Pruning(first_kept=date(2025, 2, 1)), True),
        (Pruning(first_kept=date(2025, 2, 1), rows=dict.fromkeys(OldRows, 0)), True),
        (Pruning(first_kept=date(2025, 2, 1), rows={OldRows.EVENTS: 1}), False),
        (Pruning(first_kept=date(2025, 2, 1), months=(MONTH,)), False),
        (Pruning(first_kept=date(2025, 2, 1), held_up=(MONTH,)), False),
        (Pruning(first_kept=date(2025, 2, 1), accounts=1), False),
    ],
)
def test_a_pruning_knows_whether_there_was_anything(pruning: Pruning, *, is_empty: bool) -> None:
    """Anything that went, or should have gone, counts."""
    assert pruning.is_empty is is_empty


def test_a_pruning_as_a_document_names_every_kind() -> None:
    """Programs find a 0 rather than nothing."""
    pruning = Pruning(first_kept=date(2025, 2, 1), months=(MONTH,), accounts=2, rows={OldRows.RUNS: 3})
    month = {"month": "2025-01", "rows": 4, "bytes": 8192, "bytes_per_row": 2048}
    assert pruning.to_document() == {
        "first_kept_day": date(2025, 2, 1),
        "months": [month],
        "held_up_months": [],
        "accounts": 2,
        "rows": {
            "run_items": 0,
            "runs": 3,
            "events": 0,
            "anomalies": 0,
            "resources": 0,
            "cost_versions": 0,
        },
    }
