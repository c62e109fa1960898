"""The outbox on a real PostgreSQL: each event once, each delivery at least once, nothing twice at a time."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.adapters.postgres.outbox import PostgresOutbox
from costbatch.domain.deliveries import Backlog, Delivery, DeliveryState, EventQuery
from costbatch.domain.detection import Severity
from costbatch.domain.events import Event, EventType
from costbatch.domain.periods import instant
from costbatch.domain.routing import Filter, Route
from costbatch.domain.runs import Run
from tests.postgres.conftest import Query
from tests.support.database_rows import NOW, add_account, event, let_deliveries_wait, open_run

LEASE = timedelta(minutes=2)
LOG = Route("log")


@pytest.fixture
def run(database: PostgresDatabase) -> Run:
    """Open a run."""
    return open_run(database)


def append(
    database: PostgresDatabase,
    run: Run,
    *events: Event,
    sinks: tuple[str, ...] = ("log",),
    account_id: int | None = None,
) -> None:
    """Add events in a transaction of their own."""
    with database.transaction() as tx:
        routes = [Route(sink) for sink in sinks]
        tx.outbox.append(events, routes, account_id=account_id, run_id=run.id)


def claim(database: PostgresDatabase, sink: str = "log", most: int = 100) -> list[Delivery]:
    """Claim in a transaction of its own."""
    with database.transaction() as tx:
        return tx.outbox.claim(sink, worker="me", token=uuid4(), most=most, lease=LEASE)


def claimed(database: PostgresDatabase, sink: str = "log", most: int = 100) -> list[Delivery]:
    """Return what could be claimed now, and let it go again."""
    found = claim(database, sink, most)
    with database.transaction() as tx:
        tx.outbox.release(found)
    return found


def deliver(database: PostgresDatabase, sink: str = "log", most: int = 100) -> list[Delivery]:
    """Claim and mark as delivered."""
    found = claim(database, sink, most)
    with database.transaction() as tx:
        tx.outbox.mark_delivered(found, now=NOW)
    return found


def pending(database: PostgresDatabase) -> dict[str, Backlog]:
    """Return what is still to be delivered."""
    with database.transaction() as tx:
        return tx.outbox.backlog()


def ids(deliveries: list[Delivery]) -> list[UUID]:
    """Return the ids of the events."""
    return [delivery.event_id for delivery in deliveries]


def anomaly_of(
    type_: EventType, severity: str, anomaly: str = "a", currency: str = "USD", impact: str = "100.00"
) -> Event:
    """Return an event about an anomaly."""
    data = {
        "account": {"aws_account_id": "1" * 12, "labels": {}},
        "anomaly": {
            "id": anomaly,
            "severity": severity,
            "currency": currency,
            "impact": impact,
            "deviation_percent": "50.0",
            "direction": "spike",
            "service": None,
            "explanation": [],
        },
    }
    return event(type_, data=data)


def test_an_event_reaches_the_sink_as_it_was_written(
    database: PostgresDatabase, run: Run, query: Query
) -> None:
    """The whole CloudEvent comes out of the database, with its account and run beside it."""
    account, told = add_account(database), event(data={"name": "ärger 🚀\n\\", "amount": "0.10"})
    append(database, run, told, account_id=account.id)
    (delivery,) = claimed(database)
    assert (delivery.event_id, delivery.sink, delivery.attempt) == (told.id, "log", 1)
    assert (delivery.ordering_key, delivery.run_id) == (account.id, run.id)
    assert delivery.cloudevent == told.to_cloudevent()
    assert query("SELECT type, account_id, run_id FROM events") == [("account.failed", account.id, run.id)]


def test_an_event_that_is_there_already_is_left_as_it_is(database: PostgresDatabase, run: Run) -> None:
    """The same id is the same event: not written again, not delivered again, beside new ones."""
    told, news = event(), event()
    append(database, run, told)
    deliver(database)
    append(database, run, event(id=told.id, data={"other": "data"}), news)
    assert ids(claimed(database)) == [news.id]
    with database.transaction() as tx:
        assert tx.outbox.counts_of_run(run.id) == {"account.failed": 2}


def test_every_sink_has_its_own_delivery(database: PostgresDatabase, run: Run) -> None:
    """What one sink has taken is still due for the other; without sinks nothing is due."""
    told = event()
    append(database, run, told, sinks=("log", "webhook"))
    append(database, run, event(), sinks=())
    assert pending(database) == {"log": Backlog(pending=1), "webhook": Backlog(pending=1)}
    deliver(database)
    assert pending(database) == {"webhook": Backlog(pending=1)}
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


def test_a_claim_holds_back_the_later_events_of_its_account(database: PostgresDatabase, run: Run) -> None:
    """Another process takes those of other accounts; if this one dies, the claim ends by itself."""
    one, two = add_account(database), add_account(database, 2)
    events = [event() for _ in range(3)]
    append(database, run, *events, account_id=one.id)
    append(database, run, another := event(), account_id=two.id)
    mine = claim(database, most=1)
    assert (ids(mine), ids(claimed(database))) == ([events[0].id], [another.id])
    let_deliveries_wait(database, LEASE)
    later = claim(database)
    assert ids(later) == [*(each.id for each in events), another.id]
    with database.transaction() as tx:
        # It was only slow: what another process has claimed since is not its to mark.
        tx.outbox.mark_delivered(mine, now=NOW)
    assert pending(database) == {"log": Backlog(pending=4)}


def test_the_claims_of_a_dead_process_can_be_ended(database: PostgresDatabase, run: Run) -> None:
    """At once if it is known to be gone; else they end by themselves, and it can be asked when."""
    append(database, run, event(), event())
    claim(database, most=1)
    with database.transaction() as tx:
        held_for = tx.outbox.held_for("log")
        assert held_for is not None
        assert timedelta() < LEASE - held_for < timedelta(minutes=1)
    let_deliveries_wait(database, LEASE)
    with database.transaction() as tx:
        assert tx.outbox.held_for("log") is None
    assert len(claim(database, most=1)) == 1
    with database.transaction() as tx:
        assert tx.outbox.release_dead(lambda worker: worker != "me") == 0
        assert tx.outbox.release_dead(lambda worker: worker == "me") == 1
        assert tx.outbox.held_for("log") is None
    assert len(claim(database)) == 2


def test_processes_take_turns_to_claim(database: PostgresDatabase, other: PostgresDatabase, run: Run) -> None:
    """Or one could take a later event of an account whose first is just being claimed."""
    append(database, run, *(event() for _ in range(3)))
    with database.transaction() as tx:
        assert len(tx.outbox.claim("log", worker="me", token=uuid4(), most=1, lease=LEASE)) == 1
        with other.connection() as connection:
            connection.execute(sa.text("SET LOCAL lock_timeout = '10ms'"))
            with pytest.raises(OperationalError, match="lock timeout"):
                PostgresOutbox(connection).claim("log", worker="it", token=uuid4(), most=9, lease=LEASE)
            connection.rollback()
    assert claim(other) == []


def test_an_event_being_written_does_not_hold_up_the_others(
    database: PostgresDatabase, other: PostgresDatabase, run: Run
) -> None:
    """What has not committed yet is not seen, and not waited for."""
    old, new = event(), event()
    append(database, run, old)
    with database.transaction() as tx:
        tx.outbox.append([new], [LOG], account_id=None, run_id=run.id)
        assert ids(claimed(other)) == [old.id]
    assert ids(claimed(other)) == [old.id, new.id]


def test_a_failed_delivery_waits_and_counts_its_attempts(
    database: PostgresDatabase, run: Run, query: Query
) -> None:
    """It is not due before its time, nor is what comes behind it; the reason is kept until then."""
    append(database, run, event(), event())
    for attempt in (1, 2):
        first, second = claim(database)
        assert (first.attempt, second.attempt) == (attempt, 1)
        with database.transaction() as tx:
            tx.outbox.mark_failed(first, "no answer", retry_after=LEASE)
            tx.outbox.release([second])
        let_deliveries_wait(database, LEASE / 2)
        assert claim(database) == []
        let_deliveries_wait(database, LEASE / 2)
    found = "SELECT state, attempts, reason, delivered_at FROM deliveries ORDER BY sequence LIMIT 1"
    assert query(found) == [("pending", 2, "no answer", None)]
    deliver(database)
    assert query(found) == [("delivered", 3, None, NOW)]
    assert claimed(database) == []


def test_what_waits_is_due_with_the_first_of_its_account(
    database: PostgresDatabase, run: Run, query: Query
) -> None:
    """What is held back is not due itself; what another process holds is due when its claim ends."""
    one, two = add_account(database), add_account(database, 2)
    append(database, run, event(), account_id=one.id, sinks=("log", "webhook"))
    append(database, run, event(), account_id=two.id)
    with database.transaction() as tx:
        for delivery, pause in zip(claim(database), (timedelta(hours=3), timedelta(hours=2)), strict=True):
            tx.outbox.mark_failed(delivery, "Away.", retry_after=pause)
    append(database, run, event(), event(), account_id=one.id)
    claim(database, "webhook")
    with database.transaction() as tx:
        waiting = tx.outbox.waiting()
    now = query("SELECT now()")[0][0]
    assert {sink: each.number for sink, each in waiting.items()} == {"log": 4, "webhook": 1}
    assert timedelta(hours=1, minutes=58) < waiting["log"].due_at - now <= timedelta(hours=2)
    assert timedelta() < waiting["webhook"].due_at - now <= LEASE


def test_what_another_process_sends_is_counted_apart_and_not_made_due(
    database: PostgresDatabase, run: Run, query: Query
) -> None:
    """To make it due would send it twice. When its claim has ended, it waits as all others do."""
    append(database, run, event())
    append(database, run, event(), account_id=add_account(database).id)
    first, _ = claim(database)
    waits = EventQuery(state=DeliveryState.PENDING)
    with database.transaction() as tx:
        tx.outbox.mark_failed(first, "Away.", retry_after=timedelta(hours=1))
        waiting = tx.outbox.waiting()["log"]
        assert waiting.held == 1
        assert waiting.due_at - query("SELECT now()")[0][0] > timedelta(minutes=59)
        assert tx.outbox.replay(waits, ["log"]) == 1
    query("UPDATE deliveries SET claimed_until = now() WHERE claimed_until > now() RETURNING 1")
    with database.transaction() as tx:
        assert tx.outbox.waiting()["log"].held == 0
        assert tx.outbox.replay(waits, ["log"]) == 2


def test_what_waits_behind_what_another_process_sends_is_counted_as_its_own(
    database: PostgresDatabase, run: Run
) -> None:
    """That process sends it next; the end of the claim is not when it is due."""
    one = add_account(database)
    append(database, run, event(), account_id=one.id)
    claim(database)
    append(database, run, event(), account_id=one.id)
    with database.transaction() as tx:
        waiting = tx.outbox.waiting()["log"]
    assert (waiting.number, waiting.held) == (2, 2)


def test_an_event_that_is_given_up_is_dead_until_it_is_replayed(
    database: PostgresDatabase, run: Run, query: Query
) -> None:
    """It is counted apart, holds nothing back, and comes again with new attempts."""
    append(database, run, told := event(), event())
    first, second = claim(database)
    with database.transaction() as tx:
        tx.outbox.mark_failed(first, "gone", retry_after=None)
        tx.outbox.release([second])
    assert pending(database) == {"log": Backlog(pending=1, dead=1)}
    assert ids(deliver(database)) == [second.event_id]
    dead = EventQuery(state=DeliveryState.DEAD)
    with database.transaction() as tx:
        assert [each.id for each in tx.outbox.find(dead, most=9)] == [told.id]
        assert tx.outbox.replay(dead, ["other"]) == 0
        assert tx.outbox.replay(dead, ["log"]) == 1
    (again,) = claimed(database)
    assert (again.event_id, again.attempt) == (told.id, 1)


def test_a_sink_that_came_later_receives_what_is_replayed(database: PostgresDatabase, run: Run) -> None:
    """Nothing of the past by itself; a replay ignores filters and brings what was delivered again."""
    account = add_account(database)
    append(database, run, one := event(), account_id=account.id)
    append(database, run, two := event(EventType.RUN_COMPLETED))
    deliver(database)
    assert claimed(database, "new") == []
    with database.transaction() as tx:
        query = EventQuery(types=["account.failed"], aws_account_ids=[account.aws_account_id])
        assert tx.outbox.replay(query, ["log", "new"]) == 2
        assert tx.outbox.replay(EventQuery(ids=[two.id]), ["new"]) == 1
        assert tx.outbox.replay(EventQuery(since=NOW + LEASE), ["new"]) == 0
    assert ids(claimed(database, "new")) == [one.id, two.id]
    assert ids(claimed(database, "log")) == [one.id]


def test_what_a_filter_excludes_is_kept_with_the_reason(database: PostgresDatabase, run: Run) -> None:
    """So that `events show` can say why an event did not go to a sink."""
    only = Filter(severity=Severity.HIGH)
    told = anomaly_of(EventType.ANOMALY_DETECTED, "low")
    with database.transaction() as tx:
        tx.outbox.append([told], [Route("pager", only), LOG], account_id=None, run_id=run.id)
        (found,) = tx.outbox.find(EventQuery(ids=[told.id]), most=1)
    assert [(each.sink, each.state, each.reason) for each in found.deliveries] == [
        ("log", DeliveryState.PENDING, None),
        ("pager", DeliveryState.FILTERED, "The filter accepts severity high and above; this is low."),
    ]
    assert claimed(database, "pager") == []


def test_what_waits_for_a_sink_that_is_gone_can_be_discarded(database: PostgresDatabase, run: Run) -> None:
    """Or its backlog would be counted for ever."""
    append(database, run, told := event(), sinks=("log", "old"))
    with database.transaction() as tx:
        assert tx.outbox.discard("old", "Discarded by hand.") == 1
        (found,) = tx.outbox.find(EventQuery(sink="old"), most=1)
    assert (found.id, found.deliveries[1].reason) == (told.id, "Discarded by hand.")
    assert pending(database) == {"log": Backlog(pending=1)}


def test_events_are_counted_by_run_and_type(database: PostgresDatabase, run: Run) -> None:
    """Another run's events do not count."""
    append(database, run, event(), event(), event(EventType.RUN_FAILED))
    other_run = open_run(database, "other")
    append(database, other_run, event())
    with database.transaction() as tx:
        assert tx.outbox.counts_of_run(run.id) == {"account.failed": 2, "run.failed": 1}


