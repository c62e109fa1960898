"""The runs and work items of the database in memory, and the cost source and display of a test."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import reduce
from threading import Event as Signal
from threading import Lock
from uuid import UUID, uuid4

from typing_extensions import override

from costbatch.application.jobs.ports import ItemStore, RunStore
from costbatch.application.ports import CollectionStore, Display, Spend
from costbatch.application.sources import CostSource
from costbatch.domain.accounts import NO_PROGRESS, Account, AccountStatus, Progress
from costbatch.domain.collection import CollectionCounts, CollectionRecord
from costbatch.domain.costs import (
    NO_DIGESTS,
    DayDigests,
    FetchedCosts,
    StoredChange,
)
from costbatch.domain.credentials import Access
from costbatch.domain.periods import DateRange, utc_day
from costbatch.domain.runs import (
    SUSPECT_TAKEOVERS,
    UNFINISHED,
    ItemRecord,
    ItemState,
    Outcome,
    Run,
    RunCounts,
    RunRequest,
    RunStatus,
    SkipReason,
    StopReason,
    WorkItem,
)
from tests.support.factories import CostRow, make_fetched
from tests.support.fakes import FakeAccounts, FakeProgress

_UNDONE = {ItemState.FAILED, ItemState.SKIPPED}


@dataclass(frozen=True)
class Listed:
    """One account of a run: its record, and which worker has it."""

    account_id: int
    record: ItemRecord
    worker: str | None = None
    token: UUID | None = None
    retry_after: timedelta | None = None
    failed_by: str | None = None
    takeovers: int = 0


@dataclass
class FakeRuns(RunStore):
    """The runs by key."""

    items: "FakeItems"
    rows: dict[str, Run] = field(default_factory=dict)

    @override
    def open(self, key: str, request: RunRequest, *, now: datetime, version: str) -> Run:
        if key not in self.rows:
            self.items.listed.clear()
            self.rows[key] = Run(
                id=uuid4(),
                key=key,
                request=request,
                status=RunStatus.RUNNING,
                today=utc_day(now),
                started_at=now,
            )
        self.rows[key].check_request(request)
        return self.rows[key]

    @override
    def find(self, job: str, key: str) -> Run | None:
        return self.rows.get(key)

    @override
    def lock(self, run: Run) -> None:
        pass

    @override
    def resume(self, run: Run) -> Run:
        if self.items.states(run) & UNFINISHED:
            running = {"status": RunStatus.RUNNING, "finished_at": None, "stopped_by": None}
            self.rows[run.key] = replace(self.rows[run.key], **running)  # type: ignore[arg-type]
        return self.rows[run.key]

    @override
    def close(
        self, run: Run, status: RunStatus, *, now: datetime, stopped_by: StopReason | None = None
    ) -> bool:
        changed = self.rows[run.key].status is not status
        ended = replace(self.rows[run.key], status=status, finished_at=now, stopped_by=stopped_by)
        self.rows[run.key] = ended
        return changed

    @override
    def load(self, run: Run) -> Run:
        return self.rows[run.key]


@dataclass
class FakeItems(ItemStore):
    """The items of the newest run; a pause before a retry is noted and not waited for."""

    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    progress: FakeProgress = field(default_factory=FakeProgress)
    listed: dict[int, Listed] = field(default_factory=dict)
    run_ids: list[UUID] = field(default_factory=list)
    gives_ahead: bool = False

    def copy(self, accounts: FakeAccounts, progress: FakeProgress) -> "FakeItems":
        """Return what a transaction works on."""
        return FakeItems(accounts, progress, dict(self.listed), list(self.run_ids), self.gives_ahead)

    @override
    def enlist(self, run: Run) -> int:
        self.run_ids = [run.id]
        wanted = run.request.aws_account_ids
        for account in self.accounts.list_all([AccountStatus.ACTIVE]):
            if not wanted or account.aws_account_id in wanted:
                record = ItemRecord(
                    id=account.id,
                    aws_account_id=account.aws_account_id,
                    name=account.name,
                    state=ItemState.PENDING,
                )
                self.listed.setdefault(account.id, Listed(account.id, record))
        return sum(each.record.state in UNFINISHED for each in self.listed.values())

    @override
    def has_running(self, run: Run) -> bool:
        return ItemState.RUNNING in self.states(run)

    @override
    def requeue(self, run: Run, is_dead: Callable[[str], bool] | None = None) -> int:
        rows = [
            row
            for row, each in self.listed.items()
            if each.record.state in _UNDONE
            and (is_dead is None or (each.failed_by is not None and is_dead(each.failed_by)))
        ]
        for row in rows:
            pending = replace(self.listed[row].record, state=ItemState.PENDING, attempts=0, skip_reason=None)
            self.listed[row] = Listed(row, pending)
        return len(rows)

    @override
    def claim(
        self, run: Run, *, worker: str, most: int, lease: timedelta, ahead: int = 0, suspects: bool = False
    ) -> list[WorkItem]:
        pending = [each for each in self._pending() if self._is_active(each)]
        free = [each for each in pending if (each.takeovers >= SUSPECT_TAKEOVERS) == suspects]
        free.sort(key=lambda each: (each.takeovers, each.record.attempts))
        items = []
        for each in free[: most + (ahead if self.gives_ahead else 0)]:
            token = uuid4()
            record = replace(each.record, state=ItemState.RUNNING)
            self._put(replace(each, record=record, worker=worker, token=token))
            items.append(self._item(each, run.id, token))
        return items

    @override
    def extend_leases(self, items: Sequence[WorkItem], lease: timedelta) -> None:
        LEASES.extend(item.account.id for item in items)

    @override
    def release(self, worker: str) -> int:
        return self._release(lambda each: each.worker == worker, died=False)

    @override
    def release_dead(self, is_gone: Callable[[str], bool]) -> list[tuple[UUID, str]]:
        held = {each.worker for each in self.listed.values() if each.worker is not None}
        gone = {worker for worker in held if is_gone(worker)}
        self._release(lambda each: each.worker in gone, died=True)
        return [(run_id, worker) for run_id in self.run_ids for worker in gone]

    @override
    def seconds_until_work(self, run: Run) -> float | None:
        return 0.0 if self.states(run) & UNFINISHED else None

    @override
    def lock(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        ours = [item for item in items if self.listed[item.id].token == item.token]
        return [
            replace(item, account=self.accounts.rows[item.id], progress=self._progress(item.id))
            for item in ours
        ]

    @override
    def finish(self, outcomes: Sequence[Outcome], *, now: datetime) -> None:
        for outcome in outcomes:
            listed = self.listed[outcome.item.id]
            known = listed.record
            record = replace(
                known,
                state=outcome.state,
                attempts=known.attempts + 1,
                api_requests=known.api_requests + outcome.api_requests,
                unanswered=known.unanswered + outcome.unanswered,
                failure=known.failure if outcome.state is ItemState.SKIPPED else outcome.failure,
                skip_reason=outcome.skip_reason or known.skip_reason,
            )
            self._put(
                Listed(
                    listed.account_id,
                    record,
                    retry_after=outcome.retry_after,
                    failed_by=listed.worker if outcome.state in _UNDONE else None,
                    takeovers=listed.takeovers,
                )
            )

    @override
    def skip_pending(self, run: Run, reason: SkipReason, *, now: datetime) -> int:
        return self._skip(self._pending(), reason)

    @override
    def skip_inactive(self, run: Run, *, now: datetime) -> int:
        return self._skip(
            [each for each in self._pending() if not self._is_active(each)], SkipReason.NOT_ACTIVE
        )

    @override
    def states(self, run: Run) -> set[ItemState]:
        records = [each.record for each in self.listed.values()]
        return {each.state for each in records if each.skip_reason is not SkipReason.NOT_ACTIVE}

    @override
    def counts(self, run: Run) -> RunCounts:
        return counts_of(self.records(run))

    @override
    def records(
        self, run: Run, *, succeeded_too: bool = True, also: Collection[int] = ()
    ) -> list[ItemRecord]:
        listed = [each.record for each in self.listed.values()]
        return [
            each
            for each in listed
            if succeeded_too or each.state is not ItemState.SUCCEEDED or each.id in also
        ]

    @override
    def listed_of(self, run: Run, account_ids: Collection[int]) -> set[int]:
        return self.listed.keys() & set(account_ids)

    @override
    def add_requests(self, run: Run, account_id: int, requests: int, *, unanswered: int) -> None:
        self._add_requests(account_id, requests, unanswered)

    @override
    def add_lost_requests(self, item: WorkItem, requests: int, *, unanswered: int) -> None:
        if self.listed[item.id].takeovers > item.takeovers:
            self._add_requests(item.id, requests, unanswered)

    @override
    def api_requests(self, run: Run) -> int:
        return sum(each.record.api_requests for each in self.listed.values())

    def _item(self, listed: Listed, run_id: UUID, token: UUID) -> WorkItem:
        row = listed.account_id
        return WorkItem(
            id=row,
            run_id=run_id,
            account=self.accounts.rows[row],
            progress=self._progress(row),
            attempt=listed.record.attempts + 1,
            token=token,
            takeovers=listed.takeovers,
            left_by=listed.failed_by,
        )

    def _pending(self) -> list[Listed]:
        return [each for each in self.listed.values() if each.record.state is ItemState.PENDING]

    def _is_active(self, listed: Listed) -> bool:
        return self.accounts.rows[listed.account_id].status is AccountStatus.ACTIVE

    def _skip(self, listed: Sequence[Listed], reason: SkipReason) -> int:
        for each in listed:
            record = replace(each.record, state=ItemState.SKIPPED, skip_reason=reason)
            self._put(replace(each, record=record, failed_by=None))
        return len(listed)

    def _add_requests(self, row: int, requests: int, unanswered: int) -> None:
        record = self.listed[row].record
        requests, unanswered = record.api_requests + requests, record.unanswered + unanswered
        record = replace(record, api_requests=requests, unanswered=unanswered)
        self.listed[row] = replace(self.listed[row], record=record)

    def _progress(self, row: int) -> Progress:
        return self.progress.rows.get(row, NO_PROGRESS)

    def _put(self, listed: Listed) -> None:
        self.listed[listed.account_id] = listed

    def _release(self, is_meant: Callable[[Listed], bool], *, died: bool) -> int:
        claimed = [each for each in self.listed.values() if each.token is not None and is_meant(each)]
        for each in claimed:
            left = replace(
                each, record=replace(each.record, state=ItemState.PENDING), worker=None, token=None
            )
            if died:
                left = replace(left, takeovers=each.takeovers + 1, failed_by=each.worker)
            self._put(left)
        return len(claimed)


@dataclass
class FakeCollections(CollectionStore):
    """The cost job's records of the newest run, by item."""

    rows: dict[int, CollectionRecord] = field(default_factory=dict)
    last: dict[int, tuple[int, int]] = field(default_factory=dict)
    first: dict[int, tuple[int, int]] = field(default_factory=dict)

    def copy(self) -> "FakeCollections":
        """Return what a transaction works on."""
        return FakeCollections(dict(self.rows), dict(self.last), dict(self.first))

    @override
    def save(self, records: Mapping[int, CollectionRecord]) -> None:
        self.rows |= records

    @override
    def of_run(self, run: Run, *, kept_only: bool = False) -> dict[int, CollectionRecord]:
        return {row: each for row, each in self.rows.items() if each.days_kept or not kept_only}

    @override
    def counts(self, run: Run) -> CollectionCounts:
        changes = [each.change for each in self.rows.values()]
        windows = [each.window for each in self.rows.values()]
        return CollectionCounts(
            rows_fetched=sum(each.rows_fetched for each in self.rows.values()),
            change=StoredChange(
                inserted=sum(each.inserted for each in changes),
                updated=sum(each.updated for each in changes),
                deleted=sum(each.deleted for each in changes),
            ),
            days_kept=sum(each.days_kept for each in self.rows.values()),
            days_read=reduce(DateRange.join, windows) if windows else None,
        )

    @override
    def last_requests(self) -> dict[int, tuple[int, int]]:
        return self.last

    @override
    def first_requests(self) -> dict[int, tuple[int, int]]:
        return self.first or self.last


