"""The anomalies store on a real PostgreSQL."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from costbatch.adapters.postgres import PostgresDatabase
from costbatch.domain.accounts import Account, AccountStatus
from costbatch.domain.anomalies import Anomaly, AnomalyFilter, AnomalyState, Resolution
from costbatch.domain.causes import Cause, CutShort, RootCause
from costbatch.domain.collection import CollectOptions
from costbatch.domain.costs import CostBasis
from costbatch.domain.detection import Contribution, Direction, Severity
from costbatch.domain.discovery import DISCOVER
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import Run, RunStatus, StopReason
from costbatch.domain.second_opinion import AwsAnomaly, AwsRootCause, Feedback, SavedOpinions
from costbatch.errors import StatementRefused
from tests.postgres.conftest import Query
from tests.support.database_rows import NOW, account_id, add_account, anomaly, claim, open_run

HOUR = timedelta(hours=1)
OPEN, RESOLVED = (AnomalyFilter(states=[state]) for state in (AnomalyState.OPEN, AnomalyState.RESOLVED))


@pytest.fixture
def account(database: PostgresDatabase) -> Account:
    """Register an account."""
    return add_account(database)


@pytest.fixture
def run(database: PostgresDatabase, account: Account) -> Run:
    """Open a run."""
    return open_run(database)


def save(database: PostgresDatabase, run: Run, *anomalies: Anomaly) -> None:
    """Save anomalies in a transaction of their own."""
    with database.transaction() as tx:
        for each in anomalies:
            tx.anomalies.save(each, run_id=run.id, now=NOW)


def near(database: PostgresDatabase, account: Account, start: date) -> list[UUID]:
    """Return the ids of the anomalies near a day."""
    with database.transaction() as tx:
        return [each.id for each in tx.anomalies.load_near({account.id: start}).get(account.id, [])]


def test_an_anomaly_reads_back_exactly(database: PostgresDatabase, run: Run, account: Account) -> None:
    """Every field, every digit, the explanation in its order."""
    parts = (
        Contribution("Amazon\t“S3”", Decimal("1E-10"), Decimal("-0.10")),
        Contribution("", Decimal(0), Decimal("123456789012345.123456789012345")),
    )
    saved = anomaly(
        account,
        service="Amazon S3",
        direction=Direction.DROP,
        state=AnomalyState.RESOLVED,
        severity=Severity.HIGH,
        resolution=Resolution.MERGED,
        currency="EUR",
        cost_basis=CostBasis.NET_AMORTIZED,
        expected=Decimal("123456789012345.123456789012345"),
        actual=Decimal("-9.0E-10"),
        explanation=parts,
        revision=7,
    )
    save(database, run, saved)
    with database.transaction() as tx:
        assert tx.anomalies.list_matching(RESOLVED) == [saved]


def test_saving_again_updates_and_keeps_who_found_it(
    database: PostgresDatabase, run: Run, account: Account, query: Query
) -> None:
    """One id is one row: its run and first instant stay, everything else is the newer."""
    first = anomaly(account)
    save(database, run, first)
    later = open_run(database, "later")
    changed = replace(first, last_date=date(2026, 3, 9), actual=Decimal(60), explanation=(), revision=2)
    with database.transaction() as tx:
        tx.anomalies.save(changed, run_id=later.id, now=NOW + timedelta(days=1))
        assert tx.anomalies.list_matching(OPEN) == [changed]
        assert tx.anomalies.detected_by(run.id) == {first.id}
        assert tx.anomalies.detected_by(later.id) == set()
    found = query("SELECT detected_at, updated_at FROM anomalies")
    assert found == [(NOW, NOW + timedelta(days=1))]


def test_what_was_gone_and_is_found_again_is_of_the_run_that_found_it(
    database: PostgresDatabase, run: Run, account: Account
) -> None:
    """It is new once more: an incident may begin with it."""
    first = anomaly(account)
    gone = replace(first, state=AnomalyState.RESOLVED, resolution=Resolution.RESTATED)
    save(database, run, gone)
    later = open_run(database, "later")
    for each, found_by in ((gone, run), (first, later)):
        with database.transaction() as tx:
            tx.anomalies.save(each, run_id=later.id, now=NOW)
            assert tx.anomalies.detected_by(found_by.id) == {first.id}


def tell(database: PostgresDatabase, run: Run) -> set[UUID]:
    """Let a run tell, as it does at its end; return the anomalies that were untold."""
    with database.transaction() as tx:
        untold = tx.anomalies.unchecked(run)
        tx.anomalies.mark_checked(untold, now=NOW)
    return untold


def close(database: PostgresDatabase, run: Run, status: RunStatus, by: StopReason | None = None) -> None:
    """Close a run if its status is another one."""
    if status is not RunStatus.RUNNING:
        with database.transaction() as tx:
            tx.runs.close(run, status, now=NOW + HOUR, stopped_by=by)


ENDS = [
    (RunStatus.STOPPED, StopReason.SIGNAL),
    (RunStatus.STOPPED, StopReason.DEADLINE),
    (RunStatus.RUNNING, None),
    (RunStatus.COMPLETED, None),
    (RunStatus.PARTIAL, None),
]


@pytest.mark.parametrize(("status", "stopped_by"), ENDS)
def test_what_a_run_found_that_never_told_of_it_is_told_by_the_next(
    database: PostgresDatabase, run: Run, account: Account, status: RunStatus, stopped_by: StopReason | None
) -> None:
    """Whatever the run's row says of its end; once, also if the run is resumed after that."""
    save(database, run, found := anomaly(account))
    close(database, run, status, stopped_by)
    assert tell(database, open_run(database, "later")) == {found.id}
    assert tell(database, open_run(database, "latest")) == set()
    assert tell(database, run) == set()


