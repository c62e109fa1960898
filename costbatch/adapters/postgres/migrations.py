"""The revision of the schema: the one that this version needs, that of the database, and the upgrade.

Only ``upgrade`` and ``differences`` load Alembic; a run compares two strings.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from costbatch.adapters.postgres.partitions import PARTITIONED
from costbatch.adapters.postgres.tables import metadata
from costbatch.errors import ConfigError

if TYPE_CHECKING:
    from alembic.config import Config

# Every revision, oldest first; a test compares it with the files.
REVISIONS = ("20261129_baseline",)


class SchemaState(Enum):
    """The database's schema compared with the one that this version needs."""

    CURRENT = "current"
    EMPTY = "empty"
    BEHIND = "behind"
    NEWER = "newer"


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the database; None if no migration has ever run."""
    if connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision


def schema_state(revision: str | None) -> SchemaState:
    """Return how a revision compares with the one that this version needs."""
    if revision is None:
        return SchemaState.EMPTY
    if revision not in REVISIONS:
        return SchemaState.NEWER
    return SchemaState.CURRENT if revision == REVISIONS[-1] else SchemaState.BEHIND


def require_current_schema(connection: Connection) -> None:
    """Refuse a schema that this version does not work with.

    Raises:
        ConfigError: not migrated, behind, or newer than the program.

    """
    revision = current_revision(connection)
    match schema_state(revision):
        case SchemaState.EMPTY:
            raise ConfigError("The database has no costbatch tables yet; run `costbatch db upgrade` first.")
        case SchemaState.BEHIND:
            raise ConfigError(
                f"The database is at revision {revision}, older than this program needs ({REVISIONS[-1]}); "
                "run `costbatch db upgrade` first."
            )
        case SchemaState.NEWER:
            raise ConfigError(
                f"The database is at revision {revision}, which this program does not know: it was migrated "
                "by a newer costbatch. Run that version, or a newer one."
            )
        case SchemaState.CURRENT:
            return


def require_every_name(connection: Connection) -> None:
    """Refuse a database whose encoding cannot store every name of a service or an account.

    Raises:
        ConfigError: any encoding but UTF8.

    """
    name, encoding = connection.execute(
        sa.text("SELECT current_database(), current_setting('server_encoding')")
    ).one()
    if encoding != "UTF8":
        raise ConfigError(
            f"The database {name} has the encoding {encoding}, in which not every name of a service or an "
            "account can be stored exactly. Create a database with ENCODING 'UTF8' TEMPLATE template0, and "
            "set DATABASE_URL to it."
        )


_MAY_READ_REVISION = sa.text("SELECT has_table_privilege(to_regclass('alembic_version')::oid, 'SELECT')")
_RIGHTS = sa.text("""
SELECT current_user AS role, current_database() AS database, current_schema() AS schema,
    current_setting('search_path') AS search_path,
    pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only')::boolean AS is_read_only,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
    (SELECT string_agg(DISTINCT pg_get_userbyid(relowner), ', ') FROM pg_class
     WHERE oid = ANY (ARRAY[to_regclass('alembic_version'), to_regclass('daily_costs')])
         AND NOT pg_has_role(relowner, 'USAGE')) AS other_owners,
    months.*