def states_of(database: PostgresDatabase, run: Run, *events: Event, filter_: Filter) -> list[DeliveryState]:
    """Append events for a pager, and return what becomes of them there."""
    with database.transaction() as tx:
        account = tx.accounts.list_all()[0]
        for each in events:
            tx.outbox.append([each], [Route("pager", filter_)], account_id=account.id, run_id=run.id)
        found = tx.outbox.find(EventQuery(ids=[each.id for each in events]), most=None)
    states = {each.id: each.deliveries[0].state for each in found}
    return [states[each.id] for each in events]


SEVERE = Filter(severity=Severity.MEDIUM)
SENT, LEFT_OUT = DeliveryState.PENDING, DeliveryState.FILTERED


@pytest.mark.parametrize(
    "type_", [EventType.ANOMALY_UPDATED, EventType.ANOMALY_RESOLVED, EventType.ANOMALY_REMINDER]
)
def test_a_sink_that_was_not_told_of_an_anomaly_is_told_by_its_filter(
    database: PostgresDatabase, run: Run, type_: EventType
) -> None:
    """Until it is severe enough; what the sink is told of then, it is told of also when it is small again."""
    add_account(database)
    severities = ("low", "low", "medium", "low")
    types = (EventType.ANOMALY_DETECTED, type_, EventType.ANOMALY_UPDATED, type_)
    events = [anomaly_of(each, severity) for each, severity in zip(types, severities, strict=True)]
    another = anomaly_of(type_, "low", "another")
    found = states_of(database, run, *events, another, filter_=SEVERE)
    assert found == [LEFT_OUT, LEFT_OUT, SENT, SENT, LEFT_OUT]