@pytest.mark.parametrize(("status", "stopped_by"), ENDS)
def test_what_a_run_told_is_not_told_by_the_next(
    database: PostgresDatabase, run: Run, account: Account, status: RunStatus, stopped_by: StopReason | None
) -> None:
    """Only what it finds when it is resumed, and tells nobody of."""
    save(database, run, found := anomaly(account))
    assert tell(database, run) == {found.id}
    close(database, run, status, stopped_by)
    assert tell(database, open_run(database, "later")) == set()
    save(database, run, second := anomaly(account, start_date=date(2026, 3, 8)))
    assert tell(database, open_run(database, "latest")) == {second.id}


def test_a_run_of_another_job_tells_nothing_of_this_one(
    database: PostgresDatabase, run: Run, account: Account
) -> None:
    """Only the job that found the anomalies has incidents."""
    save(database, run, found := anomaly(account))
    with database.transaction() as tx:
        request = replace(CollectOptions().to_request(), job=DISCOVER)
        other = tx.runs.open("other", request, now=NOW, version="1")
    assert tell(database, other) == set()
    assert tell(database, open_run(database, "later")) == {found.id}


@pytest.mark.parametrize(("status", "stopped_by"), ENDS[:3])
def test_a_run_that_a_process_works_on_tells_by_itself(
    database: PostgresDatabase, run: Run, account: Account, status: RunStatus, stopped_by: StopReason | None
) -> None:
    """If its last process dies, the next run does, however many other runs have told of theirs meanwhile."""
    save(database, run, found := anomaly(account))
    claim(database, run)
    # One of its processes was stopped, another one works on.
    close(database, run, status, stopped_by)
    manual = open_run(database, "manual")
    assert tell(database, manual) == set()
    close(database, manual, RunStatus.COMPLETED)
    with database.transaction() as tx:
        tx.items.release("worker")
    close(database, run, status, stopped_by)
    assert tell(database, open_run(database, "later")) == {found.id}


def test_a_run_whose_claims_have_lapsed_does_not_tell_by_itself(
    database: PostgresDatabase, run: Run, account: Account
) -> None:
    """Its process is gone, also if no other one takes its accounts over."""
    save(database, run, found := anomaly(account))
    claim(database, run, lease=-timedelta(seconds=1))
    assert tell(database, open_run(database, "later")) == {found.id}


