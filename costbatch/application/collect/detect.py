"""Detects anomalies after costs were replaced: saves them and returns their events, in that transaction.

What was fetched is in memory; the database is asked for all accounts together, and only for what is not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from costbatch.application.collect.series import AccountSeries, SeriesRequest, load_series
from costbatch.application.ports import Transaction
from costbatch.domain.accounts import Account
from costbatch.domain.anomalies import (
    Anomaly,
    AnomalyChange,
    AnomalyState,
    ChangeKind,
    Judgement,
    Scope,
    Trend,
    announced_since,
    judge_series,
    judged_from,
)
from costbatch.domain.answers import Answer, as_told, reminder_due
from costbatch.domain.costs import DayTotal, FetchedCosts, StoredChange
from costbatch.domain.detection import ZERO, Direction, Rule, Series, explain
from costbatch.domain.events import Event, anomaly_event, anomaly_reminder
from costbatch.domain.periods import ONE_DAY, DateRange
from costbatch.logs import get_logger

log = get_logger(__name__)

# Enough to see what was normal before.
_TREND_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """An account whose window was just replaced.

    covered: what was stored without a gap before. totals: what the window cost before, on the days that did
    not change.
    """

    account: Account
    covered: DateRange | None
    fetched: FetchedCosts
    change: StoredChange
    totals: Sequence[DayTotal]

    @property
    def continues(self) -> bool:
        """Whether the window continues what is stored already."""
        return self.covered is not None and self.covered.touches(self.fetched.window)

    @property
    def stored(self) -> DateRange:
        """The days around the window that are stored without a gap: outside nothing is known, not zero."""
        window = self.fetched.window
        return self.covered.join(window) if self.covered and self.continues else window


@dataclass(slots=True)
class _Account:
    """One account to examine: the days that may read differently now, and its anomalies near them."""

    replaced: Replaced
    touched: DateRange
    known: list[Anomaly] = field(default_factory=list)

    @property
    def account(self) -> Account:
        return self.replaced.account


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """Detects the anomalies of one run. ``now`` is when the events say that it happened.

    remind_days: a reminder is due each time that an anomaly has gone on for so many days; None: never.
    """

    rule: Rule
    today: date
    run_id: UUID
    now: datetime
    is_backfill: bool = False
    remind_days: int | None = None

    def detect(self, tx: Transaction, replaced: Sequence[Replaced]) -> dict[int, list[Event]]:
        """Judge the days that each collection touched and save what changed; return events by account row."""
        accounts = [_Account(each, self._touched_days(each)) for each in replaced]
        self._load_known(tx, accounts)
        lookback = timedelta(days=self.rule.baseline_days)
        asked = []
        for each in accounts:
            days = self._days_to_judge(each.touched, each.known)
            start = max(days.start - lookback, each.replaced.stored.start)
            history = DateRange(start, days.end_exclusive)
            asked.append(SeriesRequest(each.account, each.replaced.fetched, each.replaced.totals, history))
        series = load_series(tx, asked, self.rule)
        changes = {
            each.account.id: self._save_changes(tx, each, series[each.account.id]) for each in accounts
        }
        # An account whose anomalies are as they were has nothing to tell.
        telling = [row for row, found in changes.items() if found]
        answers = tx.answers.load(telling) if telling else {}
        return {
            each.account.id: self._announce(
                each, series[each.account.id], changes[each.account.id], answers.get(each.account.id, [])
            )
            for each in accounts
        }

    def _save_changes(self, tx: Transaction, each: _Account, series_of: AccountSeries) -> list[AnomalyChange]:
        """Judge each currency by itself, as if the account had no other one."""
        currencies = {*series_of.totals, *(anomaly.currency for anomaly in each.known)}
        changes = [
            self._explained(change, series_of)
            for currency in sorted(currencies)
            for change in self._judged(each, series_of, currency)
        ]
        for change in changes:
            tx.anomalies.save(change.anomaly, run_id=self.run_id, now=self.now)
        if len(series_of.totals) > 1:
            self._log_unjudged(each, series_of)
        return changes

    def _judged(self, each: _Account, series_of: AccountSeries, currency: str) -> Iterator[AnomalyChange]:
        """Judge the total, each service by the rule, and close what is known of what is no longer judged."""
        known = [anomaly for anomaly in each.known if anomaly.currency == currency]
        judgement = Judgement(
            scope=Scope(account_id=each.account.id, aws_account_id=each.account.aws_account_id),
            currency=currency,
            start=each.touched.start,
            days=self._days_to_judge(each.touched, known),
            today=self.today,
            rule=self.rule,
        )
        judged: dict[str | None, Series | None] = {anomaly.service: None for anomaly in known}
        judged[None] = series_of.totals.get(currency) or Series(currency, each.replaced.stored.start, {})
        if self.rule.per_service:
            judged.update(series_of.services(currency))
        for service, series in judged.items():
            of_scope = [anomaly for anomaly in known if anomaly.service == service]
            scope = replace(judgement.scope, service=service)
            yield from judge_series(series, of_scope, replace(judgement, scope=scope))

    def _log_unjudged(self, each: _Account, series_of: AccountSeries) -> None:
        """Log which currencies of an account are not judged, if it has others that are."""
        last = each.replaced.fetched.window.last
        young = [series for series in series_of.totals.values() if series.baseline(last, self.rule) is None]
        for series in series_of.totals.values() if len(young) < len(series_of.totals) else ():
            about = {"aws_account_id": each.account.aws_account_id, "currency": series.currency}
            if series.last_day is not None and series.last_day in each.touched:
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
        if replaced.covered is not None:
            touched.append(replaced.covered.end_exclusive)
        start = min(touched) - timedelta(days=self.rule.settle_days + 1)
        end_exclusive = window.end_exclusive + timedelta(days=self.rule.baseline_days)
        return DateRange(max(start, stored.start), min(end_exclusive, stored.end_exclusive))

    def _load_known(self, tx: Transaction, accounts: Sequence[_Account]) -> None:
        """Load every anomaly of the touched days and after, and of the days of those that reach back."""
        earliest = {each.account.id: each.touched.start for each in accounts}
        while earliest:
            near = tx.anomalies.load_near(
                {row: day - self.rule.merge_window for row, day in earliest.items()}
            )
            further: dict[int, date] = {}
            for each in accounts:
                row = each.account.id
                if row not in earliest:
                    continue
                each.known = near.get(row, [])
                first = self._first_judged(each)
                if first < earliest[row]:
                    further[row] = first
            earliest = further

    def _first_judged(self, each: _Account) -> date:
        groups: dict[tuple[str, str | None, Direction], list[Anomaly]] = {}
        for anomaly in each.known:
            series = (anomaly.currency, anomaly.service, anomaly.direction)
            groups.setdefault(series, []).append(anomaly)
        start = each.touched.start
        return min((judged_from(group, start, self.rule) for group in groups.values()), default=start)

    def _days_to_judge(self, touched: DateRange, known: Sequence[Anomaly]) -> DateRange:
        """Return the touched days, and those of every known anomaly that reaches into or out of them."""
        start = min([touched.start, *(anomaly.start_date for anomaly in known)])
        end_exclusive = touched.end_exclusive
        for anomaly in sorted(known, key=lambda anomaly: anomaly.start_date):
            if anomaly.start_date < end_exclusive + self.rule.merge_window:
                end_exclusive = max(end_exclusive, anomaly.last_date + ONE_DAY)
        return DateRange(start, end_exclusive)

    def _explained(self, change: AnomalyChange, series_of: AccountSeries) -> AnomalyChange:
        """Name the services behind a change of the account's total."""
        if change.episode is None or change.anomaly.service is not None:
            return change
        episode, lookback = change.episode, timedelta(days=self.rule.baseline_days)
        days = DateRange(episode.start - lookback, episode.last + ONE_DAY)
        explanation = explain(episode, series_of.services(change.anomaly.currency, days), rule=self.rule)
        return replace(change, anomaly=replace(change.anomaly, explanation=explanation))

    def _announce(
        self,
        each: _Account,
        series_of: AccountSeries,
        changes: Sequence[AnomalyChange],
        answers: Sequence[Answer],
    ) -> list[Event]:
        """Return the events of the changes, and the reminders that are due.

        What a first collection or a backfill finds long over is history and has no event; further changes
        of an anomaly that had an event, do. What an answer covers has none.
        """
        reads_history = self.is_backfill or not each.replaced.continues
        since = announced_since(self.today, self.rule) if reads_history else date.min
        before = {anomaly.id: anomaly for anomaly in each.known}
        events = []
        for change in changes:
            anomaly, known = change.anomaly, before.get(change.anomaly.id)
            was_open = known is not None and known.state is AnomalyState.OPEN
            if anomaly.last_date < since and not was_open:
                continue
            told = as_told(change, known, answers, self.rule)
            if told is None:
                continue
            trend = self._trend(anomaly, series_of)
            events.append(anomaly_event(told, each.account, trend, run_id=self.run_id, now=self.now))
            if number := self._reminder(told, known):
                events.append(
                    anomaly_reminder(
                        anomaly, each.account, trend, number=number, run_id=self.run_id, now=self.now
                    )
                )
        return events

    def _reminder(self, told: AnomalyChange, before: Anomaly | None) -> int:
        """Return the number of the reminder that an anomaly has come to by costing on; 0 without one."""
        if (
            self.remind_days is None
            or self.is_backfill
            or before is None
            or told.kind is not ChangeKind.UPDATED
        ):
            return 0
        number = reminder_due(told.anomaly, every_days=self.remind_days)
        is_new = number > reminder_due(before, every_days=self.remind_days)
        return number if is_new and told.anomaly.state is AnomalyState.OPEN else 0

    def _trend(self, anomaly: Anomaly, series_of: AccountSeries) -> Trend:
        """Return the daily cost up to the newest day, days without cost as zeros."""
        newest = series_of.newest
        days = DateRange(newest - timedelta(days=_TREND_DAYS - 1), newest + ONE_DAY)
        if anomaly.service is None:
            series = series_of.totals.get(anomaly.currency)
        else:
            series = series_of.services(anomaly.currency, days).get(anomaly.service)
        known = [day for day in days if day >= series.first_day] if series else []
        return Trend(
            newest=newest,
            is_complete=newest <= self.rule.last_settled_day(self.today),
            days=tuple(
                DayTotal(day, anomaly.currency, series.amounts.get(day, ZERO)) for day in known if series
            ),
        )
