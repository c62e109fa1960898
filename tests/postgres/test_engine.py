"""The connection: what the database does wrong becomes a sentence, without a secret and without a loss."""

import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from time import monotonic, sleep

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import InvalidRequestError

from costbatch.adapters.postgres import PostgresDatabase, engine
from costbatch.adapters.postgres.cost_statements import STAGING
from costbatch.adapters.postgres.engine import PostgresTransaction, translated_errors
from costbatch.demo.postgres import embedded_postgres
from costbatch.domain.credentials import Secret
from costbatch.errors import ConfigError, StatementRefused, StorageError
from tests.postgres.conftest import Query
from tests.support.database_rows import (
    NOW,
    add_account,
    cost_row,
    fetched,
    new_account,
    prepare_months,
    replace_window,
)
from tests.support.databases import database_folder

PASSWORD = "s3cr3t-p4ssw0rd"


def failure_of(url: str) -> StorageError:
    """Return how a transaction on a URL fails."""
    with pytest.raises(StorageError) as raised, PostgresDatabase(Secret(url)).transaction():
        pytest.fail("the database was reached")
    return raised.value


def test_a_refused_connection_is_a_sentence_without_the_password() -> None:
    """It says what happened and what to check."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://someone:{PASSWORD}@127.0.0.1:{unused.getsockname()[1]}/costs"
        error = failure_of(url)
    assert not isinstance(error, StatementRefused)
    assert "Connection refused" in str(error)
    assert "Check DATABASE_URL" in str(error)
    assert PASSWORD not in f"{error!r} {error.__cause__!r} {error.__cause__}"


def test_a_server_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connect timeout counts until the server speaks, not only until the socket opens."""
    monkeypatch.setattr(engine, "_CONNECT_TIMEOUT_SECONDS", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = monotonic()
        error = failure_of(f"postgresql://u:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}/costs")
    assert monotonic() - begun < 6
    assert "timeout expired" in str(error)
    assert PASSWORD not in str(error)


def test_an_unknown_database_is_unreachable(database_url: str) -> None:
    """The server's own words are in the sentence, which is one line."""
    error = failure_of(database_url.replace("/test_", "/no_such_"))
    assert "does not exist" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("url", ["costs", f"postgresql://u:{PASSWORD}@host:port/costs"])
def test_a_url_that_cannot_be_read_is_a_configuration_error(url: str) -> None:
    """The sentence shows the right form, and nothing of the wrong one."""
    with pytest.raises(ConfigError, match="must look like postgresql://USER:PASSWORD@HOST") as raised:
        PostgresDatabase(Secret(url))
    assert PASSWORD not in f"{raised.value} {raised.value.__cause__}"
    assert raised.value.__suppress_context__


def test_a_dead_peer_is_noticed(database: PostgresDatabase) -> None:
    """The driver was told to probe idle connections and to give up what is never acknowledged."""
    with database.connection() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        settings = driver.get_dsn_parameters()
    assert settings["keepalives_idle"] == "10"
    assert settings["tcp_user_timeout"] == "20000"
    assert settings["application_name"] == "costbatch"


def test_the_server_notices_a_dead_client_too(database_url: str) -> None:
    """A node that vanishes in a transaction would hold its locks for two hours; role and URL still decide.

    Over a socket the server takes the settings and shows 0, so that only their source tells.
    """
    url = f"{database_url}&options=-ctcp_keepalives_count%3D7"
    assert sources_of(url) == {
        "tcp_keepalives_count": "client",
        "tcp_keepalives_idle": "session",
        "tcp_keepalives_interval": "session",
        "tcp_user_timeout": "session",
    }


def test_a_url_without_keepalives_has_none_from_the_server_either(database_url: str) -> None:
    """Who turns them off means the connection, whichever end would send them."""
    assert set(sources_of(f"{database_url}&keepalives=1").values()) == {"session"}
    assert set(sources_of(f"{database_url}&keepalives=0").values()) == {"default"}


def test_a_server_that_refuses_to_watch_its_client_is_used_all_the_same(database_url: str) -> None:
    """Other databases that speak its protocol may not know the settings; here one is out of range."""
    assert set(sources_of(f"{database_url}&keepalives_idle=-1").values()) == {"default"}


def test_what_a_pooler_has_for_many_clients_is_not_changed_for_one(pooled_url: str) -> None:
    """The settings would stay on a connection that others use, and would not see our client."""
    assert set(sources_of(pooled_url).values()) == {"default"}


def sources_of(url: str) -> dict[str, str]:
    """Return where a new connection has each setting about a silent client from."""
    database = PostgresDatabase(Secret(url))
    with closing(database), database.connection() as connection:
        found = connection.exec_driver_sql("SELECT name, source FROM pg_settings WHERE name ~ '^tcp_[ku]'")
        return dict(found.tuples().all())


def test_names_are_utf8_whatever_the_environment_says(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod's PGCLIENTENCODING would otherwise make letters unreadable, or refuse them."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    database = PostgresDatabase(Secret(database_url))
    with database.transaction() as tx:
        added = tx.accounts.add(new_account(1, name="東京 “1”"), now=NOW)
        assert tx.accounts.find(added.aws_account_id) == added
    assert added.name == "東京 “1”"
    database.close()


def terminate(other: PostgresDatabase) -> None:
    """End every other connection to the database, as a restart or an administrator does."""
    with other.connection() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_connection_lost_between_transactions_is_replaced(
    database: PostgresDatabase, other: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next transaction does not even notice."""
    monkeypatch.setattr(engine, "_REST_SECONDS", 0)
    account = add_account(database)
    terminate(other)
    with database.transaction() as tx:
        assert tx.accounts.find(account.aws_account_id) == account


def test_a_connection_that_is_in_use_all_the_time_is_not_asked(
    database: PostgresDatabase, other: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is lost all the same, one transaction fails, and the next one is served."""
    monkeypatch.setattr(engine, "_REST_SECONDS", 60)
    account = add_account(database)
    terminate(other)
    with pytest.raises(StorageError, match="was lost"), database.transaction() as tx:
        tx.accounts.find(account.aws_account_id)
    with database.transaction() as tx:
        assert tx.accounts.find(account.aws_account_id) == account


LAST_STEPS: dict[str, Callable[[PostgresTransaction], object]] = {
    "statement": lambda tx: tx.accounts.list_all(),
    "copy": lambda tx: tx.costs._copy(STAGING.copy, {1: fetched(cost_row())}),
    "savepoint": lambda tx: tx.connection.begin_nested(),
    "commit": lambda tx: None,
}


@pytest.mark.parametrize("last_step", LAST_STEPS.values(), ids=LAST_STEPS.keys())
def test_a_connection_lost_in_the_middle_writes_nothing(
    database: PostgresDatabase,
    other: PostgresDatabase,
    query: Query,
    last_step: Callable[[PostgresTransaction], object],
) -> None:
    """Wherever it breaks it is a StorageError that may pass, and the next transaction works."""
    prepare_months(database)
    account = add_account(database)

    def lose_the_connection() -> None:
        with database.transaction() as tx:
            tx.accounts.add(new_account(2), now=NOW)
            replace_window(tx, account, [cost_row()])
            terminate(other)
            last_step(tx)

    with pytest.raises(StorageError, match="cannot be reached or was lost") as raised:
        lose_the_connection()
    assert not isinstance(raised.value, StatementRefused)
    assert query("SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM daily_costs)") == [(1, 0)]


def test_a_restarted_server_is_used_again() -> None:
    """While it is away transactions fail, afterwards the same object works."""
    with database_folder() as folder, embedded_postgres(folder) as server:
        database = PostgresDatabase(Secret(server.url()))
        with database.connection() as connection:
            connection.exec_driver_sql("CREATE TABLE kept ()")
        server.stop()
        with pytest.raises(StorageError, match="cannot be reached"), database.connection():
            pytest.fail("the server was stopped")
        server.start()
        with database.connection() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM kept")) == 0
        database.close()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("INSERT INTO accounts (name) VALUES ('hidden')", 'null value in column "aws_account_id"'),
        ("SELECT * FROM hidden_table", 'relation "hidden_table" does not exist'),
        ("SELECT 1 / 0", "division by zero"),
    ],
)
def test_a_refused_statement_says_why(query: Query, statement: str, reason: str) -> None:
    """One line, without the row that was refused."""
    with pytest.raises(StatementRefused, match=r"^The database refused a statement: ") as raised:
        query(statement)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "Failing row" not in str(raised.value)


def test_a_statement_that_takes_too_long_is_refused(database: PostgresDatabase) -> None:
    """It would take as long again: the account whose rows they are fails, and not the run."""
    canceled = "canceling statement due to statement timeout"
    with database.connection() as connection:
        connection.exec_driver_sql("SET statement_timeout = 10")
        with pytest.raises(StatementRefused, match=canceled), translated_errors():
            connection.exec_driver_sql("SELECT pg_sleep(5)")


def test_a_refused_statement_does_not_quote_its_values(database: PostgresDatabase) -> None:
    """Neither the sentence nor the statement in the cause shows a parameter."""
    account = add_account(database, name="hidden name")
    with pytest.raises(StatementRefused) as raised, database.connection() as connection:
        connection.execute(
            sa.text("UPDATE accounts SET status = :status WHERE name = :name"),
            {"status": "hidden status", "name": account.name},
        )
    assert "ck_accounts_status_known" in str(raised.value)
    assert "hidden" not in str(raised.value)
    assert "parameters hidden" in str(raised.value.__cause__)


def test_a_database_that_is_read_only_may_pass(database: PostgresDatabase) -> None:
    """A write to a standby in the middle of a failover is no account's fault; the server itself is there."""
    with pytest.raises(StorageError, match="read-only transaction") as raised:
        write_read_only(database)
    assert not isinstance(raised.value, StatementRefused)
    assert str(raised.value).startswith("The database takes no writes: ")
    assert "default_transaction_read_only" in str(raised.value)


def write_read_only(database: PostgresDatabase) -> None:
    """Write as if the server were a standby."""
    with database.transaction() as tx:
        tx.connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        tx.accounts.add(new_account(), now=NOW)


def test_a_lock_that_is_not_free_in_time_is_no_lost_database(database: PostgresDatabase) -> None:
    """What another transaction stood against may be tried again; the database is there."""
    with database.transaction() as other:
        other.connection.exec_driver_sql("LOCK TABLE accounts")
        with pytest.raises(StorageError, match=r"because of another one: .*lock timeout") as raised:
            wait_briefly_for_a_lock(database)
    assert not isinstance(raised.value, StatementRefused)
    assert "lost" not in str(raised.value)


def wait_briefly_for_a_lock(database: PostgresDatabase) -> None:
    """Write beside a transaction that locks the table."""
    with database.transaction() as tx:
        tx.connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        tx.accounts.add(new_account(), now=NOW)


def test_an_error_of_the_layer_between_is_a_storage_error() -> None:
    """What SQLAlchemy itself raises does not leave the adapter either."""
    with pytest.raises(StorageError, match="InvalidRequestError"), translated_errors():
        raise InvalidRequestError


def test_our_own_errors_pass_and_undo_the_transaction(database: PostgresDatabase) -> None:
    """A ConfigError inside a transaction stays what it is."""

    def refuse() -> None:
        with database.transaction() as tx:
            tx.accounts.add(new_account(), now=NOW)
            raise ConfigError("No.")

    with pytest.raises(ConfigError, match="No"):
        refuse()
    with database.transaction() as tx:
        assert tx.accounts.list_all() == []


_ENDING = """
import atexit, sys
from costbatch.adapters.postgres import PostgresDatabase, engine
from costbatch.domain.credentials import Secret

def wait():
    print("ending", flush=True)
    sys.stdin.read()

atexit.register(wait)  # the first to be registered is the last to be called
database = PostgresDatabase(Secret(sys.argv[1]))
database.check_schema()
"""


def test_a_process_that_ends_takes_leave_of_the_server(database_url: str, query: Query) -> None:
    """No command closes its database itself, and a pooler complains of clients that just go away."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", _ENDING, database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ending\n"
        deadline = monotonic() + 10
        while (left := query(others)) != [(0,)] and monotonic() < deadline:
            sleep(0.05)
        child.communicate(timeout=60)
    assert left == [(0,)]


def test_instants_are_in_utc_whatever_the_time_zone_of_the_session(
    database: PostgresDatabase,
) -> None:
    """A database or a role may set another: days and hours of what is read would be those of that zone."""
    with database.connection() as connection:
        name = connection.scalar(sa.text("SELECT current_database()"))
        connection.execute(sa.text(f"ALTER DATABASE {name} SET timezone = 'Pacific/Auckland'"))
    database.close()
    late = NOW.replace(hour=23)
    with database.transaction() as tx:
        assert tx.connection.scalar(sa.text("SHOW timezone")) == "Pacific/Auckland"
        added = tx.accounts.add(new_account(1), now=late)
        assert (added.created_at, added.created_at and added.created_at.date()) == (late, late.date())
        row = tx.connection.execute(sa.text("SELECT created_at, NULL::timestamptz FROM accounts")).one()
        assert [row[0].utcoffset(), row[1]] == [timedelta(0), None]
