"""Work in threads: however the work on one account ends, it comes back as the result of that account."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from costbatch import logs
from costbatch.application.collect.job import CollectJob, CollectTask
from costbatch.application.jobs.budget import ApiBudget
from costbatch.application.jobs.job import Attempt, Result
from costbatch.application.jobs.pool import Claimed, WorkerPool
from costbatch.domain.costs import NO_DIGESTS, FetchedCosts
from costbatch.domain.credentials import Secret
from costbatch.domain.periods import WindowPolicy
from costbatch.domain.runs import Failure
from costbatch.errors import AccountError, ErrorKind
from tests.support.factories import NOW, days, make_access, make_account, make_fetched, make_item
from tests.support.fake_runs import FakeSource
from tests.support.run_harness import make_detection
from tests.support.waiting import until

WINDOW = days(0, 35)
Pool = WorkerPool[CollectTask, FetchedCosts]
Fetched = Attempt[CollectTask, FetchedCosts]


def task_of(row: int) -> CollectTask:
    """Return what the work on an account needs."""
    return CollectTask(access=make_access(make_account(row)), window=WINDOW, digests=NO_DIGESTS, totals=())


def claimed(*rows: int) -> Claimed[CollectTask]:
    """Return claimed items."""
    return Claimed([make_item(make_account(row)) for row in rows], {row: task_of(row) for row in rows})


@contextmanager
def pool_of(source: FakeSource, threads: int = 2, budget: ApiBudget | None = None) -> Iterator[Pool]:
    """Run a pool, and let its threads end."""
    job = CollectJob(
        source=source,
        windows=WindowPolicy(),
        detection=make_detection(),
        clock=lambda: NOW,
        vanished_ratio=Decimal("0.5"),
    )
    pool = WorkerPool(job, budget or ApiBudget(), threads=threads, clock=lambda: NOW)
    try:
        yield pool
    finally:
        source.gate.set()
        pool.close()


def finish(pool: Pool, items: int = 1) -> list[Fetched]:
    """Wait for the results of this many items."""
    results: list[Fetched] = []
    while len(results) < items:
        came = pool.finished(timeout_seconds=10, most=100)
        assert came, "an account did not come back"
        pool.saved(came)
        results += came
    return sorted(results, key=lambda result: result.item.account.id)


def result_of(error: Exception, budget: ApiBudget | None = None) -> Fetched:
    """Return the result of an item whose source raises this."""
    with pool_of(FakeSource({1: [error]}), budget=budget) as pool:
        pool.start(claimed(1))
        return finish(pool)[0]


def test_what_was_fetched_comes_back_with_its_account() -> None:
    """Costs, requests and the time of the start."""
    with pool_of(FakeSource()) as pool:
        pool.start(claimed(1))
        (result,) = finish(pool)
    assert result == Result(
        item=make_item(make_account(1)),
        task=task_of(1),
        value=make_fetched(WINDOW),
        api_requests=1,
        started_at=NOW,
    )


def test_an_error_of_the_account_is_its_result() -> None:
    """Kind and sentence are kept, and what the attempt has cost."""
    result = result_of(AccountError(ErrorKind.THROTTLED, "Five times."))
    assert result.value == Failure(
        kind=ErrorKind.THROTTLED, message=f"Five times. {ErrorKind.THROTTLED.advice}"
    )
    assert result.api_requests == 1


def test_an_item_that_is_claimed_again_while_it_is_in_flight_ends_twice() -> None:
    """Another process had taken it over and given it back; the run goes on with both results."""
    source = FakeSource()
    source.gate.clear()
    item = make_item(make_account(1))
    with pool_of(source) as pool:
        pool.start(Claimed([item], {1: task_of(1)}))
        pool.start(Claimed([replace(item, token=UUID(int=99))], {1: task_of(1)}))
        assert pool.in_flight == 2
        source.gate.set()
        results = finish(pool, items=2)
        assert pool.in_flight == 0
    assert {result.item.token for result in results} == {item.token, UUID(int=99)}


def test_a_spent_budget_is_no_failure() -> None:
    """The account was stopped by the cap: no value, no request."""
    result = result_of(ValueError("never raised"), budget=ApiBudget(0))
    assert (result.value, result.api_requests) == (None, 0)


def test_what_could_not_be_prepared_is_a_failure_without_a_request() -> None:
    """The source is not asked; the failure comes back as it is."""
    source, failure = FakeSource(), Failure(kind=ErrorKind.INTERNAL, message="Unreadable.")
    with pool_of(source) as pool:
        pool.start(Claimed([make_item(make_account(1))], {1: failure}))
        (result,) = finish(pool)
    assert (result.task, result.value, result.api_requests) == (None, failure, 0)
    assert source.fetched == []


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


def test_any_other_error_is_an_internal_failure_with_a_traceback_in_the_log(
    log_lines: pytest.LogCaptureFixture,
) -> None:
    """Its text stays out of the result, and its secrets out of the log."""
    logs.register_secret(Secret("planted/secret/in/an/error"))
    result = result_of(RuntimeError("cannot sign with planted/secret/in/an/error"))
    assert result.value == Failure(kind=ErrorKind.INTERNAL, message=ErrorKind.INTERNAL.advice)
    assert result.api_requests == 1
    assert "account_crashed" in log_lines.text
    assert "000000000001" in log_lines.text
    assert "Traceback" in log_lines.text
    assert "RuntimeError: cannot sign with ***" in log_lines.text
    assert "planted" not in log_lines.text


def test_one_account_that_fails_leaves_the_others_alone() -> None:
    """Each comes back with its own result, also through a single thread."""
    with pool_of(FakeSource({2: [RuntimeError("two")], 3: [AccountError(ErrorKind.TIMEOUT, "")]}), 1) as pool:
        for row in range(1, 5):
            pool.start(claimed(row))
        values = [result.value for result in finish(pool, 4)]
    kinds = [value.kind if isinstance(value, Failure) else None for value in values]
    assert kinds == [None, ErrorKind.INTERNAL, ErrorKind.TIMEOUT, None]


def test_the_pool_knows_which_items_are_in_flight() -> None:
    """As many accounts as there are threads fit in; each leaves when it is saved."""
    source = FakeSource()
    source.gate.clear()
    with pool_of(source, threads=3) as pool:
        assert (pool.in_flight, pool.free, pool.items) == (0, 3, [])
        pool.start(claimed(1, 2))
        assert (pool.in_flight, pool.free) == (2, 1)
        assert {item.account.id for item in pool.items} == {1, 2}
        source.gate.set()
        finish(pool, 2)
        assert (pool.in_flight, pool.free, pool.items) == (0, 3, [])


def test_a_result_keeps_its_place_until_it_is_saved() -> None:
    """A process that dies wastes no more accounts than it has threads."""
    source = FakeSource()
    with pool_of(source, threads=2) as pool:
        pool.start(claimed(1, 2, 3, 4, 5))
        came: list[Fetched] = []
        while len(came) < 2:
            came += pool.finished(timeout_seconds=10, most=1)
        assert pool.finished(timeout_seconds=0.05, most=9) == []
        assert len(source.fetched) == 2
        assert (pool.in_flight, pool.waiting, pool.free) == (2, 3, -3)
        assert {item.account.id for item in pool.items} == {1, 2, 3, 4, 5}
        pool.saved(came)
        assert (pool.in_flight, pool.waiting) == (2, 1)
        until(lambda: len(source.fetched) == 4)
        pool.drop_waiting()
        finish(pool, 2)
        assert (pool.in_flight, pool.waiting, pool.free) == (0, 0, 2)


def test_a_few_more_begin_while_results_wait_to_be_saved() -> None:
    """An eighth of the threads, so that a thread need not wait for the writer; a stop takes back the rest."""
    source = FakeSource()
    with pool_of(source, threads=8) as pool:
        pool.start(claimed(*range(1, 12)))
        came: list[Fetched] = []
        while len(came) < 9:
            came += pool.finished(timeout_seconds=10, most=1)
        assert pool.finished(timeout_seconds=0.05, most=9) == []
        assert (len(source.fetched), pool.in_flight, pool.waiting) == (9, 9, 2)


def test_what_no_thread_has_begun_is_dropped_with_what_waits() -> None:
    """A process that is asked to stop finishes what its threads work on, and no more."""
    source = FakeSource()
    source.gate.clear()
    with pool_of(source, threads=8) as pool:
        pool.start(claimed(*range(1, 12)))
        until(lambda: len(source.fetched) == 8)
        pool.drop_waiting()
        assert (pool.in_flight, pool.waiting) == (8, 0)
        source.gate.set()
        assert len(finish(pool, 8)) == len(source.fetched) == 8


def test_waiting_ends_without_a_result() -> None:
    """The loop renews its leases meanwhile."""
    with pool_of(FakeSource()) as pool:
        assert pool.finished(timeout_seconds=0.01, most=1) == []


def test_a_closed_pool_lets_its_threads_end() -> None:
    """Those in flight end with their answer; no thread is left behind."""
    source = FakeSource()
    source.gate.clear()
    with pool_of(source, threads=4) as pool:
        pool.start(claimed(1))
        pool.close()
        source.gate.set()
        finish(pool)
    for thread in pool._threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in pool._threads)


def test_a_hanging_fetch_does_not_keep_the_process() -> None:
    """After the grace period the process does not wait for an answer."""
    with pool_of(FakeSource()) as pool:
        assert all(thread.daemon for thread in pool._threads)
