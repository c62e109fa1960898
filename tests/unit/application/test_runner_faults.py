"""The run under stress: signals, leases, takeovers, refusals and a database that goes away."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from threading import Event as Signal
from threading import Timer
from threading import enumerate as enumerate_threads
from time import monotonic

import pytest

from costbatch.application.jobs import queue, stopping
from costbatch.application.jobs.policy import RunPolicy
from costbatch.domain.accounts import Account, AccountStatus
from costbatch.domain.collection import CollectOptions
from costbatch.domain.credentials import Access
from costbatch.domain.runs import (
    Failure,
    ItemState,
    RunStatus,
    SkipReason,
    StopReason,
)
from costbatch.errors import AccountError, ErrorKind, StatementRefused, StorageError
from tests.support.factories import NOW, make_account
from tests.support.fake_runs import LEASES
from tests.support.fakes import FakeAccounts
from tests.support.run_harness import POLICY, RunHarness, harness_with


@pytest.fixture
def harness() -> RunHarness:
    """Return a harness with four accounts."""
    return harness_with(1, 2, 3, 4)


def test_a_stop_signal_lets_accounts_in_flight_finish(harness: RunHarness) -> None:
    """No more accounts are claimed; the run is stopped, not ended, and writes no event."""
    harness.source.on_fetch = harness.stop.set
    assert harness.collect().status is RunStatus.STOPPED
    done = harness.states.count("succeeded")
    assert done == len(harness.source.fetched) <= 2
    assert harness.states.count("pending") == 4 - done >= 2
    assert "run.completed" not in harness.event_types


def test_accounts_in_flight_are_waited_for(harness: RunHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the grace period an answer that comes late is still stored."""
    monkeypatch.setattr(queue, "BEAT_SECONDS", 0.02)
    harness.source.gate.clear()
    harness.source.on_fetch = harness.stop.set
    Timer(0.2, harness.source.gate.set).start()
    assert harness.collect().status is RunStatus.STOPPED
    assert harness.states.count("succeeded") == len(harness.source.fetched) >= 1