def counts_of(records: Sequence[ItemRecord]) -> RunCounts:
    """Count accounts one by one."""
    failures = [each.failure for each in records if each.state is ItemState.FAILED]
    return RunCounts(
        accounts=Counter(each.state for each in records),
        failures=Counter(failure.kind for failure in failures if failure),
        skips=Counter(each.skip_reason for each in records if each.skip_reason),
        api_requests=sum(each.api_requests for each in records),
        unanswered=sum(each.unanswered for each in records),
    )


# Extended leases by account row, over all transactions; a test that looks at it empties it first.
LEASES: list[int] = []


@dataclass
class FakeSource(CostSource):
    """Answers each account with the next of its answers, the last one again and again; each is one request.

    ``gate`` closed: every fetch waits, as in a request that hangs. ``previous``: the digests given to it.
    ``first``: the accounts that were fetched as never collected. ``rows``: what they cost, if anything.
    """

    answers: Mapping[int, Sequence[Exception | None]] = field(default_factory=dict)
    gate: Signal = field(default_factory=Signal)
    fetched: list[tuple[int, DateRange]] = field(default_factory=list)
    previous: dict[int, list[DayDigests]] = field(default_factory=dict)
    first: set[int] = field(default_factory=set)
    rows: dict[int, Sequence[CostRow]] = field(default_factory=dict)
    on_fetch: Callable[[], None] = lambda: None
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.gate.set()

    @override
    def fetch(
        self,
        access: Access,
        window: DateRange,
        spend: Spend,
        previous: DayDigests = NO_DIGESTS,
        *,
        may_be_shorter: bool = False,
    ) -> FetchedCosts:
        spend()
        with self._lock:
            answers = self.answers.get(access.account.id, [None])
            turn = sum(account == access.account.id for account, _ in self.fetched)
            self.fetched.append((access.account.id, window))
            self.previous.setdefault(access.account.id, []).append(previous)
            if may_be_shorter:
                self.first.add(access.account.id)
        self.on_fetch()
        self.gate.wait(10)
        error = answers[min(turn, len(answers) - 1)]
        if error is not None:
            raise error
        spend.charged()
        rows = self.rows.get(access.account.id, ())
        return make_fetched(window, *(row for row in rows if row.usage_date in window))


@dataclass
class FakeDisplay(Display):
    """Notes what a person would have seen."""

    total: int | None = None
    outcomes: list[tuple[str, int]] = field(default_factory=list)
    ended: int = 0

    @override
    def begin(self, total: int) -> None:
        self.total = total

    @override
    def advance(self, outcome: str, account: Account) -> None:
        self.outcomes.append((outcome, account.id))

    @override
    def end(self) -> None:
        self.ended += 1
