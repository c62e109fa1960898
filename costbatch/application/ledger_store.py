"""The port of the ledger of restatements, a file of its own because there are many ports."""

from collections.abc import Collection
from datetime import date
from typing import Protocol

from costbatch.domain.accounts import Account
from costbatch.domain.arrival import DayArrival
from costbatch.domain.detection import Rule
from costbatch.domain.ledger import AccountHistory, ChangeQuery, CostChange, StoredCost
from costbatch.domain.periods import DateRange


class LedgerStore(Protocol):
    """What each night changed of the daily costs. Read only: ``CostStore.replace_windows`` writes it."""

    def costs_as_of(
        self, night: date, days: DateRange, *, aws_account_ids: Collection[str] = ()
    ) -> list[StoredCost]:
        """Return the daily costs as they were after the runs of a UTC day, by account and key.

        A resumed run that saved after a later one counts as late as that one.
        """

    def changes(self, query: ChangeQuery) -> list[CostChange]:
        """Return what nights changed: the newest night first, within a currency the largest change."""

    def arrivals(
        self, days: DateRange, rule: Rule, *, aws_account_ids: Collection[str] = ()
    ) -> list[DayArrival]:
        """Return what mornings saw of the comparable cost of each day and service that has cost now.

        An account's days before its first costs were stored are left out: no morning saw them.
        """

    def history(self, account: Account, rule: Rule) -> AccountHistory:
        """Return how the account's stored costs became what they are, in comparable amounts."""
