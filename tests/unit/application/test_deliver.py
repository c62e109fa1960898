"""The outbox: at least once to each sink, oldest first, and what is not taken waits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from costbatch.application.deliver import Deliverer
from costbatch.domain.events import Event, EventType
from costbatch.errors import StorageError
from tests.support.factories import NOW
from tests.support.fake_receivers import FakeSink
from tests.support.fake_store import FakeStore


@dataclass
class Post:
    """An outbox with a clock that a test sets, and two sinks."""

    now: datetime = NOW
    store: FakeStore = field(default_factory=FakeStore)
    log: FakeSink = field(default_factory=lambda: FakeSink("log"))
    chat: FakeSink = field(default_factory=lambda: FakeSink("chat"))

    def write(self, *subjects: str) -> None:
        """Put events into the outbox."""
        events = [
            Event(
                id=UUID(int=int(subject)),
                type=EventType.RUN_COMPLETED,
                subject=subject,
                occurred_at=self.now,
                data={},
            )
            for subject in subjects
        ]
        with self.store.transaction() as tx:
            tx.outbox.append(events, ["log", "chat"], account_id=None, run_id=None)

    def deliver(self) -> int:
        """Deliver what is due."""
        sinks = [self.log, self.chat]
        return Deliverer(database=self.store, sinks=sinks, clock=lambda: self.now).deliver()

    def retry_in(self, subject: str) -> timedelta:
        """Return how long an event still waits for the chat."""
        return self.store.tables.outbox.posted[UUID(int=int(subject)), "chat"].retry_at - self.now


@pytest.fixture
def post() -> Post:
    """Return an empty outbox."""
    return Post()


def test_every_event_reaches_every_sink_once_and_in_order(post: Post) -> None:
    """Oldest first, over more events than one transaction takes; nothing is left."""
    subjects = [str(n) for n in range(1, 46)]
    post.write(*subjects)
    assert post.deliver() == 0
    assert post.log.subjects == post.chat.subjects == subjects
    assert post.store.tables.outbox.count_pending() == 0
    assert post.deliver() == 0
    assert post.log.tried == 45


def test_what_a_sink_does_not_take_waits_and_holds_up_nothing(post: Post) -> None:
    """The other events and the other sinks go on; the failure is counted and its reason kept."""
    post.chat.refused = {"2"}
    post.write("1", "2", "3")
    assert post.deliver() == 1
    assert post.log.subjects == ["1", "2", "3"]
    assert post.chat.subjects == ["1", "3"]
    waiting = post.store.tables.outbox.posted[UUID(int=2), "chat"]
    assert (waiting.last_error, waiting.attempts, waiting.delivered_at) == ("The receiver is away.", 1, None)


def test_a_sink_that_is_away_is_asked_once_for_each_event(post: Post) -> None:
    """The outbox runs dry although nothing is taken."""
    post.chat.refused = {"*"}
    post.write(*(str(n) for n in range(1, 46)))
    assert post.deliver() == 45
    assert post.chat.tried == 45


def test_an_event_is_not_tried_again_before_its_pause_is_over(post: Post) -> None:
    """Then it is, and what was taken meanwhile is not."""
    post.chat.refused = {"1"}
    post.write("1")
    post.deliver()
    post.now += timedelta(seconds=59)
    assert post.deliver() == 0
    assert post.chat.tried == 1
    post.now += timedelta(seconds=1)
    post.chat.refused = set()
    assert post.deliver() == 0
    assert (post.chat.subjects, post.log.tried) == (["1"], 1)


def test_the_pause_doubles_from_a_minute_to_half_a_day(post: Post) -> None:
    """However often an event was tried, it is tried twice a day."""
    post.chat.refused = {"1"}
    post.write("1")
    pauses = []
    for _ in range(30):
        post.deliver()
        pauses.append(post.retry_in("1"))
        post.now += pauses[-1]
    minutes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *[720] * 20]
    assert pauses == [timedelta(minutes=n) for n in minutes]


def test_an_event_whose_mark_is_lost_is_delivered_again(post: Post) -> None:
    """At least once: the commit failed after the sink had taken it, and its id lets it drop the repeat."""
    post.write("1")

    def take_and_lose(cloudevent: Mapping[str, object]) -> None:
        post.log.taken.append(cloudevent)
        if len(post.log.taken) == 1:
            raise StorageError("Connection lost.")

    post.log.deliver = take_and_lose  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        post.deliver()
    assert post.deliver() == 0
    assert [each["id"] for each in post.log.taken] == [str(UUID(int=1))] * 2
    assert post.store.tables.outbox.count_pending() == 0


def test_a_lost_database_ends_the_delivery(post: Post) -> None:
    """What was not marked stays in the outbox."""
    post.write("1")
    post.store.faults = [StorageError("Gone.")]
    with pytest.raises(StorageError, match="Gone"):
        post.deliver()
    assert post.store.tables.outbox.count_pending() == 2
