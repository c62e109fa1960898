"""Claims accounts of a run and readies them for their flight; in a thread of its own while others fly.

A claim waits for the database only, and so would the accounts that land meanwhile if their writer made it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from costbatch.application.collect.plan import window_of
from costbatch.application.jobs.pool import Flight
from costbatch.application.jobs.retry import in_transaction
from costbatch.application.policy import CollectPolicy
from costbatch.application.ports import Clock
from costbatch.application.stores import Database, Transaction
from costbatch.domain.accounts import Account
from costbatch.domain.costs import NO_DIGESTS
from costbatch.domain.credentials import Access
from costbatch.domain.periods import ONE_DAY, DateRange, utc_day
from costbatch.domain.runs import Claim, Failure, Run
from costbatch.errors import ErrorKind, StorageError
from costbatch.logs import get_logger

log = get_logger(__name__)


@dataclass(kw_only=True)
class Claimer:
    """Claims for one process. ``wake`` is called, from the other thread, when a claim has come back."""

    run: Run
    database: Database
    clock: Clock
    policy: CollectPolicy
    worker: str
    wake: Callable[[], None]
    _thread: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1, "claim"))
    _asked: Future[list[Flight]] | None = None

    @property
    def is_asking(self) -> bool:
        """Whether a claim is under way, or has come back and nobody has taken it."""
        return self._asked is not None

    def ask(self, most: int, ahead: int) -> None:
        """Begin to claim up to ``most`` accounts, and while plenty are left ``ahead`` more."""
        self._asked = self._thread.submit(self.claim, most, ahead)
        self._asked.add_done_callback(lambda _: self.wake())

    def take(self) -> list[Flight] | None:
        """Return what the claim under way has brought, once it is back.

        Raises:
            StorageError: the database is lost.

        """
        if self._asked is None or not self._asked.done():
            return None
        flights, self._asked = self._asked.result(), None
        return flights

    def claim(self, most: int, ahead: int) -> list[Flight]:
        """Claim accounts now; as ``ask``, and raises as ``take``."""
        return in_transaction(self.database, lambda tx: self._claim(tx, most, ahead))

    def close(self) -> None:
        """Wait for the claim that is under way: whatever it brings is to be given back."""
        self._thread.shutdown()

    def _claim(self, tx: Transaction, most: int, ahead: int) -> list[Flight]:
        claims = tx.claims.claim(
            self.run, worker=self.worker, most=most, ahead=ahead, lease=self.policy.lease
        )
        if not claims:
            return []
        try:
            return self._ready(tx, claims)
        except Exception as error:
            if isinstance(error, StorageError):
                raise
            # What is stored of one of them cannot be read: apart, the others do not notice.
            return [self._ready_alone(tx, claim) for claim in claims]

    def _ready(self, tx: Transaction, claims: Sequence[Claim]) -> list[Flight]:
        accesses = tx.accounts.load_accesses([claim.account for claim in claims])
        windows = {claim.account.id: self._window(claim.account) for claim in claims}
        request = self.run.request
        # A backfill compares every day with what is stored: it is how a person has that done. So does a run
        # that accepts what vanishes, or it would leave alone the days that were kept.
        known = {} if request.days or request.accept_vanished else tx.answers.load(windows)
        totals = tx.costs.day_totals({row: windows[row] for row in known}, self.policy.rule)
        return [
            Flight(
                claim=claim,
                access=accesses[claim.account.id],
                window=windows[claim.account.id],
                known=known.get(claim.account.id, NO_DIGESTS),
                totals=totals.get(claim.account.id, ()),
            )
            for claim in claims
        ]

    def _ready_alone(self, tx: Transaction, claim: Claim) -> Flight:
        """Ready one account; if that cannot be done, it is to land at once, as failed."""
        try:
            return self._ready(tx, [claim])[0]
        except Exception as error:
            if isinstance(error, StorageError):
                raise
            log.exception("account_not_readable", aws_account_id=claim.account.aws_account_id)
            return Flight(
                claim=claim,
                access=Access(account=claim.account),
                window=DateRange(self.run.today - ONE_DAY, self.run.today),
                known=NO_DIGESTS,
                totals=(),
                problem=Failure(kind=ErrorKind.INTERNAL, message=ErrorKind.INTERNAL.advice),
            )

    def _window(self, account: Account) -> DateRange:
        window = window_of(account, self.run.request, today=self.run.today, policy=self.policy.windows)
        # After midnight a new month may have begun, and AWS has forgotten the oldest one of the run's day.
        start = max(window.start, self.policy.windows.earliest_day_on(utc_day(self.clock())))
        return DateRange(min(start, window.last), window.end_exclusive)
