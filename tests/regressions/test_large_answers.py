"""Memory is bounded by rows, not by accounts: large answers are packed, and read the same."""

import gc
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from costbatch.adapters.aws.cost_explorer import in_flight
from costbatch.adapters.aws.cost_explorer.in_flight import ResponsesInFlight, Share
from costbatch.adapters.aws.cost_explorer.parse import CostResponse
from costbatch.adapters.postgres import PostgresDatabase, costs
from costbatch.adapters.postgres.cost_statements import STAGING
from costbatch.domain.accounts import Account
from costbatch.domain.costs import NO_DIGESTS, DayDigests, FetchedCosts, PackedCosts, StoredChange, pack
from costbatch.domain.detection import Rule
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.errors import AccountError
from costbatch.simulator.world import Anomaly
from tests.support import second_database
from tests.support.database_rows import WINDOW as STORED_WINDOW
from tests.support.database_rows import add_account, cost_row, prepare_months, store
from tests.support.factories import CostRow, days, make_fetched, make_run, rows_of
from tests.support.harness import TODAY, Harness, make_account
from tests.support.query import Query, query

__all__ = ["query"]

WINDOW = days(0, 6)
FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH = WINDOW

Result = dict[str, Any]
Pages = Sequence[Sequence[Result]]


def result(day: date, *names: str, amount: str = "1.50", discount: bool = False) -> Result:
    """Return a day of an answer, with a group of each name; net amounts only where there is a discount."""
    metrics = ["UnblendedCost", "AmortizedCost"] + ["NetUnblendedCost", "NetAmortizedCost"] * discount
    listed = [
        {
            "Keys": [name, "Usage"],
            "Metrics": {metric: {"Amount": amount, "Unit": "USD"} for metric in metrics},
        }
        for name in names
    ]
    period = {"Start": str(day), "End": str(day + ONE_DAY)}
    return {"TimePeriod": period, "Total": {}, "Groups": listed, "Estimated": day == SIXTH}


def read(pages: Pages, share: Share | None = None, previous: DayDigests = NO_DIGESTS) -> FetchedCosts:
    """Read an answer."""
    answer = CostResponse(WINDOW, previous, share)
    for number, page in enumerate(pages, 1):
        token = {"NextPageToken": str(number)} if number < len(pages) else {}
        answer.add_page(json.dumps({"ResultsByTime": page, **token}).encode())
    return answer.fetched(len(pages))


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have memory be tight from the first row on."""
    monkeypatch.setattr(in_flight, "_TIGHT_BYTES", 0)


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have memory be scarce from the first row on."""
    monkeypatch.setattr(in_flight, "_SCARCE_BYTES", 0)


PLAIN = [result(day, "A", "B", discount=day == THIRD) for day in WINDOW]
ANSWERS: dict[str, Pages] = {
    "one page": [PLAIN],
    "a page for each day": [[day] for day in PLAIN],
    "a day on two pages": [PLAIN[:3], [result(THIRD, "C", amount="-9.0E-10")], PLAIN[3:]],
    "a day on the first page and on the last": [PLAIN[:3], PLAIN[3:], [result(FIRST, "C")]],
    "days without cost": [[result(FIRST), result(SECOND)], PLAIN[2:5], [result(SIXTH)]],
    "no cost at all": [[result(day)] for day in WINDOW],
}


@pytest.mark.parametrize("pages", ANSWERS.values(), ids=ANSWERS.keys())
def test_packing_changes_no_row(monkeypatch: pytest.MonkeyPatch, pages: Pages) -> None:
    """Every row to the last digit, every day's digest and count, and as often as it is asked."""
    roomy = read(pages)
    monkeypatch.setattr(in_flight, "_TIGHT_BYTES", 0)
    packed = read(pages)
    assert rows_of(packed.costs) == rows_of(packed.costs) == rows_of(roomy.costs)
    assert (packed.digests, packed.changed_days) == (roomy.digests, roomy.changed_days)
    assert packed.rows == len(packed.costs) == len(roomy.costs)
    assert isinstance(packed.costs, PackedCosts) == (packed.rows > 0)


@pytest.mark.parametrize(
    "changed",
    [{FIRST}, {SECOND, FIFTH}, {FIRST, SIXTH}, set()],
    ids=["first", "two", "first and last", "none"],
)
def test_known_days_between_changed_ones_are_read_from_what_was_packed(
    monkeypatch: pytest.MonkeyPatch, changed: set[date]
) -> None:
    """They wait compressed until it is known whether they are needed."""
    previous = read([PLAIN]).digests
    now = [result(day, "A", "B", "C") if day in changed else PLAIN[n] for n, day in enumerate(WINDOW)]
    pages = [now[:2], now[2:4], now[4:]]
    roomy = read(pages, previous=previous)
    monkeypatch.setattr(in_flight, "_TIGHT_BYTES", 0)
    packed = read(pages, previous=previous)
    assert (packed.changed_days, packed.digests) == (roomy.changed_days, roomy.digests)
    assert rows_of(packed.costs) == rows_of(roomy.costs)


