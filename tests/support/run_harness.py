"""A run with everything around it in memory."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import StringIO
from threading import Event as Signal

from costbatch.application.jobs.run import Collector
from costbatch.application.policy import CollectPolicy
from costbatch.domain.detection import Rule
from costbatch.domain.periods import WindowPolicy
from costbatch.domain.runs import (
    Collection,
    Run,
    RunRequest,
)
from tests.support.factories import NOW
from tests.support.fake_runs import FakeProgress, FakeSource
from tests.support.fake_store import FakeStore

POLICY = CollectPolicy(
    concurrency=2,
    lease=timedelta(minutes=5),
    retry_pause=timedelta(seconds=30),
    grace=timedelta(seconds=25),
    windows=WindowPolicy(),
    rule=Rule(),
    sinks=("log",),
    version="1",
)


@dataclass
class RunHarness:
    """A run with everything around it."""

    store: FakeStore = field(default_factory=FakeStore)
    source: FakeSource = field(default_factory=FakeSource)
    progress: FakeProgress = field(default_factory=FakeProgress)
    stop: Signal = field(default_factory=Signal)
    policy: CollectPolicy = POLICY
    is_gone: Callable[[str], bool] = lambda _: False
    worker: str = "this"
    now: datetime = NOW
    log: StringIO = field(default_factory=StringIO)

    def collect(self, request: RunRequest = RunRequest(), key: str = "job") -> Run:  # noqa: B008 - frozen
        """Run."""
        return self.collector().collect(key, request)

    def collector(self) -> Collector:
        """Return what runs."""
        return Collector(
            database=self.store,
            source=self.source,
            clock=lambda: self.now,
            policy=self.policy,
            progress=self.progress,
            worker=self.worker,
            is_gone=self.is_gone,
            stop=self.stop,
        )

    @property
    def collections(self) -> dict[int, Collection]:
        """Every account's place in the run."""
        return {row: each.collection for row, each in self.store.tables.runs.listed.items()}

    @property
    def states(self) -> list[str]:
        """How the accounts stand, by row."""
        return [collection.state.value for _, collection in sorted(self.collections.items())]

    def logged(self, event: str) -> list[dict[str, object]]:
        """Return the lines of the log with this event."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    @property
    def told(self) -> list[str]:
        """The types of the events in the outbox."""
        return [event.type.value for event in self.store.tables.outbox.events]
