"""How Alembic runs the migrations: one at a time in the database, never waiting long for a lock."""

import os
import re

from sqlalchemy import Index, text
from sqlalchemy.engine import Connection
from sqlalchemy.sql.schema import SchemaItem

from alembic import context
from costbatch.adapters.postgres.engine import make_engine
from costbatch.adapters.postgres.partitions import PARTITION_PATTERN
from costbatch.adapters.postgres.tables import metadata
from costbatch.config import Settings

# Any fixed number that nobody else uses: held while migrating, so that two hook Jobs take turns.
_MIGRATION_LOCK = 7_316_104_011

# A migration that waits for a lock makes everybody behind it wait too; better to fail and try again.
_LOCK_TIMEOUT = "10s"
_STATEMENT_TIMEOUT = "15min"


def _is_ours(item: SchemaItem, name: str | None, kind: str, reflected: bool, _: SchemaItem | None) -> bool:  # noqa: FBT001 - Alembic's signature
    """Leave the monthly partitions out of comparisons: the program makes them as months come."""
    if isinstance(item, Index) and item.table is not None:
        name = item.table.name
    is_partition = name is not None and re.match(PARTITION_PATTERN, name) is not None
    return not (reflected and is_partition and kind in {"table", "index"})


def _migrate(connection: Connection) -> None:
    # All in the one transaction: an upgrade happens whole or not at all, also behind a connection pooler.
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
    connection.execute(text(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'"))
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_object=_is_ours,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        _migrate(given)
        return
    url = Settings.from_environment(os.environ).require_database_url()
    engine = make_engine(url)
    with engine.begin() as connection:
        _migrate(connection)
    engine.dispose()


_run()
