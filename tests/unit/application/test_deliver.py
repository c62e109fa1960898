"""Delivery: at least once to each sink, in order for each account, and no sink disturbs another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event as Signal
from threading import Timer
from time import monotonic
from typing import Any
from uuid import UUID

import pytest

from costbatch.application import deliver
from costbatch.application.deliver import Deliverer, SinkResult
from costbatch.application.jobs import retry
from costbatch.domain.deliveries import DeliveryState, pause_after
from costbatch.domain.events import Event, EventType
from costbatch.domain.routing import Route
from costbatch.errors import DeliveryError, StorageError
from tests.support.factories import NOW
from tests.support.fake_receivers import FakeSink
from tests.support.fake_store import FakeOutbox, FakeStore, Posted

RUN = UUID(int=77)


@dataclass
class Post:
    """An outbox with a clock that a test sets, and two sinks; nothing waits within a delivery."""

    now: datetime = NOW
    store: FakeStore = field(default_factory=FakeStore)
    log: FakeSink = field(default_factory=lambda: FakeSink("log"))
    chat: FakeSink = field(default_factory=lambda: FakeSink("chat"))
    stop: Signal = field(default_factory=Signal)
    pauses: Sequence[float] = ()
    budget_seconds: float = 60
    most_attempts: int = 1000

    def __post_init__(self) -> None:
        """Let deliveries wait by the same clock."""
        self.store.tables.outbox.now = lambda: self.now

    def write(self, *subjects: str, account_id: int | None = None, run_id: UUID | None = None) -> None:
        """Put events into the outbox: of one account, or each of an account of its own."""
        for subject in subjects:
            event = Event(
                id=UUID(int=int(subject)),
                type=EventType.RUN_COMPLETED,
                subject=subject,
                occurred_at=self.now,
                data={},
            )
            with self.store.transaction() as tx:
                routes = [Route("log"), Route("chat")]
                tx.outbox.append([event], routes, account_id=account_id or int(subject), run_id=run_id)

    def deliver(self) -> Mapping[str, SinkResult]:
        """Deliver what is due."""
        return Deliverer(
            database=self.store,
            sinks=[self.log, self.chat],
            clock=lambda: self.now,
            most_attempts=self.most_attempts,
            budget_seconds=self.budget_seconds,
            stop=self.stop,
            pauses=self.pauses,
            jitter=lambda: 0,
        ).deliver()

    def waiting(self) -> int:
        """Deliver what is due, and return how many deliveries were not accepted."""
        return sum(len(result.waiting) for result in self.deliver().values())

    def posted(self, subject: str) -> Posted:
        """Return the way of an event to the chat."""
        return self.store.tables.outbox.posted[UUID(int=int(subject)), "chat"]

    @property
    def pending(self) -> int:
        """How many deliveries are still to be made."""
        return self.store.tables.outbox.count_pending()


@pytest.fixture
def post() -> Post:
    """Return an empty outbox."""
    return Post()


def test_every_event_reaches_every_sink_once_and_in_order(post: Post) -> None:
    """Oldest first, over more events than one claim takes; nothing is left."""
    subjects = [str(n) for n in range(1, 46)]
    post.write(*subjects)
    assert post.waiting() == 0
    assert post.log.subjects == post.chat.subjects == subjects
    assert post.pending == 0
    assert post.waiting() == 0
    assert post.log.tried == 45


def test_nothing_is_sent_within_a_transaction(post: Post) -> None:
    """A claim is committed before the first event goes out: another transaction sees it meanwhile."""
    seen = []

    def look(_: Mapping[str, Any]) -> None:
        # The store gives one transaction at a time: within another this would wait for ever.
        with post.store.transaction() as tx:
            seen.append([each.claimed_until for each in tx.outbox.posted.values()])  # type: ignore[attr-defined]

    post.chat.on_delivery = look
    post.write("1")
    post.deliver()
    assert NOW + timedelta(seconds=deliver.LEASE_SECONDS) in seen[0]


def test_a_failure_holds_back_its_account_and_nothing_else(post: Post) -> None:
    """The other accounts and the other sinks go on; the failure is counted and its reason kept."""
    post.chat.refused = {"2"}
    post.write("1", "2", "3", account_id=5)
    post.write("4", account_id=6)
    assert post.waiting() == 1
    assert (post.log.subjects, post.chat.subjects) == (["1", "2", "3", "4"], ["1", "4"])
    two, three = post.posted("2"), post.posted("3")
    assert (two.state, two.attempts, two.reason) == (DeliveryState.PENDING, 1, "The receiver is away.")
    assert (three.attempts, three.claimed_until) == (0, None)
    post.chat.refused = set()
    post.now += timedelta(seconds=5)
    assert post.waiting() == 0
    assert post.chat.subjects == ["1", "4", "2", "3"]


def test_a_sink_that_is_away_is_left_alone_after_three_failures(post: Post) -> None:
    """A thousand events do not each wait for its timeout."""
    post.chat.refused = {"*"}
    post.write(*(str(n) for n in range(1, 46)))
    assert post.waiting() == 3
    assert (post.chat.tried, len(post.log.taken)) == (3, 45)
    assert post.pending == 45


def test_a_refused_message_does_not_count_as_a_sink_that_is_away(post: Post) -> None:
    """The receiver answers; only these messages are not to its liking."""
    post.chat.error = DeliveryError("Too large.", is_refused=True)
    post.pauses = (60,)
    post.write(*(str(n) for n in range(1, 8)))
    assert (post.waiting(), post.chat.tried) == (7, 7)


def test_a_refused_event_is_given_up_the_third_time(post: Post) -> None:
    """Once in each run; what waits behind it comes in the third night, not in the tenth."""
    post.chat.unwanted, post.chat.refused = {"1"}, {"*"}
    post.write("1", "2", account_id=5)
    for _ in range(4):
        # That the receiver is away does not count.
        post.deliver()
        post.now += timedelta(days=1)
    post.chat.refused, post.chat.tried = set(), 0
    post.deliver()
    post.now += timedelta(minutes=2)
    assert (post.waiting(), post.chat.tried) == (0, 1), "the same run"
    for _ in range(2):
        post.now += timedelta(days=1)
        result = post.deliver()["chat"]
    assert (result.given_up, post.posted("1").state) == (1, DeliveryState.DEAD)
    assert (post.chat.subjects, post.pending) == (["2"], 0)


def test_a_sink_is_tried_again_within_the_run(post: Post) -> None:
    """After each pause, as long as the time allows: a restart of the receiver delays nothing by a day."""
    post.pauses = (0.001, 0.001, 60)
    post.chat.refused = {"1"}
    post.write("1")

    def recover(timeout: float | None = None) -> bool:
        # The pause of the event itself passes too.
        post.now += timedelta(seconds=10)
        post.chat.refused = set()
        return False

    post.stop.wait = recover  # type: ignore[method-assign]
    result = post.deliver()["chat"]
    assert (result.delivered, result.waiting, result.problem) == (1, set(), ""), "nothing is wrong any more"
    assert (post.chat.subjects, post.chat.tried) == (["1"], 2)


def test_a_receiver_that_asks_for_time_gets_it(post: Post) -> None:
    """Retry-After holds for the whole sink; beyond the run's time it is left alone until the next run."""
    post.budget_seconds = 5
    post.chat.error = DeliveryError("Slow down.", retry_after_seconds=3600)
    post.write("1", "2")
    assert post.waiting() == 1
    assert (post.chat.tried, post.posted("1").retry_at) == (1, NOW + timedelta(hours=1))


