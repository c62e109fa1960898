"""The connection to PostgreSQL and its transactions; every driver error becomes a StorageError here."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from time import monotonic
from weakref import finalize

import psycopg2
import sqlalchemy as sa
from psycopg2.extensions import PYDATETIMETZ, make_dsn, new_type, parse_dsn, register_type
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry
from typing_extensions import override

from costbatch.adapters.postgres.accounts import PostgresAccounts
from costbatch.adapters.postgres.anomalies import PostgresAnomalies
from costbatch.adapters.postgres.answers import PostgresAnswers
from costbatch.adapters.postgres.aws_anomalies import PostgresAwsAnomalies
from costbatch.adapters.postgres.causes import PostgresCauses
from costbatch.adapters.postgres.cost_collections import PostgresCollections
from costbatch.adapters.postgres.costs import PostgresCosts
from costbatch.adapters.postgres.digests import PostgresDigests
from costbatch.adapters.postgres.discoveries import PostgresDiscoveries
from costbatch.adapters.postgres.expectations import PostgresExpectations
from costbatch.adapters.postgres.first_charges import PostgresFirstCharges
from costbatch.adapters.postgres.ledger import PostgresLedger
from costbatch.adapters.postgres.memories import PostgresMemories
from costbatch.adapters.postgres.migrations import require_current_schema
from costbatch.adapters.postgres.outbox import PostgresOutbox
from costbatch.adapters.postgres.progress import PostgresProgress
from costbatch.adapters.postgres.resources import PostgresResources
from costbatch.adapters.postgres.run_items import PostgresRunItems
from costbatch.adapters.postgres.runs import PostgresRuns
from costbatch.application.ports import Database, Transaction
from costbatch.domain.credentials import Secret
from costbatch.errors import ConfigError, CostbatchError, StatementRefused, StorageError

# Of each host. A serverless database takes a connection at once and answers when it is awake.
_CONNECT_TIMEOUT_SECONDS = 30
# How libpq begins what it says of each host that it tried, and of settings that it refuses at once.
_OF_A_HOST = "connection to server "
_MISCONFIGURED = ("invalid ", "could not match ", "definition of service ", "service file ", "weak sslmode ")
# A connection that rested so long is asked first whether it is still there. No server restarts within it, and
# a busy writer is spared a statement for each transaction.
_REST_SECONDS = 0.1
_LAST_USED = "last_used"
# SQLSTATE class of what is too large for PostgreSQL, such as an index row: to the driver it is operational.
_LIMIT_EXCEEDED = "54"
# The driver gives instants the offset of the session's time zone, which a role or a database may set: days
# and hours would be that zone's.
_INSTANTS_IN_UTC = new_type(
    PYDATETIMETZ.values,
    "INSTANTS_IN_UTC",
    lambda text, cursor: text and PYDATETIMETZ(text, cursor).astimezone(UTC),
)
# The driver gives no SQLSTATE for what is refused before there is a connection.
_MAY_NOT_CONNECT = re.compile(r'permission denied for database ("[^"]+")')
# SQLSTATE of a write to a standby: during a failover the old primary may still answer.
_READ_ONLY = "25006"
_CANCELED = "57014"
# SQLSTATEs of what another transaction stood against: a deadlock, a conflict, a lock that was not free.
_BESIDE_OTHERS = frozenset({"40P01", "40001", "55P03"})
# A dead peer is noticed in about 20 seconds instead of the kernel's two hours. The last one, in milliseconds,
# is for a statement that was sent and never acknowledged: no keepalives go out meanwhile.
_KEEPALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}
# The server is to notice a dead client as soon, for until then it holds the locks of what it wrote. Not if
# the role, the database or the URL says otherwise. Nor through a pooler, which tells a client a made-up
# process id: its connections to the server stay as they are set, and others use them.
_WATCH_CLIENT = """
SELECT set_config(name, setting, false)
FROM unnest(%s::text[], %s::text[]) AS given (name, setting)
    JOIN (SELECT name, source FROM pg_settings) AS present USING (name)
