"""A whole night: only the job can fail it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from threading import Event as Signal
from threading import Timer
from time import monotonic
from typing import Any

import pytest
from typing_extensions import override

from costbatch import logs
from costbatch.application.collect.report import Detail, full_report
from costbatch.application.deliver import Deliverer
from costbatch.application.jobs import retry
from costbatch.application.nightly import Nightly, check_key
from costbatch.application.ports import Transaction
from costbatch.application.retention import Retention
from costbatch.domain.accounts import AccessMethod, AccountStatus, AwsNeeds
from costbatch.domain.collection import CollectOptions
from costbatch.domain.credentials import StoredSecrets
from costbatch.domain.metrics import EVENTS_PENDING
from costbatch.domain.periods import DateRange, WindowPolicy
from costbatch.domain.reports import JobWords, RunReport
from costbatch.domain.routing import Route
from costbatch.domain.runs import FailOn, Run, RunRequest, RunStatus
from costbatch.errors import AccountError, ConfigError, DeliveryError, ErrorKind, StorageError
from tests.support.factories import NOW, make_account
from tests.support.fake_receivers import FakeMetrics, FakeSink
from tests.support.fake_records import JANUARY, FakeRecords
from tests.support.fake_store import FakeOutbox
from tests.support.fakes import FakeVault
from tests.support.run_harness import RunHarness


@dataclass
class Night:
    """A night with everything around it."""

    harness: RunHarness = field(default_factory=RunHarness)
    metrics: FakeMetrics | None = field(default_factory=FakeMetrics)
    sink: FakeSink = field(default_factory=FakeSink)
    records: FakeRecords | None = None

    check_environment: Callable[[AwsNeeds], None] = lambda _: None
    now: datetime = NOW
    report: Callable[[Transaction, Run, datetime], RunReport] | None = None

    def __post_init__(self) -> None:
        """Let deliveries wait by the same clock."""
        self.harness.store.tables.outbox.now = lambda: self.now

    def run(self, request: RunRequest | None = None) -> RunReport:
        """Run the cost job, and what follows it."""
        harness = self.harness
        nightly = Nightly(
            runner=harness.runner(),
            report=self.report
            or (
                lambda tx, run, now: full_report(
                    tx, run, Detail(), rule=harness.rule, rule_of=lambda _: harness.rule, now=now
                )
            ),
            deliverer=Deliverer(
                database=harness.store,
                sinks=[self.sink],
                clock=lambda: self.now,
                pauses=(),
                stop=harness.stop,
            ),
            vault=FakeVault(),
            metrics=self.metrics,
            clock=lambda: NOW,
            fail_on=FailOn.PARTIAL,
            check_environment=self.check_environment,
            retention=self._retention(),
        )
        return nightly.run("job", request or CollectOptions().to_request())

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


@dataclass(frozen=True, slots=True, kw_only=True)
class BareReport(RunReport):
    """The report of a job that tells only what it has to."""

    words = JobWords(name="collect", doing="collecting", done="collected")

    @override
    def job_summary(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def night() -> Night:
    """Return a night with two accounts."""
    night = Night()
    logs.configure(log_format="json", stream=night.harness.log)
    night.harness.store.tables.accounts.rows = {row: make_account(row) for row in (1, 2)}
    return night


def test_a_night_collects_delivers_reports_and_pushes(night: Night) -> None:
    """In this order: the report knows what was delivered, the metrics are the report's."""
    report = night.run()
    assert report.summary["accounts"]["collected"] == 2
    assert report.run.status is RunStatus.COMPLETED
    assert night.sink.types == ["run.completed"]
    assert report.events_pending == 0
    assert night.metrics
    assert night.metrics.pushed == [(report, True)]


