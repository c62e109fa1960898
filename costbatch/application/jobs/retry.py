"""Retries while the database is unavailable, as in a restart or a failover."""

from collections.abc import Callable
from math import inf
from threading import Event as Signal
from time import monotonic, sleep
from typing import TypeVar

from costbatch.application.ports import Database, Transaction
from costbatch.errors import StatementRefused, StorageError
from costbatch.logs import get_logger

T = TypeVar("T")
log = get_logger(__name__)

# Longer than a restart or a failover takes; what was fetched and paid waits for it.
PATIENCE_SECONDS = 30.0
# What is left of it once the process is asked to stop, if nothing paid waits: Kubernetes kills it soon.
STOPPING_PATIENCE_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.5


def in_transaction(
    database: Database,
    action: Callable[[Transaction], T],
    *,
    until: float = inf,
    stop: Signal | None = None,
) -> T:
    """Run an action in a transaction, again from the start while the database is unavailable.

    The connection may be lost during the commit, so an action must be safe to run twice.
    until: the ``monotonic`` time after which it no longer waits for the database.
    stop: set when the process is asked to stop; then it waits only a little longer.

    Raises:
        StatementRefused: the database is available and refuses the statement.
        StorageError: the database did not come back in time.

    """
    deadline, pause = min(monotonic() + PATIENCE_SECONDS, until), _FIRST_PAUSE_SECONDS
    while True:
        try:
            with database.transaction() as tx:
                return action(tx)
        except StatementRefused:
            raise
        except StorageError:
            is_stopping = stop is not None and stop.is_set()
            if is_stopping:
                deadline = min(deadline, monotonic() + STOPPING_PATIENCE_SECONDS)
            if monotonic() + pause > deadline:
                raise
            log.warning("database_unavailable", retry_in_seconds=pause)
            if stop is None or is_stopping:
                sleep(pause)
            else:
                stop.wait(pause)
            pause = min(pause * 2, 4)


def is_lost(error: Exception) -> bool:
    """Whether an error says that the database is unavailable, and not that it refuses something."""
    return isinstance(error, StorageError) and not isinstance(error, StatementRefused)
