"""Retries while the database is unavailable, as in a restart or a failover."""

from collections.abc import Callable
from math import inf
from time import monotonic, sleep
from typing import TypeVar

from costbatch.application.ports import Database, Transaction
from costbatch.errors import StatementRefused, StorageError
from costbatch.logs import get_logger

T = TypeVar("T")
log = get_logger(__name__)

# Longer than a restart or a failover takes; what was fetched and paid waits for it.
PATIENCE_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.5


def in_transaction(database: Database, action: Callable[[Transaction], T], *, until: float = inf) -> T:
    """Run an action in a transaction, again from the start while the database is away.

    The connection may be lost in the instant of the commit, so an action must bear being done twice.
    until: when ``monotonic`` says so, it is no longer waited for.

    Raises:
        StatementRefused: the database is there and refuses.
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
            if monotonic() + pause > deadline:
                raise
            log.warning("database_unavailable", retry_in_seconds=pause)
            sleep(pause)
            pause = min(pause * 2, 4)