def test_what_is_found_again_is_told_again(database: PostgresDatabase, run: Run, account: Account) -> None:
    """It was gone; what is only updated is no news."""
    first = anomaly(account)
    save(database, run, first)
    tell(database, run)
    save(database, run, replace(first, revision=2))
    assert tell(database, run) == set()
    save(database, run, replace(first, state=AnomalyState.RESOLVED, resolution=Resolution.RESTATED))
    assert tell(database, run) == set()
    save(database, run, first)
    assert tell(database, run) == {first.id}


def test_telling_does_not_wait_for_an_anomaly_that_is_being_saved(
    database: PostgresDatabase, run: Run, account: Account
) -> None:
    """Two processes that each wait for the other would lose a run's end; to tell again is harmless."""
    save(database, run, found := anomaly(account))
    with database.connection() as other:
        other.exec_driver_sql("SELECT FROM anomalies FOR UPDATE")
        assert tell(database, run) == {found.id}
    assert tell(database, run) == {found.id}
    assert tell(database, run) == set()


def test_the_largest_impact_comes_first(database: PostgresDatabase, run: Run, account: Account) -> None:
    """A large drop comes before a small spike; other states are left out."""
    small = anomaly(account, expected=Decimal(1), actual=Decimal(3))
    drop = anomaly(account, direction=Direction.DROP, expected=Decimal(90), actual=Decimal(10))
    large = anomaly(account, service="a", expected=Decimal(0), actual=Decimal(100))
    over = anomaly(account, state=AnomalyState.RESOLVED, resolution=Resolution.ENDED)
    save(database, run, small, drop, large, over)
    with database.transaction() as tx:
        assert tx.anomalies.list_matching(OPEN) == [large, drop, small]


def test_only_what_matches_every_filter_is_listed(
    database: PostgresDatabase, run: Run, account: Account
) -> None:
    """Each filter by itself, and several together; an empty one restricts nothing."""
    dollars = anomaly(account, severity=Severity.HIGH)
    euros = anomaly(account, currency="EUR", start_date=date(2026, 2, 1), last_date=date(2026, 2, 2))
    elsewhere = anomaly(add_account(database, 2))
    save(database, run, dollars, euros, elsewhere)

    def listed(**wanted: Any) -> list[Anomaly]:
        with database.transaction() as tx:
            return tx.anomalies.list_matching(AnomalyFilter(**wanted))

    assert listed() == [dollars, euros, elsewhere]
    assert listed(severities=[Severity.HIGH, Severity.MEDIUM]) == [dollars]
    assert listed(currencies=["EUR", "JPY"]) == [euros]
    assert listed(since=date(2026, 2, 2)) == [dollars, euros, elsewhere]
    assert listed(since=date(2026, 2, 3)) == [dollars, elsewhere]
    assert listed(found_since=NOW.date()) == [dollars, euros, elsewhere]
    assert listed(found_since=NOW.date() + timedelta(days=1)) == []
    assert listed(aws_account_ids=[account.aws_account_id], currencies=["USD"]) == [dollars]
    assert listed(aws_account_ids=["000000000009"]) == []


def test_an_anomaly_is_found_by_the_beginning_of_its_id(
    database: PostgresDatabase, run: Run, account: Account
) -> None:
    """As text in lower case; what could be a pattern is not one."""
    ids = [UUID("5e5909ac-76f1-5e23-8efd-07ec10417717"), UUID("5e5909ac-86f1-5e23-8efd-07ec10417717")]
    save(database, run, *(anomaly(account, id=each, service=str(each)) for each in ids))
    with database.transaction() as tx:
        for prefix, found in (("5e5909ac", ids), ("5e5909ac-8", ids[1:]), ("%", []), ("5e5909ab", [])):
            assert [each.id for each in tx.anomalies.find(prefix)] == found


