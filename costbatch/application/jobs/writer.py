"""The one writer: settles accounts that came back, several in one transaction, each as if it were alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from costbatch.application.collect.job import Settlement
from costbatch.application.jobs.pool import Landing
from costbatch.application.jobs.retry import in_transaction
from costbatch.application.ports import Clock, Progress
from costbatch.application.stores import Database
from costbatch.domain.costs import FetchedCosts
from costbatch.domain.runs import CollectionState, Ending, Failure
from costbatch.errors import CostbatchError, ErrorKind, StatementRefused, StorageError
from costbatch.logs import get_logger

log = get_logger(__name__)

# A transaction of so many accounts costs the server little more than half of what each costs alone; more
# gain nothing. A first collection can have a hundred times the rows of an ordinary one: those go apart.
_MOST_TOGETHER = 20
_MOST_ROWS_TOGETHER = 30_000


@dataclass(frozen=True, slots=True)
class Written:
    """Accounts that were settled together, and how each ended, by collection."""

    landings: Sequence[Landing]
    endings: Mapping[int, Ending]

    @property
    def api_requests(self) -> int:
        """The paid requests that are in the run's record now."""
        return sum(landing.api_requests for landing in self.landings)

    @property
    def left_out(self) -> int:
        """The accounts that the cap on API cost stopped."""
        return sum(landing.outcome is None for landing in self.landings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes what came back, tells the log and the screen."""

    database: Database
    settlement: Settlement
    clock: Clock
    progress: Progress

    @property
    def most(self) -> int:
        """How many accounts to write together."""
        return _MOST_TOGETHER

    def write(self, landings: Sequence[Landing]) -> Iterator[Written]:
        """Settle every account that came back, in parts; nothing is told of them yet.

        Raises:
            StorageError: the database is lost.

        """
        parts = _parts(landings)
        # Their costs take memory that others wait for, so that nothing here keeps them once they are stored.
        del landings
        while parts:
            together = parts.pop(0)
            yield Written(together, self._settle_or_part(together))

    def tell(self, written: Written) -> None:
        """Tell the log and the screen how each account stands."""
        for landing in written.landings:
            self._tell(landing, written.endings.get(landing.flight.claim.collection_id))

    def _settle_or_part(self, landings: Sequence[Landing]) -> dict[int, Ending]:
        try:
            return self._settle(landings)
        except Exception as error:
            if _is_lost(error):
                raise
            # One of them makes trouble: apart, the others do not notice.
            return {row: ending for landing in landings for row, ending in self._alone(landing).items()}

    def _settle(self, landings: Sequence[Landing]) -> dict[int, Ending]:
        return in_transaction(
            self.database, lambda tx: self.settlement.settle(tx, landings, now=self.clock())
        )

    def _alone(self, landing: Landing) -> dict[int, Ending]:
        """Settle one account; where that fails while the database is there, the account has failed."""
        try:
            return self._settle([landing])
        except Exception as error:
            if _is_lost(error):
                raise
            log.exception("account_not_stored", aws_account_id=landing.flight.claim.account.aws_account_id)
            return self._settle([replace(landing, outcome=_not_stored(error))])

    def _tell(self, landing: Landing, ending: Ending | None) -> None:
        account = landing.flight.claim.account
        if ending is None:
            log.warning("claim_lost", aws_account_id=account.aws_account_id)
            return
        _log_outcome(ending)
        if ending.state is not CollectionState.PENDING:
            self.progress.advance(ending.state.value, account)


def _parts(landings: Sequence[Landing]) -> list[list[Landing]]:
    """Return the landings in parts that are not too large for one transaction."""
    parts: list[list[Landing]] = []
    room = 0
    for landing in landings:
        rows = len(landing.outcome.costs) if isinstance(landing.outcome, FetchedCosts) else 0
        if not parts or rows > room:
            parts.append([])
            room = _MOST_ROWS_TOGETHER
        parts[-1].append(landing)
        room -= rows
    return parts


def _is_lost(error: Exception) -> bool:
    return isinstance(error, StorageError) and not isinstance(error, StatementRefused)


def _not_stored(error: Exception) -> Failure:
    """Return why an account's costs could not be settled; a stranger's error may hold anything."""
    kind = ErrorKind.INTERNAL
    is_ours = isinstance(error, CostbatchError)
    return Failure(kind=kind, message=f"{error} {kind.advice}" if is_ours else kind.advice)


def _log_outcome(ending: Ending) -> None:
    claim, failure = ending.claim, ending.failure
    about = {
        "aws_account_id": claim.account.aws_account_id,
        "state": ending.state.value,
        "attempt": claim.attempt,
        "api_requests": ending.api_requests,
    }
    if failure is not None:
        log.warning("account_failed", **about, kind=failure.kind.value, reason=failure.message)
        return
    log.info("account_finished", **about)
    if ending.days_kept:
        account = claim.account.aws_account_id
        log.warning("stored_days_kept", aws_account_id=account, days=ending.days_kept)