def test_a_process_that_joins_meanwhile_does_not_change_how_the_night_ended(night: Night) -> None:
    """It may set the run running again; the process that closed it ends with the status that it recorded."""
    harness = night.harness

    def join(delivered: Mapping[str, object]) -> None:
        assert delivered["type"] == "run.completed"
        run = harness.store.tables.run_rows["job"]
        harness.store.tables.run_rows["job"] = replace(run, status=RunStatus.RUNNING, finished_at=None)

    night.sink.on_delivery = join
    report = night.run()
    assert report.run.status is RunStatus.COMPLETED
    assert night.pushed == [(True, True)]


def test_the_settings_say_which_failures_count(night: Night) -> None:
    """A partial failure is pushed, and here does not count."""
    night.harness.source.answers = {1: [AccountError(ErrorKind.ACCESS_DENIED, "")]}
    assert night.run().run.status is RunStatus.PARTIAL
    assert night.pushed == [(True, False)]


def test_events_that_no_sink_accepts_do_not_fail_the_night(night: Night) -> None:
    """They wait in the outbox, and the report counts them."""
    night.sink.error = DeliveryError("Away.")
    report = night.run()
    assert (report.run.status, report.events_pending) == (RunStatus.COMPLETED, 1)
    assert night.pushed == [(True, True)]


def test_the_report_of_every_job_counts_what_it_wrote_and_what_waits(night: Night) -> None:
    """For every sink and of every run, although the job says nothing of events."""
    night.report = lambda tx, run, now: BareReport(run=run, counts=tx.items.counts(run), reported_at=now)
    night.harness.policy = replace(night.harness.policy, routes=(Route("log"), Route("chat")))
    night.sink.error = DeliveryError("Away.")
    report = night.run()
    assert report.to_document()["events"] == {"written": {"run.completed": 1}, "pending": 2, "dead": 0}
    pending = [each.value for each in report.database_samples() if each.metric is EVENTS_PENDING]
    assert pending == [1, 1]


def test_a_database_lost_during_delivery_does_not_fail_the_night(night: Night) -> None:
    """Every account is done; the events are delivered by the next run."""
    night.sink.error = StorageError("Gone.")
    assert night.run().run.status is RunStatus.COMPLETED


def test_a_bug_in_a_sink_does_not_fail_the_night(night: Night) -> None:
    """Whatever a sink raises, the run has ended as it has."""
    night.sink.error = ZeroDivisionError()
    assert night.run().run.status is RunStatus.COMPLETED


def test_what_waits_is_delivered_also_when_the_run_cannot_begin(night: Night) -> None:
    """AWS cannot be called; the events of earlier nights go out all the same."""
    night.sink.error = DeliveryError("Away.")
    night.run()
    night.sink.error = None

    def broken(_: AwsNeeds) -> None:
        raise ConfigError("No certificate.")

    night.check_environment = broken
    night.now += timedelta(minutes=1)
    with pytest.raises(ConfigError, match="No certificate"):
        night.run()
    assert night.sink.types == ["run.completed"]


def test_a_resumed_night_needs_nothing_for_an_account_that_was_paused_since(night: Night) -> None:
    """AWS is called for the other accounts that were named, with what these need."""
    harness, needs = night.harness, list[AwsNeeds]()
    harness.store.tables.accounts.rows[2] = make_account(2, access=AccessMethod.ACCESS_KEYS)
    request = CollectOptions().to_request(("000000000001", "000000000002"))
    night.check_environment = needs.append
    harness.stop.set()
    night.run(request)
    harness.store.tables.accounts.rows[1] = make_account(1, status=AccountStatus.PAUSED)
    harness.stop = Signal()
    assert night.run(request).run.status is RunStatus.COMPLETED
    assert [row for row, _ in harness.source.fetched] == [2]
    assert [each.pod_identity for each in needs] == [True, False]


def test_metrics_that_are_not_accepted_do_not_fail_the_night(night: Night) -> None:
    """A gateway that is unavailable is a line in the log."""
    night.metrics = FakeMetrics(refuses=True)
    assert night.run().run.status is RunStatus.COMPLETED
    assert night.pushed == [(True, True)]


