"""Fetching in threads: whatever happens to one account, it comes back as that account's result."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from costbatch import logs
from costbatch.application.jobs.budget import ApiBudget
from costbatch.application.jobs.pool import FetchPool, Flight, Landing
from costbatch.domain.credentials import Secret
from costbatch.domain.runs import Failure
from costbatch.errors import AccountError, ErrorKind
from tests.support.factories import NOW, days, make_access, make_account, make_claim, make_fetched
from tests.support.fake_runs import FakeSource

WINDOW = days(0, 35)


def flight(row: int = 1) -> Flight:
    """Return an account on its way."""
    account = make_account(row)
    return Flight(claim=make_claim(account), access=make_access(account), window=WINDOW, known={}, totals=())


@contextmanager
def pool_of(source: FakeSource, threads: int = 2, budget: ApiBudget | None = None) -> Iterator[FetchPool]:
    """Run a pool, and let its threads end."""
    pool = FetchPool(source, budget or ApiBudget(), threads=threads, clock=lambda: NOW)
    try:
        yield pool
    finally:
        source.gate.set()
        pool.close()


def land(pool: FetchPool, flights: int = 1) -> list[Landing]:
    """Wait until so many accounts have come back."""
    landings: list[Landing] = []
    while len(landings) < flights:
        came = pool.landed(timeout_seconds=10, most=100)
        assert came, "an account did not come back"
        pool.settled(came)
        landings += came
    return sorted(landings, key=lambda landing: landing.flight.claim.account.id)


def outcome_of(error: Exception, budget: ApiBudget | None = None) -> Landing:
    """Return how a flight ends whose source raises this."""
    with pool_of(FakeSource({1: [error]}), budget=budget) as pool:
        pool.start([flight()])
        return land(pool)[0]


def test_what_was_fetched_comes_back_with_its_account() -> None:
    """Costs, requests and the time of deviation."""
    with pool_of(FakeSource()) as pool:
        sent = flight()
        pool.start([sent])
        (landing,) = land(pool)
    assert landing == Landing(
        flight=sent,
        outcome=make_fetched(WINDOW),
        api_requests=1,
        started_at=NOW,
    )


def test_an_error_of_the_account_is_its_outcome() -> None:
    """Kind and sentence are kept, and what the attempt has cost."""
    landing = outcome_of(AccountError(ErrorKind.THROTTLED, "Five times."))
    assert landing.outcome == Failure(
        kind=ErrorKind.THROTTLED, message=f"Five times. {ErrorKind.THROTTLED.advice}"
    )
    assert landing.api_requests == 1


def test_a_spent_budget_is_no_failure() -> None:
    """The account was stopped by the cap: no outcome, no request."""
    landing = outcome_of(ValueError("never raised"), budget=ApiBudget(0))
    assert (landing.outcome, landing.api_requests) == (None, 0)


@pytest.fixture
def log_lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Catch the log as it is written, redacted."""
    logs.configure()
    formatter = next(
        handler.formatter
        for handler in logging.getLogger().handlers
        if "structlog" in repr(handler.formatter)
    )
    caplog.handler.setFormatter(formatter)
    yield caplog
    for handler in list(logging.getLogger().handlers):
        if handler.formatter is formatter and handler is not caplog.handler:
            logging.getLogger().removeHandler(handler)


def test_whatever_else_is_raised_is_an_internal_failure_with_a_traceback_in_the_log(
    log_lines: pytest.LogCaptureFixture,
) -> None:
    """The stranger's text stays out of the outcome, and its secrets out of the log."""
    logs.register_secret(Secret("planted/secret/in/an/error"))
    landing = outcome_of(RuntimeError("cannot sign with planted/secret/in/an/error"))
    assert landing.outcome == Failure(kind=ErrorKind.INTERNAL, message=ErrorKind.INTERNAL.advice)
    assert landing.api_requests == 1
    assert "account_crashed" in log_lines.text
    assert "000000000001" in log_lines.text
    assert "Traceback" in log_lines.text
    assert "RuntimeError: cannot sign with ***" in log_lines.text
    assert "planted" not in log_lines.text


def test_one_account_that_fails_leaves_the_others_alone() -> None:
    """Each comes back with its own result, also through a single thread."""
    with pool_of(FakeSource({2: [RuntimeError("two")], 3: [AccountError(ErrorKind.TIMEOUT, "")]}), 1) as pool:
        for row in range(1, 5):
            pool.start([flight(row)])
        outcomes = [landing.outcome for landing in land(pool, 4)]
    kinds = [outcome.kind if isinstance(outcome, Failure) else None for outcome in outcomes]
    assert kinds == [None, ErrorKind.INTERNAL, ErrorKind.TIMEOUT, None]


def test_the_pool_knows_who_is_in_flight() -> None:
    """As many accounts as there are threads fit in; each leaves when it has landed."""
    source = FakeSource()
    source.gate.clear()
    with pool_of(source, threads=3) as pool:
        assert (pool.in_flight, pool.free, pool.claims) == (0, 3, [])
        pool.start([flight(1), flight(2)])
        assert (pool.in_flight, pool.free) == (2, 1)
        assert {claim.account.id for claim in pool.claims} == {1, 2}
        source.gate.set()
        land(pool, 2)
        assert (pool.in_flight, pool.free, pool.claims) == (0, 3, [])


def test_what_has_landed_keeps_its_place_until_it_is_stored() -> None:
    """A process that dies has paid for no more accounts in vain than it has threads."""
    source = FakeSource()
    with pool_of(source, threads=2) as pool:
        pool.start([flight(row) for row in range(1, 6)])
        came: list[Landing] = []
        while len(came) < 2:
            came += pool.landed(timeout_seconds=10, most=1)
        assert pool.landed(timeout_seconds=0.05, most=9) == []
        assert len(source.fetched) == 2
        assert (pool.in_flight, pool.waiting, pool.free) == (2, 3, -3)
        assert {claim.account.id for claim in pool.claims} == {1, 2, 3, 4, 5}
        pool.settled(came)
        assert (pool.in_flight, pool.waiting) == (2, 1)
        pool.drop_waiting()
        land(pool, 2)
        assert (pool.in_flight, pool.waiting, pool.free) == (0, 0, 2)


def test_waiting_ends_when_nobody_comes() -> None:
    """The loop looks after its leases meanwhile."""
    with pool_of(FakeSource()) as pool:
        assert pool.landed(timeout_seconds=0.01, most=1) == []


def test_a_closed_pool_lets_its_threads_end() -> None:
    """Those in flight end with their answer; none is left behind."""
    source = FakeSource()
    source.gate.clear()
    with pool_of(source, threads=4) as pool:
        pool.start([flight()])
        pool.close()
        source.gate.set()
        land(pool)
    for thread in pool._threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in pool._threads)


def test_a_hanging_fetch_does_not_keep_the_process() -> None:
    """After the grace period nobody waits for an answer that does not come."""
    with pool_of(FakeSource()) as pool:
        assert all(thread.daemon for thread in pool._threads)
