"""Judges an account's days after its costs were replaced: anomalies and their events, in that transaction."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from costbatch.application.ports import Transaction
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
from costbatch.domain.costs import DayTotal, StoredChange
from costbatch.domain.detection import (
    Direction,
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
        stored = _stored_without_gap(account, window)
        touched = self._touched_days(account, stored, window, change)
        known = self._load_known(tx, account, touched.start)
        days = self._days_to_judge(known, touched)
        baseline = DateRange(days.start - timedelta(days=self.rule.baseline_days), days.end_exclusive)
        total = self._load_total(tx, account, baseline, stored)
        if total is None:
            if not known:
                return []
            total = Series(known[0].currency, stored.start, {})
        services = _ServiceSeries(tx, account, baseline, total, self.rule)
        judgement = Judgement(
            scope=Scope(account_id=account.id, aws_account_id=account.aws_account_id),
            currency=total.currency,
            start=touched.start,
            days=days,
            today=self.today,
            rule=self.rule,
        )
        changes = [self._explained(each, services) for each in self._judged(services, known, judgement)]
        for each in changes:
            tx.anomalies.save(each.anomaly, run_id=self.run_id, now=self.now)
        reads_history = self.is_backfill or not _continues(account, window)
        return self._announce(changes, account, known, reads_history=reads_history)

    def _load_known(self, tx: Transaction, account: Account, start: date) -> list[Anomaly]:
        """Return every anomaly of the days from ``start`` on, and of the days of those that reach back."""
        earliest = start
        while True:
            known = tx.anomalies.load_near(account, earliest - self.rule.reach)
            groups: dict[tuple[str | None, Direction], list[Anomaly]] = {}
            for anomaly in known:
                groups.setdefault((anomaly.service, anomaly.direction), []).append(anomaly)
            first = min((judged_from(group, start, self.rule) for group in groups.values()), default=start)
            if first >= earliest:
                return known
            earliest = first

    def _days_to_judge(self, known: Sequence[Anomaly], touched: DateRange) -> DateRange:
        """Return the touched days, and those of every known anomaly that goes on into or out of them."""
        start = min([touched.start, *(anomaly.start_date for anomaly in known)])
        end_exclusive = touched.end_exclusive
        for anomaly in sorted(known, key=lambda anomaly: anomaly.start_date):
            if anomaly.start_date < end_exclusive + self.rule.reach:
                end_exclusive = max(end_exclusive, anomaly.last_date + ONE_DAY)
        return DateRange(start, end_exclusive)

    def _touched_days(
        self, account: Account, stored: DateRange, window: DateRange, change: StoredChange
    ) -> DateRange:
        """Return the days whose judgement may differ from the last one's.

        New and restated days, those that have one of them in their baseline, and those that were
        not settled when the account was judged before.
        """
        touched = [*change.changed_dates, window.last]
        if account.collected is not None:
            touched.append(account.collected.end_exclusive)
        start = min(touched) - timedelta(days=self.rule.settle_days + 1)
        end_exclusive = window.end_exclusive + timedelta(days=self.rule.baseline_days)
        return DateRange(max(start, stored.start), min(end_exclusive, stored.end_exclusive))

    def _load_total(
        self, tx: Transaction, account: Account, days: DateRange, stored: DateRange
    ) -> Series | None:
        """Return the account's total; None where nothing comparable is stored."""
        first_day = tx.costs.first_day(account) or stored.start
        totals = tx.costs.day_totals(account, days, self.rule)
        return comparable_series(totals, max(first_day, stored.start))

    def _judged(
        self, services: "_ServiceSeries", known: Sequence[Anomaly], judgement: Judgement
    ) -> Iterator[AnomalyChange]:
        for service, series in self._judged_series(services, known).items():
            of_scope = [anomaly for anomaly in known if anomaly.service == service]
            scope = replace(judgement.scope, service=service)
            yield from judge_series(series, of_scope, replace(judgement, scope=scope))

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

    def _announce(
        self,
        changes: Sequence[AnomalyChange],
        account: Account,
        known: Sequence[Anomaly],
        *,
        reads_history: bool,
    ) -> list[Event]:
        """Return the events of the changes.

        What a first collection or a backfill finds long over is history, not news; how an anomaly
        that was told goes on, is. What a person dismissed stays silent.
        """
        since = announced_since(self.today, self.rule) if reads_history else date.min
        were_open = {anomaly.id for anomaly in known if anomaly.state is AnomalyState.OPEN}
        return [
            anomaly_event(change, account, run_id=self.run_id, now=self.now)
            for change in changes
            if not change.anomaly.is_dismissed
            and (change.anomaly.last_date >= since or change.anomaly.id in were_open)
        ]


def _stored_without_gap(account: Account, window: DateRange) -> DateRange:
    """Return the days around the window that are stored without a gap: outside nothing is known, not zero."""
    return account.collected.join(window) if account.collected and _continues(account, window) else window


def _continues(account: Account, window: DateRange) -> bool:
    """Whether the window goes on from what is stored already."""
    return account.collected is not None and account.collected.touches(window)


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
