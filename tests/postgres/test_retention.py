"""Pruning on a real PostgreSQL: what goes and what stays."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Connection

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.retention import PostgresRetention
from costbatch.application import retention
from costbatch.application.retention import OldRows
from tests.postgres.conftest import Query
from tests.postgres.old_rows import (
    FIRST_KEPT,
    OLD,
    PARTITIONS,
    TODAY,
    YOUNG,
    add_anomaly,
    add_cost_version,
    add_event,
    add_resource,
    add_run,
    cover,
    ids,
    keeper,
    prune,
    store_costs,
)
from tests.support.database_rows import add_account


@pytest.fixture
def costs(database: PostgresDatabase, query: Query) -> None:
    """Store two days of every month, for two accounts."""
    store_costs(database, query)


@pytest.mark.usefixtures("costs")
def test_months_that_lie_wholly_before_the_first_kept_day_go(
    database: PostgresDatabase, query: Query
) -> None:
    """September, October and November of seven; not a row of the others is touched."""
    before = query(
        "SELECT * FROM daily_costs WHERE usage_date >= '2025-12-01' ORDER BY account_id, usage_date"
    )
    query("ANALYZE")
    pruning = prune(database)
    assert [(each.month, each.rows) for each in pruning.months] == [
        (date(2025, n, 1), 4) for n in (9, 10, 11)
    ]
    assert (pruning.first_kept, pruning.held_up) == (FIRST_KEPT, ())
    assert query("SELECT * FROM daily_costs ORDER BY account_id, usage_date") == before
    assert query(PARTITIONS) == [
        (f"{table}_{month}",)
        for table in ("cost_changes", "daily_costs", "daily_expectations")
        for month in ("2025_12", "2026_01", "2026_02", "2026_03")
    ]
    database.check_schema()
    assert prune(database).is_empty


@pytest.mark.parametrize("zone", ["Etc/GMT+12", "Etc/GMT-14"])
def test_the_databases_day_is_utcs(database: PostgresDatabase, zone: str) -> None:
    """Whatever time zone the session has: at any time of day, one of these two has another date."""

    @contextmanager
    def connect() -> Iterator[Connection]:
        with database.connection() as connection:
            connection.exec_driver_sql(f"SET LOCAL TimeZone TO '{zone}'")
            yield connection

    before = datetime.now(UTC).date()
    assert before <= PostgresRetention(connect).utc_date() <= datetime.now(UTC).date()


@pytest.mark.usefixtures("costs")
def test_a_look_tells_what_goes_and_changes_nothing(database: PostgresDatabase, query: Query) -> None:
    """The same months, accounts and rows as the pruning then takes."""
    cover(query, "2025-09-01", "2026-03-10")
    run = add_run(query, started=OLD, ended=OLD, accounts=2)
    add_event(query, OLD, OLD, run=run)
    add_anomaly(query, "resolved", date(2025, 11, 30), run=run)
    add_resource(query, OLD)
    add_cost_version(query, date(2025, 11, 30))
    query("ANALYZE")
    looked = keeper(database).look(TODAY)
    assert looked == keeper(database).look(TODAY)
    assert looked == prune(database)
    assert (len(looked.months), looked.accounts) == (3, 2)
    assert looked.rows == {**dict.fromkeys(OldRows, 1), OldRows.RUN_ITEMS: 2}
    assert keeper(database).look(TODAY).is_empty


def test_stored_days_begin_with_the_first_kept_one(database: PostgresDatabase, query: Query) -> None:
    """A range that reaches back begins there, one that lies before is none, the others are as they were."""
    ranges = [
        ("2025-09-01", "2026-03-10", date(2025, 12, 1), date(2026, 3, 10)),
        ("2025-09-01", "2025-12-02", date(2025, 12, 1), date(2025, 12, 2)),
        ("2025-09-01", "2025-12-01", None, None),
        ("2025-12-01", "2026-03-10", date(2025, 12, 1), date(2026, 3, 10)),
        ("2026-01-15", "2026-03-10", date(2026, 1, 15), date(2026, 3, 10)),
        (None, None, None, None),
    ]
    for number, (start, end, *_) in enumerate(ranges, 1):
        add_account(database, number)
        cover(query, start, end, f"account-{number}")
    assert prune(database).accounts == 3
    assert query("SELECT covered_start, covered_end_exclusive FROM account_progress ORDER BY account_id") == [
        each[2:] for each in ranges
    ]


@pytest.mark.parametrize("job", ["import-aws", "discover"])
def test_the_days_of_other_jobs_stay(database: PostgresDatabase, query: Query, job: str) -> None:
    """What the import asked AWS about is stored for ever; only the days of costs go, and are counted."""
    for number in (1, 2):
        add_account(database, number)
    cover(query, "2025-09-01", "2026-03-10", job=job)
    assert keeper(database).look(TODAY).is_empty
    cover(query, "2025-09-01", "2026-03-10", "account-1")
    assert keeper(database).look(TODAY).accounts == 1
    assert prune(database).accounts == 1
    assert query(
        "SELECT job, account_id - min(account_id) OVER (), covered_start FROM account_progress"
        " ORDER BY job = 'collect', account_id"
    ) == [(job, 0, date(2025, 9, 1)), (job, 1, date(2025, 9, 1)), ("collect", 0, FIRST_KEPT)]
    assert prune(database).is_empty


def test_what_only_backfills_have_read_begins_with_the_first_kept_day_too(
    database: PostgresDatabase, query: Query
) -> None:
    """The last ordinary run of the first account, of three, lies before what is kept."""
    for number, day in enumerate(("2025-10-01", "2026-02-01", None), 1):
        add_account(database, number)
        cover(query, "2025-09-01", "2026-03-10", f"account-{number}")
        query(
            "UPDATE account_progress SET backfilled_from = CAST(:day AS date) WHERE account_id IN"
            " (SELECT id FROM accounts WHERE name = :name)",
            day=day,
            name=f"account-{number}",
        )
    prune(database)
    found = query("SELECT backfilled_from FROM account_progress ORDER BY account_id")
    assert found == [(FIRST_KEPT,), (date(2026, 2, 1),), (None,)]


def test_more_accounts_than_a_batch_are_all_moved(
    database: PostgresDatabase, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at a time, until none is left."""
    monkeypatch.setattr(retention, "_ACCOUNTS_BATCH", 2)
    for number in range(1, 6):
        add_account(database, number)
    cover(query, "2025-09-01", "2026-03-10")
    assert prune(database).accounts == 5
    assert query("SELECT DISTINCT covered_start FROM account_progress") == [(FIRST_KEPT,)]


