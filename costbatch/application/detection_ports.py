"""What the detectors need of the database besides costs and anomalies: a part of the ports."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Protocol

from costbatch.domain.adaptive_memory import Memory
from costbatch.domain.detection import JudgedDay
from costbatch.domain.expectations import Expectation
from costbatch.domain.first_charges import FirstCharge
from costbatch.domain.periods import DateRange


class ExpectationStore(Protocol):
    """What was expected of each judged day."""

    def load_outside(self, starts: Mapping[int, date]) -> dict[int, list[Expectation]]:
        """Return, by account row, the days from the account's start on that are outside their band."""

    def of_series(
        self, account_id: int, service: str | None, currency: str, days: DateRange
    ) -> dict[date, JudgedDay]:
        """Return the judged days of one series; ``service`` None: the account's total."""

    def save(self, expectations: Mapping[int, Sequence[Expectation]]) -> None:
        """Insert or update by account row, day, service and currency: write only what differs."""


class MemoryStore(Protocol):
    """What the adaptive detector remembers. Without it, it learns from the stored costs again."""

    def load(self, account_ids: Collection[int]) -> dict[tuple[int, str], Memory]:
        """Return the memories by account row and currency."""

    def versions(self, account_ids: Collection[int]) -> dict[int, dict[str, str]]:
        """Return the versions of the memories by account row and currency."""

    def save(self, memories: Mapping[tuple[int, str], Memory]) -> None:
        """Insert or update; without a snapshot, the one that is stored stays."""

    def forget(self, account_id: int) -> None:
        """Delete what is remembered of an account."""


class FirstChargeStore(Protocol):
    """Every service that an account has ever paid for."""

    def services(self, account_ids: Collection[int]) -> dict[int, set[str]]:
        """Return the services by account row; an account without any is missing."""

    def add(self, charges: Mapping[int, Sequence[FirstCharge]]) -> None:
        """Add services by account row; one that is there already is left as it is."""