def test_near_are_the_open_ones_and_those_that_end_on_or_after_the_day(
    database: PostgresDatabase, run: Run, account: Account
) -> None:
    """An open one counts however old; a closed one only to its last day; another account's never."""
    old = {"start_date": date(2026, 1, 5), "last_date": date(2026, 1, 6)}
    ended = {"state": AnomalyState.RESOLVED, "resolution": Resolution.ENDED}
    still_open, closed_long_ago = anomaly(account, **old), anomaly(account, **old, **ended)
    closed = anomaly(account, **ended)
    elsewhere = anomaly(add_account(database, 2))
    save(database, run, closed, closed_long_ago, still_open, elsewhere)
    assert near(database, account, date(2026, 3, 8)) == [still_open.id, closed.id]
    assert near(database, account, date(2026, 3, 9)) == [still_open.id]
    assert set(near(database, account, date(2026, 1, 6))) == {still_open.id, closed.id, closed_long_ago.id}


def test_anomalies_are_counted_by_state_and_severity(
    database: PostgresDatabase, run: Run, account: Account
) -> None:
    """What is not there has no count."""
    with database.transaction() as tx:
        assert tx.anomalies.counts() == {}
    save(
        database,
        run,
        anomaly(account, severity=Severity.HIGH),
        anomaly(account, service="a"),
        anomaly(account, service="b", currency="EUR"),
        anomaly(account, state=AnomalyState.RESOLVED, resolution=Resolution.RESTATED),
    )
    with database.transaction() as tx:
        assert tx.anomalies.counts() == {
            ("open", "high", "USD"): 1,
            ("open", "low", "USD"): 1,
            ("open", "low", "EUR"): 1,
            ("resolved", "low", "USD"): 1,
        }


@pytest.mark.parametrize("status", [AccountStatus.PAUSED, AccountStatus.REMOVED])
def test_anomalies_that_no_run_can_end_are_not_counted(
    database: PostgresDatabase, run: Run, account: Account, status: AccountStatus
) -> None:
    """The alert on open anomalies would never end; they are listed all the same."""
    found = anomaly(account)
    save(database, run, found)
    with database.transaction() as tx:
        tx.accounts.set_status(account, status, now=NOW)
        assert tx.anomalies.counts() == {}
        assert tx.anomalies.counts([account.aws_account_id]) == {}
        assert tx.anomalies.list_matching(replace(OPEN, active=True)) == []
        assert [each.id for each in tx.anomalies.list_matching(OPEN)] == [found.id]


def test_one_series_has_one_open_anomaly_for_a_start(
    database: PostgresDatabase, run: Run, account: Account
) -> None:
    """A second one under another id would be reported twice; a resolved one is no obstacle."""
    save(database, run, anomaly(account, state=AnomalyState.RESOLVED, resolution=Resolution.RESTATED))
    save(database, run, anomaly(account))
    save(database, run, anomaly(account, service="Amazon S3"))
    with pytest.raises(StatementRefused, match="uq_anomalies_open"):
        save(database, run, anomaly(account))


THEIRS = AwsAnomaly(
    id="a-1",
    read_by=account_id(1),
    monitor_arn="arn",
    dimension_value="Amazon S3",
    start_date=date(2026, 3, 7),
    last_date=None,
    score=Decimal("0.95"),
    impact=Decimal("12.340000000000003"),
    expected=None,
    actual=Decimal(100),
    feedback=Feedback.YES,
    root_causes=(AwsRootCause(region="eu-west-1", impact=Decimal("1E-7")), AwsRootCause(service="S3")),
)


