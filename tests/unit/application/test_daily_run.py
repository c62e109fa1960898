"""The day's story: only the collection can fail it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import pytest

from costbatch import logs
from costbatch.application.deliver import Deliverer
from costbatch.application.nightly import DailyRun, preflight
from costbatch.application.retention import Retention
from costbatch.domain.credentials import StoredSecrets
from costbatch.domain.periods import DateRange, WindowPolicy
from costbatch.domain.reports import RunReport
from costbatch.domain.runs import RunRequest, RunStatus
from costbatch.errors import AccountError, ConfigError, DeliveryError, ErrorKind, StorageError
from tests.support.factories import NOW, make_account
from tests.support.fake_receivers import FakeMetrics, FakeSink
from tests.support.fake_records import JANUARY, FakeRecords
from tests.support.fakes import FakeVault
from tests.support.run_harness import RunHarness


@dataclass
class Day:
    """A day with everything around it."""

    harness: RunHarness = field(default_factory=RunHarness)
    metrics: FakeMetrics | None = field(default_factory=FakeMetrics)
    sink: FakeSink = field(default_factory=FakeSink)
    records: FakeRecords | None = None

    def run(self, request: RunRequest = RunRequest()) -> RunReport:  # noqa: B008 - frozen
        """Do the day's work."""
        harness = self.harness
        day = DailyRun(
            collector=harness.collector(),
            deliverer=Deliverer(database=harness.store, sinks=[self.sink], clock=lambda: NOW),
            vault=FakeVault(),
            metrics=self.metrics,
            clock=lambda: NOW,
            is_success=lambda status: status is RunStatus.COMPLETED,
            retention=self._retention(),
        )
        return day.run("job", request)

    def _retention(self) -> Retention | None:
        if self.records is None:
            return None
        return Retention(
            records=self.records, keep_months=3, check_schema=lambda: None, stop=self.harness.stop
        )

    @property
    def pushed(self) -> list[tuple[bool, bool]]:
        """Whether each push had a report, and whether it counted as a success."""
        assert self.metrics
        return [(report is not None, succeeded) for report, succeeded in self.metrics.pushed]


@pytest.fixture
def day() -> Day:
    """Return a day with two accounts."""
    day = Day()
    logs.configure(log_format="json", stream=day.harness.log)
    day.harness.store.tables.accounts.rows = {row: make_account(row) for row in (1, 2)}
    return day


def test_a_day_collects_delivers_reports_and_pushes(day: Day) -> None:
    """In this order: the report knows what was delivered, the metrics are the report's."""
    report = day.run()
    assert report.summary["accounts"]["collected"] == 2
    assert report.run.status is RunStatus.COMPLETED
    assert day.sink.types == ["run.completed"]
    assert report.events_pending == 0
    assert day.metrics
    assert day.metrics.pushed == [(report, True)]


def test_a_process_that_joins_meanwhile_changes_nothing_about_how_the_day_ended(day: Day) -> None:
    """It may set the run running again; a process that closed it would else end as if it were stopped."""
    harness = day.harness

    def join(delivered: Mapping[str, object]) -> None:
        assert delivered["type"] == "run.completed"
        run = harness.store.tables.runs.rows["job"]
        harness.store.tables.runs.rows["job"] = replace(run, status=RunStatus.RUNNING, finished_at=None)

    day.sink.on_delivery = join
    report = day.run()
    assert report.run.status is RunStatus.COMPLETED
    assert day.pushed == [(True, True)]


def test_the_last_success_is_what_the_settings_call_one(day: Day) -> None:
    """A partial failure is pushed, and here does not count."""
    day.harness.source.answers = {1: [AccountError(ErrorKind.ACCESS_DENIED, "")]}
    assert day.run().run.status is RunStatus.PARTIAL
    assert day.pushed == [(True, False)]


def test_events_that_no_sink_takes_do_not_fail_the_day(day: Day) -> None:
    """They wait in the outbox, and the report counts them."""
    day.sink.error = DeliveryError("Away.")
    report = day.run()
    assert (report.run.status, report.events_pending) == (RunStatus.COMPLETED, 1)
    assert day.pushed == [(True, True)]


def test_a_database_lost_during_delivery_does_not_fail_the_day(day: Day) -> None:
    """Every account is done; the events are delivered by the next run."""
    day.sink.error = StorageError("Gone.")
    assert day.run().run.status is RunStatus.COMPLETED


def test_metrics_that_are_not_taken_do_not_fail_the_day(day: Day) -> None:
    """A gateway that is away is a line in the log."""
    day.metrics = FakeMetrics(refuses=True)
    assert day.run().run.status is RunStatus.COMPLETED
    assert day.pushed == [(True, True)]


