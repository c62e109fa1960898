"""Replays the nights of one account in memory: what AWS says, what is stored, the events."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from costbatch.application.anomalies import Anomalies, Remark
from costbatch.application.collect.adaptive import AdaptiveDetector
from costbatch.application.collect.detect import Detection
from costbatch.application.collect.detector import Detector, Night, Replaced
from costbatch.application.collect.deviation import DeviationDetector
from costbatch.domain.absence import Vanished, weigh_absence
from costbatch.domain.accounts import NO_PROGRESS, Account, Progress
from costbatch.domain.adaptive_rule import AdaptiveRule
from costbatch.domain.anomalies import Anomaly, AnomalyState, Resolution
from costbatch.domain.collection import COLLECT
from costbatch.domain.costs import NO_DIGESTS, DayTotal
from costbatch.domain.detection import Rule
from costbatch.domain.events import Event
from costbatch.domain.first_charges import FirstChargePolicy
from costbatch.domain.periods import DateRange, WindowPolicy, collection_window
from tests.support.factories import CostRow, day, make_account, make_fetched, make_row, make_run
from tests.support.fake_store import FakeStore

EC2, S3 = "Amazon EC2", "Amazon S3"
# The days that ``usual`` gives.
FIRST, LAST = 0, 140


@dataclass
class Replay:
    """AWS's truth about an account and what costbatch has made of it so far.

    ``bill`` is by day and service; ``told`` holds every event in the order of the outbox.
    """

    rule: Rule = field(default_factory=Rule)
    # Of the account, if it is set differently.
    own_rule: Rule | None = None
    policy: WindowPolicy = field(default_factory=lambda: WindowPolicy(history_months=2, month_close_day=0))
    bill: dict[tuple[date, str], Decimal] = field(default_factory=dict)
    currencies: dict[date, str] = field(default_factory=dict)
    # Of services that are billed in another one than the others.
    own_currencies: dict[str, str] = field(default_factory=dict)
    store: FakeStore = field(default_factory=FakeStore)
    account: Account = field(default_factory=make_account)
    progress: Progress = NO_PROGRESS
    adaptive: AdaptiveRule | None = None
    first_charges: FirstChargePolicy = field(default_factory=FirstChargePolicy)
    remind_days: int | None = None
    today: int = 0
    # AWS shows no day before this one any more: the account has moved to another payer.
    shown_from: int | None = None

    def __post_init__(self) -> None:
        self.store.tables.accounts.rows[self.account.id] = self.account

    @property
    def detector(self) -> Detector:
        """The detector: ``adaptive`` if its rule is given."""
        if self.adaptive is None:
            return DeviationDetector(rule=self.rule)
        return AdaptiveDetector(rule=self.rule, adaptive=self.adaptive)

    @property
    def covered(self) -> DateRange | None:
        """The days that are stored without a gap."""
        return self.progress.covered

    def costs(self, amounts: Mapping[int, int | str], service: str = "Amazon EC2") -> None:
        """Let AWS say from now on that these days cost so much; the rest stays as it is."""
        self.bill |= {(day(n), service): Decimal(amount) for n, amount in amounts.items()}

    def run(self, today: int) -> list[Event]:
        """Do an ordinary night's work; return what it tells."""
        window = collection_window(day(today), ordinary_end=self.progress.ordinary_end, policy=self.policy)
        return self._collect(window, today, is_backfill=False)

    def runs(self, first: int, last: int) -> list[Event]:
        """Do the work of every night, both included."""
        return [event for today in range(first, last + 1) for event in self.run(today)]

    def backfill(self, start: int, end_exclusive: int, *, today: int) -> list[Event]:
        """Read the days again on request."""
        return self._collect(DateRange(day(start), day(end_exclusive)), today, is_backfill=True)

    @property
    def learners(self) -> set[int]:
        """Which of the account and of a new one, 2, will learn in the next night."""
        newest = {self.account.id: self.covered.last} if self.covered else {}
        with self.store.transaction() as tx:
            return self.detector.learners(tx, [self.account, make_account(2)], newest)

    @property
    def answers(self) -> Anomalies:
        """What a person can do with the anomalies, at seven in the morning of the day of the last run."""
        now = datetime(2025, 1, 1, 7, tzinfo=UTC) + timedelta(days=self.today)
        return Anomalies(database=self.store, rule_of=lambda _: self.rule, routes=(), now=lambda: now)

    def dismiss(self) -> None:
        """Let a person dismiss every open anomaly."""
        for each in self.open:
            self.answers.dismiss(str(each.id), Remark(author="alice", reason="no anomaly"))

    @property
    def anomalies(self) -> list[Anomaly]:
        """Every anomaly, by first day."""
        return sorted(self.store.tables.anomalies.rows.values(), key=lambda each: each.start_date)

    @property
    def open(self) -> list[Anomaly]:
        """Those that are open."""
        return [each for each in self.anomalies if each.state is AnomalyState.OPEN]

    @property
    def real(self) -> list[Anomaly]:
        """Those that the costs as they are now show: open or ended, but not restated or merged."""
        gone = {Resolution.RESTATED, Resolution.MERGED}
        return [each for each in self.anomalies if each.resolution not in gone]

    def _collect(self, window: DateRange, today: int, *, is_backfill: bool) -> list[Event]:
        self.today = today
        with self.store.transaction() as tx:
            fetched = make_fetched(window, *self._rows(window))
            kept: Sequence[DayTotal] = ()
            if self.shown_from is not None:
                stored = tx.costs.stored_days({self.account.id: window})[self.account.id]
                weighed = weigh_absence(fetched, stored, previous=NO_DIGESTS, ratio=Decimal(1))
                assert not isinstance(weighed, Vanished)
                fetched = weighed
                kept = tx.costs.day_totals({self.account.id: window}, self.rule)[self.account.id]
            change = tx.costs.replace_windows(make_run(), {self.account.id: fetched})[self.account.id]
            night = Night(
                today=day(today),
                run_id=UUID(int=today),
                now=datetime(2025, 1, 1, 6, tzinfo=UTC) + timedelta(days=today),
                is_backfill=is_backfill,
            )
            before = self.progress
            seen = before.seeing(fetched.hidden, fetched.shown)
            self.progress = seen.extended(window, is_ordinary=not is_backfill)
            replaced = Replaced(
                account=self.account,
                progress=before,
                fetched=fetched,
                change=change,
                totals=kept,
                shown_from=fetched.shown_from,
                unknown=self.progress.unknown,
            )
            detection = Detection(
                detector=self.detector,
                rule=self.rule,
                rule_of=lambda _: self.own_rule or self.rule,
                first_charges=self.first_charges,
                remind_days=self.remind_days,
            )
            events = detection.detect(tx, [replaced], night)[self.account.id]
            tx.outbox.append(events, (), account_id=self.account.id, run_id=night.run_id)
            tx.progress.save(COLLECT, {self.account.id: self.progress})
        return events

    def _rows(self, window: DateRange) -> list[CostRow]:
        return [
            make_row(
                usage_date,
                str(amount),
                service=service,
                currency=self.own_currencies.get(service) or self.currencies.get(usage_date, "USD"),
            )
            for (usage_date, service), amount in self.bill.items()
            if usage_date in window and (self.shown_from is None or usage_date >= day(self.shown_from))
        ]


