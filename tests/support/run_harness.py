"""A run with everything around it in memory."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from threading import Event as Signal

from costbatch import logs
from costbatch.application.collect.detect import Detection
from costbatch.application.collect.deviation import DeviationDetector
from costbatch.application.collect.job import CollectJob, CollectTask
from costbatch.application.jobs.policy import RunPolicy
from costbatch.application.jobs.runner import Runner
from costbatch.domain.collection import CollectOptions
from costbatch.domain.costs import FetchedCosts
from costbatch.domain.detection import Rule
from costbatch.domain.first_charges import FirstChargePolicy
from costbatch.domain.periods import WindowPolicy
from costbatch.domain.routing import Route
from costbatch.domain.runs import ItemRecord, Run, RunRequest
from tests.support.factories import NOW, make_account
from tests.support.fake_runs import FakeDisplay, FakeSource
from tests.support.fake_store import FakeStore

POLICY = RunPolicy(
    concurrency=2,
    lease=timedelta(minutes=5),
    retry_pause=timedelta(seconds=30),
    grace=timedelta(seconds=25),
    routes=(Route("log"),),
    version="1",
)


def make_detection(rule: Rule | None = None) -> Detection:
    """Return what detects by the rule of fifty per cent."""
    rule = rule or Rule()
    return Detection(
        detector=DeviationDetector(rule=rule),
        rule=rule,
        rule_of=lambda _: rule,
        first_charges=FirstChargePolicy(),
    )


@dataclass
class RunHarness:
    """A run with everything around it."""

    store: FakeStore = field(default_factory=FakeStore)
    source: FakeSource = field(default_factory=FakeSource)
    display: FakeDisplay = field(default_factory=FakeDisplay)
    stop: Signal = field(default_factory=Signal)
    policy: RunPolicy = POLICY
    windows: WindowPolicy = field(default_factory=WindowPolicy)
    rule: Rule = field(default_factory=Rule)
    is_gone: Callable[[str], bool] = lambda _: False
    worker: str = "this"
    now: datetime = NOW
    log: StringIO = field(default_factory=StringIO)

    def collect(self, options: CollectOptions | RunRequest | None = None, key: str = "job") -> Run:
        """Run the cost job."""
        request = options if isinstance(options, RunRequest) else (options or CollectOptions()).to_request()
        return self.runner().run(key, request)

    def job(self) -> CollectJob:
        """Return the cost job."""
        return CollectJob(
            source=self.source,
            windows=self.windows,
            detection=make_detection(self.rule),
            clock=lambda: self.now,
            vanished_ratio=Decimal("0.5"),
        )

    def runner(self) -> Runner[CollectTask, FetchedCosts]:
        """Return what runs."""
        return Runner(
            job=self.job(),
            database=self.store,
            clock=lambda: self.now,
            policy=self.policy,
            display=self.display,
            worker=self.worker,
            is_gone=self.is_gone,
            stop=self.stop,
        )

    @property
    def records(self) -> dict[int, ItemRecord]:
        """Every account within the run, by row."""
        return {row: each.record for row, each in self.store.tables.items.listed.items()}

    @property
    def states(self) -> list[str]:
        """How the accounts stand, by row."""
        return [record.state.value for _, record in sorted(self.records.items())]

    def logged(self, event: str) -> list[dict[str, object]]:
        """Return the lines of the log with this event."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    @property
    def event_types(self) -> list[str]:
        """The types of the events in the outbox."""
        return [event.type.value for event in self.store.tables.outbox.events]


def harness_with(*rows: int) -> RunHarness:
    """Return a harness with accounts, whose log is read by ``logged``."""
    harness = RunHarness()
    logs.configure("info", "json", harness.log)
    harness.store.tables.accounts.rows = {row: make_account(row) for row in rows}
    return harness