@pytest.mark.parametrize(
    ("request_", "is_whole"),
    [
        (RunRequest(), True),
        (RunRequest(aws_account_ids=("000000000001",)), False),
        (RunRequest(days=DateRange(date(2025, 3, 1), date(2025, 3, 2))), False),
    ],
)
def test_metrics_are_told_whether_the_run_was_over_everything(
    day: Day, request_: RunRequest, *, is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the database is lost before there is a report."""
    monkeypatch.setattr("costbatch.application.jobs.retry.PATIENCE_SECONDS", 0)
    day.run(request_)
    day.harness.store.faults = [StorageError("Gone.")] * 50
    with pytest.raises(StorageError):
        day.run(request_)
    assert day.metrics
    assert day.metrics.whole == [is_whole, is_whole]


def test_without_a_gateway_nothing_is_pushed(day: Day) -> None:
    """Nobody asked for metrics."""
    day.metrics = None
    assert day.run().run.status is RunStatus.COMPLETED


def test_a_lost_database_is_pushed_without_a_report(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alert needs the failure most of all; the error itself is not swallowed."""
    monkeypatch.setattr("costbatch.application.jobs.retry.PATIENCE_SECONDS", 0)
    day.harness.store.faults = [StorageError("Gone.")] * 50
    with pytest.raises(StorageError, match="Gone"):
        day.run()
    assert day.pushed == [(False, False)]


def test_a_schema_that_does_not_fit_stops_the_day_before_it_begins(day: Day) -> None:
    """Nothing is fetched, and the gateway keeps what the last run told it."""
    day.harness.store.schema_problem = "The database is not migrated."
    with pytest.raises(ConfigError, match="not migrated"):
        day.run()
    assert (day.harness.source.fetched, day.pushed) == ([], [])


@pytest.mark.parametrize("others", [(), ("99998888",)])
def test_a_key_that_opens_some_credentials_is_good_enough(day: Day, others: tuple[str, ...]) -> None:
    """In the middle of a rotation the accounts of the other key fail alone."""
    store = day.harness.store
    for row, key_id in enumerate((FakeVault().key_id, *others), 1):
        store.tables.accounts.sealed[row] = FakeVault(key_id).seal(f"{row:012}", StoredSecrets())
    preflight(store, FakeVault())


def test_a_key_that_opens_nothing_is_refused(day: Day) -> None:
    """One sentence with both key ids and the number of credentials, and what to do."""
    store = day.harness.store
    for row in (1, 2):
        store.tables.accounts.sealed[row] = FakeVault("99998888").seal(f"{row:012}", StoredSecrets())
    sentence = (
        r"\(key id 11112222\) opens none of the 2 stored credentials: they were sealed with key id 99998888"
    )
    with pytest.raises(ConfigError, match=sentence):
        preflight(store, FakeVault())


def test_accounts_without_credentials_need_no_key(day: Day) -> None:
    """The pod's own identity has nothing sealed."""
    preflight(day.harness.store, FakeVault())


def test_a_day_ends_with_the_pruning(day: Day) -> None:
    """After everything was told: seen from the run's day, and the report is not part of it."""
    day.records = FakeRecords(accounts=1)
    day.records.after_each = lambda: pushed_before.append(len(day.pushed))
    pushed_before: list[int] = []
    assert day.run().run.status is RunStatus.COMPLETED
    assert set(pushed_before) == {1}
    (line,) = day.harness.logged("pruned")
    assert (line["months"], line["accounts"]) == (["2025-01", "2025-02"], 1)


def test_a_pruning_without_anything_to_do_says_nothing(day: Day) -> None:
    """On most nights there is none."""
    day.records = FakeRecords(months=[])
    day.run()
    assert day.harness.logged("pruned") == []


@pytest.mark.parametrize("error", [StorageError("Gone."), ConfigError("It lacks ownership.")])
def test_a_pruning_that_fails_does_not_fail_the_day(day: Day, error: Exception) -> None:
    """A line in the log says why; the run is what it was, and was pushed as such."""
    day.records = FakeRecords()

    def fail() -> None:
        raise error

    day.records.after_each = fail
    assert day.run().run.status is RunStatus.COMPLETED
    assert day.pushed == [(True, True)]
    assert [line["reason"] for line in day.harness.logged("pruning_failed")] == [str(error)]


def test_months_that_are_held_up_are_a_warning(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next night drops them."""
    monkeypatch.setattr("costbatch.application.retention._PAUSE_SECONDS", 0)
    day.records = FakeRecords(months=[JANUARY], held={"drop": 1000})
    day.run()
    (line,) = day.harness.logged("months_not_dropped")
    assert (line["level"], line["months"]) == ("warning", ["2025-01"])


def test_a_process_that_was_told_to_end_does_not_prune(day: Day) -> None:
    """Its time is for the accounts in flight."""
    day.records = FakeRecords()
    day.harness.stop.set()
    day.run()
    assert day.records.steps == []


def test_a_backfill_of_what_is_not_kept_is_refused_before_anything(day: Day) -> None:
    """It would be paid for and dropped in the same night."""
    day.harness.policy = replace(day.harness.policy, windows=WindowPolicy(keep_months=3))
    with pytest.raises(ConfigError, match="ask for 2025-03-01 or later"):
        day.run(RunRequest(days=DateRange(date(2025, 2, 28), date(2025, 4, 1))))
    assert (day.harness.source.fetched, day.pushed) == ([], [])
