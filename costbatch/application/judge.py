"""Judges accounts' days after their costs were replaced: anomalies and their events, in that transaction.

What was fetched is in memory; the database is asked for all accounts together, and only for what is not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from costbatch.application.evidence import Asked, Evidence, gather_evidence
from costbatch.application.stores import Transaction
from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import (
    Anomaly,
    AnomalyChange,
    AnomalyState,
    Judgement,
    Scope,
    announced_since,
    judge_series,
    judged_from,
)
from costbatch.domain.costs import DayTotal, FetchedCosts, StoredChange
from costbatch.domain.detection import Direction, Rule, Series, explain
from costbatch.domain.events import Event, anomaly_event
from costbatch.domain.periods import ONE_DAY, DateRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """An account whose window was just replaced; ``account.collected`` is still what was stored before.

    totals: what the days of the window cost before, where they are not fresh.
    """

    account: Account
    fetched: FetchedCosts
    change: StoredChange
    totals: Sequence[DayTotal]

    @property
    def continues(self) -> bool:
        """Whether the window goes on from what is stored already."""
        stored = self.account.collected
        return stored is not None and stored.touches(self.fetched.window)

    @property
    def stored(self) -> DateRange:
        """The days around the window that are stored without a gap: outside nothing is known, not zero."""
        window = self.fetched.window
        return self.account.collected.join(window) if self.account.collected and self.continues else window


@dataclass(slots=True)
class _Case:
    """One account before the judge: the days that may read differently now, and its anomalies near them."""

    replaced: Replaced
    touched: DateRange
    known: list[Anomaly] = field(default_factory=list)

    @property
    def account(self) -> Account:
        return self.replaced.account


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges accounts within one run. ``now`` is when the events say that it happened."""

    rule: Rule
    today: date
    run_id: UUID
    now: datetime
    is_backfill: bool = False

    def judge(self, tx: Transaction, replaced: Sequence[Replaced]) -> list[list[Event]]:
        """Judge the days that each collection touched, save what changed, and return the events to tell."""
        cases = [_Case(each, self._touched_days(each)) for each in replaced]
        self._load_known(tx, cases)
        days = [self._days_to_judge(case) for case in cases]
        reach_back = timedelta(days=self.rule.baseline_days)
        histories = [
            DateRange(max(judged.start - reach_back, case.replaced.stored.start), judged.end_exclusive)
            for case, judged in zip(cases, days, strict=True)
        ]
        asked = [
            Asked(each.account, each.fetched, each.totals, history)
            for each, history in zip(replaced, histories, strict=True)
        ]
        evidence = gather_evidence(tx, asked, self.rule)
        return [self._judge(tx, *each) for each in zip(cases, days, evidence, strict=True)]

    def _judge(self, tx: Transaction, case: _Case, days: DateRange, evidence: Evidence) -> list[Event]:
        total = evidence.total
        if total is None:
            if not case.known:
                return []
            total = Series(case.known[0].currency, case.replaced.stored.start, {})
        judgement = Judgement(
            scope=Scope(account_id=case.account.id, aws_account_id=case.account.aws_account_id),
            currency=total.currency,
            start=case.touched.start,
            days=days,
            today=self.today,
            rule=self.rule,
        )
        changes = [
            self._explained(each, evidence) for each in self._judged(total, evidence, case.known, judgement)
        ]
        for each in changes:
            tx.anomalies.save(each.anomaly, run_id=self.run_id, now=self.now)
        return self._announce(changes, case)

    def _touched_days(self, replaced: Replaced) -> DateRange:
        """Return the days whose judgement may differ from the last one's.

        New and restated days, those that have one of them in their baseline, and those that were
        not settled when the account was judged before.
        """
        window, stored = replaced.fetched.window, replaced.stored
        touched = [*replaced.change.changed_dates, window.last]
        if replaced.account.collected is not None:
            touched.append(replaced.account.collected.end_exclusive)
        start = min(touched) - timedelta(days=self.rule.settle_days + 1)
        end_exclusive = window.end_exclusive + timedelta(days=self.rule.baseline_days)
        return DateRange(max(start, stored.start), min(end_exclusive, stored.end_exclusive))

    def _load_known(self, tx: Transaction, cases: Sequence[_Case]) -> None:
        """Load every anomaly of the touched days and after, and of the days of those that reach back."""
        earliest = {case.account.id: case.touched.start for case in cases}
        while earliest:
            near = tx.anomalies.load_near({row: day - self.rule.reach for row, day in earliest.items()})
            further: dict[int, date] = {}
            for case in cases:
                row = case.account.id
                if row not in earliest:
                    continue
                case.known = near.get(row, [])
                first = self._first_judged(case)
                if first < earliest[row]:
                    further[row] = first
            earliest = further

    def _first_judged(self, case: _Case) -> date:
        groups: dict[tuple[str | None, Direction], list[Anomaly]] = {}
        for anomaly in case.known:
            groups.setdefault((anomaly.service, anomaly.direction), []).append(anomaly)
        start = case.touched.start
        return min((judged_from(group, start, self.rule) for group in groups.values()), default=start)

    def _days_to_judge(self, case: _Case) -> DateRange:
        """Return the touched days, and those of every known anomaly that goes on into or out of them."""
        start = min([case.touched.start, *(anomaly.start_date for anomaly in case.known)])
        end_exclusive = case.touched.end_exclusive
        for anomaly in sorted(case.known, key=lambda anomaly: anomaly.start_date):
            if anomaly.start_date < end_exclusive + self.rule.reach:
                end_exclusive = max(end_exclusive, anomaly.last_date + ONE_DAY)
        return DateRange(start, end_exclusive)

    def _judged(
        self, total: Series, evidence: Evidence, known: Sequence[Anomaly], judgement: Judgement
    ) -> Iterator[AnomalyChange]:
        for service, series in self._judged_series(total, evidence, known).items():
            of_scope = [anomaly for anomaly in known if anomaly.service == service]
            scope = replace(judgement.scope, service=service)
            yield from judge_series(series, of_scope, replace(judgement, scope=scope))

    def _judged_series(
        self, total: Series, evidence: Evidence, known: Sequence[Anomaly]
    ) -> dict[str | None, Series | None]:
        """Return what is judged: the total, each service by the rule, and None for what no longer is."""
        judged: dict[str | None, Series | None] = {anomaly.service: None for anomaly in known}
        judged[None] = total
        if self.rule.per_service:
            judged.update(evidence.services)
        return judged

    def _explained(self, change: AnomalyChange, evidence: Evidence) -> AnomalyChange:
        """Name the services behind a change of the account's total."""
        if change.episode is None or change.anomaly.service is not None:
            return change
        episode, reach_back = change.episode, timedelta(days=self.rule.baseline_days)
        services = evidence.services_in(DateRange(episode.start - reach_back, episode.last + ONE_DAY))
        explanation = explain(episode, services, rule=self.rule)
        return replace(change, anomaly=replace(change.anomaly, explanation=explanation))

    def _announce(self, changes: Sequence[AnomalyChange], case: _Case) -> list[Event]:
        """Return the events of the changes.

        What a first collection or a backfill finds long over is history, not news; how an anomaly
        that was told goes on, is. What a person dismissed stays silent.
        """
        reads_history = self.is_backfill or not case.replaced.continues
        since = announced_since(self.today, self.rule) if reads_history else date.min
        were_open = {anomaly.id for anomaly in case.known if anomaly.state is AnomalyState.OPEN}
        return [
            anomaly_event(change, case.account, run_id=self.run_id, now=self.now)
            for change in changes
            if not change.anomaly.is_dismissed
            and (change.anomaly.last_date >= since or change.anomaly.id in were_open)
        ]
