"""From a real outbox to a real receiver that fails in every way: nothing is lost, and order holds."""

import json
import threading
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from itertools import count, pairwise
from typing import Any
from uuid import UUID

from standardwebhooks import Webhook

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.application.deliver import LEASE_SECONDS, Deliverer
from costbatch.application.outbox import Sink
from costbatch.domain.events import Event, EventType
from costbatch.domain.routing import Route
from tests.postgres.conftest import Query
from tests.support.database_rows import NOW, add_account
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


def _same(now: datetime) -> datetime:
    return now


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
        now = NOW
        for _ in range(100):
            deliverer = Deliverer(
                database=database, sinks=[sink], clock=partial(_same, now), most_attempts=1000, pauses=()
            )
            deliverer.deliver()
            now += timedelta(hours=13)
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

    def deliver(sink: Sink, now: datetime) -> None:
        Deliverer(database=database, sinks=[sink], clock=lambda: now, pauses=()).deliver()

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
            deliver(dies, NOW)
        finally:
            threading.excepthook = before
        assert query("SELECT count(*) FROM deliveries WHERE claimed_until IS NOT NULL") == [(20,)]
        deliver(sink, NOW + timedelta(seconds=LEASE_SECONDS))
        times = Counter(json.loads(body)["id"] for body in receiver.bodies)
    assert times.keys() == written.keys()
    assert sorted(times.values())[-6:] == [1, 2, 2, 2, 2, 2]
    assert query("SELECT count(*) FROM deliveries WHERE state <> 'delivered'") == [(0,)]
