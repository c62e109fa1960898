"""How one account ends within a run: what is written, which events, and whether it is tried again."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import cast

import pytest

from costbatch.application.collect.job import CollectJob, CollectTask
from costbatch.application.jobs.job import Attempt, Result
from costbatch.application.jobs.writer import Writer
from costbatch.domain.accounts import Account, AccountStatus, Failing, Progress
from costbatch.domain.collection import CollectionRecord, CollectOptions
from costbatch.domain.costs import NO_DIGESTS, FetchedCosts, StoredChange
from costbatch.domain.periods import DateRange, WindowPolicy
from costbatch.domain.routing import Route
from costbatch.domain.runs import Failure, ItemRecord, ItemState, RunRequest, SkipReason, WorkItem
from costbatch.errors import ErrorKind
from tests.support.factories import (
    NOW,
    TODAY,
    CostRow,
    by_column,
    day,
    make_access,
    make_account,
    make_fetched,
    make_item,
    make_row,
    make_run,
)
from tests.support.fake_runs import FakeDisplay, FakeSource, Listed
from tests.support.fake_store import FakeStore
from tests.support.run_harness import make_detection

WINDOW = DateRange(day(0), TODAY)
RETRY_PAUSE = timedelta(seconds=30)
EARLIER = NOW - timedelta(days=3)


@dataclass
class OneAccount:
    """A run of the cost job that saves the results of one account."""

    store: FakeStore = field(default_factory=FakeStore)
    request: RunRequest = field(default_factory=lambda: CollectOptions().to_request())

    @property
    def progress(self) -> Progress:
        """The progress as it is stored."""
        return self.store.tables.progress.rows.get(1, Progress())

    @property
    def item(self) -> ItemRecord:
        """The account within the run."""
        return self.store.tables.items.listed[1].record

    @property
    def record(self) -> CollectionRecord:
        """What the cost job recorded for it."""
        return self.store.tables.collections.rows[1]

    @property
    def events(self) -> list[str]:
        """The types of the events in the outbox."""
        return [event.type.value for event in self.store.tables.outbox.events]

    def claim(
        self, account: Account | None = None, *, progress: Progress | None = None, attempt: int = 1
    ) -> WorkItem:
        """Store the account and its progress, and claim it."""
        account = account or make_account()
        item = make_item(account, attempt=attempt)
        record = ItemRecord(
            id=item.id, aws_account_id=account.aws_account_id, name="", state=ItemState.RUNNING
        )
        self.store.tables.accounts.rows[1] = account
        if progress is not None:
            self.store.tables.progress.rows[1] = progress
        self.store.tables.items.listed[1] = Listed(1, record, "worker", item.token)
        return item

    def save(self, item: WorkItem, value: FetchedCosts | Failure | None) -> ItemState | None:
        """Save a result; return the state of the account, None if the claim was lost."""
        result: Attempt[CollectTask, FetchedCosts] = Result(
            item=item,
            task=CollectTask(access=make_access(item.account), window=WINDOW, digests=NO_DIGESTS, totals=()),
            value=value,
            api_requests=2,
            started_at=NOW,
        )
        (saved,) = self._writer().save([result])
        outcome = saved.outcomes.get(item.token)
        return outcome.state if outcome else None

    def _writer(self) -> Writer[CollectTask, FetchedCosts]:
        job = CollectJob(
            source=FakeSource(),
            windows=WindowPolicy(),
            detection=make_detection(),
            clock=lambda: NOW,
            vanished_ratio=Decimal("0.5"),
        )
        return Writer(
            database=self.store,
            job=job,
            run=make_run(request=self.request),
            retry_pause=RETRY_PAUSE,
            routes=(Route("log"),),
            clock=lambda: NOW,
            display=FakeDisplay(),
        )


@pytest.fixture
def one() -> OneAccount:
    """Return a run that has stored nothing yet."""
    return OneAccount()


def fetched(*rows: CostRow) -> FetchedCosts:
    """Return an answer for the whole window."""
    return make_fetched(WINDOW, *rows, api_requests=2)


def failure(kind: ErrorKind = ErrorKind.ACCESS_DENIED) -> Failure:
    """Return a failure of a kind."""
    return Failure(kind=kind, message=f"Because of {kind}.")


def bill() -> FetchedCosts:
    """Return an answer of 10 a day, except for the last day."""
    last = WINDOW.last
    return fetched(*(make_row(each, "900" if each == last else "10") for each in WINDOW))


def test_everything_of_an_account_is_written_together(one: OneAccount) -> None:
    """Costs, digests, progress, the anomaly, its event, what was done, and the outcome."""
    assert one.save(one.claim(), bill()) is ItemState.SUCCEEDED
    assert len(one.store.tables.costs.rows) == len(WINDOW)
    assert one.store.tables.digests.rows == {1: bill().digests}
    assert one.progress == Progress(covered=WINDOW)
    assert [each.start_date for each in one.store.tables.anomalies.rows.values()] == [WINDOW.last]
    assert one.events == ["anomaly.detected"]
    assert one.store.tables.outbox.count_pending() == 1
    assert (one.item.state, one.item.api_requests) == (ItemState.SUCCEEDED, 2)
    assert (one.record.window, one.record.change.inserted) == (WINDOW, len(WINDOW))


@pytest.mark.parametrize("value", [bill(), failure(), None])
def test_nothing_is_written_for_a_claim_that_was_lost(
    one: OneAccount, value: FetchedCosts | Failure | None
) -> None:
    """Another process has the account, and its work counts; what the lost one cost is added to it."""
    one.claim()
    items = one.store.tables.items
    items.listed[1] = replace(items.listed[1], takeovers=1)
    listed = dict(items.listed)
    lost = make_item(make_account(), token=make_item(make_account(2)).token)
    assert one.save(lost, value) is None
    paid = replace(listed[1].record, api_requests=2)
    assert one.store.tables.items.listed == {1: replace(listed[1], record=paid)}
    assert (one.store.tables.costs.rows, one.store.tables.digests.rows, one.events) == ({}, {}, [])


@pytest.mark.parametrize("status", [AccountStatus.PAUSED, AccountStatus.REMOVED])
@pytest.mark.parametrize("value", [bill(), failure(), None])
def test_an_account_paused_meanwhile_is_skipped(
    one: OneAccount, status: AccountStatus, value: FetchedCosts | Failure | None
) -> None:
    """What was fetched is not stored and there is no event; the requests are counted."""
    assert one.save(one.claim(make_account(status=status)), value) is ItemState.SKIPPED
    assert one.item.skip_reason is SkipReason.NOT_ACTIVE
    assert one.item.api_requests == 2
    assert (one.store.tables.costs.rows, one.store.tables.digests.rows, one.events) == ({}, {}, [])


def test_an_account_that_the_cap_stopped_is_skipped(one: OneAccount) -> None:
    """It did not fail: there is no event, and the next run may collect it."""
    assert one.save(one.claim(), None) is ItemState.SKIPPED
    assert one.item.skip_reason is SkipReason.API_COST_CAP
    assert (one.events, one.progress.failing) == ([], None)


@pytest.mark.parametrize("kind", ErrorKind)
def test_only_a_transient_failure_is_retried(one: OneAccount, kind: ErrorKind) -> None:
    """Throttled, timed out or internal: another attempt; everything else needs a person."""
    transient = kind in {ErrorKind.THROTTLED, ErrorKind.TIMEOUT, ErrorKind.INTERNAL}
    expected = ItemState.PENDING if transient else ItemState.FAILED
    assert one.save(one.claim(), failure(kind)) is expected
    assert one.item.failure == failure(kind)
    assert one.events == ([] if transient else ["account.failed"])
    assert one.item.api_requests == 2


@pytest.mark.parametrize(("attempt", "pauses"), [(1, 1), (2, 2), (3, None), (4, None)])
def test_the_pause_before_another_attempt_doubles_and_the_third_is_the_last(
    one: OneAccount, attempt: int, pauses: int | None
) -> None:
    """Once, twice the pause, then the failure stands."""
    one.save(one.claim(attempt=attempt), failure(ErrorKind.THROTTLED))
    waits = one.store.tables.items.listed[1].retry_after
    assert waits == (None if pauses is None else RETRY_PAUSE * pauses)
    assert one.events == ([] if pauses else ["account.failed"])


def test_a_first_failure_is_an_event_and_is_remembered(one: OneAccount) -> None:
    """Since now, for this reason."""
    one.save(one.claim(), failure())
    assert one.events == ["account.failed"]
    assert [event.data["job"] for event in one.store.tables.outbox.events] == ["collect"]
    assert one.progress.failing == Failing(since=NOW, kind="access_denied")


def test_the_same_failure_night_after_night_is_one_event(one: OneAccount) -> None:
    """It is not repeated; since when the account fails stays as it was."""
    failing = Failing(since=EARLIER, kind="access_denied")
    item = one.claim(progress=Progress(failing=failing))
    assert one.save(item, failure()) is ItemState.FAILED
    assert (one.events, one.progress.failing) == ([], failing)


def test_another_kind_of_failure_is_an_event(one: OneAccount) -> None:
    """It needs another remedy; the account has been failing since the first one."""
    item = one.claim(progress=Progress(failing=Failing(since=EARLIER, kind="credentials_rejected")))
    one.save(item, failure())
    assert one.events == ["account.failed"]
    assert one.progress.failing == Failing(since=EARLIER, kind="access_denied")


def test_a_recovery_is_an_event(one: OneAccount) -> None:
    """Once, with what it ends; and the account no longer fails."""
    item = one.claim(progress=Progress(failing=Failing(since=EARLIER, kind="access_denied")))
    one.save(item, fetched())
    assert one.events == ["account.recovered"]
    assert [event.data["job"] for event in one.store.tables.outbox.events] == ["collect"]
    assert one.progress.failing is None


def test_a_backfill_is_no_recovery(one: OneAccount) -> None:
    """Some days can be read while the ordinary window still fails, as the next night would say again."""
    failing = Failing(since=EARLIER, kind="implausible_answer")
    one.request = CollectOptions(days=WINDOW).to_request()
    one.save(one.claim(progress=Progress(failing=failing)), fetched())
    assert (one.events, one.progress.failing) == ([], failing)


@pytest.mark.parametrize("failing", [None, Failing(since=EARLIER, kind="implausible_answer")])
def test_a_backfill_that_fails_is_no_failure_of_the_nights(one: OneAccount, failing: Failing | None) -> None:
    """Nothing but the next night would end it; what failed in a night goes on to fail for its own reason."""
    one.request = CollectOptions(days=WINDOW).to_request()
    assert one.save(one.claim(progress=Progress(failing=failing)), failure()) is ItemState.FAILED
    assert (one.events, one.progress.failing) == ([], failing)


def test_a_failure_leaves_what_is_stored_alone(one: OneAccount) -> None:
    """A failed call is never a zero."""
    one.save(one.claim(), bill())
    rows = dict(one.store.tables.costs.rows)
    one.save(one.claim(), failure())
    assert one.store.tables.costs.rows == rows
    assert one.progress.covered == WINDOW


def test_an_unchanged_answer_is_recorded_with_all_its_rows(one: OneAccount) -> None:
    """None of them is written, and the record says how many AWS reported."""
    flat = fetched(*(make_row(each) for each in WINDOW))
    one.save(one.claim(), flat)
    rows = dict(one.store.tables.costs.rows)
    one.save(one.claim(), replace(flat, changed_days=None, costs=by_column(())))
    assert one.store.tables.costs.rows == rows
    assert one.store.tables.digests.rows == {1: flat.digests}
    assert (one.record.rows_fetched, one.record.change) == (len(WINDOW), StoredChange())


def test_a_backfill_beyond_a_gap_does_not_count_as_covered(one: OneAccount) -> None:
    """The next ordinary run still reads the days between."""
    covered = DateRange(day(-60), day(-30))
    one.request = CollectOptions(days=WINDOW).to_request()
    one.save(one.claim(progress=Progress(covered=covered)), fetched())
    assert one.progress.covered == covered


def test_an_error_while_saving_undoes_everything_but_the_failure(one: OneAccount) -> None:
    """The account is atomic: its costs are undone with its anomalies, and it is tried again."""
    broken = fetched(make_row(WINDOW.last), make_row(WINDOW.start, unblended=cast("None", "ten")))
    assert one.save(one.claim(), broken) is ItemState.PENDING
    tables = one.store.tables
    assert (tables.costs.rows, tables.digests.rows, tables.collections.rows) == ({}, {}, {})
    assert (tables.anomalies.rows, one.events, one.progress) == ({}, [], Progress())
    assert one.item.failure == Failure(kind=ErrorKind.INTERNAL, message=ErrorKind.INTERNAL.advice)
