"""Replays the ledger of one account: its stored costs as each of its collections left them, in memory."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Context, Decimal, localcontext
from itertools import islice
from uuid import UUID

from costbatch.application.collect.detector import Replaced
from costbatch.domain.accounts import NO_PROGRESS, Account, Progress
from costbatch.domain.adaptive_memory import Memory
from costbatch.domain.anomalies import Anomaly, AnomalyState
from costbatch.domain.answers import Answer
from costbatch.domain.costs import DayDigest, DayTotal, FetchedCosts, PackedCosts, ServiceTotals, StoredChange
from costbatch.domain.detection import ZERO, JudgedDay, Rule
from costbatch.domain.expectations import Expectation
from costbatch.domain.ledger import AccountHistory, Amount, AmountChange, PastCollection
from costbatch.domain.periods import ONE_DAY, DateRange

# Room for every digit of a sum, as the database has.
_EXACT = Context(prec=80)
_NOTHING_IN_MEMORY = PackedCosts((), 0)


@dataclass
class _Days:
    """Sums by day, with how many rows each has: a day with rows that add up to zero is not a day without."""

    sums: dict[date, Decimal] = field(default_factory=dict)
    rows: defaultdict[date, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, day: date, amount: Decimal, rows: int) -> None:
        self.sums[day] = self.sums.get(day, ZERO) + amount
        self.rows[day] += rows
        if not self.rows[day]:
            del self.rows[day], self.sums[day]


@dataclass
class PastCosts:
    """The costs of one account as they were; what the detectors ask a ``CostStore`` for.

    Which rows are compared, and by which amount, was decided when the history was loaded.
    """

    services: defaultdict[tuple[str, str], _Days] = field(default_factory=lambda: defaultdict(_Days))
    totals: defaultdict[str, _Days] = field(default_factory=lambda: defaultdict(_Days))
    billed: defaultdict[str, _Days] = field(default_factory=lambda: defaultdict(_Days))

    def change(self, row: Amount, before: Decimal | None, after: Decimal | None) -> None:
        """Let a row cost something else; None: there is no such row."""
        rows = (after is not None) - (before is not None)
        difference = (after or ZERO) - (before or ZERO)
        self.billed[row.currency].add(row.usage_date, ZERO, rows)
        if row.is_compared:
            self.totals[row.currency].add(row.usage_date, difference, rows)
            self.services[row.service, row.currency].add(row.usage_date, difference, rows)

    def day_totals(self, days_of: Mapping[int, DateRange], rule: Rule) -> dict[int, list[DayTotal]]:  # noqa: ARG002 - the port's
        """Return the comparable cost of each day with cost."""
        return {
            row: [
                DayTotal(day, currency, amount)
                for currency, mine in self.totals.items()
                for day, amount in mine.sums.items()
                if day in days
            ]
            for row, days in days_of.items()
        }

    def service_totals(self, account: Account, days: DateRange, rule: Rule) -> ServiceTotals:
        """Return the comparable cost of each day, by service."""
        return self.service_totals_of({account.id: days}, rule)[account.id]

    def service_totals_of(self, days_of: Mapping[int, DateRange], rule: Rule) -> dict[int, ServiceTotals]:  # noqa: ARG002 - the port's
        """Return the comparable cost of each day, by service."""
        totals: dict[int, ServiceTotals] = {row: {} for row in days_of}
        for row, days in days_of.items():
            for (service, currency), mine in self.services.items():
                found = [DayTotal(day, currency, mine.sums[day]) for day in days if day in mine.sums]
                if found:
                    totals[row].setdefault(service, []).extend(found)
        return totals

    def first_days(self, currencies_of: Mapping[int, Collection[str]]) -> dict[tuple[int, str], date]:
        """Return the first day with cost of each currency."""
        return {
            (row, currency): min(self.billed[currency].rows)
            for row, currencies in currencies_of.items()
            for currency in currencies
            if self.billed[currency].rows
        }


@dataclass
class PastAnomalies:
    """The anomalies that a replay has found so far; what the detectors ask an ``AnomalyStore`` for."""

    rows: dict[UUID, Anomaly] = field(default_factory=dict)

    def load_near(self, starts: Mapping[int, date]) -> dict[int, list[Anomaly]]:
        """Return the anomalies that are open or end on or after the start."""
        near: dict[int, list[Anomaly]] = {}
        for each in sorted(self.rows.values(), key=lambda each: (each.start_date, each.id)):
            start = starts.get(each.account_id)
            if start is not None and (each.state is AnomalyState.OPEN or each.last_date >= start):
                near.setdefault(each.account_id, []).append(each)
        return near

    def save(self, anomaly: Anomaly, *, run_id: UUID | None, now: datetime) -> None:  # noqa: ARG002 - the port's
        """Insert or update by id."""
        self.rows[anomaly.id] = anomaly

    def found(self) -> Collection[Anomaly]:
        """Return all of them."""
        return self.rows.values()


@dataclass
class PastExpectations:
    """What a replay expected of the days so far; what the detectors ask an ``ExpectationStore`` for."""

    rows: dict[tuple[int, date, str | None, str], JudgedDay] = field(default_factory=dict)

    def load_outside(self, starts: Mapping[int, date]) -> dict[int, list[Expectation]]:
        """Return the days from the start on that are outside their band."""
        found: dict[int, list[Expectation]] = {}
        for (row, usage_date, service, currency), day in self.rows.items():
            if row in starts and usage_date >= starts[row] and (day.reason or day.is_outside):
                found.setdefault(row, []).append(Expectation(service, currency, day))
        return found

    def of_series(
        self, account_id: int, service: str | None, currency: str, days: DateRange
    ) -> dict[date, JudgedDay]:
        """Return the judged days of one series."""
        found = {day: self.rows.get((account_id, day, service, currency)) for day in days}
        return {day: judged for day, judged in found.items() if judged}

    def save(self, expectations: Mapping[int, Sequence[Expectation]]) -> None:
        """Insert or update by account row, service, currency and day."""
        for row, of_account in expectations.items():
            for service, currency, day in of_account:
                self.rows[row, day.usage_date, service, currency] = day


@dataclass
class PastMemories:
    """What a detector has learned in a replay; what it asks a ``MemoryStore`` for."""

    rows: dict[tuple[int, str], Memory] = field(default_factory=dict)

    def load(self, account_ids: Collection[int]) -> dict[tuple[int, str], Memory]:
        """Return the memories by account row and currency."""
        return {key: memory for key, memory in self.rows.items() if key[0] in account_ids}

    def save(self, memories: Mapping[tuple[int, str], Memory]) -> None:
        """Insert or update; without a snapshot, the one from before stays."""
        for key, memory in memories.items():
            self.rows[key] = memory.following(self.rows.get(key))

    def forget(self, account_id: int, currency: str | None = None) -> None:
        """Delete what is remembered of an account, in one currency or in all."""
        self.rows = {
            (row, mine): memory
            for (row, mine), memory in self.rows.items()
            if row != account_id or currency not in (None, mine)
        }


@dataclass
class PastAnswers:
    """What was answered to anomalies; what the detectors ask an ``AnswerStore`` for."""

    answers: dict[int, list[Answer]] = field(default_factory=dict)

    def given(self, account_ids: Collection[int]) -> dict[int, list[Answer]]:
        """Return every answer: the detectors use each from its day on."""
        return {row: mine for row, mine in self.answers.items() if row in account_ids}

    def load(self, *_: object, **__: object) -> dict[int, list[Answer]]:
        """Return no answers: what they silenced is an alarm nevertheless."""
        return {}


class NoFirstCharges:
    """First charges are left out: they are no anomalies."""

    def services(self, *_: object) -> dict[int, set[str]]:
        """Return no services."""
        return {}

    def add(self, *_: object) -> None:
        """Keep none."""


@dataclass
class PastTransaction:
    """The stores of a replay, in memory: nothing reaches the database."""

    costs: PastCosts = field(default_factory=PastCosts)
    anomalies: PastAnomalies = field(default_factory=PastAnomalies)
    expectations: PastExpectations = field(default_factory=PastExpectations)
    memories: PastMemories = field(default_factory=PastMemories)
    answers: PastAnswers = field(default_factory=PastAnswers)
    first_charges: NoFirstCharges = field(default_factory=NoFirstCharges)


def replay(
    account: Account, history: AccountHistory, costs: PastCosts, unknown: frozenset[date] = frozenset()
) -> Iterator[tuple[PastCollection, Replaced]]:
    """Set ``costs`` to what each collection left, in their order, and yield it with what it replaced.

    unknown: the days that are unknown now; of those before the oldest collection nothing else tells.
    """
    changes: defaultdict[UUID, list[AmountChange]] = defaultdict(list)
    for change in history.changes:
        changes[change.run_id].append(change)
    known = {each.run_id for each in history.collections}
    with localcontext(_EXACT):
        for row, amount in history.stored:
            costs.change(row, None, amount)
        for change in reversed(history.changes):
            if change.run_id in known:
                costs.change(change.row, change.new, change.old)
    progress = NO_PROGRESS
    is_begun = history.first_run not in known
    if is_begun and history.collections:
        progress = _progress_before(history.collections[0], costs, unknown)
    for each in history.collections:
        # A first collection can have found nothing at all: what was stored first came later.
        is_begun |= each.run_id == history.first_run
        changed = {change.row.usage_date for change in changes[each.run_id]}
        if each.run_id == history.first_run:
            changed |= {day for days in costs.billed.values() for day in days.rows}
        with localcontext(_EXACT):
            for change in changes[each.run_id]:
                costs.change(change.row, change.old, change.new)
        fetched = _fetched(each, costs)
        before, seen = progress, progress.seeing(fetched.hidden, fetched.shown)
        progress = seen.extended(each.window, is_ordinary=not each.is_backfill)
        if is_begun:
            replaced = Replaced(
                account=account,
                progress=before,
                fetched=fetched,
                change=StoredChange(changed_dates=frozenset(changed)),
                totals=(),
                shown_from=fetched.shown_from,
                unknown=progress.unknown,
            )
            yield each, replaced


def _progress_before(oldest: PastCollection, costs: PastCosts, unknown: frozenset[date]) -> Progress:
    """Return what was stored before the oldest collection that is still known."""
    days = (day for mine in costs.billed.values() for day in mine.rows)
    end_exclusive = oldest.today - ONE_DAY
    start = min(days, default=end_exclusive)
    if start >= end_exclusive:
        return NO_PROGRESS
    covered = DateRange(start, end_exclusive)
    return Progress(covered=covered, unknown=frozenset(day for day in unknown if day in covered))


def _fetched(collection: PastCollection, costs: PastCosts) -> FetchedCosts:
    """Return what a response said of its days: of those with stored cost, the first were kept."""
    stored = {day: sum(mine.rows.get(day, 0) for mine in costs.billed.values()) for day in collection.window}
    kept = {*islice((day for day, rows in stored.items() if rows), collection.days_kept)}
    return FetchedCosts(
        window=collection.window,
        digests={day: DayDigest(b"", rows, is_kept=day in kept) for day, rows in stored.items()},
        changed_days=None,
        costs=_NOTHING_IN_MEMORY,
        api_requests=0,
    )
