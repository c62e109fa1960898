"""One account's end within a run: what is written, what is told, who tries again."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import cast

import pytest

from costbatch.application.collect.job import Settlement
from costbatch.application.jobs.pool import Flight, Landing
from costbatch.domain.accounts import Account, AccountStatus, Failing
from costbatch.domain.costs import FetchedCosts, StoredChange
from costbatch.domain.detection import Rule
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import Claim, Collection, CollectionState, Failure, RunRequest, SkipReason
from costbatch.errors import ErrorKind
from tests.support.factories import (
    NOW,
    TODAY,
    CostRow,
    by_column,
    day,
    make_access,
    make_account,
    make_claim,
    make_fetched,
    make_row,
    make_run,
)
from tests.support.fake_runs import Listed
from tests.support.fake_store import FakeStore

WINDOW = DateRange(day(0), TODAY)
RETRY_PAUSE = timedelta(seconds=30)
EARLIER = NOW - timedelta(days=3)


@dataclass
class Desk:
    """A run that settles one account."""

    store: FakeStore = field(default_factory=FakeStore)
    request: RunRequest = field(default_factory=RunRequest)

    @property
    def account(self) -> Account:
        """The account as it is stored."""
        return self.store.tables.accounts.rows[1]

    @property
    def collection(self) -> Collection:
        """Its place in the run."""
        return self.store.tables.runs.listed[1].collection

    @property
    def told(self) -> list[str]:
        """The types of the events in the outbox."""
        return [event.type.value for event in self.store.tables.outbox.events]

    def put(self, account: Account) -> Claim:
        """Store an account and claim it."""
        claim = make_claim(account)
        collection = Collection(
            aws_account_id=account.aws_account_id, name="", state=CollectionState.COLLECTING
        )
        self.store.tables.accounts.rows[1] = account
        self.store.tables.runs.listed[1] = Listed(1, collection, "worker", claim.token)
        return claim

    def settle(self, claim: Claim, outcome: FetchedCosts | Failure | None) -> CollectionState | None:
        """Settle the account; return where it stands, None where the claim was lost."""
        flight = Flight(claim=claim, access=make_access(claim.account), window=WINDOW, known={}, totals=())
        landing = Landing(flight=flight, outcome=outcome, api_requests=2, started_at=NOW)
        settlement = Settlement(
            run=make_run(request=self.request),
            rule=Rule(),
            retry_pause=RETRY_PAUSE,
            sinks=("log",),
            vanished_ratio=Decimal("0.5"),
        )
        with self.store.transaction() as tx:
            ending = settlement.settle(tx, [landing], now=NOW).get(claim.collection_id)
        return ending.state if ending else None


@pytest.fixture
def desk() -> Desk:
    """Return an empty desk."""
    return Desk()


def fetched(*rows: CostRow) -> FetchedCosts:
    """Return an answer for the whole window."""
    return make_fetched(WINDOW, *rows, api_requests=2)


def failure(kind: ErrorKind = ErrorKind.ACCESS_DENIED) -> Failure:
    """Return a failure of a kind."""
    return Failure(kind=kind, message=f"Because of {kind}.")


def bill() -> FetchedCosts:
    """Return an answer of 10 a day, but for the last day."""
    last = WINDOW.last
    return fetched(*(make_row(each, "900" if each == last else "10") for each in WINDOW))


def test_everything_of_an_account_is_written_together(desk: Desk) -> None:
    """Costs, what was answered, what is known without a gap, the anomaly, its event, and the outcome."""
    claim = desk.put(make_account())
    assert desk.settle(claim, bill()) is CollectionState.COLLECTED
    assert len(desk.store.tables.costs.rows) == len(WINDOW)
    assert desk.store.tables.answers.rows == {1: bill().answers}
    assert desk.account.collected == WINDOW
    assert [each.start_date for each in desk.store.tables.anomalies.rows.values()] == [WINDOW.last]
    assert desk.told == ["anomaly.detected"]
    assert desk.store.tables.outbox.count_pending() == 1
    assert (desk.collection.state, desk.collection.api_requests) == (CollectionState.COLLECTED, 2)
    assert desk.collection.change.inserted == len(WINDOW)


@pytest.mark.parametrize("outcome", [bill(), failure(), None])
def test_nothing_is_written_for_a_claim_that_was_lost(
    desk: Desk, outcome: FetchedCosts | Failure | None
) -> None:
    """Another process has the account; its work counts."""
    desk.put(make_account())
    listed = dict(desk.store.tables.runs.listed)
    lost = make_claim(make_account(), token=make_claim(make_account(2)).token)
    assert desk.settle(lost, outcome) is None
    assert desk.store.tables.runs.listed == listed
    assert (desk.store.tables.costs.rows, desk.store.tables.answers.rows, desk.told) == ({}, {}, [])


@pytest.mark.parametrize("status", [AccountStatus.PAUSED, AccountStatus.REMOVED])
@pytest.mark.parametrize("outcome", [bill(), failure(), None])
def test_an_account_paused_meanwhile_is_left_out(
    desk: Desk, status: AccountStatus, outcome: FetchedCosts | Failure | None
) -> None:
    """What was fetched is not stored, and nobody is alarmed; what it cost is counted."""
    claim = desk.put(make_account(status=status))
    assert desk.settle(claim, outcome) is CollectionState.SKIPPED
    assert desk.collection.skip_reason is SkipReason.NOT_ACTIVE
    assert desk.collection.api_requests == 2
    assert (desk.store.tables.costs.rows, desk.store.tables.answers.rows, desk.told) == ({}, {}, [])


def test_an_account_that_the_cap_stopped_is_left_out(desk: Desk) -> None:
    """It did not fail: nothing is told, and it may be collected by the next run."""
    claim = desk.put(make_account())
    assert desk.settle(claim, None) is CollectionState.SKIPPED
    assert desk.collection.skip_reason is SkipReason.API_COST_CAP
    assert (desk.told, desk.account.failing) == ([], None)


@pytest.mark.parametrize("kind", ErrorKind)
def test_only_what_may_pass_is_tried_again(desk: Desk, kind: ErrorKind) -> None:
    """Throttled, timed out or broken inside: another attempt; everything else waits for a person."""
    claim = desk.put(make_account())
    passing = kind in {ErrorKind.THROTTLED, ErrorKind.TIMEOUT, ErrorKind.INTERNAL}
    expected = CollectionState.PENDING if passing else CollectionState.FAILED
    assert desk.settle(claim, failure(kind)) is expected
    assert desk.collection.failure == failure(kind)
    assert desk.told == ([] if passing else ["account.failed"])
    assert desk.collection.api_requests == 2


@pytest.mark.parametrize(("attempt", "pauses"), [(1, 1), (2, 2), (3, None), (4, None)])
def test_the_pause_before_another_attempt_doubles_and_the_third_is_the_last(
    desk: Desk, attempt: int, pauses: int | None
) -> None:
    """Once, twice the pause, then the failure stands."""
    desk.put(make_account())
    desk.settle(make_claim(make_account(), attempt=attempt), failure(ErrorKind.THROTTLED))
    waits = desk.store.tables.runs.listed[1].retry_after
    assert waits == (None if pauses is None else RETRY_PAUSE * pauses)
    assert desk.told == ([] if pauses else ["account.failed"])


def test_a_first_failure_is_told_and_remembered(desk: Desk) -> None:
    """Since now, for this reason."""
    claim = desk.put(make_account())
    desk.settle(claim, failure())
    assert desk.told == ["account.failed"]
    assert desk.account.failing == Failing(since=NOW, kind="access_denied")


def test_the_same_failure_night_after_night_is_told_once(desk: Desk) -> None:
    """Nobody wants it again; since when it fails stays as it was."""
    failing = Failing(since=EARLIER, kind="access_denied")
    claim = desk.put(make_account(failing=failing))
    assert desk.settle(claim, failure()) is CollectionState.FAILED
    assert (desk.told, desk.account.failing) == ([], failing)


def test_another_kind_of_failure_is_told(desk: Desk) -> None:
    """It needs another remedy; the account has been failing since the first one."""
    claim = desk.put(make_account(failing=Failing(since=EARLIER, kind="credentials_rejected")))
    desk.settle(claim, failure())
    assert desk.told == ["account.failed"]
    assert desk.account.failing == Failing(since=EARLIER, kind="access_denied")


def test_an_account_that_recovers_is_told(desk: Desk) -> None:
    """Once, with what it ends; and it fails no more."""
    claim = desk.put(make_account(failing=Failing(since=EARLIER, kind="access_denied")))
    desk.settle(claim, fetched())
    assert desk.told == ["account.recovered"]
    assert desk.account.failing is None


def test_a_failure_leaves_what_is_stored_alone(desk: Desk) -> None:
    """A failed call is never a zero."""
    desk.settle(desk.put(make_account()), bill())
    rows = dict(desk.store.tables.costs.rows)
    desk.settle(desk.put(desk.account), failure())
    assert desk.store.tables.costs.rows == rows
    assert desk.account.collected == WINDOW


def test_an_answer_that_reads_as_the_last_one_is_recorded_with_all_its_rows(desk: Desk) -> None:
    """None of them is written, and the record says how many AWS had."""
    flat = fetched(*(make_row(each) for each in WINDOW))
    desk.settle(desk.put(make_account()), flat)
    rows = dict(desk.store.tables.costs.rows)
    desk.settle(desk.put(desk.account), replace(flat, fresh=None, costs=by_column(())))
    assert desk.store.tables.costs.rows == rows
    assert desk.store.tables.answers.rows == {1: flat.answers}
    assert (desk.collection.rows_fetched, desk.collection.change) == (len(WINDOW), StoredChange())


def test_a_backfill_beyond_a_gap_does_not_count_as_collected(desk: Desk) -> None:
    """The next ordinary run still reads the days between."""
    known = DateRange(day(-60), day(-30))
    desk.request = RunRequest(days=WINDOW)
    desk.settle(desk.put(make_account(collected=known)), fetched())
    assert desk.account.collected == known


def test_an_error_while_settling_leaves_nothing_behind(desk: Desk) -> None:
    """The account is atomic: its costs are undone with its judgement."""
    claim = desk.put(make_account())
    before = desk.store.tables
    broken = fetched(make_row(WINDOW.last), make_row(WINDOW.start, unblended=cast("None", "ten")))
    with pytest.raises(TypeError):
        desk.settle(claim, broken)
    assert desk.store.tables is before