@pytest.mark.parametrize("page", [0, 1, 2])
def test_a_row_that_is_repeated_is_refused_after_its_day_was_packed(tight: None, page: int) -> None:
    """However many pages lie between: nothing is counted twice."""
    pages = [PLAIN[:2], PLAIN[2:4], PLAIN[4:], [result(WINDOW.start + timedelta(days=2 * page), "D", "B")]]
    with pytest.raises(AccountError, match="repeats"):
        read(pages)


def test_what_was_read_of_a_page_is_not_held() -> None:
    """The text is gone before the next page comes."""
    answer = CostResponse(WINDOW)
    body = json.dumps({"ResultsByTime": PLAIN[:3], "NextPageToken": "2"}).encode()
    held = sys.getrefcount(body)
    answer.add_page(body)
    assert sys.getrefcount(body) == held


def test_a_page_with_known_days_is_not_held_if_memory_is_tight(tight: None) -> None:
    """One unchanged day would hold the text of all the others."""
    answer = CostResponse(WINDOW, read([PLAIN]).digests)
    body = json.dumps({"ResultsByTime": PLAIN[:3], "NextPageToken": "2"}).encode()
    held = sys.getrefcount(body)
    answer.add_page(body)
    assert sys.getrefcount(body) == held


def test_packed_rows_take_a_tenth_of_the_memory() -> None:
    """A row of different amounts takes 500 bytes and more before."""
    rows = [
        cost_row(STORED_WINDOW.start, f"{n}.0123456789", service=f"Service {n % 250}") for n in range(2000)
    ]
    (part,) = make_fetched(STORED_WINDOW, *rows).costs.parts
    assert len(pack(part)) < 50 * len(rows)


@pytest.fixture
def all_answers() -> ResponsesInFlight:
    """Return the memory of a process."""
    return ResponsesInFlight()


def held_by(answers: ResponsesInFlight) -> int:
    """Return how many bytes count as held."""
    gc.collect()
    return answers._bytes


@pytest.mark.parametrize("tight_bytes", [0, 1_000_000])
def test_memory_counts_until_the_rows_are_gone(
    monkeypatch: pytest.MonkeyPatch, all_answers: ResponsesInFlight, tight_bytes: int
) -> None:
    """From the first page until the writer has stored them and lets go."""
    monkeypatch.setattr(in_flight, "_TIGHT_BYTES", tight_bytes)
    with all_answers.response() as share:
        fetched = read(ANSWERS["a page for each day"], share)
    assert held_by(all_answers) > 0
    del fetched
    assert held_by(all_answers) == 0


def test_an_answer_that_fails_holds_nothing(all_answers: ResponsesInFlight) -> None:
    """Its attempt is over; the next one begins anew."""
    with pytest.raises(AccountError), all_answers.response() as share:
        read([PLAIN, PLAIN], share)
    assert held_by(all_answers) == 0


def test_one_answer_at_a_time_goes_on_if_memory_is_scarce(
    scarce: None, all_answers: ResponsesInFlight
) -> None:
    """The others wait before their next page, and then each has its turn; no answer waits for itself."""
    ended: list[int] = []

    def fetch(number: int) -> None:
        with all_answers.response() as share:
            share.resize(1)
            share.wait_for_memory()
            share.wait_for_memory()
            time.sleep(0.05)
            ended.append(number)

    with all_answers.response() as first:
        first.resize(1)
        first.wait_for_memory()
        others = [Thread(target=fetch, args=(number,)) for number in range(3)]
        for other in others:
            other.start()
        time.sleep(0.2)
        assert ended == []
    for other in others:
        other.join(10)
    assert sorted(ended) == [0, 1, 2]
    assert held_by(all_answers) == 0


@pytest.fixture
def account(database: PostgresDatabase) -> Account:
    """Register an account, with room for its costs."""
    prepare_months(database)
    return add_account(database)


def packed(fetched: FetchedCosts) -> FetchedCosts:
    """Return the same answer, each row in a part of its own."""
    parts = [pack(part) for row in rows_of(fetched.costs) for part in make_fetched(WINDOW, row).costs.parts]
    return replace(fetched, costs=PackedCosts(parts, len(fetched.costs)))


def replace_packed(database: PostgresDatabase, account: Account, *rows: CostRow) -> StoredChange:
    """Store an answer that is packed."""
    with database.transaction() as tx:
        return tx.costs.replace_windows(
            make_run(), {account.id: packed(make_fetched(STORED_WINDOW, *rows))}, first=[account.id]
        )[account.id]


def stored(query: Query) -> list[tuple[Any, ...]]:
    """Return what is stored."""
    return query("SELECT usage_date, service, unblended FROM daily_costs ORDER BY 1, 2")


