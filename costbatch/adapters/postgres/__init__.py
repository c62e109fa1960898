"""PostgreSQL: one file per aggregate; the schema is built by the migrations in ``alembic/``."""

from costbatch.adapters.postgres.engine import PostgresDatabase

__all__ = ["PostgresDatabase"]