def test_a_deadline_ends_the_work_and_is_recorded(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in flight is finished and told; the rest is left to a retry, which resumes the run."""
    monkeypatch.setattr(queue, "BEAT_SECONDS", 0.02)
    harness.policy = replace(POLICY, concurrency=1, deadline=timedelta(seconds=0.2))
    harness.source.gate.clear()
    Timer(0.4, harness.source.gate.set).start()
    run = harness.collect()
    assert (run.status, run.stopped_by) == (RunStatus.STOPPED, StopReason.DEADLINE)
    assert sorted(harness.states) == ["pending", "pending", "pending", "succeeded"]
    assert len(harness.logged("deadline_reached")) == 1
    assert harness.event_types == ["run.stopped"]
    told = harness.store.tables.outbox.events[-1].data["run"]
    assert (told["status"], told["stopped_by"], told["accounts"]["unfinished"]) == ("stopped", "deadline", 3)
    harness.policy = POLICY
    again = harness.collect()
    assert (again.status, again.stopped_by) == (RunStatus.COMPLETED, None)
    assert len(harness.source.fetched) == 4
    assert harness.event_types == ["run.stopped", "run.completed"]


def test_a_run_that_ends_after_its_deadline_as_it_did_before_tells_so_again(harness: RunHarness) -> None:
    """Or an alert that it was stopped would fire for ever; what ends the same way again is one event."""
    denied = [AccountError(ErrorKind.ACCESS_DENIED, "No.")]
    harness.source.answers = {2: denied}

    def ended(policy: RunPolicy = POLICY) -> int:
        harness.policy = policy
        harness.collect()
        return len({event.id for event in harness.store.tables.outbox.events})

    deadline = replace(POLICY, deadline=timedelta(0))
    told = [ended(), ended(), ended(deadline), ended(deadline), ended(), ended(), ended(deadline), ended()]
    assert [number - told[0] for number in told] == [0, 0, 1, 1, 2, 2, 3, 4]
    assert harness.event_types == [
        "account.failed",
        "run.completed",
        "run.stopped",
        "run.completed",
        "run.stopped",
        "run.completed",
    ]


def test_the_last_process_that_the_deadline_stops_tells_of_it(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others leave it to the last: pods that share a run have one deadline, and end one by one."""
    monkeypatch.setattr(queue, "BEAT_SECONDS", 0.02)
    harness.stop.set()
    harness.collect()
    listed = harness.store.tables.items.listed
    running = replace(listed[4].record, state=ItemState.RUNNING)
    token = harness.store.tables.run_rows["job"].id
    listed[4] = replace(listed[4], record=running, worker="other", token=token)
    harness.stop, harness.policy = Signal(), replace(POLICY, deadline=timedelta(0))
    assert harness.collect().stopped_by is StopReason.DEADLINE
    assert harness.event_types == []
    listed = harness.store.tables.items.listed
    pending = replace(listed[4].record, state=ItemState.PENDING)
    listed[4] = replace(listed[4], record=pending, worker=None, token=None)
    for _ in range(2):
        assert harness.collect().stopped_by is StopReason.DEADLINE
        assert harness.event_types == ["run.stopped"]


@pytest.mark.parametrize(
    ("age", "left"), [(-300, 3600), (0, 3600), (600, 3000), (3540, 60), (3600, 3600), (259_200, 3600)]
)
def test_a_process_that_resumes_a_run_has_what_is_left_of_its_deadline(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch, age: int, left: int
) -> None:
    """Kubernetes counts from the Job's start too; what cannot be, or is over, counts from its own start."""
    harness.stop.set()
    harness.collect()
    harness.stop, harness.policy = Signal(), replace(POLICY, concurrency=1, deadline=timedelta(hours=1))
    harness.now = NOW + timedelta(seconds=age)
    passed = iter((left - 30, left + 30))

    def pass_time() -> None:
        seconds = next(passed)
        monkeypatch.setattr(stopping, "monotonic", lambda: monotonic() + seconds)

    harness.source.on_fetch = pass_time
    runner = harness.runner()
    run = runner.run("job", CollectOptions().to_request())
    assert (run.status, run.stopped_by) == (RunStatus.STOPPED, StopReason.DEADLINE)
    assert harness.states.count("succeeded") == 2
    assert harness.event_types == ["run.stopped"]
    # What follows the run, such as the search for root causes, does not count anew.
    assert runner.stopping.reason is StopReason.DEADLINE


def test_a_run_that_is_done_before_its_deadline_completes(harness: RunHarness) -> None:
    """As any other does."""
    harness.policy = replace(POLICY, deadline=timedelta(hours=1))
    run = harness.collect()
    assert (run.status, run.stopped_by) == (RunStatus.COMPLETED, None)


def test_a_run_leaves_no_thread_behind(harness: RunHarness) -> None:
    """Its idle threads end with it."""
    harness.collect()
    threads = [thread for thread in enumerate_threads() if thread.name.startswith(("work-", "claim"))]
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_a_claim_whose_commit_was_not_confirmed_is_made_again(harness: RunHarness) -> None:
    """Its commit succeeded and the answer to it was lost: the account must not wait for its lease."""
    harness.stop.set()
    harness.collect()
    listed = harness.store.tables.items.listed
    taken = replace(listed[1].record, state=ItemState.RUNNING)
    listed[1] = replace(listed[1], record=taken, worker="this", token=harness.store.tables.run_rows["job"].id)
    harness.stop = Signal()
    assert harness.collect().status is RunStatus.COMPLETED


def test_a_run_stopped_before_it_began_fetches_nothing(harness: RunHarness) -> None:
    """The signal came while it opened."""
    harness.stop.set()
    assert harness.collect().status is RunStatus.STOPPED
    assert harness.source.fetched == []


@pytest.mark.parametrize("status", [AccountStatus.PAUSED, AccountStatus.REMOVED])
@pytest.mark.parametrize("named", [(), (1, 2)], ids=["all", "named"])
def test_a_resumed_run_reads_no_account_that_was_paused_or_removed_since(
    harness: RunHarness, status: AccountStatus, named: tuple[int, ...]
) -> None:
    """Nothing is paid for it, also if it was named; the run is about the others, and does all of them."""
    request = CollectOptions().to_request(tuple(make_account(row).aws_account_id for row in named))
    harness.stop.set()
    harness.collect(request)
    rows = harness.store.tables.accounts.rows
    rows[1] = replace(rows[1], status=status)
    harness.stop = Signal()
    run, others = harness.collect(request), list(named or rows)[1:]
    assert (run.status, harness.states) == (RunStatus.COMPLETED, ["skipped", *["succeeded"] * len(others)])
    assert sorted(row for row, _ in harness.source.fetched) == others
    assert harness.records[1].skip_reason is SkipReason.NOT_ACTIVE
    assert harness.event_types == ["run.completed"]


def test_a_run_whose_only_account_was_paused_meanwhile_has_not_failed() -> None:
    """Nobody is called at night for an account that is not wanted any more."""
    harness = harness_with(1)
    harness.stop.set()
    harness.collect()
    rows = harness.store.tables.accounts.rows
    rows[1] = replace(rows[1], status=AccountStatus.PAUSED)
    harness.stop = Signal()
    assert harness.collect().status is RunStatus.COMPLETED
    assert (harness.source.fetched, harness.event_types) == ([], ["run.completed"])


def test_an_account_that_is_paused_before_its_turn_is_not_read(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the run has listed it; the end does not wait for it."""

    def pause(total: int) -> None:
        rows = harness.store.tables.accounts.rows
        rows[4] = replace(rows[4], status=AccountStatus.PAUSED)

    monkeypatch.setattr(harness.display, "begin", pause)
    assert harness.collect().status is RunStatus.COMPLETED
    assert sorted(row for row, _ in harness.source.fetched) == [1, 2, 3]
    assert harness.states == [*["succeeded"] * 3, "skipped"]


def test_an_account_that_is_paused_meanwhile_is_not_left_out_by_the_cap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The money was enough for all that are wanted, so the run completes."""
    harness = harness_with(1, 2, 3)
    harness.policy = replace(POLICY, most_requests=2, concurrency=1)

    def pause(total: int) -> None:
        rows = harness.store.tables.accounts.rows
        rows[3] = replace(rows[3], status=AccountStatus.PAUSED)

    monkeypatch.setattr(harness.display, "begin", pause)
    assert harness.collect().status is RunStatus.COMPLETED
    assert harness.records[3].skip_reason is SkipReason.NOT_ACTIVE
    assert harness.logged("api_cost_cap_reached") == []


def test_a_stopped_run_is_resumed(harness: RunHarness) -> None:
    """The next process with its key collects the rest, and only the rest."""
    harness.source.on_fetch = harness.stop.set
    harness.collect()
    harness.stop, harness.source.on_fetch = Signal(), lambda: None
    assert harness.collect().status is RunStatus.COMPLETED
    assert sorted(row for row, _ in harness.source.fetched) == [1, 2, 3, 4]
    assert harness.event_types == ["run.completed"]


def test_what_three_processes_died_with_is_not_tried_again(harness: RunHarness) -> None:
    """The run ends, and says which account it was; the others are collected."""
    harness.stop.set()
    harness.collect()
    listed = harness.store.tables.items.listed
    listed[2] = replace(listed[2], takeovers=3)
    harness.stop = Signal()
    assert harness.collect().status is RunStatus.PARTIAL
    assert sorted(row for row, _ in harness.source.fetched) == [1, 3, 4]
    failure = harness.records[2].failure
    assert failure is not None
    assert (failure.kind, failure.message[:60]) == (
        ErrorKind.PROCESS_KILLED,
        "3 processes ended while they worked on this account. Find ou",
    )
    assert harness.event_types == ["account.failed", "run.completed"]


def test_what_two_processes_died_with_is_worked_on_alone(harness: RunHarness) -> None:
    """So that a third death says which account it was: not beside what becomes due meanwhile either."""
    harness.stop.set()
    harness.collect()
    listed = harness.store.tables.items.listed
    for row in (1, 2, 3):
        listed[row] = replace(listed[row], takeovers=2)
    in_flight: list[int] = []

    def look() -> None:
        in_flight.append(harness.states.count("running"))
        if len(harness.source.fetched) == 2:
            # Another process gives one back.
            listed = harness.store.tables.items.listed
            listed[3] = replace(listed[3], takeovers=0)
            Timer(0.1, harness.source.gate.set).start()
            harness.source.gate.clear()

    harness.stop, harness.source.on_fetch = Signal(), look
    assert harness.collect().status is RunStatus.COMPLETED
    assert [row for row, _ in harness.source.fetched] == [4, 1, 3, 2]
    assert in_flight == [1] * 4


def test_when_the_grace_period_is_over_claims_are_released(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that hangs does not keep the process: another one may claim the account at once."""
    monkeypatch.setattr(queue, "BEAT_SECONDS", 0.02)
    harness.policy = replace(POLICY, grace=timedelta(seconds=0.05))
    harness.source.gate.clear()
    harness.source.on_fetch = harness.stop.set
    run = harness.collect()
    harness.source.gate.set()
    assert run.status is RunStatus.STOPPED
    assert harness.states == ["pending"] * 4
    assert [each.worker for each in harness.store.tables.items.listed.values()] == [None] * 4
    assert [each.attempts for each in harness.records.values()] == [0] * 4
    assert len(harness.logged("claims_released")) == 1


def test_leases_of_accounts_in_flight_are_extended(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow answer does not lose its account, as long as this process lives."""
    LEASES.clear()
    harness.store.tables.accounts.rows = {1: make_account()}
    harness.policy = replace(POLICY, lease=timedelta(seconds=0.06), concurrency=1)
    harness.source.gate.clear()
    Timer(0.3, harness.source.gate.set).start()
    assert harness.collect().status is RunStatus.COMPLETED
    assert len(LEASES) >= 3
    assert set(LEASES) == {1}


def test_an_account_that_another_process_took_over_is_theirs(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this process fetched is dropped; the run completes with the result of the other process."""

    def take_over() -> None:
        harness.source.on_fetch = lambda: None
        listed = harness.store.tables.items.listed
        theirs = replace(listed[1].record, state=ItemState.SUCCEEDED, name="theirs")
        listed[1] = replace(listed[1], record=theirs, worker=None, token=None)

    harness.store.tables.accounts.rows = {1: make_account()}
    harness.source.on_fetch = take_over
    assert harness.collect().status is RunStatus.COMPLETED
    assert harness.records[1].name == "theirs"
    assert harness.display.outcomes == []
    assert len(harness.logged("claim_lost")) == 1


def test_the_work_of_a_dead_process_is_taken_over(harness: RunHarness) -> None:
    """A claim whose worker is known to be gone is free at once."""
    harness.stop.set()
    harness.collect()
    listed = harness.store.tables.items.listed
    taken = replace(listed[1].record, state=ItemState.RUNNING)
    listed[1] = replace(listed[1], record=taken, worker="dead", token=harness.store.tables.run_rows["job"].id)
    harness.stop, harness.is_gone = Signal(), "dead".__eq__
    assert harness.collect().status is RunStatus.COMPLETED


class PatientSignal(Signal):
    """A stop signal that notes how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Note the wait, and wait."""
        self.waits.append(timeout)
        return super().wait(timeout)


def test_a_run_waits_for_the_accounts_that_another_process_has(harness: RunHarness) -> None:
    """While that process lives the run is not over; when it is gone, its account is taken over."""
    harness.stop.set()
    harness.collect()
    listed = harness.store.tables.items.listed
    taken = replace(listed[1].record, state=ItemState.RUNNING)
    listed[1] = replace(
        listed[1], record=taken, worker="other", token=harness.store.tables.run_rows["job"].id
    )
    harness.stop = signal = PatientSignal()
    looks = iter([False, False, True])
    harness.is_gone = lambda worker: worker == "other" and next(looks)
    assert harness.collect().status is RunStatus.COMPLETED
    assert {row for row, _ in harness.source.fetched} == {1, 2, 3, 4}
    assert next(looks, None) is None
    assert signal.waits[:1] == [0.1]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StatementRefused("The row does not fit."), f"The row does not fit. {ErrorKind.INTERNAL.advice}"),
        (ArithmeticError("holds anything"), ErrorKind.INTERNAL.advice),
    ],
)
def test_what_cannot_be_stored_fails_its_account_only(
    harness: RunHarness, error: Exception, message: str
) -> None:
    """The database is available: the account fails after its attempts, the others are collected."""
    harness.store.tables.costs.refuses = {2: error}
    assert harness.collect().status is RunStatus.PARTIAL
    assert harness.states == ["succeeded", "failed", "succeeded", "succeeded"]
    failure = harness.records[2].failure
    assert failure is not None
    assert (failure.kind, failure.message) == (ErrorKind.INTERNAL, message)
    assert harness.records[2].attempts == 3
    assert [line["aws_account_id"] for line in harness.logged("account_not_stored")] == ["000000000002"] * 3


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StatementRefused("It took too long."), f"It took too long. {ErrorKind.INTERNAL.advice}"),
        (ValueError("holds anything"), ErrorKind.INTERNAL.advice),
    ],
)
def test_what_cannot_be_read_fails_its_account_only(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    """The account fails after its attempts without a request; accounts claimed with it are collected."""
    load_accesses = FakeAccounts.load_accesses

    def load(accounts: FakeAccounts, wanted: Sequence[Account]) -> dict[int, Access]:
        if any(account.id == 2 for account in wanted):
            raise error
        return load_accesses(accounts, wanted)

    monkeypatch.setattr(FakeAccounts, "load_accesses", load)
    assert harness.collect().status is RunStatus.PARTIAL
    assert harness.states == ["succeeded", "failed", "succeeded", "succeeded"]
    assert harness.records[2].failure == Failure(kind=ErrorKind.INTERNAL, message=message)
    assert (harness.records[2].attempts, harness.records[2].api_requests) == (3, 0)
    assert [line["aws_account_id"] for line in harness.logged("account_not_readable")] == ["000000000002"] * 3


def test_a_database_that_is_lost_ends_the_run(harness: RunHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nowhere to write; what is done stays done, and the display is ended."""
    monkeypatch.setattr("costbatch.application.jobs.retry.PATIENCE_SECONDS", 0)
    harness.store.tables.costs.refuses = dict.fromkeys(range(1, 5), StorageError("Gone."))
    with pytest.raises(StorageError, match="Gone"):
        harness.collect()
    assert harness.display.ended == 1
    assert harness.event_types == []


def test_a_short_outage_of_the_database_costs_nothing(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched waits for it; nothing is paid twice."""
    monkeypatch.setattr("costbatch.application.jobs.retry._FIRST_PAUSE_SECONDS", 0.001)
    harness.store.faults = [None, None, None, None, *[StorageError("Restarting.")] * 3]
    assert harness.collect().status is RunStatus.COMPLETED
    assert len(harness.source.fetched) == 4
    assert harness.store.faults == []
