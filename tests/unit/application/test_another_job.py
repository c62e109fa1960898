"""The engine with a job that is not the cost job: it works the same way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pytest
from typing_extensions import override

from costbatch.application.jobs.job import Job, Result
from costbatch.application.jobs.runner import Runner
from costbatch.application.ports import Spend, Transaction
from costbatch.domain.accounts import Progress
from costbatch.domain.runs import Outcome, Run, RunRequest, RunStatus, WorkItem
from costbatch.errors import AccountError, ConfigError, ErrorKind
from tests.support.factories import NOW, make_account
from tests.support.fake_runs import FakeDisplay
from tests.support.fake_store import FakeStore
from tests.support.run_harness import POLICY


@dataclass
class Greetings(Job[str, str]):
    """Greets each account and pays for nothing; an account without a name fails."""

    saved: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    @property
    @override
    def name(self) -> str:
        return "greet"

    @override
    def check(self, tx: Transaction, request: RunRequest, *, today: date) -> None:
        self.steps.append("check")

    @override
    def begin(self, tx: Transaction, *, today: date) -> None:
        self.steps.append("begin")

    @override
    def prepare(self, tx: Transaction, run: Run, items: Sequence[WorkItem]) -> Mapping[int, str]:
        return {item.id: f"{run.request.options['word']}, {item.account.name}" for item in items}

    @override
    def work(self, item: WorkItem, task: str, spend: Spend) -> str:
        if not item.account.name:
            raise AccountError(ErrorKind.ACCESS_DENIED, "It has no name.")
        return task.upper()

    @override
    def size(self, value: str) -> int:
        return len(value)

    @override
    def save(
        self, tx: Transaction, run: Run, results: Sequence[Result[str, str]], *, now: datetime
    ) -> list[Outcome]:
        self.saved |= {result.item.account.aws_account_id: result.value for result in results}
        return [result.succeeded() for result in results]

    @override
    def after(self, tx: Transaction, run: Run, *, now: datetime) -> Mapping[str, Any]:
        self.steps.append("after")
        return {"status": "partial", "greeted": len(self.saved)}


@pytest.fixture
def store() -> FakeStore:
    """Return a database with two accounts, the second of which has no name."""
    store = FakeStore()
    store.tables.accounts.rows = {1: make_account(1), 2: make_account(2, name="")}
    return store


def runner_of(job: Greetings, store: FakeStore) -> Runner[str, str]:
    """Return what runs the job."""
    return Runner(
        job=job,
        database=store,
        clock=lambda: NOW,
        policy=POLICY,
        display=FakeDisplay(),
        worker="this",
        is_gone=lambda _: False,
    )


def test_the_engine_runs_any_job(store: FakeStore) -> None:
    """It checks, begins, works, saves and ends as for costs, and stores nothing of the cost job."""
    job = Greetings()
    run = runner_of(job, store).run("key", RunRequest(job=job.name, options={"word": "Hello"}))
    assert run.status is RunStatus.PARTIAL
    assert job.saved == {"000000000001": "HELLO, ACCOUNT-1"}
    assert job.steps == ["check", "begin", "after"]
    tables = store.tables
    assert (tables.costs.rows, tables.collections.rows, tables.digests.rows) == ({}, {}, {})
    assert [event.type.value for event in tables.outbox.events] == ["account.failed", "run.completed"]
    assert tables.outbox.events[-1].data["run"]["greeted"] == 1
    assert tables.progress.rows[2].failing is not None
    assert tables.progress.rows.get(1, Progress()) == Progress()


def test_a_job_refuses_the_request_of_another(store: FakeStore) -> None:
    """Its failures would be stored under one name and looked up under another: no account would recover."""
    job = Greetings()
    with pytest.raises(ConfigError, match="The request is for the job 'salute', but this is the job 'greet'"):
        runner_of(job, store).run("key", RunRequest(job="salute", options={"word": "Hello"}))
    assert (job.steps, store.tables.run_rows) == ([], {})
