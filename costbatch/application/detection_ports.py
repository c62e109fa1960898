"""What the detectors need of the database besides costs and anomalies: a part of the ports."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol
from uuid import UUID

from costbatch.domain.adaptive_memory import Memory
from costbatch.domain.anomalies import Anomaly, AnomalyFilter
from costbatch.domain.answers import Answer
from costbatch.domain.causes import CutShort, RootCause
from costbatch.domain.detection import JudgedDay
from costbatch.domain.expectations import Expectation
from costbatch.domain.first_charges import FirstCharge
from costbatch.domain.periods import DateRange
from costbatch.domain.runs import Run
from costbatch.domain.second_opinion import AwsAnomaly, SavedOpinions


class AnomalyStore(Protocol):
    """The anomalies."""

    def load_near(self, starts: Mapping[int, date]) -> dict[int, list[Anomaly]]:
        """Return, by account row, the anomalies that are open or end on or after the account's start."""

    def save(self, anomaly: Anomaly, *, run_id: UUID | None, now: datetime) -> None:
        """Insert or update by id. run_id: the run that does; only that of the first time is kept."""

    def find(self, prefix: str) -> list[Anomaly]:
        """Return up to ten anomalies whose id, as lower-case text, begins so."""

    def list_matching(self, wanted: AnomalyFilter) -> list[Anomaly]:
        """Return the anomalies that match: the severest first, within a currency the largest impact.

        A row that was made unreadable by hand is left out: it must not hide the others.
        """

    def detected_by(self, run_id: UUID) -> set[UUID]:
        """Return the ids of the anomalies that a run was the first to find."""

    def unchecked(self, run: Run) -> set[UUID]:
        """Return the anomalies of the run, and of others of its job, that were not checked for incidents.

        Those of another run that a process works on are left out: it checks them at its end.
        """

    def mark_checked(self, anomaly_ids: Collection[UUID], *, now: datetime) -> None:
        """Record that these anomalies were checked for incidents; the next run leaves them out.

        One that another process is saving may stay unchecked: to report its incident again does no harm.
        """

    def alike(self, anomaly_ids: Collection[UUID]) -> list[Anomaly]:
        """Return these, and all that began on the same days, in order."""

    def counts(self, aws_account_ids: Collection[str] = ()) -> dict[tuple[str, str, str], int]:
        """Return how many anomalies active accounts, or these of them, have by state, severity, currency."""


class AnswerStore(Protocol):
    """What people answered to anomalies, and the changes that they planned."""

    def add(self, answer: Answer) -> Answer:
        """Add an answer; return it with its id."""

    def load(self, account_ids: Collection[int] | None = None) -> dict[int, list[Answer]]:
        """Return the answers that count by account row, the oldest first; None: of every account."""

    def given(self, account_ids: Collection[int]) -> dict[int, list[Answer]]:
        """Return every answer by account row, also those that no longer count, the oldest first."""

    def withdraw(self, answers: Collection[Answer], *, author: str, reason: str, now: datetime) -> None:
        """Let answers no longer count; they stay in the table, with who withdrew them and why."""


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

    def versions(self, account_ids: Collection[int]) -> dict[int, dict[str, tuple[str, date]]]:
        """Return the version and the newest day of each memory by account row and currency."""

    def save(self, memories: Mapping[tuple[int, str], Memory]) -> None:
        """Insert or update; without a snapshot, the one that is stored stays."""

    def forget(self, account_id: int, currency: str | None = None) -> None:
        """Delete what is remembered of an account, in one currency or in all."""


class FirstChargeStore(Protocol):
    """Every service that an account has ever paid for."""

    def services(self, account_ids: Collection[int]) -> dict[int, set[str]]:
        """Return the services by account row; an account without any is missing."""

    def add(self, charges: Mapping[int, Sequence[FirstCharge]]) -> None:
        """Add services by account row; one that is there already is left as it is."""


class CauseStore(Protocol):
    """The root causes of anomalies, and which anomalies were asked about."""

    def settled(self, anomaly_ids: Collection[UUID], *, most_attempts: int) -> set[UUID]:
        """Return those whose root cause is known, or was asked for so often."""

    def cut_short(self, anomaly_ids: Collection[UUID]) -> dict[UUID, CutShort]:
        """Return of those whose response the cap cut short on how many nights it did."""

    def claim(self, anomaly_id: UUID, *, now: datetime, pause: timedelta, most_attempts: int) -> bool:
        """Note that an anomaly is asked about now; return whether this process may.

        Not if its root cause is known, or it was asked for so often, or less than ``pause`` ago.
        """

    def save(
        self,
        anomaly_id: UUID,
        found: RootCause | None,
        *,
        problem: str | None = None,
        attempts: int = 1,
        is_again: bool = False,
    ) -> bool:
        """Store the root cause of an anomaly that was claimed, or why there is none.

        attempts: as how many this one counts; none: the cap cut the response short, which counts if it is not
        ``is_again`` on the same night. False: one of the two is stored already since it was claimed.
        """

    def find(self, anomaly_id: UUID) -> RootCause | None:
        """Return the root cause of an anomaly, if it is known."""


class AwsAnomalyStore(Protocol):
    """The anomalies that AWS detected, kept for ever."""

    def save(self, account_id: int, found: Sequence[AwsAnomaly], *, now: datetime) -> SavedOpinions:
        """Insert or update by AWS's id; what AWS no longer says, feedback and causes, stays."""

    def load(self, days: DateRange) -> list[AwsAnomaly]:
        """Return those that have one of the days, or began before them and have no end, by first day."""
