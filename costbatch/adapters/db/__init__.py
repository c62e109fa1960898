"""PostgreSQL: one file per aggregate; the schema is built by the migrations in ``alembic/``."""

from costbatch.adapters.db.engine import PostgresDatabase

__all__ = ["PostgresDatabase"]
