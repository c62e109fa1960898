"""Fakes for a run: its store, its claims, the clock, the cost source and the progress bar."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event as Signal
from threading import Lock
from uuid import UUID, uuid4

from costbatch.domain.accounts import Account, AccountStatus
from costbatch.domain.costs import NO_DIGESTS, DayDigests, FetchedCosts, Spend
from costbatch.domain.credentials import Access
from costbatch.domain.periods import DateRange, utc_day
from costbatch.domain.runs import (
    Claim,
    Collection,
    CollectionState,
    Ending,
    Run,
    RunCounts,
    RunRequest,
    RunStatus,
    SkipReason,
    StopReason,
)
from tests.support.factories import make_fetched, tally_of
from tests.support.fakes import FakeAccounts


@dataclass(frozen=True)
class Listed:
    """One account of a run: how far it is, and who has it."""

    account_id: int
    collection: Collection
    worker: str | None = None
    token: UUID | None = None
    retry_after: timedelta | None = None
    failed_by: str | None = None


@dataclass
class FakeRuns:
    """The runs by key, and the one list of accounts that a test needs."""

    rows: dict[str, Run] = field(default_factory=dict)
    listed: dict[int, Listed] = field(default_factory=dict)
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    last: dict[int, tuple[int, int]] = field(default_factory=dict)

    def copy(self, accounts: FakeAccounts) -> "FakeRuns":
        """Return what a transaction works on."""
        return FakeRuns(dict(self.rows), dict(self.listed), accounts, dict(self.last))

    def open(self, key: str, request: RunRequest, *, now: datetime, version: str) -> Run:
        """Start a run, or join the one with this key; a finished one with accounts left runs again."""
        if key not in self.rows:
            self.listed.clear()
            self.rows[key] = Run(
                id=uuid4(),
                key=key,
                request=request,
                status=RunStatus.RUNNING,
                today=utc_day(now),
                started_at=now,
            )
        if any(each.collection.state is CollectionState.PENDING for each in self.listed.values()):
            self.rows[key] = replace(self.rows[key], status=RunStatus.RUNNING)
        return self.rows[key]

    def find(self, key: str) -> Run | None:
        """Return the run with this key."""
        return self.rows.get(key)

    def enlist(self, run: Run) -> int:
        """Put every active account of the request on the list; return how many are to be done."""
        wanted = run.request.aws_account_ids
        for account in self.accounts.list_all([AccountStatus.ACTIVE]):
            if not wanted or account.aws_account_id in wanted:
                collection = Collection(
                    aws_account_id=account.aws_account_id, name=account.name, state=CollectionState.PENDING
                )
                self.listed.setdefault(account.id, Listed(account.id, collection))
        return sum(each.collection.state is CollectionState.PENDING for each in self.listed.values())

    def requeue(self, run: Run, is_dead: Callable[[str], bool] | None = None) -> int:
        """Put what failed or was left out, by a dead worker if that matters, back on the list."""
        undone = {CollectionState.FAILED, CollectionState.SKIPPED}
        rows = [
            row
            for row, each in self.listed.items()
            if each.collection.state in undone
            and (is_dead is None or (each.failed_by is not None and is_dead(each.failed_by)))
        ]
        for row in rows:
            known, pending = self.listed[row].collection, CollectionState.PENDING
            self.listed[row] = Listed(row, replace(known, state=pending, attempts=0, skip_reason=None))
        return len(rows)

    def hold(self, run: Run) -> set[CollectionState]:
        """Return the states that the accounts are in."""
        return {each.collection.state for each in self.listed.values()}

    def api_requests(self, run: Run) -> int:
        """Return the paid requests recorded so far."""
        return sum(each.collection.api_requests for each in self.listed.values())

    def last_requests(self) -> dict[int, tuple[int, int]]:
        """Return (paid requests, days) of each account's newest collection."""
        return self.last

    def close(
        self, run: Run, status: RunStatus, *, now: datetime, stopped_by: StopReason | None = None
    ) -> bool:
        """Set the status; return whether this call changed it."""
        changed = self.rows[run.key].status is not status
        ended = replace(self.rows[run.key], status=status, finished_at=now, stopped_by=stopped_by)
        self.rows[run.key] = ended
        return changed

    def load(self, run: Run) -> Run:
        """Return the run as it is now."""
        return self.rows[run.key]

    def counts(self, run: Run) -> RunCounts:
        """Return the accounts of the run in numbers."""
        return tally_of(self.collections(run))

    def collections(self, run: Run, *, collected_too: bool = True) -> list[Collection]:
        """Return every account of the run with its outcome, or those not collected."""
        listed = [each.collection for each in self.listed.values()]
        return [each for each in listed if collected_too or each.state is not CollectionState.COLLECTED]