def test_a_receiver_that_refuses_a_message_and_asks_for_time_is_not_left_alone(post: Post) -> None:
    """It refuses this message; the next one may be taken at once."""
    post.chat.error = DeliveryError("No good.", is_refused=True, retry_after_seconds=3600)
    post.write("1", "2", "3")
    assert (post.waiting(), post.chat.tried) == (3, 3)


def test_an_event_is_given_up_after_so_many_attempts(post: Post) -> None:
    """It is dead, which is counted and not retried, and what waits behind it goes on."""
    post.most_attempts, post.chat.refused = 2, {"1"}
    post.write("1", "2", account_id=5)
    post.deliver()
    post.now += timedelta(minutes=1)
    result = post.deliver()["chat"]
    assert (result.given_up, result.delivered, result.problem) == (1, 1, "The receiver is away.")
    assert post.posted("1").state is DeliveryState.DEAD
    assert (post.chat.subjects, post.chat.tried) == (["2"], 3)


def test_the_pause_doubles_from_five_seconds_to_half_a_day() -> None:
    """However often an event was tried, it is tried twice a day; jitter takes up to a quarter away."""
    pauses = [pause_after(attempt, 0).total_seconds() for attempt in range(1, 20)]
    assert pauses == [min(5 * 2**n, 43_200) for n in range(19)]
    assert pause_after(10_000, 1) == timedelta(hours=9)


