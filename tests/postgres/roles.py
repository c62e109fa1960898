"""Databases opened as another role."""

from collections.abc import Iterator
from contextlib import contextmanager

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.credentials import Secret
from tests.support.query import Query


@contextmanager
def database_as(role: str, grant: str, *, database_url: str, query: Query) -> Iterator[PostgresDatabase]:
    """Open the database as a role that exists for this long; ``grant`` is such as SELECT ON runs."""
    query(f"DROP ROLE IF EXISTS {role}")
    query(f"CREATE ROLE {role} LOGIN")
    query(f"GRANT {grant} TO {role}")
    database = PostgresDatabase(Secret(database_url.replace("//postgres:@", f"//{role}@")))
    yield database
    database.close()
    query(f"DROP OWNED BY {role}")
    query(f"DROP ROLE {role}")