@dataclass
class FakeClaims:
    """The claims on the listed accounts; a pause before a retry is noted and not waited for."""

    runs: FakeRuns = field(default_factory=FakeRuns)
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    answers: dict[int, DayDigests] = field(default_factory=dict)
    gives_ahead: bool = False

    def claim(self, run: Run, *, worker: str, most: int, lease: timedelta, ahead: int = 0) -> list[Claim]:
        """Take up to so many accounts that nobody is working on, first attempts first."""
        free = [
            each for each in self.runs.listed.values() if each.collection.state is CollectionState.PENDING
        ]
        free.sort(key=lambda each: each.collection.attempts)
        claims = []
        for each in free[: most + (ahead if self.gives_ahead else 0)]:
            token = uuid4()
            state = replace(each.collection, state=CollectionState.COLLECTING)
            self._put(replace(each, collection=state, worker=worker, token=token))
            claims.append(
                Claim(
                    collection_id=each.account_id,
                    run_id=run.id,
                    account=self.accounts.rows[each.account_id],
                    attempt=each.collection.attempts + 1,
                    token=token,
                )
            )
        return claims

    def extend_leases(self, claims: Sequence[Claim], lease: timedelta) -> None:
        """Note that the claims live on, in the accounts' list."""
        LEASES.extend(claim.account.id for claim in claims)

    def release_claims(self, worker: str) -> int:
        """Give this worker's unfinished accounts back."""
        return self._release(lambda each: each.worker == worker)

    def release_dead_claims(self, is_gone: Callable[[str], bool]) -> list[tuple[UUID, str]]:
        """Give back what workers known to be gone held, as of the one run that there is."""
        held = {each.worker for each in self.runs.listed.values() if each.worker is not None}
        gone = {worker for worker in held if is_gone(worker)}
        self._release(lambda each: each.worker in gone)
        return [(run.id, worker) for run in self.runs.rows.values() for worker in gone]

    def seconds_until_work(self, run: Run) -> float | None:
        """Return 0 while any account has no outcome yet."""
        unfinished = {CollectionState.PENDING, CollectionState.COLLECTING}
        states = {each.collection.state for each in self.runs.listed.values()}
        return 0.0 if states & unfinished else None

    def hold(self, claims: Sequence[Claim]) -> dict[int, Account]:
        """Return each account as it is now, by collection, while the claim is ours."""
        return {
            claim.collection_id: self.accounts.rows[claim.account.id]
            for claim in claims
            if self.runs.listed[claim.collection_id].token == claim.token
        }

    def finish(self, endings: Sequence[Ending], *, now: datetime) -> None:
        """Record how attempts ended, and what AWS answered."""
        for ending in endings:
            if ending.answers is not None:
                self.answers[ending.claim.account.id] = ending.answers
            elif ending.state is CollectionState.COLLECTED:
                self.answers.pop(ending.claim.account.id, None)
            listed = self.runs.listed[ending.claim.collection_id]
            known = listed.collection
            collection = replace(
                known,
                state=ending.state,
                attempts=known.attempts + 1,
                api_requests=known.api_requests + ending.api_requests,
                unanswered=known.unanswered + ending.unanswered,
                days_kept=ending.days_kept,
                window=ending.window or known.window,
                rows_fetched=known.rows_fetched if ending.rows_fetched is None else ending.rows_fetched,
                change=ending.change or known.change,
                failure=known.failure if ending.state is CollectionState.SKIPPED else ending.failure,
                skip_reason=ending.skip_reason or known.skip_reason,
            )
            self._put(
                Listed(
                    listed.account_id,
                    collection,
                    retry_after=ending.retry_after,
                    failed_by=listed.worker,
                )
            )

    def skip_pending(self, run: Run, reason: SkipReason, *, now: datetime) -> int:
        """Record that every account not begun is left out."""
        pending = [
            each for each in self.runs.listed.values() if each.collection.state is CollectionState.PENDING
        ]
        for each in pending:
            skipped = replace(each.collection, state=CollectionState.SKIPPED, skip_reason=reason)
            self._put(replace(each, collection=skipped))
        return len(pending)

    def _put(self, listed: Listed) -> None:
        self.runs.listed[listed.account_id] = listed

    def _release(self, is_meant: Callable[[Listed], bool]) -> int:
        held = [each for each in self.runs.listed.values() if each.token is not None and is_meant(each)]
        for each in held:
            pending = replace(each.collection, state=CollectionState.PENDING)
            self._put(replace(each, collection=pending, worker=None, token=None))
        return len(held)


# Extended leases by account row, over all transactions; a test that looks at it empties it first.
LEASES: list[int] = []


@dataclass
class FakeSource:
    """Answers each account with the next of its answers, the last one again and again; each is one request.

    ``gate`` closed: every fetch waits, as in a request that hangs. ``known``: what it was given, by account.
    """

    answers: Mapping[int, Sequence[Exception | None]] = field(default_factory=dict)
    gate: Signal = field(default_factory=Signal)
    fetched: list[tuple[int, DateRange]] = field(default_factory=list)
    known: dict[int, list[DayDigests]] = field(default_factory=dict)
    on_fetch: Callable[[], None] = lambda: None
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.gate.set()

    def fetch(
        self,
        access: Access,
        window: DateRange,
        spend: Spend,
        known: DayDigests = NO_DIGESTS,
    ) -> FetchedCosts:
        """Pay for one request and answer with an empty window, or raise what is next."""
        spend()
        spend.charged()
        with self._lock:
            answers = self.answers.get(access.account.id, [None])
            turn = sum(account == access.account.id for account, _ in self.fetched)
            self.fetched.append((access.account.id, window))
            self.known.setdefault(access.account.id, []).append(known)
        self.on_fetch()
        self.gate.wait(10)
        error = answers[min(turn, len(answers) - 1)]
        if error is not None:
            raise error
        return make_fetched(window)


@dataclass
class FakeProgress:
    """Notes what a person would have seen."""

    total: int | None = None
    outcomes: list[tuple[str, int]] = field(default_factory=list)
    ended: int = 0

    def begin(self, total: int) -> None:
        """Note how many there are to do."""
        self.total = total

    def advance(self, outcome: str, account: Account) -> None:
        """Note one account's outcome."""
        self.outcomes.append((outcome, account.id))

    def end(self) -> None:
        """Note that the display is gone."""
        self.ended += 1
