"""Judges an account's days after its costs were replaced: anomalies and their events, in that transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import (
    Anomaly,
    AnomalyChange,
    Judgement,
    Scope,
    announced_since,
    judge_series,
)
from costbatch.domain.costs import DayTotal, StoredChange
from costbatch.domain.detection import (
    Rule,
    Series,
    comparable_series,
    explain,
)
from costbatch.domain.events import Event, anomaly_event
from costbatch.domain.periods import ONE_DAY, DateRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges accounts within one run. ``now`` is when the events say that it happened."""

    rule: Rule
    today: date
    run_id: UUID
    now: datetime
    is_backfill: bool = False

    def judge(
        self, tx: Transaction, account: Account, window: DateRange, change: StoredChange
    ) -> list[Event]:
        """Judge the days that the collection touched, save what changed, and return the events to tell.

        ``account.collected`` is still what was stored before this collection.
        """
        first_day = tx.costs.first_day(account)
        if first_day is None:
            return []
        start = self._first_touched_day(account, window, change)
        known = self._load_known(tx, account, start)
        days = self._days_to_judge(known, DateRange(start, window.end_exclusive))
        baseline = DateRange(days.start - timedelta(days=self.rule.baseline_days), days.end_exclusive)
        total = comparable_series(tx.costs.day_totals(account, baseline, self.rule), first_day)
        if total is None:
            return []
        services = _ServiceSeries(tx, account, baseline, total, self.rule)
        changes = []
        for service, series in self._judged_series(services, known).items():
            judgement = Judgement(
                scope=Scope(account_id=account.id, aws_account_id=account.aws_account_id, service=service),
                currency=total.currency,
                start=start,
                days=days,
                today=self.today,
                rule=self.rule,
            )
            of_scope = [anomaly for anomaly in known if anomaly.service == service]
            changes += judge_series(series, of_scope, judgement)
        changes = [self._explained(each, services) for each in changes]
        for each in changes:
            tx.anomalies.save(each.anomaly, run_id=self.run_id, now=self.now)
        return self._announce(changes, account, window)

    def _load_known(self, tx: Transaction, account: Account, start: date) -> list[Anomaly]:
        """Return every anomaly of the days from ``start`` on, and of the days of one that reaches back."""
        known = tx.anomalies.load_near(account, start - self.rule.reach)
        earliest = min((anomaly.start_date for anomaly in known), default=start)
        return known if earliest >= start else tx.anomalies.load_near(account, earliest - self.rule.reach)

    def _days_to_judge(self, known: Sequence[Anomaly], touched: DateRange) -> DateRange:
        """Return the touched days, and those of every known anomaly that goes on into or out of them."""
        starts = [touched.start, *(anomaly.start_date for anomaly in known)]
        ends = [anomaly.last_date + ONE_DAY for anomaly in known if anomaly.start_date in touched]
        return DateRange(min(starts), max([touched.end_exclusive, *ends]))

    def _first_touched_day(self, account: Account, window: DateRange, change: StoredChange) -> date:
        """Return the first day whose judgement may differ from the last one's.

        New and restated days, and those that were not settled when the account was judged before.
        """
        touched = [*change.changed_dates, window.last]
        if account.collected is not None:
            touched.append(account.collected.end_exclusive)
        unsettled = timedelta(days=self.rule.settle_days + 1)
        return max(min(touched) - unsettled, window.start)

    def _judged_series(
        self, services: "_ServiceSeries", known: Sequence[Anomaly]
    ) -> dict[str | None, Series | None]:
        """Return what is judged: the total, each service by the rule, and None for what no longer is."""
        judged: dict[str | None, Series | None] = {anomaly.service: None for anomaly in known}
        judged[None] = services.total
        if self.rule.per_service:
            judged.update(services.loaded().items())
        return judged

    def _explained(self, change: AnomalyChange, services: "_ServiceSeries") -> AnomalyChange:
        """Name the services behind a change of the account's total."""
        if change.episode is None or change.anomaly.service is not None:
            return change
        explanation = explain(change.episode, services.loaded(), rule=self.rule)
        return replace(change, anomaly=replace(change.anomaly, explanation=explanation))

    def _announce(self, changes: Sequence[AnomalyChange], account: Account, window: DateRange) -> list[Event]:
        """Return the events of the changes.

        What a first collection or a backfill finds long over is history, not news.
        """
        reads_history = self.is_backfill or account.collected is None
        since = announced_since(self.today, self.rule) if reads_history else window.start
        return [
            anomaly_event(change, account, run_id=self.run_id, now=self.now)
            for change in changes
            if change.anomaly.last_date >= since and not change.anomaly.is_dismissed
        ]


class _ServiceSeries:
    """The cost of each service behind a total, read when first asked for: most accounts never need it."""

    def __init__(self, tx: Transaction, account: Account, days: DateRange, total: Series, rule: Rule) -> None:
        self.total = total
        self._tx, self._account, self._days, self._rule = tx, account, days, rule
        self._series: dict[str, Series] | None = None

    def loaded(self) -> dict[str, Series]:
        """Return the series of each service, in the currency and with the history of the total."""
        if self._series is None:
            totals_of = self._tx.costs.service_totals(self._account, self._days, self._rule)
            self._series = {service: self._series_of(totals) for service, totals in totals_of.items()}
        return self._series

    def _series_of(self, totals: Sequence[DayTotal]) -> Series:
        currency, first_day = self.total.currency, self.total.first_day
        amounts = {
            total.usage_date: total.amount
            for total in totals
            if total.currency == currency and total.usage_date >= first_day
        }
        return Series(currency, first_day, amounts)
