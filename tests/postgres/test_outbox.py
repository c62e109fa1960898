"""The outbox on a real PostgreSQL: each event once, each delivery at least once, nothing twice at a time."""

from datetime import timedelta
from uuid import UUID

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.events import Delivery, Event, EventType
from costbatch.domain.runs import Run
from tests.postgres.conftest import Query
from tests.support.database_rows import NOW, add_account, event, open_run

LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def run(database: PostgresDatabase) -> Run:
    """Open a run."""
    return open_run(database)


def append(database: PostgresDatabase, run: Run, *events: Event, sinks: tuple[str, ...] = ("log",)) -> None:
    """Add events in a transaction of their own."""
    with database.transaction() as tx:
        tx.outbox.append(events, sinks, account_id=None, run_id=run.id)


def claimed(database: PostgresDatabase, sink: str = "log", most: int = 100) -> list[Delivery]:
    """Return what could be claimed now, and let it go again."""
    with database.transaction() as tx:
        return tx.outbox.claim(sink, most=most, now=LATER)


def ids(deliveries: list[Delivery]) -> list[UUID]:
    """Return the ids of the events."""
    return [delivery.event_id for delivery in deliveries]


def test_an_event_reaches_the_sink_as_it_was_written(
    database: PostgresDatabase, run: Run, query: Query
) -> None:
    """The whole CloudEvent comes out of the database, with its account and run beside it."""
    account, told = add_account(database), event(data={"name": "ärger 🚀\n\\", "amount": "0.10"})
    with database.transaction() as tx:
        tx.outbox.append([told], ["log"], account_id=account.id, run_id=run.id)
    (delivery,) = claimed(database)
    assert (delivery.event_id, delivery.sink, delivery.attempt) == (told.id, "log", 1)
    assert delivery.cloudevent == told.to_cloudevent()
    assert query("SELECT type, account_id, run_id FROM events") == [("account.failed", account.id, run.id)]


def test_an_event_that_is_there_already_is_left_as_it_is(database: PostgresDatabase, run: Run) -> None:
    """The same id is the same event: not written again, not delivered again, beside new ones."""
    told, news = event(), event()
    append(database, run, told)
    (delivery,) = claimed(database)
    with database.transaction() as tx:
        tx.outbox.mark_delivered([delivery], now=NOW)
    append(database, run, event(id=told.id, data={"other": "data"}), news)
    assert ids(claimed(database)) == [news.id]
    with database.transaction() as tx:
        assert tx.outbox.counts_of_run(run.id) == {"account.failed": 2}


def test_every_sink_has_its_own_delivery(database: PostgresDatabase, run: Run) -> None:
    """What one sink has taken is still due for the other; without sinks nothing is due."""
    told = event()
    append(database, run, told, sinks=("log", "webhook"))
    append(database, run, event(), sinks=())
    with database.transaction() as tx:
        assert tx.outbox.count_pending() == 2
        tx.outbox.mark_delivered(tx.outbox.claim("log", most=9, now=LATER), now=NOW)
        assert tx.outbox.count_pending() == 1
    assert claimed(database, "log") == []
    assert ids(claimed(database, "webhook")) == [told.id]
    assert claimed(database, "elsewhere") == []


def test_the_oldest_are_claimed_first_and_no_more_than_asked_for(
    database: PostgresDatabase, run: Run
) -> None:
    """The order is that of writing, also within one transaction."""
    events = [event() for _ in range(5)]
    append(database, run, *events[:3])
    append(database, run, *events[3:])
    assert ids(claimed(database)) == [each.id for each in events]
    assert ids(claimed(database, most=2)) == [each.id for each in events[:2]]


def test_two_deliverers_never_hold_the_same_event(
    database: PostgresDatabase, other: PostgresDatabase, run: Run
) -> None:
    """A claimed event is skipped without waiting; if its deliverer dies it is due again."""
    events = [event() for _ in range(3)]
    append(database, run, *events)
    with database.transaction() as tx:
        mine = tx.outbox.claim("log", most=2, now=LATER)
        theirs = claimed(other)
        assert (ids(mine), ids(theirs)) == ([events[0].id, events[1].id], [events[2].id])
        tx.outbox.mark_delivered(mine[:1], now=NOW)
    assert ids(claimed(other)) == [events[1].id, events[2].id]


def test_an_event_being_written_does_not_hold_up_the_others(
    database: PostgresDatabase, other: PostgresDatabase, run: Run
) -> None:
    """What has not committed yet is not seen, and not waited for."""
    old, new = event(), event()
    append(database, run, old)
    with database.transaction() as tx:
        tx.outbox.append([new], ["log"], account_id=None, run_id=run.id)
        assert ids(claimed(other)) == [old.id]
    assert ids(claimed(other)) == [old.id, new.id]


def test_a_failed_delivery_waits_and_counts_its_attempts(
    database: PostgresDatabase, run: Run, query: Query
) -> None:
    """It is not due before its time, keeps the reason, and loses it once it is delivered."""
    append(database, run, event())
    for attempt in (1, 2):
        with database.transaction() as tx:
            (delivery,) = tx.outbox.claim("log", most=9, now=LATER)
            assert delivery.attempt == attempt
            tx.outbox.mark_failed(delivery, "no answer", retry_at=LATER)
            assert tx.outbox.claim("log", most=9, now=LATER - timedelta(seconds=1)) == []
            assert tx.outbox.count_pending() == 1
    assert query("SELECT attempts, last_error FROM deliveries") == [(2, "no answer")]
    with database.transaction() as tx:
        tx.outbox.mark_delivered(tx.outbox.claim("log", most=9, now=LATER), now=LATER)
    assert query("SELECT attempts, last_error, delivered_at FROM deliveries") == [(3, None, LATER)]
    assert claimed(database) == []


def test_events_are_counted_by_run_and_type(database: PostgresDatabase, run: Run) -> None:
    """Another run's events do not count."""
    append(database, run, event(), event(), event(EventType.RUN_FAILED))
    other_run = open_run(database, "other")
    append(database, other_run, event())
    with database.transaction() as tx:
        assert tx.outbox.counts_of_run(run.id) == {"account.failed": 2, "run.failed": 1}
