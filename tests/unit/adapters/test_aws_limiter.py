"""Who waits for whom where AWS throttles, on a clock that only sleeps move."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from costbatch.adapters.aws.rate_limiter import LimitedRequest, RateLimiter
from costbatch.domain.credentials import AccessKeys, Secret

MAX_WAIT = 60.2


@dataclass
class Time:
    """A clock, and the sleeps that move it."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        assert seconds > 0
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    """Return a clock."""
    return Time()


@pytest.fixture
def limiter(time: Time) -> RateLimiter:
    """Return the limiter of a service on that clock."""
    return RateLimiter("ce", "us-east-1", max_wait_seconds=MAX_WAIT, clock=lambda: time.now, sleep=time.sleep)


def turn_of(owner: object) -> LimitedRequest:
    """Return a request of somebody."""
    return LimitedRequest(AccessKeys(access_key_id=Secret(f"AKIA{owner}"), secret_access_key=Secret("x")))


def send(limiter: RateLimiter, turn: LimitedRequest, *, is_taken: bool) -> None:
    """Make an attempt that AWS takes or throttles."""
    limiter.wait(turn)
    if is_taken:
        limiter.succeeded(turn)
    else:
        limiter.throttled(turn, is_last=False)


def waited(limiter: RateLimiter, time: Time, owner: object) -> float:
    """Return how long a new request waits for its turn."""
    began = time.now
    limiter.wait(turn_of(owner))
    return time.now - began


def throttle_one(limiter: RateLimiter, time: Time, owner: object, *, seconds: float = 3.0) -> LimitedRequest:
    """Throttle every attempt of one request for a while."""
    turn, end = turn_of(owner), time.now + seconds
    while time.now < end:
        send(limiter, turn, is_taken=False)
        time.now += 0.3
    return turn


def throttle_many(
    limiter: RateLimiter, time: Time, *, owners: int = 40, served: int = 1, seconds: float = 1.0
) -> None:
    """Throttle different owners, evenly over a while, and serve others after each of them."""
    first = int(time.now * 1000)
    for owner in range(first, first + owners):
        time.now += seconds / owners
        refused = turn_of(f"refused-{owner}")
        refused.sent_at = time.now
        limiter.throttled(refused, is_last=True)
        for _ in range(served):
            limiter.succeeded(turn_of(f"served-{owner}"))


def test_nobody_waits_before_the_first_throttling(limiter: RateLimiter, time: Time) -> None:
    """And nothing is kept of those who are served."""
    for owner in range(1000):
        turn = turn_of(owner)
        send(limiter, turn, is_taken=True)
        assert turn._caller == b""
    assert (time.sleeps, limiter.per_second, limiter._each) == ([], None, {})


def test_one_that_is_throttled_slows_down_itself_alone(limiter: RateLimiter, time: Time) -> None:
    """Its next attempts and its next requests wait; nobody else does."""
    throttle_one(limiter, time, "slow")
    assert waited(limiter, time, "slow") > 1
    time.sleeps.clear()
    assert [waited(limiter, time, owner) for owner in range(100)] == [0.0] * 100
    assert time.sleeps == []


def test_one_moment_of_throttling_slows_down_nobody(limiter: RateLimiter, time: Time) -> None:
    """The pause of the retry is enough."""
    turn = turn_of("unlucky")
    send(limiter, turn, is_taken=False)
    time.now += 0.7
    assert limiter.seconds_left(turn) <= 0
    send(limiter, turn, is_taken=True)
    assert waited(limiter, time, "unlucky") == 0


def test_a_dozen_that_are_throttled_for_ever_slow_down_nobody_else(limiter: RateLimiter, time: Time) -> None:
    """However few others there are to compare with, and also when they are the first that a run asks."""
    broken = [turn_of(f"broken-{n}") for n in range(12)]
    for step in range(300):
        for turn in broken:
            limiter.throttled(turn, is_last=False)
            turn.sent_at = time.now
        if step > 100:
            send(limiter, turn_of(f"healthy-{step}"), is_taken=True)
        time.now += 0.1
    assert limiter.per_second is None
    assert time.sleeps == []


def test_where_nobody_is_served_nobody_is_held_back(limiter: RateLimiter, time: Time) -> None:
    """There is no rate to keep to; those who are throttled then are no witnesses later, of a limit of all."""
    broken = [turn_of(f"broken-{n}") for n in range(40)]
    for step in range(40):
        for turn in broken:
            turn.sent_at = time.now
            limiter.throttled(turn, is_last=False)
            time.now += 0.01
        if step > 20:
            for n in range(20):
                limiter.succeeded(turn_of(f"healthy-{step}-{n}"))
        assert limiter.per_second is None


def test_a_limit_holds_until_it_no_longer_binds(limiter: RateLimiter, time: Time) -> None:
    """Not just for as long as somebody is throttled."""
    throttle_many(limiter, time, owners=400)
    for _ in range(23):
        time.now += 0.5
        limiter.succeeded(turn_of("anybody"))
    for owner in range(400):
        limiter.seconds_left(turn_of(owner))
    assert waited(limiter, time, "late") > 0.5


def test_many_that_are_throttled_slow_down_all(limiter: RateLimiter, time: Time) -> None:
    """Also those that were never throttled: the limit is not theirs."""
    throttle_many(limiter, time)
    assert limiter.per_second is not None
    assert limiter.per_second < 40
    fresh = [turn_of(f"fresh-{n}") for n in range(10)]
    left = [limiter.seconds_left(turn) for turn in fresh]
    assert left == pytest.approx([left[0] + n / limiter.per_second for n in range(10)])