def test_packed_rows_are_stored_as_others_are(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """First, and again with one row changed, one gone and one new."""
    first = [cost_row(3), cost_row(4), cost_row(5)]
    assert replace_packed(database, account, *first).inserted == 3
    change = replace_packed(database, account, cost_row(3), cost_row(4, "2"), cost_row(6))
    assert change == StoredChange(
        inserted=1,
        updated=1,
        deleted=1,
        changed_dates=frozenset({date(2026, 3, 4), date(2026, 3, 5), date(2026, 3, 6)}),
    )
    assert [row[0].day for row in stored(query)] == [3, 4, 6]


def test_a_first_collection_meets_rows_that_are_there(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """As after a backfill: no window was collected, and what is stored is compared nevertheless."""
    store(database, account, [cost_row(3), cost_row(4, "7")])
    change = replace_packed(database, account, cost_row(3), cost_row(5))
    assert (change.inserted, change.updated, change.deleted) == (1, 0, 1)
    assert [row[0].day for row in stored(query)] == [3, 5]


def test_a_first_collection_writes_nothing_to_a_table_of_its_session(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """It has many rows, and there is nothing to compare them with."""
    with database.transaction() as tx:
        tx.costs.replace_windows(
            make_run(), {account.id: make_fetched(STORED_WINDOW, cost_row(3))}, first=[account.id]
        )
        staged = tx.connection.exec_driver_sql(f"SELECT to_regclass('pg_temp.{STAGING.name}')").scalar()
    assert staged is None
    assert len(stored(query)) == 1


def test_a_transaction_that_is_lost_can_be_repeated(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """The parts are there again, and nothing of the first time is."""
    fetched = packed(make_fetched(STORED_WINDOW, cost_row(3), cost_row(4)))
    with database.transaction() as tx:
        tx.costs.replace_windows(make_run(), {account.id: fetched}, first=[account.id])
        tx.connection.rollback()
    assert stored(query) == []
    with database.transaction() as tx:
        change = tx.costs.replace_windows(make_run(), {account.id: fetched}, first=[account.id])[account.id]
    assert change.inserted == len(stored(query)) == 2


def test_a_run_that_packs_everything_judges_the_same(
    harness: Harness, second: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Costs, anomalies and their explanations: the first night, and one on which days are restated.

    Totals are judged beside the services.
    """
    variables = {"COSTBATCH_ANOMALY_PER_SERVICE": "true"}
    spike = Anomaly("spike", TODAY - timedelta(days=3), 4.0, days=2)
    accounts = [
        make_account(1, services=6, anomalies=(spike,)),
        make_account(2, profile="steady", start=TODAY - timedelta(days=20)),
    ]
    restated = [replace(each, daily_cost=each.daily_cost * 1.01) for each in accounts]
    for world in (accounts, restated):
        harness.open(*world, page_size=7)
        second.open(*world, page_size=7)
        assert harness.collect(**variables).status == 0
        with monkeypatch.context() as patched:
            patched.setattr(in_flight, "_TIGHT_BYTES", 0)
            assert second.collect(**variables).status == 0
        assert second_database.costs(second) == second_database.costs(harness)
        for ours, theirs in zip(second_database.judged(second), second_database.judged(harness), strict=True):
            # Services are told in the order in which they are read.
            assert sorted(map(str, ours)) == sorted(map(str, theirs))
    assert second_database.judged(harness)[0]


def test_first_charges_of_a_long_history_are_found_a_month_at_a_time(
    harness: Harness, second: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All days of all services at once took 600 MB of a million rows; what is found is the same."""
    accounts = [make_account(n, services=4, start=TODAY - timedelta(days=90 * n)) for n in (1, 2)]
    harness.open(*accounts)
    second.open(*accounts)
    assert harness.collect().status == 0
    read_days: list[int] = []
    service_totals = costs.PostgresCosts.service_totals

    def noting(store: costs.PostgresCosts, account: Account, period: DateRange, rule: Rule) -> Any:
        read_days.append(len(period))
        return service_totals(store, account, period, rule)

    monkeypatch.setattr(costs.PostgresCosts, "service_totals", noting)
    monkeypatch.setattr(in_flight, "_TIGHT_BYTES", 0)
    assert second.collect().status == 0
    assert max(read_days) == 31
    assert sum(read_days) > 270
    query = "SELECT * FROM first_charges ORDER BY account_id, service"
    assert second.rows(query) == harness.rows(query) != []


def _peak_bytes(pid: int) -> int:
    """Return the peak so far; 0 of a process that has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


@pytest.fixture
def large(harness: Harness) -> Harness:
    """Have eight accounts with 25,000 rows each, all in one process."""
    start = TODAY - timedelta(days=400)
    harness.open(*(make_account(n, services=63, start=start, costs_like="large") for n in range(1, 9)))
    return harness


# Ten seconds of CPU; that rows are packed and that answers wait is tested above.
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_first_collections_at_once_need_little_memory(large: Harness) -> None:
    """200,000 rows in flight, which took 300 MB when every row was held until all were written."""
    process, peak = large.start("collect", "--output", "json"), 0
    while process.poll() is None:
        peak = max(peak, _peak_bytes(process.pid))
        time.sleep(0.05)
    assert process.returncode == 0, process.communicate()
    process.communicate()
    assert large.value("SELECT count(*) FROM daily_costs") == 8 * large.value(
        "SELECT count(*) FROM daily_costs WHERE account_id = (SELECT min(account_id) FROM daily_costs)"
    )
    assert large.value("SELECT min(rows_fetched) FROM cost_collections") > 20_000
    assert 0 < peak < 190_000_000