def test_the_receiver_says_when_but_not_for_ever() -> None:
    """Its word counts for the first attempts, and never beyond a day."""
    assert pause_after(1, 0, timedelta(seconds=1)) == timedelta(seconds=1)
    assert pause_after(9, 0, timedelta(seconds=1)) == pause_after(9, 0)
    assert pause_after(1, 0, timedelta(days=400)) == timedelta(days=1)


def test_an_event_whose_mark_is_lost_is_delivered_again(post: Post) -> None:
    """At least once: the process was killed after the sink had taken it, and the id tells the repeat."""
    post.write("1")

    def die(_: Mapping[str, Any]) -> None:
        raise SystemExit

    post.chat.on_delivery = die
    with pytest.raises(SystemExit):
        deliver._Drain(  # as a thread of a process that is killed
            deliverer=Deliverer(database=post.store, sinks=[post.chat], clock=lambda: post.now),
            sink=post.chat,
            until=float("inf"),
            stop=post.stop,
        ).run()
    post.chat.on_delivery = lambda _: None
    assert (post.waiting(), post.chat.subjects) == (0, ["1"]), "another process leaves its claim alone"
    post.now += timedelta(seconds=deliver.LEASE_SECONDS)
    assert (post.waiting(), post.chat.subjects) == (0, ["1", "1"])
    assert post.pending == 0


