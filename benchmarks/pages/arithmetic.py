"""The arithmetic of growth: from what one account costs to what many of them cost.

Pure: figures in, figures out; where they come from and how they are shown is not its business.
"""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil, floor

from costbatch.domain.costs import REQUEST_PRICE_USD

NIGHTS_OF_A_MONTH = 30
DAYS_OF_A_YEAR = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class PerAccount:
    """What one account costs on an ordinary night, and what it leaves behind.

    services: rows of each day. days: that a run reads. requests: of its own, which are its pages.
    client_seconds, server_seconds: CPU of the pod and of PostgreSQL.
    wall_seconds: of one pod that works on many accounts, divided by their number.
    row_bytes, record_bytes: on the disk, with indexes, of a row of costs and of a night's record.
    wal_bytes: where what usually changes has changed, and a new day has come.
    """

    services: int
    days: int
    requests: float
    client_seconds: float
    server_seconds: float
    wall_seconds: float
    row_bytes: float
    record_bytes: float
    wal_bytes: float
    transactions: float

    @property
    def bytes_of_a_year(self) -> float:
        """What a year of nights adds to the database."""
        return DAYS_OF_A_YEAR * (self.services * self.row_bytes + self.record_bytes)

    @property
    def groups(self) -> int:
        """The rows of the account's answer."""
        return self.services * self.days


@dataclass(frozen=True, slots=True)
class Growth:
    """So many accounts, collected each night within a window of so many seconds."""

    accounts: int
    each: PerAccount
    window_seconds: float

    @property
    def own_requests(self) -> int:
        """The requests of a night when each account is asked for its own costs."""
        return ceil(self.accounts * self.each.requests)

    def payer_requests(self, groups_of_a_page: int) -> int:
        """Return the requests of a night when the payer is asked once for all accounts, page after page."""
        return ceil(self.accounts * self.each.groups / groups_of_a_page)

    @property
    def bytes_of_a_year(self) -> float:
        """What a year adds to the database."""
        return self.accounts * self.each.bytes_of_a_year

    @property
    def wal_bytes(self) -> float:
        """The WAL of a night."""
        return self.accounts * self.each.wal_bytes

    @property
    def client_seconds(self) -> float:
        """The CPU of all pods in a night."""
        return self.accounts * self.each.client_seconds

    @property
    def server_seconds(self) -> float:
        """The CPU of PostgreSQL in a night."""
        return self.accounts * self.each.server_seconds

    @property
    def pods(self) -> int:
        """The pods that it takes to be done within the window, each with a core."""
        return ceil(self.accounts / capacity(self.each, self.window_seconds))

    @property
    def seconds_of_one_pod(self) -> float:
        """How long one pod would take."""
        return self.accounts * _slowest(self.each)

    @property
    def transactions_per_second(self) -> float:
        """What PostgreSQL commits each second when the accounts fill the window."""
        return self.accounts * self.each.transactions / self.window_seconds


def dollars_of_a_month(requests: int) -> Decimal:
    """Return what so many requests a night cost in a month."""
    return requests * NIGHTS_OF_A_MONTH * REQUEST_PRICE_USD


def capacity(each: PerAccount, seconds: float) -> int:
    """Return the accounts that one pod with a core collects in a time: by waiting or by its CPU."""
    return most_within(seconds, _slowest(each))


def most_within(seconds: float, seconds_each: float) -> int:
    """Return how many pieces of work fit into a time, one after the other."""
    return floor(seconds / seconds_each)


def _slowest(each: PerAccount) -> float:
    return max(each.wall_seconds, each.client_seconds)