@pytest.mark.parametrize(
    ("request_", "is_whole"),
    [
        (CollectOptions().to_request(), True),
        (CollectOptions().to_request(("000000000001",)), False),
        (CollectOptions(days=DateRange(date(2025, 3, 1), date(2025, 3, 2))).to_request(), False),
    ],
)
def test_metrics_distinguish_a_whole_run_from_a_restricted_one(
    night: Night, request_: RunRequest, *, is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the database is lost before there is a report."""
    monkeypatch.setattr("costbatch.application.jobs.retry.PATIENCE_SECONDS", 0)
    night.run(request_)
    night.harness.store.faults = [StorageError("Gone.")] * 50
    with pytest.raises(StorageError):
        night.run(request_)
    assert night.metrics
    assert night.metrics.whole == [is_whole, is_whole]


def test_without_a_gateway_nothing_is_pushed(night: Night) -> None:
    """There is no address for metrics."""
    night.metrics = None
    assert night.run().run.status is RunStatus.COMPLETED


def test_a_lost_database_is_pushed_without_a_report(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alert needs the failure most of all; the error itself is not swallowed."""
    monkeypatch.setattr("costbatch.application.jobs.retry.PATIENCE_SECONDS", 0)
    night.harness.store.faults = [StorageError("Gone.")] * 50
    with pytest.raises(StorageError, match="Gone"):
        night.run()
    assert night.pushed == [(False, False)]


def test_a_night_that_is_asked_to_stop_does_not_wait_long_for_its_database(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither to deliver nor to report: Kubernetes would kill it before it has said how it ended."""
    monkeypatch.setattr(retry, "STOPPING_PATIENCE_SECONDS", 1)
    store = night.harness.store

    def go_away(*_: object) -> None:
        Timer(0.1, night.harness.stop.set).start()
        store.faults = [StorageError("Gone.")] * 999

    monkeypatch.setattr(FakeOutbox, "release_dead", go_away)
    began = monotonic()
    with pytest.raises(StorageError, match="Gone"):
        night.run()
    assert monotonic() - began < 4
    assert night.pushed == [(False, False)]


def test_a_schema_that_does_not_fit_stops_the_night_before_it_begins(night: Night) -> None:
    """Nothing is fetched, and the gateway keeps the metrics of the last run."""
    night.harness.store.schema_problem = "The database is not migrated."
    with pytest.raises(ConfigError, match="not migrated"):
        night.run()
    assert (night.harness.source.fetched, night.pushed) == ([], [])


@pytest.mark.parametrize("others", [(), ("99998888",)])
def test_a_key_that_opens_some_credentials_is_good_enough(night: Night, others: tuple[str, ...]) -> None:
    """In the middle of a rotation the accounts of the other key fail alone."""
    store = night.harness.store
    for row, key_id in enumerate((FakeVault().key_id, *others), 1):
        store.tables.accounts.sealed[row] = FakeVault(key_id).seal(f"{row:012}", StoredSecrets())
    check_key(store, FakeVault())


def test_a_key_that_opens_nothing_is_refused(night: Night) -> None:
    """One sentence with both key ids and the number of credentials, and what to do."""
    store = night.harness.store
    for row in (1, 2):
        store.tables.accounts.sealed[row] = FakeVault("99998888").seal(f"{row:012}", StoredSecrets())
    sentence = (
        r"\(key id 11112222\) decrypts none of the 2 stored credentials: "
        "they were encrypted with key id 99998888"
    )
    with pytest.raises(ConfigError, match=sentence):
        check_key(store, FakeVault())


def test_what_waits_is_delivered_also_if_the_key_opens_nothing(night: Night) -> None:
    """No account can be collected, and the gateway keeps the metrics of the last run."""
    night.sink.error = DeliveryError("Away.")
    night.run()
    night.sink.error = None
    night.harness.store.tables.accounts.sealed[1] = FakeVault("99998888").seal("0" * 12, StoredSecrets())
    night.now += timedelta(minutes=1)
    with pytest.raises(ConfigError, match="decrypts none"):
        night.run()
    assert (night.sink.types, night.pushed) == (["run.completed"], [(True, True)])


def test_accounts_without_credentials_need_no_key(night: Night) -> None:
    """The pod's own identity has nothing sealed."""
    check_key(night.harness.store, FakeVault())


def test_a_night_ends_with_the_pruning(night: Night) -> None:
    """After everything was reported, and relative to the day of the run."""
    night.records = FakeRecords(accounts=1)
    night.records.after_each = lambda: pushed_before.append(len(night.pushed))
    pushed_before: list[int] = []
    assert night.run().run.status is RunStatus.COMPLETED
    assert set(pushed_before) == {1}
    (line,) = night.harness.logged("pruned")
    assert (line["months"], line["accounts"]) == (["2025-01", "2025-02"], 1)


def test_a_pruning_that_finds_nothing_logs_nothing(night: Night) -> None:
    """On most nights there is none."""
    night.records = FakeRecords(months=[])
    night.run()
    assert night.harness.logged("pruned") == []


@pytest.mark.parametrize("error", [StorageError("Gone."), ConfigError("It lacks ownership.")])
def test_a_pruning_that_fails_does_not_fail_the_night(night: Night, error: Exception) -> None:
    """A line in the log says why; the run is what it was, and was pushed as such."""
    night.records = FakeRecords()

    def fail() -> None:
        raise error

    night.records.after_each = fail
    assert night.run().run.status is RunStatus.COMPLETED
    assert night.pushed == [(True, True)]
    assert [line["reason"] for line in night.harness.logged("pruning_failed")] == [str(error)]


def test_months_that_are_held_up_are_a_warning(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next night drops them."""
    monkeypatch.setattr("costbatch.application.retention._PAUSE_SECONDS", 0)
    night.records = FakeRecords(months=[JANUARY], held={"drop": 1000})
    night.run()
    (line,) = night.harness.logged("months_not_dropped")
    assert (line["level"], line["months"]) == ("warning", ["2025-01"])


def test_a_night_in_which_no_account_succeeded_drops_nothing(night: Night) -> None:
    """AWS refuses every request of a clock that is wrong, and the database may have the same clock."""
    night.records = FakeRecords()
    refused = AccountError(ErrorKind.CREDENTIALS_REJECTED, "")
    night.harness.source.answers = {1: [refused], 2: [refused]}
    assert night.run().run.status is RunStatus.FAILED
    assert night.records.steps == []


@pytest.mark.parametrize(
    ("accounts", "deadline", "prunes"), [(2, 0, False), (2, 3600, True), (0, 3600, True)]
)
def test_a_night_prunes_unless_it_had_accounts_and_none_succeeded(
    night: Night, accounts: int, deadline: int, *, prunes: bool
) -> None:
    """Also if its deadline stopped it: then nothing has shown that the clock is right."""
    night.records = FakeRecords()
    night.harness.store.tables.accounts.rows = {n: make_account(n) for n in range(1, accounts + 1)}
    night.harness.policy = replace(night.harness.policy, deadline=timedelta(seconds=deadline))
    assert night.run().run.status is (RunStatus.COMPLETED if deadline else RunStatus.STOPPED)
    assert bool(night.records.steps) == prunes


def test_a_process_that_was_asked_to_stop_does_not_prune(night: Night) -> None:
    """Its time is for the accounts in flight."""
    night.records = FakeRecords()
    night.harness.stop.set()
    night.run()
    assert night.records.steps == []


def test_a_backfill_of_what_is_not_kept_is_refused_before_anything(night: Night) -> None:
    """It would be paid for and dropped in the same night."""
    night.harness.windows = WindowPolicy(keep_months=3)
    with pytest.raises(ConfigError, match="ask for 2025-03-01 or later"):
        night.run(CollectOptions(days=DateRange(date(2025, 2, 28), date(2025, 4, 1))).to_request())
    assert (night.harness.source.fetched, night.pushed) == ([], [])