def test_runs_that_ended_before_go_with_their_items(database: PostgresDatabase, query: Query) -> None:
    """What they found and wrote stays, without its run, if it is still needed."""
    for number in (1, 2):
        add_account(database, number)
    old = add_run(query, started=OLD, ended=OLD, accounts=2)
    kept = add_run(query, started=OLD, ended=YOUNG, accounts=2)
    undelivered = add_event(query, OLD, None, run=old)
    opened = add_anomaly(query, "open", date(2025, 10, 1), run=old)
    pruning = prune(database)
    assert ids(query, "runs") == {kept}
    assert query("SELECT DISTINCT run_id FROM run_items") == [(kept,)]
    assert (pruning.rows[OldRows.RUNS], pruning.rows[OldRows.RUN_ITEMS]) == (1, 2)
    assert query("SELECT id, run_id FROM events") == [(undelivered, None)]
    assert query("SELECT id, run_id FROM anomalies") == [(opened, None)]


def test_a_run_that_never_ended_goes_once_nothing_of_it_lives(
    database: PostgresDatabase, query: Query
) -> None:
    """A key that is used again for years keeps its run, and so does one that is worked on."""
    add_account(database)
    add_run(query, started=OLD, ended=None, state="pending")
    reopened = add_run(query, started=OLD, ended=None, state="pending", available_at=YOUNG)
    ended = add_run(query, started=OLD, ended=None, finished_at=YOUNG)
    recent = add_run(query, started=YOUNG, ended=None, state="pending")
    leased = add_run(query, started=OLD, ended=None, state="pending")
    query(
        "UPDATE run_items SET state = 'running', claimed_by = 'x', claim_token = gen_random_uuid(),"
        " lease_expires_at = :at WHERE run_id = :run",
        at=YOUNG,
        run=leased,
    )
    prune(database)
    assert ids(query, "runs") == {reopened, ended, recent, leased}
    assert query("SELECT count(*) FROM run_items") == [(4,)]