def test_what_aws_found_reads_back_exactly_and_is_written_if_it_differs(
    database: PostgresDatabase, account: Account, query: Query
) -> None:
    """What AWS no longer says, feedback and causes, stays; a repeated import writes nothing."""
    days = DateRange(date(2026, 3, 9), date(2026, 3, 10))

    def save(found: AwsAnomaly, hours: int) -> SavedOpinions:
        with database.transaction() as tx:
            return tx.aws_anomalies.save(account.id, [found], now=NOW + hours * HOUR)

    assert save(THEIRS, 0) == SavedOpinions(added=1)
    with database.transaction() as tx:
        assert tx.aws_anomalies.load(days) == [THEIRS]
        assert tx.aws_anomalies.load(DateRange(date(2026, 3, 6), date(2026, 3, 7))) == []
    written = query("SELECT xmin::text, updated_at FROM aws_anomalies")
    assert save(THEIRS, 1) == SavedOpinions(unchanged=1)
    assert save(replace(THEIRS, feedback=None, root_causes=()), 1) == SavedOpinions(unchanged=1)
    assert query("SELECT xmin::text, updated_at FROM aws_anomalies") == written
    ended = replace(THEIRS, last_date=date(2026, 3, 8), feedback=None, root_causes=THEIRS.root_causes[:1])
    assert save(ended, 2) == SavedOpinions(updated=1)
    with database.transaction() as tx:
        assert tx.aws_anomalies.load(days) == []
        before = DateRange(date(2026, 3, 1), date(2026, 3, 9))
        assert tx.aws_anomalies.load(before) == [replace(ended, feedback=Feedback.YES)]
    with database.transaction() as tx:
        tx.aws_anomalies.save(account.id, [replace(THEIRS, id="b")], now=NOW)
    query("UPDATE aws_anomalies SET root_causes = '[7]' WHERE id = 'b'")
    with database.transaction() as tx:
        assert [each.id for each in tx.aws_anomalies.load(before)] == ["a-1"]
    query("DELETE FROM aws_anomalies WHERE id = 'b'")
    assert query("SELECT imported_at, updated_at FROM aws_anomalies") == [(NOW, NOW + 2 * HOUR)]


FOUND = RootCause(
    usage_date=date(2026, 3, 8),
    ordinary_date=date(2026, 3, 1),
    causes=(
        Cause("eu-west-1", "EUW1-BoxUsage:m5.large", Decimal("0.1234567890123456789"), Decimal("90.10")),
        Cause("NoRegion", "Odd \\ 'type'", Decimal(0), Decimal("1E-7")),
    ),
)


def test_a_root_cause_is_asked_for_until_it_is_known(
    database: PostgresDatabase, run: Run, account: Account, query: Query
) -> None:
    """By one process at a time, again after a pause, and so often at most; it goes with its anomaly."""
    one, other = anomaly(account), anomaly(account, service="Amazon S3")
    save(database, run, one, other)

    def claim(hours: int, which: Anomaly = one) -> bool:
        with database.transaction() as tx:
            now = NOW + hours * HOUR
            return tx.causes.claim(which.id, now=now, pause=HOUR, most_attempts=2)

    assert [claim(0), claim(0), claim(0, other)] == [True, False, True]
    for is_new in (True, False):
        with database.transaction() as tx:
            assert tx.causes.save(one.id, None, problem="The cap is reached.", attempts=0) is is_new
    assert query("SELECT attempts FROM anomaly_causes ORDER BY attempts") == [(0,), (1,)]
    with database.transaction() as tx:
        assert tx.causes.cut_short([one.id, other.id]) == {one.id: CutShort(1, NOW)}
    assert claim(1)
    for is_new in (True, False):
        with database.transaction() as tx:
            assert tx.causes.save(one.id, None, problem="AWS refused.") is is_new
            assert tx.causes.save(other.id, FOUND) is is_new
    assert [claim(2), claim(3), claim(3, other)] == [True, False, False]
    with database.transaction() as tx:
        assert tx.causes.find(one.id) is None
        assert tx.causes.find(other.id) == FOUND
        assert tx.causes.settled([one.id, other.id], most_attempts=3) == {other.id}
        assert tx.causes.settled([one.id, other.id], most_attempts=2) == {one.id, other.id}
    query("UPDATE anomaly_causes SET causes = '[{}]' WHERE usage_date IS NOT NULL")
    with database.transaction() as tx:
        assert tx.causes.find(other.id) is None
    query("DELETE FROM anomalies")
    assert query("SELECT * FROM anomaly_causes") == []