def test_first_come_first_served(limiter: RateLimiter, time: Time) -> None:
    """A request that is throttled stands in line from then on: before all that come while it pauses."""
    throttle_many(limiter, time)
    earlier, slow = turn_of("earlier"), turn_of("slow")
    limiter.seconds_left(earlier)
    limiter.throttled(slow, is_last=False)
    later = [turn_of(f"later-{n}") for n in range(50)]
    for turn in later:
        limiter.seconds_left(turn)
    order = sorted([*later, slow, earlier], key=limiter.seconds_left)
    assert order == [earlier, slow, *later]


def test_the_pause_of_the_retry_is_part_of_the_wait(limiter: RateLimiter, time: Time) -> None:
    """It waits for the longer of the two, not for one after the other."""
    turn = throttle_one(limiter, time, "slow")
    wait = limiter.seconds_left(turn)
    assert wait > 1
    time.now += wait - 0.5
    assert limiter.seconds_left(turn) == pytest.approx(0.5)
    time.now += 5
    time.sleeps.clear()
    limiter.wait(turn)
    assert time.sleeps == []


def test_the_last_attempt_takes_nobodys_turn(limiter: RateLimiter, time: Time) -> None:
    """There is no retry that could use it."""
    throttle_many(limiter, time)
    before = limiter.seconds_left(turn_of("one"))
    for owner in range(20):
        limiter.throttled(turn_of(owner), is_last=True)
    assert limiter.per_second is not None
    assert limiter.seconds_left(turn_of("two")) == pytest.approx(before + 1 / limiter.per_second)


def test_nobody_waits_longer_than_its_patience(limiter: RateLimiter, time: Time) -> None:
    """Then it is sent, and AWS decides."""
    throttle_many(limiter, time)
    assert limiter.per_second is not None
    for owner in range(1 + int(limiter.per_second * MAX_WAIT * 2)):
        limiter.seconds_left(turn_of(owner))
    turn, began = turn_of("last"), time.now
    assert limiter.seconds_left(turn) > MAX_WAIT
    limiter.wait(turn)
    assert time.now - began == pytest.approx(MAX_WAIT)
    assert turn.sent_at == time.now


def test_who_waits_notices_that_the_limit_is_gone(limiter: RateLimiter, time: Time) -> None:
    """It looks again twice a second, and does not sleep through to the turn that it was told."""
    throttle_many(limiter, time)
    turns = [turn_of(owner) for owner in range(1000)]
    assert max(limiter.seconds_left(turn) for turn in turns) > 30

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        limiter.succeeded(turn_of("another thread's"))

    limiter._sleep = sleep
    limiter.wait(turns[-1])
    assert limiter.per_second is None
    assert sum(time.sleeps) < 30


def test_a_limit_is_told_once_and_its_end_once(limiter: RateLimiter, time: Time) -> None:
    """Not with each request, and not each time that the rate goes up and down a little."""
    with capture_logs() as logs:
        throttle_many(limiter, time, owners=24, seconds=0.6)
        assert limiter.per_second is not None
        before = limiter.per_second
        throttle_many(limiter, time, owners=5, served=6)
        assert limiter.per_second < before
        time.now += 60
        for owner in range(10):
            limiter.succeeded(turn_of(owner))
        assert [(line["event"], line["log_level"]) for line in logs] == [
            ("rate_limited", "warning"),
            ("rate_recovered", "info"),
        ]
        throttle_many(limiter, time)
    assert logs[2]["event"] == "rate_limited"
    assert {(line["service"], line["region"]) for line in logs} == {("ce", "us-east-1")}
    assert 0 < logs[0]["requests_per_second"] < 40


def test_a_limit_that_changes_by_half_is_told_again(limiter: RateLimiter, time: Time) -> None:
    """What operators were told must not be far from the truth."""
    with capture_logs() as logs:
        throttle_many(limiter, time, owners=200)
        for _ in range(10):
            throttle_many(limiter, time, owners=20)
    rates = [line["requests_per_second"] for line in logs]
    assert len(rates) > 1
    assert all(later * 2 <= earlier for earlier, later in pairwise(rates))


def test_who_was_not_throttled_of_late_is_forgotten(limiter: RateLimiter, time: Time) -> None:
    """Ten thousand accounts, each in trouble once or twice, leave only the last ten seconds behind."""
    for owner in range(10_000):
        turn = turn_of(owner)
        for _ in range(1 + owner % 3):
            limiter.throttled(turn, is_last=False)
        time.now += 0.1
    assert len(limiter._each) <= 101
    time.now += 60
    limiter.succeeded(turn_of("anybody"))
    limiter.succeeded(turn_of("anybody"))
    assert limiter._each == {}
    assert limiter._is_unlimited


def test_who_is_served_well_again_is_forgotten_at_once(limiter: RateLimiter, time: Time) -> None:
    """Its rate has reached what it asked for."""
    throttle_one(limiter, time, "slow")
    for _ in range(10):
        time.now += 0.5
        limiter.succeeded(turn_of("slow"))
    assert limiter._each == {}


def test_what_is_kept_tells_nothing_about_credentials(limiter: RateLimiter) -> None:
    """A fingerprint with a key of this process, the same for the same credentials only."""
    turn = turn_of("PLANTED")
    limiter.throttled(turn, is_last=True)
    (kept,) = limiter._each
    assert kept == turn_of("PLANTED").caller != turn_of("ANOTHER").caller
    assert b"PLANTED" not in kept
    assert "PLANTED" not in f"{turn!r}{vars(limiter)!r}"