def test_a_type_that_the_filter_leaves_out_tells_nothing(database: PostgresDatabase, run: Run) -> None:
    """A sink that never receives what is new meets the other conditions with every event."""
    add_account(database)
    ends = Filter(types=frozenset({"anomaly.updated", "anomaly.resolved"}), severity=Severity.MEDIUM)
    types = EventType.ANOMALY_DETECTED, EventType.ANOMALY_UPDATED, EventType.ANOMALY_RESOLVED
    events = [
        anomaly_of(type_, severity) for type_, severity in zip(types, ("high", "low", "high"), strict=True)
    ]
    assert states_of(database, run, *events, filter_=ends) == [LEFT_OUT, LEFT_OUT, SENT]


def test_what_is_replayed_is_told_and_what_is_discarded_is_not(database: PostgresDatabase, run: Run) -> None:
    """A sink hears how an anomaly goes on that a replay brought, or that waits or was given up."""
    add_account(database)
    small = anomaly_of(EventType.ANOMALY_DETECTED, "low", "b")
    dead, gone = (anomaly_of(EventType.ANOMALY_DETECTED, "medium", name) for name in ("c", "d"))
    assert states_of(database, run, small, dead, filter_=SEVERE) == [LEFT_OUT, SENT]
    (refused,) = claim(database, "pager")
    with database.transaction() as tx:
        tx.outbox.mark_failed(refused, "gone", retry_after=None)
        assert tx.outbox.replay(EventQuery(state=LEFT_OUT), ["pager"]) == 1
    updates = [anomaly_of(EventType.ANOMALY_UPDATED, "low", name) for name in ("b", "c")]
    assert states_of(database, run, *updates, filter_=SEVERE) == [SENT, SENT]
    assert states_of(database, run, gone, filter_=SEVERE) == [SENT]
    with database.transaction() as tx:
        tx.outbox.discard("pager", "Discarded by hand.")
    update = anomaly_of(EventType.ANOMALY_UPDATED, "low", "d")
    assert states_of(database, run, update, filter_=SEVERE) == [LEFT_OUT]


def of_job(type_: EventType, team: str, job: str = "collect", days: int = 0, since_days: int = 0) -> Event:
    """Return an event of an account that fails, or that has failed since a day."""
    since = instant(NOW + timedelta(days=since_days))
    data = {
        "account": {"aws_account_id": "1" * 12, "labels": {"team": team}},
        "job": job,
        "failed": {"since": since, "kind": "access_denied"},
    }
    return event(type_, data=data, occurred_at=NOW + timedelta(days=days))


def test_the_team_that_was_told_of_a_failure_is_told_of_its_end(database: PostgresDatabase, run: Run) -> None:
    """Whatever labels the account has by then, or its alert would not close; and of no other end."""
    add_account(database)
    recovered = EventType.ACCOUNT_RECOVERED
    events = (
        of_job(EventType.ACCOUNT_FAILED, "payments"),
        of_job(recovered, "search", "discover", days=1),
        of_job(recovered, "search", days=1),
        of_job(recovered, "search", days=3, since_days=2),
    )
    payments = Filter(labels=(("team", "payments"),))
    assert states_of(database, run, *events, filter_=payments) == [SENT, LEFT_OUT, SENT, LEFT_OUT]
