"""From a real outbox to a real receiver that fails in every way: nothing is lost, and order holds."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.application.deliver import LEASE_SECONDS, Deliverer
from costbatch.application.outbox import Sink
from costbatch.domain.accounts import Account
from costbatch.domain.deliveries import EventQuery
from costbatch.domain.events import Event, EventType
from costbatch.domain.routing import Route
from costbatch.errors import DeliveryError
from tests.postgres.conftest import Query
from tests.support.database_rows import NOW, add_account, event, let_deliveries_wait
from tests.support.receiver import Receiver, Reply, receiving
from tests.support.sinks import SIGNING, make_sink

ACCOUNTS, EVENTS = 20, 50
FAULTS = [
    Reply(500, body=b"whsec_planted-in-an-answer"),
    Reply(429, {"Retry-After": "0"}),
    Reply(resets=True),
    Reply(302, {"Location": "/elsewhere"}),
    Reply(raw=b"garbage\r\n\r\n"),
    Reply(413),
]
# Seldom, because each takes the whole timeout.
HANGING = Reply(hangs=True)


def write_events(database: PostgresDatabase, each: int = EVENTS) -> dict[str, str]:
    """Write so many events of each account, in turn; return the account of each id."""
    accounts, numbers = [add_account(database, n + 1) for n in range(ACCOUNTS)], count()
    written = {}
    for _ in range(each):
        with database.transaction() as tx:
            for account in accounts:
                number = next(numbers)
                event = Event(
                    id=UUID(int=number),
                    type=EventType.RUN_COMPLETED,
                    subject=account.aws_account_id,
                    occurred_at=NOW,
                    data={"number": number},
                )
                tx.outbox.append([event], [Route("it")], account_id=account.id, run_id=None)
                written[str(event.id)] = account.aws_account_id
    return written


class _Killed(BaseException):
    """The end of the process, at a point that a test chooses."""


def faulty(receiver: Receiver) -> Sink:
    """Return a signed webhook whose process dies once, between the receiver's answer and the mark."""
    return make_sink(
        f"type: webhook\nurl: {receiver.url}\nallow_private: true\ntimeout_seconds: 1"
        "\nsecrets: {secret_env: SIGN}",
        {"SIGN": SIGNING},
    )


def test_a_thousand_events_arrive_whatever_the_receiver_does(
    database: PostgresDatabase, query: Query
) -> None:
    """None is lost, each account's come in order, and an id comes again only after a failure."""
    written = write_events(database)
    with receiving() as receiver:
        sink = faulty(receiver)
        for n in range(40):
            receiver.replies += [*[Reply()] * (n % 7 * 5), FAULTS[n % len(FAULTS)]]
        receiver.replies += [Reply(), HANGING]
        faults = {id(reply) for reply in (*FAULTS, HANGING)}
        given = iter([id(reply) not in faults for reply in receiver.replies])
        accepted: list[str] = []
        deliverer = Deliverer(
            database=database, sinks=[sink], clock=lambda: NOW, most_attempts=1000, pauses=()
        )
        for _ in range(100):
            deliverer.deliver()
            let_deliveries_wait(database, timedelta(hours=13))
            if not query("SELECT FROM deliveries WHERE state <> 'delivered'"):
                break
        bodies = [json.loads(body) for body in receiver.bodies]
        for asked, body in zip(receiver.asked, bodies, strict=True):
            assert Webhook(SIGNING).verify(asked.body, asked.headers) == body
            if next(given, True):
                accepted.append(body["id"])
    assert Counter(accepted) == Counter(dict.fromkeys(written, 1))
    for account in set(written.values()):
        mine = [int(UUID(each)) for each in accepted if written[each] == account]
        assert all(first < second for first, second in pairwise(mine))
    (errors,) = query("SELECT count(*) FROM deliveries WHERE reason LIKE '%planted%'")
    assert errors == (0,)


