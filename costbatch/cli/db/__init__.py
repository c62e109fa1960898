"""``costbatch db``: make, prune and measure the database; one command per file."""

import click

from costbatch.cli.lazy import LazyCommand, LazyGroup, example

COMMANDS = {
    "check": LazyCommand("costbatch.cli.db.check:check", "Check that the schema is what is needed."),
    "current": LazyCommand("costbatch.cli.db.current:current", "Say which revision the database is at."),
    "prune": LazyCommand("costbatch.cli.db.prune:prune", "Drop old months and what belongs to them."),
    "stats": LazyCommand("costbatch.cli.db.stats:stats", "Show how large it is and how it grows."),
    "upgrade": LazyCommand("costbatch.cli.db.upgrade:upgrade", "Create or upgrade the schema."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS, epilog=example("costbatch db upgrade", "costbatch db stats"))
def db() -> None:
    """Make the database schema, drop what is old, and show how large it all is.

    DATABASE_URL says which database. The role of `upgrade` and `prune` must own the tables.
    """