def test_a_hanging_sink_delays_no_other_and_is_left_behind(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are done long before; the run goes on when the time is over."""
    monkeypatch.setattr(deliver, "_LAST_SEND_SECONDS", 0.05)
    post.budget_seconds = 0.05
    hangs = Signal()

    def hang(_: Mapping[str, Any]) -> None:
        hangs.wait()

    post.chat.on_delivery = hang
    post.write("1", "2")
    results = post.deliver()
    assert (post.log.subjects, results["chat"].problem) == (["1", "2"], "It did not answer in time.")
    hangs.set()


def test_no_delivery_begins_once_the_process_is_asked_to_end(post: Post) -> None:
    """What was claimed is released at once, so that the next process need not wait."""
    post.write("1", "2", "3")
    post.chat.on_delivery = lambda _: post.stop.set()
    post.deliver()
    assert post.chat.subjects == ["1"]
    assert post.posted("2").claimed_until is None


def test_a_process_that_is_ending_still_delivers_for_a_moment(post: Post) -> None:
    """A run that was stopped reports that it was."""
    post.stop.set()
    post.write("1")
    assert (post.waiting(), post.chat.subjects) == (0, ["1"])


def test_a_digest_is_one_message_for_each_run(post: Post) -> None:
    """What happened in a night comes together; what comes without a run stays alone."""
    post.chat.is_digest = True
    post.write("1", "2", "3", run_id=RUN)
    post.write("4", run_id=UUID(int=78))
    post.write("5", "6")
    post.deliver()
    assert post.chat.messages == [["1", "2", "3"], ["4"], ["5"], ["6"]]
    assert post.log.messages == [[str(n)] for n in range(1, 7)]


def test_a_digest_has_every_event_of_its_run(post: Post) -> None:
    """The incident of many accounts comes after its members, and tells them in the same message."""
    post.chat.is_digest = True
    subjects = [str(n) for n in range(1, 352)]
    post.write(*subjects, run_id=RUN)
    post.deliver()
    assert post.chat.messages == [subjects]


def test_a_digest_that_fails_is_tried_again_as_a_whole(post: Post) -> None:
    """Its events wait together."""
    post.chat.is_digest, post.chat.refused = True, {"2"}
    post.write("1", "2", run_id=RUN)
    assert post.waiting() == 2
    assert [post.posted(subject).attempts for subject in ("1", "2")] == [1, 1]


def test_a_digest_that_is_too_large_is_sent_in_parts(post: Post) -> None:
    """In order, and within the same delivery."""
    post.chat.is_digest, post.chat.largest = True, 2
    post.write("1", "2", "3", "4", "5", run_id=RUN)
    assert post.waiting() == 0
    assert post.chat.messages == [["1", "2"], ["3"], ["4", "5"]]


def test_only_the_event_that_is_too_large_by_itself_waits(post: Post) -> None:
    """It holds back only what comes later with its key."""
    post.chat.is_digest, post.chat.largest = True, 0
    post.write("1", "2", run_id=RUN)
    assert post.waiting() == 2
    post.chat.largest = 1
    post.now += timedelta(days=1)
    assert post.waiting() == 0
    assert post.chat.messages == [["1"], ["2"]]


def test_only_the_event_that_a_receiver_refuses_waits(post: Post) -> None:
    """It is found among the others of its digest, which arrive in the same night."""
    post.chat.is_digest, post.chat.unwanted = True, {"3"}
    post.write(*(str(n) for n in range(1, 9)), run_id=RUN)
    assert post.waiting() == 1
    assert post.chat.messages == [["1", "2"], ["4"], ["5", "6", "7", "8"]]
    assert post.posted("3").state is DeliveryState.PENDING


def test_a_refused_event_is_found_in_a_digest_that_is_divided_for_its_size(post: Post) -> None:
    """A message that is too large is no refusal, or many of them would hide the event near the end."""
    subjects = [str(n) for n in range(1, 401)]
    post.chat.is_digest, post.chat.largest, post.chat.unwanted = True, 13, {"395"}
    post.write(*subjects, run_id=RUN)
    assert post.waiting() == 1
    assert post.chat.subjects == [each for each in subjects if each != "395"]


@pytest.mark.parametrize("poison", ["1", "37", "100"])
def test_an_event_that_may_be_refused_does_not_kill_the_others(post: Post, poison: str) -> None:
    """If it cannot be told from an outage, a digest is divided after four attempts."""
    subjects = [str(n) for n in range(1, 101)]
    post.chat.is_digest, post.chat.is_unclear, post.chat.refused = True, True, {poison}
    post.most_attempts, post.pauses = 10, (0.001,) * 3
    post.write(*subjects, run_id=RUN)
    for night in range(10):
        post.deliver()
        post.now += timedelta(days=1)
        # Here, where the clock stands still within a night, each has one attempt.
        assert bool(post.chat.taken) is (night >= 4)
    assert sorted(post.chat.subjects, key=int) == [each for each in subjects if each != poison]
    assert post.posted(poison).state is DeliveryState.DEAD


def test_an_outage_does_not_divide_a_digest(post: Post) -> None:
    """The first night sends it as a whole; later ones try three messages, and it is not given up early."""
    subjects = [str(n) for n in range(1, 101)]
    post.chat.is_digest, post.chat.is_unclear, post.chat.refused = True, True, {"*"}
    post.write(*subjects, run_id=RUN)
    tried = []
    for _ in range(6):
        post.chat.tried = 0
        assert post.waiting() > 0
        tried.append(post.chat.tried)
        post.now += timedelta(days=1)
    assert tried == [1, 1, 1, 1, 3, 3]
    post.chat.refused = set()
    assert post.waiting() == 0
    assert sorted(post.chat.subjects, key=int) == subjects


def test_a_receiver_that_refuses_everything_is_not_asked_about_each_event(post: Post) -> None:
    """Its refusal is about something else: what is left is not divided, and not given up before its time."""
    subjects = [str(n) for n in range(1, 101)]
    post.chat.is_digest, post.chat.unwanted = True, set(subjects)
    post.write(*subjects, run_id=RUN)
    for _ in range(3):
        post.chat.tried = 0
        result = post.deliver()["chat"]
        assert post.chat.tried < 40
        post.now += timedelta(days=1)
    assert 0 < result.given_up < 15
    post.chat.unwanted = set()
    post.deliver()
    assert len(post.chat.subjects) == 100 - result.given_up


def test_a_lost_database_ends_the_delivery(post: Post) -> None:
    """What was not marked stays in the outbox; it is waited for as long as the delivery has time."""
    post.write("1")
    post.budget_seconds = 0.2
    post.store.faults = [StorageError("Gone."), StorageError("Gone.")]
    with pytest.raises(StorageError, match="Gone"):
        post.deliver()
    assert post.pending == 2


@pytest.mark.parametrize("step", ["release_dead", "claim", "held_for", "mark_delivered"])
def test_a_database_that_is_away_for_a_moment_delays_nothing(
    post: Post, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Each step is patient: what a restart interrupts is not left for the next night."""
    monkeypatch.setattr(retry, "_FIRST_PAUSE_SECONDS", 0)
    post.write("1", "2")
    once = iter([StorageError("Starting up.")])
    real = getattr(FakeOutbox, step)

    def interrupted(*args: object, **more: object) -> object:
        for error in once:
            raise error
        return real(*args, **more)

    monkeypatch.setattr(FakeOutbox, step, interrupted)
    assert (post.waiting(), post.pending) == (0, 0)
    assert next(once, None) is None, "the step was reached"
    assert post.log.subjects[:2] == post.chat.subjects[:2] == ["1", "2"]


def test_a_claim_whose_commit_was_not_heard_is_made_again(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is this process's own: its deliveries do not wait for the claim to end, which is the next night."""
    monkeypatch.setattr(retry, "_FIRST_PAUSE_SECONDS", 0)
    post.write("1", "2")
    claimed = list[str]()
    real = FakeOutbox.claim

    def claim(outbox: FakeOutbox, sink: str, **more: Any) -> object:
        found = real(outbox, sink, **more)
        if sink not in claimed:
            claimed.append(sink)
            # As if the transaction had committed before the connection was lost.
            post.store.tables.outbox = outbox.copy()
            raise StorageError("Lost in the instant of the commit.")
        return found

    monkeypatch.setattr(FakeOutbox, "claim", claim)
    assert (post.waiting(), post.pending) == (0, 0)
    assert post.log.subjects == post.chat.subjects == ["1", "2"]


def test_a_process_that_is_ending_is_not_patient_beyond_its_time(post: Post) -> None:
    """The database is away; the delivery gives up with the time that is left for it."""
    post.write("1")
    post.stop.set()
    post.store.faults = [StorageError("Gone.")] * 99
    began = monotonic()
    with pytest.raises(StorageError):
        post.deliver()
    assert monotonic() - began < deliver._STOPPING_SECONDS + 1


@pytest.mark.parametrize("step", ["release_dead", "claim", "held_for"])
def test_a_process_that_is_asked_to_end_while_it_waits_ends_in_time(
    post: Post, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The database stays away; the signal leaves it a few seconds, and not those of the delivery."""
    post.write("1")

    def away(*_: object, **__: object) -> None:
        raise StorageError("Gone.")

    monkeypatch.setattr(retry, "STOPPING_PATIENCE_SECONDS", 1)
    monkeypatch.setattr(FakeOutbox, step, away)
    Timer(0.1, post.stop.set).start()
    began = monotonic()
    with pytest.raises(StorageError, match="Gone"):
        post.deliver()
    assert monotonic() - began < 0.1 + 1 + 1


def test_an_unexpected_error_of_a_sink_is_a_failure_of_its_event(post: Post) -> None:
    """It holds back no other event for ever, and its text, which may quote anything, is not stored."""
    post.write("1", "2")

    def stumble(cloudevent: Mapping[str, Any]) -> None:
        if cloudevent["subject"] == "1":
            raise RuntimeError("planted")

    post.chat.on_delivery = stumble
    assert post.waiting() == 1
    assert post.chat.subjects == ["1", "2"]
    assert post.posted("1").reason == (
        "An unexpected error (RuntimeError); the log line sink_failed has the traceback."
    )