FROM (
    SELECT string_agg(DISTINCT pg_get_userbyid(month.relowner), ', ') AS owners_of_months,
        string_agg(
            format('ALTER TABLE %s OWNER TO %I;', inhrelid::regclass, pg_get_userbyid(parent.relowner)),
            ' ' ORDER BY month.relname) AS give_months
    FROM pg_inherits JOIN pg_class AS month ON month.oid = inhrelid
        JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(CAST(:partitioned AS text[])) AS name)
        AND NOT pg_has_role(month.relowner, 'USAGE')
) AS months
""")


def require_upgrade_rights(connection: Connection) -> None:
    """Refuse a database in which the role cannot create or change tables.

    Raises:
        ConfigError: with the GRANT to run, or the role to connect as.

    """
    row = connection.execute(_RIGHTS, {"partitioned": [*PARTITIONED]}).one()
    role, schema = (_quoted(connection, name) for name in (row.role, row.schema or "public"))
    if row.is_standby:
        raise ConfigError(
            f"The database {row.database} is a standby and takes no writes; name the primary in DATABASE_URL."
        )
    if row.is_read_only:
        raise ConfigError(
            f"Transactions in the database {row.database} are read-only; set default_transaction_read_only "
            f"to off, such as with: ALTER ROLE {role} SET default_transaction_read_only = off;"
        )
    if row.schema is None:
        raise ConfigError(
            f"The role {row.role} can use no schema of its search_path ({row.search_path}) in the database "
            f"{row.database}. Run as the schema's owner: GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};"
        )
    if not row.may_create:
        raise ConfigError(
            f"The role {row.role} may not create tables in the schema {row.schema} of the database "
            f"{row.database}. Run as the schema's owner: GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};"
        )
    if row.other_owners:
        owner = _quoted(connection, row.other_owners.split(", ")[0])
        raise ConfigError(
            f"The tables belong to {row.other_owners}, so the role {row.role} cannot change them. Set "
            f"DATABASE_URL to connect as their owner, or run as a superuser: GRANT {owner} TO {role};"
        )
    if row.give_months:
        # A run makes them for the owner of the tables; not if that role may not create tables.
        raise ConfigError(
            f"The role {row.role} cannot change months that belong to {row.owners_of_months}. "
            f"Run as a superuser: {row.give_months}"
        )


_OUR_NAMES = sa.text("""
SELECT relnamespace::regnamespace::text AS schema, string_agg(relname, ', ' ORDER BY relname) AS names
FROM pg_class
WHERE oid IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name)
GROUP BY relnamespace
ORDER BY schema
""")


def require_free_names(connection: Connection) -> None:
    """Refuse a database without our revision in which tables of our names are found.

    Raises:
        ConfigError: with the tables, and how to give costbatch a schema of its own.

    """
    row = _tables_of_our_names(connection)
    if row is None:
        return
    role = _quoted(connection, connection.scalar(sa.text("SELECT current_user")))
    raise ConfigError(
        f"The schema {row.schema} has tables that costbatch would create ({row.names}), and no record "
        "that it created them. Set DATABASE_URL to an empty database, or give its role an empty schema: "
        f"CREATE SCHEMA costbatch AUTHORIZATION {role}; ALTER ROLE {role} SET search_path = costbatch;"
    )


def _tables_of_our_names(connection: Connection) -> sa.Row[tuple[str, str]] | None:
    """Return a schema of the search_path, and the tables there that have names of costbatch's."""
    return connection.execute(_OUR_NAMES, {"tables": [*metadata.tables]}).first()


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of one database. ``connect`` opens a transaction."""

    connect: Callable[[], AbstractContextManager[Connection]]

    @property
    def needed(self) -> str:
        """The revision that this version needs."""
        return REVISIONS[-1]

    def current(self) -> str | None:
        """Return the revision of the database."""
        with self.connect() as connection:
            return current_revision(connection)

    def upgrade(self) -> tuple[str | None, str]:
        """Upgrade the schema to the revision that this version needs, as a whole or not at all.

        Return the revisions before and after.

        Raises:
            ConfigError: the database was migrated by a newer program, its encoding is not UTF8, the role may
                not change it, or tables of the same names are there.

        """
        from alembic import command  # noqa: PLC0415 - the daily run must not pay for loading Alembic

        with self.connect() as connection:
            require_every_name(connection)
            if connection.scalar(_MAY_READ_REVISION) is False:
                require_upgrade_rights(connection)
            before = current_revision(connection)
            if schema_state(before) is SchemaState.NEWER:
                require_current_schema(connection)
            if schema_state(before) is not SchemaState.CURRENT:
                require_upgrade_rights(connection)
            if schema_state(before) is SchemaState.EMPTY:
                require_free_names(connection)
            command.upgrade(alembic_config(connection), "head")
        return before, self.needed

    def differences(self) -> list[str]:
        """Return the differences between the database and the declared tables.

        Raises:
            ConfigError: not migrated, behind, or newer than the program.

        """
        from alembic import command, util  # noqa: PLC0415 - as above

        with self.connect() as connection:
            if current_revision(connection) is None and _tables_of_our_names(connection):
                return ["costbatch's tables are there, but alembic_version does not say at which revision."]
            require_current_schema(connection)
            try:
                command.check(alembic_config(connection))
            except util.AutogenerateDiffsDetected as found:
                return [str(difference) for difference in found.diffs]
            except util.CommandError as error:
                return [str(error)]
        return []


def alembic_config(connection: Connection | None = None) -> "Config":
    """Return Alembic's configuration for one connection, whose transaction it works in."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    # Inside the installed package, or beside it in a checkout.
    package = Path(__file__).resolve().parents[2]
    installed = package / "_migrations"
    scripts = installed if installed.is_dir() else package.parent / "alembic"
    config = Config(stdout=StringIO())  # Alembic's own messages are not part of our output
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
