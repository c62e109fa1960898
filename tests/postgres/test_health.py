"""The examination of a real PostgreSQL: what it is, what our role may do there, what it tells of the past."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import psycopg2
import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.inspect import PostgresHealth
from costbatch.adapters.postgres.migrations import REVISIONS
from costbatch.adapters.postgres.partitions import PARTITIONED
from costbatch.adapters.postgres.tables import metadata
from costbatch.domain.collection import COLLECT
from costbatch.domain.credentials import Secret
from costbatch.domain.deliveries import Backlog
from costbatch.domain.discovery import DISCOVER
from costbatch.domain.runs import RunStatus
from costbatch.errors import StorageError
from costbatch.simulator.world import Fault
from tests.support.harness import Harness, make_account

_numbers = count(1)


@pytest.fixture
def health(database: PostgresDatabase) -> PostgresHealth:
    """Look at this test's database as its owner."""
    return PostgresHealth(database.connection)


def health_of(url: str) -> PostgresHealth:
    """Look at a database by its URL."""
    return PostgresHealth(PostgresDatabase(Secret(url)).connection)


def execute(url: str, *statements: str) -> None:
    """Run statements as the server's superuser."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


@pytest.fixture
def role(database_url: str) -> Iterator[str]:
    """Make a role that may do nothing but log in."""
    name = f"app_{next(_numbers)}"
    execute(database_url, f"CREATE ROLE {name} LOGIN")
    yield name
    execute(database_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def as_role(url: str, role: str) -> PostgresHealth:
    """Look at the database as another role."""
    return health_of(url.replace("postgres:@", f"{role}:@"))


def test_the_server_is_what_it_says(health: PostgresHealth) -> None:
    """Its version as a number and as text, reached without a pooler."""
    server = health.server()
    assert server.version.startswith(str(server.version_number // 10_000))
    assert not server.is_pooled
    assert 0 < server.connect_seconds < 10


def test_a_pooler_is_noticed_and_no_obstacle(pooled_url: str) -> None:
    """Everything is looked at as without it."""
    health = health_of(pooled_url)
    assert health.server().is_pooled
    assert health.schema().current == REVISIONS[-1]
    assert health.rights().missing == ()


def test_an_unreachable_server_is_a_storage_error(closed_port: int) -> None:
    """Without the password."""
    with pytest.raises(StorageError) as caught:
        health_of(f"postgresql://me:planted@127.0.0.1:{closed_port}/costs").server()
    assert "planted" not in str(caught.value)


def test_the_clock_is_the_server_s(health: PostgresHealth) -> None:
    """On the same machine, the same to a few seconds."""
    assert abs(health.clock() - datetime.now(tz=UTC)) < timedelta(seconds=5)


def test_a_migrated_database_is_current(health: PostgresHealth) -> None:
    """At the revision that this program needs."""
    schema = health.schema()
    assert (schema.current, schema.needed, schema.is_known) == (REVISIONS[-1], REVISIONS[-1], True)


def test_an_empty_database_has_no_revision(empty_database_url: str) -> None:
    """There is nothing to ask."""
    assert health_of(empty_database_url).schema().current is None


def test_a_revision_from_the_future_is_not_known(database_url: str, health: PostgresHealth) -> None:
    """A newer program made it."""
    execute(database_url, "UPDATE alembic_version SET version_num = '20990101_future'")
    assert not health.schema().is_known


def test_the_owner_lacks_nothing(health: PostgresHealth) -> None:
    """It made the tables."""
    rights = health.rights()
    assert (rights.role, rights.missing, rights.is_read_only) == ("postgres", (), False)


NOT_OWNED = [f"ownership of {name}" for name in sorted(PARTITIONED)]


def test_a_role_without_any_right_lacks_everything(database_url: str, role: str) -> None:
    """Each table with each privilege, and what partitions need; the version table can be read by none."""
    execute(database_url, f"GRANT SELECT ON alembic_version TO {role}")
    rights = as_role(database_url, role).rights()
    tables = [f"SELECT, INSERT, UPDATE, DELETE on {name}" for name in sorted(metadata.tables)]
    assert rights.role == role
    assert rights.missing == (*tables, "CREATE on schema public", *NOT_OWNED)


def test_only_what_is_missing_is_listed(database_url: str, role: str) -> None:
    """A role that was granted all but a few things: months are attached to each table by its owner only."""
    execute(
        database_url,
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
        f"REVOKE DELETE, INSERT ON events FROM {role}",
        f"GRANT CREATE ON SCHEMA public TO {role}",
        f"REVOKE TEMPORARY ON DATABASE {database_name(database_url)} FROM PUBLIC",
        f"ALTER TABLE daily_costs OWNER TO {role}",
    )
    assert as_role(database_url, role).rights().missing == (
        "INSERT, DELETE on events",
        f"TEMPORARY on database {database_name(database_url)}",
        "ownership of cost_changes",
        "ownership of daily_expectations",
    )


def database_name(url: str) -> str:
    """Return the name of the database in a URL."""
    return url.partition("@/")[2].partition("?")[0]


def test_a_role_that_owns_the_tables_may_run(database_url: str, role: str) -> None:
    """Also where it owns them through a group."""
    execute(
        database_url,
        f"CREATE ROLE owners_of_{role}",
        f"GRANT owners_of_{role} TO {role}",
        f"GRANT ALL ON SCHEMA public TO {role}",
        *(f"ALTER TABLE {name} OWNER TO owners_of_{role}" for name in metadata.tables),
    )
    try:
        assert as_role(database_url, role).rights().missing == ()
    finally:
        execute(database_url, f"DROP OWNED BY owners_of_{role}", f"DROP ROLE owners_of_{role}")


def test_a_database_that_takes_no_writes_is_noticed(database_url: str) -> None:
    """As a standby takes none."""
    name = database_name(database_url)
    execute(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert health_of(database_url).rights().is_read_only


def test_every_credential_is_fetched_with_its_key(harness: Harness, health: PostgresHealth) -> None:
    """By account, whatever key encrypted it."""
    harness.open(*(make_account(n) for n in range(1, 4)))
    harness.rows(
        "UPDATE account_credentials SET key_id = 'another' WHERE account_id = (SELECT max(id) FROM accounts)"
    )
    found = health.sealed_credentials() or []
    assert [each.aws_account_id for each in found] == harness.ids
    assert [each.sealed.key_id == "another" for each in found] == [False, False, True]
    assert all(each.sealed.sealed for each in found)


def test_there_are_no_credentials_before_the_first_account(health: PostgresHealth) -> None:
    """Which is not the same as credentials that may not be read."""
    assert health.sealed_credentials() == []


def test_the_newest_run_is_the_one_that_started_last(harness: Harness, health: PostgresHealth) -> None:
    """With its accounts by how each ended."""
    assert health.newest_run(COLLECT) is None
    harness.open(make_account(1), make_account(2, faults=(Fault("not_enabled"),)))
    harness.collect("--run-key", "first")
    harness.collect("--run-key", "second")
    run = health.newest_run(COLLECT)
    assert run is not None
    assert (run.key, run.status) == ("second", RunStatus.PARTIAL)
    assert run.accounts == {"succeeded": 1, "failed": 1}
    assert run.finished_at is not None
    assert run.started_at < run.finished_at


def test_a_run_with_options_is_the_newest_only_if_any_will_do(
    harness: Harness, health: PostgresHealth
) -> None:
    """One of a single account is neither."""
    harness.open(make_account(1))
    harness.run("discover", "--run-key", "plain")
    harness.run("discover", "--source", "tagging", "--run-key", "tagging")
    harness.run("discover", "--source", "tagging", "--account", harness.ids[0], "--run-key", "one")
    found = [health.newest_run(DISCOVER), health.newest_run(DISCOVER, any_options=True)]
    assert [run.key for run in found if run] == ["plain", "tagging"]


def test_the_newest_run_knows_the_accounts_that_the_cap_left_out(
    harness: Harness, health: PostgresHealth
) -> None:
    """Those, and not one that was paused meanwhile."""
    harness.open(make_account(1), make_account(2), make_account(3))
    harness.collect("--max-api-cost", "0.02", "--run-key", "night")
    run = health.newest_run(COLLECT)
    assert run is not None
    assert run.left_out == {harness.value("SELECT max(id) FROM accounts")}
    harness.run("accounts", "pause", harness.ids[2])
    harness.collect("--run-key", "night")
    run = health.newest_run(COLLECT)
    assert run is not None
    assert (run.accounts, run.left_out) == ({"succeeded": 2, "skipped": 1}, set())


def test_a_run_of_a_clock_that_is_ahead_is_not_the_newest_for_ever(
    harness: Harness, health: PostgresHealth
) -> None:
    """The order in which runs began counts, not what their clocks said; also for what discovery left out."""
    harness.open(make_account(1))
    right = harness.now()
    harness.wake_at(right + timedelta(days=500))
    harness.collect("--run-key", "ahead")
    harness.wake_at(right)
    harness.collect("--run-key", "right")
    run = health.newest_run(COLLECT)
    assert run is not None
    assert run.key == "right"


def test_the_age_of_what_waits_does_not_hide_behind_a_clock_that_is_ahead(
    harness: Harness, health: PostgresHealth
) -> None:
    """The first event of the queue is from the future; those behind it say since when nothing is accepted."""
    harness.open(make_account(1))
    for key in ("one", "two"):
        harness.collect("--run-key", key)
    harness.rows("UPDATE deliveries SET state = 'pending'")
    ahead = "UPDATE events SET occurred_at = occurred_at + '1 year' WHERE sequence = %s"
    harness.rows(ahead, harness.value("SELECT min(sequence) FROM events"))
    (sink,) = health.sinks()
    assert sink.oldest_at == harness.value("SELECT min(occurred_at) FROM events")


def test_every_sink_has_its_last_success_and_its_backlog(harness: Harness, health: PostgresHealth) -> None:
    """The oldest event that waits says since when and why."""
    assert health.sinks() == []
    harness.open(make_account(1))
    harness.collect()
    number = harness.value("SELECT count(*) FROM deliveries")
    (sink,) = health.sinks()
    assert (sink.sink, sink.backlog, sink.oldest_at) == ("log", Backlog(), None)
    assert sink.last_success_at == harness.value("SELECT max(delivered_at) FROM deliveries")
    harness.rows("UPDATE deliveries SET state = 'pending', reason = 'It is full.', sink = 'pager'")
    harness.rows(
        "INSERT INTO deliveries (event_id, sink, sequence, ordering_key, state, retry_at)"
        " SELECT event_id, 'a', sequence, ordering_key, 'dead', retry_at FROM deliveries"
    )
    dead, pager = health.sinks()
    assert (dead.sink, dead.backlog, dead.last_success_at) == ("a", Backlog(dead=number), None)
    assert (pager.backlog, pager.last_error) == (Backlog(pending=number), "It is full.")
    assert pager.oldest_at == harness.value("SELECT min(occurred_at) FROM events")


def test_looking_changes_nothing(harness: Harness, health: PostgresHealth) -> None:
    """Not a row."""
    harness.open(make_account(1))
    harness.collect()
    before = harness.contents()
    for look in (
        health.server,
        health.clock,
        health.schema,
        health.rights,
        lambda: health.newest_run(COLLECT),
    ):
        look()
    assert harness.contents() == before


def test_a_lock_in_the_way_is_not_waited_for_long(health: PostgresHealth) -> None:
    """The patience with the server is set for each look."""
    with health._look() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "10s"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "5s"