WHERE source IN ('default', 'configuration file') AND pg_backend_pid() = %s
"""


@dataclass(frozen=True, slots=True)
class PostgresTransaction(Transaction):
    """The stores on one connection: what they write commits together."""

    connection: Connection

    @property
    @override
    def accounts(self) -> PostgresAccounts:
        return PostgresAccounts(self.connection)

    @property
    @override
    def progress(self) -> PostgresProgress:
        return PostgresProgress(self.connection)

    @property
    @override
    def runs(self) -> PostgresRuns:
        return PostgresRuns(self.connection)

    @property
    @override
    def items(self) -> PostgresRunItems:
        return PostgresRunItems(self.connection)

    @property
    @override
    def costs(self) -> PostgresCosts:
        return PostgresCosts(self.connection)

    @property
    @override
    def ledger(self) -> PostgresLedger:
        return PostgresLedger(self.connection)

    @property
    @override
    def collections(self) -> PostgresCollections:
        return PostgresCollections(self.connection)

    @property
    @override
    def digests(self) -> PostgresDigests:
        return PostgresDigests(self.connection)

    @property
    @override
    def resources(self) -> PostgresResources:
        return PostgresResources(self.connection)

    @property
    @override
    def discoveries(self) -> PostgresDiscoveries:
        return PostgresDiscoveries(self.connection)

    @property
    @override
    def anomalies(self) -> PostgresAnomalies:
        return PostgresAnomalies(self.connection)

    @property
    @override
    def answers(self) -> PostgresAnswers:
        return PostgresAnswers(self.connection)

    @property
    @override
    def expectations(self) -> PostgresExpectations:
        return PostgresExpectations(self.connection)

    @property
    @override
    def memories(self) -> PostgresMemories:
        return PostgresMemories(self.connection)

    @property
    @override
    def first_charges(self) -> PostgresFirstCharges:
        return PostgresFirstCharges(self.connection)

    @property
    @override
    def causes(self) -> PostgresCauses:
        return PostgresCauses(self.connection)

    @property
    @override
    def aws_anomalies(self) -> PostgresAwsAnomalies:
        return PostgresAwsAnomalies(self.connection)

    @property
    @override
    def outbox(self) -> PostgresOutbox:
        return PostgresOutbox(self.connection)


class PostgresDatabase(Database):
    """A PostgreSQL database, reached by its URL; connects at the first transaction."""

    def __init__(self, url: Secret) -> None:
        self._engine = make_engine(url)
        # Also if close() is not called: the server and a pooler log a client that leaves without a word.
        finalize(self, self._engine.dispose)

    @override
    @contextmanager
    def transaction(self) -> Iterator[PostgresTransaction]:
        with self.connection() as connection:
            yield PostgresTransaction(connection)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Open a bare transaction, for the schema's own needs."""
        with translated_errors(), self._engine.begin() as connection:
            yield connection

    @override
    def check_schema(self) -> None:
        with self.connection() as connection:
            require_current_schema(connection)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def make_engine(url: Secret) -> Engine:
    """Return an engine that has not connected yet.

    Raises:
        ConfigError: the URL cannot be read.

    """
    try:
        given = parse_dsn(url.reveal())
        for port in filter(None, given.get("port", "").split(",")):
            int(port)
    except (psycopg2.ProgrammingError, ValueError):
        # The cause would show the password.
        raise ConfigError(
            "DATABASE_URL is not a database URL; it must look like postgresql://USER:PASSWORD@HOST:5432/NAME."
        ) from None
    ours = {
        "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
        "application_name": "costbatch",
        **_KEEPALIVE,
    }
    # Whatever the URL, PGCLIENTENCODING or the role says: names are stored as AWS writes them.
    settings = {**ours, **given, "client_encoding": "utf8"}
    dsn = Secret(make_dsn(**settings))
    # As the server calls them.
    watch = {f"tcp_{name.removeprefix('tcp_')}": str(settings[name]) for name in _KEEPALIVE}
    engine = sa.create_engine(
        "postgresql+psycopg2://",
        # libpq's own string: SQLAlchemy's URLs know neither several hosts with ports nor escaped sockets.
        creator=partial(_connect, dsn, watch),
        pool_size=2,
        # Parameters may be secrets; a statement error must not carry them into a log.
        hide_parameters=True,
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", partial(_ask, engine.dialect))
    return engine


def _connect(dsn: Secret, watch: Mapping[str, str]) -> DBAPIConnection:
    connection: DBAPIConnection = psycopg2.connect(dsn.reveal())
    register_type(_INSTANTS_IN_UTC, connection)
    _have_client_watched(connection, watch)
    return connection


def _have_client_watched(connection: psycopg2.extensions.connection, watch: Mapping[str, str]) -> None:
    if connection.info.dsn_parameters.get("keepalives") == "0":
        # Who turns them off means the connection, whichever end would send them.
        return
    # Outside a transaction, to save two round trips.
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(_WATCH_CLIENT, ([*watch], [*watch.values()], connection.info.backend_pid))
    except psycopg2.Error:
        # A database that only speaks PostgreSQL's protocol may not know them, and is used all the same.
        if connection.closed:
            raise
    connection.autocommit = False


def _note_use(_: object, record: ConnectionPoolEntry) -> None:
    record.info[_LAST_USED] = monotonic()


def _ask(dialect: sa.Dialect, connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
    """Replace an idle connection if it is gone, as behind a pooler or after a restart."""
    rested = monotonic() - record.info.get(_LAST_USED, monotonic())
    if rested < _REST_SECONDS:
        return
    try:
        dialect.do_ping(connection)
    except psycopg2.Error as error:
        raise DisconnectionError from error


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's errors into StorageError with a sentence that holds no secret."""
    try:
        yield
    except DBAPIError as error:
        raise _translate(error.orig, is_lost=error.connection_invalidated) from error
    except psycopg2.Error as error:  # COPY speaks to the driver itself
        raise _translate(error) from error
    except SQLAlchemyError as error:
        raise StorageError(f"The database layer failed ({type(error).__name__}).") from error


def _translate(error: BaseException | None, *, is_lost: bool = False) -> CostbatchError:
    lines = str(error).strip().splitlines() or ["no reason given"]
    # Only the first line, because the next ones quote the row or the statement; of a connection that failed,
    # one line for each host.
    hosts = [line.strip() for line in lines if line.startswith(_OF_A_HOST)]
    reason = "; ".join(line.rstrip(".") for line in hosts or lines[:1])
    if barred := _MAY_NOT_CONNECT.search(reason):
        return ConfigError(
            f"The role of DATABASE_URL may not connect to the database {barred[1]}. "
            f"Run as its owner: GRANT CONNECT ON DATABASE {barred[1]} TO the role;"
        )
    # Without a code, it was the client that refused, before it reached a server.
    is_of_the_client = isinstance(error, psycopg2.OperationalError) and error.pgcode is None
    if reason.startswith(_MISCONFIGURED) and is_of_the_client:
        # Without the values that it quotes: a mistyped URL may have the password anywhere.
        what = re.sub(r'"[^"]*"', '"…"', reason)
        return ConfigError(
            f"PostgreSQL's client does not take the connection's settings: {what}. "
            "Correct DATABASE_URL, or the PG… variable or service file that says so."
        )
    if getattr(error, "pgcode", None) == _READ_ONLY:
        return StorageError(
            f"The database takes no writes: {reason}. Set DATABASE_URL to the primary server; if it is that, "
            "set default_transaction_read_only to off."
        )
    if getattr(error, "pgcode", None) in _BESIDE_OTHERS:
        return StorageError(
            f"The database undid a transaction because of another one: {reason}. Nothing of it was stored; "
            "run the command again, or end what blocks it (pg_stat_activity shows it)."
        )
    if is_lost or _may_pass(error):
        return StorageError(
            f"The database cannot be reached or was lost: {reason}. "
            "Check DATABASE_URL, the network policy and that PostgreSQL is up; what was committed is safe."
        )
    return StatementRefused(f"The database refused a statement: {reason}.")


def _may_pass(error: BaseException | None) -> bool:
    """Whether the same transaction may succeed when the database is back or less busy."""
    code: str = getattr(error, "pgcode", None) or ""
    # What took longer than statement_timeout would take as long again.
    if code.startswith(_LIMIT_EXCEEDED) or code == _CANCELED:
        return False
    return isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