def flat(first: int, end_exclusive: int, amount: int = 100) -> dict[int, int | str]:
    """Return days that cost all the same."""
    return dict.fromkeys(range(first, end_exclusive), amount)


def spans(anomalies: list[Anomaly]) -> list[tuple[str, int, int, str]]:
    """Return each anomaly as its direction, first and last day, and how it stands."""
    return [
        (
            each.direction.value,
            (each.start_date - day(0)).days,
            (each.last_date - day(0)).days,
            each.resolution.value if each.resolution else each.state.value,
        )
        for each in anomalies
    ]


def told(events: list[Event]) -> list[str]:
    """Return the types of events."""
    return [event.type.value for event in events]


def usual(level: float, seed: int = 1, *, last: int = LAST) -> dict[int, int | str]:
    """Return days before ``last`` that cost a little less at weekends, with a little noise."""
    chance = random.Random(seed)
    week = {n: 0.8 if day(n).weekday() >= 5 else 1.0 for n in range(FIRST, last)}
    return {n: f"{level * share * (1 + 0.02 * chance.gauss(0, 1)):.2f}" for n, share in week.items()}


def times(days: Mapping[int, int | str], factor: float, which: Iterable[int]) -> dict[int, int | str]:
    """Return some of the days, multiplied."""
    return {n: f"{float(days[n]) * factor:.2f}" for n in which}


def two_services() -> Replay:
    """Return an account with two services and a first collection of 100 days, judged by ``adaptive``."""
    replay = Replay(adaptive=AdaptiveRule(), rule=replace(Rule(), settle_days=2))
    replay.costs(usual(100), service=EC2)
    replay.costs(usual(40, seed=2), service=S3)
    assert replay.run(100) == []
    return replay
