"""Judges accounts' days after their costs were replaced: anomalies and their events, in that transaction.

What was fetched is in memory; the database is asked for all accounts together, and only for what is not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from costbatch.application.collect.series import Asked, Evidence, gather_evidence
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
from costbatch.logs import get_logger

log = get_logger(__name__)


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
        reach_back = timedelta(days=self.rule.baseline_days)
        asked = []
        for case in cases:
            days = self._days_to_judge(case.touched, case.known)
            start = max(days.start - reach_back, case.replaced.stored.start)
            history = DateRange(start, days.end_exclusive)
            asked.append(Asked(case.account, case.replaced.fetched, case.replaced.totals, history))
        evidence = gather_evidence(tx, asked, self.rule)
        return [self._judge(tx, case, each) for case, each in zip(cases, evidence, strict=True)]

    def _judge(self, tx: Transaction, case: _Case, evidence: Evidence) -> list[Event]:
        """Judge each currency by itself, as if the account had no other one."""
        currencies = {*evidence.totals, *(anomaly.currency for anomaly in case.known)}
        changes = [
            self._explained(change, evidence)
            for currency in sorted(currencies)
            for change in self._judged(case, evidence, currency)
        ]
        for each in changes:
            tx.anomalies.save(each.anomaly, run_id=self.run_id, now=self.now)
        if len(evidence.totals) > 1:
            self._log_unjudged(case, evidence)
        return self._announce(changes, case)

    def _judged(self, case: _Case, evidence: Evidence, currency: str) -> Iterator[AnomalyChange]:
        """Judge the total, each service by the rule, and close what is known of what is no longer judged."""
        known = [anomaly for anomaly in case.known if anomaly.currency == currency]
        judgement = Judgement(
            scope=Scope(account_id=case.account.id, aws_account_id=case.account.aws_account_id),
            currency=currency,
            start=case.touched.start,
            days=self._days_to_judge(case.touched, known),
            today=self.today,
            rule=self.rule,
        )
        judged: dict[str | None, Series | None] = {anomaly.service: None for anomaly in known}
        judged[None] = evidence.totals.get(currency) or Series(currency, case.replaced.stored.start, {})
        if self.rule.per_service:
            judged.update(evidence.services(currency))
        for service, series in judged.items():
            of_scope = [anomaly for anomaly in known if anomaly.service == service]
            scope = replace(judgement.scope, service=service)
            yield from judge_series(series, of_scope, replace(judgement, scope=scope))

    def _log_unjudged(self, case: _Case, evidence: Evidence) -> None:
        """Log which currencies of an account are not judged, if it has others that are."""
        last = case.replaced.fetched.window.last
        young = [each for each in evidence.totals.values() if each.baseline(last, self.rule) is None]
        for series in evidence.totals.values() if len(young) < len(evidence.totals) else ():
            about = {"aws_account_id": case.account.aws_account_id, "currency": series.currency}
            if series.last_day is not None and series.last_day in case.touched:
                log.warning("currency_replaced", **about, last_day=str(series.last_day))
            elif series in young and any(series.amounts.values()):
                judged_from = series.first_day + timedelta(days=max(self.rule.minimum_history_days, 1))
                log.warning("currency_not_judged_yet", **about, judged_from=str(judged_from))

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
            near = tx.anomalies.load_near(
                {row: day - self.rule.merge_window for row, day in earliest.items()}
            )
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
        groups: dict[tuple[str, str | None, Direction], list[Anomaly]] = {}
        for anomaly in case.known:
            series = (anomaly.currency, anomaly.service, anomaly.direction)
            groups.setdefault(series, []).append(anomaly)
        start = case.touched.start
        return min((judged_from(group, start, self.rule) for group in groups.values()), default=start)

    def _days_to_judge(self, touched: DateRange, known: Sequence[Anomaly]) -> DateRange:
        """Return the touched days, and those of every known anomaly that goes on into or out of them."""
        start = min([touched.start, *(anomaly.start_date for anomaly in known)])
        end_exclusive = touched.end_exclusive
        for anomaly in sorted(known, key=lambda anomaly: anomaly.start_date):
            if anomaly.start_date < end_exclusive + self.rule.merge_window:
                end_exclusive = max(end_exclusive, anomaly.last_date + ONE_DAY)
        return DateRange(start, end_exclusive)

    def _explained(self, change: AnomalyChange, evidence: Evidence) -> AnomalyChange:
        """Name the services behind a change of the account's total."""
        if change.episode is None or change.anomaly.service is not None:
            return change
        episode, reach_back = change.episode, timedelta(days=self.rule.baseline_days)
        days = DateRange(episode.start - reach_back, episode.last + ONE_DAY)
        explanation = explain(episode, evidence.services(change.anomaly.currency, days), rule=self.rule)
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
