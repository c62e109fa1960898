"""What the stories need from outside but for what they keep: costs, a vault, sinks, metrics, a screen."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from costbatch.domain.accounts import Account
from costbatch.domain.costs import NO_DIGESTS, DayDigests, FetchedCosts, Spend
from costbatch.domain.credentials import Access, SealedCredentials, StoredSecrets
from costbatch.domain.periods import DateRange
from costbatch.domain.reports import RunReport

Clock = Callable[[], datetime]


class CostSource(Protocol):
    """Where costs come from. Called from many threads; never touches the database."""

    def fetch(
        self,
        access: Access,
        window: DateRange,
        spend: Spend,
        known: DayDigests = NO_DIGESTS,
    ) -> FetchedCosts:
        """Return everything reported of the account in the window: all pages, or an error.

        ``known`` is what was answered the last time, as it is stored. ``spend`` hears of each paid request.

        Raises:
            AccountError: with the kind of failure.
            BudgetSpent: raised by ``spend``.

        """


class Vault(Protocol):
    """Seals secrets, bound to their account, and opens them again."""

    @property
    def key_id(self) -> str:
        """The id of the key that seals now."""

    def seal(self, aws_account_id: str, secrets: StoredSecrets) -> SealedCredentials:
        """Return the secrets sealed for one account; they open for no other."""

    def open(self, aws_account_id: str, sealed: SealedCredentials) -> StoredSecrets:
        """Return what was sealed.

        Raises:
            AccountError: credentials_unreadable.

        """


class Sink(Protocol):
    """Where events go."""

    @property
    def name(self) -> str:
        """The name under which deliveries are recorded."""

    def deliver(self, cloudevent: Mapping[str, object]) -> None:
        """Hand over one event; more than once is possible, the receiver knows it by its id.

        Raises:
            DeliveryError: it was not taken.

        """


class Metrics(Protocol):
    """Where metrics are pushed."""

    def push(
        self, report: RunReport | None, *, succeeded: bool, now: datetime, is_whole: bool = True
    ) -> None:
        """Push what a run did; without a report, that it failed before there was one.

        Only a whole run, one over every account and its ordinary days, may replace the night's metrics.

        Raises:
            DeliveryError: the receiver did not take it.

        """


class Progress(Protocol):
    """Shows a person how far a run is."""

    def begin(self, total: int) -> None:
        """Announce how many accounts there are to do."""

    def advance(self, outcome: str, account: Account) -> None:
        """Tell that one account has its outcome."""

    def end(self) -> None:
        """Take the display away."""