def test_events_that_every_sink_has_go(database: PostgresDatabase, query: Query) -> None:
    """One that a sink still has to take stays, however old; so does everything that happened since."""
    waiting = add_event(query, OLD, OLD, None)
    add_event(query, OLD, OLD, YOUNG)
    add_event(query, OLD)
    young = add_event(query, YOUNG, YOUNG)
    assert prune(database).rows[OldRows.EVENTS] == 2
    assert ids(query, "events") == {waiting, young}
    assert query("SELECT count(*) FROM deliveries") == [(3,)]
    query("UPDATE deliveries SET state = 'delivered', delivered_at = now()")
    assert prune(database).rows[OldRows.EVENTS] == 1


def test_events_about_an_open_anomaly_stay_for_its_end(database: PostgresDatabase, query: Query) -> None:
    """Or a sink that was told of it would not be told its end, if a filter excludes that for its size."""
    account = add_account(database)
    opened = add_anomaly(query, "open", date(2025, 10, 1))
    over = add_anomaly(query, "resolved", date(2025, 10, 1))
    kept, _ = (
        add_event(query, OLD, OLD, account_id=account.id, data={"anomaly": {"id": f"{anomaly}"}})
        for anomaly in (opened, over)
    )
    assert keeper(database).look(TODAY).rows[OldRows.EVENTS] == 1
    assert prune(database).rows[OldRows.EVENTS] == 1
    assert ids(query, "events") == {kept}
    query("UPDATE anomalies SET state = 'resolved', resolution = 'ended'")
    assert prune(database).rows[OldRows.EVENTS] == 1


def test_anomalies_that_are_over_go(database: PostgresDatabase, query: Query) -> None:
    """Resolved, with every day before the first kept one; what is open stays."""
    add_account(database)
    opened = add_anomaly(query, "open", date(2025, 10, 1))
    reaching = add_anomaly(query, "resolved", FIRST_KEPT)
    for day in (30, 20):
        add_anomaly(query, "resolved", date(2025, 11, day))
    assert prune(database).rows[OldRows.ANOMALIES] == 2
    assert ids(query, "anomalies") == {opened, reaching}


