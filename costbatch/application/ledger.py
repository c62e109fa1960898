"""What the ledger of restatements tells: changes, the costs of an earlier morning, and how a day arrives."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from costbatch.application.ports import Database
from costbatch.application.selection import check_registered
from costbatch.domain.arrival import Arrival, arrivals_by_service, learned_days
from costbatch.domain.detection import Rule
from costbatch.domain.ledger import ChangeQuery, CostChange, StoredCost
from costbatch.domain.periods import DateRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Reads the ledger; writes nothing.

    Raises:
        ConfigError: the schema does not fit, or an account is not registered.
        StorageError: the database is unreachable.

    """

    database: Database
    rule: Rule

    def changes(self, query: ChangeQuery) -> list[CostChange]:
        """Return what nights changed: the newest night first, within a currency the largest change."""
        self.database.check_schema()
        with self.database.transaction() as tx:
            check_registered(tx, query.aws_account_ids)
            return tx.ledger.changes(query)

    def costs_as_of(
        self, night: date, days: DateRange, aws_account_ids: Sequence[str] = ()
    ) -> list[StoredCost]:
        """Return the daily costs as they were after the runs of a UTC day."""
        self.database.check_schema()
        with self.database.transaction() as tx:
            check_registered(tx, aws_account_ids)
            return tx.ledger.costs_as_of(night, days, aws_account_ids=aws_account_ids)

    def arrivals(
        self, today: date, aws_account_ids: Sequence[str] = (), services: Sequence[str] = ()
    ) -> dict[tuple[str, str | None, str], Arrival]:
        """Return how much of a day has arrived when, by account, service (None: all) and currency."""
        self.database.check_schema()
        with self.database.transaction() as tx:
            check_registered(tx, aws_account_ids)
            days = tx.ledger.arrivals(learned_days(today), self.rule, aws_account_ids=aws_account_ids)
        curves = arrivals_by_service(days)
        return {key: curve for key, curve in curves.items() if not services or key[1] in services}