def test_a_kill_between_send_and_mark_repeats_a_claim_at_most(
    database: PostgresDatabase, query: Query
) -> None:
    """The receiver knows the repeats by their ids; the others come once."""
    written = write_events(database, 2)

    def deliver(sink: Sink) -> None:
        Deliverer(database=database, sinks=[sink], clock=lambda: NOW, pauses=()).deliver()

    with receiving() as receiver:
        sink = faulty(receiver)

        class Dies:
            name, is_digest, left = "it", False, 25

            def deliver(self, cloudevents: Any) -> str:
                answer = sink.deliver(cloudevents)
                self.left -= 1
                if not self.left:
                    raise _Killed
                return answer

        dies: Any = Dies()
        before, threading.excepthook = threading.excepthook, lambda _: None
        try:
            deliver(dies)
        finally:
            threading.excepthook = before
        assert query("SELECT count(*) FROM deliveries WHERE claimed_until IS NOT NULL") == [(20,)]
        let_deliveries_wait(database, timedelta(seconds=LEASE_SECONDS))
        deliver(sink)
        times = Counter(json.loads(body)["id"] for body in receiver.bodies)
    assert times.keys() == written.keys()
    assert sorted(times.values())[-6:] == [1, 2, 2, 2, 2, 2]
    assert query("SELECT count(*) FROM deliveries WHERE state <> 'delivered'") == [(0,)]


class _Chat:
    """A sink that takes everything, each event after a wait."""

    name, is_digest = "it", False

    def __init__(self, wait: Callable[[], object] = lambda: None) -> None:
        self.wait, self.subjects, self.began = wait, list[str](), threading.Event()

    def deliver(self, cloudevents: Sequence[Mapping[str, Any]]) -> str:
        """Take them."""
        self.began.set()
        self.wait()
        self.subjects += [each["subject"] for each in cloudevents]
        return "ok"


def write_one(database: PostgresDatabase, account: Account, number: int, occurred_at: datetime) -> None:
    """Write an event of an account, as a process with this clock does."""
    told = event(EventType.RUN_COMPLETED, id=UUID(int=number), subject=str(number), occurred_at=occurred_at)
    with database.transaction() as tx:
        tx.outbox.append([told], [Route("it")], account_id=account.id, run_id=None)


@pytest.mark.parametrize("ahead", [timedelta(minutes=4), timedelta(days=500)])
def test_an_event_of_a_clock_that_is_ahead_is_due_at_once(
    database: PostgresDatabase, ahead: timedelta
) -> None:
    """It holds back nothing that comes after it, and keeps the time that its process saw."""
    account, now = add_account(database), datetime.now(UTC)
    write_one(database, account, 1, now + ahead)
    write_one(database, account, 2, now)
    chat = _Chat()
    result = Deliverer(database=database, sinks=[chat], clock=lambda: now, pauses=()).deliver()["it"]
    assert (result.delivered, chat.subjects) == (2, ["1", "2"])
    with database.transaction() as tx:
        (first,) = tx.outbox.find(EventQuery(ids=[UUID(int=1)]), most=1)
    assert first.occurred_at == now + ahead


def test_what_a_clock_that_is_ahead_could_not_deliver_is_tried_again_soon(
    database: PostgresDatabase, query: Query
) -> None:
    """Its pauses are counted by the database's clock, too, so that no night is lost."""
    account, ahead = add_account(database), datetime.now(UTC) + timedelta(days=30)
    write_one(database, account, 1, ahead)

    def refuse() -> None:
        raise DeliveryError("Away.")

    Deliverer(database=database, sinks=[_Chat(refuse)], clock=lambda: ahead, pauses=()).deliver()
    (waits,) = query("SELECT retry_at - now() BETWEEN '0' AND '10 seconds' FROM deliveries")
    assert waits == (True,)


@pytest.mark.parametrize("minutes", [-30, 30])
def test_two_processes_whose_clocks_differ_do_not_send_the_same(
    database: PostgresDatabase, other: PostgresDatabase, minutes: int
) -> None:
    """What one is sending is its own until its claim ends, by a clock that both share."""
    account, now = add_account(database), datetime.now(UTC)
    for number in (1, 2, 3):
        write_one(database, account, number, now - timedelta(days=1))
    go_on = threading.Event()
    slow, fast = _Chat(go_on.wait), _Chat()
    skewed = Deliverer(database=database, sinks=[slow], clock=lambda: now + timedelta(minutes=minutes))
    thread = threading.Thread(target=skewed.deliver)
    thread.start()
    assert slow.began.wait(10)
    Deliverer(database=other, sinks=[fast], clock=lambda: now, worker="other", budget_seconds=0.5).deliver()
    go_on.set()
    thread.join()
    assert (slow.subjects, fast.subjects) == (["1", "2", "3"], [])