def test_many_rows_go_in_small_transactions(
    database: PostgresDatabase, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transaction deletes more than a batch, and in the end nothing is left."""
    monkeypatch.setattr(retention, "_BATCH", 4)
    for number in range(1, 11):
        add_account(database, number)
    for _ in range(3):
        add_run(query, started=OLD, ended=OLD, accounts=10)
    for _ in range(9):
        add_event(query, OLD, OLD)
        add_anomaly(query, "resolved", date(2025, 10, 2))
        add_resource(query, OLD)
    query("CREATE TABLE deleted (transaction xid8, name text, number bigint)")
    query(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO deleted"
        " SELECT pg_current_xact_id(), TG_TABLE_NAME, count(*) FROM gone; RETURN NULL; END $$"
    )
    for table in OldRows:
        query(
            f"CREATE TRIGGER note AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone"
            " FOR EACH STATEMENT EXECUTE FUNCTION note()"
        )
    assert sum(prune(database).rows.values()) == 30 + 3 + 9 + 9 + 9
    deleted = [row[0] for row in query("SELECT sum(number) FROM deleted GROUP BY transaction, name")]
    assert (max(deleted), sum(deleted)) == (4, 60)


def test_resources_that_are_long_gone_go(database: PostgresDatabase, query: Query) -> None:
    """Those that are there stay, however old they are."""
    add_account(database)
    add_resource(query, OLD)
    kept = {add_resource(query, YOUNG), add_resource(query, None)}
    assert prune(database).rows[OldRows.RESOURCES] == 1
    assert ids(query, "resources") == kept


@pytest.mark.parametrize(
    ("status", "since", "goes"),
    [("removed", OLD, True), ("removed", YOUNG, False), ("paused", OLD, False)],
)
def test_the_resources_of_an_account_that_was_removed_long_ago_go(
    database: PostgresDatabase, query: Query, status: str, since: datetime, *, goes: bool
) -> None:
    """No run will ever find them gone; those of one that was removed lately stay, as its costs do."""
    add_account(database)
    kept = {add_resource(query, None), add_resource(query, YOUNG)}
    query("UPDATE accounts SET status = :status, updated_at = :since", status=status, since=since)
    assert keeper(database).look(TODAY).rows[OldRows.RESOURCES] == (2 if goes else 0)
    assert prune(database).rows[OldRows.RESOURCES] == (2 if goes else 0)
    assert ids(query, "resources") == (set() if goes else kept)


def rows_read(plan: Mapping[str, Any], table: str) -> float:
    """Return how many rows of a table the nodes of a plan that was carried out have read."""
    own = 0.0
    if plan.get("Relation Name") == table and "Scan" in plan["Node Type"]:
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return own + sum(rows_read(each, table) for each in plan.get("Plans", ()))


@pytest.mark.parametrize("kept", [0, 3])
def test_no_night_reads_the_resources_of_all_accounts(
    database: PostgresDatabase, query: Query, kept: int
) -> None:
    """Most accounts were removed long ago, and their resources are gone but for those of one, or all."""
    query(
        "INSERT INTO accounts (aws_account_id, name, status, access, partition, created_at, updated_at)"
        " SELECT lpad(n::text, 12, '0'), 'n', CASE WHEN n > 200 THEN 'active' ELSE 'removed' END,"
        " 'pod_identity', 'aws', :old, :old FROM generate_series(1, 300) n",
        old=OLD,
    )
    query(
        "INSERT INTO resources"
        " (account_id, arn_digest, arn, service, type, region, name, tags, first_seen_at)"
        " SELECT id, decode(md5(id || ' ' || n), 'hex'), 'arn:x', 's3', 'bucket', 'eu-west-1', 'b', '{}',"
        " :old"
        " FROM accounts, generate_series(1, 300) n"
        " WHERE status = 'active' OR (aws_account_id = '000000000200' AND n <= :kept)",
        old=OLD,
        kept=kept,
    )
    query("ANALYZE accounts, resources")
    read: list[float] = []

    def measure(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if "resources" in statement and "EXPLAIN" not in statement:
            with database.connection() as connection:
                explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
                (plan,) = connection.exec_driver_sql(explained, parameters).scalar_one()
                read.append(rows_read(plan["Plan"], "resources"))
                connection.rollback()

    event.listen(database._engine, "before_cursor_execute", measure)
    records = PostgresRetention(database.connection)
    assert records.delete_old(OldRows.RESOURCES, FIRST_KEPT, most=5000) == {OldRows.RESOURCES: kept}
    assert sum(read) <= 3 * kept + 1
    assert query("SELECT count(*) FROM resources") == [(30_000,)]


@pytest.mark.parametrize("analyzed", [False, True])
def test_no_batch_reads_all_items(database: PostgresDatabase, query: Query, *, analyzed: bool) -> None:
    """Ten thousand accounts make 3.6 million of them a year: those of a run are found by their index."""
    query("ALTER TABLE run_items SET (autovacuum_enabled = off)")
    query(
        "INSERT INTO accounts (aws_account_id, name, status, access, partition, created_at, updated_at)"
        " SELECT lpad(n::text, 12, '0'), 'n', 'active', 'pod_identity', 'aws', now(), now()"
        " FROM generate_series(1, 1000) n"
    )
    for started, ended in [(OLD, OLD), (OLD, None), *[(YOUNG, YOUNG)] * 60]:
        add_run(query, started=started, ended=ended, accounts=1000, finished_at=started)
    if analyzed:
        query("ANALYZE")
    plans: list[str] = []

    def explain(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if "run_items" in statement and "EXPLAIN" not in statement:
            with database.connection() as connection:
                rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
                plans.append("\n".join(row[0] for row in rows))

    event.listen(database._engine, "before_cursor_execute", explain)
    records = PostgresRetention(database.connection)
    assert records.delete_old(OldRows.RUNS, FIRST_KEPT, most=1500) == {
        OldRows.RUN_ITEMS: 1500,
        OldRows.RUNS: 1,
    }
    assert len(plans) == 5
    assert [plan for plan in plans if "Seq Scan on run_items" in plan] == []
