"""A line that moves at a rate, and the rate that throttled answers teach; time is what the test says."""

from math import inf

import pytest

from costbatch.adapters.aws.rate_limiter import LearnedRate, PacedQueue


def test_a_line_moves_at_its_rate() -> None:
    """The first goes at once, each other one a step later."""
    queue = PacedQueue(4, 100)
    positions = [queue.join(100) for _ in range(3)]
    assert [queue.seconds_left(position, 100) for position in positions] == [0, 0.25, 0.5]
    assert queue.seconds_left(positions[2], 100.25) == pytest.approx(0.25)


def test_a_line_that_was_empty_gives_away_nothing() -> None:
    """Turns that nobody took are not saved up for later."""
    queue = PacedQueue(4, 0)
    queue.join(0)
    late = [queue.join(50) for _ in range(3)]
    assert [queue.seconds_left(position, 50) for position in late] == pytest.approx([0, 0.25, 0.5])


def test_who_stands_in_line_moves_with_the_rate() -> None:
    """A position is a number: a higher rate brings it nearer at once, a lower one takes it away."""
    queue = PacedQueue(1, 0)
    last = [queue.join(0) for _ in range(11)][-1]
    assert queue.seconds_left(last, 0) == 10
    queue.change(5, 2)
    assert queue.seconds_left(last, 2) == pytest.approx(8 / 5)
    queue.change(0.5, 3)
    assert queue.seconds_left(last, 3) == pytest.approx(3 / 0.5)


def test_a_turn_that_is_not_used_holds_up_nobody() -> None:
    """The line moves with time, not with who goes."""
    queue = PacedQueue(2, 0)
    queue.join(0)  # and never asks again
    second = queue.join(0)
    assert queue.seconds_left(second, 0.5) <= 0


def taught(rate: LearnedRate, witnesses: int, *, served: int, start: float, seconds: float) -> bool:
    """Spread throttled and good answers evenly over a time; return whether the rate fell."""
    steps = max(witnesses, served)
    fell = False
    for step in range(steps):
        now = start + seconds * step / (steps - 1)
        if step * witnesses // steps != (step - 1) * witnesses // steps:
            fell |= rate.throttled(("caller", now), sent_at=now, now=now)
        if step < served:
            rate.succeeded(now)
    return fell


def test_many_witnesses_make_a_limit_a_little_below_what_is_served() -> None:
    """Of 50 a second that were served while 20 were not, seven tenths."""
    rate = LearnedRate(callers_needed=16)
    assert taught(rate, 20, served=50, start=0, seconds=1)
    assert rate.queue is not None
    assert 25 < rate.queue.per_second < 50


@pytest.mark.parametrize(
    ("witnesses", "served", "seconds", "why"),
    [
        (15, 50, 1.0, "too few witnesses"),
        (16, 200, 1.0, "too small a share"),
        (16, 0, 1.0, "nobody is served, so that there is no rate"),
        (30, 30, 0.3, "too short to measure"),
        (30, 30, 25.0, "too far apart"),
    ],
)
def test_less_than_that_is_no_limit(witnesses: int, served: int, seconds: float, why: str) -> None:
    """The retries take care of it."""
    rate = LearnedRate(callers_needed=16, needs_success=True)
    assert not taught(rate, witnesses, served=served, start=0, seconds=seconds), why
    assert rate.queue is None


def test_the_same_witness_counts_once() -> None:
    """However often it is throttled, and one that is none not at all."""
    rate = LearnedRate(callers_needed=2)
    for now in (0.0, 1.0, 2.0, 3.0):
        assert not rate.throttled("the same", sent_at=now, now=now)
        assert not rate.throttled(None, sent_at=now, now=now)
    assert rate.throttled("another", sent_at=4, now=4)


def test_what_was_on_its_way_when_the_rate_fell_teaches_nothing() -> None:
    """A burst of refusals is one lesson."""
    rate = LearnedRate(callers_needed=16)
    taught(rate, 20, served=50, start=0, seconds=1)
    assert rate.queue is not None
    before = rate.queue.per_second
    for witness in range(100):
        assert not rate.throttled(witness, sent_at=0.4, now=2)
    assert rate.queue.per_second == before


@pytest.mark.parametrize("served", [20, 60])
def test_a_known_limit_is_lowered_by_a_few_witnesses(served: int) -> None:
    """It is there already; that it is too high needs less proof. It falls, whatever else got through."""
    rate = LearnedRate(callers_needed=16)
    taught(rate, 20, served=50, start=0, seconds=1)
    assert rate.queue is not None
    before = rate.queue.per_second
    for step in range(served):
        now = 12 + step / served
        if step % (served // 5) == 0:
            rate.throttled(now, sent_at=now, now=now)
        rate._succeeded += 1  # a good answer, but for what it says about the rate
    assert rate.queue.per_second == pytest.approx(min(before, served) * 0.7, rel=0.3)
    assert rate.queue.per_second < before


def test_a_known_limit_is_not_lowered_by_a_few_among_many() -> None:
    """A rate that is found by trying is now and then a little too high."""
    rate = LearnedRate(callers_needed=16)
    taught(rate, 400, served=50, start=0, seconds=1)
    assert not taught(rate, 5, served=150, start=12, seconds=2)
    assert rate.queue is not None


def test_the_rate_rises_until_the_limit_no_longer_binds() -> None:
    """Slowly at what was served, then faster; once it reaches what was wanted, the limit is given up."""
    rate = LearnedRate(callers_needed=16)
    taught(rate, 40, served=50, start=0, seconds=1)
    wanted, rates, now = 90, [], 1.0
    while rate.queue is not None:
        now += 0.1
        rate.succeeded(now)
        rates.append(rate.queue.per_second if rate.queue else inf)
    assert rates == sorted(rates)
    assert rates[-2] <= wanted
    # The middle third of the way takes most of the time: near the rate that was served.
    near = [each for each in rates if 45 < each < 60]
    assert len(near) > len(rates) / 3


def test_a_rate_never_stands_still() -> None:
    """Where nothing at all is served, one request in two seconds still finds out whether that has changed."""
    rate = LearnedRate(callers_needed=2)
    for now in range(20):
        rate.throttled(now, sent_at=now, now=now)
    assert rate.queue is not None
    assert rate.queue.per_second == 0.5


def test_trouble_is_forgotten() -> None:
    """After ten seconds without any."""
    rate = LearnedRate(callers_needed=2)
    assert rate.is_idle(0)
    rate.throttled("a", sent_at=100, now=100)
    assert not rate.is_idle(110)
    assert rate.is_idle(110.1)
